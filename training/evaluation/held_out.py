"""The evaluation sets: poses and pairs from held-out motion clips, with their texts and images."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import roma
import torch
from PIL import Image

from unipose.processing.body_model import BodyModel
from unipose.training.captions.describe import describe
from unipose.training.captions.instruct import instruct
from unipose.training.captions.paircodes import Paircode
from unipose.training.captions.posecodes import Posecode
from unipose.training.captions.text import Caption
from unipose.training.datasets.generation import random_headings
from unipose.training.datasets.import_data import SavedRecords
from unipose.training.evaluation.posecode_metrics import paircodes_of_pairs, posecodes_of_poses
from unipose.training.geometry import rotate_heading
from unipose.training.sampling.pose_pairs import PosePairs, sample_pose_pairs
from unipose.training.sampling.poses import HELD_OUT_CLIPS
from unipose.training.synthetic_images.rendering import random_image


@dataclass(frozen=True)
class HeldOutFrames:
    """Single poses with their descriptions and images.

    Args:
        poses: (n, 22, 3, 3) in the stored frame, heading removed.
        captions: a description of each pose.
        camera_poses: (n, 22, 3, 3), the poses with the heading that the camera of `images` sees.
        images: one of each camera pose, rendered like those of the corpus.
    """

    poses: torch.Tensor
    captions: list[Caption[Posecode]]
    camera_poses: torch.Tensor
    images: list[Image.Image]


@dataclass(frozen=True)
class HeldOutPairs:
    """Pairs of poses, each with an instruction that changes the first into the second, and with their difference."""

    pairs: PosePairs
    instructions: list[Caption[Paircode]]
    differences: list[Caption[Paircode]]


@dataclass(frozen=True)
class PairViews:
    """Two images of each pair of poses."""

    images: list[tuple[Image.Image, Image.Image]]


def make_held_out_frames(poses: torch.Tensor, body: BodyModel, image_size: int, seed: int) -> HeldOutFrames:
    """Describes and renders poses; the same seed gives the same captions, headings and images.

    Args:
        poses: (n, 22, 3, 3) in the stored frame, heading removed.
        body: the body to measure and to render.
        image_size: pixels of the square images.
        seed: seed of all random choices.
    """
    rng = np.random.default_rng(seed)
    captions = [describe(codes, rng) for codes in posecodes_of_poses(poses, body)]
    camera_poses = rotate_heading_at_random(poses, rng)
    images = [_render(pose, body, image_size, rng) for pose in camera_poses]
    return HeldOutFrames(poses, captions, camera_poses, images)


def make_held_out_pairs(
    number: int, body: BodyModel, seed: int, clips: Sequence[str] = HELD_OUT_CLIPS
) -> HeldOutPairs:
    """Samples pairs of frames of some clips, and of edits of such frames.

    Args:
        number: number of pairs.
        body: the body to measure.
        seed: seed of all random choices; the same seed gives the same pairs and instructions.
        clips: names of the clips; default: those that are held out for tests.
    """
    pairs = sample_pose_pairs(number, seed, body, clips=clips)
    rng, codes = np.random.default_rng(seed), paircodes_of_pairs(pairs, body)
    instructions = [instruct(own, rng) for own in codes]
    return HeldOutPairs(pairs, instructions, [instruct(own, rng, style="difference") for own in codes])


def render_pairs(pairs: PosePairs, body: BodyModel, image_size: int, seed: int) -> PairViews:
    """Renders both poses of pairs as the corpus does: frames of one motion share heading, clothes and background.

    Args:
        pairs: the pairs.
        body: the body to render.
        image_size: pixels of the square images.
        seed: seed of headings and styles.
    """
    rng = np.random.default_rng(seed)
    yaw, other_yaw = random_headings(len(pairs), rng), random_headings(len(pairs), rng)
    firsts = rotate_heading(pairs.first, yaw)
    seconds = rotate_heading(pairs.second, torch.where(pairs.same_sequence, yaw, other_yaw))
    seeds = rng.integers(2**32, size=(len(pairs), 2))
    return PairViews(
        [
            (
                _render(first, body, image_size, np.random.default_rng(own)),
                _render(second, body, image_size, np.random.default_rng(own if same else other)),
            )
            for first, second, same, (own, other) in zip(firsts, seconds, pairs.same_sequence, seeds)
        ]
    )


def _render(pose: torch.Tensor, body: BodyModel, size: int, rng: np.random.Generator) -> Image.Image:
    encoded = random_image(pose, body, size, rng)["bytes"]
    return Image.open(io.BytesIO(cast(bytes, encoded)))


def load_recorded(folders: Sequence[str], count: int) -> torch.Tensor:
    """At most `count` poses of records, spread evenly over each folder's frames.

    Args:
        folders: outputs of `import_data`.
        count: maximum number of poses.

    Raises:
        ValueError: a folder has no records, or its import is not finished.
    """
    rotvecs = np.concatenate([SavedRecords(folder).poses() for folder in folders])
    count = min(count, len(rotvecs))
    return roma.rotvec_to_rotmat(torch.from_numpy(rotvecs[np.arange(count) * len(rotvecs) // count]))


def rotate_heading_at_random(poses: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Rotates poses about the vertical, within the range of headings of the corpus's images.

    Args:
        poses: (n, 22, 3, 3) in the stored frame.
        rng: the random numbers.
    """
    return rotate_heading(poses, random_headings(len(poses), rng))
