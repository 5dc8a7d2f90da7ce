"""Pairs of poses to edit and compare: one change, several changes, and two moments of one motion.

Learning edits from pairs, within and across sequences, is PoseFix's idea (Delmas et al., ICCV 2023); what is changed
here, and by how much, is a table of our own.
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
from unipose.training.sampling.collisions import Capsules, body_capsules, passes_through_itself
from unipose.training.sampling.poses import (
    MotionClip,
    Shares,
    keeps_balance,
    load_motion_clips,
    motion_poses,
    plausible,
    sample_training_poses,
    training_clips,
)


# Several changes are 2 to 4.
MOST_CHANGES = 4
# Frames of one motion are this far apart (seconds), and some joint has moved this far about the pelvis (metres).
SECONDS_APART = (0.2, 0.8)
LEAST_MOVE = 0.15
# A change may take a joint this far out of its range, or as far as it was before (degrees).
CHANGE_MARGIN = 3.0


@dataclass(frozen=True)
class Change:
    """A way in which a part of the body moves, written as on the left side.

    Args:
        joints: share the turn.
        degrees: the least and the most; turns go either way.
        axis: of the turn, in the frame of the joint's parent.
        towards: instead of an axis: the direction, in that frame, that a limb is turned towards, or away from.
    """

    joints: tuple[str, ...]
    degrees: tuple[float, float]
    axis: tuple[float, float, float] = (0.0, 0.0, 0.0)
    towards: tuple[float, float, float] | None = None

    def mirrored(self) -> "Change":
        """The same change of the other side; its numbers stay as on the left."""
        return replace(self, joints=tuple(swap_sides(joint) for joint in self.joints))


_TRUNK = ("spine1", "spine2", "spine3")
_HEAD = ("neck", "head")
# The direction of the bone behind a joint at rest, on the left.
_BONES = {"shoulder": (1.0, 0.0, 0.0), "hip": (0.0, -1.0, 0.0)}
_X, _Y, _Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)

_LEFT_CHANGES: dict[str, tuple[Change, ...]] = {
    "left_elbow": (Change(("left_elbow",), (25.0, 110.0), axis=_Y),),
    "left_knee": (Change(("left_knee",), (25.0, 100.0), axis=_X),),
    "left_arm": (
        Change(("left_shoulder",), (25.0, 120.0), towards=_Y),
        Change(("left_shoulder",), (25.0, 90.0), towards=_Z),
        Change(("left_shoulder",), (25.0, 90.0), towards=_X),
    ),
    "left_leg": (
        Change(("left_hip",), (20.0, 80.0), towards=_Z),
        Change(("left_hip",), (15.0, 45.0), towards=_X),
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
# What can change, and how.
CHANGES: dict[str, tuple[Change, ...]] = {
    **_LEFT_CHANGES,
    **{swap_sides(part): tuple(change.mirrored() for change in ways) for part, ways in _LEFT_CHANGES.items()},
    **_MIDDLE_CHANGES,
}


@dataclass(frozen=True)
class PairShares(Shares):
    """The kinds of `sample_pose_pairs`."""

    one_change: float = 0.4
    several_changes: float = 0.35
    motion_neighbours: float = 0.25


@dataclass(frozen=True)
class PosePairs:
    """Pairs of poses.

    Args:
        first, second: (n, 22, 3, 3) in the stored z-up frame. The heading of `first` is removed; that of `second` is
            what remains of it then, so that it keeps its turn against `first`.
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
        """Some of the pairs, in this order."""
        rows = torch.tensor(order, dtype=torch.long)
        kind, changed = [self.kind[row] for row in order], [self.changed[row] for row in order]
        return PosePairs(self.first[rows], self.second[rows], kind, self.same_sequence[rows], changed)


def sample_pose_pairs(
    n: int, seed: int, body: BodyModel, shares: PairShares | None = None, clips: Sequence[str] | None = None
) -> PosePairs:
    """Draws pairs of plausible poses of every kind, in random order; the same seed draws the same pairs.

    Args:
        n: number of pairs.
        seed: of every random choice.
        body: that the poses have to suit.
        shares: of the kinds; the usual ones where left out.
        clips: names of motion clips that all poses are taken from, as evaluation does with `HELD_OUT_CLIPS`. Where
            left out they are `training_clips`, and changes start at `sample_training_poses`.

    Raises:
        ValueError: an unknown clip, or clips in which nothing moves.
    """
    rng = np.random.default_rng(seed)
    counts = (shares or PairShares()).counts(n)
    capsules = body_capsules(body)
    chosen = _choose_clips(clips)
    single, several = counts["one_change"], counts["several_changes"]
    first = _starts(single + several, rng, body, capsules, chosen if clips is not None else None)
    numbers = np.concatenate([np.ones(single, dtype=int), rng.integers(2, MOST_CHANGES + 1, several)])
    second, changed = change_poses(first, numbers, rng, body, capsules)
    before, after = _neighbours(counts["motion_neighbours"], chosen, rng, body, capsules)
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
        raise ValueError(f"Unknown clips {unknown}; accepted are one or more of {', '.join(clips)}.")
    return [clips[name] for name in names]


def _starts(
    count: int, rng: np.random.Generator, body: BodyModel, capsules: Capsules, clips: list[MotionClip] | None
) -> torch.Tensor:
    """(count, 22, 3, 3) poses to be changed: frames of the clips, or where there are none training poses."""
    if clips is None:
        return sample_training_poses(count, int(rng.integers(2**31)), body)[0]
    frames = motion_poses(clips)
    frames = torch.cat([frames, mirror_pose(frames)])
    frames = frames[plausible(frames, body, capsules)]
    return frames[torch.from_numpy(rng.integers(len(frames), size=count))]


