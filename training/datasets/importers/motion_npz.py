"""Motion archives: npz files of many clips on the 22 joints of SMPL, one file a source.

poses        (frames, 22, 3) rotation vectors, z up
clip         (frames,) index of each frame's clip
clip_names   (clips,) unique names, "49_02"
clip_labels  (clips,) what the clip shows, in words: "cartwheel"
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from unipose.training.datasets.importers.errors import SOURCES, DatasetError
from unipose.training.datasets.importers.files import body_rotvecs, read_arrays, require_path
from unipose.training.datasets.records import PoseRecord, Rotvecs


ARRAYS = ("poses", "clip", "clip_names", "clip_labels")


@dataclass(frozen=True)
class MotionArchives:
    """The frames of a folder's archives as `PoseRecord`s named `<file>/<clip>:<frame>`, captioned by the clip's label.

    Args:
        root: the folder.
        clips: patterns of `<file>/<clip>` to keep, such as "cmu_bvh/49_*"; default: all.
        skip_clips: patterns to leave out; split by subject, since frames of one subject are alike.
        min_change: leaves out a frame that is nearer than this to the last kept frame of its clip, in degrees (the
            mean angle between the joints' rotations).

    Raises:
        DatasetError: on reading: the folder has no archives, an archive is damaged, or no clip is left.
    """

    root: Path | str
    clips: Sequence[str] | None = None
    skip_clips: Sequence[str] = ()
    min_change: float = 0.0

    def files(self) -> list[Path]:
        """The archives by name.

        Raises:
            DatasetError: the folder is missing or has none.
        """
        paths = sorted(require_path(Path(self.root), SOURCES["motion"], folder=True).glob("*.npz"))
        if not paths:
            raise DatasetError(f"no motion archives (.npz) are in {self.root}. {SOURCES['motion']}.")
        return paths

    def __iter__(self) -> Iterator[PoseRecord]:
        count = 0
        for path in self.files():
            for record in self.read(path):
                count += 1
                yield record
        if not count:
            raise DatasetError(f"no clip of {self.root} matches clips {self.clips} without {list(self.skip_clips)}")

    def read(self, path: Path) -> Iterator[PoseRecord]:
        """The records of one of `files`.

        Raises:
            DatasetError: there are no frames, the arrays do not fit each other, or a pose holds a NaN.
        """
        arrays = read_arrays(path, SOURCES["motion"], ARRAYS)
        missing = [name for name in ARRAYS if name not in arrays]
        if missing:
            raise DatasetError(f"{path} lacks {', '.join(missing)}; expected {', '.join(ARRAYS)}")
        poses, clip, names = arrays["poses"], arrays["clip"], arrays["clip_names"]
        if not clip.size:
            raise DatasetError(f"{path}: got no frames (clip {clip.shape}); expected at least one")
        if poses.ndim != 3 or poses.shape[1:] != (22, 3) or clip.shape != poses.shape[:1] or len(names) <= clip.max():
            raise DatasetError(
                f"{path}: got poses {poses.shape}, clip {clip.shape} up to {clip.max()} and {len(names)} clip_names; "
                "expected (frames, 22, 3), (frames,) and a name for every clip"
            )
        rotvecs = body_rotvecs(poses.reshape(len(poses), -1), str(path))
        for index, (name, label) in enumerate(zip(names.tolist(), arrays["clip_labels"].tolist())):
            if self.takes(f"{path.stem}/{name}"):
                rows = np.flatnonzero(clip == index)
                for frame in self.select_frames(rotvecs[rows]):
                    yield PoseRecord(f"{path.stem}/{name}:{frame}", rotvecs[rows[frame]], (label,))

    def takes(self, clip: str) -> bool:
        """Whether a clip, `<file>/<clip>`, matches the patterns."""
        kept = self.clips is None or any(fnmatch(clip, pattern) for pattern in self.clips)
        return kept and not any(fnmatch(clip, pattern) for pattern in self.skip_clips)

    def select_frames(self, rotvecs: Rotvecs) -> list[int]:
        """The frames of one clip, (frames, 22, 3), that differ enough from the one before."""
        kept = [0]
        for frame in range(1, len(rotvecs)):
            # Small rotations: the difference of the vectors is close to the angle.
            change = np.degrees(np.linalg.norm(rotvecs[frame] - rotvecs[kept[-1]], axis=-1)).mean()
            if change >= self.min_change:
                kept.append(frame)
        return kept if len(rotvecs) else []
