"""Elementary statements about a pose, read off its joints.

Joints are measured (`measures.measure`), measurements are compared with ranges (`RULES`), and every rule that fits is
a `Posecode`: "bend, left knee, straight". The words are in `describe`. The idea of posecodes is that of PoseScript
(Delmas et al., ECCV 2022); the measures, ranges and words are our own.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from unipose.training.captions.measures import Array, measure


# How far a measurement may miss its range and still count as fitting.
TOLERANCE_DEGREES = 5.0
TOLERANCE_METRES = 0.05
DEGREES = frozenset({"angle", "tilt", "pitch", "lean_left", "lean_right", "twist_left", "twist_right", "facing"})

INF = float("inf")
_SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])")


@dataclass(frozen=True, order=True)
class Posecode:
    """One statement: `subject`, a body part, has `value` in the sense of `kind`: ("bend", "left_knee", "straight")."""

    kind: str
    subject: str
    value: str

    @property
    def group(self) -> tuple[str, str]:
        """Codes of one group exclude each other."""
        return self.kind, self.subject

    def mirrored(self) -> "Posecode":
        """The same statement about the pose seen in a mirror."""
        return Posecode(self.kind, swap_sides(self.subject), swap_sides(self.value))


@dataclass(frozen=True)
class Range:
    """`low` <= measurement < `high`."""

    measure: str
    low: float = -INF
    high: float = INF

    def fits(self, measures: dict[str, Array], tolerance: float) -> npt.NDArray[np.bool_]:
        """Whether the measurement lies in the range widened by `tolerance` times the unit's tolerance; (n,)."""
        unit = TOLERANCE_DEGREES if self.measure.partition(".")[2] in DEGREES else TOLERANCE_METRES
        value = measures[self.measure]
        return (value >= self.low - tolerance * unit) & (value < self.high + tolerance * unit)


@dataclass(frozen=True)
class Rule:
    """When a code is true (`says`), when it is worth saying (`when`), and which other groups it makes superfluous."""

    code: Posecode
    says: tuple[Range, ...]
    when: tuple[Range, ...] = ()
    replaces: tuple[tuple[str, str], ...] = ()

    def mirrored(self) -> "Rule":
        return Rule(
            self.code.mirrored(),
            tuple(replace(item, measure=swap_sides(item.measure)) for item in self.says),
            tuple(replace(item, measure=swap_sides(item.measure)) for item in self.when),
            tuple((kind, swap_sides(subject)) for kind, subject in self.replaces),
        )


@cache
def swap_sides(text: str) -> str:
    """Exchanges "left" and "right" in a name or a phrase; "upright" stays."""
    return _SIDE.sub(lambda match: "right" if match[0] == "left" else "left", text)


UPRIGHT = (Range("torso.tilt", high=50.0),)
BENDS = (
    ("fully_bent", -INF, 45.0),
    ("sharply_bent", 45.0, 75.0),
    ("bent_90", 75.0, 105.0),
    ("half_bent", 105.0, 135.0),
    ("slightly_bent", 135.0, 160.0),
    ("straight", 160.0, INF),
)
# Joint centres sit inside the body, a few centimetres above what touches the ground.
ON_GROUND = 0.12
OFF_GROUND = 0.20
NEAR = 0.18

