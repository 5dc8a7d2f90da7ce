"""Measurements of a pose: distances, heights, angles between limbs, each a named number.

Joints are (poses, 22, 3), metres, y up, in `JOINT_NAMES` order; the heading does not matter. Above and below follow
gravity, in front and to the side follow the body. Measurements are in metres and degrees.
"""

import numpy as np
import numpy.typing as npt

from unipose.processing.pose_features import JOINT_NAMES


Array = npt.NDArray[np.float64]

# The hand is taken this far beyond the wrist, the top of the head this far beyond the head joint (metres).
HAND_REACH = 0.08
HEAD_REACH = 0.11
# The neck-to-head direction of the rest pose leans forward by this much (degrees).
HEAD_REST_PITCH = 19.0


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _dot(first: Array, second: Array) -> Array:
    return (first * second).sum(-1)


def _degrees_between(first: Array, second: Array) -> Array:
    return np.degrees(np.arccos(np.clip(_dot(_unit(first), _unit(second)), -1.0, 1.0)))


def heading(axes: npt.ArrayLike) -> Array:
    """The angle, about the vertical, that a body has turned from facing +z.

    It is the twist of the rotation about the y axis, which stays defined for a body that bends, lies or leans. For one
    that is upside down the twist says nothing: there the body's left axis decides.

    Args:
        axes: (n, 3, 3) rotation matrices whose columns are the body's left, up and forward axes in a y-up world.

    Returns:
        (n,) radians; turning left is positive.
    """
    axes = np.asarray(axes, dtype=np.float64)
    twist = np.arctan2(axes[:, 0, 2] - axes[:, 2, 0], axes[:, 0, 0] + axes[:, 2, 2])
    return np.where(axes[:, 1, 1] > -0.7, twist, np.arctan2(-axes[:, 2, 0], axes[:, 0, 0]))


def _axes(up: Array, across: Array) -> Array:
    """(n, 3, 3), columns left, up, forward, from the up axis and a direction that points roughly left."""
    up = _unit(up)
    left = _unit(across - _dot(across, up)[:, None] * up)
    return np.stack([left, up, np.cross(left, up)], axis=-1)


def body_points(joints: npt.ArrayLike) -> dict[str, Array]:
    """The named points that statements are about: the 22 joints, the hands and the top of the head; (n, 3) each."""
    joints = np.asarray(joints, dtype=np.float64)
    points = {name: joints[:, index] for index, name in enumerate(JOINT_NAMES)}
    for side in ("left", "right"):
        wrist = points[f"{side}_wrist"]
        points[f"{side}_hand"] = wrist + HAND_REACH * _unit(wrist - points[f"{side}_elbow"])
    points["head_top"] = points["head"] + HEAD_REACH * _unit(points["head"] - points["neck"])
    return points


def measure(joints: npt.ArrayLike) -> dict[str, Array]:
    """Every measurement of (n, 22, 3) joints, as "<part>.<quantity>" -> (n,) in metres or degrees."""
    points = body_points(joints)
    shoulders = points["left_shoulder"] - points["right_shoulder"]
    torso = _axes(points["neck"] - points["pelvis"], shoulders)
    hips = _axes(points["neck"] - points["pelvis"], points["left_hip"] - points["right_hip"])
    turn = heading(hips)
    ground = np.stack([point[:, 1] for point in points.values()]).min(axis=0)
    measures = _measure_torso(points, torso, hips, turn)
    measures["pelvis.ground"] = points["pelvis"][:, 1] - ground
    for side, other in (("left", "right"), ("right", "left")):
        measures |= _measure_arm(points, side, other, torso)
        measures |= _measure_leg(points, side, other, hips, turn)
        for part in ("hand", "knee"):
            measures[f"{side}_{part}.ground"] = points[f"{side}_{part}"][:, 1] - ground
        lowest = np.minimum(points[f"{side}_ankle"][:, 1], points[f"{side}_foot"][:, 1])
        measures[f"{side}_foot.ground"] = lowest - ground
    for name, part in (("hands", "hand"), ("feet", "ankle"), ("knees", "knee")):
        measures[f"{name}.distance"] = np.linalg.norm(points[f"left_{part}"] - points[f"right_{part}"], axis=-1)
    return measures


