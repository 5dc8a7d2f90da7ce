"""Poses in any accepted form -> `pose_values`.

The conventions of the whole project:

- A pose is 22 rotations in SMPL's kinematic order (`JOINT_NAMES`): the pelvis (global orientation), then 21 body
  joints, each relative to its parent. Rest is the T-pose: x = the body's left, y = up, z = forward.
- The **stored** global orientation is AMASS's: the world is z up. Images, meshes and captions use a y-up world;
  `to_y_up` / `to_z_up` are the only two crossings.
- `pose_values`, the input of the networks: (number of poses, 22, 6), the first two ROWS of each rotation matrix,
  flattened (paper, section 3.1).

`ACCEPTED_FORMS` lists the accepted forms of a pose. `pose_to_rotmats` reads any of them; for others it raises a
`ValueError` with the input's name, what it got and what is accepted.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import roma
import torch

from .placeholders import Grouped, group_list


JOINT_NAMES = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
)
NUM_JOINTS = len(JOINT_NAMES)

# Left and right are swapped; the joints on the midline stay.
MIRRORED_JOINTS = tuple(
    JOINT_NAMES.index(name.replace("left_", "right_") if name.startswith("left_") else name.replace("right_", "left_"))
    for name in JOINT_NAMES
)

# Rotations rounded to bfloat16 deviate by 4e-3 and are projected. A larger deviation is an error.
MAX_DEVIATION = 1e-2

ACCEPTED_FORMS = (
    "rotation matrices (22, 3, 3) or SMPL's (24, 3, 3); axis-angle in radians (22, 3), (66,), SMPL (24, 3) or (72,), "
    "SMPL-H (156,), SMPL-X (165,); 6D (22, 6) or (132,); a dict of global_orient + body_pose, of root_orient + "
    "pose_body, of poses or of rotmats; the path of an .npy, .npz or .json file of these"
)

# Joints of SMPL's body, SMPL with hands, SMPL-H and SMPL-X: the first 22 are the same in all of them.
_JOINT_COUNTS = (22, 24, 52, 55)
_DICT_FORMS: tuple[tuple[str, ...], ...] = (
    ("rotmats",),
    ("global_orient", "body_pose"),
    ("root_orient", "pose_body"),
    ("poses",),
)
_DICT_KEYS = tuple(key for keys in _DICT_FORMS for key in keys)

Pose: TypeAlias = torch.Tensor | np.ndarray | Sequence | Mapping[str, Any] | str | os.PathLike

# Maps a y-up world onto AMASS's z-up world: +90 degrees about x.
Y_UP_TO_Z_UP = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))


def to_y_up(rotmats: torch.Tensor) -> torch.Tensor:
    """Rotates the global orientation of (..., 22, 3, 3) poses from the stored z-up world into the y-up world."""
    rotation = rotmats.new_tensor(Y_UP_TO_Z_UP).mT
    return torch.cat([rotation @ rotmats[..., :1, :, :], rotmats[..., 1:, :, :]], dim=-3)


def to_z_up(rotmats: torch.Tensor) -> torch.Tensor:
    """Rotates the global orientation of (..., 22, 3, 3) poses from a y-up world into the stored z-up world."""
    rotation = rotmats.new_tensor(Y_UP_TO_Z_UP)
    return torch.cat([rotation @ rotmats[..., :1, :, :], rotmats[..., 1:, :, :]], dim=-3)


def rotmat_to_rotation_6d(rotmats: torch.Tensor) -> torch.Tensor:
    """(..., 3, 3) rotation matrices -> (..., 6): the first two rows, flattened."""
    return rotmats[..., :2, :].flatten(-2)


def rotation_6d_to_rotmat(rotation_6d: torch.Tensor) -> torch.Tensor:
    """(..., 6) -> (..., 3, 3) rotation matrices: Gram-Schmidt on the two rows, the third is their cross product."""
    rows = rotation_6d.unflatten(-1, (2, 3))
    return roma.special_gramschmidt(rows.mT).mT


def mirror_pose(rotmats: torch.Tensor) -> torch.Tensor:
    """Mirrors (..., 22, 3, 3) poses: swaps left and right and multiplies rotation vectors by (1, -1, -1).

    Valid in the y-up and in the z-up world, because both share the left-right axis.
    """
    flip = rotmats.new_tensor((-1.0, 1.0, 1.0))
    return rotmats[..., MIRRORED_JOINTS, :, :] * (flip[:, None] * flip)


def pose_to_rotmats(pose: Pose, name: str = "pose 1") -> torch.Tensor:
    """Reads one pose in any accepted form.

    Args:
        pose: One of `ACCEPTED_FORMS`, in the stored frame (z up, see above). Hands are dropped.
        name: Name of this input in error messages.

    Returns:
        (22, 3, 3) float32 rotation matrices, exactly orthogonal.

    Raises:
        ValueError: An unknown shape, dict or file; several frames; a NaN or an infinity; a matrix that deviates from a
            rotation by more than `MAX_DEVIATION`.
    """
    if isinstance(pose, str | os.PathLike):
        path = Path(pose)
        name, pose = f"{name} ({str(path)!r})", _read_file(path, name)
    rotmats = (
        _dict_to_rotmats(pose, name) if isinstance(pose, Mapping) else _array_to_rotmats(_values(pose, name), name)
    )
    return _project(rotmats[:NUM_JOINTS], name).float()


def load_pose(path: str | os.PathLike) -> torch.Tensor:
    """Reads the pose of an .npy, .npz or .json file -> (22, 3, 3) float32 rotation matrices.

    Raises:
        ValueError: As `pose_to_rotmats`, or the file is missing or unreadable.
    """
    return pose_to_rotmats(Path(path), name="pose")


def poses_to_pose_values(poses: Sequence[Pose]) -> torch.Tensor:
    """n poses in any accepted form -> `pose_values` (n, 22, 6) float32; errors name "pose 1", "pose 2", ..."""
    rotmats = [pose_to_rotmats(pose, name=f"pose {number}") for number, pose in enumerate(poses, start=1)]
    return rotmat_to_rotation_6d(torch.stack(rotmats)) if rotmats else torch.zeros(0, NUM_JOINTS, 6)


def group_poses(poses: Any) -> Grouped:
    """Groups one pose, a flat list or array of poses, or a list of poses for each row."""
    shape = _shape(poses)
    if _is_pose(poses) or not isinstance(poses, Iterable):
        return Grouped([[poses]], "single")
    if shape and not _holds_arrays(poses) and not any(_form(shape[skip:]) for skip in (1, 2)):
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
    if isinstance(item, Mapping | str | os.PathLike):
        return True
    shape = _shape(item)
    return shape is not None and _form(shape) is not None


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


def _form(shape: tuple[int, ...]) -> str | None:
    if shape in ((NUM_JOINTS, 6), (NUM_JOINTS * 6,)):
        return "rotation_6d"
    if shape in ((22, 3, 3), (24, 3, 3), (52, 3, 3), (55, 3, 3)):
        return "rotmat"
    if shape in {form for count in _JOINT_COUNTS for form in ((count, 3), (count * 3,))}:
        return "rotvec"
    return None


def _read_file(path: Path, name: str) -> Any:
    if path.suffix not in (".npy", ".npz", ".json"):
        raise ValueError(f"{name}: {str(path)!r} is not a pose file; accepted: .npy, .npz and .json")
    if not path.is_file():
        raise ValueError(f"{name}: there is no file {str(path)!r}")
    try:
        if path.suffix == ".json":
            return json.loads(path.read_text(encoding="utf-8"))
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            return loaded
        with loaded:
            # Other entries (gender, markers, ...) are not read: in some files they are pickles.
            present = [key for key in _DICT_KEYS if key in loaded.files]
            return {key: loaded[key] for key in present} or dict.fromkeys(loaded.files)
    except (OSError, ValueError, EOFError, RecursionError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{name}: the file {str(path)!r} could not be read: {error}") from error


def _values(data: Any, name: str) -> torch.Tensor:
    """Numbers in any container -> a float64 tensor without NaN or infinity."""
    if isinstance(data, torch.Tensor):
        values = data.detach().cpu()
    else:
        try:
            array = np.asarray(data)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(f"{name}: this list is not an array of numbers; accepted: {ACCEPTED_FORMS}") from error
        if array.dtype.kind not in "fiu":
            got = type(data).__name__ if array.ndim == 0 else f"values of type {array.dtype}"
            raise ValueError(f"{name}: expected numbers, got {got}; accepted: {ACCEPTED_FORMS}")
        values = torch.from_numpy(array.astype(np.float64))
    if values.is_complex() or values.dtype == torch.bool:
        raise ValueError(f"{name}: expected real numbers, got {values.dtype}")
    values = values.double()
    if not values.isfinite().all():
        raise ValueError(f"{name}: it holds {int((~values.isfinite()).sum())} NaN or infinite values")
    return values


def _array_to_rotmats(values: torch.Tensor, name: str) -> torch.Tensor:
    shape = tuple(values.shape)
    form = _form(shape)
    if form is None and shape and _form(shape[1:]) is not None:
        _check_one_frame(shape, name)
        return _array_to_rotmats(values[0], name)
    if form == "rotmat":
        return values
    if form == "rotvec":
        return roma.rotvec_to_rotmat(values.reshape(-1, 3))
    if form == "rotation_6d":
        return _checked_rotation_6d(values.reshape(NUM_JOINTS, 6), name)
    raise ValueError(f"{name}: no pose has the shape {shape}; accepted: {ACCEPTED_FORMS}")


def _dict_to_rotmats(pose: Mapping[str, Any], name: str) -> torch.Tensor:
    keys = next((keys for keys in _DICT_FORMS if all(pose.get(key) is not None for key in keys)), None)
    if keys is None:
        raise ValueError(f"{name}: no pose is under the keys {sorted(map(str, pose))}; accepted: {ACCEPTED_FORMS}")
    parts = [_values(pose[key], f"{name}, {key!r}") for key in keys]
    if len(parts) == 1:
        return _array_to_rotmats(parts[0], f"{name}, {keys[0]!r}")
    orient, body = parts
    body_rotmats = _part_to_rotmats(body, (21, 23), f"{name}, {keys[1]!r}")
    return torch.cat([_part_to_rotmats(orient, (1,), f"{name}, {keys[0]!r}"), body_rotmats])


def _part_to_rotmats(values: torch.Tensor, joint_counts: tuple[int, ...], name: str) -> torch.Tensor:
    """The global orientation or the body of a dict, as matrices or axis-angle -> (joints, 3, 3)."""
    forms: list[tuple[int, ...]] = [(3, 3)] if joint_counts == (1,) else []
    forms += [form for count in joint_counts for form in ((count * 3,), (count, 3), (count, 3, 3))]
    shape: tuple[int, ...] = tuple(values.shape)
    if shape not in forms and shape[1:] in forms:
        _check_one_frame(shape, name)
        return _part_to_rotmats(values[0], joint_counts, name)
    if shape not in forms:
        raise ValueError(f"{name}: it has the shape {shape}; accepted: {', '.join(map(str, forms))}")
    if shape[-2:] == (3, 3):
        return values.reshape(-1, 3, 3)
    return roma.rotvec_to_rotmat(values.reshape(-1, 3))


def _check_one_frame(shape: tuple[int, ...], name: str) -> None:
    if shape[0] != 1:
        raise ValueError(f"{name}: it holds {shape[0]} frames (shape {shape}), but a pose is one: pick a frame")


def _checked_rotation_6d(rotation_6d: torch.Tensor, name: str) -> torch.Tensor:
    first, second = rotation_6d[:, :3], rotation_6d[:, 3:]
    area = torch.linalg.cross(first, second).norm(dim=-1)
    flat = area <= 1e-6 * (first.norm(dim=-1) * second.norm(dim=-1)).clamp(min=1e-12)
    if flat.any():
        raise ValueError(f"{name}: the 6 numbers of {_joint(flat)} are two parallel rows, not a rotation")
    return rotation_6d_to_rotmat(rotation_6d)


def _project(rotmats: torch.Tensor, name: str) -> torch.Tensor:
    """Nearest rotations; raises an error for matrices too far from one."""
    identity = torch.eye(3, dtype=rotmats.dtype)
    deviation = (rotmats @ rotmats.mT - identity).abs().amax(dim=(-2, -1))
    if deviation.max() > MAX_DEVIATION:
        raise ValueError(
            f"{name}: the matrix of {_joint(deviation)} is not a rotation: it deviates from an orthogonal one by "
            f"{deviation.max():.3g}, at most {MAX_DEVIATION:g} is accepted"
        )
    reflected = torch.linalg.det(rotmats) < 0
    if reflected.any():
        raise ValueError(f"{name}: the matrix of {_joint(reflected)} is a reflection (determinant -1), not a rotation")
    return roma.special_procrustes(rotmats)


def _joint(score: torch.Tensor) -> str:
    joint = int(score.double().argmax())
    return f"joint {joint} ({JOINT_NAMES[joint]})"
