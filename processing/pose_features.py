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
    MAX_ANGLE,
    MAX_DEVIATION,
    check_finite,
    check_rotation_6d,
    check_rotvecs,
    project_rotmats,
    warn_if_other_frame,
    warn_if_transposed,
)
from .pose_files import read_pose_file, split_frame_number
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
from .rotations import rotvec_to_rotmat


ACCEPTED_FORMS = (
    "rotation matrices (22, 3, 3) or SMPL's (24, 3, 3); axis-angle in radians (22, 3), (66,), SMPL (24, 3) or (72,), "
    "SMPL-H (156,), SMPL-X (165,); 6D, the first two rows, (22, 6), (132,), (24, 6) or (144,); a dict of rotmats, "
    "global_orient + body_pose, root_orient + pose_body, poses, full_pose, pose, rotation_6d, rotation_6d_columns or "
    "rotation_6d_interleaved, or GVHMR's; the path of an .npz, .npy, .json or .pt file of these, with a "
    "frame number: clip.npz:120"
)

# Joints of SMPL's body, SMPL with hands, SMPL-H and SMPL-X: the first 22 are the same in all of them.
_JOINT_COUNTS = (22, 24, 52, 55)
_SHAPES: dict[tuple[int, ...], str] = {
    **{(count, 3, 3): "rotmat" for count in _JOINT_COUNTS},
    **{shape: "rotvec" for count in _JOINT_COUNTS for shape in ((count, 3), (count * 3,))},
    **{shape: "rotation_6d" for count in _JOINT_COUNTS[:2] for shape in ((count, 6), (count * 6,))},
}
# Keys of a pose in a dict; the first that are all there are read.
_DICT_FORMS: tuple[tuple[str, ...], ...] = (
    ("rotmats",),
    ("rotation_6d",),
    ("rotation_6d_columns",),
    ("rotation_6d_interleaved",),
    ("global_orient", "body_pose"),
    ("root_orient", "pose_body"),
    ("poses",),
    ("full_pose",),
    ("pose",),
)
# Keys of tools whose files hold one pose in two frames, GVHMR and WHAM. Beside pose_world, pose is the camera's.
_FRAMED_KEYS: tuple[tuple[str, Frame], ...] = (
    ("smpl_params_global", "y_up"),
    ("smpl_params_incam", "camera"),
    ("pose_world", "y_up"),
)
_DICT_KEYS = tuple(dict.fromkeys(key for keys in _DICT_FORMS for key in keys)) + ("pose_world", "frame")


class FramedPose:
    """A pose with a frame of its own, which comes before that of the call.

    It is no dataclass: the chat template turns dataclasses of a message into dicts.

    Args:
        pose: One of `ACCEPTED_FORMS`.
        frame: One of `FRAMES`.
        quiet: Whether no warning of this pose is logged, because one was before.
    """

    def __init__(self, pose: Any, frame: Frame, quiet: bool = False):
        self.pose = pose
        self.frame = frame
        self.quiet = quiet


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
    quiet = False
    if isinstance(pose, FramedPose):
        frame, quiet = pose.frame, pose.quiet
        pose = pose.pose
    if frame is not None:
        check_frame(frame, f"{name}: frame")
    number: int | None = None
    if isinstance(pose, str | os.PathLike):
        path, number = split_frame_number(_path(pose, name))
        pose, name = read_pose_file(Path(path), _DICT_KEYS, name), f"{name} ({path!r})"
    stated: Frame | None = None
    if isinstance(pose, Mapping):
        pose, stated = _choose_frame(pose, frame, name)
    if frame is not None and stated is not None and frame != stated:
        raise ValueError(f"{name}: its own frame is {stated!r}, got frame={frame!r}; expected the same, or none")
    if isinstance(pose, Mapping):
        rotmats, is_vectors = _dict_to_rotmats(pose, name, number)
    else:
        rotmats, is_vectors = _array_to_rotmats(_values(pose, name), name, number)
    rotmats = project_rotmats(rotmats[:NUM_JOINTS], name)
    if not quiet:
        if frame is None and stated is None:
            warn_if_other_frame(rotmats, name)
        if not is_vectors:
            warn_if_transposed(rotmats, name)
    return from_frame(rotmats, frame or stated or "z_up").float()


