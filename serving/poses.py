"""Poses of answers as JSON."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import roma
import torch

from unipose.processing.pose_frames import Frame, to_frame


PoseFormat = Literal["axis_angle", "rotmats"]
DECIMALS = 6


def pose_records(poses: Sequence[Any], frame: Frame, pose_format: PoseFormat) -> list[dict[str, Any]]:
    """Poses as JSON, which requests also take: their numbers and their frame.

    All at once: for one pose the conversion costs as much as for a batch.

    Args:
        poses: (22, 3, 3) rotation matrices each, in the stored z-up frame.
        frame: Frame of the result.
        pose_format: "axis_angle": `global_orient` (3,) and `body_pose` (63,) in radians; "rotmats": `rotmats`
            (22, 3, 3).
    """
    if not poses:
        return []
    rotmats = to_frame(torch.from_numpy(np.stack(poses)).double(), frame)
    if pose_format == "rotmats":
        return [{"rotmats": numbers, "frame": frame} for numbers in rounded(rotmats)]
    vectors = rounded(roma.rotmat_to_rotvec(rotmats).flatten(1))
    return [{"global_orient": numbers[:3], "body_pose": numbers[3:], "frame": frame} for numbers in vectors]


def rounded(values: torch.Tensor) -> list[Any]:
    """Numbers as nested lists: a millionth of a radian moves no joint by more than a few micrometers."""
    return values.numpy().round(DECIMALS).tolist()
