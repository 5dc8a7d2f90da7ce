"""The elementary posecodes: one measurement in one range.

The categories are those of PoseScript (Delmas et al., ECCV 2022): angles, distances, relative positions along three
axes, segments against the vertical, ground contact, bend, twist and lean of the torso, and the head. Between "above"
and "level", and so on, lies a band without a code. Ranges and eligibility are our own.
"""

from collections.abc import Iterator

from unipose.training.captions.codes import INF, Eligibility, Posecode, Range, Rule, groups
from unipose.training.captions.measures import PAIRS


UPRIGHT = (Range("torso.tilt", high=50.0),)
# Between a clear order and "level" there is no code (meters).
ORDER, LEVEL = 0.15, 0.05
# Joint centers sit inside the body, a few centimeters above what touches the ground.
ON_GROUND = 0.12
OFF_GROUND = 0.20
NEAR = 0.18

# value, low, high (degrees at a knee or elbow; meters between two parts; degrees against straight down)
BENDS = (
    ("fully_bent", -INF, 45.0),
    ("sharply_bent", 45.0, 75.0),
    ("bent_90", 75.0, 105.0),
    ("half_bent", 105.0, 135.0),
    ("slightly_bent", 135.0, 160.0),
    ("straight", 160.0, INF),
    ("bent", -INF, 135.0),
)
DISTANCES = (
    ("close", -INF, 0.20),
    ("shoulder_width", 0.20, 0.40),
    ("apart", 0.40, 0.80),
    ("wide", 0.80, INF),
)
SEGMENTS = (
    ("down", -INF, 10.0),
    ("level", 80.0, 100.0),
    ("straight_up", 170.0, INF),
    ("up", 145.0, 170.0),
)

# The eligibility of a value where it is not "eligible", by kind and part.
ELIGIBILITY: dict[tuple[str, str, str], Eligibility] = {
    ("bend", "knee", "bent"): "support",
    ("bend", "elbow", "bent"): "support",
    ("bend", "knee", "fully_bent"): "rare",
    ("bend", "elbow", "fully_bent"): "rare",
    ("distance", "elbows", "close"): "rare",
    ("distance", "elbows", "shoulder_width"): "ignored",
    ("distance", "elbows", "apart"): "ignored",
    ("distance", "hands", "close"): "rare",
    ("distance", "hands", "apart"): "ignored",
    ("distance", "knees", "shoulder_width"): "ignored",
    ("distance", "knees", "wide"): "rare",
    ("distance", "feet", "wide"): "rare",
    ("segment", "forearm", "straight_up"): "rare",
    ("segment", "upper_arm", "straight_up"): "rare",
    ("segment", "thigh", "straight_up"): "rare",
    ("segment", "shin", "straight_up"): "rare",
    ("segment", "shin", "up"): "rare",
    ("segment", "thigh", "up"): "rare",
    ("segment", "shin", "down"): "ignored",
    ("segment", "thigh", "down"): "ignored",
}

