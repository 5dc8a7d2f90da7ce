"""Geometry shared by all folders of training: mirrored sides, heading and global orientation of poses."""

import re
from functools import cache

import numpy as np
import numpy.typing as npt
import roma
import torch

from unipose.processing.pose_features import mirror_pose, to_y_up


Array = npt.NDArray[np.float64]

# Largest angles of `jitter_orientation`: degrees about z, y and x.
MAX_JITTER = (45.0, 20.0, 20.0)

_SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])")


@cache
def swap_sides(text: str) -> str:
    """Swaps "left" and "right" in a name or a phrase; "upright" stays."""
    return _SIDE.sub(lambda match: "right" if match[0] == "left" else "left", text)


def add_mirrored(rotmats: torch.Tensor) -> torch.Tensor:
    """(n, 22, 3, 3) poses -> (2 n, 22, 3, 3): the poses, then their mirror images."""
    return torch.cat([rotmats, mirror_pose(rotmats)])


def heading(axes: npt.ArrayLike) -> Array:
    """The heading (yaw) of bodies in a y-up world: 0 faces +z.

    It is the twist of the rotation about the y axis (swing-twist decomposition), which is defined for bodies that
    bend, lie or lean. The twist of a body that is upside down is meaningless: there the left axis decides.

    Args:
        axes: (n, 3, 3) rotation matrices whose columns are the body's left, up and forward axes in a y-up world.

    Returns:
        (n,) radians; positive to the body's left.
    """
    axes = np.asarray(axes, dtype=np.float64)
    twist = np.arctan2(axes[:, 0, 2] - axes[:, 2, 0], axes[:, 0, 0] + axes[:, 2, 2])
    return np.where(axes[:, 1, 1] > -0.7, twist, np.arctan2(-axes[:, 2, 0], axes[:, 0, 0]))


def remove_heading(rotmats: torch.Tensor) -> torch.Tensor:
    """Rotates each pose about the vertical to heading 0: it faces +z of the y-up world, -y of the stored one.

    Unlike setting an Euler angle to zero this is defined for bodies that lie, bend or hang upside down (see
    `heading`), and only the heading changes.

    Args:
        rotmats: (n, 22, 3, 3) in the stored z-up frame.

    Returns:
        (n, 22, 3, 3) in the stored z-up frame.
    """
    yaw = torch.from_numpy(heading(to_y_up(rotmats)[:, 0].double().numpy()))
    return rotate_heading(rotmats, -yaw)


def rotate_heading(rotmats: torch.Tensor, yaw: torch.Tensor) -> torch.Tensor:
    """Adds to the heading of poses.

    Args:
        rotmats: (n, 22, 3, 3) in the stored z-up frame.
        yaw: (n,) radians; positive to the body's left.

    Returns:
        (n, 22, 3, 3) in the stored z-up frame.
    """
    return rotate_globally(rotmats, heading_rotation(yaw.to(rotmats.dtype)))


def heading_rotation(yaw: torch.Tensor) -> torch.Tensor:
    """(n,) radians -> (n, 3, 3) rotations to the left about z, the vertical of the stored frame."""
    rotvecs = torch.zeros(len(yaw), 3, dtype=yaw.dtype)
    rotvecs[:, 2] = yaw
    return roma.rotvec_to_rotmat(rotvecs)


def jitter_orientation(rotmats: torch.Tensor, noise: np.ndarray) -> torch.Tensor:
    """Augments the global orientation: z within 45 degrees, y and x within 20 (paper, stage 1, the pose tokenizer).

    Args:
        rotmats: (n, 22, 3, 3) in the stored z-up frame.
        noise: (n, 3) in -1..1, for z, y and x: fractions of these angles.

    Returns:
        (n, 22, 3, 3) in the stored z-up frame.
    """
    angles = torch.from_numpy(noise * MAX_JITTER)
    return rotate_globally(rotmats, roma.euler_to_rotmat("zyx", angles.to(rotmats.dtype), degrees=True))


def rotate_globally(rotmats: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """Rotates whole bodies; only the pelvis' rotation changes.

    Args:
        rotmats: (n, 22, 3, 3).
        rotations: (3, 3) or (n, 3, 3) in the same world.

    Returns:
        (n, 22, 3, 3).
    """
    return torch.cat([(rotations @ rotmats[:, 0])[:, None], rotmats[:, 1:]], dim=1)
