"""Annotated images in the format of HMR2's training data: webdataset tars.

A sample is consecutive members of one key: `<key>.jpg` (or jpeg, png) and `<key>.data.pyd`, a pickle of a list of
persons. A person is a dict of `center (2,)` pixels, `scale (2,)` (the box's sides in units of **200 pixels**, unlike
the npz files'), `body_pose (72,)` axis-angle with the global orientation in the camera's frame first,
`has_body_pose`, `betas`, `has_betas`, `keypoints_2d (44, 3)`, `keypoints_3d (44, 4)` and `extra_info`. Other members
(`<key>.detection.npz`, masks) are skipped, and so are persons without a pose. Poses are converted to the stored frame
by `camera_to_stored`.

The files are pickles: reading them can run any code that their author put in.
"""

import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unipose.training.datasets.importers.crops import Crop, decode_image
from unipose.training.datasets.importers.errors import (
    DatasetError,
    Source,
    damaged_error,
    find_source,
    log_or_raise,
    missing_error,
)
from unipose.training.datasets.importers.files import (
    body_rotvecs,
    check_pickles_allowed,
    require_path,
    shuffle_files,
    to_array,
    unpickle,
)
from unipose.training.datasets.importers.hmr_npz import SMPL_WIDTH
from unipose.training.datasets.importers.orientation import camera_to_stored
from unipose.training.datasets.records import ImageRecord


