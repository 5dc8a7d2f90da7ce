"""Writes poses to files, in the formats of `pose_formats`; `load_pose` reads numbers back."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from .body_model import Betas, Body, BodyModel, to_body_model
from .edited_poses import Original, read_original
from .pose_features import load_pose, pose_to_rotmats
from .pose_formats import FORMATS, POSE_ENDINGS, Content, Format, check_ending, find_format, pose_arrays, pose_mesh
from .pose_frames import NUM_JOINTS, Frame, check_frame
from .pose_motion import FPS, SECONDS, interpolate_poses, lowest_points


OnePose: TypeAlias = torch.Tensor | np.ndarray
Poses: TypeAlias = Sequence[OnePose] | OnePose


def save_pose(
    path: str | Path,
    rotmats: OnePose,
    body: Body | None = None,
    frame: Frame | None = None,
    input_frame: Frame = "z_up",
    betas: Betas | None = None,
    like: Any = None,
) -> Path:
    """Writes one pose in the format of the path's ending, in any case.

    Args:
        path: Its ending is one of `FORMATS`. Missing folders are created; the file is written atomically.
        rotmats: (22, 3, 3).
        body: The body of meshes, skeletons and images: a body, or the path of an SMPL, SMPL-H or SMPL-X file. Default:
            the built-in one.
        frame: Frame of the numbers in the file: "z_up", "y_up" or "camera". `load_pose` reads it from the file; for
            .npy pass it there too. Meshes, skeletons and images are y up in any case. Default: that of `like`,
            otherwise "z_up".
        input_frame: Frame of `rotmats`.
        betas: (n,) shape coefficients: of `body`, and those that SMPL's files state. Default: those of `like`,
            otherwise the mean shape.
        like: What the pose was edited from: one pose in any form that `replace_body` takes, such as "clip.npz:120".
            Its hands, face, shape, translation and other entries are written too, in files of numbers but .npy.

    Returns:
        The path.

    Raises:
        ValueError: An ending or a frame that is not accepted, or what is not a pose: a wrong shape, a NaN or an
            infinity, a matrix that is not a rotation; betas without an SMPL body; a `like` that is not one pose, or
            that the ending cannot keep. Nothing is written then.
    """
    path = Path(path)
    file_format = find_format(path)
    chosen_frame, original = choose_frame_of_file(file_format, like, frame)
    pose = read_rotmats(rotmats, input_frame)
    chosen, betas = choose_body(file_format, body, betas)
    write_poses([path], file_format, [pose], chosen, betas, chosen_frame, original)
    return path


def save_poses(
    path: str | Path,
    poses: Poses,
    body: Body | None = None,
    frame: Frame | None = None,
    input_frame: Frame = "z_up",
    betas: Betas | None = None,
    like: Any = None,
) -> list[Path]:
    """Writes each pose to its own file: `path` for a single one, else path_1, path_2, ...

    Args:
        path: As in `save_pose`.
        poses: (n, 22, 3, 3).
        body: As in `save_pose`.
        frame: Frame of the numbers in the files.
        input_frame: Frame of `poses`.
        betas: As in `save_pose`.
        like: As in `save_pose`, for each of the poses.

    Returns:
        The paths, in the order of the poses.

    Raises:
        ValueError: As `save_pose`.
    """
    path = Path(path)
    file_format = find_format(path)
    chosen_frame, original = choose_frame_of_file(file_format, like, frame)
    checked = read_poses(poses, input_frame)
    chosen, betas = choose_body(file_format, body, betas)
    paths = number_paths(path, len(checked))
    write_poses(paths, file_format, checked, chosen, betas, chosen_frame, original)
    return paths


def number_paths(path: Path, count: int) -> list[Path]:
    """`path` for a single file, else path_1, path_2, ...

    Args:
        path: Its ending is one of `FORMATS`.
        count: Number of files.
    """
    size = len(find_format(path).ending)
    stem, ending = path.name[:-size], path.name[-size:]
    numbered = [path.with_name(f"{stem}_{number}{ending}") for number in range(1, count + 1)]
    return [path] if count == 1 else numbered


def save_animation(
    path: str | Path,
    poses: Poses,
    fps: float = FPS,
    seconds: float = SECONDS,
    body: Body | None = None,
    frame: Frame | None = None,
    input_frame: Frame = "z_up",
    betas: Betas | None = None,
    keep_floor: bool = True,
    like: Any = None,
) -> Path:
    """Writes a motion through several poses to one file, such as an edit from the pose before to the pose after.

    Args:
        path: Its ending is one of the animated `FORMATS`.
        poses: (n, 22, 3, 3), two or more. Between them each joint rotates at constant speed (slerp).
        fps: Frames per second.
        seconds: Time from one pose to the next. 1 / fps takes the poses as the frames of a clip.
        body: As in `save_pose`.
        frame: Frame of the numbers in the file.
        input_frame: Frame of `poses`.
        betas: As in `save_pose`.
        keep_floor: Whether the lowest point of the body stays at the height of the first frame's, so that it stands
            on one floor. Otherwise the pelvis stays.
        like: As in `save_pose`: hands and face stay as they are in all frames.

    Returns:
        The path.

    Raises:
        ValueError: As `save_pose`; an ending that holds one pose; fewer than two poses; a rate or a time that is not
            positive.
    """
    path = Path(path)
    file_format = find_format(path, animated=True)
    chosen_frame, original = choose_frame_of_file(file_format, like, frame)
    checked = read_poses(poses, input_frame)
    if len(checked) < 2:
        raise ValueError(f"an animation needs at least 2 poses, got {len(checked)}; save_pose writes a single one")
    rotmats = interpolate_poses(torch.stack(checked), fps, seconds)
    chosen, betas = choose_body(file_format, body, betas)
    lowest = lowest_points(rotmats, chosen) if keep_floor else torch.zeros(len(rotmats))
    content = Content(rotmats, chosen, betas, chosen_frame, lowest[:1] - lowest, fps, original)
    write_atomically(path, file_format.encode(content))
    return path


def write_poses(
    paths: Sequence[Path],
    file_format: Format,
    poses: Sequence[torch.Tensor],
    body: BodyModel,
    betas: np.ndarray | None,
    frame: Frame,
    original: Original | None,
) -> None:
    """Writes files of one pose each.

    Args:
        paths: Paths of the files.
        file_format: Their format.
        poses: (22, 3, 3) each, in the stored z-up frame.
        body: The body of meshes, skeletons and images, with its shape.
        betas: (n,) shape coefficients that the files state.
        frame: Frame of the numbers.
        original: What the poses were edited from.
    """
    for path, pose in zip(paths, poses):
        content = Content(pose[None], body, betas, frame, torch.zeros(1), FPS, original)
        write_atomically(path, file_format.encode(content))


def choose_frame_of_file(file_format: Format, like: Any, frame: Frame | None) -> tuple[Frame, Original | None]:
    """The frame of a file's numbers, and what its pose was edited from.

    Args:
        file_format: Format of the file.
        like: What the pose was edited from, if anything.
        frame: The frame that the user passed.

    Raises:
        ValueError: An unknown frame; a `like` that is not one pose, is in another frame, or does not fit the format.
    """
    if like is None:
        return check_frame(frame), None
    if not file_format.keeps:
        accepted = ", ".join(each.ending for each in FORMATS if each.keeps)
        raise ValueError(f"a {file_format.ending} file cannot keep what is in like; accepted: {accepted}")
    original = read_original(like, frame)
    return original.frame, original


def choose_body(file_format: Format, body: Body | None, betas: Betas | None) -> tuple[BodyModel, np.ndarray | None]:
    """The body of a file, and the betas that it states.

    Args:
        file_format: Format of the file.
        body: A body, the path of an SMPL, SMPL-H or SMPL-X file, or None for the built-in one.
        betas: (n,) shape coefficients.

    Raises:
        ValueError: Betas that are no vector of finite numbers, or betas without an SMPL body in a format that does
            not state them.
    """
    if betas is None:
        return to_body_model(body), None
    try:
        stated = torch.as_tensor(betas).detach().cpu().numpy().astype(np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"betas are {type(betas).__name__} without numbers; expected (n,) finite numbers") from error
    if stated.ndim != 1 or not np.isfinite(stated).all():
        raise ValueError(f"betas have shape {stated.shape}; expected (n,) finite numbers")
    states_only = body is None and file_format.states_betas
    return to_body_model(body, None if states_only else stated), stated


def read_poses(poses: Poses, frame: Frame) -> list[torch.Tensor]:
    """Poses to write, checked as all poses are; errors name "pose 1", "pose 2", ...

    Args:
        poses: (n, 22, 3, 3).
        frame: Their frame.
    """
    return [read_rotmats(pose, frame, f"rotmats of pose {number}") for number, pose in enumerate(poses, 1)]


def read_rotmats(rotmats: OnePose, frame: Frame = "z_up", name: str = "rotmats") -> torch.Tensor:
    """A pose to write, checked as all poses are.

    Args:
        rotmats: (22, 3, 3).
        frame: Its frame.
        name: Name of this input in error messages.

    Returns:
        (22, 3, 3) float32 in the stored z-up frame.

    Raises:
        ValueError: As `save_pose`.
    """
    check_frame(frame, "input_frame")
    try:
        shape = tuple(np.shape(rotmats))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is no array; expected one pose, ({NUM_JOINTS}, 3, 3)") from error
    if shape != (NUM_JOINTS, 3, 3):
        hint = "; save_poses and save_animation write several" if shape[1:] == (NUM_JOINTS, 3, 3) else ""
        raise ValueError(f"{name} has shape {shape}; expected one pose, ({NUM_JOINTS}, 3, 3){hint}")
    return pose_to_rotmats(rotmats, name, frame)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a temporary file next to `path` and renames it, so that readers never see a part of the content.

    Args:
        path: Path of the file. Missing folders are created.
        content: Content of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


__all__ = [
    "FORMATS",
    "POSE_ENDINGS",
    "Format",
    "check_ending",
    "load_pose",
    "pose_arrays",
    "pose_mesh",
    "read_rotmats",
    "save_animation",
    "save_pose",
    "save_poses",
    "write_atomically",
]
