"""A tiny corpus and the arguments of a tiny language stage, for tests that run stages for real."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

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

# Of every training in a test.
CPU_ARGUMENTS: dict[str, Any] = {"logging_steps": 1, "precision": "fp32", "use_cpu": True, "disable_tqdm": True}
STAGE_ARGUMENTS: dict[str, Any] = {
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "constant",
    **CPU_ARGUMENTS,
}


def make_records(split: str, images: bool) -> Iterator[Record]:
    """One record of each kind for each of five poses; those of images only with `images`."""
    body, poses, rng = BodyModel.builtin(), archetype_poses(list(NAMES)).float(), np.random.default_rng(0)
    rotvecs = to_rotvecs(poses)
    for index, name in enumerate(NAMES):
        own, other = rotvecs[index], rotvecs[index - 1]
        yield PoseRecord(f"{split}:{name}", own, (CAPTION,))
        yield PosePairRecord(f"{split}:{name}", other, own, (INSTRUCTION,))
        if images:
            seen = [
                ImageRecord(f"{split}:{name}", random_image(pose, body, 48, rng)["bytes"], pose_vectors, (CAPTION,))
                for pose, pose_vectors in ((poses[index - 1], other), (poses[index], own))
            ]
            yield seen[1]
            yield ImagePairRecord(f"{split}:{name}", *seen, (INSTRUCTION,))


def write_tiny_corpus(folder: Path, tasks: tuple[str, ...], images: bool = False) -> None:
    """Five rows of each task in each of the splits train and validation."""
    splits = {split: make_records(split, images) for split in ("train", "validation")}
    write_records(folder, splits, tasks, seed=0, templates=PROMPTS)
