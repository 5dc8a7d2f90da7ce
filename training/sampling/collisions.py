"""Self-intersection: capsules approximate the parts of a body, and those of distant parts must not overlap.

A capsule is a segment with a radius. Capsules are fitted to the mesh and its skinning weights, so that a user's own
SMPL body works like the built-in one. Only joints are posed: thousands of poses per second.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import torch

from unipose.processing.body_model import PARENTS, BodyModel, forward_kinematics
from unipose.processing.pose_features import JOINT_NAMES, NUM_JOINTS, to_y_up
from unipose.training.named_poses.joint_angles import part_of


# Capsules may overlap by this much (meters): flesh is soft, and a capsule only approximates the mesh.
TOLERANCE = 0.045
# The radius of a capsule is this quantile of its vertices' distances from its axis.
RADIUS_QUANTILE = 0.4
# Parts of one side, or of a side and the trunk, that are at most this many bones apart always touch.
NEIGHBORS = 2

# Limbs: first joint -> last joint. Tips: joint -> the joints that move its vertices.
_LIMBS = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}
_TIPS = {"ankle": ("ankle", "foot"), "wrist": ("wrist", "hand"), "head": ("head",)}
_TRUNK = ("pelvis", "spine1", "spine2", "spine3")
_NAMES = (*JOINT_NAMES, "left_hand", "right_hand")


@dataclass(frozen=True)
class Capsules:
    """The parts of a body, as capsules.

    Args:
        joints: (C,) index of the joint that moves each capsule.
        ends: (C, 2, 3) meters from that joint in the rest pose.
        radii: (C,) meters.
        pairs: (P, 2) capsules that must not overlap.
    """

    joints: torch.Tensor
    ends: torch.Tensor
    radii: torch.Tensor
    pairs: torch.Tensor

    def parts(self) -> list[str]:
        """The joint of each capsule, without its side."""
        return [part_of(JOINT_NAMES[joint]) for joint in self.joints.tolist()]

    def pair_names(self) -> list[tuple[str, str]]:
        """The joints of the two capsules of each pair: the columns of `penetration_depths`."""
        names = [JOINT_NAMES[joint] for joint in self.joints.tolist()]
        return [(names[first], names[second]) for first, second in self.pairs.tolist()]


def body_capsules(body: BodyModel) -> Capsules:
    """Fits the capsules of a body to its mesh and skinning weights."""
    capsules = list(_fit_capsules(body))
    joints = [joint for joint, _, _ in capsules]
    ends = torch.stack([end for _, end, _ in capsules])
    pairs = [
        (one, other) for one, other in combinations(range(len(joints)), 2) if _is_checked(joints[one], joints[other])
    ]
    return Capsules(
        joints=torch.tensor(joints),
        ends=ends - body.joints[joints][:, None],
        radii=torch.stack([radius for _, _, radius in capsules]),
        pairs=torch.tensor(pairs),
    )


def _fit_capsules(body: BodyModel) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Joint, (2, 3) ends in the rest pose and radius of each capsule."""
    vertex_joints = body.vertex_joints()
    for index, name in enumerate(JOINT_NAMES):
        side, _, part = name.rpartition("_")
        prefix = f"{side}_" if side else ""
        members = [_NAMES.index(prefix + member) for member in _TIPS.get(part, (part,))]
        vertices = body.v_template[torch.isin(vertex_joints, torch.tensor(members))]
        if name in _TRUNK:
            yield index, *_across(vertices)
        elif part in _LIMBS:
            yield index, *_along(vertices, body.joints[index], body.joints[_NAMES.index(prefix + _LIMBS[part])])
        elif part in _TIPS:
            yield index, *_longest(vertices)


