"""What changes from pose A to pose B, as elementary statements.

Changes are measured (`pair_measures`), compared with ranges (`RULES`), and every range that fits is a `Paircode`:
"bend, left knee, straighten, much". Beside these relative codes there are transitions of the posture and absolute
goals ("until the elbow is at a right angle"), both taken from B's posecodes, and one code that says that nothing
changes. The words are in `pair_words`. The idea of paircodes is that of PoseFix (Delmas et al., ICCV 2023); measures,
words and most ranges are our own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from unipose.training.captions.measures import PAIRS, Array
from unipose.training.captions.pair_measures import SIDES, Changes, Key, measure_pairs, opposite, reached
from unipose.training.captions.posecodes import Posecode, extract_posecodes, holding
from unipose.training.geometry import swap_sides


Rotations = tuple[npt.ArrayLike, npt.ArrayLike]

# How far a measurement may miss its range and still count as fitting, as for posecodes.
TOLERANCE_DEGREES = 5.0
TOLERANCE_METRES = 0.05
METRES = frozenset({"move", "distance", "reach", "own", "nearest"})
INF = float("inf")

# Where each amount begins, by kind (metres or degrees); an amount ends where the next begins.
AMOUNTS: dict[str, tuple[tuple[str, float], ...]] = {
    "turn": (("slight", 20.0), ("some", 60.0), ("much", 120.0)),
    "bend": (("slight", 18.0), ("some", 45.0), ("much", 80.0)),
    "move": (("slight", 0.15), ("some", 0.40), ("much", 0.75)),
    "distance": (("slight", 0.10), ("some", 0.40), ("much", 0.75)),
    "reach": (("slight", 0.10), ("some", 0.40), ("much", 0.75)),
    "torso": (("some", 20.0), ("much", 45.0)),
    "twist": (("some", 20.0), ("much", 45.0)),
    "lean": (("slight", 15.0), ("some", 30.0)),
    "head": (("slight", 15.0), ("some", 30.0)),
    "head_turn": (("slight", 15.0), ("some", 30.0)),
    "head_tilt": (("slight", 15.0), ("some", 30.0)),
}
AROUND = 150.0
# A joint that ends this straight or this bent (degrees from straight) and changes by "some" is changed completely.
STRAIGHT, FOLDED = 20.0, 130.0
# A hand's distance is told only if it is below this before or after.
IN_REACH = 0.3
# What the torso carries along has not moved by itself.
OWN_MOVEMENT = 0.12
# Beyond these the directions of a lean, and those of arms seen from outside, mean nothing (degrees).
LARGEST_TILT, LARGEST_SWING = 60.0, 50.0

# How telling a change at its smallest is, by kind: rare kinds weigh more.
WEIGHTS = {
    "turn": 3.0,
    "torso": 2.5,
    "twist": 2.0,
    "lean": 2.0,
    "bend": 1.5,
    "move": 1.2,
    "distance": 0.8,
    "reach": 0.6,
}
NEEDS_ROTATIONS = frozenset({"head_turn", "head_tilt"})
UNCHANGED = ("bend", "move", "distance", "torso", "twist", "lean", "head", "head_turn", "head_tilt")


# What a posture that begins tells of, so that changes of it go without saying: where feet and knees are, how both
# knees bend, how the torso is inclined. All tell how high the hips are.
_LEGS, _KNEES, _TORSO = "legs", "knees", "torso"
# The postures that are told when they begin; right-sided ones are added by mirroring.
POSTURES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("lies_back", "lies_front", "lies_left", "all_fours", "handstand", "bridge"), (_LEGS, _TORSO)),
    **dict.fromkeys(("sits_ground", "steps_left"), (_LEGS, _TORSO)),
    **dict.fromkeys(("stands", "sits", "sits_cross_legged", "plank"), (_LEGS, _KNEES, _TORSO)),
    **dict.fromkeys(("kneels_both", "kneels_left", "sits_heels"), (_LEGS, _KNEES, _TORSO)),
    **dict.fromkeys(("squats", "side_lunges_left"), (_LEGS, _KNEES)),
    **dict.fromkeys(("crouches", "lunges_left"), (_LEGS,)),
    **dict.fromkeys(("bends_forward", "stoops"), (_LEGS, _TORSO)),
    "one_bent_left": (_KNEES,),
    "tips_right": (_TORSO,),
    **dict.fromkeys(("kicks_left", "one_leg_right", "balances_right", "staggered_left", "low"), ()),
}
_WHOLE_BODY = ("lies_back", "lies_front", "lies_left", "lies_right", "all_fours", "handstand", "plank", "bridge")
_BENT_OVER = ("bends_forward", "stoops")


@dataclass(frozen=True, order=True)
class Paircode:
    """One statement about A -> B: `subject` changes towards `value`, by `amount`, in the sense of `kind`.

    ("move", "left_hand", "up", "slight"); goals hold a posecode's kind and value: ("goal", "left_elbow",
    "bend.straight", ""); postures name what B does: ("posture", "body", "sits", "").
    """

    kind: str
    subject: str
    value: str
    amount: str = ""

    @property
    def key(self) -> Key:
        """What changes and which way; codes of one key differ in the amount only."""
        return self.kind, self.subject, self.value

    @property
    def relative(self) -> bool:
        """Whether exchanging A and B turns the statement into its opposite; postures and goals are about B."""
        return self.kind not in ("posture", "goal")

    @property
    def parts(self) -> frozenset[str]:
        """The limbs that the statement is about: "left_arm", "right_arm", "left_leg", "right_leg", "torso", ..."""
        if self.kind == "posture" and self.value not in _WHOLE_BODY:
            return parts_of("torso" if self.value in _BENT_OVER else "legs") | {"body"}
        return parts_of(self.subject)

    def mirrored(self) -> "Paircode":
        """The same statement about both poses seen in a mirror."""
        return Paircode(self.kind, swap_sides(self.subject), swap_sides(self.value), self.amount)

    def reversed(self) -> "Paircode":
        """The same change from B to A, of a relative code."""
        return Paircode(self.kind, self.subject, opposite(self.value), self.amount)


NONE = Paircode("none", "body", "same")

_LIMBS = {
    "arm": ("hand", "hands", "elbow", "elbows", "wrist", "shoulder", "arm", "upper_arm", "forearm", "collar", "arms"),
    "leg": ("foot", "feet", "knee", "knees", "ankle", "hip", "leg", "thigh", "shin", "legs"),
}


def parts_of(name: str) -> frozenset[str]:
    """The limbs of a subject or of one of `JOINT_NAMES`: "left_elbow" -> {"left_arm"}, "feet" -> both legs."""
    side, _, part = name.partition("_") if name.startswith(("left_", "right_")) else ("", "", name)
    for limb, members in _LIMBS.items():
        if part in members:
            return frozenset(f"{which}_{limb}" for which in ((side,) if side else SIDES))
    if part in ("head", "neck"):
        return frozenset({"head"})
    return frozenset({"torso"}) if part in ("torso", "spine1", "spine2", "spine3") else frozenset({"body"})


@dataclass(frozen=True)
class Span:
    """`low` <= measurement < `high`."""

    name: Key
    low: float = -INF
    high: float = INF

    def fits(self, changes: Changes, tolerance: float) -> npt.NDArray[np.bool_]:
        unit = TOLERANCE_METRES if self.name[0] in METRES else TOLERANCE_DEGREES
        value = changes[self.name]
        return (value >= self.low - tolerance * unit) & (value < self.high + tolerance * unit)


@dataclass(frozen=True)
class PairRule:
    """When a code is true (`says`) and when it is worth saying (`when`)."""

    code: Paircode
    says: tuple[Span, ...]
    when: tuple[Span, ...] = ()


# Posecodes that make good goals: kind, subject (the left one stands for both), values.
_GOALS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("bend", "left_knee", ("bent_90", "straight")),
    ("bend", "left_elbow", ("bent_90", "straight")),
    ("height", "left_hand", ("above_head", "head", "shoulders", "chest", "hips")),
    ("near", "left_hand", ("head", "left_hip", "right_hip", "left_shoulder", "right_shoulder", "right_elbow")),
    ("near", "left_hand", ("left_knee", "right_knee", "left_ankle", "right_ankle")),
    ("depth", "left_hand", ("behind",)),
    ("segment", "left_upper_arm", ("level",)),
    ("segment", "left_thigh", ("level",)),
    ("segment", "left_shin", ("level",)),
    ("ground", "left_foot", ("off",)),
    ("ground", "left_knee", ("on",)),
    ("ground", "left_hand", ("on",)),
    ("distance", "hands", ("close",)),
    ("distance", "feet", ("close", "wide")),
    ("distance", "knees", ("close",)),
    ("torso", "torso", ("upright", "level")),
)


def _elementary() -> Iterator[PairRule]:
    yield from (rule for kind in ("torso", "twist", "lean", "head", "head_turn", "head_tilt") for rule in _axial(kind))
    for side in SIDES:
        for joint in (f"{side}_knee", f"{side}_elbow"):
            yield from _bends(joint)
        for subject, lead, follow in ((f"{side}_arm", "hand", "elbow"), (f"{side}_leg", "foot", "knee")):
            for value in ("up", "down", "forward", "back", "left", "right"):
                yield from _moves(subject, value, f"{side}_{lead}", f"{side}_{follow}")
        for part in ("hand", "elbow", "foot", "knee"):
            for value in ("up", "down", "forward", "back", "left", "right"):
                yield from _moves(f"{side}_{part}", value, f"{side}_{part}")
        for target in reached(side):
            moved = Span(("own", f"{side}_hand", ""), OWN_MOVEMENT)
            near = (Span(("nearest", f"{side}_hand", f"to_{target}"), high=IN_REACH), moved)
            for way in ("to", "from"):
                yield from _banded(("reach", f"{side}_hand", f"{way}_{target}"), near)
    for value in ("up", "down"):
        yield from _banded(("move", "hips", value))
    for pair in PAIRS.values():
        for value in ("closer", "apart"):
            yield from _banded(("distance", pair, value))


def _banded(key: Key, when: tuple[Span, ...] = (), also: tuple[Span, ...] = ()) -> Iterator[PairRule]:
    bands = AMOUNTS[key[0]]
    for (amount, low), (_, high) in zip(bands, (*bands[1:], ("", INF))):
        yield PairRule(Paircode(*key, amount), (Span(key, low, high), *also), when)


def _axial(kind: str) -> Iterator[PairRule]:
    subject = kind.partition("_")[0] if kind.startswith("head") else "torso"
    values = {"torso": ("forward", "back"), "head": ("down", "up")}.get(kind, SIDES)
    upright = (Span(("tilt", "torso", ""), high=LARGEST_TILT),) if kind == "lean" else ()
    for value in values:
        yield from _banded((kind, subject, value), upright)


def _bends(joint: str) -> Iterator[PairRule]:
    some = dict(AMOUNTS["bend"])["some"]
    for value, end in (("straighten", {"high": STRAIGHT}), ("bend", {"low": FOLDED})):
        key = ("bend", joint, value)
        yield PairRule(Paircode(*key, "full"), (Span(key, some), Span(("after", joint, "bend"), **end)))
        yield from _banded(key)


def _moves(subject: str, value: str, lead: str, follow: str = "") -> Iterator[PairRule]:
    """Moves of one joint, or of the limb whose end `lead` is and whose middle `follow` goes the same way."""
    arm = lead.endswith(("hand", "elbow"))
    when = (Span(("own", lead, ""), OWN_MOVEMENT), Span(("swing", "torso", ""), high=LARGEST_SWING)) if arm else ()
    also = (Span(("move", follow, value), dict(AMOUNTS["move"])["slight"]),) if follow else ()
    for rule in _banded(("move", lead, value), when, also):
        yield PairRule(Paircode("move", subject, value, rule.code.amount), rule.says, rule.when)


def _turns() -> Iterator[PairRule]:
    upright = (Span(("tilt", "torso", ""), high=LARGEST_TILT),)
    for side in SIDES:
        key = ("turn", "body", side)
        *bands, last = _banded(key, upright)
        yield from bands
        yield PairRule(last.code, (Span(key, last.says[0].low, AROUND),), upright)
    around = Paircode("turn", "body", "around", "full")
    yield PairRule(around, (Span(around.key, AROUND),), upright)


def _both_sides(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(side for name in names for side in (name, swap_sides(name))))


def _goal_codes() -> Iterator[tuple[Paircode, Posecode]]:
    for kind, subject, values in _GOALS:
        for value in values:
            code = Posecode(kind, subject, value)
            for said in dict.fromkeys((code, code.mirrored())):
                yield Paircode("goal", said.subject, f"{said.kind}.{said.value}"), said


# What B has to show, and A not, by code.
ABSOLUTE: dict[Paircode, Posecode] = {
    **{Paircode("posture", "body", value): Posecode("posture", "body", value) for value in _both_sides(POSTURES)},
    **dict(_goal_codes()),
}
RULES: dict[Paircode, PairRule] = {rule.code: rule for rule in (*_turns(), *_elementary())}
# Postures before what they replace, goals last.
CODES: tuple[Paircode, ...] = (
    *(code for code in ABSOLUTE if code.kind == "posture"),
    *RULES,
    *(code for code in ABSOLUTE if code.kind == "goal"),
    NONE,
)


@cache
def _replaced_rows() -> dict[int, list[int]]:
    """Rows of `CODES` that go without saying where the code of a row is said."""
    rows = {}
    for row, code in enumerate(CODES):
        keys = set(_replaced_keys(code))
        rows[row] = [
            index
            for index, other in enumerate(CODES)
            if (other.key in keys or (*other.key[:2], "") in keys) and (index > row or other.key != code.key)
        ]
    return {row: replaced for row, replaced in rows.items() if replaced}


def _replaced_keys(code: Paircode) -> Iterator[Key]:
    """Keys that a code replaces; an empty value stands for all of them."""
    yield code.key
    limb = {"arm": ("hand", "elbow"), "leg": ("foot", "knee")}
    side, _, part = code.subject.partition("_")
    if code.kind == "posture":
        yield from _replaced_by_posture(code.value)
    elif code.kind == "move" and part in limb:
        yield from (("move", f"{side}_{member}", code.value) for member in limb[part])
    elif code.kind == "bend" and code.amount == "full":
        yield ("goal", code.subject, "bend.straight")
    elif code.subject == "hips":
        yield from (("move", f"{which}_knee", value) for which in SIDES for value in ("up", "down"))
    elif code.kind == "distance" and code.subject in ("hands", "feet"):
        yield ("distance", {"hands": "elbows", "feet": "knees"}[code.subject], code.value)


def _replaced_by_posture(posture: str) -> Iterator[Key]:
    yield ("move", "hips", "")
    tells = POSTURES[posture if posture in POSTURES else swap_sides(posture)]
    if _LEGS in tells:
        yield from (("move", f"{side}_{part}", "") for side in SIDES for part in ("leg", "foot", "knee"))
        yield from (("distance", "feet", ""), ("distance", "knees", ""))
    if _KNEES in tells:
        yield from (("bend", f"{side}_knee", "") for side in SIDES)
    if _TORSO in tells:
        yield ("torso", "torso", "")


def extract_paircodes(
    joints_a: npt.ArrayLike,
    joints_b: npt.ArrayLike,
    *,
    same_sequence: bool | npt.ArrayLike = False,
    rotmats: Rotations | None = None,
    jitter: np.random.Generator | None = None,
) -> list[tuple[Paircode, ...]]:
    """What is worth saying about the change of each pair.

    Args:
        joints_a, joints_b: (n, 22, 3), metres, y up.
        same_sequence: whether the poses of a pair, or of each of (n,) pairs, are frames of one motion, so that a turn
            of the whole body means something.
        rotmats: (n, 22, 3, 3) rotations of A and of B, for turns and tilts of the head.
        jitter: when given, every change is first moved by uniform noise of up to its tolerance, so that borders
            between amounts are not razor-sharp in a corpus.

    Returns:
        For each pair its codes, the most telling first and goals last; none that another one implies. `NONE` alone
        where nothing changes.

    Raises:
        ValueError: shapes differ, or a number is not finite.
    """
    changes = measure_pairs(joints_a, joints_b, rotmats)
    if jitter is not None:
        changes = {key: change + _noise(key, change.shape, jitter) for key, change in changes.items()}
    absolute = _begun(joints_a, joints_b)
    relative = _fitting(changes, np.broadcast_to(same_sequence, changes["move", "hips", "up"].shape))
    unchanged = _unchanged(changes, 0.0)
    true = np.stack([absolute[code] if code in absolute else relative.get(code, unchanged) for code in CODES])
    kept = _drop_replaced(true)
    _keep_nearest(kept, changes)
    _drop_mutual(kept)
    kept[-1] &= ~kept[[row for row, code in enumerate(CODES[:-1]) if code.kind != "goal"]].any(axis=0)
    salience = np.stack([_salience(code, changes, kept.shape[1]) for code in CODES])
    return [_most_telling_first(column, salience[:, pair]) for pair, column in enumerate(kept.T)]


def _noise(key: Key, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    unit = TOLERANCE_METRES if key[0] in METRES else TOLERANCE_DEGREES
    return generator.uniform(-unit, unit, shape)


def _fit(spans: Iterable[Span], changes: Changes, tolerance: float) -> npt.NDArray[np.bool_]:
    return np.logical_and.reduce([span.fits(changes, tolerance) for span in spans])


def _fitting(changes: Changes, same_sequence: npt.NDArray[np.bool_]) -> dict[Paircode, npt.NDArray[np.bool_]]:
    """Relative codes that are true and worth saying, or just true where none is worth it; (n,) each."""
    nothing = np.zeros_like(same_sequence, dtype=bool)
    says, worth = {}, {}
    for code, rule in RULES.items():
        measured = rule.says[0].name in changes
        says[code] = _fit(rule.says, changes, 0.0) if measured else nothing
        if code.kind == "turn":
            says[code] = says[code] & same_sequence
        worth[code] = says[code] & _fit(rule.when, changes, 0.0) if measured and rule.when else says[code]
    any_worth = np.logical_or.reduce([*worth.values()])
    return {code: np.where(any_worth, worth[code], says[code]) for code in RULES}


def _begun(joints_a: npt.ArrayLike, joints_b: npt.ArrayLike) -> dict[Paircode, npt.NDArray[np.bool_]]:
    """Postures and goals that B shows and A is clearly short of; (n,) each."""
    short = ~holding(ABSOLUTE.values(), joints_a, 1.0)
    shown = [set(codes) for codes in extract_posecodes(joints_b)]
    return {
        code: short[row] & np.array([said in codes for codes in shown], dtype=bool)
        for row, (code, said) in enumerate(ABSOLUTE.items())
    }


def _unchanged(changes: Changes, tolerance: float) -> npt.NDArray[np.bool_]:
    """Whether every change stays below the smallest amount that is told; (n,)."""
    small = [
        Span(rule.code.key, high=AMOUNTS[rule.code.kind][0][1])
        for rule in RULES.values()
        if rule.code.kind in UNCHANGED and rule.code.key == rule.says[0].name and rule.code.key in changes
    ]
    return _fit(dict.fromkeys(small), changes, tolerance)


def _drop_replaced(true: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    kept = true.copy()
    for row, replaced in _replaced_rows().items():
        kept[replaced] &= ~kept[row]
    return kept


def _keep_nearest(kept: npt.NDArray[np.bool_], changes: Changes) -> None:
    """Of what a hand approaches, or leaves, only what it does by the most is kept; changes `kept`."""
    for side in SIDES:
        for way in ("to", "from"):
            rows = [
                row
                for row, code in enumerate(CODES)
                if code.kind == "reach" and code.subject == f"{side}_hand" and code.value.startswith(way)
            ]
            by = np.where(kept[rows], np.stack([changes[CODES[row].key] for row in rows]), -INF)
            kept[rows] &= by == by.max(axis=0)


def _drop_mutual(kept: npt.NDArray[np.bool_]) -> None:
    """Hands or feet that both move out, or in, need no telling that their distance changes; changes `kept`."""
    rows: dict[Key, list[int]] = {}
    for row, code in enumerate(CODES):
        rows.setdefault(code.key, []).append(row)
    for pair, part in (("hands", "hand"), ("feet", "foot")):
        for way, (left, right) in (("apart", SIDES), ("closer", SIDES[::-1])):
            moves = [rows["move", f"{side}_{part}", value] for side, value in zip(SIDES, (left, right))]
            kept[rows["distance", pair, way]] &= ~(kept[moves[0]].any(axis=0) & kept[moves[1]].any(axis=0))


def _salience(code: Paircode, changes: Changes, count: int) -> Array:
    """How telling a code is of each of `count` pairs: its change in units of the smallest that is told, weighted."""
    if code not in RULES or RULES[code].says[0].name not in changes:
        return np.full(count, {"posture": 100.0, "goal": -1.0}.get(code.kind, 0.0))
    return WEIGHTS.get(code.kind, 1.0) * changes[RULES[code].says[0].name] / AMOUNTS[code.kind][0][1]


def _most_telling_first(column: npt.NDArray[np.bool_], salience: Array) -> tuple[Paircode, ...]:
    rows = np.flatnonzero(column)
    return tuple(CODES[row] for row in rows[np.argsort(-salience[rows], kind="stable")])


def paircodes_hold(
    codes: Iterable[Paircode],
    joints_a: npt.ArrayLike,
    joints_b: npt.ArrayLike,
    tolerance: float = 1.0,
    rotmats: Rotations | None = None,
) -> npt.NDArray[np.bool_]:
    """Whether statements are true of pairs.

    Args:
        codes: some of `CODES`.
        joints_a, joints_b: (n, 22, 3), metres, y up.
        tolerance: how far outside its range a change may lie, in units of 5 degrees and 0.05 m.
        rotmats: as for `extract_paircodes`.

    Returns:
        (codes, n) booleans.

    Raises:
        ValueError: a code is not one of `CODES`, or it is about the turn or tilt of a head and `rotmats` is None.
    """
    codes = tuple(codes)
    changes = measure_pairs(joints_a, joints_b, rotmats)
    absolute = [ABSOLUTE[code] for code in codes if code in ABSOLUTE]
    shown = iter(holding(absolute, joints_b, tolerance) & ~holding(absolute, joints_a, -tolerance) if absolute else ())
    held = np.zeros((len(codes), len(changes["move", "hips", "up"])), dtype=bool)
    for row, code in enumerate(codes):
        if code in ABSOLUTE:
            held[row] = next(shown)
        elif code == NONE:
            held[row] = _unchanged(changes, tolerance)
        elif code not in RULES:
            raise ValueError(f"{code} is not a paircode; `CODES` lists them.")
        elif code.key not in changes and code.kind in NEEDS_ROTATIONS:
            raise ValueError(f"{code} is about the head's rotation: joints do not show it, give rotmats.")
        else:
            held[row] = _fit(RULES[code].says, changes, tolerance)
    return held
