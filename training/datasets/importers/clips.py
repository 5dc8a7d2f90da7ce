"""Folders of motion files: which clips are read, and which of their frames become records."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import ClassVar

import numpy as np
import roma

from unipose.processing.bvh_reading import read_bvh
from unipose.processing.retargeting import UpAxis, retarget
from unipose.processing.skeletons import BoneMap, Recording
from unipose.processing.text_lines import MotionError
from unipose.training.datasets.importers.amass import resample
from unipose.training.datasets.importers.errors import SOURCES, DatasetError, Source
from unipose.training.datasets.importers.files import check_finite, read_json, read_text, require_path
from unipose.training.datasets.records import PoseRecord, Rotvecs


@dataclass(frozen=True)
class ClipChoice:
    """Which clips and frames to import.

    Args:
        clips: patterns of the clips' names to keep, such as "49/*"; default: all.
        skip_clips: patterns to leave out; split by subject, since frames of one subject are alike.
        min_change: leaves out a frame that is nearer than this to the last kept frame of its clip, in degrees (the
            mean angle between the joints' rotations).
        frames_per_second: selects frames by time; default: all.

    Raises:
        ValueError: a number is out of range.
    """

    clips: Sequence[str] | None = None
    skip_clips: Sequence[str] = ()
    min_change: float = 0.0
    frames_per_second: float | None = None

    def __post_init__(self) -> None:
        if self.frames_per_second is not None and not 0 < self.frames_per_second < np.inf:
            raise ValueError(f"frames_per_second is {self.frames_per_second}; expected a positive number")

    def takes(self, clip: str) -> bool:
        """Whether a clip's name matches the patterns."""
        kept = self.clips is None or any(fnmatch(clip, pattern) for pattern in self.clips)
        return kept and not any(fnmatch(clip, pattern) for pattern in self.skip_clips)

    def frames(self, rotvecs: Rotvecs, rate: float | None = None) -> list[int]:
        """The frames of one clip at the rate and that differ enough from the one before.

        Args:
            rotvecs: (frames, 22, 3).
            rate: the clip's frames per second; None takes all.
        """
        rows = range(len(rotvecs))
        if rate is not None and self.frames_per_second is not None:
            rows = resample(len(rotvecs), rate, self.frames_per_second).tolist()
        kept: list[int] = []
        for frame in rows:
            # Small rotations: the difference of the vectors is close to the angle.
            if not kept or change(rotvecs[frame], rotvecs[kept[-1]]) >= self.min_change:
                kept.append(frame)
        return kept


def change(first: Rotvecs, second: Rotvecs) -> float:
    """Mean difference of two poses' rotation vectors in degrees.

    Args:
        first, second: (22, 3).
    """
    return float(np.degrees(np.linalg.norm(first - second, axis=-1)).mean())


@dataclass(frozen=True)
class MotionFiles(ABC):
    """The frames of a folder's motion files, one clip each, as `PoseRecord`s `<path without ending>:<frame>`.

    Args:
        root: the folder, or one file.
        choice: which clips and frames to import.

    Raises:
        DatasetError: on reading: there are no files, a file is damaged, or no clip is left.
    """

    root: Path | str
    choice: ClipChoice = field(default_factory=ClipChoice)

    ending: ClassVar[str]
    source: ClassVar[Source] = SOURCES["motion"]

    @abstractmethod
    def load(self, path: Path) -> tuple[Rotvecs, float]:
        """The poses of one file, (frames, 22, 3), and its frames per second.

        Raises:
            DatasetError: the file is damaged.
        """

    def files(self) -> list[Path]:
        """The files by name.

        Raises:
            DatasetError: the folder is missing or has none.
        """
        root = Path(self.root)
        if root.is_file():
            return [root]
        paths = require_path(root, self.source, folder=True).rglob("*")
        found = sorted(path for path in paths if path.suffix.lower() == self.ending and path.is_file())
        if not found:
            raise DatasetError(f"no motion files ({self.ending}) are in {root}. {self.source}.")
        return found

    def __iter__(self) -> Iterator[PoseRecord]:
        paths = [(path, self.clip_name(path)) for path in self.files()]
        chosen = [(path, name) for path, name in paths if self.choice.takes(name)]
        if not chosen:
            raise DatasetError(
                f"no clip of {self.root} matches clips {self.choice.clips} without {list(self.choice.skip_clips)}"
            )
        for path, name in chosen:
            rotvecs, rate = self.load(path)
            check_finite(rotvecs, str(path), "frame")
            for frame in self.choice.frames(rotvecs, rate):
                yield PoseRecord(f"{name}:{frame}", rotvecs[frame])

    def clip_name(self, path: Path) -> str:
        """The path below the folder, without its ending."""
        root = Path(self.root)
        return path.with_suffix("").relative_to(root.parent if root.is_file() else root).as_posix()


@dataclass(frozen=True)
class SkeletonFiles(MotionFiles):
    """`MotionFiles` of any humanoid skeleton.

    Args:
        root: the folder, or one file.
        choice: which clips and frames to import.
        bone_map: JSON file with the skeleton's bones by joint; default: found by their names.
        up_axis: the world's vertical; default: found in the reference pose.
        reference_frame: number of a frame in which the body stands; default: the skeleton's own rest pose.

    Raises:
        ValueError: an unknown axis.
        DatasetError: on reading: there are no files, a file is damaged, no clip is left, or bones are not found.
    """

    bone_map: Path | str | None = None
    up_axis: UpAxis | None = None
    reference_frame: int | None = None

    def __post_init__(self) -> None:
        if self.up_axis not in (None, "x", "y", "z"):
            raise ValueError(f"up_axis is {self.up_axis!r}; expected x, y or z")

    @abstractmethod
    def read(self, path: Path) -> Recording:
        """The skeleton and the motion of one file.

        Raises:
            DatasetError: the file is missing or no text.
            MotionError: the file is damaged.
        """

    def load(self, path: Path) -> tuple[Rotvecs, float]:
        try:
            return self.load_recording(path)
        except MotionError as error:
            raise DatasetError(str(error)) from error

    def load_recording(self, path: Path) -> tuple[Rotvecs, float]:
        """As `load`.

        Raises:
            DatasetError: as of `read`, or there is no such reference frame.
            MotionError: the file is damaged, or its skeleton is not that of a body.
        """
        recording = self.read(path)
        skeleton, rotations = recording.skeleton, recording.rotations
        if self.reference_frame is not None:
            if not 0 <= self.reference_frame < len(rotations):
                raise DatasetError(
                    f"{path}: reference_frame is {self.reference_frame}; expected 0 to {len(rotations) - 1}"
                )
            skeleton, rotations = skeleton.posed(rotations, self.reference_frame)
        rotmats = retarget(skeleton, rotations, str(path), self.bones(), self.up_axis)
        return roma.rotmat_to_rotvec(rotmats).float().numpy(), recording.frames_per_second

    def bones(self) -> BoneMap:
        """The given bones by joint.

        Raises:
            DatasetError: the file is missing or not a table of names.
        """
        if self.bone_map is None:
            return {}
        content = read_json(Path(self.bone_map), self.source, dict)
        wrong = {joint: bone for joint, bone in content.items() if not isinstance(bone, str | None)}
        if wrong:
            raise DatasetError(f"{self.bone_map}: got {json.dumps(wrong)}; expected names of bones, or null")
        return content


@dataclass(frozen=True)
class BvhPoses(SkeletonFiles):
    """The frames of BVH files as `PoseRecord`s; see `SkeletonFiles`."""

    ending: ClassVar[str] = ".bvh"

    def read(self, path: Path) -> Recording:
        return read_bvh(path, read_text(path, self.source))
