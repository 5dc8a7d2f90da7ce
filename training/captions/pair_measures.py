"""Measurements of the change from pose A to pose B, each with a direction.

Every change is measured in a direction: positive if B lies further that way than A, negative otherwise. So exchanging
A and B changes every sign. A change is named by its `Key`, (kind, subject, value):
("move", "left_hand", "up") is how many meters the left hand rises.

Each pose is measured in the frame of its OWN body: left, right, forward and back follow the heading of its hips, up
and down follow gravity, and positions are relative to the pelvis. Only the height of knees, feet and hips is relative
to the lowest point of the body, because a body that squats does not lift its feet.

Other measurements only decide whether a change is stated: ("own", part, "") is how far a hand or elbow moves relative
to its shoulder and torso, ("nearest", hand, "to_...") the smaller of its distances in
A and B, ("after", joint, "bend") the degrees that a joint is bent in B (0 is straight), ("tilt", "torso", "") the tilt
of the less upright torso, ("swing", "torso", "") the angle between both torsos, each seen from its own heading.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from unipose.processing.pose_features import JOINT_NAMES, NUM_JOINTS
from unipose.training.captions.codes import Array, Key
from unipose.training.captions.measures import PAIRS, body_points, hip_axes, in_frame, measure, torso_axes
from unipose.training.geometry import heading


Changes = dict[Key, Array]
Points = dict[str, Array]

SIDES = ("left", "right")
ARM_PARTS = ("hand", "elbow")
LEG_PARTS = ("knee", "foot")
# Parts that a hand may come closer to: on its own side or the other, or on the midline.
REACHED_PARTS = ("shoulder", "hip", "knee", "ankle")
# Directions and their opposites.
OPPOSITES = {"up": "down", "forward": "back", "left": "right", "bend": "straighten", "closer": "apart"}


def reached(side: str) -> Iterator[str]:
    """What the hand of `side` may come closer to."""
    other = SIDES[1 - SIDES.index(side)]
    yield from ("head", f"{other}_elbow")
    yield from (f"{which}_{part}" for part in REACHED_PARTS for which in SIDES)


def measure_pairs(
    joints_a: npt.ArrayLike,
    joints_b: npt.ArrayLike,
    rotmats: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
) -> Changes:
    """Measures what changes from A to B, in meters and degrees, (n,) each.

    Args:
        joints_a, joints_b: (n, 22, 3), meters, y up, in `JOINT_NAMES` order.
        rotmats: (n, 22, 3, 3) rotations of A and of B. Joints alone do not show rotations and tilts of the head; with
            rotations the changes ("head_rotation", "head", ...) and ("head_tilt", "head", ...) are measured too.

    Raises:
        ValueError: a shape differs from those above or from each other, or a number is not finite.
    """
    poses = tuple(np.asarray(joints, dtype=np.float64) for joints in (joints_a, joints_b))
    for name, joints in zip("ab", poses):
        _check(f"joints_{name}", joints, (len(poses[0]), NUM_JOINTS, 3))
    rotations = None if rotmats is None else tuple(np.asarray(given, dtype=np.float64) for given in rotmats)
    for name, given in zip("ab", rotations or ()):
        _check(f"rotmats of {name}", given, (len(poses[0]), NUM_JOINTS, 3, 3))
    before, after = (measure(joints, given) for joints, given in zip(poses, rotations or (None, None)))
    points = tuple(body_points(joints) for joints in poses)
    frames = tuple(hip_axes(given) for given in points)
    changes = _changes_of_angles(before, after) | _changes_of_distances(before, after)
    changes |= _displacements(before, after, points, frames)
    rotated = _wrap(np.degrees(heading(frames[1]) - heading(frames[0])))
    changes[("heading", "body", "left")] = rotated
    if rotations is not None:
        changes[("head_rotation", "head", "left")] = _wrap(after["head.rotation_left"] - before["head.rotation_left"])
        changes[("head_tilt", "head", "left")] = _head_tilt(rotations[1]) - _head_tilt(rotations[0])
    around: Changes = {("heading", "body", "around"): np.abs(rotated)}
    return changes | _opposite(changes) | around | _conditions(before, after, points, frames)


def _check(name: str, values: Array, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} has shape {values.shape}; expected {shape}: one row for each pose A.")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds NaN or infinite numbers.")


def opposite(value: str) -> str:
    """The other way: "up" -> "down", "to_head" -> "from_head"; "around" and "same" have none and stay."""
    if value.startswith(("to_", "from_")):
        return value.replace("to_", "from_", 1) if value.startswith("to_") else value.replace("from_", "to_", 1)
    both = OPPOSITES | {second: first for first, second in OPPOSITES.items()}
    return both.get(value, value)


def _opposite(changes: Changes) -> Changes:
    return {(kind, subject, opposite(value)): -change for (kind, subject, value), change in changes.items()}


def _wrap(degrees: Array) -> Array:
    return (degrees + 180.0) % 360.0 - 180.0


def _changes_of_angles(before: Points, after: Points) -> Changes:
    names: dict[Key, str] = {
        ("bend", f"{side}_{part}", "straighten"): f"{side}_{part}.angle"
        for side in SIDES
        for part in ("knee", "elbow")
    }
    names[("torso", "torso", "forward")] = "torso.pitch"
    names[("lean", "torso", "left")] = "torso.lean_left"
    names[("twist", "torso", "left")] = "torso.twist_left"
    names[("head", "head", "down")] = "head.pitch"
    return {key: _wrap(after[name] - before[name]) for key, name in names.items()}


def _changes_of_distances(before: Points, after: Points) -> Changes:
    changes: Changes = {
        ("distance", subject, "apart"): after[f"{subject}.distance"] - before[f"{subject}.distance"]
        for subject in PAIRS.values()
    }
    for side in SIDES:
        for target in reached(side):
            name = f"{side}_hand.to_{target}"
            changes[("reach", f"{side}_hand", f"to_{target}")] = before[name] - after[name]
    return changes


def _level_axes(frame: Array) -> Array:
    """(n, 3, 3), columns left, up and forward of the heading of a body: up is the world's."""
    yaw = heading(frame)
    sin, cos = np.sin(yaw), np.cos(yaw)
    zero, one = np.zeros_like(sin), np.ones_like(sin)
    return np.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], axis=-1).reshape(-1, 3, 3)


