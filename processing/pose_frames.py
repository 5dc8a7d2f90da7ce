"""Conventions of poses: joints, rotations and frames.

- A pose is 22 rotations in SMPL's kinematic order (`JOINT_NAMES`): the pelvis (global orientation), then 21 body
  joints, each relative to its parent. Rest is the T-pose: x = the body's left, y = up, z = forward.
- The **stored** global orientation is AMASS's: the world is z up. Images, meshes and captions use a y-up world;
  `to_y_up` / `to_z_up` are the only two crossings. `FRAMES` lists the frames in which poses may come and go.
- `pose_values`, the input of the networks: (number of poses, 22, 6), the first two ROWS of each rotation matrix,
  flattened (paper, section 3.1).
"""

from typing import Any, Literal, TypeAlias, get_args

import torch

from .rotations import gram_schmidt


JOINT_NAMES = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
)
NUM_JOINTS = len(JOINT_NAMES)
# Parents of SMPL's 24 joints: the 22 of `JOINT_NAMES` and the two hands.
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

# Left and right are swapped; the joints on the midline stay.
MIRRORED_JOINTS = tuple(
    JOINT_NAMES.index(name.replace("left_", "right_") if name.startswith("left_") else name.replace("right_", "left_"))
    for name in JOINT_NAMES
)

# "z_up": AMASS, the stored frame. "y_up": SMPL's own, of smplx, WHAM and GVHMR. "camera": OpenCV's, x to the right of
# the image, y down, z away from the camera, of HMR2, TokenHMR and ROMP.
Frame: TypeAlias = Literal["z_up", "y_up", "camera"]
FRAMES: tuple[Frame, ...] = get_args(Frame)

# Maps a y-up world onto AMASS's z-up world: +90 degrees about x.
Y_UP_TO_Z_UP = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))
# The image's right becomes +x, its up +z, and toward the camera -y, where a pose without heading faces.
CAMERA_TO_Z_UP = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
_TO_Z_UP = {"y_up": Y_UP_TO_Z_UP, "camera": CAMERA_TO_Z_UP}


def check_frame(frame: Any, name: str = "frame") -> Frame:
    """Checks the name of a frame; None is the stored frame.

    Args:
        frame: The value that the user passed.
        name: Name of this argument in the error message.

    Raises:
        ValueError: It is not one of `FRAMES`.
    """
    if frame is None:
        return "z_up"
    if not isinstance(frame, str) or frame not in FRAMES:
        raise ValueError(f"{name} is {frame!r}; accepted: {', '.join(map(repr, FRAMES))}")
    return frame


def from_frame(rotmats: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Rotates the global orientation of (..., 22, 3, 3) poses from a frame into the stored z-up frame.

    Args:
        rotmats: (..., 22, 3, 3).
        frame: One of `FRAMES`.
    """
    if frame == "z_up":
        return rotmats
    return _rotate_globally(rotmats, rotmats.new_tensor(_TO_Z_UP[frame]))


def to_frame(rotmats: torch.Tensor, frame: Frame) -> torch.Tensor:
    """Rotates the global orientation of (..., 22, 3, 3) poses from the stored z-up frame into a frame.

    Args:
        rotmats: (..., 22, 3, 3).
        frame: One of `FRAMES`.
    """
    if frame == "z_up":
        return rotmats
    return _rotate_globally(rotmats, rotmats.new_tensor(_TO_Z_UP[frame]).mT)


def to_y_up(rotmats: torch.Tensor) -> torch.Tensor:
    """Rotates the global orientation of (..., 22, 3, 3) poses from the stored z-up world into the y-up world."""
    return to_frame(rotmats, "y_up")


def to_z_up(rotmats: torch.Tensor) -> torch.Tensor:
    """Rotates the global orientation of (..., 22, 3, 3) poses from a y-up world into the stored z-up world."""
    return from_frame(rotmats, "y_up")


def _rotate_globally(rotmats: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    return torch.cat([rotation @ rotmats[..., :1, :, :], rotmats[..., 1:, :, :]], dim=-3)


def rotmat_to_rotation_6d(rotmats: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) rotation matrices -> (..., 6): the first two rows, flattened."""
    return rotmats[..., :2, :].flatten(-2)


def rotation_6d_to_rotmat(rotation_6d: torch.Tensor) -> torch.Tensor:
    """(..., 6) -> (..., 3, 3) rotation matrices: Gram-Schmidt on the two rows, the third is their cross product."""
    return gram_schmidt(rotation_6d.unflatten(-1, (2, 3)))


def mirror_pose(rotmats: torch.Tensor) -> torch.Tensor:
    """Mirrors (..., 22, 3, 3) poses: swaps left and right and multiplies rotation vectors by (1, -1, -1).

    Valid in the y-up and in the z-up world, because both share the left-right axis.
    """
    flip = rotmats.new_tensor((-1.0, 1.0, 1.0))
    return rotmats[..., MIRRORED_JOINTS, :, :] * (flip[:, None] * flip)