def _across(vertices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A capsule from left to right through a slice of the trunk; its radius is half the slice's depth."""
    low, high = vertices.quantile(0.02, dim=0), vertices.quantile(0.98, dim=0)
    center, half = (low + high) / 2, (high - low) / 2
    reach = torch.zeros(3)
    reach[0] = (half[0] - half[2]).clamp(min=0.0)
    return torch.stack([center - reach, center + reach]), half[2]


def _along(vertices: torch.Tensor, start: torch.Tensor, end: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A capsule around the bone of a limb."""
    axis = (end - start) / (end - start).norm()
    away = vertices - start
    distances = (away - (away @ axis)[:, None] * axis).norm(dim=1)
    return torch.stack([start, end]), distances.quantile(RADIUS_QUANTILE)


def _longest(vertices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A capsule along the longest side of the vertices' bounding box: head, hands and feet extend past their joint."""
    low, high = vertices.amin(dim=0), vertices.amax(dim=0)
    axis = int((high - low).argmax())
    center = (low + high) / 2
    others = [other for other in range(3) if other != axis]
    radius = (vertices - center)[:, others].norm(dim=1).quantile(RADIUS_QUANTILE)
    reach = torch.zeros(3)
    reach[axis] = ((high - low)[axis] / 2 - radius).clamp(min=0.0)
    return torch.stack([center - reach, center + reach]), radius


def _is_checked(first: int, second: int) -> bool:
    sides = {JOINT_NAMES[index].partition("_")[0] for index in (first, second)}
    return sides >= {"left", "right"} or _steps_between(first, second) > NEIGHBORS


def _steps_between(first: int, second: int) -> int:
    """Number of bones on the path from one joint to another."""
    paths = []
    for joint in (first, second):
        path = [joint]
        while path[-1] != 0:
            path.append(PARENTS[path[-1]])
        paths.append(path)
    shared = len(set(paths[0]) & set(paths[1]))
    return len(paths[0]) + len(paths[1]) - 2 * shared


def penetration_depths(rotmats: torch.Tensor, body: BodyModel, capsules: Capsules) -> torch.Tensor:
    """How deep the capsules of each pair penetrate each other.

    Args:
        rotmats: (n, 22, 3, 3) in the stored z-up frame.
        body: the body to pose.
        capsules: result of `body_capsules` of the same body.

    Returns:
        (n, P) meters, in the order of `Capsules.pair_names`; negative where they are apart.
    """
    ends = capsule_ends(rotmats, body, capsules).movedim((2, 3), (0, 1)).contiguous()
    first, second = capsules.pairs.T
    distances = segment_distances(ends[..., first], ends[..., second])
    return capsules.radii[first] + capsules.radii[second] - distances


def self_intersects(
    rotmats: torch.Tensor, body: BodyModel, capsules: Capsules, tolerance: float = TOLERANCE
) -> torch.Tensor:
    """Whether each pose intersects itself.

    Args:
        rotmats: (n, 22, 3, 3) in the stored z-up frame.
        body: the body to pose.
        capsules: result of `body_capsules` of the same body.
        tolerance: meters by which capsules may overlap.

    Returns:
        (n,) booleans.
    """
    return penetration_depths(rotmats, body, capsules).amax(dim=1) > tolerance


def capsule_ends(rotmats: torch.Tensor, body: BodyModel, capsules: Capsules) -> torch.Tensor:
    """The ends of the capsules' segments in posed bodies.

    Args:
        rotmats: (n, 22, 3, 3) in the stored z-up frame.
        body: the body to pose.
        capsules: result of `body_capsules` of the same body.

    Returns:
        (n, C, 2, 3) meters, y up.
    """
    rotations, positions = forward_kinematics(to_y_up(rotmats), body.joints[:NUM_JOINTS].to(rotmats))
    rotated = capsules.ends.to(rotmats) @ rotations[:, capsules.joints].mT
    return rotated + positions[:, capsules.joints, None]


def segment_distances(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Shortest distances between segments.

    Args:
        first, second: (2, 3, ...) the two ends; coordinates come before the batch, which is several times faster.

    Returns:
        (...) in the unit of the ends.
    """
    along, across, between = first[1] - first[0], second[1] - second[0], first[0] - second[0]
    length, width = (along * along).sum(0).clamp(min=1e-9), (across * across).sum(0).clamp(min=1e-9)
    slant, ahead, aside = (along * across).sum(0), (along * between).sum(0), (across * between).sum(0)
    # Parallel segments: any point of the first is nearest, and the clamped point of the second follows from it.
    place = ((slant * aside - ahead * width) / (length * width - slant * slant).clamp(min=1e-9)).clamp(0.0, 1.0)
    other = ((slant * place + aside) / width).clamp(0.0, 1.0)
    place = ((slant * other - ahead) / length).clamp(0.0, 1.0)
    gap = between + place * along - other * across
    return (gap * gap).sum(0).sqrt()
