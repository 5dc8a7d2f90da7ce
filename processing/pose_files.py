"""Reads pose files: numbers of any tool, as they are. `pose_features` decides what they mean.

Of BVH files it gives poses, since their numbers mean nothing without their skeleton.
"""

import json
import os
import re
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .bvh_reading import read_bvh
from .pose_forms import Frames
from .pose_frames import Frame
from .retargeting import UpAxis, retarget
from .text_lines import MotionError


READ_ENDINGS = (".npz", ".npy", ".json", ".pt", ".pth", ".bvh")
# A file may need far more memory than disk: an archive is compressed, and numbers as text become objects.
MAX_BYTES = {".json": 2**26, ".bvh": 2**27}
DEFAULT_MAX_BYTES = 2**29

_NUMBER = r"\d{1,9}"
_WITH_FRAMES = re.compile(
    rf"(.+\.(?:{'|'.join(end[1:] for end in READ_ENDINGS)})):"
    rf"(?:({_NUMBER})|((?:{_NUMBER})?):((?:{_NUMBER})?)(?::((?:{_NUMBER})?))?)",
    re.IGNORECASE,
)
# The vertical of a skeleton in a stated frame.
_UP_AXES: dict[Frame | None, UpAxis | None] = {None: None, "y_up": "y", "z_up": "z"}


def split_frames(path: str) -> tuple[str, Frames]:
    """Splits a path from its frames.

    "clip.npz:120" is frame 120, "clip.npz:0:120:10" every tenth of the first 120, as in Python: each number of a range
    may be left out.

    Returns:
        The path, and a number, a slice or None. A path that exists as it stands has no frames.

    Raises:
        ValueError: The step of a range is 0.
    """
    match = _WITH_FRAMES.fullmatch(path)
    if match is None or os.path.exists(path):
        return path, None
    if match[2] is not None:
        return match[1], int(match[2])
    start, stop, step = (int(number) if number else None for number in match.groups()[2:])
    if step == 0:
        raise ValueError(f"{path!r}: the step of its range of frames is 0; expected at least 1")
    return match[1], slice(start, stop, step)


def read_pose_file(path: Path, keys: Collection[str] | None, name: str, frame: Frame | None = None) -> Any:
    """The content of a pose file. Pickled objects are never loaded.

    Args:
        path: Path of the file; its ending, in any case, is one of `READ_ENDINGS`.
        keys: Entries of an archive to read; others may be large, or pickles. None: all that are no pickles.
        name: Name of this input in error messages.
        frame: The frame in which a BVH file's body stands. Default: found from its reference pose.

    Returns:
        An array, a tensor, nested lists, or a dict of them.

    Raises:
        ValueError: Another ending; the file is missing, damaged or too large.
    """
    ending = path.suffix.lower()
    if ending not in READ_ENDINGS:
        raise ValueError(f"{name}: {str(path)!r} is not a pose file; accepted: {', '.join(READ_ENDINGS)}")
    if not os.path.isfile(path):
        raise ValueError(f"{name}: there is no file {str(path)!r}")
    try:
        check_size(path, MAX_BYTES.get(ending, DEFAULT_MAX_BYTES))
        if ending == ".json":
            return json.loads(path.read_text(encoding="utf-8"))
        if ending in (".pt", ".pth"):
            check_archive(path)
            return torch.load(path, map_location="cpu", weights_only=True)
        if ending == ".bvh":
            return read_bvh_poses(path, frame)
        return read_arrays(path, keys)
    except Exception as error:  # a damaged file raises almost anything in the parsers of numpy, zipfile and torch
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ValueError(f"{name}: the file {str(path)!r} could not be read: {reason}") from error


def check_size(path: Path, limit: int) -> None:
    """Checks the size of a file, and of an archive's entries when they are unpacked.

    Args:
        path: Path of the file.
        limit: Largest number of bytes.

    Raises:
        ValueError: It is larger.
    """
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = max([size, *(entry.file_size for entry in archive.infolist())])
    if size > limit:
        raise ValueError(f"it takes {size} bytes, at most {limit} are read")


def check_archive(path: Path) -> None:
    """Checks the checksums of a file by `torch.save`. torch ignores them and may give whatever the memory held.

    Args:
        path: Path of the file; one of torch's older format has no checksums.

    Raises:
        ValueError: An entry is damaged.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"its entry {damaged!r} is damaged; fetch it again")


def read_bvh_poses(path: Path, frame: Frame | None) -> dict[str, Any]:
    """The poses of a BVH file as `rotmats` (frames, 22, 3, 3), in the frame z_up.

    Args:
        path: Path of the file.
        frame: The frame in which its body stands, y_up or z_up. Default: found from its reference pose.

    Raises:
        ValueError: The file is damaged; its skeleton is not that of a body, or stands in another frame.
    """
    if frame not in _UP_AXES:
        raise ValueError(f"its skeleton stands in a world, got frame={frame!r}; expected y_up, z_up or none")
    recording = read_bvh(path, path.read_text(encoding="utf-8"))
    try:
        rotmats = retarget(recording.skeleton, recording.rotations, path.name, up_axis=_UP_AXES[frame])
    except MotionError as error:
        raise ValueError(f"{error}. These are options of `import_data --source bvh`") from error
    return {"rotmats": rotmats, "frame": "z_up"}


def read_arrays(path: Path, keys: Collection[str] | None) -> Any:
    """The array of an .npy file, or the named arrays of an .npz file.

    Args:
        path: Path of the file.
        keys: Entries to read. If there are none of them, the dict has all names, with None. None: all that are no
            pickles.
    """
    loaded = np.load(path, allow_pickle=False)
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        return loaded
    with loaded:
        if keys is None:
            return dict(_plain_arrays(loaded))
        present = [key for key in keys if key in loaded.files]
        return {key: loaded[key] for key in present} or dict.fromkeys(loaded.files)


def _plain_arrays(archive: np.lib.npyio.NpzFile) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of an archive that are no pickles."""
    for key in archive.files:
        try:
            yield key, archive[key]
        except ValueError as error:
            if "allow_pickle" not in str(error):
                raise
