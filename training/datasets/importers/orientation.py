"""Global orientations: from a camera's frame to the stored frame, and PoseScript's way of removing the heading.

The camera's frame is OpenCV's: x to the right of the image, y down, z away from the camera. The stored frame is
AMASS's: z up, and a pose of heading 0 faces -y (see `pose_features`).
"""

import numpy as np
import numpy.typing as npt
import roma
import torch

from unipose.training.datasets.records import Rotvecs
from unipose.training.geometry import heading_rotation


Matrices = npt.NDArray[np.float64]

# A rotation by -90 degrees about x: the image's right becomes +x, its up +z, and toward the camera -y.
CAMERA_TO_STORED = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def pelvis_rotations(rotvecs: Rotvecs) -> Matrices:
    """(n, 22, 3) poses -> (n, 3, 3) global orientations, float64."""
    return roma.rotvec_to_rotmat(torch.from_numpy(np.asarray(rotvecs[:, 0], dtype=np.float64))).numpy()


def rotate_poses(rotvecs: Rotvecs, rotations: npt.NDArray[np.floating]) -> Rotvecs:
    """Rotates whole bodies; only the pelvis' rotation vector changes, to one of at most pi.

    Args:
        rotvecs: (n, 22, 3).
        rotations: (3, 3) or (n, 3, 3), in the poses' world.

    Returns:
        (n, 22, 3).
    """
    pelvis = roma.rotmat_to_rotvec(torch.from_numpy(rotations @ pelvis_rotations(rotvecs))).numpy()
    return np.concatenate([pelvis[:, None], rotvecs[:, 1:]], axis=1).astype(np.float32)


def camera_to_stored(rotvecs: Rotvecs) -> Rotvecs:
    """Poses with the global orientation in the camera's frame -> the same poses in the stored frame, (n, 22, 3).

    The result is the pose **as the camera sees it**: a person who is upright in the image and faces the camera has
    heading 0 and is upright in the stored frame, for any tilt of the camera. `render_pose` shows such a pose from
    the camera's side (up to its own elevation). Perspective at the image's border is not corrected.
    """
    return rotate_poses(rotvecs, CAMERA_TO_STORED)


def heading_euler(rotvecs: Rotvecs) -> npt.NDArray[np.float64]:
    """(n,) radians: the heading c of (n, 22, 3) stored poses, from their global orientation Rz(c) Ry(b) Rx(a).

    It is the direction, on the ground, of the body's left axis. Unlike `geometry.heading` (a twist) it is not
    continuous for bodies that lie on their side; for upright bodies that do not lean both agree.
    """
    rotations = pelvis_rotations(rotvecs)
    return np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0])


def rotate_heading_euler(rotvecs: Rotvecs, yaw: npt.NDArray[np.float64]) -> Rotvecs:
    """Adds to the heading of poses.

    Args:
        rotvecs: (n, 22, 3) in the stored frame.
        yaw: (n,) or (1,) radians; positive to the body's left.
    """
    return rotate_poses(rotvecs, heading_rotation(torch.from_numpy(yaw)).numpy())


def remove_heading_euler(rotvecs: Rotvecs) -> Rotvecs:
    """(n, 22, 3) stored poses with the Euler angle about the vertical set to 0, as in PoseScript.

    The global orientation is R = Rz(c) Ry(b) Rx(a), about the fixed axes of the z-up world. The result is Rz(-c) R:
    the body is rotated about the vertical only.
    """
    return rotate_heading_euler(rotvecs, -heading_euler(rotvecs))
