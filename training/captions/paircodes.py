"""Extracts paircodes: elementary statements about the change from pose A to pose B.

Changes are measured (`pair_measures`), compared with ranges (`paircode_rules`), and every range that fits gives a
`Paircode`: "bend, left knee, straighten, much". Postures and goals are posecodes of B that A does not have. The words
are in `paircode_phrases`. The idea of paircodes is that of PoseFix (Delmas et al., ICCV 2023); measures, words and
most ranges are our own.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np
import numpy.typing as npt

from unipose.training.captions.codes import INF, Array, Flags, Key, Range, RuleTable, add_noise, drop_replaced
from unipose.training.captions.pair_measures import SIDES, Changes, measure_pairs
from unipose.training.captions.paircode_rules import (
    ABSOLUTE,
    AMOUNTS,
    CODES,
    NEEDS_ROTATIONS,
    NONE,
    RULES,
    UNCHANGED,
    WEIGHTS,
    Paircode,
    replaced_rows,
)
from unipose.training.captions.posecodes import extract_posecodes, holding


__all__ = ["CODES", "NONE", "Paircode", "Rotations", "extract_paircodes", "paircodes_hold"]

Rotations = tuple[npt.ArrayLike, npt.ArrayLike]


def extract_paircodes(
    joints_a: npt.ArrayLike,
    joints_b: npt.ArrayLike,
    *,
    same_sequence: bool | npt.ArrayLike = False,
    rotmats: Rotations | None = None,
    jitter: np.random.Generator | None = None,
) -> list[tuple[Paircode, ...]]:
    """The codes to state for each pair.

    Args:
        joints_a: (n, 22, 3) of the first poses, meters, y up.
        joints_b: (n, 22, 3) of the second poses.
        same_sequence: whether the poses of a pair, or of each of (n,) pairs, are frames of one motion, so that a
            change of the body's heading means something.
        rotmats: (n, 22, 3, 3) rotations of A and of B, for rotations and tilts of the head.
        jitter: source of uniform noise of up to the tolerance that is added to every change; None: no noise.

    Returns:
        For each pair its codes, the most salient first and goals last; none that another one implies. `NONE` alone
        where nothing changes.

    Raises:
        ValueError: shapes differ, or a number is not finite.
    """
    changes = measure_pairs(joints_a, joints_b, rotmats)
    if jitter is not None:
        changes = add_noise(changes, jitter)
    absolute = _begun(joints_a, joints_b)
    relative = _fitting(changes, np.broadcast_to(same_sequence, changes["move", "hips", "up"].shape))
    unchanged = _unchanged(changes, 0.0)
    true = np.stack([absolute[code] if code in absolute else relative.get(code, unchanged) for code in CODES])
    kept = drop_replaced(true, replaced_rows())
    _keep_nearest(kept, changes)
    _drop_mutual(kept)
    kept[-1] &= ~kept[[row for row, code in enumerate(CODES[:-1]) if code.kind != "goal"]].any(axis=0)
    salience = np.stack([_salience(code, changes, kept.shape[1]) for code in CODES])
    return [_most_salient_first(column, salience[:, pair]) for pair, column in enumerate(kept.T)]


@cache
def _rule_tables() -> tuple[RuleTable[Key], RuleTable[Key]]:
    """When codes are true, and when they are stated too."""
    rules = RULES.values()
    return RuleTable(rule.ranges for rule in rules), RuleTable(rule.ranges + rule.condition for rule in rules)


def _fitting(changes: Changes, same_sequence: Flags) -> dict[Paircode, Flags]:
    """Relative codes to state, or where there is none those that are only true; (n,) each."""
    allowed = np.stack([same_sequence | (code.kind != "heading") for code in RULES])
    true, stated = (table.evaluate(changes) & allowed for table in _rule_tables())
    return dict(zip(RULES, np.where(stated.any(axis=0), stated, true)))


def _begun(joints_a: npt.ArrayLike, joints_b: npt.ArrayLike) -> dict[Paircode, Flags]:
    """Postures and goals that hold of B and are clearly not reached in A; (n,) each."""
    short = ~holding(ABSOLUTE.values(), joints_a, 1.0)
    present = [set(codes) for codes in extract_posecodes(joints_b)]
    return {
        code: short[row] & np.array([posecode in codes for codes in present], dtype=bool)
        for row, (code, posecode) in enumerate(ABSOLUTE.items())
    }


def _unchanged(changes: Changes, tolerance: float) -> Flags:
    """Whether every change stays below the smallest amount that is stated; (n,)."""
    small = dict.fromkeys(
        Range(code.key, high=AMOUNTS[code.kind][0][1])
        for code, rule in RULES.items()
        if code.kind in UNCHANGED and code.key == rule.ranges[0].measure and code.key in changes
    )
    return RuleTable([tuple(small)]).evaluate(changes, tolerance)[0]


def _keep_nearest(kept: Flags, changes: Changes) -> None:
    """Of the targets that a hand approaches, or leaves, keeps the one with the largest change; changes `kept`."""
    for side in SIDES:
        for way in ("to", "from"):
            rows = [
                row
                for row, code in enumerate(CODES)
                if code.kind == "reach" and code.subject == f"{side}_hand" and code.value.startswith(way)
            ]
            by = np.where(kept[rows], np.stack([changes[CODES[row].key] for row in rows]), -INF)
            kept[rows] &= by == by.max(axis=0)


def _drop_mutual(kept: Flags) -> None:
    """Drops changes of distance between hands or feet that both move out, or in; changes `kept`."""
    rows: dict[Key, list[int]] = {}
    for row, code in enumerate(CODES):
        rows.setdefault(code.key, []).append(row)
    for pair, part in (("hands", "hand"), ("feet", "foot")):
        for way, (left, right) in (("apart", SIDES), ("closer", SIDES[::-1])):
            moves = [rows["move", f"{side}_{part}", value] for side, value in zip(SIDES, (left, right))]
            kept[rows["distance", pair, way]] &= ~(kept[moves[0]].any(axis=0) & kept[moves[1]].any(axis=0))


def _salience(code: Paircode, changes: Changes, count: int) -> Array:
    """The salience of a code in each of `count` pairs: its change in units of the smallest stated one, weighted."""
    if code not in RULES or RULES[code].ranges[0].measure not in changes:
        return np.full(count, {"posture": 100.0, "goal": -1.0}.get(code.kind, 0.0))
    return WEIGHTS.get(code.kind, 1.0) * changes[RULES[code].ranges[0].measure] / AMOUNTS[code.kind][0][1]


def _most_salient_first(column: Flags, salience: Array) -> tuple[Paircode, ...]:
    rows = np.flatnonzero(column)
    return tuple(CODES[row] for row in rows[np.argsort(-salience[rows], kind="stable")])


def paircodes_hold(
    codes: Iterable[Paircode],
    joints_a: npt.ArrayLike,
    joints_b: npt.ArrayLike,
    tolerance: float = 1.0,
    rotmats: Rotations | None = None,
) -> Flags:
    """Whether statements are true of pairs.

    Args:
        codes: some of `CODES`.
        joints_a: (n, 22, 3) of the first poses, meters, y up.
        joints_b: (n, 22, 3) of the second poses.
        tolerance: largest distance of a change from its range, in units of 5 degrees and 0.05 m.
        rotmats: see `extract_paircodes`.

    Returns:
        (codes, n) booleans.

    Raises:
        ValueError: a code is not one of `CODES`, or it is about the rotation or tilt of a head and `rotmats` is None.
    """
    codes = tuple(codes)
    changes = measure_pairs(joints_a, joints_b, rotmats)
    absolute = [ABSOLUTE[code] for code in codes if code in ABSOLUTE]
    begun = iter(holding(absolute, joints_b, tolerance) & ~holding(absolute, joints_a, -tolerance) if absolute else ())
    relative = [code for code in codes if code not in ABSOLUTE and code != NONE]
    for code in relative:
        if code not in RULES:
            raise ValueError(f"{code} is not a paircode; `CODES` lists them.")
        if code.key not in changes and code.kind in NEEDS_ROTATIONS:
            raise ValueError(f"{code} is about the head's rotation: joints do not show it, give rotmats.")
    fitting = iter(RuleTable(RULES[code].ranges for code in relative).evaluate(changes, tolerance) if relative else ())
    held = np.zeros((len(codes), len(changes["move", "hips", "up"])), dtype=bool)
    for row, code in enumerate(codes):
        if code == NONE:
            held[row] = _unchanged(changes, tolerance)
        else:
            held[row] = next(begun if code in ABSOLUTE else fitting)
    return held