# Statements that need a single range: kind, subject (the left one stands for both), value, measure, low, high, when.
_ELEMENTARY: tuple[tuple[str, str, str, str, float, float, tuple[Range, ...]], ...] = (
    *(("bend", "left_knee", value, "left_knee.angle", low, high, ()) for value, low, high in BENDS),
    *(("bend", "left_elbow", value, "left_elbow.angle", low, high, ()) for value, low, high in BENDS),
    ("depth", "left_hand", "far_front", "left_hand.forward", 0.45, INF, ()),
    ("depth", "left_hand", "front", "left_hand.forward", 0.2, 0.45, ()),
    ("depth", "left_hand", "behind", "left_hand.forward", -INF, -0.12, ()),
    ("side", "left_hand", "outward", "left_hand.outward", 0.25, INF, ()),
    ("side", "left_hand", "across", "left_hand.across", 0.05, INF, ()),
    ("near", "left_hand", "head", "left_hand.to_head", -INF, 0.22, ()),
    *(
        ("near", "left_hand", target, f"left_hand.to_{target}", -INF, NEAR, ())
        for target in ("left_hip", "right_hip", "left_shoulder", "right_shoulder", "right_elbow", "left_knee")
    ),
    *(
        ("near", "left_hand", target, f"left_hand.to_{target}", -INF, NEAR + 0.04, ())
        for target in ("right_knee", "left_ankle", "right_ankle")
    ),
    ("segment", "left_upper_arm", "down", "left_upper_arm.tilt", -INF, 20.0, ()),
    ("segment", "left_upper_arm", "level", "left_upper_arm.tilt", 75.0, 105.0, ()),
    ("segment", "left_upper_arm", "up", "left_upper_arm.tilt", 145.0, INF, ()),
    ("segment", "left_forearm", "level", "left_forearm.tilt", 75.0, 105.0, (Range("left_elbow.angle", high=150.0),)),
    ("segment", "left_forearm", "up", "left_forearm.tilt", 145.0, INF, (Range("left_elbow.angle", high=150.0),)),
    ("segment", "left_thigh", "level", "left_thigh.tilt", 75.0, 105.0, ()),
    ("segment", "left_thigh", "up", "left_thigh.tilt", 105.0, INF, ()),
    ("segment", "left_thigh", "down", "left_thigh.tilt", -INF, 12.0, (Range("left_knee.angle", high=135.0),)),
    ("segment", "left_shin", "level", "left_shin.tilt", 75.0, 105.0, ()),
    ("segment", "left_shin", "up", "left_shin.tilt", 145.0, INF, ()),
    ("depth", "left_foot", "front", "left_foot.ahead", 0.18, INF, ()),
    ("side", "left_foot", "outward", "left_foot.outward", 0.3, INF, ()),
    ("height", "left_foot", "hips", "left_foot.above_hips", -0.15, INF, (Range("left_foot.ground", 0.3),)),
    ("ground", "left_foot", "off", "left_foot.ground", OFF_GROUND, INF, ()),
    ("ground", "left_knee", "on", "left_knee.ground", -INF, ON_GROUND, ()),
    ("ground", "left_hand", "on", "left_hand.ground", -INF, ON_GROUND, ()),
    ("ground", "hips", "on", "pelvis.ground", -INF, 0.2, ()),
    ("distance", "hands", "close", "hands.distance", -INF, 0.2, ()),
    ("distance", "hands", "wide", "hands.distance", 0.9, INF, ()),
    ("distance", "feet", "close", "feet.distance", -INF, 0.18, ()),
    ("distance", "feet", "apart", "feet.distance", 0.4, 0.8, ()),
    ("distance", "feet", "wide", "feet.distance", 0.8, INF, ()),
    ("distance", "knees", "close", "knees.distance", -INF, 0.15, ()),
    ("distance", "knees", "apart", "knees.distance", 0.45, INF, ()),
    ("torso", "torso", "upright", "torso.tilt", -INF, 10.0, ()),
    ("torso", "torso", "level", "torso.tilt", 75.0, 105.0, ()),
    ("torso", "torso", "far_forward", "torso.pitch", 45.0, 75.0, ()),
    ("torso", "torso", "forward", "torso.pitch", 18.0, 45.0, ()),
    ("torso", "torso", "back", "torso.pitch", -75.0, -15.0, ()),
    ("lean", "torso", "left", "torso.lean_left", 15.0, INF, UPRIGHT),
    ("twist", "torso", "left", "torso.twist_left", 20.0, INF, ()),
    ("head", "head", "down", "head.pitch", 25.0, INF, ()),
    ("head", "head", "up", "head.pitch", -INF, -20.0, ()),
)

