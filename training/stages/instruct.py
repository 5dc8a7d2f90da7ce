"""Stage 4: all seven tasks, in many wordings (paper, section 3.4).

python -m unipose.training.stages.instruct --config training/recipes/tiny/instruct.yaml

Trained: the parts of stage 2, and the projector.
"""

from unipose.training.trainer.language import run_stage
from unipose.training.trainer.trainable_parts import INSTRUCT


def main() -> None:
    run_stage(INSTRUCT)


if __name__ == "__main__":
    main()
