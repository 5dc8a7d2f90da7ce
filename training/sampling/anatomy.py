"""Joint limits: a table of ranges of motion, and how far a pose lies outside them.

The ranges hold for the body's joints, on SMPL's axes, as intrinsic Euler angles; the global orientation is free. They
come from recorded motion: the 0.2 and 99.8 % quantiles of 35 minutes of public capture (CMU's subjects, DeepMimic,
Mesh2Motion), rounded outwards, with room for dancers and gymnasts. Collars and feet hardly move in that capture: their
ranges leave room for capture that is fitted to a body's surface (AMASS), which divides rotations among neighboring
joints in its own way. Wrists may twist freely, since skeletons differ in where the forearm's rotation is zero. Spine
and neck also have ranges for the whole chain, since several joints that each bend a little add up.

Hips are measured as clinics do, flexion first and rotation about the thigh last (XZY): in the order of `joint_angles`
(YXZ) a hip bent by 90 degrees and rotated, as in a cross-legged seat, is near gimbal lock. Elbows and knees are hinges
whose axis need not be the body's: skeletons tilt it about the limb (CMU's elbows by 28 degrees). Their angles are that
tilt, the flexion, and the rotation about the lower bone.
"""

from dataclasses import dataclass

import roma
import torch

from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.named_poses.joint_angles import euler_candidates, mirror_joint, part_of


Span = tuple[float, float]

# A plausible pose lies at most this far outside the ranges (degrees).
MARGIN = 10.0


@dataclass(frozen=True)
class JointRange:
    """The range of motion of a joint, or of a chain of joints by their composed rotation.

    Args:
        chain: joints without their side, from the parent outwards.
        order: intrinsic order of the Euler angles.
        first, middle, last: lowest and highest of each angle in degrees, as on the left side.
    """

    chain: tuple[str, ...]
    order: str
    first: Span
    middle: Span
    last: Span

    def bounds(self) -> torch.Tensor:
        """(2, 3): lowest and highest angles."""
        return torch.tensor([self.first, self.middle, self.last]).T


# A name without a side stands for both sides.
RANGES: dict[str, JointRange] = {
    "hip": JointRange(("hip",), "XZY", (-140, 45), (-40, 85), (-60, 70)),
    "knee": JointRange(("knee",), "YXY", (-50, 50), (-5, 155), (-50, 50)),
    "ankle": JointRange(("ankle",), "XYZ", (-85, 70), (-50, 55), (-55, 50)),
    "foot": JointRange(("foot",), "XYZ", (-60, 60), (-45, 45), (-45, 45)),
    "spine1": JointRange(("spine1",), "XYZ", (-35, 65), (-30, 30), (-25, 25)),
    "spine2": JointRange(("spine2",), "XYZ", (-35, 45), (-30, 30), (-25, 25)),
    "spine3": JointRange(("spine3",), "XYZ", (-35, 45), (-30, 30), (-25, 25)),
    "trunk": JointRange(("spine1", "spine2", "spine3"), "XYZ", (-50, 100), (-50, 50), (-45, 45)),
    "neck": JointRange(("neck",), "XYZ", (-50, 50), (-50, 50), (-45, 45)),
    "head": JointRange(("head",), "XYZ", (-60, 70), (-50, 50), (-60, 60)),
    "neck_and_head": JointRange(("neck", "head"), "XYZ", (-65, 75), (-80, 80), (-65, 65)),
    "collar": JointRange(("collar",), "XYZ", (-45, 45), (-60, 55), (-55, 60)),
    "shoulder": JointRange(("shoulder",), "ZYX", (-120, 105), (-155, 65), (-130, 130)),
    "elbow": JointRange(("elbow",), "XYX", (-75, 75), (-155, 10), (-100, 90)),
    "wrist": JointRange(("wrist",), "XYZ", (-180, 180), (-60, 60), (-90, 95)),
}


