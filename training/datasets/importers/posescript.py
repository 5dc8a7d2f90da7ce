"""PoseScript: descriptions of AMASS frames, written by people or made automatically.

Its folder (`posescript_release`) holds

- `ids_2_dataset_sequence_and_frame_index_100k.json`: {id: ["AMASS", "<path below AMASS>.npz", frame]},
- `train_ids_100k.json`, `val_ids_100k.json`, `test_ids_100k.json`: lists of ids,
- `posescript_auto_100k.json` and `posescript_human_6293.json`: {id: text or [texts]}.

Frames are counted at the recording's own rate. The heading is removed as `remove_heading_euler` says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from unipose.training.datasets.importers.amass import AmassFrames
from unipose.training.datasets.importers.errors import SOURCES, DatasetError, Source, missing
from unipose.training.datasets.importers.files import read_json, require_folder
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
        DatasetError: when read: a file is missing or damaged, a frame is out of range, or nothing is left.
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
        source, root = SOURCES["posescript"], require_folder(Path(self.root), SOURCES["posescript"])
        ids = read_ids(root / f"{self.split}_ids_100k.json", source)
        return texts_of(ids, [find_one(root, CAPTION_FILES[self.captions], source)], source)

    @cached_property
    def frames(self) -> AmassFrames:
        """The poses, headings as recorded; each motion is opened once, when its first pose is asked for."""
        return read_pose_table(Path(self.root) / POSE_TABLE, self.amass, set(self.texts), SOURCES["posescript"])

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[PoseRecord]:
        for key, texts in self.texts.items():
            yield PoseRecord(key, remove_heading_euler(self.frames[key][None])[0], texts)


def check_choice(option: str, value: str, accepted: Any) -> None:
    """Raises a ValueError unless `value` is one of `accepted`."""
    if value not in accepted:
        raise ValueError(f"{option} is {value!r}; accepted: {', '.join(accepted)}")


def find_one(root: Path, pattern: str, source: Source) -> Path:
    """The one file of a folder that matches; its number of texts is part of the name.

    Raises:
        DatasetError: there is none, or more than one.
    """
    found = sorted(root.glob(pattern))
    if not found:
        raise missing(root / pattern, source)
    if len(found) > 1:
        raise DatasetError(f"{root} holds {', '.join(path.name for path in found)}; leave one file {pattern}")
    return found[0]


def read_ids(path: Path, source: Source) -> list[str]:
    """A list of ids; numbers become text, as in the other files.

    Raises:
        DatasetError: the file is missing or damaged, or an id is neither a number nor a text.
    """
    ids = read_json(path, source, list)
    wrong = [item for item in ids if not isinstance(item, str | int)]
    if wrong:
        raise DatasetError(f"{path}: an id is {wrong[0]!r}; accepted: numbers or texts. {source}.")
    return [str(item) for item in ids]


def texts_of(ids: list[str], paths: list[Path], source: Source) -> dict[str, tuple[str, ...]]:
    """The texts that files of {id: text or [texts]} have for `ids`, file after file; ids without any are left out.

    Raises:
        DatasetError: a file is missing or damaged, an entry is no text, or no id has any.
    """
    texts: dict[str, tuple[str, ...]] = {}
    contents = [(path, read_json(path, source, dict)) for path in paths]
    for key in dict.fromkeys(ids):
        found = tuple(text for path, content in contents if key in content for text in _texts(content[key], key, path))
        if found:
            texts[key] = found
    if not texts:
        names = ", ".join(map(str, paths))
        raise DatasetError(f"none of the {len(ids)} ids of this split has a text in {names}. {source}.")
    return texts


def _texts(entry: Any, key: str, path: Path) -> list[str]:
    texts = [entry] if isinstance(entry, str) else entry
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DatasetError(f"{path}: the entry of {key!r} is {entry!r}; accepted: a text or a list of texts")
    return [text.strip() for text in texts if text.strip()]


def read_pose_table(path: Path, amass: Path | str, keys: set[str], source: Source) -> AmassFrames:
    """The frames behind the ids that are needed.

    Raises:
        DatasetError: the file is missing or damaged, lacks an id, or refers to something else than AMASS.
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
    raise DatasetError(f"{path}: the entry of {key!r} is {entry!r}; accepted: ['AMASS', '<path>.npz', frame]")
