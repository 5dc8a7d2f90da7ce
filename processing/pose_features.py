"""Poses in any accepted form -> rotation matrices and `pose_values`: the one gate that all poses pass.

`ACCEPTED_FORMS` lists the accepted forms of a pose, `pose_frames` the frames. `pose_to_rotmats` reads any of them; for
others it raises a `ValueError` with the input's name, what it got and what is accepted.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from .placeholders import Grouped, group_list
from .pose_checks import (
    ACCEPTED_FORMS,
    MAX_ANGLE,
    MAX_DEVIATION,
    project_rotmats,
    warn_if_other_frame,
    warn_if_transposed,
)
from .pose_files import read_pose_file, split_frames
from .pose_forms import (
    DICT_FORMS,
    FRAMED_KEYS,
    KEYPOINTS,
    SHAPES,
    Frames,
    choose_frame,
    name_frames,
    read_array,
    read_dict,
    spell_frames,
)
from .pose_frames import (
    FRAMES,
    JOINT_NAMES,
    MIRRORED_JOINTS,
    NUM_JOINTS,
    Y_UP_TO_Z_UP,
    Frame,
    check_frame,
    from_frame,
    mirror_pose,
    rotation_6d_to_rotmat,
    rotmat_to_rotation_6d,
    to_frame,
    to_y_up,
    to_z_up,
)


# What is read of an .npz file.
_FILE_KEYS = (
    *dict.fromkeys(key for keys in DICT_FORMS for key in keys),
    *(key for key, _ in FRAMED_KEYS),
    *("frame", KEYPOINTS, "skeleton", "confidence"),
)


class FramedPose:
    """A pose with a frame of its own, which comes before that of the call.

    It is no dataclass: the chat template turns dataclasses of a message into dicts.

    Args:
        pose: One of `ACCEPTED_FORMS`.
        frame: One of `FRAMES`.
        is_read: Whether it is a result of `pose_to_rotmats`, which is not read and checked again.
    """

    def __init__(self, pose: Any, frame: Frame, is_read: bool = False):
        self.pose = pose
        self.frame = frame
        self.is_read = is_read


Pose: TypeAlias = torch.Tensor | np.ndarray | Sequence | Mapping[str, Any] | str | os.PathLike | FramedPose


def pose_to_rotmats(pose: Pose, name: str = "pose 1", frame: Frame | None = None) -> torch.Tensor:
    """Reads one pose in any accepted form.

    Args:
        pose: One of `ACCEPTED_FORMS`. Hands are dropped.
        name: Name of this input in error messages.
        frame: Frame of the global orientation. Default: what the file or dict says, otherwise "z_up", with a warning
            where the pose is plainly in another one.

    Returns:
        (22, 3, 3) float32 rotation matrices, exactly orthogonal, in the stored z-up frame.

    Raises:
        ValueError: An unknown shape, dict, file or frame; several frames of a motion; a NaN or an infinity; degrees or
            positions; a matrix that deviates from a rotation by more than `MAX_DEVIATION`.
    """
    return _read(pose, name, frame, None)[0]


def load_pose(path: str | os.PathLike, frame: Frame | None = None, output_frame: Frame = "z_up") -> torch.Tensor:
    """Reads the pose of a file -> (22, 3, 3) float32 rotation matrices.

    Args:
        path: An .npz, .npy, .json, .pt or .bvh file; "clip.npz:120" is one frame of a motion.
        frame: Frame of the file's numbers. Default: what the file says, otherwise "z_up". A BVH file's is found from
            its skeleton.
        output_frame: Frame of the result.

    Raises:
        ValueError: As `pose_to_rotmats`, or the file is missing or unreadable.
    """
    check_frame(output_frame, "output_frame")
    return to_frame(pose_to_rotmats(path if isinstance(path, str) else Path(path), "pose", frame), output_frame)


def load_poses(path: str | os.PathLike, frame: Frame | None = None, output_frame: Frame = "z_up") -> torch.Tensor:
    """Reads the poses of a file -> (n, 22, 3, 3) float32 rotation matrices.

    Args:
        path: An .npz, .npy, .json, .pt or .bvh file: all its frames. "clip.npz:0:120:10" is a range of them, as in
            Python: start, end (not read) and step, each of which may be left out; "clip.npz:120" is one frame.
        frame: Frame of the file's numbers. Default: what the file says, otherwise "z_up". A BVH file's is found from
            its skeleton.
        output_frame: Frame of the result.

    Raises:
        ValueError: As `pose_to_rotmats`, or the file is missing or unreadable, or none of its frames is in the range.
    """
    check_frame(output_frame, "output_frame")
    return to_frame(_read(path if isinstance(path, str) else Path(path), "poses", frame, slice(None)), output_frame)


def _read(pose: Pose, name: str, frame: Frame | None, frames: Frames) -> torch.Tensor:
    """Reads one pose, or the frames of a motion.

    Args:
        pose: One of `ACCEPTED_FORMS`.
        name: Name of this input in error messages.
        frame: Frame of the global orientation.
        frames: The frames to read where the path of a file does not say: None for the only one, or all.

    Returns:
        (n, 22, 3, 3) float32 in the stored z-up frame.
    """
    if isinstance(pose, FramedPose):
        framed = pose
        if framed.is_read:
            return torch.as_tensor(framed.pose, dtype=torch.float32, device="cpu")[None]
        pose, frame = framed.pose, framed.frame
    if frame is not None:
        check_frame(frame, f"{name}: frame")
    if isinstance(pose, str | os.PathLike):
        pose, frames, name, frame = _read_file(pose, name, frame, frames)
    stated: Frame | None = None
    if isinstance(pose, Mapping):
        pose, stated = choose_frame(pose, frame, name)
    if frame is not None and stated is not None and frame != stated:
        raise ValueError(f"{name}: its own frame is {stated!r}, got frame={frame!r}; expected the same, or none")
    if isinstance(pose, Mapping):
        rotmats, are_vectors = read_dict(pose, name, frames)
    else:
        rotmats, are_vectors = read_array(pose, name, frames)
    rotmats = project_rotmats(rotmats[:, :NUM_JOINTS], name_frames(len(rotmats), frames, name))
    if frame is None and stated is None:
        warn_if_other_frame(rotmats, name)
    if not are_vectors:
        warn_if_transposed(rotmats, name)
    return from_frame(rotmats, frame or stated or "z_up").float()


def _read_file(
    pose: str | os.PathLike, name: str, frame: Frame | None, frames: Frames
) -> tuple[Any, Frames, str, Frame | None]:
    """The content of a file, the frames to read, its name in messages, and the frame that is left to apply."""
    path, chosen = split_frames(_path(pose, name))
    if frames is None and isinstance(chosen, slice):
        raise ValueError(f"{name} ({path!r}): got the frames {spell_frames(chosen)}, but a pose is one: pick a frame")
    content = read_pose_file(Path(path), _FILE_KEYS, name, frame)
    # A skeleton is turned while it is read.
    left = None if path.lower().endswith(".bvh") else frame
    return content, frames if chosen is None else chosen, f"{name} ({path!r})", left


def poses_to_pose_values(poses: Sequence[Pose], frame: Frame | None = None) -> torch.Tensor:
    """n poses in any accepted form -> `pose_values` (n, 22, 6) float32; errors name "pose 1", "pose 2", ...

    Args:
        poses: The poses.
        frame: As in `pose_to_rotmats`.
    """
    rotmats = [pose_to_rotmats(pose, f"pose {number}", frame) for number, pose in enumerate(poses, start=1)]
    return rotmat_to_rotation_6d(torch.stack(rotmats)) if rotmats else torch.zeros(0, NUM_JOINTS, 6)


def group_poses(poses: Any) -> Grouped:
    """Groups one pose, a flat list or array of poses, or a list of poses for each row."""
    shape = _shape(poses)
    if _is_pose(poses) or not isinstance(poses, Iterable):
        return Grouped([[poses]], "single")
    if shape and not _holds_arrays(poses) and not any(shape[skip:] in SHAPES for skip in (1, 2)):
        return Grouped([[poses]], "single")
    return group_list(list(poses), _is_row)


def _shape(item: Any) -> tuple[int, ...] | None:
    """The shape of an array, a number or nested lists, from their first entries; None for anything else."""
    if isinstance(item, np.ndarray | torch.Tensor):
        return tuple(item.shape)
    if isinstance(item, list | tuple):
        inner = _shape(item[0]) if item else None
        return None if inner is None else (len(item), *inner)
    return () if isinstance(item, int | float | np.number) else None


def _is_pose(item: Any) -> bool:
    return isinstance(item, Mapping | str | os.PathLike | FramedPose) or _shape(item) in SHAPES


def _is_row(item: Any) -> bool:
    """Whether an item is the list of one text's poses, not a pose that is written as lists of numbers."""
    if not isinstance(item, list | tuple) or _is_pose(item):
        return False
    return not item or _is_pose(item[0]) or _shape(item[0]) is None or _is_array(item[0])


def _is_array(item: Any) -> bool:
    return isinstance(item, np.ndarray | torch.Tensor)


def _holds_arrays(item: Any) -> bool:
    """Whether nested lists end in an array, which is then one pose of any shape."""
    return isinstance(item, list | tuple) and bool(item) and (_is_array(item[0]) or _holds_arrays(item[0]))


def _path(pose: str | os.PathLike, name: str) -> str:
    path = os.fspath(pose)
    if not isinstance(path, str):
        raise ValueError(f"{name}: got the path {path!r}; expected a str")
    return path


__all__ = [
    "ACCEPTED_FORMS",
    "FRAMES",
    "JOINT_NAMES",
    "MAX_ANGLE",
    "MAX_DEVIATION",
    "MIRRORED_JOINTS",
    "NUM_JOINTS",
    "Y_UP_TO_Z_UP",
    "Frame",
    "FramedPose",
    "Pose",
    "check_frame",
    "from_frame",
    "group_poses",
    "load_pose",
    "load_poses",
    "mirror_pose",
    "pose_to_rotmats",
    "poses_to_pose_values",
    "rotation_6d_to_rotmat",
    "rotmat_to_rotation_6d",
    "to_frame",
    "to_y_up",
    "to_z_up",
]
