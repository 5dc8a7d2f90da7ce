"""People's words for the parts of a pose: arms, head, legs and trunk, and for whole postures (`wordings/limbs`)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from unipose.processing.pose_features import to_z_up
from unipose.training.geometry import remove_heading, swap_sides
from unipose.training.io import read_yaml
from unipose.training.named_poses.archetypes import archetype_poses
from unipose.training.named_poses.chance import pick
from unipose.training.named_poses.joint_angles import Angles, poses_from_angles
from unipose.training.named_poses.wordings import WORDINGS_FOLDER


LIMBS_FOLDER = WORDINGS_FOLDER / "limbs"
# Parts that a wording of an arm names with its side, and things that have none of their own.
_SIDED = re.compile(r"\{(arm|hand|elbow|forearm|fist|palm|leg|knee|foot)\}")
_PLURALS = {"foot": "feet"}
_PLAIN = re.compile(r"\{(hip)\}")
Array = np.typing.NDArray[np.float64]
Flags = np.typing.NDArray[np.bool_]
Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class LimbState:
    """A state of a part of the body.

    Args:
        name: such as "on_hip".
        donor: the named pose that it is taken from; of an arm it is the left one.
        ranges: measurement -> least and most; of an arm with "{side}".
        do: verb phrases in the base form, further verbs marked with "*".
        states: phrases that follow "with", or "is" (of legs with torso).
        both: whether one phrase may be about both sides.
        plain: whether it may be left unsaid.
        before: of a change: the ranges that it starts from.
        joints: names without their side of the joints that a change replaces; all of the part where empty.
        whole: of legs: whether it is about both legs at once.
        angles: joint angles of the donor, where that is no named pose (see `joint_angles`).
    """

    name: str
    donor: str
    ranges: Ranges
    do: tuple[str, ...]
    states: tuple[str, ...]
    both: bool = False
    plain: bool = False
    before: Ranges = field(default_factory=dict)
    joints: tuple[str, ...] = ()
    whole: bool = False
    angles: Angles | None = None

    def mirrored(self) -> "LimbState":
        """The state of the mirrored body."""
        return replace(
            self,
            name=swap_sides(self.name),
            donor=swap_sides(self.donor),
            ranges={swap_sides(name): limits for name, limits in self.ranges.items()},
            do=tuple(map(swap_sides, self.do)),
            states=tuple(map(swap_sides, self.states)),
            before={swap_sides(name): limits for name, limits in self.before.items()},
            angles=None if self.angles is None else {swap_sides(name): each for name, each in self.angles.items()},
        )

    def holds(self, measures: Mapping[str, Array], side: str = "") -> Flags:
        """Of which poses the state is true.

        Args:
            measures: of `captions.measures.measure`.
            side: "left" or "right", of an arm or a leg.
        """
        return in_ranges(self.ranges, measures, side)

    def may_start(self, measures: Mapping[str, Array], side: str = "") -> Flags:
        """Which poses a change to this state may start from.

        Args:
            measures: of `captions.measures.measure`.
            side: "left" or "right", of an arm or a leg.
        """
        return in_ranges(self.before, measures, side) & ~self.holds(measures, side)


def in_ranges(ranges: Ranges, measures: Mapping[str, Array], side: str = "") -> Flags:
    """Which poses have all measurements in their ranges.

    Args:
        ranges: measurement, which may have "{side}" and "{other}" -> least and most.
        measures: of `captions.measures.measure`.
        side: "left" or "right".
    """
    true = np.ones(len(next(iter(measures.values()))), dtype=bool)
    other = "right" if side == "left" else "left"
    for name, (least, most) in ranges.items():
        values = measures[name.format(side=side, other=other)]
        true &= (values >= least) & (values <= most)
    return true


@cache
def load_limbs(kind: str) -> tuple[LimbState, ...]:
    """The states of "arms", "heads", "bases", "legs", "trunks" or "postures", mirrored ones included.

    Args:
        kind: a file of `LIMBS_FOLDER`.
    """
    entries = read_yaml(LIMBS_FOLDER / f"{kind}.yaml")
    states = [_state(name, entry) for name, entry in entries.items()]
    if kind in ("arms", "legs"):
        return tuple(states)
    return tuple({each.name: each for state in states for each in (state, state.mirrored())}.values())


@cache
def load_edit_wordings() -> dict[str, list[str]]:
    """Wordings of the edits that name no state, by kind: relative ones, undoing, turns."""
    return read_yaml(LIMBS_FOLDER / "edits.yaml")


def donor_poses(states: Sequence[LimbState]) -> torch.Tensor:
    """(n, 22, 3, 3): the poses that states are taken from, in the stored frame, heading removed."""
    poses = [
        archetype_poses([state.donor])[0] if state.angles is None else to_z_up(poses_from_angles([state.angles]))[0]
        for state in states
    ]
    return remove_heading(torch.stack(poses))


def arm_text(text: str, side: str, rng: Generator) -> str:
    """A wording of an arm or a leg with its parts named.

    Args:
        text: with placeholders such as {hand}.
        side: "left", "right" or "both".
        rng: draws the article.
    """
    owner = pick(("the ", "{their} ", "both " if side == "both" else "{their} "), rng)
    if side == "both":
        text = text.replace("a finger of {hand}", "a finger of each hand").replace("the heel of {foot}", "the heels")
        return _PLAIN.sub(r"\1s", _SIDED.sub(lambda match: owner + _PLURALS.get(match[1], f"{match[1]}s"), text))
    return _PLAIN.sub(r"\1", _SIDED.sub(lambda match: f"{owner}{side} {match[1]}", text))


def _state(name: str, entry: dict[str, Any]) -> LimbState:
    states = entry["with"] if "with" in entry else entry.get("be", ())
    angles = entry.get("angles")
    return LimbState(
        name,
        entry.get("donor", ""),
        read_ranges(entry.get("ranges", {})),
        tuple(entry["do"]),
        tuple(states),
        entry.get("both", False),
        entry.get("plain", False),
        read_ranges(entry.get("before", {})),
        tuple(entry.get("joints", ())),
        entry.get("whole", False),
        None if angles is None else {joint: tuple(each) for joint, each in angles.items()},
    )


def read_ranges(entry: dict[str, list[float | None]]) -> Ranges:
    """Ranges of measurements from a file, where null is no limit."""
    return {
        measure: (-np.inf if least is None else least, np.inf if most is None else most)
        for measure, (least, most) in entry.items()
    }
