"""The evaluation sets: poses and pairs from held-out motion clips, with their texts and images."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

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
    """Pairs of poses, and for each an instruction that changes the first pose into the second."""

    pairs: PosePairs
    instructions: list[Caption[Paircode]]


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
    encoded = [random_image(pose, body, image_size, rng)["bytes"] for pose in camera_poses]
    return HeldOutFrames(poses, captions, camera_poses, [Image.open(io.BytesIO(png)) for png in encoded if png])


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
    rng = np.random.default_rng(seed)
    return HeldOutPairs(pairs, [instruct(codes, rng) for codes in paircodes_of_pairs(pairs, body)])


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
