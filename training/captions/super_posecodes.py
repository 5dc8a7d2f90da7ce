"""Super posecodes: combinations of measurements, and the elementary groups that they make superfluous.

Postures are about the whole body, `arms` about both arms, `leg` and `legs` about a leg or both legs, `support` about
the parts that carry the body. In each table the first that fits is stated.
"""

from collections.abc import Iterator

from unipose.training.captions.codes import Group, Posecode, Range, Rule, groups, pair
from unipose.training.captions.elementary_posecodes import OFF_GROUND, ON_GROUND, ORDER, UPRIGHT


_Row = tuple[str, tuple[Range[str], ...], tuple[Group, ...]]

_FEET_DOWN = pair("foot.ground", high=0.17)
_FEET_LOW = pair("foot.ground", high=0.25)
_UPRIGHT_ENOUGH = Range("torso.tilt", high=60.0)
_KNEES_UP = pair("knee.ground", OFF_GROUND)
_KNEEL = (Range("left_knee.ground", high=0.15), Range("torso.tilt", high=50.0))
_KNEEL_BOTH = (*_KNEEL, Range("right_knee.ground", high=0.15))
_LYING = (Range("torso.tilt", 60.0, 120.0), Range("pelvis.ground", high=0.25))
_ON_SIDE = (Range("torso.tilt", 60.0, 120.0), Range("pelvis.ground", high=0.35))
_ONE_LEG = (*pair("knee.angle", 130.0), Range("right_foot.ground", high=0.1), Range("left_foot.ground", 0.2))
_HANDS_DOWN = pair("hand.ground", high=0.15)
_SIT_GROUND = (Range("pelvis.ground", high=0.2), Range("torso.tilt", high=50.0))

_LEGS = groups("bend:knee", "segment:thigh", "segment:shin")
_LEG_PLACES = groups("depth_to_hip:knee", "height_to_hip:knee", "depth_to_hip:foot", "depth_to_torso:foot")
_SIT_LEGS = (*groups("segment:thigh", "height_to_hip:knee", "depth_to_hip:knee"), ("torso", "torso"))
_ARM_PLACES = groups("height_to_shoulder:hand", "height_to_neck:hand", "height_to_hip:hand", "side_to_shoulder:hand")
_LEFT_ARM_PLACES = groups(*(f"{kind}=left_hand" for kind, subject in _ARM_PLACES if subject == "left_hand"))
_LEFT_ARM = groups(
    *("bend=left_elbow", "height=left_hand", "segment=left_upper_arm", "segment=left_forearm", "side=left_hand"),
    *("side=left_elbow", "depth=left_elbow", "height_to_shoulder=left_elbow"),
)
_ARMS = (
    *groups("bend:elbow", "height:hand", "segment:upper_arm", "segment:forearm", "side:hand", "side:elbow"),
    *groups("depth:elbow", "height_to_shoulder:elbow"),
    *_ARM_PLACES,
)
_HANDS = groups("distance=hands", "level=hands", "line=hands", "distance=elbows", "level=elbows")
_LYING_GROUPS = groups("torso=torso", "ground=hips", "ground=head", "ground:hand", "ground:elbow", "ground:knee")
_FEET = groups("distance=feet", "order_depth:foot", "level=feet")

