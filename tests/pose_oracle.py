"""What a pose means in any accepted form, once more: numpy and textbook formulas only, nothing of the package."""

from collections.abc import Mapping
from typing import Any

import numpy as np


# Written down from the frames' definitions: columns are where the axes x, y and z of each point in the z-up world.
TO_Z_UP = {
    "z_up": np.eye(3),
    "y_up": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]).T,
    "camera": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]).T,
}
JOINTS = (22, 24, 52, 55)
SINGLE = ("rotmats", "rotation_6d", "rotation_6d_columns", "rotation_6d_interleaved")
FRAMED = (("smpl_params_global", "y_up"), ("smpl_params_incam", "camera"), ("pose_world", "y_up"))
PAIRS = (("global_orient", "body_pose"), ("root_orient", "pose_body"))


def rodrigues(vectors: np.ndarray) -> np.ndarray:
    """(n, 3) rotation vectors -> (n, 3, 3), by the textbook's formula."""
    rotmats = []
    for vector in vectors:
        angle = np.linalg.norm(vector)
        x, y, z = vector / angle if angle else np.zeros(3)
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        rotmats.append(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
    return np.array(rotmats)


def reference(vectors: np.ndarray, frame: str | None = None) -> np.ndarray:
    """(22 or more, 3) vectors in a frame -> (22, 3, 3) in the z-up frame."""
    return turned(rodrigues(vectors[:22]), frame)


def turned(rotmats: np.ndarray, frame: str | None) -> np.ndarray:
    """(22, 3, 3) in a frame -> in the z-up frame."""
    rotmats = np.array(rotmats)
    rotmats[0] = TO_Z_UP[frame or "z_up"] @ rotmats[0]
    return rotmats


def nearest(rotmats: np.ndarray) -> np.ndarray:
    """(n, 3, 3) -> the nearest rotations."""
    left, _, right = np.linalg.svd(rotmats)
    return left @ right


def from_6d(numbers: np.ndarray, form: str) -> np.ndarray:
    """(n, 6) in the order that a key names -> (n, 3, 3)."""
    vectors = numbers.reshape(-1, 3, 2).swapaxes(1, 2) if "interleaved" in form else numbers.reshape(-1, 2, 3)
    first = vectors[:, 0] / np.linalg.norm(vectors[:, 0], axis=1, keepdims=True)
    second = vectors[:, 1] - (first * vectors[:, 1]).sum(1, keepdims=True) * first
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    rows = np.stack([first, second, np.cross(first, second)], axis=1)
    return rows if form == "rotation_6d" else rows.swapaxes(1, 2)


def plain_pose(value: Any, frame: str | None = None) -> np.ndarray | None:
    """The (22, 3, 3) rotations, z up, of a value in an accepted form; None for other values.

    Args:
        value: An array, nested lists, or a dict of them; its numbers are right.
        frame: That of the call.
    """
    stated = None
    if isinstance(value, Mapping):
        given = {key: part for key, part in value.items() if part is not None}
        own = [(key, named) for key, named in FRAMED if key in given]
        own += [("pose", "camera")] * ("pose_world" in given and "pose" in given)
        if own:
            key, named = next((part for part in own if part[1] == frame), own[0])
            return plain_pose(given[key], named)
        stated = str(given["frame"]) if str(given.get("frame")) in TO_Z_UP else None
        rotmats = of_dict(given)
    else:
        rotmats = of_array(value)
    return None if rotmats is None else turned(nearest(rotmats[:22]), frame or stated)


def of_dict(given: Mapping[str, Any]) -> np.ndarray | None:
    """The rotations of a dict of arrays."""
    for key in SINGLE:
        if key in given:
            return of_array(given[key], key)
    for orient, body in PAIRS:
        if orient in given and body in given:
            parts = [np.asarray(given[key], dtype=np.float64) for key in (orient, body)]
            return np.concatenate([of_part(parts[0], (1,)), of_part(parts[1], (21, 23))])
    key = next((key for key in ("poses", "full_pose", "pose") if key in given), None)
    return None if key is None else of_array(given[key])


def of_part(array: np.ndarray, counts: tuple[int, ...]) -> np.ndarray:
    """The rotations of a part of the body with one of the numbers of joints."""
    matrices = any(array.size == 9 * count for count in counts) and array.shape[-2:] == (3, 3)
    return array.reshape(-1, 3, 3) if matrices else rodrigues(array.reshape(-1, 3)[:21])


def of_array(value: Any, form: str = "rotation_6d") -> np.ndarray | None:
    """The rotations of an array of a whole pose, by its shape; without 6D its key does not matter."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    shape = array.shape
    if len(shape) > 1 and shape[0] == 1:
        return of_array(array[0], form)
    for count in JOINTS:
        if shape == (count, 3, 3):
            return array
        if shape in ((count, 3), (3 * count,)):
            return rodrigues(array.reshape(count, 3)[:22])
        if count < 52 and shape in ((count, 6), (6 * count,)):
            return from_6d(array.reshape(count, 6)[:22], form if form in SINGLE[1:] else "rotation_6d")
    return None
