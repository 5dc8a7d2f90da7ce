"""AMASS and MOYO: motion capture as npz files, `<root>/<sub-dataset>/<subject>/<sequence>.npz`.

Both layouts are read, and what a file is shows in its arrays:

- SMPL-H ("SMPL+H G"): `poses (frames, 156)`, `trans`, `betas`, `dmpls`, `gender`, `mocap_framerate`.
- SMPL-X ("SMPL-X N" and "G"): `root_orient (frames, 3)`, `pose_body (frames, 63)`, `pose_hand`, `pose_jaw`,
  `pose_eye`, `trans`, `betas`, `gender`, `mocap_frame_rate`, as a rule also `poses (frames, 165)`. MOYO's release in
  AMASS's form is of this kind; its other releases (pickles) are not read here.

Radians, z up; the global orientation is stored as it is. Body shapes (`shape.npz`, `*_stagei.npz`) lie in the same
folders and are passed over. Which 13 sub-datasets the paper's tokenizer saw, and their weights, is not published: give
your own to `mixing.WeightedMix`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unipose.training.datasets.importers.errors import SOURCES, DatasetError, Source, missing
from unipose.training.datasets.importers.files import (
    body_rotvecs,
    in_seeded_order,
    list_arrays,
    read_arrays,
    require_folder,
)
from unipose.training.datasets.importers.orientation import remove_heading_euler
from unipose.training.datasets.records import PoseRecord, Rotvecs


# The split its authors suggest, by sub-dataset. BMLmovi, BMLhandball, DanceDB and others came later: they are in none.
AMASS_SPLITS = {
    "train": ("CMU", "PosePrior", "TotalCapture", "EyesJapanDataset", "KIT", "BMLrub", "EKUT", "TCDHands", "ACCAD"),
    "val": ("HumanEva", "HDM05", "SFU", "MoSh"),
    "test": ("Transitions", "SSM"),
}
MOYO = "MOYO"

# A sub-dataset's folder is called differently from release to release (and PoseScript uses the old names).
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
    """One file: (frames, 22, 3) rotation vectors, and frames per second where the file tells."""

    rotvecs: Rotvecs
    frames_per_second: float | None


def load_clip(path: Path | str, source: Source = SOURCES["amass"]) -> AmassClip:
    """Reads one npz of either layout.

    Raises:
        DatasetError: the file is missing, damaged or of another layout; a pose holds a NaN (the frame is named).
    """
    path = Path(path)
    arrays = read_arrays(path, source, (*POSE_NAMES, *RATE_NAMES))
    if "poses" in arrays:
        rotvecs = body_rotvecs(arrays["poses"], str(path))
    elif "root_orient" in arrays and "pose_body" in arrays:
        rotvecs = _smplx_rotvecs(arrays["root_orient"], arrays["pose_body"], path)
    else:
        found = ", ".join(list_arrays(path, source)) or "nothing"
        raise DatasetError(f"{path} holds {found}; accepted: poses, or root_orient and pose_body. {source}.")
    return AmassClip(rotvecs, _frame_rate(arrays, path))


def _smplx_rotvecs(root_orient: np.ndarray, pose_body: np.ndarray, path: Path) -> Rotvecs:
    shapes = root_orient.shape, pose_body.shape
    frames = len(pose_body) if pose_body.ndim else 0
    if shapes != ((frames, 3), (frames, 63)):
        found = f"root_orient has the shape {shapes[0]} and pose_body {shapes[1]}"
        raise DatasetError(f"{path}: {found}; accepted: (frames, 3) and (frames, 63)")
    return body_rotvecs(np.concatenate([root_orient, pose_body], axis=1), str(path))


def _frame_rate(arrays: Mapping[str, np.ndarray], path: Path) -> float | None:
    name = next((name for name in RATE_NAMES if name in arrays), None)
    if name is None:
        return None
    rate = arrays[name]
    if rate.size != 1 or rate.dtype.kind not in "fiu" or not 0 < float(rate.reshape(-1)[0]) < np.inf:
        raise DatasetError(f"{path}: {name} is {rate!r}; accepted: one positive number, frames per second")
    return float(rate.reshape(-1)[0])


def resample(count: int, rate: float, frames_per_second: float) -> np.ndarray:
    """The frames nearest to the ticks of a clock, each once: indices into `count` frames recorded at `rate` a second.

    No frame is made up: a clock faster than the recording gives every frame.
    """
    ticks = np.arange(int((count - 1) / rate * frames_per_second + 1e-6) + 1) if count else np.zeros(0)
    return np.unique(np.minimum(np.floor(ticks * (rate / frames_per_second) + 0.5).astype(int), max(count - 1, 0)))


@dataclass(frozen=True)
class AmassPoses:
    """The frames of an AMASS folder as `PoseRecord`s without captions, named `<path below root>:<frame>`.

    A file is opened when its turn comes and only then; frames of a file come in order. How many there are is known
    at the end.

    Args:
        root: the folder of the sub-datasets' folders.
        subsets: sub-datasets by any of their names, such as `AMASS_SPLITS["train"] + (MOYO,)`; all where left out.
        frames_per_second: picks frames by time; all where left out.
        stride: instead, every so many-th frame.
        trim: share of each file's frames left out at its start and at its end (0.1 skips most calibration poses).
        keep_heading: False turns every pose to the default heading, as `remove_heading_euler`.
        seed: shuffles the files; sorted by path where left out.

    Raises:
        ValueError: an option is out of range.
        DatasetError: when read: a folder or file is missing or damaged, or a file that must tell its rate does not.
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
            raise ValueError(f"frames_per_second is {self.frames_per_second}; accepted: a positive number")
        if self.stride < 1 or (self.stride > 1 and self.frames_per_second is not None):
            raise ValueError(f"stride is {self.stride}; accepted: 1 or more, and only without frames_per_second")
        if not 0 <= self.trim < 0.5:
            raise ValueError(f"trim is {self.trim}; accepted: at least 0 and below 0.5")

    def files(self) -> list[Path]:
        """The files in the order in which they are read: what a progress bar can count."""
        root = require_folder(Path(self.root), SOURCES["amass"])
        folders = [root] if self.subsets is None else [find_subset(root, name) for name in self.subsets]
        paths = sorted({path for folder in folders for path in folder.rglob("*.npz")})
        paths = [path for path in paths if not any(path.match(pattern) for pattern in SHAPE_FILES)]
        if not paths:
            raise DatasetError(f"no motion files (.npz) are in {', '.join(map(str, folders))}. {SOURCES['amass']}.")
        return in_seeded_order(paths, self.seed)

    def __iter__(self) -> Iterator[PoseRecord]:
        for path in self.files():
            yield from self.read(path)

    def read(self, path: Path) -> Iterator[PoseRecord]:
        """The records of one of `files`."""
        clip = load_clip(path)
        frames = self._pick(clip, path)
        rotvecs = clip.rotvecs[frames]
        if not self.keep_heading and len(rotvecs):
            rotvecs = remove_heading_euler(rotvecs)
        name = path.relative_to(self.root).as_posix()
        for frame, pose in zip(frames, rotvecs):
            yield PoseRecord(f"{name}:{frame}", pose)

    def _pick(self, clip: AmassClip, path: Path) -> np.ndarray:
        count = len(clip.rotvecs)
        first = int(count * self.trim)
        kept = count - 2 * first
        if self.frames_per_second is None:
            return first + np.arange(0, kept, self.stride)
        if clip.frames_per_second is None:
            raise DatasetError(f"{path} does not tell its rate ({' or '.join(RATE_NAMES)}); use stride instead")
        return first + resample(kept, clip.frames_per_second, self.frames_per_second)