# The height of a hand follows whichever landmark it is level with; only an upright torso gives these an order.
_HAND_HEIGHTS = (
    ("above_head", (Range("left_hand.above_head", 0.0),)),
    ("head", (Range("left_hand.above_shoulder", 0.12), Range("left_hand.above_head", high=0.0))),
    ("shoulders", (Range("left_hand.above_shoulder", -0.1, 0.12),)),
    ("chest", (Range("left_hand.above_chest", -0.1, 0.1),)),
    ("hips", (Range("left_hand.above_hips", -0.12, 0.12),)),
    ("below_hips", (Range("left_hand.above_hips", high=-0.12),)),
)


def _pair(measure: str, low: float = -INF, high: float = INF) -> tuple[Range, Range]:
    return Range(f"left_{measure}", low, high), Range(f"right_{measure}", low, high)


def _groups(*names: str) -> tuple[tuple[str, str], ...]:
    """("bend:knee", ...) -> the groups of both sides."""
    split = [name.split(":") for name in names]
    return tuple((kind, f"{side}_{part}") for kind, part in split for side in ("left", "right"))


_FEET_DOWN = _pair("foot.ground", high=0.17)
_KNEES_UP = _pair("knee.ground", OFF_GROUND)
_KNEEL = (Range("left_knee.ground", high=0.15), Range("torso.tilt", high=50.0))
_LYING = (Range("torso.tilt", 60.0, 120.0), Range("pelvis.ground", high=0.25))
_ON_SIDE = (Range("torso.tilt", 60.0, 120.0), Range("pelvis.ground", high=0.35))
_ONE_LEG = (*_pair("knee.angle", 130.0), Range("right_foot.ground", high=0.1), Range("left_foot.ground", 0.2))
_LEGS = _groups("bend:knee", "segment:thigh", "segment:shin")
_ARMS = _groups("bend:elbow", "height:hand", "segment:upper_arm", "segment:forearm", "side:hand")
_HANDS = (("distance", "hands"),)

