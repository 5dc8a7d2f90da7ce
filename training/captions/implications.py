"""Drops statements that others imply: by order (a below b, b below c), or as mined from poses.

The mined table holds the statements about an arm or a leg that nearly always come with another one about the same
limb. It is a data file, written by

    python -m unipose.training.tools.mine_implications
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from unipose.training.captions.posecodes import CODES, RULES, Posecode
from unipose.training.geometry import swap_sides


IMPLICATIONS_FILE = Path(__file__).parent.parent / "assets" / "posecode_implications.json"
# (axis, lower or rear point, higher or front point) of the left part.
_Edge = tuple[str, str, str]
_ORDER = {
    ("order_height", "higher"): ("y", "right", "left"),
    ("order_depth", "ahead"): ("z", "right", "left"),
    **{("height_to_" + mark, "above"): ("y", mark, "left") for mark in ("shoulder", "neck", "hip")},
    **{("height_to_" + mark, "below"): ("y", "left", mark) for mark in ("shoulder", "neck", "hip")},
    ("depth", "far_front"): ("z", "torso", "left"),
    ("depth", "front"): ("z", "torso", "left"),
    ("depth", "behind"): ("z", "left", "torso"),
    ("depth_to_torso", "front"): ("z", "torso", "left"),
    ("depth_to_torso", "behind"): ("z", "left", "torso"),
}
_MIDDLE = ("neck", "torso")
# Values that state a distance beyond the order, which two orders do not imply.
_FAR = ("far_front",)


def _edge(code: Posecode) -> _Edge | None:
    """The order of two points that a code states."""
    known = _ORDER.get((code.kind, code.value))
    if known is None or (code.kind == "depth" and code.part == "elbow"):
        return None
    side = code.subject.partition("_")[0]
    names = {"left": code.subject, "right": swap_sides(code.subject)}
    axis, low, high = known
    low, high = (names.get(name, name if name in _MIDDLE else f"{side}_{name}") for name in (low, high))
    return axis, low, high


@cache
def implied_by_order() -> dict[Posecode, tuple[tuple[Posecode, Posecode], ...]]:
    """Code -> the pairs of codes that imply it."""
    edges = {code: edge for code in CODES if (edge := _edge(code))}
    found: dict[Posecode, list[tuple[Posecode, Posecode]]] = {}
    for first, (axis, low, middle) in edges.items():
        for second, (other_axis, start, high) in edges.items():
            if axis == other_axis and middle == start:
                for code, edge in edges.items():
                    if edge == (axis, low, high) and code.value not in _FAR:
                        found.setdefault(code, []).append((first, second))
    return {code: tuple(pairs) for code, pairs in found.items()}


@cache
def implied_by_one() -> dict[Posecode, frozenset[Posecode]]:
    """Code -> the codes that imply it, as mined, for both sides."""
    table: dict[Posecode, set[Posecode]] = {}
    for name, implied in json.loads(IMPLICATIONS_FILE.read_text()).items():
        reason = Posecode(*name.split())
        for code in (Posecode(*other.split()) for other in implied):
            table.setdefault(code, set()).add(reason)
            table.setdefault(code.mirrored(), set()).add(reason.mirrored())
    return {code: frozenset(reasons) for code, reasons in table.items()}


def drop_implied(codes: Sequence[Posecode]) -> list[Posecode]:
    """The codes without those that others among them imply; rare ones stay."""
    kept = dict.fromkeys(codes)
    for code in codes:
        if RULES[code].eligibility == "rare":
            continue
        by_order = any(first in kept and second in kept for first, second in implied_by_order().get(code, ()))
        if by_order or any(reason in kept for reason in implied_by_one().get(code, ())):
            del kept[code]
    return list(kept)
