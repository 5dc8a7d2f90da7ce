"""Stage 2: the language model learns poses: from text, into text, edited, compared (paper, section 3.4).

python -m unipose.training.stages.align --config training/recipes/tiny/align.yaml

Trained: the language model (whole, or by LoRA), its embeddings and head, and the queries of output poses.
"""

from unipose.training.trainer.language import run_stage
from unipose.training.trainer.trainable_parts import ALIGN


def main() -> None:
    run_stage(ALIGN)


if __name__ == "__main__":
    main()
