"""Elementary and super statements about a pose, read off its joints.

Joints are measured (`measures.measure`), measurements are compared with ranges (`RULES`, from the tables of
`elementary` and `super_codes`), and every rule that fits is a `Posecode`: "bend, left knee, straight". The words are
in `phrases`. The method is that of PoseScript (Delmas et al., ECCV 2022); measures, ranges and words are our own.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np
import numpy.typing as npt

from unipose.training.captions.elementary import elementary_rules
from unipose.training.captions.measures import Array, measure
from unipose.training.captions.rules import Group, Posecode, Range, Rule, both_sides
from unipose.training.captions.super_codes import super_rules


__all__ = ["CODES", "RULES", "Posecode", "Range", "Rule", "extract_posecodes", "holding", "holds"]

Flags = npt.NDArray[np.bool_]

# Super codes come first, so that what they replace is known when an elementary code is looked at.
RULES: dict[Posecode, Rule] = {
    rule.code: rule for rules in (super_rules(), elementary_rules()) for rule in both_sides(rules)
}
CODES: tuple[Posecode, ...] = tuple(RULES)
# Trivial codes are worth saying of poses that have fewer other codes than this.
FEW = 6


def holds(
    code: Posecode, joints: npt.ArrayLike, tolerance: float = 1.0, rotmats: npt.ArrayLike | None = None
) -> Flags:
    """Whether a statement is true of each of (n, 22, 3) joints.

    Args:
        code: one of `CODES`.
        joints: (n, 22, 3), metres, y up.
        tolerance: how far outside its range a measurement may lie, in units of 5 degrees and 0.05 m.
        rotmats: (n, 22, 3, 3), any frame; without them nothing about a turn of the head holds (see `measure`).

    Returns:
        (n,) booleans.
    """
    return holding((code,), joints, tolerance, rotmats)[0]


def holding(
    codes: Iterable[Posecode], joints: npt.ArrayLike, tolerance: float = 1.0, rotmats: npt.ArrayLike | None = None
) -> Flags:
    """`holds` for several codes, measuring once: (codes, n) booleans."""
    measures = measure(joints, rotmats)
    held = [np.logical_and.reduce([item.fits(measures, tolerance) for item in RULES[code].says]) for code in codes]
    return np.stack(held) if held else np.zeros((0, len(np.asarray(joints))), dtype=bool)


def extract_posecodes(
    joints: npt.ArrayLike, jitter: np.random.Generator | None = None, rotmats: npt.ArrayLike | None = None
) -> list[tuple[Posecode, ...]]:
    """What is worth saying about each pose.

    Args:
        joints: (n, 22, 3), metres, y up.
        jitter: when given, every measurement is first moved by uniform noise of up to its tolerance, so that borders
            between values are not razor-sharp in a corpus.
        rotmats: (n, 22, 3, 3), the rotations of the same poses, any frame; they show turns of the head.

    Returns:
        For each pose its codes, in table order: at most one per group, and none that a super code makes superfluous.
        Trivial codes are among them only where there is little else to say.
    """
    measures = measure(joints, rotmats)
    if jitter is not None:
        measures = {name: value + _noise(name, value.shape, jitter) for name, value in measures.items()}
    said = _drop_superfluous(_true(measures))
    worth = np.array([RULES[code].worth for code in CODES])
    trivial = np.isin(worth, ("trivial",))[:, None]
    said &= ~np.isin(worth, ("support",))[:, None]
    said &= ~trivial | ((said & ~trivial).sum(axis=0) < FEW)
    return [tuple([CODES[row] for row in np.flatnonzero(column).tolist()]) for column in said.T]


@cache
def _ranges() -> tuple[list[str], npt.NDArray[np.int64], Array, Array, npt.NDArray[np.int64]]:
    """Every range of every rule: names of measures; of each range which one, low, high; where each rule starts."""
    flat: list[Range] = []
    starts: list[int] = []
    for rule in RULES.values():
        starts.append(len(flat))
        flat += rule.says + rule.when
    names = list(dict.fromkeys(item.measure for item in flat))
    which = np.array([names.index(item.measure) for item in flat])
    low, high = np.array([item.low for item in flat]), np.array([item.high for item in flat])
    return names, which, low[:, None], high[:, None], np.array(starts)


def _true(measures: dict[str, Array]) -> Flags:
    """Which rules fit and are worth saying, all ranges compared at once; (codes, n)."""
    names, which, low, high, starts = _ranges()
    values = np.stack([measures[name] for name in names])[which]
    return np.logical_and.reduceat((values >= low) & (values < high), starts, axis=0)


def _drop_superfluous(true: Flags) -> Flags:
    """Keeps the first true code of a group, and no code of a group that a true super code replaces; (codes, n)."""
    kept = true.copy()
    taken: dict[Group, Flags] = {}
    for row, code in enumerate(CODES):
        known = taken.get(code.group)
        if known is not None:
            kept[row] &= ~known
        for group in (code.group, *RULES[code].replaces):
            taken[group] = taken[group] | kept[row] if group in taken else kept[row].copy()
    return kept


def _noise(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    unit = Range(name).unit
    return generator.uniform(-unit, unit, shape)
