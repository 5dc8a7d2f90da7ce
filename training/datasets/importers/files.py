"""Reading a dataset's files, with errors that name the file: npz, JSON, and, only if allowed, pickles."""

import json
import pickle
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unipose.processing.pose_features import NUM_JOINTS
from unipose.training.datasets.importers.errors import DatasetError, Source, damaged, missing
from unipose.training.datasets.records import Rotvecs


BROKEN_NPZ = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError)
# SMPL, SMPL-H and SMPL-X: the first 66 numbers are the pelvis and the 21 body joints in all of them.
POSE_WIDTHS = {66: "22 joints", 72: "SMPL", 156: "SMPL-H", 165: "SMPL-X"}


def require_file(path: Path, source: Source, hint: str = "") -> Path:
    """Returns `path`, or raises a DatasetError where there is no such file."""
    if not path.is_file():
        raise missing(path, source, hint)
    return path


def require_folder(path: Path, source: Source, hint: str = "") -> Path:
    """Returns `path`, or raises a DatasetError where there is no such folder."""
    if not path.is_dir():
        raise missing(path, source, hint)
    return path


def read_arrays(path: Path, source: Source, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Those of the named arrays that an npz holds; no other is touched, and none that is a pickle is loaded.

    Raises:
        DatasetError: the file is missing or damaged, or a named array is a pickle.
    """
    require_file(path, source)
    try:
        stored = np.load(path, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array, not an .npz")
        with stored:
            return {name: stored[name] for name in names if name in stored.files}
    except BROKEN_NPZ as error:
        raise damaged(path, error, source) from error


def list_arrays(path: Path, source: Source) -> list[str]:
    """The names of the arrays of an npz; reads none of them."""
    require_file(path, source)
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except BROKEN_NPZ as error:
        raise damaged(path, error, source) from error


def read_json(path: Path, source: Source, kind: type) -> Any:
    """The content of a JSON file, a `dict` or a `list` as `kind` says.

    Raises:
        DatasetError: the file is missing or damaged, or holds something else.
    """
    require_file(path, source)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, error, source) from error
    if not isinstance(content, kind):
        raise damaged(path, f"a {kind.__name__} was expected, but it holds a {type(content).__name__}", source)
    return content


def in_seeded_order(paths: list[Path], seed: int | None) -> list[Path]:
    """Files shuffled by a seed; as they are where there is none."""
    return paths if seed is None else [paths[index] for index in np.random.default_rng(seed).permutation(len(paths))]


def check_pickles_allowed(allowed: bool, what: str) -> None:
    """Raises a DatasetError unless the caller has said that pickles may run code."""
    if not allowed:
        raise DatasetError(
            f"{what} are pickles, and a pickle can run any code when it is read: nothing was read. If you trust where "
            "these files come from, pass pickles_may_run_code=True."
        )


def unpickle(content: bytes, where: str, source: Source) -> Any:
    """What a trusted pickle holds; call `check_pickles_allowed` before.

    Raises:
        DatasetError: it is damaged; the message names `where`.
    """
    try:
        return pickle.loads(content, encoding="latin1")
    except Exception as error:  # a damaged pickle raises almost anything
        raise DatasetError(f"{where} cannot be read: {type(error).__name__}: {error}. {source}.") from error


def body_rotvecs(poses: np.ndarray, where: str) -> Rotvecs:
    """(frames, 66, 72, 156 or 165) SMPL, SMPL-H or SMPL-X poses, radians -> (frames, 22, 3), hands and face cut.

    Raises:
        DatasetError: another shape, no real numbers, or a NaN or infinity, with the first such frame.
    """
    if poses.ndim != 2 or poses.shape[1] not in POSE_WIDTHS:
        accepted = ", ".join(f"(frames, {width}) of {model}" for width, model in POSE_WIDTHS.items())
        raise DatasetError(f"{where}: the poses have the shape {poses.shape}; accepted: {accepted}")
    if poses.dtype.kind not in "fiu":
        raise DatasetError(f"{where}: the poses are of type {poses.dtype}; accepted: real numbers, radians")
    rotvecs = poses[:, : 3 * NUM_JOINTS].reshape(-1, NUM_JOINTS, 3)
    check_finite(rotvecs, where, "frame")
    return rotvecs.astype(np.float32)


def to_numbers(value: Any, where: str, *shapes: tuple[int | None, ...]) -> np.ndarray:
    """An array of real numbers, float64, in one of `shapes`; None stands for any length.

    Raises:
        DatasetError: it holds something else, or has another shape.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{where} is no array of numbers: {error}") from error
    if array.dtype.kind not in "fiub":
        raise DatasetError(f"{where} holds {array.dtype}; accepted: real numbers")
    if not any(_fits(array.shape, shape) for shape in shapes):
        accepted = " or ".join(str(shape).replace("None", "any") for shape in shapes)
        raise DatasetError(f"{where} has the shape {array.shape}; accepted: {accepted}")
    return array.astype(np.float64)


def _fits(found: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(found) == len(wanted) and all(want in (None, size) for size, want in zip(found, wanted))


def check_finite(values: np.ndarray, where: str, unit: str, numbers: Sequence[int] | np.ndarray | None = None) -> None:
    """Raises a DatasetError that names the first entry of (n, ...) values with a NaN or infinity in it.

    `numbers` (n,) are what the entries are called, where that is not their place.
    """
    bad = np.flatnonzero(~np.isfinite(values).all(axis=tuple(range(1, values.ndim))))
    if len(bad):
        first = int(bad[0] if numbers is None else numbers[bad[0]])
        raise DatasetError(f"{where}: the pose of {unit} {first} holds NaN or infinite values ({len(bad)} {unit}s do)")