def find_subset(root: Path, name: str) -> Path:
    """A sub-dataset's folder, under whichever of its names it has.

    Raises:
        DatasetError: there is none.
    """
    names = same_subset(name)
    found = next((root / other for other in names if (root / other).is_dir()), None)
    if found is None:
        there = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir())) or "nothing"
        also = f" (nor {', '.join(names[1:])})" if len(names) > 1 else ""
        source = SOURCES["moyo" if name == MOYO else "amass"]
        raise missing(root / name, source, f"no such sub-dataset{also}; in {root}: {there}")
    return found


def same_subset(name: str) -> tuple[str, ...]:
    """All names of a sub-dataset, the given one first."""
    group = next((names for names in FOLDER_NAMES if name in names), (name,))
    return (name, *(other for other in group if other != name))


class AmassFrames:
    """Single frames by key, as PoseScript and PoseFix refer to them; a file is opened once, when first needed.

    All frames of a file that are in the table are kept when it is opened (264 bytes each).

    Args:
        root: AMASS's folder, SMPL-H layout; its sub-datasets may have their old or their new names.
        table: for each key the file below `root` and the frame.
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
        require_folder(self.root, SOURCES["amass"])
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
        paths = [self.root / name / rest for name in same_subset(subset)]
        found = next((path for path in paths if path.is_file()), None)
        if found is None:
            raise missing(paths[0], SOURCES["amass"], f"{self.where} refers to it")
        return found
