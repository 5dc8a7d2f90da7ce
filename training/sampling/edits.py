"""Edits of any pose: a state of a part, a relative change, another posture, a turn. Each is applied and measured.

An edit changes only the joints that it names. `Editor.attempt` says which results are true, plausible and in balance.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import roma
import torch

from unipose.processing.pose_features import JOINT_NAMES, mirror_pose, to_y_up
from unipose.training.captions.codes import Array, Flags
from unipose.training.captions.measures import measure
from unipose.training.geometry import (
    heading,
    heading_rotation,
    remove_heading,
    rotate_globally,
    rotate_heading,
    swap_sides,
)
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses
from unipose.training.named_poses.chance import pick
from unipose.training.named_poses.limbs import LimbState, Ranges, donor_poses, in_ranges, load_limbs
from unipose.training.sampling.balance import off_balance
from unipose.training.sampling.composition import Composer
from unipose.training.sampling.mixing import LIMBS, add_noise
from unipose.training.sampling.named import NAMED_NOISE
from unipose.training.sampling.poses import BALANCE_MARGIN, is_plausible


Measures = dict[str, Array]

SIDES = ("left", "right")
# Part -> its states, in the order in which `Editor.states` has them.
PARTS = ("arm", "head", "leg", "trunk", "base", "posture")
_FILES = {"arm": "arms", "head": "heads", "leg": "legs", "trunk": "trunks", "base": "bases", "posture": "postures"}
# Some joint moves by this much at least, relative to the pelvis; the hand of an arm that gets another state (meters).
MIN_MOTION, MIN_HAND_MOTION = 0.05, 0.12
# Arms stay when legs and torso change if the trunk is upright before and after (degrees) and no hand is on the floor.
UPRIGHT, FREE_HAND = 50.0, 0.2
_STANDING: Ranges = {"torso.tilt": (0.0, 50.0), "pelvis.ground": (0.5, np.inf)}
_ON_FEET: Ranges = {"left_foot.ground": (-np.inf, 0.15), "right_foot.ground": (-np.inf, 0.15), **_STANDING}
_LYING: Ranges = {"torso.tilt": (60.0, 120.0), "pelvis.ground": (-np.inf, 0.25)}


class Change(NamedTuple):
    """A change that a text can ask for.

    Args:
        kind: a part of `PARTS`, a key of `SMALL`, or another of `KINDS`.
        state: of a part: the name of its new state; of "named" the name of the pose.
        side: "left", "right", "both" or "".
    """

    kind: str
    state: str = ""
    side: str = ""


@dataclass(frozen=True)
class Small:
    """A small change: part of the way to a state, as much as the measurement allows.

    Args:
        part: of `PARTS`.
        state: the state that it goes toward.
        measurement: what changes; of an arm with "{side}".
        least, most: its change, meters or degrees.
        before: what it starts from.
    """

    part: str
    state: str
    measurement: str
    least: float
    most: float
    before: Ranges


SMALL: dict[str, Small] = {
    "arm_higher": Small("arm", "raised", "{side}_hand.above_shoulder", 0.08, 0.4, {}),
    "arm_lower": Small(
        "arm", "hanging", "{side}_hand.above_shoulder", -0.4, -0.08, {"{side}_hand.above_shoulder": (-0.3, np.inf)}
    ),
    "elbow_bend": Small("arm", "bent", "{side}_elbow.angle", -50.0, -12.0, {}),
    "elbow_straighten": Small("arm", "straight", "{side}_elbow.angle", 12.0, 50.0, {}),
    "lower": Small("base", "squat", "pelvis.ground", -0.25, -0.04, _ON_FEET),
    "higher": Small("base", "stand", "pelvis.ground", 0.04, 0.25, _ON_FEET),
    "wider": Small("leg", "apart", "feet.distance", 0.08, 0.4, _ON_FEET),
    "forward": Small("trunk", "forward", "torso.pitch", 8.0, 35.0, _STANDING),
    "back": Small("trunk", "back", "torso.pitch", -30.0, -7.0, _STANDING),
    "side_left": Small("trunk", "left", "torso.lean_left", 6.0, 30.0, _STANDING),
    "side_right": Small("trunk", "right", "torso.lean_left", -30.0, -6.0, _STANDING),
    "head_left": Small("head", "left", "head.rotation_left", 8.0, 40.0, {}),
    "head_right": Small("head", "right", "head.rotation_left", -40.0, -8.0, {}),
    "head_up": Small("head", "up", "head.pitch", -35.0, -8.0, {}),
    "head_down": Small("head", "down", "head.pitch", 8.0, 35.0, {}),
}
SMALL_STEP = (0.2, 0.5)
# Angles of the elbow that an arm's own kinds go to; the shoulder stays.
ELBOWS = {"arm_straight": 0.0, "arm_bent": 90.0, "elbow_straighten": 0.0, "elbow_bend": 140.0}
# Kinds of one arm toward a state of the table, with wordings of their own.
ARM_KINDS = {"arm_top": "raised", "arm_bottom": "hanging", "arm_again_down": "hanging"}
TURNS = {"turn_around": np.pi, "turn_left": np.pi / 2, "turn_right": -np.pi / 2}
# How often a kind is drawn.
KINDS: dict[str, float] = {
    **{
        "arm": 10.0,
        "both_arms": 4.0,
        "head": 4.0,
        "leg": 6.0,
        "trunk": 4.0,
        "base": 6.0,
        "posture": 4.0,
        "named": 6.0,
    },
    **{"other_too": 1.5, "swap": 1.0, "mirror": 1.5, "reset": 1.5, "roll_over": 0.7},
    **dict.fromkeys((*ARM_KINDS, "arm_straight", "arm_bent", *TURNS), 0.8),
    **dict.fromkeys(SMALL, 1.0),
}
_SIDED_KINDS = {*ARM_KINDS, "arm_straight", "arm_bent", "arm_higher", "arm_lower", "elbow_bend", "elbow_straighten"}

# The measurements that `Editor._apply` needs.
_DECIDING = ("torso.facing", "torso.tilt", "left_hand.ground", "right_hand.ground")
_LIMBS = {limb: [JOINT_NAMES.index(joint) for joint in joints] for limb, joints in LIMBS.items()}
_SPINE = _LIMBS["torso"]
_LEGS = [*_LIMBS["left_leg"], *_LIMBS["right_leg"]]
_BASE = [0, *_SPINE, *_LEGS]
_ALL = list(range(len(JOINT_NAMES)))


@dataclass(frozen=True)
class Editor:
    """Applies changes to poses and measures the results.

    Args:
        composer: has the body and its capsules.
        states: the states of each part, by name.
        donors: their poses, (22, 3, 3), of an arm or a leg as on the left side.
    """

    composer: Composer
    states: dict[str, dict[str, LimbState]]
    donors: dict[str, dict[str, torch.Tensor]]

    @classmethod
    def load(cls, composer: Composer) -> "Editor":
        """An editor of all states of `load_limbs`, for the composer's body."""
        states = {part: {state.name: state for state in load_limbs(file)} for part, file in _FILES.items()}
        donors = {part: dict(zip(each, donor_poses(tuple(each.values())))) for part, each in states.items()}
        donors["named"] = {}
        for name, pose in zip(ARCHETYPES, remove_heading(archetype_poses(list(ARCHETYPES)))):
            donors["named"] |= {swap_sides(name): mirror_pose(pose[None])[0], name: pose}
        return cls(composer, states, donors)

    def measure(self, poses: torch.Tensor) -> Measures:
        """The measurements of (n, 22, 3, 3) poses."""
        return measure(self.composer.body.forward_joints(poses).numpy(), poses)

    def draw(self, rng: np.random.Generator) -> Change:
        """Any change."""
        kinds = list(KINDS)
        weights = np.cumsum([KINDS[kind] for kind in kinds])
        kind = kinds[int(np.searchsorted(weights, rng.random() * weights[-1]))]
        if kind == "both_arms":
            return Change(
                "arm", pick([state.name for state in self.states["arm"].values() if state.both], rng), "both"
            )
        if kind in _SIDED_KINDS or kind in ("other_too", "arm"):
            state = pick(list(self.states["arm"]), rng) if kind == "arm" else ""
            return Change(kind, state, pick(SIDES, rng))
        if kind == "leg":
            leg = pick(list(self.states["leg"].values()), rng)
            sides = (*SIDES, "both") if leg.both else SIDES
            return Change(kind, leg.name, "" if leg.whole and leg.name != "step" else pick(sides, rng))
        if kind in PARTS or kind == "named":
            return Change(kind, pick(list(self.donors[kind]), rng))
        return Change(kind)

    def may_start(self, change: Change, before: Measures) -> Flags:
        """Which poses a change makes sense of; whether it works out, `attempt` says.

        Args:
            change: the change.
            before: measurements of the poses.
        """
        everything = np.ones(len(before["torso.tilt"]), dtype=bool)
        kind, name, side = change
        if kind in self.states:
            state = self.states[kind][name]
            if side == "both":
                return state.may_start(before, "left") & state.may_start(before, "right")
            return state.may_start(before, side)
        if kind in SMALL:
            return in_ranges(SMALL[kind].before, before, side)
        if kind in ARM_KINDS:
            return ~self.states["arm"][ARM_KINDS[kind]].holds(before, side)
        if kind in ("arm_straight", "arm_bent"):
            angle = before[f"{side}_elbow.angle"]
            return angle < 120 if kind == "arm_straight" else angle > 145
        if kind in TURNS:
            return before["torso.tilt"] < 45
        if kind == "other_too":
            # Only where one arm hangs it is clear which one the other should do as.
            hanging = self.states["arm"]["hanging"]
            return hanging.holds(before, _other(side)) & ~hanging.holds(before, side)
        if kind == "roll_over":
            return in_ranges(_LYING, before) & (np.abs(before["torso.facing"]) > 45)
        return everything

    def attempt(
        self, first: torch.Tensor, before: Measures, changes: list[Change], rng: np.random.Generator
    ) -> tuple[torch.Tensor, Flags]:
        """Applies a change to each pose.

        Args:
            first: (n, 22, 3, 3) poses, heading removed.
            before: their measurements.
            changes: n changes.
            rng: source of noise and of the size of small changes.

        Returns:
            (n, 22, 3, 3) changed poses, and which of them are true, plausible and in balance.
        """
        second = first.clone()
        groups: dict[Change, list[int]] = {}
        for row, change in enumerate(changes):
            groups.setdefault(change, []).append(row)
        allowed = self._off_balance(first)
        noise = add_noise(torch.eye(3).expand_as(first), rng, NAMED_NOISE)
        turns = heading_rotation(torch.from_numpy(heading(to_y_up(first)[:, 0].double().numpy())).to(first))
        few = {name: before[name] for name in _DECIDING}
        for change, rows in groups.items():
            own = {name: values[rows] for name, values in few.items()}
            second[rows], limit = self._apply(change, first[rows], own, noise[rows], turns[rows], rng)
            allowed[rows] = torch.maximum(allowed[rows], limit) if change.kind == "base" else allowed[rows] + limit
        joints = [self.composer.body.forward_joints(poses).numpy() for poses in (first, second)]
        after = measure(joints[1], second)
        moved = [each - each[:, :1] for each in joints]
        distance = np.linalg.norm(moved[0] - moved[1], axis=-1)
        true = np.zeros(len(first), dtype=bool)
        for change, rows in groups.items():
            true[rows] = self._holds(change, before, after, distance)[rows]
        good = is_plausible(second, self.composer.body, self.composer.capsules)
        good &= self._off_balance(second) <= allowed.clamp(min=BALANCE_MARGIN)
        return second, true & good.numpy()

    def _off_balance(self, poses: torch.Tensor) -> torch.Tensor:
        return off_balance(poses, self.composer.body, self.composer.capsules)

    def _apply(
        self,
        change: Change,
        poses: torch.Tensor,
        before: Measures,
        noise: torch.Tensor,
        turns: torch.Tensor,
        rng: np.random.Generator,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The changed poses, and (n,) meters by which they may be off balance beyond their first poses.

        `noise` is added to donors, and `turns` are their headings.
        """
        kind, name, side = change
        changed, free = poses.clone(), torch.zeros(len(poses))
        whole = torch.full((len(poses),), torch.inf)
        if kind in TURNS:
            return rotate_heading(poses, torch.full((len(poses),), TURNS[kind])), whole
        if kind in ("mirror", "swap"):
            joints = _ALL if kind == "mirror" else [*_LIMBS["left_arm"], *_LIMBS["right_arm"]]
            changed[:, joints] = mirror_pose(poses)[:, joints]
            return changed, whole if kind == "mirror" else free
        if kind == "other_too":
            joints = _LIMBS[f"{_other(side)}_arm"]
            changed[:, joints] = mirror_pose(poses)[:, joints]
            return changed, free
        if kind in SMALL or kind in ("arm_straight", "arm_bent"):
            return self._part_of_the_way(change, poses, rng), free
        donor = rotate_globally(self._donor(change, poses, before) @ noise, turns)
        if kind in ("named", "posture", "reset", "roll_over"):
            return donor, whole
        if kind == "base":
            replaced = torch.zeros(len(poses), len(_ALL), dtype=torch.bool)
            replaced[:, _BASE] = True
            replaced[torch.from_numpy(~self._keeps_arms(name, before))] = True
            return torch.where(replaced[..., None, None], donor, poses), self._off_balance(donor)
        joints = self.joints(change)
        changed[:, joints] = donor[:, joints]
        return changed, free

    def joints(self, change: Change) -> list[int]:
        """The joints that a change of a part may move; all of them for other kinds."""
        kind, name, side = change
        sides = SIDES if side in ("both", "") else (side,)
        if kind in ARM_KINDS or kind == "arm":
            return [index for each in sides for index in _LIMBS[f"{each}_arm"]]
        if kind in ("arm_straight", "arm_bent", "elbow_bend", "elbow_straighten"):
            return [JOINT_NAMES.index(f"{side}_elbow")]
        part = SMALL[kind].part if kind in SMALL else kind
        if part == "arm":
            return _LIMBS[f"{side}_arm"]
        if part in ("head", "trunk"):
            return _LIMBS["head"] if part == "head" else _SPINE
        if part == "base":
            return _BASE
        if part != "leg":
            return _ALL
        state = self.states["leg"][SMALL[kind].state if kind in SMALL else name]
        if state.whole:
            sides = SIDES
        names = state.joints or ("hip", "knee", "ankle", "foot")
        wanted = {f"{each}_{joint}" for joint in names for each in sides} | set(names)
        return [index for index, joint in enumerate(JOINT_NAMES) if joint in wanted]

    def _donor(self, change: Change, poses: torch.Tensor, before: Measures) -> torch.Tensor:
        """(n, 22, 3, 3) the poses that the changed parts are taken from."""
        kind, name, side = change
        if kind == "roll_over":
            back, front = self.donors["posture"]["lie_back"], self.donors["posture"]["lie_front"]
            up = torch.from_numpy(before["torso.facing"] > 0)[:, None, None, None]
            return torch.where(up, front, back)
        if kind == "reset":
            pose = self.donors["base"]["stand"]
        elif kind in ARM_KINDS:
            pose = self.donors["arm"][ARM_KINDS[kind]]
        else:
            pose = self.donors[kind][name]
        if kind in ("arm", "leg", *ARM_KINDS):
            other = mirror_pose(pose[None])[0]
            pose = other if side == "right" else pose
            if side == "both":
                pose = pose.clone()
                right = [*_LIMBS["right_arm"], *_LIMBS["right_leg"]]
                pose[right] = other[right]
        return pose.expand(len(poses), *pose.shape)

    def _keeps_arms(self, name: str, before: Measures) -> Flags:
        """Whether arms and head stay where legs and torso change to a base."""
        free = (before["left_hand.ground"] > FREE_HAND) & (before["right_hand.ground"] > FREE_HAND)
        return free & (before["torso.tilt"] < UPRIGHT) & (name != "bow")

    def _part_of_the_way(self, change: Change, poses: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Part of the way to the state of a small change, or all of it to an angle of the elbow."""
        kind, _, side = change
        joints = self.joints(change)
        if kind in ELBOWS:
            sign = -1.0 if side == "left" else 1.0
            bend = torch.tensor([0.0, sign * np.radians(ELBOWS[kind]), 0.0]).float()
            goal = roma.rotvec_to_rotmat(bend).expand(len(poses), 1, 3, 3)
        else:
            small = SMALL[kind]
            donor = self._donor(Change(small.part, small.state, side), poses, {})
            goal = donor[:, joints]
        step = rng.uniform(*SMALL_STEP, len(poses)) if kind in SMALL else rng.uniform(0.9, 1.0, len(poses))
        way = roma.rotmat_to_rotvec(poses[:, joints].mT @ goal) * torch.from_numpy(step).float()[:, None, None]
        changed = poses.clone()
        changed[:, joints] = poses[:, joints] @ roma.rotvec_to_rotmat(way)
        return changed

    def _holds(self, change: Change, before: Measures, after: Measures, distance: Array) -> Flags:
        """Of which poses the change is what its text says."""
        kind, name, side = change
        moved = distance.max(axis=1) > MIN_MOTION
        if kind in TURNS:
            return np.ones(len(moved), dtype=bool)
        if kind in SMALL:
            small = SMALL[kind]
            difference = after[small.measurement.format(side=side)] - before[small.measurement.format(side=side)]
            return (difference >= small.least) & (difference <= small.most)
        if kind in ("arm_straight", "arm_bent"):
            angle = after[f"{side}_elbow.angle"]
            return moved & (angle > 160 if kind == "arm_straight" else np.abs(angle - 90) < 15)
        if kind in ARM_KINDS or kind == "arm":
            state = self.states["arm"][ARM_KINDS.get(kind, name)]
            return np.all([self._arm_holds(state, each, after, distance) for each in _sides(side)], axis=0)
        if kind in ("other_too", "swap"):
            wrists = [distance[:, JOINT_NAMES.index(f"{each}_wrist")] for each in _sides(side and _other(side))]
            return np.max(wrists, axis=0) > MIN_HAND_MOTION
        if kind in self.states and kind != "posture":
            state = self.states[kind][name]
            return np.all([state.holds(after, each) for each in _sides(side)], axis=0) & (moved | (kind == "head"))
        return distance.mean(axis=1) > MIN_MOTION

    @staticmethod
    def _arm_holds(state: LimbState, side: str, after: Measures, distance: Array) -> Flags:
        return state.holds(after, side) & (distance[:, JOINT_NAMES.index(f"{side}_wrist")] > MIN_HAND_MOTION)


def _other(side: str) -> str:
    return "right" if side == "left" else "left"


def _sides(side: str) -> tuple[str, ...]:
    """The sides that a change is about, for a measurement; "" where it has none."""
    return SIDES if side == "both" else (side,) if side else ("left",)