def limited_joints() -> tuple[str, ...]:
    """Names of the joints and chains that have a range, with their side: the columns of `limit_excess`."""
    sides = ("left_", "right_")
    return tuple(
        name
        for key, limit in RANGES.items()
        for name in ((key,) if limit.chain[0] in JOINT_NAMES else tuple(f"{side}{key}" for side in sides))
    )


def limit_excess(rotmats: torch.Tensor) -> torch.Tensor:
    """How far each joint is rotated out of its range.

    The measure is the geodesic angle between the joint's rotation and the rotation with its Euler angles clamped to
    the range. Unlike the Euler angles it is continuous near gimbal lock, as for an arm stretched forward.

    Args:
        rotmats: (n, 22, 3, 3), in either frame.

    Returns:
        (n, number of `limited_joints`) degrees, 0 inside the range.
    """
    names = limited_joints()
    excess = rotmats.new_zeros(len(rotmats), len(names))
    for order in sorted({limit.order for limit in RANGES.values()}):
        columns = [column for column, name in enumerate(names) if _range_of(name).order == order]
        rotations = torch.stack([_left_rotation(rotmats, names[column]) for column in columns], dim=1)
        bounds = torch.stack([_range_of(names[column]).bounds() for column in columns], dim=1).to(rotmats)
        excess[:, columns] = _excess(rotations, order, *bounds)
    return excess


def within_limits(rotmats: torch.Tensor, margin: float = MARGIN) -> torch.Tensor:
    """Whether every joint of each pose is in its range.

    Args:
        rotmats: (n, 22, 3, 3), in either frame.
        margin: tolerance in degrees.

    Returns:
        (n,) booleans.
    """
    return (limit_excess(rotmats) <= margin).all(dim=1)


def joints_outside(rotmats: torch.Tensor, margin: float = MARGIN) -> list[tuple[str, ...]]:
    """Names of the joints and chains of each pose that are out of their range.

    Args:
        rotmats: (n, 22, 3, 3), in either frame.
        margin: tolerance in degrees.
    """
    names = limited_joints()
    outside = limit_excess(rotmats) > margin
    return [tuple(names[column] for column in row.nonzero()[:, 0].tolist()) for row in outside]


def _range_of(name: str) -> JointRange:
    return RANGES[name] if name in RANGES else RANGES[part_of(name)]


def _left_rotation(rotmats: torch.Tensor, name: str) -> torch.Tensor:
    """(n, 3, 3): the rotation of a joint, or of a whole chain, mirrored to the left side."""
    chain = RANGES[name].chain if name in RANGES else (name,)
    rotation = rotmats[:, JOINT_NAMES.index(chain[0])]
    for joint in chain[1:]:
        rotation = rotation @ rotmats[:, JOINT_NAMES.index(joint)]
    return mirror_joint(rotation) if name.startswith("right_") else rotation


def _excess(rotmats: torch.Tensor, order: str, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """(n, k) degrees by which (n, k, 3, 3) rotations lie outside of (k, 3) ranges."""
    candidates = euler_candidates(rotmats, order)
    excess = rotmats.new_zeros(rotmats.shape[:2])
    outside = ~((candidates >= low) & (candidates <= high)).all(dim=-1).any(dim=0)
    low, high = (bound.expand_as(candidates[0])[outside] for bound in (low, high))
    angles = candidates[:, outside]
    # Near gimbal lock the outer two angles share an axis, and what one of them exceeds the other can take.
    outer, middle, inner = angles.unbind(dim=-1)
    nearest, zero = outer.clamp(low[:, 0], high[:, 0]), torch.zeros_like(outer)
    locked = [
        torch.stack([start, middle, end], dim=-1)
        for sign in (1.0, -1.0)
        for start, end in (
            (nearest, inner + sign * (outer - nearest)),
            (outer + sign * inner, zero),
            (zero, inner + sign * outer),
        )
    ]
    clamped = torch.clamp(torch.cat([angles, *locked]), low, high)
    distances = roma.rotmat_geodesic_distance(rotmats[outside], roma.euler_to_rotmat(order, clamped, degrees=True))
    excess[outside] = distances.amin(dim=0).rad2deg()
    return excess
