"""Stage 4: all seven tasks, asked for in many wordings (paper, section 3.4).

python -m unipose.training.stages.instruct --config training/recipes/tiny/instruct.yaml

Trained: what stage 2 trains, and the projector.
"""

from unipose.training.stages.language import run_stage
from unipose.training.trainer.trainable_parts import INSTRUCT


if __name__ == "__main__":
    run_stage(INSTRUCT)
