"""A tiny corpus and the arguments of a tiny language stage, for tests that run stages for real."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.datasets.generation import to_rotvecs
from unipose.training.datasets.record_writer import write_records
from unipose.training.datasets.records import ImagePairRecord, ImageRecord, PosePairRecord, PoseRecord
from unipose.training.datasets.rows import Record
from unipose.training.named_poses.archetypes import archetype_poses
from unipose.training.synthetic_images.rendering import random_image


NAMES = ("t_pose", "squat", "kneel_left", "sit", "bow")
CAPTION = "A person squats."
INSTRUCTION = "Bend the left knee."
PROMPTS = {
    "pose-to-text": ["Describe this pose: {pose}"],
    "image-to-text": ["Describe this pose: {image}"],
    "pose-diff": ["What is other in {pose_a} {pose_b}?"],
    "image-diff": ["What is other in {image_a} {image_b}?"],
    "text-to-pose": ["Move: {caption}"],
    "image-to-pose": ["Move: {image}"],
    "pose-edit": ["{pose} {instruction}"],
}

SFT_ARGUMENTS: dict[str, Any] = {
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "constant",
    "logging_steps": 1,
    "remove_unused_columns": False,
    "dataset_kwargs": {"skip_prepare_dataset": True},
    "max_length": None,
    "activation_checkpointing": False,
    "bf16": False,
    "report_to": "none",
    "use_cpu": True,
    "disable_tqdm": True,
    "seed": 0,
}


def make_records(split: str, pictures: bool) -> Iterator[Record]:
    """One record of each sort for each of five poses, pictures only where they are wanted."""
    body, poses, rng = BodyModel.builtin(), archetype_poses(list(NAMES)).float(), np.random.default_rng(0)
    rotvecs = to_rotvecs(poses)
    for index, name in enumerate(NAMES):
        own, other = rotvecs[index], rotvecs[index - 1]
        yield PoseRecord(f"{split}:{name}", own, (CAPTION,))
        yield PosePairRecord(f"{split}:{name}", other, own, (INSTRUCTION,))
        if pictures:
            seen = [
                ImageRecord(f"{split}:{name}", random_image(pose, body, 48, rng)["bytes"], pose_vectors, (CAPTION,))
                for pose, pose_vectors in ((poses[index - 1], other), (poses[index], own))
            ]
            yield seen[1]
            yield ImagePairRecord(f"{split}:{name}", *seen, (INSTRUCTION,))


def write_tiny_corpus(folder: Path, tasks: tuple[str, ...], pictures: bool = False) -> None:
    """Five rows of each task in each of the splits train and validation."""
    splits = {split: make_records(split, pictures) for split in ("train", "validation")}
    write_records(folder, splits, tasks, seed=0, templates=PROMPTS)


def weights_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def unlike(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> list[str]:
    """The names under which two sets of weights do not agree to the bit."""
    return [name for name in found.keys() | wanted.keys() if not torch.equal(found[name], wanted[name])]
