"""The table of paircodes: changes from pose A to pose B, their ranges and the codes that they replace.

In addition to relative codes there are postures and goals ("until the elbow is at a right angle"), which are posecodes
of B, and one code for "nothing changes".
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from unipose.training.captions.codes import INF, Code, Key, Posecode, Range, Rule
from unipose.training.captions.measures import PAIRS
from unipose.training.captions.pair_measures import SIDES, reached
from unipose.training.geometry import swap_sides


# Where each amount begins, by kind (meters or degrees); an amount ends where the next begins.
AMOUNTS: dict[str, tuple[tuple[str, float], ...]] = {
    "heading": (("slight", 20.0), ("some", 60.0), ("much", 120.0)),
    "bend": (("slight", 18.0), ("some", 45.0), ("much", 80.0)),
    "move": (("slight", 0.15), ("some", 0.40), ("much", 0.75)),
    "distance": (("slight", 0.10), ("some", 0.40), ("much", 0.75)),
    "reach": (("slight", 0.10), ("some", 0.40), ("much", 0.75)),
    "torso": (("some", 20.0), ("much", 45.0)),
    "twist": (("some", 20.0), ("much", 45.0)),
    "lean": (("slight", 15.0), ("some", 30.0)),
    "head": (("slight", 15.0), ("some", 30.0)),
    "head_rotation": (("slight", 15.0), ("some", 30.0)),
    "head_tilt": (("slight", 15.0), ("some", 30.0)),
}
AROUND = 150.0
# A joint that ends this straight or this bent (degrees from straight) and changes by "some" is changed completely.
STRAIGHT, FOLDED = 20.0, 130.0
# A change of a hand's distance is stated only if the distance is below this before or after.
IN_REACH = 0.3
# A hand or elbow that moves less than this seen from its torso was only carried along.
OWN_MOVEMENT = 0.12
# Beyond these the directions of a lean, and those of arms seen from outside, mean nothing (degrees).
LARGEST_TILT, LARGEST_SWING = 60.0, 50.0

# The salience of the smallest change, by kind: rare kinds weigh more.
WEIGHTS = {
    "heading": 3.0,
    "torso": 2.5,
    "twist": 2.0,
    "lean": 2.0,
    "bend": 1.5,
    "move": 1.2,
    "distance": 0.8,
    "reach": 0.6,
}
NEEDS_ROTATIONS = frozenset({"head_rotation", "head_tilt"})
UNCHANGED = ("bend", "move", "distance", "torso", "twist", "lean", "head", "head_rotation", "head_tilt")

# What a new posture implies, so that its changes are superfluous: where feet and knees are, how both knees bend, how
# the torso is inclined. All imply how high the hips are.
_LEGS, _KNEES, _TORSO = "legs", "knees", "torso"
# The postures that are stated when they begin; right-sided ones are added by mirroring.
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
class Paircode(Code):
    """One statement about A -> B: `subject` changes toward `value`, by `amount`, in the sense of `kind`.

    ("move", "left_hand", "up", "slight"); goals hold a posecode's kind and value: ("goal", "left_elbow",
    "bend.straight", ""); postures name what B does: ("posture", "body", "sits", "").
    """

    amount: str = ""

    @property
    def key(self) -> Key:
        """What changes and which way; codes of one key differ in the amount only."""
        return self.kind, self.subject, self.value

    @property
    def parts(self) -> frozenset[str]:
        """The limbs that the statement is about: "left_arm", "right_arm", "left_leg", "right_leg", "torso", ..."""
        if self.kind == "posture" and self.value not in _WHOLE_BODY:
            return parts_of("torso" if self.value in _BENT_OVER else "legs") | {"body"}
        return parts_of(self.subject)


NONE = Paircode("none", "body", "same")

PairRule = Rule[Paircode, Key]
PairRanges = tuple[Range[Key], ...]

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


def changed_parts(codes: Iterable[Paircode]) -> frozenset[str]:
    """The limbs that statements are about."""
    return frozenset().union(*(code.parts for code in codes))


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
    yield from (
        rule for kind in ("torso", "twist", "lean", "head", "head_rotation", "head_tilt") for rule in _axial(kind)
    )
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
            moved = Range(("own", f"{side}_hand", ""), OWN_MOVEMENT)
            near = (Range(("nearest", f"{side}_hand", f"to_{target}"), high=IN_REACH), moved)
            for way in ("to", "from"):
                yield from _banded(("reach", f"{side}_hand", f"{way}_{target}"), near)
    for value in ("up", "down"):
        yield from _banded(("move", "hips", value))
    for pair in PAIRS.values():
        for value in ("closer", "apart"):
            yield from _banded(("distance", pair, value))


def _banded(key: Key, condition: PairRanges = (), also: PairRanges = ()) -> Iterator[PairRule]:
    bands = AMOUNTS[key[0]]
    for (amount, low), (_, high) in zip(bands, (*bands[1:], ("", INF))):
        yield PairRule(Paircode(*key, amount), (Range(key, low, high), *also), condition=condition)


def _axial(kind: str) -> Iterator[PairRule]:
    subject = kind.partition("_")[0] if kind.startswith("head") else "torso"
    values = {"torso": ("forward", "back"), "head": ("down", "up")}.get(kind, SIDES)
    upright = (Range(("tilt", "torso", ""), high=LARGEST_TILT),) if kind == "lean" else ()
    for value in values:
        yield from _banded((kind, subject, value), upright)


def _bends(joint: str) -> Iterator[PairRule]:
    some = dict(AMOUNTS["bend"])["some"]
    for value, end in (("straighten", {"high": STRAIGHT}), ("bend", {"low": FOLDED})):
        key = ("bend", joint, value)
        yield PairRule(Paircode(*key, "full"), (Range(key, some), Range(("after", joint, "bend"), **end)))
        yield from _banded(key)


def _moves(subject: str, value: str, lead: str, follow: str = "") -> Iterator[PairRule]:
    """Moves of one joint `lead`, or of a limb: its end `lead`, and its middle `follow` in the same direction."""
    arm = lead.endswith(("hand", "elbow"))
    condition = (
        (Range(("own", lead, ""), OWN_MOVEMENT), Range(("swing", "torso", ""), high=LARGEST_SWING)) if arm else ()
    )
    also = (Range(("move", follow, value), dict(AMOUNTS["move"])["slight"]),) if follow else ()
    for rule in _banded(("move", lead, value), condition, also):
        yield PairRule(Paircode("move", subject, value, rule.code.amount), rule.ranges, condition=rule.condition)


def _heading_changes() -> Iterator[PairRule]:
    upright = (Range(("tilt", "torso", ""), high=LARGEST_TILT),)
    for side in SIDES:
        key = ("heading", "body", side)
        *bands, last = _banded(key, upright)
        yield from bands
        yield PairRule(last.code, (Range(key, last.ranges[0].low, AROUND),), condition=upright)
    around = Paircode("heading", "body", "around", "full")
    yield PairRule(around, (Range(around.key, AROUND),), condition=upright)


def _both_sides(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(side for name in names for side in (name, swap_sides(name))))


def _goal_codes() -> Iterator[tuple[Paircode, Posecode]]:
    for kind, subject, values in _GOALS:
        for value in values:
            code = Posecode(kind, subject, value)
            for posecode in dict.fromkeys((code, code.mirrored())):
                yield Paircode("goal", posecode.subject, f"{posecode.kind}.{posecode.value}"), posecode


# The posecodes that hold of B and not of A, by paircode.
ABSOLUTE: dict[Paircode, Posecode] = {
    **{Paircode("posture", "body", value): Posecode("posture", "body", value) for value in _both_sides(POSTURES)},
    **dict(_goal_codes()),
}
RULES: dict[Paircode, PairRule] = {rule.code: rule for rule in (*_heading_changes(), *_elementary())}
# Postures before what they replace, goals last.
CODES: tuple[Paircode, ...] = (
    *(code for code in ABSOLUTE if code.kind == "posture"),
    *RULES,
    *(code for code in ABSOLUTE if code.kind == "goal"),
    NONE,
)


@cache
def replaced_rows() -> dict[int, list[int]]:
    """Row of `CODES` -> the rows that are superfluous where the code of that row is stated."""
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
    """Keys that a code replaces; an empty value stands for every value."""
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
    implied = POSTURES[posture if posture in POSTURES else swap_sides(posture)]
    if _LEGS in implied:
        yield from (("move", f"{side}_{part}", "") for side in SIDES for part in ("leg", "foot", "knee"))
        yield from (("distance", "feet", ""), ("distance", "knees", ""))
    if _KNEES in implied:
        yield from (("bend", f"{side}_knee", "") for side in SIDES)
    if _TORSO in implied:
        yield ("torso", "torso", "")
