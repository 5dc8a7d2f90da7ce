"""The shared kernel of posecodes and paircodes: codes, ranges of measurements, rules, and their evaluation.

A `Code` is one statement. A `Rule` says in which `Range` of which measurements its code is true, and how much it is
worth in a text. `RuleTable` compares all ranges with all measurements at once. The tables of rules are in
`elementary_posecodes`, `super_posecodes` and `paircode_rules`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from unipose.training.geometry import swap_sides


Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
# What changes between two poses and which way: kind, subject, value.
Key = tuple[str, str, str]
# "left_knee.angle" of one pose, or ("move", "left_hand", "up") of a pair of poses.
Measure = TypeVar("Measure", str, Key)
# Kind and subject: posecodes of one group exclude each other.
Group = tuple[str, str]

# How far a measurement may lie outside its range and still fit.
TOLERANCE_DEGREES = 5.0
TOLERANCE_METERS = 0.05
# The quantities that are measured in degrees, of a pose and of a pair; all others are in meters.
DEGREES = frozenset(
    {"angle", "tilt", "pitch", "facing", "slope"}
    | {f"{quantity}_{side}" for quantity in ("lean", "twist", "tilt", "rotation") for side in ("left", "right")}
    | {"heading", "bend", "torso", "twist", "lean", "head", "head_rotation", "head_tilt", "swing", "after"}
)
INF = float("inf")

# PoseScript's kinds of codes. rare: always stated. eligible: stated, but dropped at random. ignored: true of so many
# poses that they are stated only where there is little else. support: never extracted, but read, and stated in place
# of the codes that they sum up.
Eligibility = Literal["rare", "eligible", "ignored", "support"]

CodeT = TypeVar("CodeT", bound="Code")


@dataclass(frozen=True, order=True)
class Code:
    """One statement: `subject`, a body part, has `value` in the sense of `kind`."""

    kind: str
    subject: str
    value: str

    @property
    def part(self) -> str:
        """The subject without its side."""
        return self.subject.removeprefix("left_").removeprefix("right_")

    def mirrored(self: CodeT) -> CodeT:
        """The same statement about the body seen in a mirror."""
        return _mirrored_code(self)


@dataclass(frozen=True, order=True)
class Posecode(Code):
    """One statement about a pose: ("bend", "left_knee", "straight")."""

    @property
    def group(self) -> Group:
        """Posecodes of one group exclude each other."""
        return self.kind, self.subject


@dataclass(frozen=True)
class Range(Generic[Measure]):
    """`low` <= measurement < `high`."""

    measure: Measure
    low: float = -INF
    high: float = INF

    @property
    def tolerance(self) -> float:
        """How far outside the range a measurement still fits, in degrees or meters."""
        return tolerance_of(self.measure)

    def mirrored(self) -> "Range[Measure]":
        """The same range of the measurement on the other side of the body."""
        return replace(self, measure=_mirrored_measure(self.measure))


@dataclass(frozen=True)
class Rule(Generic[CodeT, Measure]):
    """When a code is true and when it is stated.

    Args:
        code: the code.
        ranges: it is true where all of these fit.
        eligibility: its weight in a text.
        condition: it is stated only where these fit too.
        replaces: other groups that it makes superfluous.
    """

    code: CodeT
    ranges: tuple[Range[Measure], ...]
    eligibility: Eligibility = "eligible"
    condition: tuple[Range[Measure], ...] = ()
    replaces: tuple[Group, ...] = ()

    def mirrored(self) -> "Rule[CodeT, Measure]":
        """The rule of the mirrored code."""
        return Rule(
            self.code.mirrored(),
            tuple(item.mirrored() for item in self.ranges),
            self.eligibility,
            tuple(item.mirrored() for item in self.condition),
            tuple((kind, swap_sides(subject)) for kind, subject in self.replaces),
        )


class RuleTable(Generic[Measure]):
    """Conditions on measurements, each a conjunction of ranges, that are evaluated all at once.

    Args:
        conditions: the ranges of each condition, one or more.
    """

    def __init__(self, conditions: Iterable[tuple[Range[Measure], ...]]) -> None:
        flat: list[Range[Measure]] = []
        starts: list[int] = []
        for ranges in conditions:
            starts.append(len(flat))
            flat += ranges
        column: dict[Measure, int] = {}
        self._columns = [column.setdefault(item.measure, len(column)) for item in flat]
        self._measures: list[Measure] = list(column)
        self._starts = starts
        self._low, self._high, self._tolerance = (
            np.array(values, dtype=np.float64)[:, None]
            for values in zip(*((item.low, item.high, item.tolerance) for item in flat))
        )

    def evaluate(self, measures: Mapping[Measure, Array], tolerance: float = 0.0) -> Flags:
        """Which conditions hold.

        Args:
            measures: (n,) values by name; what is missing, or NaN, fits no range.
            tolerance: largest distance of a value from its range, in units of 5 degrees and 0.05 m.

        Returns:
            (conditions, n) booleans.
        """
        missing = np.full(len(next(iter(measures.values()))), np.nan)
        values = np.stack([measures.get(name, missing) for name in self._measures])[self._columns]
        slack = tolerance * self._tolerance
        fits = (values >= self._low - slack) & (values < self._high + slack)
        return np.logical_and.reduceat(fits, self._starts, axis=0)


def tolerance_of(measure: str | Key) -> float:
    """How far a measurement may lie outside a range and still fit, in degrees or meters."""
    quantity = measure.partition(".")[2] if isinstance(measure, str) else measure[0]
    return TOLERANCE_DEGREES if quantity in DEGREES else TOLERANCE_METERS


# Cached, because every description needs many of them.
@cache
def _mirrored_code(code: CodeT) -> CodeT:
    return replace(code, subject=swap_sides(code.subject), value=swap_sides(code.value))


def _mirrored_measure(measure: Measure) -> Measure:
    if isinstance(measure, str):
        return swap_sides(measure)
    kind, subject, value = measure
    return kind, swap_sides(subject), swap_sides(value)


def add_noise(measures: Mapping[Measure, Array], rng: np.random.Generator) -> dict[Measure, Array]:
    """Moves each measurement by uniform noise of up to its tolerance: borders between values are soft in a corpus.

    Args:
        measures: (n,) values by name.
        rng: the source of the noise.
    """
    noisy = {}
    for name, value in measures.items():
        tolerance = tolerance_of(name)
        noisy[name] = value + rng.uniform(-tolerance, tolerance, value.shape)
    return noisy


def drop_replaced(true: Flags, replaced: Mapping[int, Sequence[int]]) -> Flags:
    """Removes the codes that a true code replaces.

    Args:
        true: (codes, n), which codes are true.
        replaced: row of a code -> the rows that it replaces, in the order in which codes are looked at.

    Returns:
        (codes, n), the codes that are left.
    """
    kept = true.copy()
    for row, others in replaced.items():
        kept[others] &= ~kept[row]
    return kept


def both_sides(rules: Iterable[Rule[CodeT, Measure]]) -> Iterator[Rule[CodeT, Measure]]:
    """Each rule, and its mirror image where that is another code."""
    for rule in rules:
        yield rule
        if rule.code.mirrored() != rule.code:
            yield rule.mirrored()


def pair(measure: str, low: float = -INF, high: float = INF) -> tuple[Range[str], Range[str]]:
    """The same range for the left and the right part.

    Args:
        measure: the measurement without its side: "knee.angle".
        low: the least value that fits.
        high: the least value beyond the range.
    """
    return Range(f"left_{measure}", low, high), Range(f"right_{measure}", low, high)


def groups(*names: str) -> tuple[Group, ...]:
    """The groups that names stand for.

    Args:
        *names: "bend:knee" stands for the groups of both sides, "torso=torso" for one group.
    """
    found: list[Group] = []
    for name in names:
        kind, single, subject = name.partition("=")
        if single:
            found.append((kind, subject))
            continue
        kind, _, part = name.partition(":")
        found += [(kind, f"{side}_{part}") for side in ("left", "right")]
    return tuple(found)
