"""Global orientations: out of a camera's frame into the stored one, and without their heading.

The camera's frame is the usual one of computer vision (OpenCV): x to the right of the picture, y down, z away from the
camera. The stored frame is AMASS's: z up, and a pose without heading faces -y (see `pose_features`).
"""

import numpy as np
import numpy.typing as npt
import roma
import torch

from unipose.training.datasets.records import Rotvecs


Matrices = npt.NDArray[np.float64]

# Right, down, away -> stored x, y, z: the picture's right is +x, its up is +z, and what the camera looks at from the
# front faces -y, towards it. It is a turn of -90 degrees about x.
CAMERA_TO_STORED = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def to_matrices(rotvecs: npt.ArrayLike) -> Matrices:
    """(n, 3) rotation vectors -> (n, 3, 3)."""
    return roma.rotvec_to_rotmat(torch.from_numpy(np.asarray(rotvecs, dtype=np.float64))).numpy()


def turn_pelvis(rotvecs: Rotvecs, turns: npt.NDArray[np.floating]) -> Rotvecs:
    """Turns (n, 22, 3) poses as a whole by world rotations (3, 3) or (n, 3, 3); only the pelvis changes.

    A turned pelvis comes back as the rotation vector of at most pi.
    """
    turned = roma.rotmat_to_rotvec(torch.from_numpy(turns @ to_matrices(rotvecs[:, 0])))
    return np.concatenate([turned.numpy()[:, None], rotvecs[:, 1:]], axis=1).astype(np.float32)


def camera_to_stored(rotvecs: Rotvecs) -> Rotvecs:
    """Poses whose global orientation is in the camera's frame -> the same poses in the stored frame, (n, 22, 3).

    The result is the pose **as the camera sees it, upright**: who stands upright in the picture and faces the camera
    has no heading, and stands upright in the stored frame, whatever the camera's own tilt. `render_pose` shows such a
    pose from the camera's side (up to its own elevation). Perspective at the picture's border is not undone.
    """
    return turn_pelvis(rotvecs, CAMERA_TO_STORED)


def heading_euler(pelvis: Matrices) -> npt.NDArray[np.float64]:
    """(n,) radians: the last angle of (n, 3, 3) global orientations written as Rz(c) Ry(b) Rx(a), as PoseScript does.

    It is the direction, on the ground, of the body's left axis. Unlike `captions.measures.heading` (a twist) it jumps
    for bodies that lie on their side, whose left axis is vertical; for upright ones that do not lean both agree.
    """
    return np.arctan2(pelvis[:, 1, 0], pelvis[:, 0, 0])


def turn_about_vertical(angles: npt.NDArray[np.float64]) -> Matrices:
    """(n,) radians -> (n, 3, 3) turns to the left about the stored frame's z."""
    cosine, sine, zero, one = np.cos(angles), np.sin(angles), np.zeros_like(angles), np.ones_like(angles)
    return np.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], axis=-1).reshape(-1, 3, 3)


def remove_heading_euler(rotvecs: Rotvecs) -> Rotvecs:
    """(n, 22, 3) stored poses with the Euler angle about the vertical set to 0, as in PoseScript.

    The global orientation is R = Rz(c) Ry(b) Rx(a), turns about the fixed axes of the z-up world in the order x, y, z;
    with c = 0 the result is Rz(-c) R: the body turns about the vertical, nothing else changes.
    """
    return turn_pelvis(rotvecs, turn_about_vertical(-heading_euler(to_matrices(rotvecs[:, 0]))))
