"""Poses of answers as JSON."""

from typing import Any, Literal

import torch

from unipose import cli_poses
from unipose.processing.pose_frames import Frame, to_frame


PoseFormat = Literal["axis_angle", "rotmats"]
DECIMALS = 6


def pose_record(rotmats: Any, frame: Frame, pose_format: PoseFormat = "axis_angle") -> dict[str, Any]:
    """A pose as JSON, which requests also take: its numbers and their frame.

    Args:
        rotmats: (22, 3, 3) in the stored z-up frame.
        frame: Frame of the result.
        pose_format: "axis_angle": `global_orient` (3,) and `body_pose` (63,) in radians; "rotmats": `rotmats`
            (22, 3, 3).
    """
    if pose_format == "axis_angle":
        return cli_poses.pose_record(rotmats, frame)
    values = to_frame(torch.as_tensor(rotmats), frame).double().numpy()
    return {"rotmats": values.round(DECIMALS).tolist(), "frame": frame}