POSTURES: tuple[_Row, ...] = (
    ("lies_back", (*_LYING, Range("torso.facing", 45.0)), _LYING_GROUPS),
    # With the knees in front it is a fold over the thighs: a child's pose, a reach for the toes.
    (
        "lies_front",
        (*_LYING, Range("torso.facing", high=-45.0), *pair("knee.before_pelvis", high=0.05)),
        _LYING_GROUPS,
    ),
    (
        "lies_left",
        (*_ON_SIDE, Range("torso.lean_left", 50.0), Range("torso.facing", -40.0, 40.0)),
        _LYING_GROUPS,
    ),
    (
        "handstand",
        (Range("torso.tilt", 125.0), *_HANDS_DOWN, *pair("foot.above_hips", 0.2)),
        (*_ARMS, *groups("torso=torso", "ground:hand", "ground:foot")),
    ),
    (
        "all_fours",
        (
            *pair("knee.ground", high=0.2),
            *pair("hand.ground", high=0.2),
            Range("torso.tilt", 55.0, 125.0),
            Range("pelvis.ground", 0.3),
        ),
        (*groups("torso=torso", "ground:knee", "ground:hand", "segment:shin"), *_ARM_PLACES),
    ),
    (
        "plank",
        (
            *pair("hand.ground", high=0.2),
            *_FEET_DOWN,
            *_KNEES_UP,
            *pair("knee.angle", 145.0),
            Range("torso.tilt", 50.0, 110.0),
            Range("torso.facing", high=-30.0),
            Range("pelvis.ground", high=0.6),
        ),
        (*groups("torso=torso", "ground:hand", "bend:knee"), *_ARM_PLACES),
    ),
    (
        "bridge",
        (
            *pair("hand.ground", high=0.2),
            *_FEET_DOWN,
            Range("torso.facing", 35.0),
            Range("torso.tilt", 55.0),
            Range("pelvis.ground", 0.3),
        ),
        (*groups("torso=torso", "ground:hand"), *_ARM_PLACES),
    ),
    (
        "sits_cross_legged",
        (*_SIT_GROUND, *pair("knee.angle", high=95.0), Range("feet.distance", high=0.35), *pair("knee.outward", 0.12)),
        (*_SIT_LEGS, *groups("ground=hips", "side_to_hip:knee", "ground:foot"), *_FEET),
    ),
    (
        "sits_ground",
        # With the legs behind it is a cobra.
        (*_SIT_GROUND, *pair("thigh.tilt", 60.0), *pair("knee.before_pelvis", 0.05)),
        groups("ground=hips", "depth_to_hip:knee", "segment:thigh"),
    ),
    (
        "sits_heels",
        (*_KNEEL_BOTH, *pair("hip.to_ankle", high=0.3)),
        (*groups("ground:knee", "ground=hips"), *_LEGS, *_LEG_PLACES),
    ),
    (
        "kneels_both",
        (*_KNEEL_BOTH, Range("pelvis.ground", 0.25)),
        (*groups("ground:knee", "segment:shin", "segment:thigh"), *_LEG_PLACES),
    ),
    (
        "kneels_left",
        (*_KNEEL, Range("right_knee.ground", 0.25), Range("right_foot.ground", high=0.17)),
        (
            *groups("ground:knee", "order_depth:foot", "order_height:knee", "order_depth:knee", "depth_to_hip:foot"),
            ("segment", "left_shin"),
            ("segment", "left_thigh"),
            ("depth_to_torso", "right_foot"),
        ),
    ),
    (
        "sits",
        (
            *_FEET_DOWN,
            *pair("thigh.tilt", 70.0, 110.0),
            *pair("foot.before_pelvis", 0.3),
            Range("torso.tilt", high=35.0),
        ),
        (*_SIT_LEGS, *_LEG_PLACES),
    ),
    (
        "squats",
        (
            *_FEET_DOWN,
            *_KNEES_UP,
            *pair("knee.angle", high=105.0),
            *pair("foot.before_pelvis", high=0.35),
            *pair("foot.ahead", -0.25, 0.25),
            Range("torso.tilt", high=65.0),
            Range("torso.pitch", -30.0),
        ),
        (*groups("segment:thigh", "height_to_hip:knee"), *_LEG_PLACES),
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
        (*groups("segment:thigh", "order_depth:knee"), *_FEET, *_LEG_PLACES),
    ),
    (
        "side_lunges_left",
        (
            Range("left_knee.angle", high=135.0),
            Range("right_knee.angle", 150.0),
            Range("feet.distance", 0.6),
            Range("left_foot.ahead", -0.35, 0.35),
            *_FEET_DOWN,
            Range("torso.tilt", high=50.0),
        ),
        (*groups("distance=feet", "segment:thigh"), *groups("side:foot")),
    ),
    (
        "kicks_left",
        # Bent far forward it is a balance with the leg behind.
        (
            *_ONE_LEG,
            Range("left_thigh.tilt", 55.0),
            Range("left_foot.above_hips", -0.35),
            Range("torso.pitch", high=45.0),
        ),
        (
            ("ground", "left_foot"),
            *groups("order_height:foot", "order_height:knee"),
            *_FEET,
        ),
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
        (
            ("ground", "left_foot"),
            ("ground", "right_foot"),
            ("distance", "feet"),
            ("bend", "right_knee"),
            *groups("order_height:foot"),
        ),
    ),
    (
        "bends_forward",
        (*_FEET_DOWN, *pair("knee.angle", 115.0), Range("torso.pitch", 45.0, 150.0), Range("pelvis.ground", 0.4)),
        (("torso", "torso"),),
    ),
    (
        "steps_left",
        (
            Range("left_foot.ahead", 0.25),
            Range("left_foot.ground", high=0.25),
            Range("right_foot.ground", high=0.25),
            *pair("knee.angle", 125.0),
            Range("torso.tilt", high=30.0),
        ),
        (*groups("segment:thigh", "depth_to_hip:foot"), *_FEET),
    ),
    (
        "crouches",
        (
            *_FEET_DOWN,
            *_KNEES_UP,
            *pair("knee.angle", 95.0, 145.0),
            *pair("foot.ahead", -0.3, 0.3),
            Range("torso.tilt", high=55.0),
        ),
        (*groups("segment:thigh"), *_LEG_PLACES),
    ),
    (
        "stands",
        (*_FEET_DOWN, *pair("knee.angle", 145.0), *pair("thigh.tilt", high=40.0), Range("torso.tilt", high=30.0)),
        (*_LEGS, *groups("ground:foot", "level=feet")),
    ),
    # looser postures for the remaining poses
    (
        "stoops",
        (*_FEET_DOWN, Range("torso.pitch", 45.0, 150.0), Range("pelvis.ground", 0.3)),
        (("torso", "torso"),),
    ),
    (
        "balances_right",
        (
            Range("right_knee.angle", 100.0),
            Range("right_foot.ground", high=0.12),
            Range("left_foot.ground", OFF_GROUND),
            Range("torso.tilt", high=60.0),
        ),
        (("ground", "left_foot"), ("ground", "right_foot"), *groups("order_height:foot")),
    ),
    (
        "tips_right",
        (
            Range("right_foot.ground", high=0.12),
            Range("left_foot.ground", 0.3),
            Range("pelvis.ground", 0.5),
            Range("torso.tilt", 50.0, 130.0),
        ),
        (("ground", "left_foot"), ("ground", "right_foot"), *groups("order_height:foot")),
    ),
    (
        "staggered_left",
        (*_FEET_LOW, Range("left_foot.ahead", 0.3), *pair("knee.angle", 90.0), Range("torso.tilt", high=60.0)),
        (*groups("order_depth:foot", "distance=feet", "level=feet"),),
    ),
    (
        "one_bent_left",
        (*_FEET_LOW, Range("left_knee.angle", high=140.0), Range("right_knee.angle", 145.0), _UPRIGHT_ENOUGH),
        (),
    ),
    (
        "low",
        (*_FEET_LOW, *_KNEES_UP, *pair("knee.angle", high=145.0), _UPRIGHT_ENOUGH),
        (),
    ),
)

