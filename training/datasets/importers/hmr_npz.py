"""Annotated pictures as HMR2 and TokenHMR keep them: an npz of boxes and SMPL poses, and a folder of pictures.

Human3.6M, MPI-INF-3DHP, COCO, MPII and 3DPW come in this form. Arrays (N rows, one person each):

- `imgname (N,)`: the picture, below the dataset's folder, text or bytes;
- `center (N, 2)`: pixels; `scale (N,)`, `(N, 1)` or `(N, 2)`: the box's side in pixels (HMR2 divides it by 200 when it
  reads; of two sides the longer counts);
- `body_pose (N, 72)`: axis-angle, the global orientation in the **camera's** frame first; `has_body_pose (N,)`;
- `betas`, `has_betas`, `body_keypoints_2d (N, 25, 3)`, `extra_keypoints_2d (N, 19, 3)`, the same in 3d, `gender`: not
  read, a record has no place for them.

Rows without a pose (COCO and MPII have them; a file without `has_body_pose` has no others) are left out. Poses are
turned into the stored frame by `camera_to_stored`. ImageScript and ImageDiff are such pictures with a caption: a
`PictureRecord` or `PicturePairRecord` holds both, so they need no loader of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from unipose.training.datasets.importers.crops import Crop, open_picture
from unipose.training.datasets.importers.errors import DatasetError, find_source, pass_over
from unipose.training.datasets.importers.files import (
    body_rotvecs,
    check_finite,
    list_arrays,
    read_arrays,
    require_folder,
    to_numbers,
)
from unipose.training.datasets.importers.orientation import camera_to_stored
from unipose.training.datasets.records import PictureRecord, Rotvecs


NEEDED = ("imgname", "center", "scale")
POSES = ("body_pose", "has_body_pose")
SMPL_WIDTH = 72


@dataclass(frozen=True)
class HmrRows:
    """The rows of an npz that have a pose.

    Args:
        rows: (n,) their numbers in the file.
        pictures: n paths below the folder of pictures.
        centers: (n, 2) pixels.
        sides: (n,) pixels.
        rotvecs: (n, 22, 3) in the stored frame.
    """

    rows: np.ndarray
    pictures: list[str]
    centers: np.ndarray
    sides: np.ndarray
    rotvecs: Rotvecs

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class HmrPictures:
    """The persons of an npz as `PictureRecord`s without captions, named `<imgname>#<row>`.

    The npz is read on first use, a picture when its turn comes.

    Args:
        annotations: the npz.
        pictures: the folder that `imgname` starts from.
        dataset: a name of `errors.SOURCES`, which says where it is got.
        crop: how the person is cut out.
        seed: shuffles the rows; in the order of the file where left out.
        skip_damaged: passes over rows whose picture is missing or damaged or whose box is none, and logs each.

    Raises:
        ValueError: an unknown `dataset`.
        DatasetError: when read: a file is missing or damaged, a pose with NaN (the row is named), a box that is none.
    """

    annotations: Path | str
    pictures: Path | str
    dataset: str = "hmr2"
    crop: Crop = field(default_factory=Crop)
    seed: int | None = None
    skip_damaged: bool = False

    def __post_init__(self) -> None:
        find_source(self.dataset)

    @cached_property
    def rows(self) -> HmrRows:
        """What the npz holds."""
        return read_rows(Path(self.annotations), self.dataset)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[PictureRecord]:
        rows, source = self.rows, find_source(self.dataset)
        folder = require_folder(Path(self.pictures), source, f"{self.annotations} refers to pictures in it")
        order = np.arange(len(rows)) if self.seed is None else np.random.default_rng(self.seed).permutation(len(rows))
        for index in order:
            name, row = rows.pictures[index], int(rows.rows[index])
            where = f"{self.annotations}, row {row}"
            try:
                picture = open_picture(folder / name, source, f"{where} refers to it")
                image = self.crop.cut(picture, rows.centers[index], rows.sides[index], where)
            except DatasetError as error:
                pass_over(error, self.skip_damaged)
                continue
            yield PictureRecord(f"{name}#{row}", image, rows.rotvecs[index])


def read_rows(path: Path, dataset: str) -> HmrRows:
    """Reads the npz of `HmrPictures`.

    Raises:
        DatasetError: see there.
    """
    source = find_source(dataset)
    arrays = read_arrays(path, source, (*NEEDED, *POSES))
    absent = [name for name in NEEDED if name not in arrays]
    if absent:
        found = ", ".join(list_arrays(path, source))
        raise DatasetError(f"{path} lacks {', '.join(absent)}; it holds {found}. {source}.")
    absent = [name for name in POSES if name not in arrays]
    if absent:
        raise DatasetError(f"{path} lacks {', '.join(absent)}: it has no poses to learn from. {source}.")
    names = arrays["imgname"]
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise DatasetError(f"{path}: imgname is {names.dtype} {names.shape}; accepted: (N,) texts. {source}.")
    count = len(names)
    shapes = {
        "center": [(count, 2)],
        "scale": [(count,), (count, 1), (count, 2)],
        "body_pose": [(count, SMPL_WIDTH)],
        "has_body_pose": [(count,), (count, 1)],
    }
    numbers = {name: to_numbers(arrays[name], f"{path}, {name}", *accepted) for name, accepted in shapes.items()}
    rows = np.flatnonzero(numbers["has_body_pose"].reshape(count) > 0)
    poses = numbers["body_pose"][rows]
    check_finite(poses, str(path), "row", rows)
    sides = numbers["scale"].max(axis=tuple(range(1, numbers["scale"].ndim)))
    return HmrRows(
        rows=rows,
        pictures=[_text(name) for name in names[rows]],
        centers=numbers["center"][rows],
        sides=sides[rows],
        rotvecs=camera_to_stored(body_rotvecs(poses, str(path))),
    )


def _text(name: str | bytes) -> str:
    return name.decode("utf-8") if isinstance(name, bytes) else str(name)
