"""Reads npz, JSON and, only if allowed, pickles of other datasets, with errors that name the file."""

import json
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unipose.processing.pose_checks import check_rotvecs
from unipose.processing.pose_features import NUM_JOINTS
from unipose.processing.pose_files import check_size
from unipose.training.datasets.importers.errors import DatasetError, Source, damaged_error, missing_error
from unipose.training.datasets.records import Rotvecs


# An archive of some megabytes can unpack to gigabytes. The largest arrays of the datasets are some hundred megabytes.
MAX_NPZ_BYTES = 2**31
# In SMPL, SMPL-H and SMPL-X the first 66 numbers are the pelvis and the 21 body joints.
POSE_WIDTHS = {66: "22 joints", 72: "SMPL", 156: "SMPL-H", 165: "SMPL-X"}


def require_path(path: Path, source: Source, hint: str = "", folder: bool = False) -> Path:
    """Checks that a file or a folder exists.

    Args:
        path: its path.
        source: where to get the dataset, for errors.
        hint: why it is needed.
        folder: whether it must be a folder, not a file.

    Returns:
        `path`.

    Raises:
        DatasetError: it does not exist.
    """
    if not (path.is_dir() if folder else path.is_file()):
        raise missing_error(path, source, hint)
    return path


def read_arrays(path: Path, source: Source, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads arrays of an npz, without unpickling anything.

    Args:
        path: path of the npz.
        source: where to get the dataset, for errors.
        names: arrays to read; those that the file lacks are left out.

    Raises:
        DatasetError: the file is missing or damaged, an array unpacks to more than `MAX_NPZ_BYTES`, or a named array
            is a pickle.
    """
    require_path(path, source)
    try:
        check_size(path, MAX_NPZ_BYTES)
        stored = np.load(path, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array, not an .npz")
        with stored:
            return {name: stored[name] for name in names if name in stored.files}
    except Exception as error:  # a damaged file raises almost anything in the parsers of numpy and zipfile
        raise damaged_error(path, error, source) from error


def read_text(path: Path, source: Source) -> str:
    """Reads a text file.

    Args:
        path: path of the file.
        source: where to get the dataset, for errors.

    Raises:
        DatasetError: the file is missing or not text.
    """
    require_path(path, source)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise damaged_error(path, error, source) from error


def list_arrays(path: Path, source: Source) -> list[str]:
    """The names of the arrays of an npz, which are not read.

    Args:
        path: path of the npz.
        source: where to get the dataset, for errors.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    require_path(path, source)
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except Exception as error:  # a damaged file raises almost anything in the parsers of numpy and zipfile
        raise damaged_error(path, error, source) from error


def read_json(path: Path, source: Source, kind: type) -> Any:
    """Reads a JSON file.

    Args:
        path: path of the file.
        source: where to get the dataset, for errors.
        kind: expected type of the content, `dict` or `list`.

    Raises:
        DatasetError: the file is missing or damaged, or holds something else.
    """
    require_path(path, source)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged_error(path, error, source) from error
    if not isinstance(content, kind):
        raise damaged_error(path, f"got a {type(content).__name__}, expected a {kind.__name__}", source)
    return content


def shuffle_files(paths: list[Path], seed: int | None) -> list[Path]:
    """Shuffles files reproducibly.

    Args:
        paths: the files.
        seed: seed of the order; None keeps it.
    """
    return paths if seed is None else [paths[index] for index in np.random.default_rng(seed).permutation(len(paths))]


def check_pickles_allowed(allowed: bool, what: str) -> None:
    """Refuses pickles that the user does not trust.

    Args:
        allowed: the user's `pickles_may_run_code`.
        what: the files, for the error message.

    Raises:
        DatasetError: pickles are not allowed.
    """
    if not allowed:
        raise DatasetError(
            f"{what} are pickles, and a pickle can run any code when it is read: nothing was read. If you trust the "
            "origin of these files, pass pickles_may_run_code=True."
        )


def unpickle(content: bytes, where: str, source: Source) -> Any:
    """Reads a trusted pickle; call `check_pickles_allowed` before.

    Args:
        content: its bytes.
        where: names it in errors.
        source: where to get the dataset, for errors.

    Raises:
        DatasetError: it is damaged.
    """
    try:
        return pickle.loads(content, encoding="latin1")
    except Exception as error:  # a damaged pickle raises almost anything
        raise DatasetError(f"{where} cannot be read: {type(error).__name__}: {error}. {source}.") from error


def body_rotvecs(poses: np.ndarray, where: str) -> Rotvecs:
    """Body poses of SMPL, SMPL-H or SMPL-X parameters, without hands and face.

    Args:
        poses: (frames, 66, 72, 156 or 165) rotation vectors in radians.
        where: names the file in errors.

    Returns:
        (frames, 22, 3).

    Raises:
        DatasetError: another shape, no real numbers, a NaN or infinity, degrees or joint positions; the first such
            frame is named.
    """
    if poses.ndim != 2 or poses.shape[1] not in POSE_WIDTHS:
        expected = ", ".join(f"(frames, {width}) of {model}" for width, model in POSE_WIDTHS.items())
        raise DatasetError(f"{where}: got poses of shape {poses.shape}; expected {expected}")
    if poses.dtype.kind not in "fiu":
        raise DatasetError(f"{where}: got poses of type {poses.dtype}; expected real numbers, radians")
    rotvecs = poses[:, : 3 * NUM_JOINTS].reshape(-1, NUM_JOINTS, 3)
    check_finite(rotvecs, where, "frame")
    try:
        names = [f"{where}: the pose of frame {frame}" for frame in range(len(rotvecs))]
        check_rotvecs(torch.from_numpy(rotvecs.astype(np.float64)), names)
    except ValueError as error:
        raise DatasetError(str(error)) from error
    return rotvecs.astype(np.float32)


def to_array(value: Any, where: str, *shapes: tuple[int | None, ...]) -> np.ndarray:
    """Converts a value to a float64 array.

    Args:
        value: an array or nested list of real numbers.
        where: names it in errors.
        *shapes: accepted shapes; None stands for any length.

    Raises:
        DatasetError: no real numbers, or another shape.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{where} is not an array of numbers: {error}") from error
    if array.dtype.kind not in "fiub":
        raise DatasetError(f"{where}: got {array.dtype}; expected real numbers")
    if not any(_matches(array.shape, shape) for shape in shapes):
        expected = " or ".join(str(shape).replace("None", "any") for shape in shapes)
        raise DatasetError(f"{where}: got the shape {array.shape}; expected {expected}")
    return array.astype(np.float64)


def _matches(shape: tuple[int, ...], pattern: tuple[int | None, ...]) -> bool:
    return len(shape) == len(pattern) and all(length in (None, size) for size, length in zip(shape, pattern))


def check_finite(values: np.ndarray, where: str, unit: str, numbers: Sequence[int] | np.ndarray | None = None) -> None:
    """Checks poses for NaN and infinity.

    Args:
        values: (n, ...).
        where: names the file in errors.
        unit: "frame" or "row".
        numbers: (n,) numbers of the entries in the file; default: their indices.

    Raises:
        DatasetError: an entry is not finite; the first one is named.
    """
    bad = np.flatnonzero(~np.isfinite(values).all(axis=tuple(range(1, values.ndim))))
    if len(bad):
        first = int(bad[0] if numbers is None else numbers[bad[0]])
        raise DatasetError(f"{where}: the pose of {unit} {first} holds NaN or infinite values ({len(bad)} {unit}s do)")