# kind, subject (left for both), value, measure, low, high, eligibility; of a group the first that fits is stated.
_ROWS: tuple[tuple[str, str, str, str, float, float, Eligibility], ...] = (
    # a hand or elbow against its own shoulder, hip and neck, and against the torso
    ("height_to_shoulder", "left_hand", "above", "left_hand.above_shoulder", ORDER, INF, "eligible"),
    ("height_to_shoulder", "left_hand", "level", "left_hand.above_shoulder", -LEVEL, LEVEL, "eligible"),
    ("height_to_shoulder", "left_hand", "below", "left_hand.above_shoulder", -INF, -ORDER, "ignored"),
    ("height_to_neck", "left_hand", "above", "left_hand.above_neck", ORDER, INF, "eligible"),
    ("height_to_neck", "left_hand", "level", "left_hand.above_neck", -LEVEL, LEVEL, "eligible"),
    ("height_to_neck", "left_hand", "below", "left_hand.above_neck", -INF, -ORDER, "ignored"),
    ("height_to_hip", "left_hand", "above", "left_hand.above_hips", ORDER, INF, "ignored"),
    ("height_to_hip", "left_hand", "level", "left_hand.above_hips", -LEVEL, LEVEL, "eligible"),
    ("height_to_hip", "left_hand", "below", "left_hand.above_hips", -INF, -ORDER, "eligible"),
    ("height_to_shoulder", "left_elbow", "above", "left_elbow.above_shoulder", ORDER, INF, "rare"),
    ("height_to_shoulder", "left_elbow", "level", "left_elbow.above_shoulder", -LEVEL, LEVEL, "eligible"),
    ("height_to_shoulder", "left_elbow", "below", "left_elbow.above_shoulder", -INF, -ORDER, "ignored"),
    ("depth", "left_hand", "far_front", "left_hand.forward", 0.45, INF, "eligible"),
    ("depth", "left_hand", "front", "left_hand.forward", 0.2, INF, "eligible"),
    ("depth", "left_hand", "behind", "left_hand.forward", -INF, -0.12, "rare"),
    ("depth", "left_elbow", "front", "left_elbow.forward", ORDER, INF, "eligible"),
    ("depth", "left_elbow", "behind", "left_elbow.forward", -INF, -ORDER, "eligible"),
    ("side", "left_hand", "far_outward", "left_hand.outward", 0.45, INF, "eligible"),
    ("side", "left_hand", "outward", "left_hand.outward", 0.25, INF, "eligible"),
    ("side", "left_hand", "across", "left_hand.across", 0.05, INF, "rare"),
    ("side_to_shoulder", "left_hand", "outside", "left_hand.outward", ORDER, INF, "ignored"),
    ("side_to_shoulder", "left_hand", "in_line", "left_hand.outward", -LEVEL, LEVEL, "eligible"),
    ("side_to_shoulder", "left_hand", "inside", "left_hand.outward", -INF, -ORDER, "eligible"),
    ("side", "left_elbow", "outward", "left_elbow.outward", ORDER, INF, "eligible"),
    ("side", "left_elbow", "tucked", "left_elbow.outward", -INF, LEVEL, "eligible"),
    # a foot against its own hip, the torso and the other foot; a knee against its own hip
    ("side", "left_foot", "outward", "left_foot.outward", 0.3, INF, "rare"),
    ("side_to_hip", "left_foot", "outside", "left_foot.outward", ORDER, INF, "eligible"),
    ("side_to_hip", "left_foot", "in_line", "left_foot.outward", -LEVEL, LEVEL, "ignored"),
    ("side_to_hip", "left_foot", "inside", "left_foot.outward", -INF, -ORDER, "rare"),
    ("height", "left_foot", "hips", "left_foot.above_hips", -ORDER, INF, "rare"),
    ("depth_to_hip", "left_foot", "front", "left_foot.before_hip", ORDER, INF, "eligible"),
    ("depth_to_hip", "left_foot", "behind", "left_foot.before_hip", -INF, -ORDER, "eligible"),
    ("depth_to_torso", "left_foot", "front", "left_foot.before_torso", 0.25, INF, "eligible"),
    ("depth_to_torso", "left_foot", "behind", "left_foot.before_torso", -INF, -0.25, "eligible"),
    ("height_to_hip", "left_knee", "above", "left_knee.above_hip", ORDER, INF, "rare"),
    ("height_to_hip", "left_knee", "level", "left_knee.above_hip", -LEVEL, LEVEL, "eligible"),
    ("height_to_hip", "left_knee", "below", "left_knee.above_hip", -INF, -ORDER, "ignored"),
    ("depth_to_hip", "left_knee", "front", "left_knee.before_hip", 0.2, INF, "eligible"),
    ("depth_to_hip", "left_knee", "behind", "left_knee.before_hip", -INF, -ORDER, "eligible"),
    ("side_to_hip", "left_knee", "outside", "left_knee.outward", ORDER, INF, "eligible"),
    ("side_to_hip", "left_knee", "inside", "left_knee.outward", -INF, -0.1, "eligible"),
    # the ground
    ("ground", "left_foot", "off", "left_foot.ground", OFF_GROUND, INF, "rare"),
    ("ground", "left_foot", "on", "left_foot.ground", -INF, ON_GROUND, "ignored"),
    ("ground", "left_knee", "on", "left_knee.ground", -INF, ON_GROUND, "rare"),
    ("ground", "left_hand", "on", "left_hand.ground", -INF, ON_GROUND, "rare"),
    ("ground", "left_elbow", "on", "left_elbow.ground", -INF, ON_GROUND, "rare"),
    ("ground", "hips", "on", "pelvis.ground", -INF, 0.2, "rare"),
    ("ground", "head", "on", "head.ground", -INF, 0.1, "rare"),
    # the torso, against gravity and against the hips
    ("torso", "torso", "upside_down", "torso.tilt", 135.0, INF, "rare"),
    ("torso", "torso", "upright", "torso.tilt", -INF, 10.0, "ignored"),
    ("torso", "torso", "level", "torso.tilt", 80.0, 100.0, "rare"),
    ("torso", "torso", "far_forward", "torso.pitch", 50.0, 80.0, "rare"),
    ("torso", "torso", "forward", "torso.pitch", 20.0, 80.0, "eligible"),
    ("torso", "torso", "far_back", "torso.pitch", -80.0, -45.0, "rare"),
    ("torso", "torso", "back", "torso.pitch", -80.0, -15.0, "rare"),
    ("lean", "torso", "far_left", "torso.lean_left", 30.0, INF, "rare"),
    ("lean", "torso", "left", "torso.lean_left", 15.0, INF, "rare"),
    ("twist", "torso", "far_left", "torso.twist_left", 50.0, INF, "rare"),
    ("twist", "torso", "left", "torso.twist_left", 20.0, INF, "rare"),
    # the head, against the torso
    ("head", "head", "far_down", "head.pitch", 40.0, INF, "rare"),
    ("head", "head", "down", "head.pitch", 25.0, INF, "eligible"),
    ("head", "head", "up", "head.pitch", -INF, -20.0, "eligible"),
    ("head_tilt", "head", "left", "head.tilt_left", 15.0, INF, "rare"),
    ("head_rotation", "head", "far_left", "head.rotation_left", 40.0, INF, "rare"),
    ("head_rotation", "head", "left", "head.rotation_left", 20.0, INF, "eligible"),
)

