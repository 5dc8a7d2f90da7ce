"""ImageScript and ImageDiff: images and pairs of images with texts, in the annotation files of the authors' code.

A file is a pickle of a list with one dict per row. ImageScript: `img_path`, `global_orient (3,)`, `body_pose` (at
least 63 numbers), rotation vectors, and `captions`. ImageDiff has the first three for both images: `imgA_path`,
`global_orientA`, `body_poseA`, and the same with B. Paths are relative to the folder of images. `captions` holds
automatic texts and, in rows with four, the refined one last; the authors evaluate on the refined ones.

This follows how the authors' public code reads the files (github.com/liyiheng23/UniPose, `posegpt/datasets`); they are
not published. Global orientations are taken to be in the stored z-up frame: that code rotates the model's poses, which
it trains on these, by 90 degrees about x before it compares them in a camera's frame.

The files are pickles: reading them can run any code that their author put in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unipose.training.datasets.importers.crops import open_image
from unipose.training.datasets.importers.errors import SOURCES, DatasetError
from unipose.training.datasets.importers.files import body_rotvecs, check_pickles_allowed, require_path, unpickle
from unipose.training.datasets.importers.posescript import check_choice
from unipose.training.datasets.records import ImagePairRecord, ImageRecord, Rotvecs


Captions = Literal["auto", "refined"]
SOURCE = SOURCES["imagescript"]
CAPTIONS = ("auto", "refined")
# Rows with a refined text have three automatic ones before it.
REFINED = 3


@dataclass(frozen=True)
class _Annotated:
    """The rows of one annotation file.

    Args:
        annotations: the pickle.
        images: the folder that the paths of images are relative to.
        pickles_may_run_code: must be True: a pickle can run any code when it is read.
        captions: "refined": rows that have a refined text, with it; "auto": all rows, with their automatic texts.

    Raises:
        ValueError: an unknown kind of captions.
        DatasetError: pickles are not allowed; on reading: a file is missing or damaged, or a row is wrong.
    """

    annotations: Path | str
    images: Path | str
    pickles_may_run_code: bool = False
    captions: Captions = "refined"

    def __post_init__(self) -> None:
        check_choice("captions", self.captions, CAPTIONS)
        check_pickles_allowed(self.pickles_may_run_code, f"the annotations {self.annotations}")

    @cached_property
    def rows(self) -> list[tuple[str, Mapping[str, Any], tuple[str, ...]]]:
        """Where each row is, for errors; the row; and its texts."""
        path = require_path(Path(self.annotations), SOURCE)
        content = unpickle(path.read_bytes(), str(path), SOURCE)
        if not isinstance(content, list) or not all(isinstance(row, Mapping) for row in content):
            raise DatasetError(f"{path} holds a {type(content).__name__}; expected a list of dicts. {SOURCE}.")
        rows = []
        for number, row in enumerate(content):
            where = f"{path}, row {number}"
            texts = _texts(row, where)
            chosen = texts[REFINED:] if self.captions == "refined" else texts[:REFINED]
            if chosen:
                rows.append((where, row, chosen))
        if not rows:
            raise DatasetError(f"{path}: none of its {len(content)} rows has {self.captions} captions. {SOURCE}.")
        return rows

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, row: Mapping[str, Any], where: str, letter: str = "") -> ImageRecord:
        """One image of a row with its pose, without captions."""
        keys = f"img{letter}_path", f"global_orient{letter}", f"body_pose{letter}"
        absent = [key for key in keys if key not in row]
        if absent:
            raise DatasetError(f"{where} lacks {', '.join(absent)}; it has {', '.join(map(str, row))}. {SOURCE}.")
        name = str(row[keys[0]])
        path = Path(self.images) / name
        open_image(path, SOURCE, f"{where} refers to it")
        return ImageRecord(name, path.read_bytes(), _pose(row, keys[1], keys[2], where))


class ImageScriptImages(_Annotated):
    """The images of an ImageScript file as `ImageRecord`s with captions, named by their path."""

    def __iter__(self) -> Iterator[ImageRecord]:
        for where, row, texts in self.rows:
            image = self.image(row, where)
            yield ImageRecord(image.name, image.image, image.rotvecs, texts)


class ImageDiffPairs(_Annotated):
    """The pairs of an ImageDiff file as `ImagePairRecord`s with texts, named by both paths."""

    def __iter__(self) -> Iterator[ImagePairRecord]:
        for where, row, texts in self.rows:
            first, second = self.image(row, where, "A"), self.image(row, where, "B")
            yield ImagePairRecord(f"{first.name}|{second.name}", first, second, texts)


def _texts(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    texts = row.get("captions")
    if not isinstance(texts, list | tuple) or not texts or not all(isinstance(text, str) for text in texts):
        raise DatasetError(f"{where}: captions is {texts!r}; expected a list of texts. {SOURCE}.")
    return tuple(texts)


def _pose(row: Mapping[str, Any], orient: str, body: str, where: str) -> Rotvecs:
    try:
        numbers = np.concatenate([np.asarray(row[key], dtype=np.float64).reshape(-1) for key in (orient, body)])
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{where}: {orient} and {body} are not arrays of numbers: {error}") from error
    if len(numbers) < 66:
        raise DatasetError(f"{where}: {orient} and {body} hold {len(numbers)} numbers; expected at least 66")
    return body_rotvecs(numbers[None, :66], where)[0]
