"""Stage 3: the projector learns to map images to tokens of the language model (paper, section 3.4).

python -m unipose.training.stages.project --config training/recipes/tiny/project.yaml

Trained: the projector, and nothing else.
"""

from unipose.training.trainer.language import run_stage
from unipose.training.trainer.trainable_parts import PROJECT


def main() -> None:
    run_stage(PROJECT)


if __name__ == "__main__":
    main()