def load_pose(path: str | os.PathLike, frame: Frame | None = None, output_frame: Frame = "z_up") -> torch.Tensor:
    """Reads the pose of a file -> (22, 3, 3) float32 rotation matrices.

    Args:
        path: An .npz, .npy, .json or .pt file; "clip.npz:120" is one frame of a motion.
        frame: Frame of the file's numbers. Default: what the file says, otherwise "z_up".
        output_frame: Frame of the result.

    Raises:
        ValueError: As `pose_to_rotmats`, or the file is missing or unreadable.
    """
    check_frame(output_frame, "output_frame")
    return to_frame(pose_to_rotmats(path if isinstance(path, str) else Path(path), "pose", frame), output_frame)


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
    if shape and not _holds_arrays(poses) and not any(shape[skip:] in _SHAPES for skip in (1, 2)):
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
    return isinstance(item, Mapping | str | os.PathLike | FramedPose) or _shape(item) in _SHAPES


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


def _choose_frame(pose: Mapping[str, Any], frame: Frame | None, name: str) -> tuple[Any, Frame | None]:
    """The part of a dict in the wanted frame, and the frame that the dict states."""
    parts = [(key, own) for key, own in _FRAMED_KEYS if pose.get(key) is not None]
    if pose.get("pose_world") is not None and pose.get("pose") is not None:
        parts.append(("pose", "camera"))
    if parts:
        key, own = next((part for part in parts if part[1] == frame), parts[0])
        part = pose[key]
        return (part if isinstance(part, Mapping) else {"pose": part}), own
    stated = pose.get("frame")
    if isinstance(stated, np.ndarray) and stated.ndim == 0:
        stated = stated.item()
    # A number is that of a frame of the motion.
    return pose, check_frame(stated, f"{name}: its frame") if isinstance(stated, str) else None


def _values(data: Any, name: str) -> torch.Tensor:
    """Numbers in any container -> a float64 tensor without NaN or infinity."""
    if isinstance(data, torch.Tensor):
        values = data.detach()
        if values.layout != torch.strided or values.is_quantized or values.is_meta:
            raise ValueError(f"{name}: got a sparse, quantized or meta tensor; expected a dense one")
        values = values.cpu()
    else:
        try:
            array = np.asarray(data)
        except Exception as error:  # numpy calls methods of user objects, which may raise anything
            raise ValueError(f"{name}: this list is not an array of numbers; accepted: {ACCEPTED_FORMS}") from error
        if array.dtype.kind not in "fiu":
            got = type(data).__name__ if array.ndim == 0 else f"values of type {array.dtype}"
            raise ValueError(f"{name}: expected numbers, got {got}; accepted: {ACCEPTED_FORMS}")
        if np.ma.is_masked(data):
            raise ValueError(f"{name}: expected numbers, got masked values")
        with np.errstate(over="ignore"):
            values = torch.from_numpy(array.astype(np.float64))
    if values.is_complex() or values.dtype == torch.bool:
        raise ValueError(f"{name}: expected real numbers, got {values.dtype}")
    values = values.double()
    check_finite(values, name)
    return values


def _array_to_rotmats(
    values: torch.Tensor, name: str, number: int | None, form: str | None = None
) -> tuple[torch.Tensor, bool]:
    """One pose in the form of its shape, or in a named form of 6D.

    Returns:
        (joints, 3, 3), not yet checked as matrices, and whether they were given as axis-angle vectors.
    """
    shape = tuple(values.shape)
    if shape not in _SHAPES and shape[1:] in _SHAPES:
        return _array_to_rotmats(_pick_frame(values, number, name), name, None, form)
    found = _SHAPES.get(shape)
    if found is None or (form is not None and found != "rotation_6d"):
        raise ValueError(f"{name}: no pose has the shape {shape}; accepted: {ACCEPTED_FORMS}")
    _check_no_number(number, name)
    if found == "rotvec":
        rotvecs = values.reshape(-1, 3)
        check_rotvecs(rotvecs[:NUM_JOINTS], name)
        return rotvec_to_rotmat(rotvecs), True
    return (values if found == "rotmat" else _rotation_6d_to_rotmats(values, name, form or "rotation_6d")), False