def _displacements(before: Points, after: Points, points: tuple[Points, ...], frames: tuple[Array, ...]) -> Changes:
    axes = tuple(_level_axes(frame) for frame in frames)
    changes: Changes = {
        ("move", "hips", "up"): after["pelvis.ground"] - before["pelvis.ground"],
    }
    for side in SIDES:
        for part in (*ARM_PARTS, *LEG_PARTS):
            name = f"{side}_{'ankle' if part == 'foot' else part}"
            first, second = (in_frame(axis, given[name] - given["pelvis"]) for axis, given in zip(axes, points))
            moved = second - first
            if part in LEG_PARTS:
                moved[:, 1] = after[f"{side}_{part}.ground"] - before[f"{side}_{part}.ground"]
            for column, value in enumerate(("left", "up", "forward")):
                changes[("move", f"{side}_{part}", value)] = moved[:, column]
    return changes


def _head_tilt(rotmats: Array) -> Array:
    """Degrees that the head leans to its left, seen from the chest: joints show the part of the neck only."""
    neck, head = (rotmats[:, JOINT_NAMES.index(joint)] for joint in ("neck", "head"))
    return -np.degrees(np.arcsin(np.clip((neck @ head)[:, 1, 0], -1.0, 1.0)))


def _conditions(before: Points, after: Points, points: tuple[Points, ...], frames: tuple[Array, ...]) -> Changes:
    ups = [in_frame(_level_axes(frame), frame[..., 1]) for frame in frames]
    torsos = [torso_axes(given) for given in points]
    found: Changes = {
        ("tilt", "torso", ""): np.maximum(before["torso.tilt"], after["torso.tilt"]),
        ("swing", "torso", ""): np.degrees(np.arccos(np.clip((ups[0] * ups[1]).sum(-1), -1.0, 1.0))),
    }
    for side in SIDES:
        for part in ("knee", "elbow"):
            found[("after", f"{side}_{part}", "bend")] = 180.0 - after[f"{side}_{part}.angle"]
        for part in ARM_PARTS:
            first, second = (
                in_frame(torso, given[f"{side}_{part}"] - given[f"{side}_shoulder"])
                for torso, given in zip(torsos, points)
            )
            found[("own", f"{side}_{part}", "")] = np.linalg.norm(second - first, axis=-1)
        for target in reached(side):
            name = f"{side}_hand.to_{target}"
            found[("nearest", f"{side}_hand", f"to_{target}")] = np.minimum(before[name], after[name])
    return found
