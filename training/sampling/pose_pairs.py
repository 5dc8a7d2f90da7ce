"""Pairs of poses to edit and compare: one change, several changes, and two frames of one motion.

Pairs within and across sequences follow PoseFix (Delmas et al., ICCV 2023); the table of changes is our own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, mirror_pose, to_y_up
from unipose.training.geometry import heading, rotate_heading, swap_sides
from unipose.training.named_poses.joint_angles import mirror_joint, part_of
from unipose.training.sampling.anatomy import limit_excess
from unipose.training.sampling.collisions import Capsules, body_capsules, self_intersects
from unipose.training.sampling.poses import (
    MotionClip,
    MotionPoses,
    Shares,
    keeps_balance,
    load_motion_clips,
    sample_training_poses,
    training_clips,
)
from unipose.training.sampling.rejection import reject_until_accepted


# "Several" changes are 2 to this many.
MAX_CHANGES = 4
# Between frames of one motion: seconds, and meters by which some joint moved relative to the pelvis, at least.
TIME_GAP = (0.2, 0.8)
MIN_JOINT_MOTION = 0.15
# Proposals of a change in one go, at least.
MIN_PROPOSALS = 256
# A change may leave a joint this far out of its range, or as far as it was before (degrees).
CHANGE_MARGIN = 3.0


@dataclass(frozen=True)
class Change:
    """A rotation of a part of the body, stated for the left side.

    Args:
        joints: the joints that the rotation is divided among.
        degrees: smallest and largest angle, in either direction.
        axis: axis of the rotation, in the frame of the joint's parent.
        toward: instead of an axis: the direction, in that frame, that a limb is rotated toward or away from.
    """

    joints: tuple[str, ...]
    degrees: tuple[float, float]
    axis: tuple[float, float, float] = (0.0, 0.0, 0.0)
    toward: tuple[float, float, float] | None = None

    def mirrored(self) -> "Change":
        """The same change of the other side; its numbers stay those of the left."""
        return replace(self, joints=tuple(swap_sides(joint) for joint in self.joints))


_TRUNK = ("spine1", "spine2", "spine3")
_HEAD = ("neck", "head")
# Direction of the bone that a joint moves, at rest, on the left.
_BONES = {"shoulder": (1.0, 0.0, 0.0), "hip": (0.0, -1.0, 0.0)}
_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)

_LEFT_CHANGES: dict[str, tuple[Change, ...]] = {
    "left_elbow": (Change(("left_elbow",), (25.0, 110.0), axis=_Y),),
    "left_knee": (Change(("left_knee",), (25.0, 100.0), axis=_X),),
    "left_arm": (
        Change(("left_shoulder",), (25.0, 120.0), toward=_Y),
        Change(("left_shoulder",), (25.0, 90.0), toward=_Z),
        Change(("left_shoulder",), (25.0, 90.0), toward=_X),
    ),
    "left_leg": (
        Change(("left_hip",), (20.0, 80.0), toward=_Z),
        Change(("left_hip",), (15.0, 45.0), toward=_X),
    ),
}
_MIDDLE_CHANGES: dict[str, tuple[Change, ...]] = {
    "torso": (
        Change(_TRUNK, (20.0, 60.0), axis=_X),
        Change(_TRUNK, (20.0, 45.0), axis=_Y),
        Change(_TRUNK, (18.0, 40.0), axis=_Z),
    ),
    "head": (
        Change(_HEAD, (20.0, 50.0), axis=_X),
        Change(_HEAD, (20.0, 70.0), axis=_Y),
        Change(_HEAD, (18.0, 40.0), axis=_Z),
    ),
}
# Part of the body -> the changes that it can make.
CHANGES: dict[str, tuple[Change, ...]] = {
    **_LEFT_CHANGES,
    **{swap_sides(part): tuple(change.mirrored() for change in ways) for part, ways in _LEFT_CHANGES.items()},
    **_MIDDLE_CHANGES,
}


@dataclass(frozen=True)
class PairShares(Shares):
    """Mixture weights of the kinds of `sample_pose_pairs`.

    Args:
        one_change: the second pose is the first with one part changed.
        several_changes: the second pose is the first with 2 to 4 parts changed.
        motion_neighbors: two nearby frames of one clip.
    """

    one_change: float = 0.4
    several_changes: float = 0.35
    motion_neighbors: float = 0.25


@dataclass(frozen=True)
class PosePairs:
    """Pairs of poses.

    Args:
        first, second: (n, 22, 3, 3) in the stored z-up frame, both rotated so that the heading of `first` is 0.
        kind: for each pair a field of `PairShares`.
        same_sequence: (n,) booleans: both are frames of one motion.
        changed: for each pair the keys of `CHANGES` that `second` differs in; empty for frames of one motion.
    """

    first: torch.Tensor
    second: torch.Tensor
    kind: list[str]
    same_sequence: torch.Tensor
    changed: list[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.kind)

    def select(self, order: Sequence[int]) -> "PosePairs":
        """The pairs of these indices, in this order."""
        rows = torch.tensor(order, dtype=torch.long)
        kind, changed = [self.kind[row] for row in order], [self.changed[row] for row in order]
        return PosePairs(self.first[rows], self.second[rows], kind, self.same_sequence[rows], changed)


def sample_pose_pairs(
    n: int,
    seed: int,
    body: BodyModel,
    shares: PairShares | None = None,
    clips: Sequence[str] | None = None,
    motion: MotionPoses | None = None,
) -> PosePairs:
    """Samples pairs of plausible poses of every kind, in random order; reproducible by `seed`.

    Args:
        n: number of pairs.
        seed: seed of the random numbers.
        body: the body for which poses must be plausible.
        shares: mixture weights of the kinds; default: `PairShares()`.
        clips: names of the only clips to use, such as `HELD_OUT_CLIPS`. Default: changes start from
            `sample_training_poses`.
        motion: without `clips`, the plausible recorded poses to use; default: those of `training_clips`.

    Raises:
        ValueError: an unknown clip.
        RuntimeError: a pose or a change was rejected too often, or nothing moves in the clips.
    """
    rng = np.random.default_rng(seed)
    counts = (shares or PairShares()).counts(n)
    capsules = body_capsules(body)
    if motion is None or clips is not None:
        motion = MotionPoses.from_clips(_choose_clips(clips)).plausible(body, capsules)
    single, several = counts["one_change"], counts["several_changes"]
    first = _start_poses(single + several, rng, body, motion, clips is not None)
    numbers = np.concatenate([np.ones(single, dtype=int), rng.integers(2, MAX_CHANGES + 1, several)])
    second, changed = change_poses(first, numbers, rng, body, capsules)
    before, after = _motion_neighbors(counts["motion_neighbors"], motion, rng, body)
    pairs = PosePairs(
        first=torch.cat([first, before]),
        second=torch.cat([second, after]),
        kind=[kind for kind, count in counts.items() for _ in range(count)],
        same_sequence=torch.arange(n) >= single + several,
        changed=[*changed, *[()] * len(before)],
    )
    return pairs.select(rng.permutation(n).tolist())


def _choose_clips(names: Sequence[str] | None) -> list[MotionClip]:
    if names is None:
        return training_clips()
    clips = {clip.name: clip for clip in load_motion_clips()}
    unknown = sorted(set(names) - set(clips))
    if unknown or not names:
        raise ValueError(f"got clips {list(names)}, unknown: {unknown}; expected one or more of {', '.join(clips)}")
    return [clips[name] for name in names]


def _start_poses(
    count: int, rng: np.random.Generator, body: BodyModel, motion: MotionPoses, frames_only: bool
) -> torch.Tensor:
    """(count, 22, 3, 3) poses to change: recorded frames only, or training poses."""
    if frames_only:
        return motion.draw(count, rng)
    return sample_training_poses(count, int(rng.integers(2**31)), body, motion=motion)[0]


def change_poses(
    first: torch.Tensor, numbers: np.ndarray, rng: np.random.Generator, body: BodyModel, capsules: Capsules
) -> tuple[torch.Tensor, list[tuple[str, ...]]]:
    """Changes parts of plausible poses, one after the other, so that each step is plausible.

    Args:
        first: (n, 22, 3, 3) in the stored frame.
        numbers: (n,) how many parts of each pose change, at most `MAX_CHANGES`.
        rng: source of all randomness.
        body: the body for which poses must be plausible.
        capsules: result of `body_capsules` of that body.

    Returns:
        The changed poses, and for each the keys of `CHANGES` that were changed.

    Raises:
        RuntimeError: no change of a pose was accepted.
    """
    poses = first.clone()
    parts = list(CHANGES)
    changed = np.zeros((len(first), len(parts)), dtype=bool)

    def change_one_part(pending: torch.Tensor) -> torch.Tensor:
        # The last few poses get several proposals at once: small batches take almost as long as large ones.
        copies = pending.repeat(max(1, MIN_PROPOSALS // len(pending)))
        free = ~changed[copies.numpy()]
        part = (rng.random(free.shape) * free).argmax(axis=1)
        start = poses[copies]
        end, accepted = _change_parts(start, part, rng)
        accepted &= _allowed(end, start, body, capsules)
        poses[copies[accepted]] = end[accepted]
        for row, own in dict(zip(copies[accepted].tolist(), part[accepted.numpy()].tolist())).items():
            changed[row, own] = True
        return accepted.view(-1, len(pending)).any(dim=0)

    for step in range(1, MAX_CHANGES + 1):
        reject_until_accepted(
            torch.from_numpy(np.flatnonzero(numbers >= step)),
            change_one_part,
            lambda pending: f"They are changes of a part of the poses {pending.tolist()}.",
        )
    return poses, [tuple(part for part, this in zip(parts, row) if this) for row in changed.tolist()]


def _allowed(end: torch.Tensor, start: torch.Tensor, body: BodyModel, capsules: Capsules) -> torch.Tensor:
    """(n,) booleans: no self-intersection, and joint limits and balance within margins or no worse than before."""
    in_range = (limit_excess(end) <= limit_excess(start).clamp(min=CHANGE_MARGIN)).all(dim=1)
    whole = ~self_intersects(end, body, capsules)
    return in_range & whole & keeps_balance(end, start, body, capsules)


def _change_parts(
    poses: torch.Tensor, part: np.ndarray, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Changes one part, an index into `CHANGES`, of each pose: the poses, and (n,) whether the change was possible."""
    changed, possible = poses.clone(), torch.ones(len(poses), dtype=torch.bool)
    for number, changes in enumerate(CHANGES.values()):
        choice = rng.integers(len(changes), size=len(poses))
        for index, change in enumerate(changes):
            rows = torch.from_numpy(np.flatnonzero((part == number) & (choice == index)))
            changed[rows], possible[rows] = _apply(change, poses[rows], rng)
    return changed, possible


