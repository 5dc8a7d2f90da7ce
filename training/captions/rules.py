"""What a posecode is, and what a rule about one is: the measurements that make it true and how much it is worth.

The tables of rules are in `elementary` and `super_codes`; `posecodes` puts them together.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from unipose.training.captions.measures import Array
from unipose.training.geometry import swap_sides


# How far a measurement may miss its range and still count as fitting.
TOLERANCE_DEGREES = 5.0
TOLERANCE_METRES = 0.05
DEGREES = frozenset(
    {"angle", "tilt", "pitch", "facing", "slope"}
    | {f"{quantity}_{side}" for quantity in ("lean", "twist", "tilt", "turn") for side in ("left", "right")}
)

INF = float("inf")

Group = tuple[str, str]
# rare: never left out. eligible: said, but now and then left out. trivial: true of so many poses that it is said only
# where there is little else to say. support: never extracted, but read, and said in place of what it sums up.
Worth = Literal["rare", "eligible", "trivial", "support"]


@dataclass(frozen=True, order=True)
class Posecode:
    """One statement: `subject`, a body part, has `value` in the sense of `kind`: ("bend", "left_knee", "straight")."""

    kind: str
    subject: str
    value: str

    @property
    def group(self) -> Group:
        """Codes of one group exclude each other."""
        return self.kind, self.subject

    @property
    def part(self) -> str:
        """The subject without its side."""
        return self.subject.removeprefix("left_").removeprefix("right_")

    def mirrored(self) -> "Posecode":
        """The same statement about the pose seen in a mirror."""
        return Posecode(self.kind, swap_sides(self.subject), swap_sides(self.value))


@dataclass(frozen=True)
class Range:
    """`low` <= measurement < `high`."""

    measure: str
    low: float = -INF
    high: float = INF

    @property
    def unit(self) -> float:
        """The tolerance of the measurement, in its unit."""
        return TOLERANCE_DEGREES if self.measure.partition(".")[2] in DEGREES else TOLERANCE_METRES

    def fits(self, measures: dict[str, Array], tolerance: float) -> npt.NDArray[np.bool_]:
        """Whether the measurement lies in the range widened by `tolerance` times the unit's tolerance; (n,)."""
        value, slack = measures[self.measure], tolerance * self.unit
        return (value >= self.low - slack) & (value < self.high + slack)


@dataclass(frozen=True)
class Rule:
    """When a code is true (`says`), when it is worth saying (`when`), and which other groups it makes superfluous."""

    code: Posecode
    says: tuple[Range, ...]
    worth: Worth = "eligible"
    when: tuple[Range, ...] = ()
    replaces: tuple[Group, ...] = ()

    def mirrored(self) -> "Rule":
        return Rule(
            self.code.mirrored(),
            tuple(replace(item, measure=swap_sides(item.measure)) for item in self.says),
            self.worth,
            tuple(replace(item, measure=swap_sides(item.measure)) for item in self.when),
            tuple((kind, swap_sides(subject)) for kind, subject in self.replaces),
        )


def both_sides(rules: Iterable[Rule]) -> Iterable[Rule]:
    """Each rule, and its mirror image where that is another code."""
    for rule in rules:
        yield rule
        if rule.code.mirrored() != rule.code:
            yield rule.mirrored()


def pair(measure: str, low: float = -INF, high: float = INF) -> tuple[Range, Range]:
    """The same range for the left and the right part."""
    return Range(f"left_{measure}", low, high), Range(f"right_{measure}", low, high)


def groups(*names: str) -> tuple[Group, ...]:
    """("bend:knee", ...) -> the groups of both sides; a name with a "=" is that of one group: "torso=torso"."""
    found: list[Group] = []
    for name in names:
        kind, single, subject = name.partition("=")
        if single:
            found.append((kind, subject))
            continue
        kind, _, part = name.partition(":")
        found += [(kind, f"{side}_{part}") for side in ("left", "right")]
    return tuple(found)
