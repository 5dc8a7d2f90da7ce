"""Reads pose files: numbers of any tool, as they are. `pose_features` decides what they mean."""

import json
import os
import re
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch


READ_ENDINGS = (".npz", ".npy", ".json", ".pt", ".pth")
# A file may need far more memory than disk: an archive is compressed, and numbers as text become objects.
MAX_BYTES = {".json": 2**26}
DEFAULT_MAX_BYTES = 2**29

_NUMBERED = re.compile(r"(.+\.(?:{})):(\d{{1,9}})".format("|".join(end[1:] for end in READ_ENDINGS)), re.IGNORECASE)


def split_frame_number(path: str) -> tuple[str, int | None]:
    """ "clip.npz:120" -> ("clip.npz", 120); the path alone where it has no number, or is a file as it stands."""
    match = _NUMBERED.fullmatch(path)
    if match is None or os.path.exists(path):
        return path, None
    return match[1], int(match[2])


def read_pose_file(path: Path, keys: Collection[str], name: str) -> Any:
    """The content of a pose file. Pickled objects are never loaded.

    Args:
        path: Path of the file; its ending, in any case, is one of `READ_ENDINGS`.
        keys: Entries of an archive to read; others may be large, or pickles.
        name: Name of this input in error messages.

    Returns:
        An array, a tensor, nested lists, or a dict of them.

    Raises:
        ValueError: Another ending; the file is missing, damaged or too large.
    """
    ending = path.suffix.lower()
    if ending not in READ_ENDINGS:
        hint = "; import_data --source bvh reads skeletons" if ending == ".bvh" else ""
        raise ValueError(f"{name}: {str(path)!r} is not a pose file; accepted: {', '.join(READ_ENDINGS)}{hint}")
    if not os.path.isfile(path):
        raise ValueError(f"{name}: there is no file {str(path)!r}")
    try:
        check_size(path, MAX_BYTES.get(ending, DEFAULT_MAX_BYTES))
        if ending == ".json":
            return json.loads(path.read_text(encoding="utf-8"))
        if ending in (".pt", ".pth"):
            check_archive(path)
            return torch.load(path, map_location="cpu", weights_only=True)
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


def read_arrays(path: Path, keys: Collection[str]) -> Any:
    """The array of an .npy file, or the named arrays of an .npz file.

    Args:
        path: Path of the file.
        keys: Entries to read. If there are none of them, the dict has all names, with None.
    """
    loaded = np.load(path, allow_pickle=False)
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        return loaded
    with loaded:
        present = [key for key in keys if key in loaded.files]
        return {key: loaded[key] for key in present} or dict.fromkeys(loaded.files)
