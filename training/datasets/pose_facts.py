"""Facts about poses that questions ask for: each is one of a few values, or None where a pose lies between them.

They are measured, with a gap between what counts as true and what counts as false.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.captions.codes import Array, Flags
from unipose.training.captions.measures import measure
from unipose.training.captions.posecodes import Posecode, holding
from unipose.training.sampling.balance import off_balance
from unipose.training.sampling.collisions import body_capsules


Values = list[str | None]
Measures = dict[str, Array]
SIDES = ("left", "right")

_POSTURES = {
    "sitting": ("sits", "sits_ground", "sits_cross_legged"),
    "kneeling": ("kneels_both", "kneels_left", "kneels_right"),
    "lying": ("lies_back", "lies_front", "lies_left", "lies_right"),
}
_LYING = {"back": "lies_back", "front": "lies_front", "left": "lies_left", "right": "lies_right"}
# Slack that a posture must exceed to be ruled out, in units of the reader's tolerance.
_SLACK = 1.5


def pose_facts(rotmats: torch.Tensor, body: BodyModel) -> dict[str, Values]:
    """The facts of poses.

    Args:
        rotmats: (n, 22, 3, 3) in the stored frame.
        body: the body that is measured.

    Returns:
        The kind of question -> for each pose the key of its answer, or None where the question does not fit.
    """
    joints = body.forward_joints(rotmats).numpy()
    measures = measure(joints, rotmats)
    postures = _postures(joints, rotmats.numpy(), measures)
    off = off_balance(rotmats, body, body_capsules(body)).numpy()
    facts = {"posture": postures, "balance": _first({"yes": off < -0.01, "no": off > 0.08})}
    for posture in ("standing", *_POSTURES):
        facts[posture] = ["yes" if value == posture else value for value in postures]
    facts["lying_side"] = [value if posture == "lying" else None for value, posture in zip(_lying(joints), postures)]
    return facts | _arm_facts(measures) | _leg_facts(measures, postures) | _trunk_facts(measures)


def _first(values: dict[str, Flags]) -> Values:
    """For each pose the first value whose flag is set."""
    flags = np.stack(list(values.values()))
    names = list(values)
    return [names[row] if some else None for row, some in zip(flags.argmax(axis=0).tolist(), flags.any(axis=0))]


def _sides(true: Callable[[str], Flags], false: Callable[[str], Flags], where: Flags | bool = True) -> Values:
    """Of which side something is true: "left", "right", "both" or "neither".

    Args:
        true: says of a side of which poses it is true.
        false: says of a side of which poses it is clearly false.
        where: the poses of which the question makes sense.
    """
    left, right, no_left, no_right = true("left"), true("right"), false("left"), false("right")
    values = {"both": left & right, "left": left & no_right, "right": right & no_left, "neither": no_left & no_right}
    return _first({name: flags & where for name, flags in values.items()})


def _between(values: Array, low: float, high: float) -> Flags:
    return (values >= low) & (values <= high)


def _postures(joints: npt.NDArray[np.float32], rotmats: npt.NDArray[np.float32], measures: Measures) -> Values:
    """Standing on legs that carry the body, or one of `_POSTURES`; None where more than one fits, or none."""
    kinds = {name: [Posecode("posture", "body", value) for value in values] for name, values in _POSTURES.items()}
    strict = {name: holding(codes, joints, 0.0, rotmats).any(axis=0) for name, codes in kinds.items()}
    loose = {name: holding(codes, joints, _SLACK, rotmats).any(axis=0) for name, codes in kinds.items()}
    lowest_foot = np.minimum(measures["left_foot.ground"], measures["right_foot.ground"])
    lowest_knee = np.minimum(measures["left_knee.ground"], measures["right_knee.ground"])
    hands = np.minimum(measures["left_hand.ground"], measures["right_hand.ground"])
    legs = np.maximum(measures["left_knee.angle"], measures["right_knee.angle"])
    up = (lowest_foot < 0.1) & (lowest_knee > 0.3) & (measures["pelvis.ground"] > 0.7) & (hands > 0.3) & (legs > 130)
    up &= measures["torso.tilt"] < 60
    flags = {"standing": up & ~np.any(list(loose.values()), axis=0)}
    for name in kinds:
        others = np.any([loose[other] for other in kinds if other != name], axis=0)
        flags[name] = strict[name] & ~others & ~up
    return _first(flags)


def _lying(joints: npt.NDArray[np.float32]) -> Values:
    codes = [Posecode("posture", "body", value) for value in _LYING.values()]
    return _first(dict(zip(_LYING, holding(codes, joints, 0.0))))


def _hand_place(measures: Measures, side: str) -> Values:
    """The place of a hand; near another part first."""
    other = "right" if side == "left" else "left"
    hand = {name.removeprefix(f"{side}_hand."): values for name, values in measures.items() if f"{side}_hand." in name}
    upright = measures["torso.tilt"] < 45
    near = {
        part: np.minimum(hand[f"to_{side}_{part}"], hand[f"to_{other}_{part}"]) for part in ("hip", "knee", "foot")
    }
    straight = measures[f"{side}_elbow.angle"] > 140
    hanging = upright & straight & (measures[f"{side}_upper_arm.tilt"] < 30) & (hand["above_hips"] < 0.05)
    return _first(
        {
            "floor": hand["ground"] < 0.1,
            "head": hand["to_head"] < 0.22,
            "above": upright & (hand["above_head"] > 0.05),
            "down": hanging & (hand["ground"] > 0.3),
            "knee": near["knee"] < 0.16,
            "foot": near["foot"] < 0.16,
            "hip": (near["hip"] < 0.17) & ~straight,
            "behind": upright & (hand["forward"] < -0.14),
            "front": upright & (hand["forward"] > 0.4),
            "side": upright & (hand["outward"] > 0.42),
        }
    )


def _arm_facts(measures: Measures) -> dict[str, Values]:
    upright = measures["torso.tilt"] < 45
    height = {side: measures[f"{side}_hand.above_shoulder"] for side in SIDES}
    raised = _sides(lambda side: height[side] > 0.15, lambda side: height[side] < -0.05, upright)
    facts = {"raised_arm": raised, "left_hand": _hand_place(measures, "left")}
    facts["right_hand"] = _hand_place(measures, "right")
    facts["hands"] = [left if left == right else None for left, right in zip(facts["left_hand"], facts["right_hand"])]
    for side, other in (SIDES, SIDES[::-1]):
        meaning = {side: "yes", "both": "yes", other: "other", "neither": "no", None: None}
        facts[f"{side}_arm_up"] = [meaning[value] for value in raised]
    higher, apart = measures["left_hand.higher"], measures["hands.distance"]
    facts["higher_hand"] = _first({"left": higher > 0.12, "right": higher < -0.12, "same": np.abs(higher) < 0.05})
    angle = {side: measures[f"{side}_elbow.angle"] for side in SIDES}
    facts["elbows"] = _sides(lambda side: angle[side] < 125, lambda side: angle[side] > 155)
    ground = {side: measures[f"{side}_hand.ground"] for side in SIDES}
    facts["hands_floor"] = _sides(lambda side: ground[side] < 0.1, lambda side: ground[side] > 0.25)
    facts["hands_together"] = _first({"yes": apart < 0.13, "no": apart > 0.35})
    elbow = np.maximum(measures["left_hand.to_right_elbow"], measures["right_hand.to_left_elbow"])
    facts["arms_crossed"] = _first({"yes": upright & (elbow < 0.22), "no": upright & (elbow > 0.38)})
    tilt = {side: measures[f"{side}_upper_arm.tilt"] for side in SIDES}
    out = {side: measures[f"{side}_hand.outward"] for side in SIDES}
    facts["arms_out"] = _sides(
        lambda side: _between(tilt[side], 65, 115) & (out[side] > 0.4),
        lambda side: (out[side] < 0.2) | (tilt[side] < 35),
        upright,
    )
    return facts


def _leg_facts(measures: Measures, postures: Values) -> dict[str, Values]:
    standing = np.array([posture == "standing" for posture in postures], dtype=bool)
    on_feet = standing & (measures["torso.tilt"] < 50)
    height = {side: measures[f"{side}_foot.ground"] for side in SIDES}
    lifted = _sides(lambda side: height[side] > 0.2, lambda side: height[side] < 0.1, on_feet)
    carrying = {"left": "right", "right": "left", "neither": "both", "both": None, None: None}
    distance, ahead = measures["feet.distance"], measures["left_foot.ahead"]
    level = np.maximum(height["left"], height["right"]) < 0.12
    angle = {side: measures[f"{side}_knee.angle"] for side in SIDES}
    knee = {side: measures[f"{side}_knee.ground"] for side in SIDES}
    crossed = measures["feet.crossed"]
    return {
        "raised_leg": [None if value == "both" else value for value in lifted],
        "standing_leg": [carrying[value] for value in lifted],
        "feet_apart": _first({"yes": distance > 0.45, "no": distance < 0.22}),
        "front_foot": _first(
            {
                "left": on_feet & level & (ahead > 0.2),
                "right": on_feet & level & (ahead < -0.2),
                "neither": on_feet & level & (np.abs(ahead) < 0.07),
            }
        ),
        "knees": _sides(lambda side: angle[side] < 130, lambda side: angle[side] > 160),
        "knee_down": _sides(lambda side: knee[side] < 0.12, lambda side: knee[side] > 0.25),
        "legs_crossed": _first({"yes": (crossed > 0.08) & (distance < 0.4), "no": crossed < -0.05}),
        "bottom_down": _first({"yes": measures["pelvis.ground"] < 0.18, "no": measures["pelvis.ground"] > 0.35}),
    }


def _trunk_facts(measures: Measures) -> dict[str, Values]:
    pitch, turn, tilt = measures["head.pitch"], measures["head.rotation_left"], measures["torso.tilt"]
    lean, bend = measures["torso.lean_left"], measures["torso.pitch"]
    twist = measures["torso.twist_left"]
    upright = tilt < 60
    centered, level = np.abs(turn) < 12, _between(pitch, -15, 18)
    return {
        "looking": _first(
            {
                "left": (turn > 25) & level,
                "right": (turn < -25) & level,
                "up": (pitch < -20) & centered,
                "down": (pitch > 28) & centered,
                "straight": centered & _between(pitch, -10, 12) & (tilt < 15),
            }
        ),
        "leaning": _first(
            {
                "forward": upright & (bend > 20) & (np.abs(lean) < 12),
                "back": upright & (bend < -15) & (np.abs(lean) < 10),
                "left": upright & (lean > 15) & (np.abs(bend) < 15),
                "right": upright & (lean < -15) & (np.abs(bend) < 15),
                "upright": tilt < 9,
            }
        ),
        "twisted": _first({"left": twist > 20, "right": twist < -20, "no": np.abs(twist) < 8}),
        "upside_down": _first({"yes": tilt > 125, "no": tilt < 80}),
    }
