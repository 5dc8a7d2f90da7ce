"""People's words for the parts of a pose: states of an arm, of the head, and of legs with torso (`wordings/limbs`)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import yaml
from numpy.random import Generator

from unipose.training.geometry import swap_sides
from unipose.training.named_poses.chance import pick
from unipose.training.named_poses.wordings import WORDINGS_FOLDER


LIMBS_FOLDER = WORDINGS_FOLDER / "limbs"
# Parts that a wording of an arm names with its side, and things that have none of their own.
_SIDED = re.compile(r"\{(arm|hand|elbow|forearm|fist|palm)\}")
_PLAIN = re.compile(r"\{(hip)\}")
Array = np.typing.NDArray[np.float64]


@dataclass(frozen=True)
class LimbState:
    """A state of a part of the body.

    Args:
        name: such as "on_hip".
        donor: the named pose that it is taken from; of an arm it is the left one.
        ranges: measurement -> least and most; of an arm with "{side}".
        do: verb phrases in the base form, further verbs marked with "*".
        states: phrases that follow "with", or "is" (of legs with torso).
        both: whether one phrase may be about both arms.
        plain: whether it may be left unsaid.
    """

    name: str
    donor: str
    ranges: Mapping[str, tuple[float, float]]
    do: tuple[str, ...]
    states: tuple[str, ...]
    both: bool = False
    plain: bool = False

    def mirrored(self) -> "LimbState":
        """The state of the mirrored body."""
        return LimbState(
            swap_sides(self.name),
            swap_sides(self.donor),
            {swap_sides(name): limits for name, limits in self.ranges.items()},
            tuple(map(swap_sides, self.do)),
            tuple(map(swap_sides, self.states)),
            self.both,
            self.plain,
        )

    def holds(self, measures: Mapping[str, Array], side: str = "") -> np.typing.NDArray[np.bool_]:
        """Of which poses the state is true.

        Args:
            measures: of `captions.measures.measure`.
            side: "left" or "right", of an arm.
        """
        true = [
            (measures[name.format(side=side)] >= least) & (measures[name.format(side=side)] <= most)
            for name, (least, most) in self.ranges.items()
        ]
        return np.all(true, axis=0)


@cache
def load_limbs(kind: str) -> tuple[LimbState, ...]:
    """The states of "arms", "heads" or "bases", mirrored ones included.

    Args:
        kind: a file of `LIMBS_FOLDER`.
    """
    entries = yaml.safe_load((LIMBS_FOLDER / f"{kind}.yaml").read_text("utf-8"))
    states = [_state(name, entry) for name, entry in entries.items()]
    if kind == "arms":
        return tuple(states)
    return tuple({each.name: each for state in states for each in (state, state.mirrored())}.values())


def arm_text(text: str, side: str, rng: Generator) -> str:
    """A wording of an arm with its parts named.

    Args:
        text: with placeholders such as {hand}.
        side: "left", "right" or "both".
        rng: draws the article.
    """
    owner = pick(("the ", "{their} ", "both " if side == "both" else "{their} "), rng)
    if side == "both":
        text = text.replace("a finger of {hand}", "a finger of each hand")
        return _PLAIN.sub(r"\1s", _SIDED.sub(lambda match: f"{owner}{match[1]}s", text))
    return _PLAIN.sub(r"\1", _SIDED.sub(lambda match: f"{owner}{side} {match[1]}", text))


def _state(name: str, entry: dict[str, Any]) -> LimbState:
    ranges = {
        measure: (-np.inf if least is None else least, np.inf if most is None else most)
        for measure, (least, most) in entry["ranges"].items()
    }
    states = entry["with"] if "with" in entry else entry["be"]
    return LimbState(
        name,
        entry["donor"],
        ranges,
        tuple(entry["do"]),
        tuple(states),
        entry.get("both", False),
        entry.get("plain", False),
    )
