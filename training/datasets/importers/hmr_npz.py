"""Annotated images in the npz format of HMR2 and TokenHMR: an npz of boxes and SMPL poses, and a folder of images.

Human3.6M, MPI-INF-3DHP, COCO, MPII and 3DPW have this format. Arrays (N rows, one person each):

- `imgname (N,)`: path of the image below the dataset's folder, text or bytes;
- `center (N, 2)`: pixels; `scale (N,)`, `(N, 1)` or `(N, 2)`: the box's side in pixels (HMR2 divides it by 200 on
  reading; of two sides the longer is used);
- `body_pose (N, 72)`: axis-angle, the global orientation in the **camera's** frame first; `has_body_pose (N,)`;
- `betas`, `has_betas`, `body_keypoints_2d (N, 25, 3)`, `extra_keypoints_2d (N, 19, 3)`, the same in 3d, `gender`: not
  read, as records do not have them.

Rows without a pose (COCO and MPII have some; a file without `has_body_pose` has no poses) are left out. Poses are
converted to the stored frame by `camera_to_stored`. ImageScript and ImageDiff are such images with texts: they
fit into `ImageRecord` and `ImagePairRecord` without an importer of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from unipose.training.datasets.importers.crops import Crop, open_image
from unipose.training.datasets.importers.errors import DatasetError, find_source, log_or_raise
from unipose.training.datasets.importers.files import (
    body_rotvecs,
    check_finite,
    list_arrays,
    read_arrays,
    require_path,
    to_array,
)
from unipose.training.datasets.importers.orientation import camera_to_stored
from unipose.training.datasets.records import ImageRecord, Rotvecs


NEEDED = ("imgname", "center", "scale")
POSES = ("body_pose", "has_body_pose")
SMPL_WIDTH = 72


@dataclass(frozen=True)
class HmrRows:
    """The rows of an npz that have a pose.

    Args:
        rows: (n,) indices of the rows in the file.
        images: n paths below the folder of images.
        centers: (n, 2) pixels.
        sides: (n,) pixels.
        rotvecs: (n, 22, 3) in the stored frame.
    """

    rows: np.ndarray
    images: list[str]
    centers: np.ndarray
    sides: np.ndarray
    rotvecs: Rotvecs

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class HmrImages:
    """The persons of an npz as `ImageRecord`s without captions, named `<imgname>#<row>`.

    The npz is read on first use, each image when its record is read.

    Args:
        annotations: the npz.
        images: the folder that `imgname` is relative to.
        dataset: a key of `errors.SOURCES`, for errors.
        crop: options of the crops.
        seed: shuffles the rows; default: the order of the file.
        skip_damaged: logs and skips rows with a missing or damaged image or an invalid box.

    Raises:
        ValueError: an unknown `dataset`.
        DatasetError: on reading: a missing or damaged file, a pose with NaN (the row is named), or an invalid box.
    """

    annotations: Path | str
    images: Path | str
    dataset: str = "hmr2"
    crop: Crop = field(default_factory=Crop)
    seed: int | None = None
    skip_damaged: bool = False

    def __post_init__(self) -> None:
        find_source(self.dataset)

    @cached_property
    def rows(self) -> HmrRows:
        """The content of the npz."""
        return read_rows(Path(self.annotations), self.dataset)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[ImageRecord]:
        rows, source = self.rows, find_source(self.dataset)
        folder = require_path(Path(self.images), source, f"{self.annotations} refers to images in it", folder=True)
        order = np.arange(len(rows)) if self.seed is None else np.random.default_rng(self.seed).permutation(len(rows))
        for index in order:
            name, row = rows.images[index], int(rows.rows[index])
            where = f"{self.annotations}, row {row}"
            try:
                image = open_image(folder / name, source, f"{where} refers to it")
                crop = self.crop.cut(image, rows.centers[index], rows.sides[index], where)
            except DatasetError as error:
                log_or_raise(error, self.skip_damaged)
                continue
            yield ImageRecord(f"{name}#{row}", crop, rows.rotvecs[index])


def read_rows(path: Path, dataset: str) -> HmrRows:
    """Reads the npz of `HmrImages`.

    Args:
        path: path of the npz.
        dataset: a key of `errors.SOURCES`, for errors.

    Raises:
        DatasetError: a missing or damaged file, or a pose with NaN.
    """
    source = find_source(dataset)
    arrays = read_arrays(path, source, (*NEEDED, *POSES))
    absent = [name for name in NEEDED if name not in arrays]
    if absent:
        existing = ", ".join(list_arrays(path, source))
        raise DatasetError(f"{path} lacks {', '.join(absent)}; it holds {existing}. {source}.")
    absent = [name for name in POSES if name not in arrays]
    if absent:
        raise DatasetError(f"{path} lacks {', '.join(absent)}: it has no poses to train on. {source}.")
    names = arrays["imgname"]
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise DatasetError(f"{path}: imgname is {names.dtype} {names.shape}; expected (N,) strings. {source}.")
    count = len(names)
    shapes = {
        "center": [(count, 2)],
        "scale": [(count,), (count, 1), (count, 2)],
        "body_pose": [(count, SMPL_WIDTH)],
        "has_body_pose": [(count,), (count, 1)],
    }
    numbers = {name: to_array(arrays[name], f"{path}, {name}", *accepted) for name, accepted in shapes.items()}
    rows = np.flatnonzero(numbers["has_body_pose"].reshape(count) > 0)
    poses = numbers["body_pose"][rows]
    check_finite(poses, str(path), "row", rows)
    sides = numbers["scale"].max(axis=tuple(range(1, numbers["scale"].ndim)))
    return HmrRows(
        rows=rows,
        images=[_text(name) for name in names[rows]],
        centers=numbers["center"][rows],
        sides=sides[rows],
        rotvecs=camera_to_stored(body_rotvecs(poses, str(path))),
    )


def _text(name: str | bytes) -> str:
    return name.decode("utf-8") if isinstance(name, bytes) else str(name)