def change_poses(
    first: torch.Tensor, numbers: np.ndarray, rng: np.random.Generator, body: BodyModel, capsules: Capsules
) -> tuple[torch.Tensor, list[tuple[str, ...]]]:
    """Changes parts of plausible poses, one after the other, so that each step is plausible.

    Args:
        first: (n, 22, 3, 3) in the stored frame.
        numbers: (n,) how many parts of each pose change.
        rng: decides which, in which way and by how much.
        body, capsules: that the poses have to suit.

    Returns:
        The changed poses, and for each the keys of `CHANGES` that were changed.
    """
    poses = first.clone()
    parts = list(CHANGES)
    changed = np.zeros((len(first), len(parts)), dtype=bool)
    for step in range(1, MOST_CHANGES + 1):
        pending = np.flatnonzero(numbers >= step)
        while len(pending):
            part = (rng.random((len(pending), len(parts))) * ~changed[pending]).argmax(axis=1)
            start = poses[torch.from_numpy(pending)]
            end, good = _change_parts(start, part, rng)
            good &= _allowed(end, start, body, capsules)
            done = pending[good.numpy()]
            poses[torch.from_numpy(done)] = end[good]
            changed[done, part[good.numpy()]] = True
            pending = pending[~good.numpy()]
    return poses, [tuple(part for part, this in zip(parts, row) if this) for row in changed.tolist()]


def _allowed(end: torch.Tensor, start: torch.Tensor, body: BodyModel, capsules: Capsules) -> torch.Tensor:
    """Whether a changed pose is plausible and joints and balance are no worse than they may be or were; (n,)."""
    in_range = (limit_excess(end) <= limit_excess(start).clamp(min=CHANGE_MARGIN)).all(dim=1)
    whole = ~passes_through_itself(end, body, capsules)
    return in_range & whole & keeps_balance(end, start, body, capsules)


def _change_parts(
    poses: torch.Tensor, part: np.ndarray, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Changes one part, an index into `CHANGES`, of each pose: the poses, and (n,) whether the change was possible."""
    changed, good = poses.clone(), torch.ones(len(poses), dtype=torch.bool)
    for number, ways in enumerate(CHANGES.values()):
        way = rng.integers(len(ways), size=len(poses))
        for index, change in enumerate(ways):
            rows = torch.from_numpy(np.flatnonzero((part == number) & (way == index)))
            changed[rows], good[rows] = _apply(change, poses[rows], rng)
    return changed, good


def _apply(change: Change, poses: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Makes one change in poses: the poses, and (n,) whether a turn stopped short of the direction it went for."""
    sizes = rng.uniform(*change.degrees, len(poses)) * rng.choice((-1.0, 1.0), len(poses))
    angles = torch.from_numpy(np.radians(sizes)).to(poses)
    poses, good = poses.clone(), torch.ones(len(poses), dtype=torch.bool)
    for joint in change.joints:
        index, right = JOINT_NAMES.index(joint), joint.startswith("right_")
        turned = mirror_joint(poses[:, index]) if right else poses[:, index]
        axis = poses.new_tensor(change.axis).expand(len(poses), 3)
        if change.towards is not None:
            bone, goal = turned @ poses.new_tensor(_BONES[part_of(joint)]), poses.new_tensor(change.towards)
            between = torch.arccos((bone @ goal).clamp(-1.0, 1.0))
            good = (between - angles >= 0) & (between - angles <= torch.pi)
            axis = torch.nn.functional.normalize(torch.linalg.cross(bone, goal.expand_as(bone)), dim=-1)
        turned = roma.rotvec_to_rotmat(axis * angles[:, None] / len(change.joints)) @ turned
        poses[:, index] = mirror_joint(turned) if right else turned
    return poses, good


def _neighbours(
    count: int, clips: list[MotionClip], rng: np.random.Generator, body: BodyModel, capsules: Capsules
) -> tuple[torch.Tensor, torch.Tensor]:
    """`count` pairs of frames of one clip, before or after each other, half of them mirrored."""
    found = [_moving_frames(clip, body, capsules) for clip in clips]
    before, after = (torch.cat([pair[side] for pair in found]) for side in range(2))
    if count and not len(before):
        apart = " to ".join(map(str, SECONDS_APART))
        raise ValueError(f"No two frames {apart} s apart differ in {', '.join(clip.name for clip in clips)}.")
    rows = torch.from_numpy(rng.integers(max(len(before), 1), size=count))
    backwards, mirrored = (torch.from_numpy(rng.random(count) < 0.5)[:, None, None, None] for _ in range(2))
    pairs = [torch.where(backwards, other[rows], this[rows]) for this, other in ((before, after), (after, before))]
    first, second = (torch.where(mirrored, mirror_pose(poses), poses) for poses in pairs)
    yaw = torch.from_numpy(heading(to_y_up(first)[:, 0].double().numpy()))
    return rotate_heading(first, -yaw), rotate_heading(second, -yaw)


def _moving_frames(clip: MotionClip, body: BodyModel, capsules: Capsules) -> tuple[torch.Tensor, torch.Tensor]:
    """Both poses of every pair of plausible frames of a clip that are apart in time and differ; (m, 22, 3, 3) each."""
    poses = roma.rotvec_to_rotmat(clip.rotvecs)
    apart = clip.seconds[None] - clip.seconds[:, None]
    fine = plausible(poses, body, capsules)
    before, after = ((apart >= SECONDS_APART[0]) & (apart <= SECONDS_APART[1]) & fine[:, None] & fine[None]).nonzero(
        as_tuple=True
    )
    joints = body.forward_joints(poses)
    moved = (joints[before] - joints[after]).norm(dim=-1).amax(dim=1) >= LEAST_MOVE
    return poses[before[moved]], poses[after[moved]]
