"""3DPW: outdoor videos with SMPL poses of one or two persons, as latin-1 pickles.

A sequence is `sequenceFiles/<split>/<sequence>.pkl`. It holds, for T images and each person: `poses (T, 72)`
axis-angle in the world's frame, `campose_valid (T,)`, `jointPositions (T, 72)` meters in the world; and once:
`cam_poses (T, 4, 4)` world to camera, `cam_intrinsics (3, 3)`. These are at the images' 30 Hz: row t belongs to
`imageFiles/<sequence>/image_<t, five digits>.jpg` (`img_frame_ids` indexes the 60 Hz arrays, which are not read).
`trans`, `betas`, `genders` and `poses2d` are not read, as records do not have them.

The global orientation in the camera's frame is cam_R R(pose[:3]), converted to the stored frame by `camera_to_stored`.
Left out are rows without a valid camera pose, and persons too near to the camera, behind it, or with a box center
outside the image. The box is a square around the projected joints.

The files are pickles: reading them can run any code that their author put in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unipose.processing.pose_features import MAX_DEVIATION
from unipose.training.datasets.importers.crops import Crop, open_image
from unipose.training.datasets.importers.errors import SOURCES, DatasetError, missing_error
from unipose.training.datasets.importers.files import (
    body_rotvecs,
    check_finite,
    check_pickles_allowed,
    require_path,
    shuffle_files,
    to_array,
    unpickle,
)
from unipose.training.datasets.importers.orientation import camera_to_stored, rotate_poses
from unipose.training.datasets.importers.posescript import check_choice
from unipose.training.datasets.records import ImageRecord, Rotvecs


SOURCE = SOURCES["3dpw"]
SPLITS = ("train", "validation", "test")
SHARED = ("cam_poses", "cam_intrinsics")
BY_PERSON = ("poses", "campose_valid", "jointPositions")
# Factor from the box of the joints to that of the body: skin, hair and shoes extend past the joints.
JOINT_MARGIN = 1.25
# Persons with a joint nearer to the camera's plane than this, or behind it, have no box (meters).
MIN_DEPTH = 0.3


@dataclass(frozen=True)
class Person:
    """One person of a sequence of T images.

    Args:
        rotvecs: (T, 22, 3) in the stored frame, the heading relative to the camera.
        valid: (T,) whether the pose and the box can be used.
        centers: (T, 2) centers of the boxes in pixels.
        sides: (T,) sides of the boxes in pixels.
    """

    rotvecs: Rotvecs
    valid: npt.NDArray[np.bool_]
    centers: npt.NDArray[np.float64]
    sides: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ThreeDPWImages:
    """The persons of 3DPW's images as `ImageRecord`s without captions, named `<sequence>/image_<t>.jpg#<person>`.

    Each sequence is read when its first record is. The number of records is unknown.

    Args:
        root: the folder of `sequenceFiles` and `imageFiles`.
        pickles_may_run_code: must be True: the annotations are pickles, which can run any code when they are read.
        split: "train", "validation" or "test".
        stride: every `stride`-th image of a sequence.
        crop: options of the crops.
        seed: shuffles the sequences; default: sorted by name.

    Raises:
        ValueError: an unknown split, or a stride below 1.
        DatasetError: pickles are not allowed; on reading: a file is missing or damaged, or a pose holds a NaN.
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
            raise ValueError(f"stride is {self.stride}; expected 1 or more")
        check_pickles_allowed(self.pickles_may_run_code, f"the sequences (.pkl) of 3DPW in {self.root}")

    def files(self) -> list[Path]:
        """The sequences in the order in which they are read.

        Raises:
            DatasetError: there are none.
        """
        folder = require_path(Path(self.root) / "sequenceFiles" / self.split, SOURCE, folder=True)
        paths = sorted(folder.glob("*.pkl"))
        if not paths:
            raise missing_error(folder / "*.pkl", SOURCE)
        return shuffle_files(paths, self.seed)

    def __iter__(self) -> Iterator[ImageRecord]:
        for path in self.files():
            yield from self.read(path)

    def read(self, path: Path) -> Iterator[ImageRecord]:
        """The records of one of `files`, image by image."""
        persons = read_sequence(path)
        folder = Path(self.root) / "imageFiles" / path.stem
        for row in range(0, len(persons[0].valid), self.stride):
            valid = [(number, person) for number, person in enumerate(persons) if person.valid[row]]
            if not valid:
                continue
            name = f"image_{row:05d}.jpg"
            image = open_image(folder / name, SOURCE, f"{path} refers to it")
            for number, person in valid:
                if (person.centers[row] < 0).any() or (person.centers[row] > image.size).any():
                    continue
                where = f"{path}, row {row}, person {number}"
                crop = self.crop.cut(image, person.centers[row], person.sides[row], where)
                yield ImageRecord(f"{path.stem}/{name}#{number}", crop, person.rotvecs[row])


