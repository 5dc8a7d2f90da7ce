"""PoseScript: descriptions of AMASS frames, written by people or generated.

Its folder (`posescript_release`) holds

- `ids_2_dataset_sequence_and_frame_index_100k.json`: {id: ["AMASS", "<path below AMASS>.npz", frame]},
- `train_ids_100k.json`, `val_ids_100k.json`, `test_ids_100k.json`: lists of ids,
- `posescript_auto_100k.json` and `posescript_human_6293.json`: {id: text or [texts]}.

Frames are numbered at the recording's own rate. Headings are removed by `remove_heading_euler`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from unipose.training.datasets.importers.amass import AmassFrames
from unipose.training.datasets.importers.errors import SOURCES, DatasetError, Source, missing_error
from unipose.training.datasets.importers.files import read_json, require_path
from unipose.training.datasets.importers.orientation import remove_heading_euler
from unipose.training.datasets.records import PoseRecord


SPLITS = ("train", "val", "test")
CAPTION_FILES = {"auto": "posescript_auto_*.json", "human": "posescript_human_*.json"}
POSE_TABLE = "ids_2_dataset_sequence_and_frame_index_100k.json"


@dataclass(frozen=True)
class PoseScriptPoses:
    """The described poses of one split as `PoseRecord`s, in the order of the split, named by their id.

    Args:
        root: PoseScript's folder.
        amass: AMASS's folder, SMPL-H layout.
        split: "train", "val" or "test".
        captions: "auto" or "human"; ids of the split without such a caption are left out.

    Raises:
        ValueError: an unknown split or kind of captions.
        DatasetError: on reading: a file is missing or damaged, a frame is out of range, or no id has a caption.
    """

    root: Path | str
    amass: Path | str
    split: str = "train"
    captions: Literal["auto", "human"] = "auto"

    def __post_init__(self) -> None:
        check_choice("split", self.split, SPLITS)
        check_choice("captions", self.captions, CAPTION_FILES)

    @cached_property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """The texts of each id, in the order of the split."""
        source, root = SOURCES["posescript"], require_path(Path(self.root), SOURCES["posescript"], folder=True)
        ids = read_ids(root / f"{self.split}_ids_100k.json", source)
        return texts_of(ids, [find_one(root, CAPTION_FILES[self.captions], source)], source)

    @cached_property
    def frames(self) -> AmassFrames:
        """The poses with their recorded headings; each motion is opened once, on first use."""
        return read_pose_table(Path(self.root) / POSE_TABLE, self.amass, set(self.texts), SOURCES["posescript"])

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[PoseRecord]:
        for key, texts in self.texts.items():
            yield PoseRecord(key, remove_heading_euler(self.frames[key][None])[0], texts)


def check_choice(option: str, value: str, accepted: Any) -> None:
    """Checks an option.

    Args:
        option: its name, for the error message.
        value: its value.
        accepted: the accepted values.

    Raises:
        ValueError: the value is not accepted.
    """
    if value not in accepted:
        raise ValueError(f"{option} is {value!r}; expected one of {', '.join(accepted)}")


def find_one(root: Path, pattern: str, source: Source) -> Path:
    """The only file of a folder that matches a pattern; the numbers of texts in the names vary.

    Args:
        root: the folder.
        pattern: a glob pattern.
        source: where to get the dataset, for errors.

    Raises:
        DatasetError: there is none, or more than one.
    """
    paths = sorted(root.glob(pattern))
    if not paths:
        raise missing_error(root / pattern, source)
    if len(paths) > 1:
        raise DatasetError(f"{root} holds {', '.join(path.name for path in paths)}; expected one file {pattern}")
    return paths[0]


def read_ids(path: Path, source: Source) -> list[str]:
    """Reads a list of ids; numbers become strings, as in the other files.

    Args:
        path: path of the JSON file.
        source: where to get the dataset, for errors.

    Raises:
        DatasetError: the file is missing or damaged, or an id is neither a number nor a string.
    """
    ids = read_json(path, source, list)
    wrong = [item for item in ids if not isinstance(item, str | int)]
    if wrong:
        raise DatasetError(f"{path}: an id is {wrong[0]!r}; expected numbers or strings. {source}.")
    return [str(item) for item in ids]


def texts_of(ids: list[str], paths: list[Path], source: Source) -> dict[str, tuple[str, ...]]:
    """Reads the texts of ids; those without any are left out.

    Args:
        ids: ids in the order of the result.
        paths: JSON files of {id: text or [texts]}; texts of one id are in the order of the files.
        source: where to get the dataset, for errors.

    Raises:
        DatasetError: a file is missing or damaged, an entry is not a text, or no id has any.
    """
    texts: dict[str, tuple[str, ...]] = {}
    contents = [(path, read_json(path, source, dict)) for path in paths]
    for key in dict.fromkeys(ids):
        own = tuple(text for path, content in contents if key in content for text in _texts(content[key], key, path))
        if own:
            texts[key] = own
    if not texts:
        names = ", ".join(map(str, paths))
        raise DatasetError(f"none of the {len(ids)} ids of this split has a text in {names}. {source}.")
    return texts


def _texts(entry: Any, key: str, path: Path) -> list[str]:
    texts = [entry] if isinstance(entry, str) else entry
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DatasetError(f"{path}: the entry of {key!r} is {entry!r}; expected a text or a list of texts")
    return [text.strip() for text in texts if text.strip()]


def read_pose_table(path: Path, amass: Path | str, keys: set[str], source: Source) -> AmassFrames:
    """Reads the table of poses.

    Args:
        path: path of the JSON file.
        amass: AMASS's folder, SMPL-H layout.
        keys: the ids that are needed.
        source: where to get the dataset, for errors.

    Raises:
        DatasetError: the file is missing or damaged, lacks an id, or refers to another dataset than AMASS.
    """
    content: Mapping[str, Any] = read_json(path, source, dict)
    absent = sorted(keys - set(content))
    if absent:
        raise DatasetError(f"{path} lacks {len(absent)} of {len(keys)} ids, the first is {absent[0]!r}. {source}.")
    return AmassFrames(amass, {key: _frame(content[key], key, path) for key in content if key in keys}, str(path))


def _frame(entry: Any, key: str, path: Path) -> tuple[str, int]:
    match entry:
        case ["AMASS", str(file), int(frame)]:
            return file, frame
    raise DatasetError(f"{path}: the entry of {key!r} is {entry!r}; expected ['AMASS', '<path>.npz', frame]")
