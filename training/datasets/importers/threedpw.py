"""3DPW: outdoor videos with SMPL poses of one or two persons, as latin-1 pickles.

A sequence is `sequenceFiles/<split>/<sequence>.pkl`. Read are, for T pictures and for each person: `poses (T, 72)`
axis-angle in the world's frame, `campose_valid (T,)`, `jointPositions (T, 72)` metres in the world; and for all:
`cam_poses (T, 4, 4)` world to camera, `cam_intrinsics (3, 3)`. These are at the pictures' 30 a second: row t belongs
to `imageFiles/<sequence>/image_<t, five digits>.jpg` (`img_frame_ids` points into the 60 a second arrays, which are
not read). `trans`, `betas`, `genders`, `poses2d` are not read: a record has no place for them.

The camera-frame orientation is cam_R R(pose[:3]), turned into the stored frame by `camera_to_stored`. Rows whose
camera pose is not valid are left out, and so are persons who reach to the camera or behind it, or whose middle is
outside of the picture. The box is a square around the projected joints.

The files are pickles: whoever made them can run code on the machine that reads them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unipose.processing.pose_features import MAX_DEVIATION
from unipose.training.datasets.importers.crops import Crop, open_picture
from unipose.training.datasets.importers.errors import SOURCES, DatasetError, missing
from unipose.training.datasets.importers.files import (
    body_rotvecs,
    check_finite,
    check_pickles_allowed,
    in_seeded_order,
    require_folder,
    to_numbers,
    unpickle,
)
from unipose.training.datasets.importers.orientation import camera_to_stored, turn_pelvis
from unipose.training.datasets.importers.posescript import check_choice
from unipose.training.datasets.records import PictureRecord, Rotvecs


SOURCE = SOURCES["3dpw"]
SPLITS = ("train", "validation", "test")
SHARED = ("cam_poses", "cam_intrinsics")
BY_PERSON = ("poses", "campose_valid", "jointPositions")
# Joints are inside the body: skin, hair and shoes reach further, by about this much of the box.
JOINT_MARGIN = 1.25
# Who has a joint nearer to the camera's plane than this, or behind it, has no box (metres).
NEAREST = 0.3


@dataclass(frozen=True)
class Person:
    """One person of a sequence: T rows of poses (22, 3) as the camera sees them, stored frame, and boxes in pixels."""

    rotvecs: Rotvecs
    valid: npt.NDArray[np.bool_]
    centers: npt.NDArray[np.float64]
    sides: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ThreeDPWPictures:
    """The persons of 3DPW's pictures as `PictureRecord`s without captions, named `<sequence>/image_<t>.jpg#<person>`.

    A sequence is read when its turn comes. How many records there are is known at the end.

    Args:
        root: the folder of `sequenceFiles` and `imageFiles`.
        pickles_may_run_code: must be True: the annotations are pickles, which can run any code when they are read.
        split: "train", "validation" or "test".
        stride: every so many-th picture of a sequence.
        crop: how the person is cut out of the picture.
        seed: shuffles the sequences; sorted by name where left out.

    Raises:
        ValueError: an unknown split, or a stride below 1.
        DatasetError: pickles are not allowed; when read: a file is missing or damaged, or a pose holds a NaN.
    """

    root: Path | str
    pickles_may_run_code: bool = False
    split: str = "train"
    stride: int = 1
    crop: Crop = field(default_factory=Crop)
    seed: int | None = None

    def __post_init__(self) -> None:
        check_choice("split", self.split, SPLITS)
        if self.stride < 1:
            raise ValueError(f"stride is {self.stride}; accepted: 1 or more")
        check_pickles_allowed(self.pickles_may_run_code, f"the sequences (.pkl) of 3DPW in {self.root}")

    def files(self) -> list[Path]:
        """The sequences in the order in which they are read: what a progress bar can count."""
        folder = require_folder(Path(self.root) / "sequenceFiles" / self.split, SOURCE)
        paths = sorted(folder.glob("*.pkl"))
        if not paths:
            raise missing(folder / "*.pkl", SOURCE)
        return in_seeded_order(paths, self.seed)

    def __iter__(self) -> Iterator[PictureRecord]:
        for path in self.files():
            yield from self.read(path)

    def read(self, path: Path) -> Iterator[PictureRecord]:
        """The records of one of `files`, picture by picture."""
        persons = read_sequence(path)
        folder = Path(self.root) / "imageFiles" / path.stem
        for row in range(0, len(persons[0].valid), self.stride):
            shown = [number for number, person in enumerate(persons) if person.valid[row]]
            if not shown:
                continue
            name = f"image_{row:05d}.jpg"
            picture = open_picture(folder / name, SOURCE, f"{path} refers to it")
            for number in shown:
                person = persons[number]
                if (person.centers[row] < 0).any() or (person.centers[row] > picture.size).any():
                    continue
                where = f"{path}, row {row}, person {number}"
                image = self.crop.cut(picture, person.centers[row], person.sides[row], where)
                yield PictureRecord(f"{path.stem}/{name}#{number}", image, person.rotvecs[row])


def read_sequence(path: Path) -> list[Person]:
    """The persons of one file; call `check_pickles_allowed` before.

    Raises:
        DatasetError: the file is missing, damaged, or holds other arrays; a valid pose holds a NaN.
    """
    if not path.is_file():
        raise missing(path, SOURCE)
    content = unpickle(path.read_bytes(), str(path), SOURCE)
    if not isinstance(content, Mapping):
        raise DatasetError(f"{path} holds a {type(content).__name__}; accepted: a dict. {SOURCE}.")
    absent = [name for name in (*SHARED, *BY_PERSON) if name not in content]
    if absent:
        raise DatasetError(f"{path} lacks {', '.join(absent)}; found {', '.join(map(str, content))}. {SOURCE}.")
    wrong = [name for name in BY_PERSON if not isinstance(content[name], list | tuple | np.ndarray)]
    if wrong or not len(content["poses"]):
        raise DatasetError(f"{path}: {', '.join(wrong or ['poses'])} must be lists, an entry a person. {SOURCE}.")
    cameras = to_numbers(content["cam_poses"], f"{path}, cam_poses", (None, 4, 4))
    intrinsics = to_numbers(content["cam_intrinsics"], f"{path}, cam_intrinsics", (3, 3))
    counts = {name: len(content[name]) for name in BY_PERSON}
    if len(set(counts.values())) > 1:
        raise DatasetError(f"{path}: the persons are {counts}; accepted: as many of each. {SOURCE}.")
    return [_read_person(content, number, cameras, intrinsics, path) for number in range(counts["poses"])]


def _read_person(
    content: Mapping[str, Any], number: int, cameras: np.ndarray, intrinsics: np.ndarray, path: Path
) -> Person:
    count, where = len(cameras), f"{path}, person {number}"
    expected = {"poses": (count, 72), "campose_valid": (count,), "jointPositions": (count, 72)}
    arrays = {name: to_numbers(content[name][number], f"{where}, {name}", shape) for name, shape in expected.items()}
    valid = arrays["campose_valid"].astype(bool)
    # What is not valid is not looked at: it may be anything.
    poses = body_rotvecs(np.where(valid[:, None], arrays["poses"], 0.0), where)
    turns = np.where(valid[:, None, None], cameras[:, :3, :3], np.eye(3))
    _check_turns(turns, where)
    joints = np.where(valid[:, None], arrays["jointPositions"], 0.0).reshape(count, 24, 3)
    seen = joints @ turns.transpose(0, 2, 1) + np.where(valid[:, None], cameras[:, :3, 3], 0.0)[:, None]
    check_finite(seen, where, "frame")
    valid &= (seen[..., 2] > NEAREST).all(axis=1)
    centers, sides = _boxes(np.where(valid[:, None, None], seen, (0.0, 0.0, 1.0)), intrinsics)
    return Person(camera_to_stored(turn_pelvis(poses, turns)), valid, centers, sides)


def _check_turns(turns: np.ndarray, where: str) -> None:
    deviation = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2), initial=0.0)
    wrong = np.flatnonzero(~((deviation <= MAX_DEVIATION) & (np.linalg.det(np.nan_to_num(turns)) > 0)))
    if len(wrong):
        raise DatasetError(f"{where}: the camera pose of frame {wrong[0]} is valid by campose_valid, but no rotation")


def _boxes(seen: np.ndarray, intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T, joints, 3) metres in the camera's frame -> (T, 2) centres and (T,) sides of squares, pixels."""
    projected = seen @ intrinsics.T
    pixels = projected[..., :2] / projected[..., 2:]
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    return (low + high) / 2, JOINT_MARGIN * (high - low).max(axis=1)