def read_sequence(path: Path) -> list[Person]:
    """The persons of one file; call `check_pickles_allowed` before.

    Raises:
        DatasetError: the file is missing, damaged, or holds other arrays, or a valid pose holds a NaN.
    """
    if not path.is_file():
        raise missing_error(path, SOURCE)
    content = unpickle(path.read_bytes(), str(path), SOURCE)
    if not isinstance(content, Mapping):
        raise DatasetError(f"{path} holds a {type(content).__name__}; expected a dict. {SOURCE}.")
    absent = [name for name in (*SHARED, *BY_PERSON) if name not in content]
    if absent:
        raise DatasetError(f"{path} lacks {', '.join(absent)}; it has {', '.join(map(str, content))}. {SOURCE}.")
    wrong = [name for name in BY_PERSON if not isinstance(content[name], list | tuple | np.ndarray)]
    if wrong or not len(content["poses"]):
        names = ", ".join(wrong or ["poses"])
        raise DatasetError(f"{path}: got an invalid or empty {names}; expected an entry for each person. {SOURCE}.")
    cameras = to_array(content["cam_poses"], f"{path}, cam_poses", (None, 4, 4))
    intrinsics = to_array(content["cam_intrinsics"], f"{path}, cam_intrinsics", (3, 3))
    counts = {name: len(content[name]) for name in BY_PERSON}
    if len(set(counts.values())) > 1:
        raise DatasetError(f"{path}: got different numbers of persons, {counts}; expected equal ones. {SOURCE}.")
    return [_read_person(content, number, cameras, intrinsics, path) for number in range(counts["poses"])]


def _read_person(
    content: Mapping[str, Any], number: int, cameras: np.ndarray, intrinsics: np.ndarray, path: Path
) -> Person:
    count, where = len(cameras), f"{path}, person {number}"
    expected = {"poses": (count, 72), "campose_valid": (count,), "jointPositions": (count, 72)}
    arrays = {name: to_array(content[name][number], f"{where}, {name}", shape) for name, shape in expected.items()}
    valid = arrays["campose_valid"].astype(bool)
    # Invalid rows may hold any numbers, so neutral ones replace them.
    poses = body_rotvecs(np.where(valid[:, None], arrays["poses"], 0.0), where)
    rotations = np.where(valid[:, None, None], cameras[:, :3, :3], np.eye(3))
    _check_rotations(rotations, where)
    joints = np.where(valid[:, None], arrays["jointPositions"], 0.0).reshape(count, 24, 3)
    points = joints @ rotations.transpose(0, 2, 1) + np.where(valid[:, None], cameras[:, :3, 3], 0.0)[:, None]
    check_finite(points, where, "frame")
    valid &= (points[..., 2] > MIN_DEPTH).all(axis=1)
    centers, sides = _boxes(np.where(valid[:, None, None], points, (0.0, 0.0, 1.0)), intrinsics)
    return Person(camera_to_stored(rotate_poses(poses, rotations)), valid, centers, sides)


def _check_rotations(rotations: np.ndarray, where: str) -> None:
    deviation = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2), initial=0.0)
    wrong = np.flatnonzero(~((deviation <= MAX_DEVIATION) & (np.linalg.det(np.nan_to_num(rotations)) > 0)))
    if len(wrong):
        raise DatasetError(
            f"{where}: the camera pose of frame {wrong[0]} is valid by campose_valid, but not a rotation"
        )


def _boxes(points: np.ndarray, intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(T, joints, 3) meters in the camera's frame -> (T, 2) centers and (T,) sides of squares, pixels."""
    projected = points @ intrinsics.T
    pixels = projected[..., :2] / projected[..., 2:]
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    return (low + high) / 2, JOINT_MARGIN * (high - low).max(axis=1)
