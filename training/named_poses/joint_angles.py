"""Joint rotations as the Euler angles that tables are written in, and back.

Angles are degrees from the T-pose (x = the body's left, y = up, z = forward), in intrinsic orders: shoulders ZYX (arm
down from T negative z, forward negative y, inward roll positive x), hips YXZ (outward y, flexion negative x, abduction
z), every other joint XYZ (knee flexion +x, elbow flexion -y, trunk forward +x, to the right +z). They are written in
that order, as on the LEFT side; the right side is its mirror image.
"""

from collections.abc import Sequence

import roma
import torch

from unipose.processing.pose_features import JOINT_NAMES, NUM_JOINTS


Angles = dict[str, tuple[float, float, float]]

_ORDERS = {"hip": "YXZ", "shoulder": "ZYX"}
_FLIP = (-1.0, 1.0, 1.0)


def part_of(joint: str) -> str:
    """A joint's name without its side: "left_knee" -> "knee"."""
    return joint.rpartition("_")[2]


def euler_order(joint: str) -> str:
    """The intrinsic order in which a joint's angles are written."""
    return _ORDERS.get(part_of(joint), "XYZ")


def mirror_joint(rotmats: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) rotations of a joint -> those of the joint on the other side in the mirrored pose."""
    flip = rotmats.new_tensor(_FLIP)
    return rotmats * (flip[:, None] * flip)


def pose_from_angles(angles: Angles) -> torch.Tensor:
    """A pose from a table of its angles.

    Args:
        angles: by joint: "hip" means both sides, "left_hip" one of them and takes precedence; joints left out rest.

    Returns:
        (22, 3, 3) rotations in a y-up world.
    """
    return poses_from_angles([angles])[0]


def poses_from_angles(tables: Sequence[Angles]) -> torch.Tensor:
    """(n, 22, 3, 3) poses from as many tables of angles (see `pose_from_angles`), in one go."""
    degrees = torch.tensor(
        [[angles.get(joint) or angles.get(part_of(joint)) or (0.0,) * 3 for joint in JOINT_NAMES] for angles in tables]
    ).float()
    poses = torch.eye(3).repeat(len(tables), NUM_JOINTS, 1, 1)
    for order in {euler_order(joint) for joint in JOINT_NAMES}:
        joints = [index for index, joint in enumerate(JOINT_NAMES) if euler_order(joint) == order]
        rotated = (degrees[:, joints] != 0.0).any(dim=-1)
        rotations = roma.euler_to_rotmat(order, degrees[:, joints], degrees=True)
        poses[:, joints] = torch.where(rotated[..., None, None], rotations, poses[:, joints])
    right = [index for index, joint in enumerate(JOINT_NAMES) if joint.startswith("right_")]
    poses[:, right] = mirror_joint(poses[:, right])
    return poses


def euler_candidates(rotmats: torch.Tensor, order: str) -> torch.Tensor:
    """Both triples of intrinsic Euler angles that give a rotation.

    The middle angle is within 90 degrees in the first and beyond in the second: a hip flexed by 120 degrees about x
    is (180, -60, 180) in YXZ or, as people mean it, (0, -120, 0). Where the outer axes are the same, it is positive in
    the first and negative in the second.

    Args:
        rotmats: (..., 3, 3) rotations.
        order: of the axes, such as "YXZ" or "XYX".

    Returns:
        (2, ..., 3) degrees in -180..180.
    """
    first = roma.rotmat_to_euler(order, rotmats, degrees=True)
    middle = -first[..., 1] if order[0] == order[2] else 180.0 - first[..., 1]
    second = torch.stack([first[..., 0] + 180.0, middle, first[..., 2] + 180.0], dim=-1)
    return torch.remainder(torch.stack([first, second]) + 180.0, 360.0) - 180.0
