"""Extracts elementary and super posecodes from the joints of a pose.

Joints are measured (`measures.measure`), measurements are compared with ranges (`RULES`, from the tables of
`elementary_posecodes` and `super_posecodes`), and every rule that fits gives a `Posecode`: "bend, left knee,
straight". The words are in `posecode_phrases`. The method is that of PoseScript (Delmas et al., ECCV 2022); measures,
ranges and words are our own.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np
import numpy.typing as npt

from unipose.training.captions.codes import (
    Flags,
    Group,
    Posecode,
    Rule,
    RuleTable,
    add_noise,
    both_sides,
    drop_replaced,
)
from unipose.training.captions.elementary_posecodes import elementary_rules
from unipose.training.captions.measures import measure
from unipose.training.captions.super_posecodes import super_rules


__all__ = ["CODES", "RULES", "Posecode", "extract_posecodes", "holding"]

# Super codes come first: they replace elementary codes.
RULES: dict[Posecode, Rule[Posecode, str]] = {
    rule.code: rule for rules in (super_rules(), elementary_rules()) for rule in both_sides(rules)
}
CODES: tuple[Posecode, ...] = tuple(RULES)
# Ignored codes are stated of poses that have fewer other codes than this.
MIN_CODES = 6


def holding(
    codes: Iterable[Posecode], joints: npt.ArrayLike, tolerance: float = 1.0, rotmats: npt.ArrayLike | None = None
) -> Flags:
    """Whether statements are true of each pose.

    Args:
        codes: some of `CODES`.
        joints: (n, 22, 3), meters, y up.
        tolerance: largest distance of a measurement from its range, in units of 5 degrees and 0.05 m.
        rotmats: (n, 22, 3, 3), any frame; without them nothing about a rotation of the head holds (see `measure`).

    Returns:
        (codes, n) booleans.
    """
    conditions = [RULES[code].ranges for code in codes]
    if not conditions:
        return np.zeros((0, len(np.asarray(joints))), dtype=bool)
    return RuleTable(conditions).evaluate(measure(joints, rotmats), tolerance)


def extract_posecodes(
    joints: npt.ArrayLike, jitter: np.random.Generator | None = None, rotmats: npt.ArrayLike | None = None
) -> list[tuple[Posecode, ...]]:
    """The codes to state of each pose.

    Args:
        joints: (n, 22, 3), meters, y up.
        jitter: source of uniform noise of up to the tolerance that is added to every measurement; None: no noise.
        rotmats: (n, 22, 3, 3), the rotations of the same poses, any frame; they show rotations of the head.

    Returns:
        For each pose its codes, in table order: at most one per group, and none that a super code replaces.
        Ignored codes are among them only where there are few others.
    """
    measures = measure(joints, rotmats)
    if jitter is not None:
        measures = add_noise(measures, jitter)
    kept = drop_replaced(_rule_table().evaluate(measures), _replaced_rows())
    eligibility = np.array([RULES[code].eligibility for code in CODES])[:, None]
    ignored = eligibility == "ignored"
    kept &= eligibility != "support"
    kept &= ~ignored | ((kept & ~ignored).sum(axis=0) < MIN_CODES)
    return [tuple([CODES[row] for row in np.flatnonzero(column).tolist()]) for column in kept.T]


@cache
def _rule_table() -> RuleTable[str]:
    return RuleTable(rule.ranges + rule.condition for rule in RULES.values())


@cache
def _replaced_rows() -> dict[int, list[int]]:
    """Row of a code -> the later rows of its own group and of the groups that it replaces."""
    rows: dict[Group, list[int]] = {}
    for row, code in enumerate(CODES):
        rows.setdefault(code.group, []).append(row)
    return {
        row: [other for group in (code.group, *RULES[code].replaces) for other in rows.get(group, ()) if other > row]
        for row, code in enumerate(CODES)
    }