def _apply(change: Change, poses: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Applies one change to poses: the poses, and (n,) whether no limb was rotated past the direction it goes to."""
    sizes = rng.uniform(*change.degrees, len(poses)) * rng.choice((-1.0, 1.0), len(poses))
    angles = torch.from_numpy(np.radians(sizes)).to(poses)
    poses, possible = poses.clone(), torch.ones(len(poses), dtype=torch.bool)
    for joint in change.joints:
        index, right = JOINT_NAMES.index(joint), joint.startswith("right_")
        rotation = mirror_joint(poses[:, index]) if right else poses[:, index]
        axis = poses.new_tensor(change.axis).expand(len(poses), 3)
        if change.toward is not None:
            bone, goal = rotation @ poses.new_tensor(_BONES[part_of(joint)]), poses.new_tensor(change.toward)
            between = torch.arccos((bone @ goal).clamp(-1.0, 1.0))
            possible = (between - angles >= 0) & (between - angles <= torch.pi)
            axis = torch.nn.functional.normalize(torch.linalg.cross(bone, goal.expand_as(bone)), dim=-1)
        rotation = roma.rotvec_to_rotmat(axis * angles[:, None] / len(change.joints)) @ rotation
        poses[:, index] = mirror_joint(rotation) if right else rotation
    return poses, possible


def _motion_neighbors(
    count: int, motion: MotionPoses, rng: np.random.Generator, body: BodyModel
) -> tuple[torch.Tensor, torch.Tensor]:
    """`count` pairs of frames of one clip that are `TIME_GAP` apart and differ, in either order, half mirrored."""
    # Time grows within a clip, and more between two clips than within any.
    times = motion.seconds + motion.clips * (float(motion.seconds.max()) + 2.0 * TIME_GAP[1])
    rows = np.zeros((2, count), dtype=np.int64)

    def accept(pending: torch.Tensor) -> torch.Tensor:
        before = motion.draw_rows(len(pending), rng)
        start, end = (np.searchsorted(times, times[before] + gap) for gap in TIME_GAP)
        after = np.minimum(start + (rng.random(len(pending)) * (end - start)).astype(np.int64), len(times) - 1)
        rows[:, pending.numpy()] = before, after
        joints = [body.forward_joints(torch.from_numpy(motion.rotmats[each])) for each in (before, after)]
        moved = (joints[0] - joints[1]).norm(dim=-1).amax(dim=1) >= MIN_JOINT_MOTION
        return moved & torch.from_numpy(end > start)

    gap = " to ".join(map(str, TIME_GAP))
    reject_until_accepted(torch.arange(count), accept, lambda _: f"They are two frames, {gap} s apart, that differ.")
    rows = np.where(rng.random(count) < 0.5, rows[::-1], rows)
    mirrored = torch.from_numpy(rng.random(count) < 0.5)[:, None, None, None]
    frames = [torch.from_numpy(motion.rotmats[each]) for each in rows]
    first, second = (torch.where(mirrored, mirror_pose(poses), poses) for poses in frames)
    yaw = torch.from_numpy(heading(to_y_up(first)[:, 0].double().numpy()))
    return rotate_heading(first, -yaw), rotate_heading(second, -yaw)