def _measure_torso(points: dict[str, Array], torso: Array, hips: Array, turn: Array) -> dict[str, Array]:
    up = torso[..., 1]
    lean_left = np.degrees(np.arcsin(np.clip(up[:, 0] * np.cos(turn) - up[:, 2] * np.sin(turn), -1.0, 1.0)))
    ahead = up[:, 0] * np.sin(turn) + up[:, 2] * np.cos(turn)
    twist = np.arctan2(_dot(np.cross(hips[..., 0], torso[..., 0]), up), _dot(hips[..., 0], torso[..., 0]))
    head = np.einsum("nji,nj->ni", torso, points["head"] - points["neck"])
    return {
        "torso.tilt": np.degrees(np.arccos(np.clip(up[:, 1], -1.0, 1.0))),
        # Fades out as the torso leans to a side: what lies on its side is bent neither way.
        "torso.pitch": np.degrees(np.arctan2(ahead, up[:, 1])) * np.hypot(ahead, up[:, 1]),
        "torso.lean_left": lean_left,
        "torso.lean_right": -lean_left,
        "torso.twist_left": np.degrees(twist),
        "torso.twist_right": -np.degrees(twist),
        "torso.facing": np.degrees(np.arcsin(np.clip(torso[:, 1, 2], -1.0, 1.0))),
        "head.pitch": np.degrees(np.arctan2(head[:, 2], head[:, 1])) - HEAD_REST_PITCH,
    }


def _measure_arm(points: dict[str, Array], side: str, other: str, torso: Array) -> dict[str, Array]:
    hand, elbow, shoulder = (points[f"{side}_{part}"] for part in ("hand", "elbow", "shoulder"))
    outward = 1.0 if side == "left" else -1.0
    from_spine = np.einsum("nji,nj->ni", torso, hand - points["pelvis"])
    from_shoulder = np.einsum("nji,nj->ni", torso, hand - shoulder)
    down = np.array([0.0, -1.0, 0.0])
    measures = {
        f"{side}_elbow.angle": _degrees_between(shoulder - elbow, hand - elbow),
        f"{side}_upper_arm.tilt": _degrees_between(elbow - shoulder, down),
        f"{side}_forearm.tilt": _degrees_between(hand - elbow, down),
        f"{side}_hand.forward": from_spine[:, 2],
        f"{side}_hand.outward": outward * from_shoulder[:, 0],
        f"{side}_hand.across": -outward * from_spine[:, 0],
        f"{side}_hand.above_head": hand[:, 1] - points["head_top"][:, 1],
        f"{side}_hand.above_shoulder": hand[:, 1] - shoulder[:, 1],
        f"{side}_hand.above_chest": hand[:, 1] - points["spine3"][:, 1],
        f"{side}_hand.above_hips": hand[:, 1] - points["pelvis"][:, 1],
    }
    targets = [f"{which}_{part}" for which in (side, other) for part in ("hip", "shoulder", "knee", "ankle")]
    for target in ("head", f"{other}_elbow", *targets):
        measures[f"{side}_hand.to_{target}"] = np.linalg.norm(hand - points[target], axis=-1)
    return measures


def _measure_leg(points: dict[str, Array], side: str, other: str, hips: Array, turn: Array) -> dict[str, Array]:
    hip, knee, ankle = (points[f"{side}_{part}"] for part in ("hip", "knee", "ankle"))
    outward = 1.0 if side == "left" else -1.0
    ahead = ankle - points[f"{other}_ankle"]
    from_hip = np.einsum("nji,nj->ni", hips, ankle - hip)
    from_pelvis = ankle - points["pelvis"]
    down = np.array([0.0, -1.0, 0.0])
    return {
        f"{side}_knee.angle": _degrees_between(hip - knee, ankle - knee),
        f"{side}_thigh.tilt": _degrees_between(knee - hip, down),
        f"{side}_shin.tilt": _degrees_between(ankle - knee, down),
        f"{side}_foot.ahead": ahead[:, 0] * np.sin(turn) + ahead[:, 2] * np.cos(turn),
        f"{side}_foot.before_pelvis": from_pelvis[:, 0] * np.sin(turn) + from_pelvis[:, 2] * np.cos(turn),
        f"{side}_foot.higher": ahead[:, 1],
        f"{side}_foot.outward": outward * from_hip[:, 0],
        f"{side}_foot.above_hips": ankle[:, 1] - points["pelvis"][:, 1],
    }
