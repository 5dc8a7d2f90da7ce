"""Joint limits: a table of ranges of motion, and how far a pose lies outside them.

The ranges are those of everyday anatomy on SMPL's axes, as intrinsic Euler angles, and hold for the body's joints: the
global orientation is free. Spine and neck also have ranges for the whole chain, since several joints that each bend a
little add up. Hips are measured as clinics do, flexion first and rotation about the thigh last (XZY): in the order of
`joint_angles` (YXZ) a hip bent by 90 degrees and rotated, as in a cross-legged seat, is near gimbal lock.
"""

from dataclasses import dataclass

import roma
import torch

from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.named_poses.joint_angles import euler_candidates, mirror_joint, part_of


# A plausible pose lies at most this far outside the ranges (degrees).
MARGIN = 10.0


@dataclass(frozen=True)
class JointRange:
    """The range of motion of a joint, or of a chain of joints by their composed rotation.

    Args:
        chain: joints without their side, from the parent outwards.
        x, y, z: lowest and highest angle in degrees, as on the left side.
        widened: degrees added at both ends: recorded motion, retargeted to SMPL's tree, goes that far beyond.
        order: intrinsic order of the Euler angles.
    """

    chain: tuple[str, ...]
    x: tuple[float, float]
    y: tuple[float, float]
    z: tuple[float, float]
    widened: float = 0.0
    order: str = "XYZ"

    def bounds(self, widened: bool = True) -> torch.Tensor:
        """(2, 3): lowest and highest angles, in the order of the decomposition."""
        spans = {"X": self.x, "Y": self.y, "Z": self.z}
        margin = self.widened if widened else 0.0
        return torch.tensor([(spans[axis][0] - margin, spans[axis][1] + margin) for axis in self.order]).T


# A name without a side stands for both sides.
RANGES: dict[str, JointRange] = {
    "hip": JointRange(("hip",), (-120, 25), (-35, 45), (-20, 45), 15, "XZY"),
    "knee": JointRange(("knee",), (0, 150), (-10, 10), (-10, 10)),
    "ankle": JointRange(("ankle",), (-25, 45), (-20, 30), (-20, 20), 20),
    "foot": JointRange(("foot",), (-45, 30), (-10, 10), (-10, 10)),
    "spine1": JointRange(("spine1",), (-15, 40), (-20, 20), (-20, 20)),
    "spine2": JointRange(("spine2",), (-15, 40), (-20, 20), (-20, 20)),
    "spine3": JointRange(("spine3",), (-15, 40), (-20, 20), (-20, 20)),
    "trunk": JointRange(("spine1", "spine2", "spine3"), (-30, 90), (-45, 45), (-40, 40)),
    "neck": JointRange(("neck",), (-35, 35), (-50, 50), (-30, 30)),
    "head": JointRange(("head",), (-35, 35), (-50, 50), (-30, 30)),
    "neck_and_head": JointRange(("neck", "head"), (-50, 50), (-75, 75), (-40, 40), 5),
    "collar": JointRange(("collar",), (-10, 10), (-20, 20), (-10, 30)),
    "shoulder": JointRange(("shoulder",), (-80, 80), (-120, 40), (-85, 85), 20, "ZYX"),
    "elbow": JointRange(("elbow",), (-10, 10), (-150, 0), (-10, 10)),
    "wrist": JointRange(("wrist",), (-85, 85), (-30, 30), (-75, 75)),
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
    first, second = candidates[:, outside]
    # Near gimbal lock (the middle angle is +-90) the outer two share an axis, and either can take the whole angle.
    outer, middle, inner = first.unbind(dim=-1)
    zero = torch.zeros_like(outer)
    locked = [
        torch.stack(angles, dim=-1)
        for total in (outer + inner, outer - inner)
        for angles in ((total, middle, zero), (zero, middle, total), (zero, middle, -total))
    ]
    clamped = torch.clamp(torch.stack([first, second, *locked]), low, high)
    distances = roma.rotmat_geodesic_distance(rotmats[outside], roma.euler_to_rotmat(order, clamped, degrees=True))
    excess[outside] = distances.amin(dim=0).rad2deg()
    return excess
