"""The pose tokenizer without and with jitter of the global orientation (paper, stage 1 of section 3.4).

python -m unipose.training.ablations.orientation_noise --config training/recipes/ablations/orientation_noise.yaml

Measured on held-out poses: unchanged, with the jitter of the training, and with random headings.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from unipose import UniPoseVQVAE
from unipose.processing.body_model import BodyModel
from unipose.training.ablations.table import Table, columns, write_table
from unipose.training.ablations.variants import is_finished, mark_finished, open_ablation, variant_config
from unipose.training.evaluation.metrics import reconstruction_error
from unipose.training.geometry import jitter_orientation, rotate_heading
from unipose.training.sampling.poses import held_out_poses
from unipose.training.trainer.config import RecipeParser, StageConfig
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.pose_tokenizer import PoseTokenizerArguments, train_pose_tokenizer
from unipose.training.trainer.schedules import StepScheduleArguments


VARIANTS = {"without noise": False, "with noise": True}


def reoriented(poses: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    """The poses without change, with jittered orientation, and with random heading.

    Args:
        poses: (n, 22, 3, 3), in the stored frame.
        seed: seed of the orientations.
    """
    rng = np.random.default_rng(seed)
    yaw = torch.from_numpy(rng.uniform(-np.pi, np.pi, len(poses)))
    return {
        "unchanged": poses,
        "jittered": jitter_orientation(poses, rng.uniform(-1.0, 1.0, (len(poses), 3))),
        "random heading": rotate_heading(poses, yaw),
    }


def main() -> None:
    parser = RecipeParser((PoseTokenizerArguments, StepScheduleArguments, OptimizerArguments, StageConfig))
    arguments, schedule, optimizer, config = parser.parse_args_and_config()
    open_ablation(config, arguments, schedule, optimizer)
    held_out, body = reoriented(held_out_poses().float(), config.seed), BodyModel.builtin()
    table: Table = {name: {} for name in VARIANTS}
    for name, noise in VARIANTS.items():
        own = variant_config(name, config)
        if not is_finished(own):
            mark_finished(train_pose_tokenizer(replace(arguments, orientation_noise=noise), schedule, optimizer, own))
        model = UniPoseVQVAE.from_pretrained(own.output_dir)
        for orientation, poses in held_out.items():
            table[name] |= columns(reconstruction_error(model, poses, body), orientation)
    write_table(table, Path(config.output_dir))


if __name__ == "__main__":
    main()