def _rotation_6d_to_rotmats(values: torch.Tensor, name: str, form: str) -> torch.Tensor:
    """6D in a named order -> (22, 3, 3)."""
    numbers = values.reshape(-1, 6)[:NUM_JOINTS]
    is_rows = form == "rotation_6d"
    vectors = numbers.unflatten(-1, (3, 2)).mT if form == "rotation_6d_interleaved" else numbers.unflatten(-1, (2, 3))
    check_rotation_6d(vectors, name, "rows" if is_rows else "columns")
    rotmats = rotation_6d_to_rotmat(vectors.flatten(-2))
    return rotmats if is_rows else rotmats.mT


def _dict_to_rotmats(pose: Mapping[str, Any], name: str, number: int | None) -> tuple[torch.Tensor, bool]:
    """As `_array_to_rotmats`."""
    keys = next((keys for keys in _DICT_FORMS if all(pose.get(key) is not None for key in keys)), None)
    if keys is None:
        got = sorted(map(str, pose))[:20]
        raise ValueError(f"{name}: no pose is under the keys {got}; accepted: {ACCEPTED_FORMS}")
    parts = [_values(pose[key], f"{name}, {key!r}") for key in keys]
    if len(parts) == 1:
        form = keys[0] if keys[0].startswith("rotation_6d") else None
        return _array_to_rotmats(parts[0], f"{name}, {keys[0]!r}", number, form)
    orient, body = parts
    body_rotmats = _part_to_rotmats(body, (21, 23), f"{name}, {keys[1]!r}", number)
    rotmats = torch.cat([_part_to_rotmats(orient, (1,), f"{name}, {keys[0]!r}", number), body_rotmats])
    return rotmats, tuple(body.shape[-2:]) != (3, 3)


def _part_to_rotmats(
    values: torch.Tensor, joint_counts: tuple[int, ...], name: str, number: int | None
) -> torch.Tensor:
    """The global orientation or the body of a dict, as matrices or axis-angle -> (joints, 3, 3)."""
    forms: list[tuple[int, ...]] = [(3, 3)] if joint_counts == (1,) else []
    forms += [form for count in joint_counts for form in ((count * 3,), (count, 3), (count, 3, 3))]
    shape: tuple[int, ...] = tuple(values.shape)
    # Frames of vectors come before one matrix: the orientation of 3 frames is (3, 3) too.
    frames = number is not None and shape[1:] in forms
    if frames or (shape not in forms and shape[1:] in forms):
        return _part_to_rotmats(_pick_frame(values, number, name), joint_counts, name, None)
    if shape not in forms:
        raise ValueError(f"{name}: it has the shape {shape}; accepted: {', '.join(map(str, forms))}")
    _check_no_number(number, name)
    if shape[-2:] == (3, 3):
        return values.reshape(-1, 3, 3)
    rotvecs = values.reshape(-1, 3)
    # The other joints are at rest: positions of the body joints are seen where the pelvis is the origin.
    first = 0 if joint_counts == (1,) else 1
    whole = rotvecs.new_zeros(NUM_JOINTS, 3)
    count = min(len(rotvecs), NUM_JOINTS - first)
    whole[first : first + count] = rotvecs[:count]
    check_rotvecs(whole, name)
    return rotvec_to_rotmat(rotvecs)


def _pick_frame(values: torch.Tensor, number: int | None, name: str) -> torch.Tensor:
    shape = tuple(values.shape)
    if number is None and shape[0] != 1:
        raise ValueError(
            f"{name}: it holds {shape[0]} frames (shape {shape}), but a pose is one: pick a frame, such as "
            "poses[120] of an array or clip.npz:120 of a file"
        )
    if number is not None and number >= shape[0]:
        raise ValueError(f"{name}: there is no frame {number}; it holds {shape[0]}, from 0 to {shape[0] - 1}")
    return values[number or 0]


def _check_no_number(number: int | None, name: str) -> None:
    if number is not None:
        raise ValueError(f"{name}: got the frame {number}, but it holds one pose; leave out :{number}")


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
    "mirror_pose",
    "pose_to_rotmats",
    "poses_to_pose_values",
    "rotation_6d_to_rotmat",
    "rotmat_to_rotation_6d",
    "to_frame",
    "to_y_up",
    "to_z_up",
]
