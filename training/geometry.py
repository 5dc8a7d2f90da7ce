"""Left and right, the heading of a body, and its global orientation: what every folder of training shares."""

import re
from functools import cache

import numpy as np
import numpy.typing as npt
import roma
import torch

from unipose.processing.pose_features import to_y_up


Array = npt.NDArray[np.float64]

_SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])")


@cache
def swap_sides(text: str) -> str:
    """Exchanges "left" and "right" in a name or a phrase; "upright" stays."""
    return _SIDE.sub(lambda match: "right" if match[0] == "left" else "left", text)


def heading(axes: npt.ArrayLike) -> Array:
    """The angle, about the vertical, that a body has turned from facing +z.

    It is the twist of the rotation about the y axis, which stays defined for a body that bends, lies or leans. For one
    that is upside down the twist says nothing: there the body's left axis decides.

    Args:
        axes: (n, 3, 3) rotation matrices whose columns are the body's left, up and forward axes in a y-up world.

    Returns:
        (n,) radians; turning left is positive.
    """
    axes = np.asarray(axes, dtype=np.float64)
    twist = np.arctan2(axes[:, 0, 2] - axes[:, 2, 0], axes[:, 0, 0] + axes[:, 2, 2])
    return np.where(axes[:, 1, 1] > -0.7, twist, np.arctan2(-axes[:, 2, 0], axes[:, 0, 0]))


def remove_heading(rotmats: torch.Tensor) -> torch.Tensor:
    """Rotates each pose about the vertical until it faces the default way: +z of the y-up world, -y of the stored one.

    Unlike setting an Euler angle to zero this is defined for bodies that lie, bend or hang upside down (see
    `heading`), and nothing but the heading changes.

    Args:
        rotmats: (n, 22, 3, 3) in the stored z-up frame.

    Returns:
        (n, 22, 3, 3) in the stored z-up frame.
    """
    yaw = torch.from_numpy(heading(to_y_up(rotmats)[:, 0].double().numpy()))
    return rotate_heading(rotmats, -yaw)


def rotate_heading(rotmats: torch.Tensor, yaw: torch.Tensor) -> torch.Tensor:
    """Rotates (n, 22, 3, 3) stored poses to their left about the vertical, by (n,) radians."""
    axis = torch.zeros(len(yaw), 3, dtype=rotmats.dtype)
    axis[:, 2] = yaw.to(rotmats.dtype)
    return _rotate_globally(rotmats, roma.rotvec_to_rotmat(axis))


def jitter_orientation(rotmats: torch.Tensor, shares: np.ndarray) -> torch.Tensor:
    """The tokenizer's augmentation of the global orientation: z within 45 degrees, x and y within 20 (paper, stage 1).

    Args:
        rotmats: (n, 22, 3, 3) in the stored z-up frame.
        shares: (n, 3) of these angles, -1 to 1, for z, y and x.
    """
    angles = torch.from_numpy(shares * (45.0, 20.0, 20.0))
    return _rotate_globally(rotmats, roma.euler_to_rotmat("zyx", angles.to(rotmats.dtype), degrees=True))


def _rotate_globally(rotmats: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    return torch.cat([rotations[:, None] @ rotmats[:, :1], rotmats[:, 1:]], dim=1)