ARM_POSES: tuple[_Row, ...] = (
    (
        "overhead",
        (*pair("hand.above_head", 0.0), *pair("elbow.angle", 110.0)),
        (*groups("height:hand", "height_to_shoulder:elbow"), *_ARM_PLACES),
    ),
    ("on_head", pair("hand.to_head", high=0.24), (*groups("near:hand", "height:hand", "bend:elbow"), *_ARM_PLACES)),
    (
        "goalpost",
        (*pair("upper_arm.tilt", 70.0, 115.0), *pair("forearm.tilt", 140.0), *pair("elbow.outward", ORDER)),
        (*_ARMS, *groups("distance=elbows", "distance=hands")),
    ),
    (
        "left_up",
        (Range("left_hand.above_head", 0.0), Range("right_hand.above_shoulder", high=-0.05)),
        (*groups("order_height:hand", "order_height:elbow", "height=left_hand"), *_LEFT_ARM_PLACES),
    ),
    ("t_pose", (*pair("upper_arm.tilt", 70.0, 110.0), *pair("hand.outward", 0.38)), (*_ARMS, *_HANDS)),
    (
        "forward",
        (*pair("hand.forward", 0.4), *pair("elbow.angle", 135.0), *pair("hand.above_shoulder", -0.2, 0.2)),
        (*groups("depth:hand", "height:hand", "segment:upper_arm", "bend:elbow", "depth:elbow"), *_ARM_PLACES),
    ),
    (
        "on_hips",
        (Range("left_hand.to_left_hip", high=0.2), Range("right_hand.to_right_hip", high=0.2)),
        (*groups("near:hand", "height:hand"), *_ARM_PLACES),
    ),
    (
        "crossed",
        (Range("left_hand.to_right_elbow", high=0.24), Range("right_hand.to_left_elbow", high=0.24)),
        (
            *groups("near:hand", "side:hand", "height:hand", "depth:hand", "crossing=hands", "crossing=elbows"),
            *_HANDS,
            *_ARM_PLACES,
        ),
    ),
    (
        "behind_back",
        (*pair("hand.forward", high=-0.08), Range("hands.distance", high=0.3)),
        (*groups("depth:hand", "side:hand", "crossing=hands", "depth:elbow"), *_HANDS, *_ARM_PLACES),
    ),
    (
        "clasped",
        (Range("hands.distance", high=0.15), *pair("hand.forward", 0.1), *pair("elbow.angle", high=150.0)),
        (*groups("depth:hand", "side:hand", "crossing=hands"), *_HANDS, *groups("side_to_shoulder:hand")),
    ),
    (
        "guard",
        (
            *pair("elbow.angle", high=105.0),
            *pair("hand.above_chest", 0.05),
            *pair("hand.above_head", high=0.05),
            *pair("hand.forward", 0.12),
            *pair("elbow.above_shoulder", high=-0.05),
        ),
        (*groups("depth:hand", "bend:elbow"), *_ARM_PLACES),
    ),
    (
        "on_knees",
        (Range("left_hand.to_left_knee", high=0.2), Range("right_hand.to_right_knee", high=0.2)),
        (*groups("near:hand", "height:hand"), *_ARM_PLACES),
    ),
    (
        "swept_back",
        (*pair("hand.forward", high=-0.25), *pair("elbow.angle", 130.0)),
        (*groups("depth:hand", "depth:elbow", "bend:elbow"), *_ARM_PLACES),
    ),
    (
        "low_wings",
        (*pair("upper_arm.tilt", 30.0, 70.0), *pair("elbow.angle", 140.0), *pair("hand.outward", 0.22)),
        (*_ARMS, *_HANDS),
    ),
    (
        "left_on_hip",
        (Range("left_hand.to_left_hip", high=0.2), Range("left_elbow.angle", high=130.0)),
        (*groups("near=left_hand", "height=left_hand"), *_LEFT_ARM_PLACES),
    ),
    (
        "left_out",
        (Range("left_upper_arm.tilt", 70.0, 110.0), Range("left_hand.outward", 0.38)),
        (*_LEFT_ARM, *_LEFT_ARM_PLACES),
    ),
    (
        "left_forward",
        (
            Range("left_hand.forward", 0.45),
            Range("left_elbow.angle", 140.0),
            Range("left_hand.above_shoulder", -0.2, 0.2),
        ),
        (*_LEFT_ARM, *groups("depth=left_hand", "order_depth:hand"), *_LEFT_ARM_PLACES),
    ),
    (
        "down",
        (*pair("upper_arm.tilt", high=30.0), *pair("elbow.angle", 140.0), *pair("hand.forward", -0.25, 0.25)),
        (*_ARMS, *groups("depth:hand"), *_HANDS),
    ),
)

