"""The forms of poses: which shapes and keys hold rotations, how they are read, and how they are written back.

A form holds one pose or the frames of a motion. Readers give (n, joints, 3, 3) matrices in the frame of the numbers.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from .inverse_kinematics import MIN_CONFIDENCE, find_skeleton, fit_keypoints, read_keypoints
from .pose_checks import ACCEPTED_FORMS, check_finite, check_rotation_6d, check_rotvecs, to_values
from .pose_frames import NUM_JOINTS, Frame, check_frame, rotation_6d_to_rotmat
from .rotations import rotvec_to_rotmat


# Joints of SMPL's body, SMPL with hands, SMPL-H and SMPL-X: the first 22 are the same in all of them.
JOINT_COUNTS = (22, 24, 52, 55)
SHAPES: dict[tuple[int, ...], str] = {
    **{(count, 3, 3): "rotmat" for count in JOINT_COUNTS},
    **{shape: "rotvec" for count in JOINT_COUNTS for shape in ((count, 3), (count * 3,))},
    **{shape: "rotation_6d" for count in JOINT_COUNTS[:2] for shape in ((count, 6), (count * 6,))},
}
# Of the pair of global orientation and body, in the order of `PAIRS`.
ORIENT_SHAPES: tuple[tuple[int, ...], ...] = ((3, 3), (3,), (1, 3), (1, 3, 3))
BODY_SHAPES: tuple[tuple[int, ...], ...] = tuple(
    shape for count in (21, 23) for shape in ((count * 3,), (count, 3), (count, 3, 3))
)

# Keys of a pose in a dict; the first that are all there are read.
PAIRS = (("global_orient", "body_pose"), ("root_orient", "pose_body"))
DICT_FORMS: tuple[tuple[str, ...], ...] = (
    ("rotmats",),
    ("rotation_6d",),
    ("rotation_6d_columns",),
    ("rotation_6d_interleaved",),
    *PAIRS,
    ("poses",),
    ("full_pose",),
    ("pose",),
    ("smpl_thetas",),
)
# Joint positions, whose order of joints is under "skeleton".
KEYPOINTS = "keypoints_3d"
# Keys of tools that say the frame: GVHMR and WHAM have one pose in two, HMR2 and ROMP that of the camera. Beside
# pose_world, pose is the camera's.
FRAMED_KEYS: tuple[tuple[str, Frame], ...] = (
    ("smpl_params_global", "y_up"),
    ("smpl_params_incam", "camera"),
    ("pred_smpl_params", "camera"),
    ("pose_world", "y_up"),
)

# The frames to read: one, a range, or, with None, the only one.
Frames = int | slice | None


class Rotations(NamedTuple):
    """(n, joints, 3, 3) matrices, not yet checked, and whether they were written as axis-angle vectors."""

    rotmats: torch.Tensor
    are_vectors: bool


def pick_frames(values: Any, frames: Frames, name: str) -> Any:
    """The chosen frames of a motion, as (n, ...).

    Args:
        values: (all frames, ...), an array or a tensor.
        frames: The frames to read.
        name: Name of this input in error messages.

    Raises:
        ValueError: There is no such frame, or there are several and none was chosen.
    """
    shape = tuple(values.shape)
    if frames is None and shape[0] != 1:
        raise ValueError(
            f"{name}: it holds {shape[0]} frames (shape {shape}), but a pose is one: pick a frame, such as "
            "poses[120] of an array or clip.npz:120 of a file"
        )
    if isinstance(frames, int):
        if frames >= shape[0]:
            raise ValueError(f"{name}: there is no frame {frames}; it holds {shape[0]}, from 0 to {shape[0] - 1}")
        return values[frames : frames + 1]
    chosen = values[frames or slice(None)]
    if frames is not None and not len(chosen):
        raise ValueError(f"{name}: none of its {shape[0]} frames is in the range {spell_frames(frames)}")
    return chosen


def spell_frames(frames: int | slice) -> str:
    """A frame or a range as it is written behind a path: "120", "0:120:10"."""
    if isinstance(frames, int):
        return str(frames)
    parts = [frames.start, frames.stop, *([] if frames.step is None else [frames.step])]
    return ":".join("" if part is None else str(part) for part in parts)


def name_frames(count: int, frames: Frames, name: str) -> list[str]:
    """Names of poses in error messages.

    Args:
        count: Number of the poses.
        frames: The frames that were read.
        name: Name of the input.
    """
    if not isinstance(frames, slice) or count == 1:
        return [name] * count
    start, step = frames.start or 0, frames.step or 1
    return [f"{name}, frame {number}" for number in range(start, start + count * step, step)]


def split_motion(values: torch.Tensor, shapes: Any, frames: Frames, name: str) -> torch.Tensor | None:
    """One pose or the frames of a motion as (n, ...), finite; None for a shape that is neither.

    Args:
        values: Numbers.
        shapes: The shapes of one pose.
        frames: The frames to read.
        name: Name of this input in error messages.

    Raises:
        ValueError: As `pick_frames`; a frame of what is one pose; a NaN or an infinity.
    """
    shape = tuple(values.shape)
    if shape in shapes:
        if frames not in (None, slice(None)):
            raise ValueError(f"{name}: got the frame {spell_frames(frames)}, but it holds one pose; leave it out")
        values = values[None]
    elif shape[1:] in shapes:
        values = pick_frames(values, frames, name)
    else:
        return None
    check_finite(values, name)
    return values


def read_array(data: Any, name: str, frames: Frames = None, form: str | None = None) -> Rotations:
    """Reads poses in the form of their shape, or in a named form of 6D.

    Args:
        data: Numbers.
        name: Name of this input in error messages.
        frames: The frames to read.
        form: A key of 6D, which gives its order.

    Raises:
        ValueError: No numbers, another shape, or no rotations.
    """
    numbers = to_values(data, name)
    values = split_motion(numbers, SHAPES, frames, name)
    found = None if values is None else SHAPES[tuple(values.shape[1:])]
    if values is None or (form is not None and found != "rotation_6d"):
        raise ValueError(f"{name}: no pose has the shape {tuple(numbers.shape)}; accepted: {ACCEPTED_FORMS}")
    if found == "rotvec":
        rotvecs = values.reshape(len(values), -1, 3)
        check_rotvecs(rotvecs[:, :NUM_JOINTS], name_frames(len(values), frames, name))
        return Rotations(rotvec_to_rotmat(rotvecs), True)
    return Rotations(values if found == "rotmat" else _read_6d(values, frames, name, form or "rotation_6d"), False)


def _read_6d(values: torch.Tensor, frames: Frames, name: str, form: str) -> torch.Tensor:
    """6D in a named order -> (n, 22, 3, 3)."""
    numbers = values.reshape(len(values), -1, 6)[:, :NUM_JOINTS]
    is_rows = form == "rotation_6d"
    vectors = numbers.unflatten(-1, (3, 2)).mT if form == "rotation_6d_interleaved" else numbers.unflatten(-1, (2, 3))
    check_rotation_6d(vectors, name_frames(len(values), frames, name), "rows" if is_rows else "columns")
    rotmats = rotation_6d_to_rotmat(vectors.flatten(-2))
    return rotmats if is_rows else rotmats.mT


def write_6d(rotmats: torch.Tensor, form: str) -> torch.Tensor:
    """Matrices as numbers in the order that a key of 6D names.

    Args:
        rotmats: (..., 3, 3).
        form: The key.

    Returns:
        (..., 6).
    """
    if form == "rotation_6d_interleaved":
        return rotmats[..., :2].flatten(-2)
    return (rotmats if form == "rotation_6d" else rotmats.mT)[..., :2, :].flatten(-2)


def read_dict(pose: Mapping[str, Any], name: str, frames: Frames = None) -> Rotations:
    """Reads the first form of `DICT_FORMS` that a dict holds.

    Args:
        pose: The dict.
        name: Name of this input in error messages.
        frames: The frames to read.

    Raises:
        ValueError: There is none, or as `read_array`.
    """
    keys = next(iter(forms_in(pose)), None)
    if keys is None and pose.get(KEYPOINTS) is not None:
        return _read_keypoints(pose, name, frames)
    if keys is None:
        got = sorted(map(str, pose))[:20]
        raise ValueError(f"{name}: no pose is under the keys {got}; accepted: {ACCEPTED_FORMS}")
    if len(keys) == 1:
        form = keys[0] if keys[0].startswith("rotation_6d") else None
        return read_array(pose[keys[0]], f"{name}, {keys[0]!r}", frames, form)
    names = [f"{name}, {key!r}" for key in keys]
    orient, body = (to_values(pose[key], key_name) for key, key_name in zip(keys, names))
    body_rotmats = _read_part(body, BODY_SHAPES, names[1], frames)
    # An orientation of (3, 3) is one matrix, or the vectors of three frames: the body tells which.
    moves = tuple(body.shape) not in BODY_SHAPES and orient.shape[:1] == body.shape[:1]
    shapes = tuple(shape for shape in ORIENT_SHAPES if not (moves and shape == tuple(orient.shape)))
    orient_rotmats = _read_part(orient, shapes, names[0], frames)
    if len(orient_rotmats) != len(body_rotmats):
        raise ValueError(
            f"{name}: {keys[0]!r} has {len(orient_rotmats)} frames, {keys[1]!r} has {len(body_rotmats)}; expected the "
            "same"
        )
    rotmats = torch.cat([orient_rotmats, body_rotmats], dim=1)
    return Rotations(rotmats, tuple(body.shape[-2:]) != (3, 3))


def _read_keypoints(pose: Mapping[str, Any], name: str, frames: Frames) -> Rotations:
    """The rotations of joint positions, which say their skeleton."""
    skeleton = find_skeleton(pose.get("skeleton"), f"{name}: the skeleton of its {KEYPOINTS}")
    where = f"{name}, {KEYPOINTS!r}"
    values, weights = read_keypoints(pose[KEYPOINTS], pose.get("confidence"), skeleton, MIN_CONFIDENCE, where)
    joined = torch.cat([values, weights[..., None]], dim=-1)
    if np.ndim(pose[KEYPOINTS]) == 3:
        joined = pick_frames(joined, frames, where)
    elif frames not in (None, slice(None)):
        raise ValueError(f"{where}: got the frame {spell_frames(frames)}, but it holds one pose; leave it out")
    return Rotations(fit_keypoints(joined[..., :3], joined[..., 3], skeleton, where)[0], True)


def forms_in(pose: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The forms of `DICT_FORMS` that a dict holds."""
    return (keys for keys in DICT_FORMS if all(pose.get(key) is not None for key in keys))


