"""The pose tokenizer without and with jitter of the global orientation (paper, stage 1 of section 3.4).

python -m unipose.training.ablations.orientation_noise --config training/recipes/ablations/orientation_noise.yaml

Measured on held-out poses as they are, turned as the jitter turns, and turned any way about the vertical.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import TrainingArguments
from trl import TrlParser

from unipose import UniPoseVQVAE
from unipose.processing.body_model import BodyModel
from unipose.training.ablations.table import Table, columns, write_table
from unipose.training.ablations.variants import arguments_of, finish, is_finished, open_ablation
from unipose.training.evaluation.metrics import reconstruction_error
from unipose.training.geometry import jitter_orientation, rotate_heading
from unipose.training.sampling.poses import held_out_poses
from unipose.training.stages.pose_tokenizer import (
    PoseTokenizerArguments,
    train_pose_tokenizer,
)
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.schedules import StepArguments


VARIANTS = {"without noise": False, "with noise": True}


def questions(poses: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
    """(n, 22, 3, 3) poses -> the same as they are and turned; the same seed gives the same turns."""
    rng = np.random.default_rng(seed)
    yaw = torch.from_numpy(rng.uniform(-np.pi, np.pi, len(poses)))
    return {
        "as they are": poses,
        "jittered": jitter_orientation(poses, rng.uniform(-1.0, 1.0, (len(poses), 3))),
        "turned": rotate_heading(poses, yaw),
    }


def main() -> None:
    parser = TrlParser((PoseTokenizerArguments, StepArguments, OptimizerArguments, TrainingArguments))
    arguments, schedule, optimizer, training_arguments = parser.parse_args_and_config()
    open_ablation(training_arguments, arguments, schedule, optimizer)
    asked, body = questions(held_out_poses().float(), training_arguments.seed), BodyModel.builtin()
    table: Table = {name: {} for name in VARIANTS}
    for name, noise in VARIANTS.items():
        own = arguments_of(name, training_arguments)
        if not is_finished(own):
            finish(train_pose_tokenizer(replace(arguments, orientation_noise=noise), schedule, optimizer, own))
        model = UniPoseVQVAE.from_pretrained(own.output_dir)
        for about, poses in asked.items():
            table[name] |= columns(reconstruction_error(model, poses, body), about)
    write_table(table, Path(training_arguments.output_dir))


if __name__ == "__main__":
    main()