# The posture of the whole body; the first that fits is said.
_POSTURES: tuple[tuple[str, tuple[Range, ...], tuple[tuple[str, str], ...]], ...] = (
    ("lies_back", (*_LYING, Range("torso.facing", 45.0)), (("torso", "torso"), ("ground", "hips"))),
    ("lies_front", (*_LYING, Range("torso.facing", high=-45.0)), (("torso", "torso"), ("ground", "hips"))),
    (
        "lies_left",
        (*_ON_SIDE, Range("torso.lean_left", 50.0), Range("torso.facing", -40.0, 40.0)),
        (("torso", "torso"), ("ground", "hips")),
    ),
    (
        "all_fours",
        (*_pair("knee.ground", high=0.2), *_pair("hand.ground", high=0.2), Range("torso.tilt", 55.0, 125.0)),
        (("torso", "torso"), *_groups("ground:knee", "ground:hand", "segment:shin")),
    ),
    (
        "sits_ground",
        (Range("pelvis.ground", high=0.2), Range("torso.tilt", high=50.0), *_pair("thigh.tilt", 60.0)),
        (("ground", "hips"),),
    ),
    (
        "kneels_both",
        (*_KNEEL, Range("right_knee.ground", high=0.15)),
        _groups("ground:knee", "segment:shin", "segment:thigh"),
    ),
    (
        "kneels_left",
        (*_KNEEL, Range("right_knee.ground", 0.25), Range("right_foot.ground", high=0.17)),
        (*_groups("ground:knee"), ("depth", "right_foot"), ("segment", "left_shin"), ("segment", "left_thigh")),
    ),
    (
        "sits",
        (
            *_FEET_DOWN,
            *_pair("thigh.tilt", 70.0, 110.0),
            *_pair("foot.before_pelvis", 0.3),
            Range("torso.tilt", high=35.0),
        ),
        (*_groups("segment:thigh"), ("torso", "torso")),
    ),
    (
        "squats",
        (
            *_FEET_DOWN,
            *_KNEES_UP,
            *_pair("knee.angle", high=105.0),
            *_pair("foot.before_pelvis", high=0.35),
            *_pair("foot.ahead", -0.25, 0.25),
            Range("torso.tilt", high=65.0),
        ),
        _groups("segment:thigh"),
    ),
    (
        "lunges_left",
        (
            Range("left_knee.angle", 65.0, 135.0),
            Range("left_foot.ahead", 0.45),
            Range("left_thigh.tilt", 40.0),
            Range("left_foot.ground", high=0.17),
            Range("right_foot.ground", high=0.25),
            Range("torso.tilt", high=50.0),
        ),
        (("depth", "left_foot"), ("distance", "feet"), *_groups("segment:thigh")),
    ),
    (
        "kicks_left",
        (*_ONE_LEG, Range("left_thigh.tilt", 55.0), Range("left_foot.above_hips", -0.35)),
        (("ground", "left_foot"), ("distance", "feet")),
    ),
    (
        "one_leg_right",
        (
            Range("right_knee.angle", 140.0),
            Range("right_thigh.tilt", high=35.0),
            Range("right_foot.ground", high=0.1),
            Range("left_foot.ground", OFF_GROUND),
            Range("torso.tilt", high=45.0),
        ),
        (("ground", "left_foot"), ("distance", "feet"), ("bend", "right_knee")),
    ),
    (
        "bends_forward",
        (*_FEET_DOWN, *_pair("knee.angle", 115.0), Range("torso.pitch", 45.0, 150.0)),
        (("torso", "torso"),),
    ),
    (
        "steps_left",
        (
            Range("left_foot.ahead", 0.25),
            Range("left_foot.ground", high=0.25),
            Range("right_foot.ground", high=0.25),
            *_pair("knee.angle", 125.0),
            Range("torso.tilt", high=30.0),
        ),
        (("depth", "left_foot"), ("distance", "feet"), *_groups("segment:thigh")),
    ),
    (
        "crouches",
        (
            *_FEET_DOWN,
            *_KNEES_UP,
            *_pair("knee.angle", 95.0, 145.0),
            *_pair("foot.ahead", -0.3, 0.3),
            Range("torso.tilt", high=55.0),
        ),
        _groups("segment:thigh"),
    ),
    (
        "stands",
        (*_FEET_DOWN, *_pair("knee.angle", 145.0), *_pair("thigh.tilt", high=40.0), Range("torso.tilt", high=30.0)),
        _LEGS,
    ),
)

# What the arms do together; the first that fits is said.
_ARM_POSES: tuple[tuple[str, tuple[Range, ...], tuple[tuple[str, str], ...]], ...] = (
    ("overhead", (*_pair("hand.above_head", 0.0), *_pair("elbow.angle", 110.0)), _groups("height:hand")),
    (
        "left_up",
        (Range("left_hand.above_head", 0.0), Range("right_hand.above_shoulder", high=-0.05)),
        (("height", "left_hand"),),
    ),
    ("t_pose", (*_pair("upper_arm.tilt", 70.0, 110.0), *_pair("hand.outward", 0.38)), (*_ARMS, *_HANDS)),
    (
        "forward",
        (*_pair("hand.forward", 0.4), *_pair("elbow.angle", 135.0), *_pair("hand.above_shoulder", -0.2, 0.2)),
        _groups("depth:hand", "height:hand", "segment:upper_arm", "bend:elbow"),
    ),
    (
        "on_hips",
        (Range("left_hand.to_left_hip", high=0.2), Range("right_hand.to_right_hip", high=0.2)),
        _groups("near:hand", "height:hand"),
    ),
    (
        "crossed",
        (Range("left_hand.to_right_elbow", high=0.24), Range("right_hand.to_left_elbow", high=0.24)),
        (*_groups("near:hand", "side:hand", "height:hand", "depth:hand"), *_HANDS),
    ),
    (
        "down",
        (*_pair("upper_arm.tilt", high=30.0), *_pair("elbow.angle", 140.0), *_pair("hand.forward", -0.25, 0.25)),
        (*_ARMS, *_groups("depth:hand"), *_HANDS),
    ),
)