IMAGE_ENDINGS = ("jpg", "jpeg", "png")
PERSONS_ENDING = "data.pyd"
PERSON_KEYS = ("center", "scale", "body_pose", "has_body_pose")
PIXELS_PER_UNIT = 200.0
TAR_ERRORS = (tarfile.TarError, OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class HmrTarImages:
    """The persons of webdataset tars as `ImageRecord`s without captions, named `<key>#<person>`.

    Tars are streamed; the number of records is unknown.

    Args:
        tars: a tar, a folder of tars, or a list of tars.
        pickles_may_run_code: must be True: the annotations are pickles, which can run any code when they are read.
        dataset: a key of `errors.SOURCES`, for errors.
        crop: options of the crops.
        seed: shuffles the tars; default: the given order.
        skip_damaged: logs and skips damaged members, poses with NaN and invalid boxes; a damaged tar stays an error.

    Raises:
        ValueError: an unknown `dataset`.
        DatasetError: pickles are not allowed; on reading: a missing or damaged tar or member (both are named), a pose
            with NaN, or an invalid box.
    """

    tars: Path | str | Sequence[Path | str]
    pickles_may_run_code: bool = False
    dataset: str = "hmr2"
    crop: Crop = field(default_factory=Crop)
    seed: int | None = None
    skip_damaged: bool = False

    def __post_init__(self) -> None:
        find_source(self.dataset)
        check_pickles_allowed(self.pickles_may_run_code, f"the annotations (.{PERSONS_ENDING}) in {self.tars}")

    def files(self) -> list[Path]:
        """The tars in the order in which they are read.

        Raises:
            DatasetError: a tar is missing, or there are none.
        """
        source = find_source(self.dataset)
        if isinstance(self.tars, Path | str):
            root = Path(self.tars)
            paths = sorted(root.glob("*.tar")) if root.is_dir() else [require_path(root, source)]
        else:
            paths = [require_path(Path(tar), source) for tar in self.tars]
        if not paths:
            raise missing_error(Path(str(self.tars)) / "*.tar", source)
        return shuffle_files(paths, self.seed)

    def __iter__(self) -> Iterator[ImageRecord]:
        for path in self.files():
            yield from self.read(path)

    def read(self, path: Path) -> Iterator[ImageRecord]:
        """The records of one of `files`."""
        for key, members in read_samples(path, find_source(self.dataset)):
            try:
                persons = self._persons(members, f"{path}, {key}")
            except DatasetError as error:
                log_or_raise(error, self.skip_damaged)
                continue
            for number, person, image in persons:
                try:
                    record = self._record(f"{key}#{number}", person, image, f"{path}, {key}, person {number}")
                except DatasetError as error:
                    log_or_raise(error, self.skip_damaged)
                    continue
                yield record

    def _persons(self, members: Mapping[str, bytes], where: str) -> list[tuple[int, Mapping[str, Any], Image.Image]]:
        """The persons of a sample who have a pose: index, annotations, and the whole image."""
        source = find_source(self.dataset)
        ending = next((ending for ending in IMAGE_ENDINGS if ending in members), None)
        if ending is None or PERSONS_ENDING not in members:
            absent = PERSONS_ENDING if ending else " or ".join(IMAGE_ENDINGS)
            raise DatasetError(f"{where} has no member .{absent}, only .{', .'.join(members)}. {source}.")
        content = unpickle(members[PERSONS_ENDING], f"{where}.{PERSONS_ENDING}", source)
        persons = check_persons(content, f"{where}.{PERSONS_ENDING}", source)
        posed = [(number, person) for number, person in enumerate(persons) if np.any(person["has_body_pose"])]
        if not posed:
            return []
        image = decode_image(members[ending], f"{where}.{ending}", source)
        return [(number, person, image) for number, person in posed]

    def _record(self, name: str, person: Mapping[str, Any], image: Image.Image, where: str) -> ImageRecord:
        pose = to_array(person["body_pose"], f"{where}: body_pose", (SMPL_WIDTH,))
        side = PIXELS_PER_UNIT * to_array(person["scale"], f"{where}: scale", (), (1,), (2,)).max()
        center = to_array(person["center"], f"{where}: center", (2,))
        rotvecs = camera_to_stored(body_rotvecs(pose[None], where))[0]
        return ImageRecord(name, self.crop.cut(image, center, side, where), rotvecs)


def read_samples(path: Path, source: Source) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The samples of a webdataset tar: each key with the content of its image and annotations, by ending.

    Args:
        path: path of the tar.
        source: where to get the dataset, for errors.

    Raises:
        DatasetError: the tar is truncated or damaged; the last member that was read is named.
    """
    member, sample_key, sample = "", "", dict[str, bytes]()
    try:
        with tarfile.open(path, "r:*") as archive:
            for info in archive:
                if not info.isfile():
                    continue
                member = info.name
                key, ending = split_member(member)
                if key != sample_key and sample:
                    yield sample_key, sample
                    sample = {}
                sample_key = key
                stream = archive.extractfile(info)
                if stream is not None and ending in (*IMAGE_ENDINGS, PERSONS_ENDING):
                    sample[ending] = stream.read()
            complete = is_complete(archive)
    except TAR_ERRORS as error:
        raise damaged_error(path, f"{error or type(error).__name__} (at {member or 'its start'})", source) from error
    if sample:
        yield sample_key, sample
    if not complete:
        raise damaged_error(path, f"it is truncated or damaged after {member or 'its start'}", source)


def split_member(name: str) -> tuple[str, str]:
    """`a/b/0001.data.pyd` -> `a/b/0001`, `data.pyd`: webdataset splits the file's name at its first dot."""
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return folder + slash + stem, ending.lower()


def is_complete(archive: tarfile.TarFile) -> bool:
    """Whether reading a tar stopped at its end-of-archive block of zeros.

    tarfile raises no error where a tar is truncated between two members or a later header is damaged.
    """
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    return archive.fileobj.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)


def check_persons(persons: Any, where: str, source: Source) -> list[Mapping[str, Any]]:
    """Checks the annotations of a sample.

    Args:
        persons: a list of dicts, or the dict of a single person.
        where: names the member in errors.
        source: where to get the dataset, for errors.

    Returns:
        The list.

    Raises:
        DatasetError: something else, or a person lacks a key.
    """
    if isinstance(persons, Mapping):
        persons = [persons]
    if not isinstance(persons, list | tuple) or not all(isinstance(person, Mapping) for person in persons):
        kind = type(persons).__name__
        raise DatasetError(f"{where} holds a {kind}; expected a list of dicts, one for each person. {source}.")
    for number, person in enumerate(persons):
        absent = [key for key in PERSON_KEYS if key not in person]
        if absent:
            keys = ", ".join(map(str, person))
            raise DatasetError(f"{where}: person {number} lacks {', '.join(absent)}; it has {keys}. {source}.")
    return list(persons)
