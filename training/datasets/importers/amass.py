"""AMASS and MOYO: motion capture as npz files, `<root>/<sub-dataset>/<subject>/<sequence>.npz`.

Two layouts are read, recognized by their arrays:

- SMPL-H ("SMPL+H G"): `poses (frames, 156)`, `trans`, `betas`, `dmpls`, `gender`, `mocap_framerate`.
- SMPL-X ("SMPL-X N" and "G"): `root_orient (frames, 3)`, `pose_body (frames, 63)`, `pose_hand`, `pose_jaw`,
  `pose_eye`, `trans`, `betas`, `gender`, `mocap_frame_rate`, usually also `poses (frames, 165)`. MOYO's release in
  AMASS's format has this layout; its other releases (pickles) are not supported.

Radians, z up; the global orientation is stored unchanged. Files of body shapes (`shape.npz`, `*_stagei.npz`) are
skipped. The 13 sub-datasets of the paper's tokenizer and their weights are not published: give your own to
`mixing.WeightedMix`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unipose.training.datasets.importers.errors import SOURCES, DatasetError, Source, missing_error
from unipose.training.datasets.importers.files import (
    body_rotvecs,
    list_arrays,
    read_arrays,
    require_path,
    shuffle_files,
)
from unipose.training.datasets.importers.orientation import remove_heading_euler
from unipose.training.datasets.records import PoseRecord, Rotvecs


# The split that AMASS's authors suggest, by sub-dataset. Later ones (BMLmovi, BMLhandball, DanceDB) are in none.
AMASS_SPLITS = {
    "train": ("CMU", "PosePrior", "TotalCapture", "EyesJapanDataset", "KIT", "BMLrub", "EKUT", "TCDHands", "ACCAD"),
    "val": ("HumanEva", "HDM05", "SFU", "MoSh"),
    "test": ("Transitions", "SSM"),
}
MOYO = "MOYO"

# Folder names of a sub-dataset in different releases (PoseScript uses the old names).
FOLDER_NAMES = (
    ("BMLrub", "BioMotionLab_NTroje"),
    ("DFaust", "DFaust_67", "DFaust67"),
    ("EyesJapanDataset", "Eyes_Japan_Dataset"),
    ("HDM05", "MPI_HDM05", "MPIHDM05"),
    ("MoSh", "MPI_mosh", "MPImosh", "Mosh"),
    ("PosePrior", "MPI_Limits", "MPILimits"),
    ("SSM", "SSM_synced", "SSMsynced"),
    ("TCDHands", "TCD_handMocap", "TCDhandMocap"),
    ("Transitions", "Transitions_mocap", "Transitionsmocap"),
)
SHAPE_FILES = ("shape.npz", "*stagei.npz")
RATE_NAMES = ("mocap_framerate", "mocap_frame_rate")
POSE_NAMES = ("poses", "root_orient", "pose_body")


@dataclass(frozen=True)
class AmassClip:
    """One motion.

    Args:
        rotvecs: (frames, 22, 3).
        frames_per_second: None where the file does not have it.
    """

    rotvecs: Rotvecs
    frames_per_second: float | None


def load_clip(path: Path | str, source: Source = SOURCES["amass"]) -> AmassClip:
    """Reads one npz of either layout.

    Args:
        path: path of the npz.
        source: where to get the dataset, for errors.

    Raises:
        DatasetError: the file is missing, damaged or of another layout, or a pose holds a NaN (the frame is named).
    """
    path = Path(path)
    arrays = read_arrays(path, source, (*POSE_NAMES, *RATE_NAMES))
    if "poses" in arrays:
        rotvecs = body_rotvecs(arrays["poses"], str(path))
    elif "root_orient" in arrays and "pose_body" in arrays:
        rotvecs = _smplx_rotvecs(arrays["root_orient"], arrays["pose_body"], path)
    else:
        names = ", ".join(list_arrays(path, source)) or "nothing"
        raise DatasetError(f"{path} holds {names}; expected poses, or root_orient and pose_body. {source}.")
    return AmassClip(rotvecs, _frame_rate(arrays, path))


def _smplx_rotvecs(root_orient: np.ndarray, pose_body: np.ndarray, path: Path) -> Rotvecs:
    shapes = root_orient.shape, pose_body.shape
    frames = len(pose_body) if pose_body.ndim else 0
    if shapes != ((frames, 3), (frames, 63)):
        got = f"got root_orient of shape {shapes[0]} and pose_body of shape {shapes[1]}"
        raise DatasetError(f"{path}: {got}; expected (frames, 3) and (frames, 63)")
    return body_rotvecs(np.concatenate([root_orient, pose_body], axis=1), str(path))


def _frame_rate(arrays: Mapping[str, np.ndarray], path: Path) -> float | None:
    name = next((name for name in RATE_NAMES if name in arrays), None)
    if name is None:
        return None
    rate = arrays[name]
    if rate.size != 1 or rate.dtype.kind not in "fiu" or not 0 < float(rate.reshape(-1)[0]) < np.inf:
        raise DatasetError(f"{path}: {name} is {rate!r}; expected one positive number, frames per second")
    return float(rate.reshape(-1)[0])


def resample(count: int, rate: float, frames_per_second: float) -> np.ndarray:
    """The frames nearest to the ticks of a clock, each once; frames are not interpolated.

    Args:
        count: number of frames of the recording.
        rate: its frames per second.
        frames_per_second: rate of the clock; one faster than the recording gives every frame.

    Returns:
        (n,) indices of frames.
    """
    ticks = np.arange(int((count - 1) / rate * frames_per_second + 1e-6) + 1) if count else np.zeros(0)
    return np.unique(np.minimum(np.floor(ticks * (rate / frames_per_second) + 0.5).astype(int), max(count - 1, 0)))


@dataclass(frozen=True)
class AmassPoses:
    """The frames of an AMASS folder as `PoseRecord`s without captions, named `<path below root>:<frame>`.

    Each file is opened when its first frame is read; frames of a file are in order. The number of records is unknown.

    Args:
        root: the folder of the sub-datasets' folders.
        subsets: sub-datasets by any of their names, such as `AMASS_SPLITS["train"] + (MOYO,)`; default: all.
        frames_per_second: selects frames by time; default: all.
        stride: instead, every `stride`-th frame.
        trim: fraction of each file's frames to drop at its start and at its end (0.1 skips most calibration poses).
        keep_heading: False removes the heading with `remove_heading_euler`.
        seed: shuffles the files; default: sorted by path.

    Raises:
        ValueError: an option is out of range.
        DatasetError: on reading: a folder or file is missing or damaged, or a file lacks its rate where it is needed.
    """

    root: Path | str
    subsets: Sequence[str] | None = None
    frames_per_second: float | None = None
    stride: int = 1
    trim: float = 0.0
    keep_heading: bool = True
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.frames_per_second is not None and not 0 < self.frames_per_second < np.inf:
            raise ValueError(f"frames_per_second is {self.frames_per_second}; expected a positive number")
        if self.stride < 1 or (self.stride > 1 and self.frames_per_second is not None):
            raise ValueError(f"stride is {self.stride}; expected 1 or more, and only without frames_per_second")
        if not 0 <= self.trim < 0.5:
            raise ValueError(f"trim is {self.trim}; expected at least 0 and below 0.5")

    def files(self) -> list[Path]:
        """The files in the order in which they are read.

        Raises:
            DatasetError: a folder is missing, or there are no files.
        """
        root = require_path(Path(self.root), SOURCES["amass"], folder=True)
        folders = [root] if self.subsets is None else [find_subset(root, name) for name in self.subsets]
        paths = sorted({path for folder in folders for path in folder.rglob("*.npz")})
        paths = [path for path in paths if not any(path.match(pattern) for pattern in SHAPE_FILES)]
        if not paths:
            raise DatasetError(f"no motion files (.npz) are in {', '.join(map(str, folders))}. {SOURCES['amass']}.")
        return shuffle_files(paths, self.seed)

    def __iter__(self) -> Iterator[PoseRecord]:
        for path in self.files():
            yield from self.read(path)

    def read(self, path: Path) -> Iterator[PoseRecord]:
        """The records of one of `files`."""
        clip = load_clip(path)
        frames = self._select_frames(clip, path)
        rotvecs = clip.rotvecs[frames]
        if not self.keep_heading and len(rotvecs):
            rotvecs = remove_heading_euler(rotvecs)
        name = path.relative_to(self.root).as_posix()
        for frame, pose in zip(frames, rotvecs):
            yield PoseRecord(f"{name}:{frame}", pose)

    def _select_frames(self, clip: AmassClip, path: Path) -> np.ndarray:
        count = len(clip.rotvecs)
        first = int(count * self.trim)
        kept = count - 2 * first
        if self.frames_per_second is None:
            return first + np.arange(0, kept, self.stride)
        if clip.frames_per_second is None:
            raise DatasetError(f"{path} has no frame rate ({' or '.join(RATE_NAMES)}); use stride instead")
        return first + resample(kept, clip.frames_per_second, self.frames_per_second)


def find_subset(root: Path, name: str) -> Path:
    """The folder of a sub-dataset under any of its names.

    Args:
        root: AMASS's folder.
        name: one of the sub-dataset's names.

    Raises:
        DatasetError: there is none.
    """
    names = subset_names(name)
    folder = next((root / other for other in names if (root / other).is_dir()), None)
    if folder is None:
        existing = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir())) or "nothing"
        also = f" (nor {', '.join(names[1:])})" if len(names) > 1 else ""
        source = SOURCES["moyo" if name == MOYO else "amass"]
        raise missing_error(root / name, source, f"no such sub-dataset{also}; {root} holds {existing}")
    return folder


def subset_names(name: str) -> tuple[str, ...]:
    """All names of a sub-dataset, the given one first."""
    group = next((names for names in FOLDER_NAMES if name in names), (name,))
    return (name, *(other for other in group if other != name))


class AmassFrames:
    """Single frames by key, as in PoseScript and PoseFix; each file is opened once, on first use.

    All frames of the table that a file holds are then kept in memory (264 bytes each).

    Args:
        root: AMASS's folder, SMPL-H layout, with old or new names of its sub-datasets.
        table: key -> (file below `root`, index of the frame).
        where: names the table in errors.
    """

    def __init__(self, root: Path | str, table: Mapping[str, tuple[str, int]], where: str) -> None:
        self.root = Path(root)
        self.table = table
        self.where = where
        self.poses: dict[str, Rotvecs] = {}
        self.keys: dict[str, list[str]] = {}
        for key, (file, _) in table.items():
            self.keys.setdefault(file, []).append(key)

    def __getitem__(self, key: str) -> Rotvecs:
        """(22, 3) rotation vectors, the heading as recorded.

        Raises:
            DatasetError: the key is unknown, its file missing or damaged, or its frame out of range.
        """
        if key not in self.table:
            raise DatasetError(f"{self.where} has no pose {key!r}")
        if key not in self.poses:
            self._read(self.table[key][0])
        return self.poses[key]

    def _read(self, file: str) -> None:
        require_path(self.root, SOURCES["amass"], folder=True)
        path = self._find(file)
        clip = load_clip(path)
        for key in self.keys[file]:
            frame = self.table[key][1]
            if not 0 <= frame < len(clip.rotvecs):
                raise DatasetError(
                    f"{self.where}: pose {key!r} is frame {frame} of {path}, which has {len(clip.rotvecs)} frames "
                    f"(0 to {len(clip.rotvecs) - 1}); the SMPL-H release of AMASS is needed. {SOURCES['amass']}."
                )
            self.poses[key] = clip.rotvecs[frame].copy()

    def _find(self, file: str) -> Path:
        subset, _, rest = file.partition("/")
        paths = [self.root / name / rest for name in subset_names(subset)]
        existing = next((path for path in paths if path.is_file()), None)
        if existing is None:
            raise missing_error(paths[0], SOURCES["amass"], f"{self.where} refers to it")
        return existing