def _table() -> dict[Posecode, Rule]:
    left = [
        *(Rule(Posecode("posture", "body", value), says, (), replaced) for value, says, replaced in _POSTURES),
        *(Rule(Posecode("arms", "arms", value), says, UPRIGHT, replaced) for value, says, replaced in _ARM_POSES),
        *(Rule(Posecode("height", "left_hand", value), says, UPRIGHT) for value, says in _HAND_HEIGHTS),
        *(
            Rule(Posecode(kind, subject, value), (Range(name, low, high),), when)
            for kind, subject, value, name, low, high, when in _ELEMENTARY
        ),
    ]
    return {side.code: side for rule in left for side in (rule, rule.mirrored())}


RULES: dict[Posecode, Rule] = _table()
CODES: tuple[Posecode, ...] = tuple(RULES)


def _fit(rules: Iterable[Range], measures: dict[str, Array], tolerance: float) -> npt.NDArray[np.bool_]:
    return np.logical_and.reduce([item.fits(measures, tolerance) for item in rules])


def holds(code: Posecode, joints: npt.ArrayLike, tolerance: float = 1.0) -> npt.NDArray[np.bool_]:
    """Whether a statement is true of each of (n, 22, 3) joints.

    Args:
        code: one of `CODES`.
        joints: (n, 22, 3), metres, y up.
        tolerance: how far outside its range a measurement may lie, in units of 5 degrees and 0.05 m.

    Returns:
        (n,) booleans.
    """
    return _fit(RULES[code].says, measure(joints), tolerance)


def holding(codes: Iterable[Posecode], joints: npt.ArrayLike, tolerance: float = 1.0) -> npt.NDArray[np.bool_]:
    """`holds` for several codes, measuring once: (codes, n) booleans."""
    measures = measure(joints)
    return np.stack([_fit(RULES[code].says, measures, tolerance) for code in codes])


def _drop_superfluous(true: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Keeps the first true code of a group, and no code of a group that a true posture replaces; (codes, n)."""
    kept = true.copy()
    taken: dict[tuple[str, str], npt.NDArray[np.bool_]] = {}
    for row, code in enumerate(CODES):
        for group in RULES[code].replaces:
            taken[group] = taken.get(group, False) | kept[row]
        kept[row] &= ~taken.get(code.group, np.zeros_like(kept[row]))
        taken[code.group] = taken.get(code.group, False) | kept[row]
    return kept


def extract_posecodes(joints: npt.ArrayLike, jitter: np.random.Generator | None = None) -> list[tuple[Posecode, ...]]:
    """What is worth saying about each pose.

    Args:
        joints: (n, 22, 3), metres, y up.
        jitter: when given, every measurement is first moved by uniform noise of up to its tolerance, so that borders
            between values are not razor-sharp in a corpus.

    Returns:
        For each pose its codes, in table order: at most one per group, and none that a posture makes superfluous.
    """
    measures = measure(joints)
    if jitter is not None:
        measures = {name: value + _noise(name, value.shape, jitter) for name, value in measures.items()}
    true = np.stack([_fit(rule.says + rule.when, measures, 0.0) for rule in RULES.values()])
    return [tuple(CODES[row] for row in np.flatnonzero(column)) for column in _drop_superfluous(true).T]


def _noise(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    unit = TOLERANCE_DEGREES if name.partition(".")[2] in DEGREES else TOLERANCE_METRES
    return generator.uniform(-unit, unit, shape)