def _read_part(values: torch.Tensor, shapes: Sequence[tuple[int, ...]], name: str, frames: Frames) -> torch.Tensor:
    """The global orientations or the bodies of a dict, as matrices or axis-angle -> (n, joints, 3, 3)."""
    parts = split_motion(values, shapes, frames, name)
    if parts is None:
        raise ValueError(f"{name}: it has the shape {tuple(values.shape)}; accepted: {', '.join(map(str, shapes))}")
    if parts.ndim > 2 and tuple(parts.shape[-2:]) == (3, 3):
        return parts.reshape(len(parts), -1, 3, 3)
    rotvecs = parts.reshape(len(parts), -1, 3)
    # The other joints are at rest: positions of the body joints are seen where the pelvis is the origin.
    first = 0 if rotvecs.shape[1] == 1 else 1
    whole = rotvecs.new_zeros(len(parts), NUM_JOINTS, 3)
    count = min(rotvecs.shape[1], NUM_JOINTS - first)
    whole[:, first : first + count] = rotvecs[:, :count]
    check_rotvecs(whole, name_frames(len(parts), frames, name))
    return rotvec_to_rotmat(rotvecs)


def choose_frame(pose: Mapping[str, Any], frame: Frame | None, name: str) -> tuple[Mapping[str, Any], Frame | None]:
    """The part of a dict in the wanted frame, and the frame that the dict states.

    Args:
        pose: The dict.
        frame: The wanted frame, if any.
        name: Name of this input in error messages.

    Raises:
        ValueError: The dict states an unknown frame.
    """
    parts = parts_in(pose)
    if parts:
        key, own = next((part for part in parts if part[1] == frame), parts[0])
        part = pose[key]
        return (part if isinstance(part, Mapping) else {"pose": part}), own
    stated = pose.get("frame")
    if isinstance(stated, np.ndarray) and stated.ndim == 0:
        stated = stated.item()
    # A number is that of a frame of the motion.
    if isinstance(stated, str):
        return pose, check_frame(stated, f"{name}: its frame")
    if frame is None and pose.get(KEYPOINTS) is not None and not any(forms_in(pose)):
        return pose, find_skeleton(pose.get("skeleton"), f"{name}: the skeleton of its {KEYPOINTS}").frame
    return pose, None


def parts_in(pose: Mapping[str, Any]) -> list[tuple[str, Frame]]:
    """The keys of a dict that hold the pose in a frame of their own."""
    parts = [(key, own) for key, own in FRAMED_KEYS if pose.get(key) is not None]
    if pose.get("pose_world") is not None and pose.get("pose") is not None:
        parts.append(("pose", "camera"))
    return parts