# Where a foot is, what it is level with and how the torso leans mean something only if the body does not lie.
_CONDITIONS: dict[tuple[str, str], tuple[Range[str], ...]] = {
    ("lean", "torso"): UPRIGHT,
    ("height", "left_foot"): (Range("left_foot.ground", 0.3),),
    ("depth_to_hip", "left_foot"): UPRIGHT,
    ("depth_to_torso", "left_foot"): UPRIGHT,
    ("depth_to_hip", "left_knee"): UPRIGHT,
    ("height_to_hip", "left_knee"): UPRIGHT,
}

# The height of a hand follows whichever landmark it is level with; only an upright torso gives these an order.
_HAND_HEIGHTS = (
    ("above_head", (Range("left_hand.above_head", 0.0),)),
    ("head", (Range("left_hand.above_shoulder", 0.12), Range("left_hand.above_head", high=0.0))),
    ("shoulders", (Range("left_hand.above_shoulder", -0.1, 0.12),)),
    ("chest", (Range("left_hand.above_chest", -0.1, 0.1),)),
    ("hips", (Range("left_hand.above_hips", -0.12, 0.12),)),
    ("below_hips", (Range("left_hand.above_hips", high=-0.12),)),
)

# Parts that a part may be near to, the nearest first, with the largest distance in meters.
_NEAR: dict[str, tuple[tuple[str, float], ...]] = {
    "left_hand": (
        ("head", 0.22),
        *((f"{side}_{part}", NEAR) for part in ("hip", "shoulder") for side in ("left", "right")),
        ("right_elbow", NEAR),
        *((f"{side}_{part}", NEAR) for part in ("knee", "ankle", "foot") for side in ("left", "right")),
    ),
    "left_elbow": (("left_knee", NEAR), ("right_knee", NEAR)),
    "left_foot": (("right_knee", NEAR),),
    "left_knee": (("chest", 0.32),),
}


def elementary_rules() -> Iterator[Rule[Posecode, str]]:
    """The rules about left parts and about the whole; right parts have their mirror images."""
    for part in ("knee", "elbow"):
        yield from _scale("bend", f"left_{part}", part, f"left_{part}.angle", BENDS)
    for part in ("thigh", "shin", "upper_arm", "forearm"):
        yield from _scale("segment", f"left_{part}", part, f"left_{part}.tilt", SEGMENTS)
    yield from _hand_heights()
    for subject, targets in _NEAR.items():
        for target, reach in targets:
            yield Rule(Posecode("near", subject, target), (Range(f"{subject}.to_{target}", high=reach),), "rare")
    for part, both in PAIRS.items():
        yield from _pair_rules(part, both)
    for kind, subject, value, measure, low, high, eligibility in _ROWS:
        condition = _CONDITIONS.get((kind, subject), ())
        yield Rule(Posecode(kind, subject, value), (Range(measure, low, high),), eligibility, condition)


def _scale(
    kind: str, subject: str, part: str, measure: str, values: tuple[tuple[str, float, float], ...]
) -> Iterator[Rule[Posecode, str]]:
    for value, low, high in values:
        eligibility = ELIGIBILITY.get((kind, part, value), "eligible")
        yield Rule(Posecode(kind, subject, value), (Range(measure, low, high),), eligibility)


def _hand_heights() -> Iterator[Rule[Posecode, str]]:
    replaced = groups(*(f"height_to_{mark}=left_hand" for mark in ("shoulder", "neck", "hip")))
    for value, ranges in _HAND_HEIGHTS:
        yield Rule(Posecode("height", "left_hand", value), ranges, "eligible", UPRIGHT, replaced)


def _pair_rules(part: str, both: str) -> Iterator[Rule[Posecode, str]]:
    """The left part against the right one: how far apart, which is higher and further ahead, whether crossed."""
    yield from _scale("distance", both, both, f"{both}.distance", DISTANCES)
    order: Eligibility = "rare" if part == "knee" else "eligible"
    higher = Range(f"left_{part}.higher", ORDER)
    yield Rule(Posecode("order_height", f"left_{part}", "higher"), (higher,), order)
    level: Eligibility = "ignored" if part in ("knee", "foot") else "eligible"
    yield Rule(Posecode("level", both, "height"), (Range(f"left_{part}.higher", -LEVEL, LEVEL),), level)
    if part != "elbow":
        ahead = Range(f"left_{part}.ahead", ORDER)
        yield Rule(Posecode("order_depth", f"left_{part}", "ahead"), (ahead,), "eligible")
    crossed = Range(f"{both}.crossed", 0.1 if part in ("hand", "elbow") else 0.08)
    yield Rule(Posecode("crossing", both, "crossed"), (crossed,), "rare")
    if part in ("hand", "foot"):
        apart = Range(f"{both}.distance", 0.25)
        yield Rule(Posecode("line", both, "level"), (Range(f"{both}.slope", high=10.0), apart), "ignored")
        yield Rule(Posecode("line", both, "vertical"), (Range(f"{both}.slope", 80.0), apart), "rare")
