"""Motion archives: npz files of many clips on the 22 joints of SMPL, one file a source.

poses        (frames, 22, 3) rotation vectors, z up
clip         (frames,) index of each frame's clip
clip_names   (clips,) unique names, "49_02"
clip_labels  (clips,) what the clip shows, in words: "cartwheel"
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unipose.training.datasets.importers.clips import ClipChoice
from unipose.training.datasets.importers.errors import SOURCES, DatasetError
from unipose.training.datasets.importers.files import body_rotvecs, read_arrays, require_path
from unipose.training.datasets.records import PoseRecord


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
        poses, clip, names, labels = (arrays[name] for name in ARRAYS)
        if clip.dtype.kind not in "iu" or names.dtype.kind != "U" or labels.dtype.kind != "U":
            got = ", ".join(f"{name} of type {arrays[name].dtype}" for name in ARRAYS[1:])
            raise DatasetError(f"{path}: got {got}; expected integers and strings")
        if not clip.size:
            raise DatasetError(f"{path}: got no frames (clip {clip.shape}); expected at least one")
        is_listed = names.ndim == 1 and labels.shape == names.shape and clip.min() >= 0 and clip.max() < len(names)
        if poses.ndim != 3 or poses.shape[1:] != (22, 3) or clip.shape != poses.shape[:1] or not is_listed:
            raise DatasetError(
                f"{path}: got poses {poses.shape}, clip {clip.shape} from {clip.min()} to {clip.max()}, clip_names "
                f"{names.shape} and clip_labels {labels.shape}; expected (frames, 22, 3), (frames,), and a name and a "
                "label for every clip"
            )
        choice = ClipChoice(self.clips, self.skip_clips, self.min_change)
        rotvecs = body_rotvecs(poses.reshape(len(poses), -1), str(path))
        for index, (name, label) in enumerate(zip(names.tolist(), labels.tolist())):
            if choice.takes(f"{path.stem}/{name}"):
                rows = np.flatnonzero(clip == index)
                for frame in choice.frames(rotvecs[rows]):
                    yield PoseRecord(f"{path.stem}/{name}:{frame}", rotvecs[rows[frame]], (label,))
