"""Puts an edited body back into what it came from: hands, face, shape, translation and all else stay as they were."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .pose_checks import project_rotmats
from .pose_files import read_pose_file, split_frames
from .pose_forms import (
    ACCEPTED_FORMS,
    BODY_SHAPES,
    KEYPOINTS,
    ORIENT_SHAPES,
    SHAPES,
    Frames,
    choose_frame,
    forms_in,
    parts_in,
    pick_frames,
    read_array,
    read_dict,
    to_values,
    write_6d,
)
from .pose_frames import NUM_JOINTS, Frame, check_frame, from_frame, to_frame
from .rotations import rotmat_to_rotvec


def replace_body(
    original: Any,
    rotmats: torch.Tensor | np.ndarray,
    frame: Frame | None = None,
    input_frame: Frame = "z_up",
) -> Any:
    """Replaces the 22 body rotations of a pose in its own form.

    Args:
        original: A pose or a motion in any accepted form but a BVH file and joint positions. Of a file the content is
            taken, without pickled objects; with a frame number, "clip.npz:120", that frame of every array.
        rotmats: (22, 3, 3), or (n, 22, 3, 3) for the n poses of `original`: an answer of the pipeline.
        frame: Frame of `original`, as it was read. Default: what it says, otherwise "z_up".
        input_frame: Frame of `rotmats`: the pipeline's `output_frame`.

    Returns:
        A copy of `original`: the same keys, shapes, dtypes and frame, and the same kind of arrays. All its keys that
        hold the pose have the new one. Of poses in two frames (GVHMR, WHAM), both get it: the camera stays.

    Raises:
        ValueError: `original` is not such a pose, `rotmats` is not a pose, or their numbers differ.
    """
    check_frame(input_frame, "input_frame")
    if frame is not None:
        check_frame(frame)
    given = to_values(rotmats, "rotmats")
    if given.ndim not in (3, 4) or tuple(given.shape[-3:]) != (NUM_JOINTS, 3, 3):
        raise ValueError(f"rotmats has shape {tuple(given.shape)}; expected (22, 3, 3) or (n, 22, 3, 3)")
    given = given.reshape(-1, NUM_JOINTS, 3, 3)
    poses = from_frame(
        project_rotmats(given, [f"rotmats of pose {number}" for number in range(len(given))]), input_frame
    )
    if isinstance(original, str | os.PathLike):
        original = read_whole(os.fspath(original))
    if isinstance(original, Mapping):
        return _replace_in_dict(original, poses, frame)
    return _replace_in_array(original, to_frame(poses, frame or "z_up"), "original")


def read_whole(path: str, name: str = "original") -> Any:
    """All of a file but pickled objects, or the chosen frames of all of it.

    Args:
        path: Path of the file, with or without frames.
        name: Name of this input in error messages.

    Raises:
        ValueError: The file cannot be read, or is a BVH file.
    """
    path, frames = split_frames(path)
    if path.lower().endswith(".bvh"):
        raise ValueError(
            f"{name}, {path!r}: a BVH file has the joints of its own skeleton; save_pose writes a new one"
        )
    content = read_pose_file(Path(path), None, name)
    if frames is None:
        return content
    if not isinstance(content, Mapping):
        return _choose(_as_array(content), frames, None)
    rotations = read_dict(choose_frame(content, None, name)[0], name, slice(None))
    return _choose_all(content, frames, len(rotations.rotmats))


def _choose_all(content: Mapping[str, Any], frames: Frames, count: int) -> dict[str, Any]:
    """The chosen frames of each entry of a motion that has a row for each of its frames."""
    return {
        key: _choose_all(value, frames, count) if isinstance(value, Mapping) else _choose(value, frames, count)
        for key, value in content.items()
    }


def _choose(value: Any, frames: Frames, count: int | None) -> Any:
    """The chosen rows of an array of a motion. A single number or vector (betas) is no motion, however long."""
    array = _as_array(value)
    if not isinstance(array, np.ndarray | torch.Tensor) or array.ndim < 2 or (count or len(array)) != len(array):
        return value
    chosen = pick_frames(array, frames, "original")
    chosen = chosen[0] if isinstance(frames, int) else chosen
    return chosen.tolist() if isinstance(value, list) else chosen


def _as_array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, list) and value and isinstance(value[0], list) else value


def _replace_in_dict(original: Mapping[str, Any], poses: torch.Tensor, frame: Frame | None) -> dict[str, Any]:
    parts = parts_in(original)
    if not parts:
        stated = choose_frame(original, frame, "original")[1]
        return _replace_forms(original, to_frame(poses, frame or stated or "z_up"))
    # What was read is the first part, or the one in the wanted frame. The camera between two parts stays the same.
    main = next((part for part in parts if part[1] == frame), parts[0])
    old = _orientations(original, main[0])
    replaced = dict(original)
    for key, own in parts:
        new = to_frame(poses, main[1])
        if (key, own) != main:
            camera = _orientations(original, key) @ old.mT
            new = torch.cat([(camera @ new[:, 0])[:, None], new[:, 1:]], dim=1)
        part = original[key]
        replaced[key] = (
            _replace_forms(part, new)
            if isinstance(part, Mapping)
            else _replace_in_array(part, new, f"original, {key!r}")
        )
    return replaced


def _orientations(original: Mapping[str, Any], key: str) -> torch.Tensor:
    """(n, 3, 3) global orientations of a part of a dict."""
    part = original[key]
    read = read_dict(part, f"original, {key!r}", slice(None)) if isinstance(part, Mapping) else None
    rotations = read or read_array(part, f"original, {key!r}", slice(None))
    return rotations.rotmats[:, 0]


def _replace_forms(original: Mapping[str, Any], poses: torch.Tensor) -> dict[str, Any]:
    """Replaces the body in every form that a dict holds."""
    forms = list(forms_in(original))
    if not forms:
        if original.get(KEYPOINTS) is not None:
            raise ValueError("original: joint positions have no rotations to replace; save_pose writes the pose")
        read_dict(original, "original")  # says what is accepted
    replaced = dict(original)
    for keys in forms:
        if len(keys) == 1:
            form = keys[0] if keys[0].startswith("rotation_6d") else "rotation_6d"
            replaced[keys[0]] = _replace_in_array(original[keys[0]], poses, f"original, {keys[0]!r}", form)
            continue
        replaced |= _replace_pair(original, keys, poses)
    return replaced


def _replace_pair(original: Mapping[str, Any], keys: tuple[str, ...], poses: torch.Tensor) -> dict[str, Any]:
    """The global orientation and the body, which may be written in different forms."""
    orient, body = (to_values(original[key], f"original, {key!r}") for key in keys)
    moves = tuple(body.shape) not in BODY_SHAPES
    replaced = {}
    for key, values, shapes, part in (
        (keys[0], orient, ORIENT_SHAPES, poses[:, :1]),
        (keys[1], body, BODY_SHAPES, poses[:, 1:]),
    ):
        # Global orientations of three frames have the shape of one matrix: the body tells which.
        single = tuple(values.shape) in shapes and not (moves and values.shape[:1] == body.shape[:1])
        shape = tuple(values.shape if single else values.shape[1:])
        if shape not in shapes:
            raise ValueError(f"original, {key!r}: it has the shape {shape}; accepted: {', '.join(map(str, shapes))}")
        form = "rotmat" if shape[-2:] == (3, 3) else "rotvec"
        replaced[key] = _like(original[key], _write(values, part, form, single, f"original, {key!r}"))
    return replaced


def _replace_in_array(original: Any, poses: torch.Tensor, name: str, form: str = "rotation_6d") -> Any:
    values = to_values(original, name)
    shape = tuple(values.shape)
    single = shape in SHAPES
    if not single and shape[1:] not in SHAPES:
        raise ValueError(f"{name}: no pose has the shape {shape}; accepted: {ACCEPTED_FORMS}")
    found = SHAPES[shape if single else shape[1:]]
    return _like(original, _write(values, poses, form if found == "rotation_6d" else found, single, name))


def _write(values: torch.Tensor, poses: torch.Tensor, form: str, single: bool, name: str) -> torch.Tensor:
    """The values of a pose or a motion with the first joints of each replaced.

    Args:
        values: Numbers, one pose or (n, ...).
        poses: (n, joints, 3, 3).
        form: "rotmat", "rotvec" or a key of 6D.
        single: Whether the values are one pose.
        name: Name of this input in error messages.
    """
    rows = values[None] if single else values
    if len(rows) != len(poses):
        raise ValueError(f"{name}: it holds {len(rows)} poses, rotmats {len(poses)}; expected as many")
    if form == "rotmat":
        numbers = poses.flatten(1)
    else:
        numbers = (rotmat_to_rotvec(poses) if form == "rotvec" else write_6d(poses, form)).flatten(1)
    written = torch.cat([numbers, rows.flatten(1)[:, numbers.shape[1] :]], dim=1)
    return written.reshape(values.shape)


def _like(original: Any, values: torch.Tensor) -> Any:
    """Float64 values in the container and the dtype of the original; whole numbers become float32."""
    if isinstance(original, torch.Tensor):
        dtype = original.dtype if original.is_floating_point() else torch.float32
        return values.to(original.device, dtype)
    if isinstance(original, np.ndarray):
        return values.numpy().astype(original.dtype if original.dtype.kind == "f" else np.float32)
    return tuple(values.tolist()) if isinstance(original, tuple) else values.tolist()