# One leg, and both legs together; they combine with any posture.
LEG_POSES: tuple[_Row, ...] = (
    (
        "raised_front",
        (Range("left_knee.angle", 145.0), Range("left_thigh.tilt", 50.0), Range("left_foot.before_hip", 0.45)),
        groups("depth_to_hip=left_foot", "depth_to_torso=left_foot", "depth_to_hip=left_knee"),
    ),
    (
        "raised_back",
        (Range("left_knee.angle", 135.0), Range("left_foot.before_hip", high=-0.45), Range("left_foot.ground", 0.2)),
        groups("depth_to_hip=left_foot", "depth_to_torso=left_foot", "depth_to_hip=left_knee"),
    ),
    (
        "raised_side",
        (Range("left_knee.angle", 135.0), Range("left_foot.outward", 0.4), Range("left_foot.ground", 0.2)),
        groups("side=left_foot", "side_to_hip=left_foot", "side_to_hip=left_knee"),
    ),
    (
        "heel_up",
        (Range("left_knee.angle", high=80.0), Range("left_thigh.tilt", high=40.0), Range("left_foot.ground", 0.2)),
        groups("bend=left_knee", "segment=left_shin"),
    ),
    (
        "knee_up",
        (Range("left_knee.angle", high=120.0), Range("left_knee.above_hip", -0.08), Range("left_foot.ground", 0.2)),
        groups("segment=left_thigh", "height_to_hip=left_knee", "order_height=left_knee"),
    ),
)
LEGS_POSES: tuple[_Row, ...] = (
    ("crossed", (Range("feet.crossed", 0.08), Range("feet.distance", high=0.4)), groups("crossing=feet")),
    (
        "spread",
        (*pair("knee.angle", 140.0), Range("feet.distance", 0.7), Range("knees.distance", 0.4)),
        groups("distance=feet", "distance=knees"),
    ),
    (
        "together",
        (Range("feet.distance", high=0.2), Range("knees.distance", high=0.25), *pair("knee.angle", 150.0)),
        groups("distance=feet", "distance=knees"),
    ),
)
SUPPORTS: tuple[_Row, ...] = (
    (
        "hands_feet",
        (*_HANDS_DOWN, *_FEET_DOWN, *_KNEES_UP, Range("torso.tilt", 50.0)),
        groups("ground:hand", "ground:foot"),
    ),
    ("left_hand", (Range("left_hand.ground", high=ON_GROUND), Range("right_hand.ground", 0.25)), ()),
)


# kind, subject and table; the words for arms need an upright torso.
_TABLES: tuple[tuple[str, str, tuple[_Row, ...], tuple[Range[str], ...]], ...] = (
    ("posture", "body", POSTURES, ()),
    ("arms", "arms", ARM_POSES, UPRIGHT),
    ("leg", "left_leg", LEG_POSES, UPRIGHT),
    ("legs", "legs", LEGS_POSES, ()),
    ("support", "body", SUPPORTS, ()),
)


def super_rules() -> Iterator[Rule[Posecode, str]]:
    """The rules of all tables; rows about the left side stand for their mirror image too."""
    for kind, subject, rows, condition in _TABLES:
        for value, ranges, replaced in rows:
            yield Rule(Posecode(kind, subject, value), ranges, "rare", condition, replaced)
