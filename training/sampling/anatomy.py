"""How far a pose lies outside the joint limits of `unipose.processing.joint_limits`."""

import roma
import torch

from unipose.processing.joint_limits import RANGES, JointRange
from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.named_poses.joint_angles import euler_candidates, mirror_joint, part_of


# A plausible pose lies at most this far outside the ranges (degrees).
MARGIN = 10.0


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
