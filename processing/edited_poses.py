"""What a pose was edited from, for files that keep all of it but the body: hands, face, shape and translation."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .body_replacing import read_whole, replace_body
from .pose_checks import check_finite, to_values
from .pose_files import split_frames
from .pose_forms import DICT_FORMS, KEYPOINTS, choose_frame, forms_in, parts_in, read_array, read_dict
from .pose_frames import NUM_JOINTS, Frame, check_frame
from .rotations import rotmat_to_rotvec


# Jaw, eyes and hands: SMPL-X's joints after the body. SMPL-H has the hands alone, SMPL one joint a hand.
NUM_FACE, NUM_FINGERS = 3, 30
# Keys of these joints, with the first one and the end.
PART_KEYS = {
    "pose_jaw": (0, 1),
    "jaw_pose": (0, 1),
    "pose_eye": (1, 3),
    "leye_pose": (1, 2),
    "reye_pose": (2, 3),
    "pose_hand": (3, 33),
    "left_hand_pose": (3, 18),
    "right_hand_pose": (18, 33),
}
POSE_KEYS = frozenset(key for keys in DICT_FORMS for key in keys)


@dataclass(frozen=True)
class Original:
    """One pose with all that it came with.

    Args:
        content: An array, or a dict in a form that `replace_body` takes.
        frame: Its frame.
        name: Name of this input in error messages.
    """

    content: Any
    frame: Frame
    name: str = "like"

    def entries(self) -> dict[str, Any]:
        """All that is beside the pose, by key. Of poses in two frames, those of the one that is read."""
        if not isinstance(self.content, Mapping):
            return {}
        part = choose_frame(self.content, self.frame, self.name)[0]
        parts = {key for key, _ in parts_in(self.content)}
        outer = {
            key: value for key, value in self.content.items() if key not in parts and not isinstance(value, Mapping)
        }
        every = outer if part is self.content else outer | dict(part)
        known = POSE_KEYS | {"frame"}
        return {key: value for key, value in every.items() if key not in known and value is not None}

    def other_joints(self) -> tuple[np.ndarray, np.ndarray]:
        """Axis-angle of the joints after the body: (33, 3) of jaw, eyes and fingers, and (2, 3) of SMPL's hands.

        Raises:
            ValueError: Hands or face in another form, such as coefficients of a hand's principal components.
        """
        fingers, hands = np.zeros((NUM_FACE + NUM_FINGERS, 3)), np.zeros((2, 3))
        for rotmats in self.whole_poses():
            others = rotmat_to_rotvec(rotmats[NUM_JOINTS:]).numpy()
            if len(others) == NUM_FACE + NUM_FINGERS:
                fingers = others
            elif len(others) == NUM_FINGERS:
                fingers[NUM_FACE:] = others
            elif len(others):
                hands = others
        for key, (first, end) in PART_KEYS.items():
            if (value := self.entries().get(key)) is not None:
                fingers[first:end] = read_joints(value, end - first, f"{self.name}, {key!r}")
        return fingers, hands

    def whole_poses(self) -> list[torch.Tensor]:
        """(joints, 3, 3): the pose in each of its forms, with all joints that the form has."""
        if not isinstance(self.content, Mapping):
            return [read_array(self.content, self.name).rotmats[0]]
        part = choose_frame(self.content, self.frame, self.name)[0]
        forms = [{key: part[key] for key in keys} for keys in forms_in(part)]
        return [read_dict(form, self.name).rotmats[0] for form in forms]

    def holds_more(self) -> bool:
        """Whether there is more than the 22 joints of a body."""
        return bool(self.entries()) or any(np.any(joints) for joints in self.other_joints())


def read_original(like: Any, frame: Frame | None = None, name: str = "like") -> Original:
    """What a pose was edited from.

    Args:
        like: One pose in any form that `replace_body` takes: with a frame number, "clip.npz:120", for a motion.
        frame: Its frame, as it was read. Default: what it says, otherwise "z_up".
        name: Name of this input in error messages.

    Raises:
        ValueError: It is not such a pose, holds several, or states another frame.
    """
    if frame is not None:
        check_frame(frame)
    content = read_whole(os.fspath(like), name) if isinstance(like, str | os.PathLike) else like
    stated: Frame | None = None
    if isinstance(content, Mapping):
        part, stated = choose_frame(content, frame, name)
        if is_keypoints(part):
            raise ValueError(f"{name}: joint positions have no rotations to replace")
        read_dict(part, name)
    else:
        read_array(content, name)
    if frame is not None and stated is not None and frame != stated:
        raise ValueError(f"{name}: its own frame is {stated!r}, got frame={frame!r}; expected the same, or none")
    return Original(content, frame or stated or "z_up", name)


def find_original(like: Any, frame: Frame | None = None, name: str = "like") -> Original | None:
    """As `read_original`; None where there is nothing to keep: a body alone, joint positions, a BVH file.

    Args:
        like: One pose in any accepted form.
        frame: Its frame, as it was read.
        name: Name of this input in error messages.

    Raises:
        ValueError: As `read_original`.
    """
    if isinstance(like, str | os.PathLike):
        if split_frames(os.fspath(like))[0].lower().endswith(".bvh"):
            return None
        like = read_whole(os.fspath(like), name)
    if isinstance(like, Mapping) and is_keypoints(like):
        return None
    original = read_original(like, frame, name)
    return original if original.holds_more() else None


def is_keypoints(pose: Mapping[str, Any]) -> bool:
    """Whether a dict holds joint positions and no rotations."""
    return pose.get(KEYPOINTS) is not None and not any(forms_in(pose)) and not parts_in(pose)


def keep_entries(arrays: Mapping[str, Any], rotmats: torch.Tensor, original: Original) -> dict[str, np.ndarray]:
    """The arrays of a file with all entries of the original, whose own form has the new pose too.

    Args:
        arrays: Arrays of the new pose, which state the frame.
        rotmats: (22, 3, 3) in the stored z-up frame.
        original: What the pose was edited from.

    Raises:
        ValueError: An entry is no array.
    """
    replaced = replace_body(original.content, rotmats, original.frame)
    if not isinstance(replaced, Mapping):
        return dict(arrays) | {"poses": as_array(replaced, "poses")}
    part = choose_frame(replaced, original.frame, "like")[0]
    poses = {key: value for key, value in part.items() if key in POSE_KEYS and value is not None}
    kept = {**poses, **original.entries()}
    return dict(arrays) | {key: as_array(value, key) for key, value in kept.items()}


def as_array(value: Any, key: str) -> np.ndarray:
    """An entry of a dict as an array.

    Args:
        value: The entry.
        key: Its key, for errors.

    Raises:
        ValueError: It is none, or one of objects.
    """
    try:
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"like, {key!r}: it is no array: {error}") from error
    if array.dtype.hasobject:
        raise ValueError(f"like, {key!r}: got {type(value).__name__} of objects; expected numbers or text")
    return array


def read_joints(value: Any, count: int, name: str) -> np.ndarray:
    """Joints of hands or face -> (count, 3) axis-angle.

    Args:
        value: Axis-angle or matrices, in any shape.
        count: Number of joints.
        name: Name of this input in error messages.

    Raises:
        ValueError: Another number of values, or a NaN.
    """
    values = to_values(value, name)
    check_finite(values, name)
    if values.numel() == 9 * count:
        return rotmat_to_rotvec(values.reshape(count, 3, 3)).numpy()
    if values.numel() != 3 * count:
        raise ValueError(
            f"{name}: it has the shape {tuple(values.shape)}; expected {count} joints, axis-angle or matrices; "
            "coefficients of principal components are no joints (use_pca=False in smplx)"
        )
    return values.reshape(count, 3).numpy()
