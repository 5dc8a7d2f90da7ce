"""Measurements of a pose: distances, heights, angles between limbs, each a named number.

Joints are (poses, 22, 3), meters, y up, in `JOINT_NAMES` order; the heading does not matter. Above and below follow
gravity, in front and to the side follow the body. Measurements are in meters and degrees.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.captions.codes import Array
from unipose.training.geometry import heading


# The hand is this far beyond the wrist, the top of the head this far beyond the head joint (meters).
HAND_REACH = 0.08
HEAD_REACH = 0.11
# The neck-to-head direction of the rest pose leans forward by this much (degrees).
HEAD_REST_PITCH = 19.0
# Paired parts, and the name of the pair.
PAIRS = {"hand": "hands", "elbow": "elbows", "knee": "knees", "foot": "feet"}


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _dot(first: Array, second: Array) -> Array:
    return (first * second).sum(-1)


def _degrees_between(first: Array, second: Array) -> Array:
    return np.degrees(np.arccos(np.clip(_dot(_unit(first), _unit(second)), -1.0, 1.0)))


def _axes(up: Array, across: Array) -> Array:
    """(n, 3, 3), columns left, up, forward, from the up axis and a direction that points roughly left."""
    up = _unit(up)
    left = _unit(across - _dot(across, up)[:, None] * up)
    return np.stack([left, up, np.cross(left, up)], axis=-1)


def torso_axes(points: dict[str, Array]) -> Array:
    """The left, up and forward axes of the torso, as its shoulders are rotated: (n, 3, 3), columns."""
    return _axes(points["neck"] - points["pelvis"], points["left_shoulder"] - points["right_shoulder"])


def hip_axes(points: dict[str, Array]) -> Array:
    """The same, as its hips are rotated."""
    return _axes(points["neck"] - points["pelvis"], points["left_hip"] - points["right_hip"])


def body_points(joints: npt.ArrayLike) -> dict[str, Array]:
    """The named points that statements are about: the 22 joints, the hands and the top of the head; (n, 3) each."""
    joints = np.asarray(joints, dtype=np.float64)
    points = {name: joints[:, index] for index, name in enumerate(JOINT_NAMES)}
    for side in ("left", "right"):
        wrist = points[f"{side}_wrist"]
        points[f"{side}_hand"] = wrist + HAND_REACH * _unit(wrist - points[f"{side}_elbow"])
    points["head_top"] = points["head"] + HEAD_REACH * _unit(points["head"] - points["neck"])
    return points


def measure(joints: npt.ArrayLike, rotmats: npt.ArrayLike | None = None) -> dict[str, Array]:
    """Every measurement of poses, by name.

    Args:
        joints: (n, 22, 3), meters, y up.
        rotmats: (n, 22, 3, 3), the rotations of the same poses, any frame. They are needed for one measurement only,
            the rotation of the head, which joints do not show; without them it is NaN, and NaN fits no range.

    Returns:
        "<part>.<quantity>" -> (n,) in meters or degrees.
    """
    points = body_points(joints)
    torso, hips = torso_axes(points), hip_axes(points)
    yaw = heading(hips)
    measures = _measure_torso(points, torso, hips, yaw) | _measure_head(points, torso, rotmats)
    measures |= _measure_ground(points) | _measure_pairs(points, torso, hips)
    for side, other in (("left", "right"), ("right", "left")):
        measures |= _measure_arm(points, side, other, torso)
        measures |= _measure_leg(points, side, other, hips, yaw)
    return measures


def _measure_torso(points: dict[str, Array], torso: Array, hips: Array, yaw: Array) -> dict[str, Array]:
    up = torso[..., 1]
    lean_left = np.degrees(np.arcsin(np.clip(up[:, 0] * np.cos(yaw) - up[:, 2] * np.sin(yaw), -1.0, 1.0)))
    ahead = _ahead(up, yaw)
    twist = np.arctan2(_dot(np.cross(hips[..., 0], torso[..., 0]), up), _dot(hips[..., 0], torso[..., 0]))
    return {
        "torso.tilt": np.degrees(np.arccos(np.clip(up[:, 1], -1.0, 1.0))),
        # Fades out as the torso leans to a side: what lies on its side is bent neither way.
        "torso.pitch": np.degrees(np.arctan2(ahead, up[:, 1])) * np.hypot(ahead, up[:, 1]),
        "torso.lean_left": lean_left,
        "torso.lean_right": -lean_left,
        "torso.twist_left": np.degrees(twist),
        "torso.twist_right": -np.degrees(twist),
        "torso.facing": np.degrees(np.arcsin(np.clip(torso[:, 1, 2], -1.0, 1.0))),
    }


def _measure_head(points: dict[str, Array], torso: Array, rotmats: npt.ArrayLike | None) -> dict[str, Array]:
    """Pitch and tilt of the line from neck to head; rotation of neck and head against the chest."""
    head = in_frame(torso, points["head"] - points["neck"])
    tilt = np.degrees(np.arctan2(head[:, 0], np.hypot(head[:, 1], head[:, 2])))
    rotation = np.full(len(tilt), np.nan)
    if rotmats is not None:
        local = np.asarray(rotmats, dtype=np.float64)
        forward = (local[:, JOINT_NAMES.index("neck")] @ local[:, JOINT_NAMES.index("head")])[..., 2]
        rotation = np.degrees(np.arctan2(forward[:, 0], forward[:, 2]))
    return {
        "head.pitch": np.degrees(np.arctan2(head[:, 2], head[:, 1])) - HEAD_REST_PITCH,
        "head.tilt_left": tilt,
        "head.tilt_right": -tilt,
        "head.rotation_left": rotation,
        "head.rotation_right": -rotation,
    }


def _measure_ground(points: dict[str, Array]) -> dict[str, Array]:
    """Heights over the lowest point."""
    height = {name: point[:, 1] for name, point in points.items()}
    ground = np.stack(list(height.values())).min(axis=0)
    measures = {"pelvis.ground": height["pelvis"] - ground}
    measures["head.ground"] = np.minimum(height["head"], height["head_top"]) - ground
    for side in ("left", "right"):
        for part in ("hand", "elbow", "knee"):
            measures[f"{side}_{part}.ground"] = height[f"{side}_{part}"] - ground
        measures[f"{side}_foot.ground"] = np.minimum(height[f"{side}_ankle"], height[f"{side}_foot"]) - ground
    return measures


def _measure_pairs(points: dict[str, Array], torso: Array, hips: Array) -> dict[str, Array]:
    """The left part against the right one; `crossed` is how far the left one is to the right of the right one."""
    measures = {}
    for part, point in (("hand", "hand"), ("elbow", "elbow"), ("knee", "knee"), ("foot", "ankle")):
        name = PAIRS[part]
        apart = points[f"left_{point}"] - points[f"right_{point}"]
        measures[f"{name}.distance"] = np.linalg.norm(apart, axis=-1)
        measures[f"{name}.crossed"] = -_dot((torso if part in ("hand", "elbow") else hips)[..., 0], apart)
        measures[f"left_{part}.higher"], measures[f"right_{part}.higher"] = apart[:, 1], -apart[:, 1]
        slope = np.abs(apart[:, 1]) / np.maximum(measures[f"{name}.distance"], 1e-9)
        measures[f"{name}.slope"] = np.degrees(np.arcsin(np.clip(slope, 0.0, 1.0)))
    return measures


def _ahead(vectors: Array, yaw: Array) -> Array:
    """How far (n, 3) vectors point the way that the body heads."""
    return vectors[:, 0] * np.sin(yaw) + vectors[:, 2] * np.cos(yaw)


def in_frame(axes: Array, vectors: Array) -> Array:
    """The left, up and forward components of vectors.

    Args:
        axes: (n, 3, 3), the axes as columns.
        vectors: (n, 3).

    Returns:
        (n, 3).
    """
    return np.einsum("nji,nj->ni", axes, vectors)


def _distances(points: dict[str, Array], start: str, targets: Iterable[str]) -> dict[str, Array]:
    return {f"{start}.to_{end}": np.linalg.norm(points[start] - points[end], axis=-1) for end in targets}


def _measure_arm(points: dict[str, Array], side: str, other: str, torso: Array) -> dict[str, Array]:
    hand, elbow, shoulder = (points[f"{side}_{part}"] for part in ("hand", "elbow", "shoulder"))
    outward = 1.0 if side == "left" else -1.0
    from_spine = in_frame(torso, hand - points["pelvis"])
    hand_from_shoulder, elbow_from_shoulder = in_frame(torso, hand - shoulder), in_frame(torso, elbow - shoulder)
    from_other = in_frame(torso, hand - points[f"{other}_hand"])
    down = np.array([0.0, -1.0, 0.0])
    measures = {
        f"{side}_elbow.angle": _degrees_between(shoulder - elbow, hand - elbow),
        f"{side}_upper_arm.tilt": _degrees_between(elbow - shoulder, down),
        f"{side}_forearm.tilt": _degrees_between(hand - elbow, down),
        f"{side}_hand.forward": from_spine[:, 2],
        f"{side}_hand.outward": outward * hand_from_shoulder[:, 0],
        f"{side}_hand.across": -outward * from_spine[:, 0],
        f"{side}_hand.ahead": from_other[:, 2],
        f"{side}_hand.above_head": hand[:, 1] - points["head_top"][:, 1],
        f"{side}_hand.above_neck": hand[:, 1] - points["neck"][:, 1],
        f"{side}_hand.above_shoulder": hand[:, 1] - shoulder[:, 1],
        f"{side}_hand.above_chest": hand[:, 1] - points["spine3"][:, 1],
        f"{side}_hand.above_hips": hand[:, 1] - points["pelvis"][:, 1],
        f"{side}_elbow.above_shoulder": elbow[:, 1] - shoulder[:, 1],
        f"{side}_elbow.outward": outward * elbow_from_shoulder[:, 0],
        f"{side}_elbow.forward": elbow_from_shoulder[:, 2],
    }
    targets = [f"{which}_{part}" for which in (side, other) for part in ("hip", "shoulder", "knee", "ankle", "foot")]
    measures |= _distances(points, f"{side}_hand", ("head", f"{other}_elbow", *targets))
    return measures | _distances(points, f"{side}_elbow", (f"{side}_knee", f"{other}_knee"))


def _measure_leg(points: dict[str, Array], side: str, other: str, hips: Array, yaw: Array) -> dict[str, Array]:
    hip, knee, ankle = (points[f"{side}_{part}"] for part in ("hip", "knee", "ankle"))
    outward = 1.0 if side == "left" else -1.0
    ahead = ankle - points[f"{other}_ankle"]
    torso = (points["pelvis"] + points["neck"] + points["spine3"]) / 3.0
    down = np.array([0.0, -1.0, 0.0])
    measures = {
        f"{side}_knee.angle": _degrees_between(hip - knee, ankle - knee),
        f"{side}_thigh.tilt": _degrees_between(knee - hip, down),
        f"{side}_shin.tilt": _degrees_between(ankle - knee, down),
        f"{side}_foot.ahead": _ahead(ahead, yaw),
        f"{side}_foot.before_pelvis": _ahead(ankle - points["pelvis"], yaw),
        f"{side}_knee.before_pelvis": _ahead(knee - points["pelvis"], yaw),
        f"{side}_foot.before_hip": _ahead(ankle - hip, yaw),
        f"{side}_foot.before_torso": _ahead(ankle - torso, yaw),
        f"{side}_foot.outward": outward * in_frame(hips, ankle - hip)[:, 0],
        f"{side}_foot.above_hips": ankle[:, 1] - points["pelvis"][:, 1],
        f"{side}_knee.above_hip": knee[:, 1] - hip[:, 1],
        f"{side}_knee.ahead": _ahead(knee - points[f"{other}_knee"], yaw),
        f"{side}_knee.before_hip": _ahead(knee - hip, yaw),
        f"{side}_knee.outward": outward * in_frame(hips, knee - hip)[:, 0],
    }
    measures |= _distances(points, f"{side}_foot", (f"{other}_knee",))
    measures[f"{side}_knee.to_chest"] = np.linalg.norm(knee - points["spine3"], axis=-1)
    measures[f"{side}_hip.to_ankle"] = np.linalg.norm(hip - ankle, axis=-1)
    return measures
