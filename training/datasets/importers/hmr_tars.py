"""Annotated pictures as HMR2's training data holds them: webdataset tars.

A sample is consecutive members of one key: `<key>.jpg` (or jpeg, png) and `<key>.data.pyd`, a pickle of a list of
persons. A person is a dict of `center (2,)` pixels, `scale (2,)` (the box's sides in units of **200 pixels**, unlike
the npz files'), `body_pose (72,)` axis-angle with the global orientation in the camera's frame first,
`has_body_pose`, `betas`, `has_betas`, `keypoints_2d (44, 3)`, `keypoints_3d (44, 4)` and `extra_info`. Other members
(`<key>.detection.npz`, masks) are passed over; so are persons without a pose. Poses are turned into the stored frame
by `camera_to_stored`.

The files are pickles: whoever made them can run code on the machine that reads them.
"""

import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unipose.training.datasets.importers.crops import Crop, decode_picture
from unipose.training.datasets.importers.errors import DatasetError, Source, damaged, find_source, missing, pass_over
from unipose.training.datasets.importers.files import (
    body_rotvecs,
    check_pickles_allowed,
    in_seeded_order,
    require_file,
    to_numbers,
    unpickle,
)
from unipose.training.datasets.importers.hmr_npz import SMPL_WIDTH
from unipose.training.datasets.importers.orientation import camera_to_stored
from unipose.training.datasets.records import PictureRecord


PICTURE_ENDINGS = ("jpg", "jpeg", "png")
PERSONS_ENDING = "data.pyd"
PERSON_KEYS = ("center", "scale", "body_pose", "has_body_pose")
PIXELS_PER_SCALE = 200.0
BROKEN_TAR = (tarfile.TarError, OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class HmrTarPictures:
    """The persons of webdataset tars as `PictureRecord`s without captions, named `<key>#<person>`.

    Tars are streamed, member after member; how many persons there are is not known before the end.

    Args:
        tars: a tar, a folder of tars, or a list of tars.
        pickles_may_run_code: must be True: the annotations are pickles, which can run any code when they are read.
        dataset: a name of `errors.SOURCES`, which says where it is got.
        crop: how the person is cut out.
        seed: shuffles the tars; in the given order where left out.
        skip_damaged: passes over damaged members, poses with NaN and boxes that are none, and logs each; a damaged tar
            is an error all the same.

    Raises:
        ValueError: an unknown `dataset`.
        DatasetError: pickles are not allowed; when read: a tar or a member of it is missing or damaged (both are
            named), a pose with NaN, a box that is none.
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
        """The tars in the order in which they are read: what a progress bar can count."""
        source = find_source(self.dataset)
        if isinstance(self.tars, Path | str):
            root = Path(self.tars)
            paths = sorted(root.glob("*.tar")) if root.is_dir() else [require_file(root, source)]
        else:
            paths = [require_file(Path(tar), source) for tar in self.tars]
        if not paths:
            raise missing(Path(str(self.tars)) / "*.tar", source)
        return in_seeded_order(paths, self.seed)

    def __iter__(self) -> Iterator[PictureRecord]:
        for path in self.files():
            yield from self.read(path)

    def read(self, path: Path) -> Iterator[PictureRecord]:
        """The records of one of `files`."""
        for key, members in read_samples(path, find_source(self.dataset)):
            try:
                persons = self._persons(members, f"{path}, {key}")
            except DatasetError as error:
                pass_over(error, self.skip_damaged)
                continue
            for number, person, picture in persons:
                try:
                    record = self._record(f"{key}#{number}", person, picture, f"{path}, {key}, person {number}")
                except DatasetError as error:
                    pass_over(error, self.skip_damaged)
                    continue
                yield record

    def _persons(self, members: Mapping[str, bytes], where: str) -> list[tuple[int, Mapping[str, Any], Image.Image]]:
        """Those of a sample's persons who have a pose: number, annotations, and the picture they are in."""
        source = find_source(self.dataset)
        ending = next((ending for ending in PICTURE_ENDINGS if ending in members), None)
        if ending is None or PERSONS_ENDING not in members:
            lacking = PERSONS_ENDING if ending else " or ".join(PICTURE_ENDINGS)
            raise DatasetError(f"{where} has no member .{lacking}, only .{', .'.join(members)}. {source}.")
        content = unpickle(members[PERSONS_ENDING], f"{where}.{PERSONS_ENDING}", source)
        persons = check_persons(content, f"{where}.{PERSONS_ENDING}", source)
        posed = [(number, person) for number, person in enumerate(persons) if np.any(person["has_body_pose"])]
        if not posed:
            return []
        picture = decode_picture(members[ending], f"{where}.{ending}", source)
        return [(number, person, picture) for number, person in posed]

    def _record(self, name: str, person: Mapping[str, Any], picture: Image.Image, where: str) -> PictureRecord:
        pose = to_numbers(person["body_pose"], f"{where}: body_pose", (SMPL_WIDTH,))
        side = PIXELS_PER_SCALE * to_numbers(person["scale"], f"{where}: scale", (), (1,), (2,)).max()
        center = to_numbers(person["center"], f"{where}: center", (2,))
        rotvecs = camera_to_stored(body_rotvecs(pose[None], where))[0]
        return PictureRecord(name, self.crop.cut(picture, center, side, where), rotvecs)


def read_samples(path: Path, source: Source) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The samples of a webdataset tar: each key with the content of its picture and annotations, by ending.

    Raises:
        DatasetError: the tar is cut off or damaged; the last member that was reached is named.
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
                if stream is not None and ending in (*PICTURE_ENDINGS, PERSONS_ENDING):
                    sample[ending] = stream.read()
            whole = is_closed(archive)
    except BROKEN_TAR as error:
        raise damaged(path, f"{error or type(error).__name__} (at {member or 'its start'})", source) from error
    if sample:
        yield sample_key, sample
    if not whole:
        raise damaged(path, f"it is cut off or damaged after {member or 'its start'}", source)


def split_member(name: str) -> tuple[str, str]:
    """`a/b/0001.data.pyd` -> `a/b/0001`, `data.pyd`: webdataset cuts the last part of the path at its first dot."""
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return folder + slash + stem, ending.lower()


def is_closed(archive: tarfile.TarFile) -> bool:
    """Whether a tar that was read to its end stopped at the zeros that close it.

    Where one is cut off between two members, or a later header is damaged, tarfile ends as if all were well.
    """
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    return archive.fileobj.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)


def check_persons(persons: Any, where: str, source: Source) -> list[Mapping[str, Any]]:
    """The persons of a sample, or a DatasetError that says what it holds instead."""
    if isinstance(persons, Mapping):
        persons = [persons]
    if not isinstance(persons, list | tuple) or not all(isinstance(person, Mapping) for person in persons):
        found = type(persons).__name__
        raise DatasetError(f"{where} holds a {found}; accepted: a list of dicts, one a person. {source}.")
    for number, person in enumerate(persons):
        absent = [key for key in PERSON_KEYS if key not in person]
        if absent:
            found = ", ".join(map(str, person))
            raise DatasetError(f"{where}: person {number} lacks {', '.join(absent)}; found {found}. {source}.")
    return list(persons)
