"""PoseFix: pairs of AMASS frames with instructions from the first pose to the second.

Its folder (`posefix_release`) holds

- `pair_id_2_pose_ids.json`: [[id of pose A, id of pose B], ...], where a pair's index is its id,
- `{train,val,test}_{in,out}_sequence_pair_ids.json`: lists of pair ids,
- `posefix_auto_135305.json`, `posefix_human_6157.json`, `posefix_paraphrases_4284.json`: {pair id: text or [texts]},
- usually PoseScript's table of poses (`ids_2_dataset_sequence_and_frame_index_100k.json`).

Headings: the poses of an **in-sequence** pair are frames of one motion, and the text may describe a change of heading.
Both are rotated by the same Rz(-c), where c is the heading of A (see `remove_heading_euler`): B keeps its heading
relative to A. The poses of an **out-of-sequence** pair are unrelated: each one's own heading is removed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unipose.training.datasets.importers.amass import AmassFrames
from unipose.training.datasets.importers.errors import SOURCES, DatasetError
from unipose.training.datasets.importers.files import read_json, require_path
from unipose.training.datasets.importers.orientation import heading_euler, remove_heading_euler, rotate_heading_euler
from unipose.training.datasets.importers.posescript import (
    POSE_TABLE,
    SPLITS,
    check_choice,
    find_one,
    read_ids,
    read_pose_table,
    texts_of,
)
from unipose.training.datasets.records import PosePairRecord, Rotvecs


TEXT_FILES = {
    "auto": "posefix_auto_*.json",
    "human": "posefix_human_*.json",
    "paraphrases": "posefix_paraphrases_*.json",
}
KINDS = ("in", "out")
PAIR_TABLE = "pair_id_2_pose_ids.json"


@dataclass(frozen=True)
class PoseFixPairs:
    """The pairs of one split that have texts, as `PosePairRecord`s named by their id; in-sequence pairs come first.

    Args:
        root: PoseFix's folder.
        amass: AMASS's folder, SMPL-H layout.
        split: "train", "val" or "test".
        texts: some of "auto", "human" and "paraphrases"; a pair has the texts of all of them, in this order.
        kinds: "in" and "out" of sequence, or one of them.
        pose_table: path of the table of poses, where it is not in `root` (PoseScript's folder has it, too).

    Raises:
        ValueError: an unknown split, kind of texts or kind of pairs, or none.
        DatasetError: on reading: a file is missing or damaged, an id unknown, a frame out of range, or no pair has a
            text.
    """

    root: Path | str
    amass: Path | str
    split: str = "train"
    texts: Sequence[str] = ("auto",)
    kinds: Sequence[str] = KINDS
    pose_table: Path | str | None = None

    def __post_init__(self) -> None:
        check_choice("split", self.split, SPLITS)
        for option, values, accepted in (("texts", self.texts, (*TEXT_FILES,)), ("kinds", self.kinds, KINDS)):
            if isinstance(values, str) or not values:
                raise ValueError(f"{option} is {values!r}; expected a list of {', '.join(accepted)}")
            for value in values:
                check_choice(option, value, accepted)

    @cached_property
    def pairs(self) -> dict[str, tuple[tuple[str, ...], bool]]:
        """The texts of each pair, and whether it is in sequence."""
        source, root = SOURCES["posefix"], require_path(Path(self.root), SOURCES["posefix"], folder=True)
        ids = {kind: read_ids(root / f"{self.split}_{kind}_sequence_pair_ids.json", source) for kind in self.kinds}
        in_sequence = {key: kind == "in" for kind in KINDS if kind in ids for key in ids[kind]}
        paths = [find_one(root, TEXT_FILES[kind], source) for kind in self.texts]
        texts = texts_of(list(in_sequence), paths, source)
        return {key: (pair_texts, in_sequence[key]) for key, pair_texts in texts.items()}

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[PosePairRecord]:
        for key, (texts, in_sequence) in self.pairs.items():
            first, second = self.poses[key]
            poses = remove_pair_heading(self.frames[first], self.frames[second], in_sequence)
            yield PosePairRecord(key, *poses, texts, same_sequence=in_sequence)

    @cached_property
    def frames(self) -> AmassFrames:
        """The poses with their recorded headings; each motion is opened once, on first use.

        Raises:
            DatasetError: the table of poses is missing, damaged or does not belong to the pairs.
        """
        path = Path(self.root) / POSE_TABLE if self.pose_table is None else Path(self.pose_table)
        keys = {key for pair in self.poses.values() for key in pair}
        frames = read_pose_table(path, self.amass, keys, SOURCES["posefix"])
        for key, (first, second) in self.poses.items():
            files = frames.table[first][0], frames.table[second][0]
            if self.pairs[key][1] and files[0] != files[1]:
                raise DatasetError(
                    f"pair {key} is listed as in sequence, but {path} has its poses in {files[0]} and {files[1]}; "
                    f"expected the table of poses of these pairs. {SOURCES['posefix']}."
                )
        return frames

    @cached_property
    def poses(self) -> dict[str, tuple[str, str]]:
        """The ids of each pair's poses.

        Raises:
            DatasetError: the table of pairs is missing or damaged, or lacks a pair.
        """
        path = Path(self.root) / PAIR_TABLE
        table: list[Any] = read_json(path, SOURCES["posefix"], list)
        poses = {}
        for key in self.pairs:
            if not key.isdecimal() or int(key) >= len(table):
                raise DatasetError(f"{path} holds {len(table)} pairs; expected one with id {key!r}")
            match table[int(key)]:
                case [str() | int() as first, str() | int() as second]:
                    poses[key] = str(first), str(second)
                case other:
                    raise DatasetError(f"{path}: pair {key} is {other!r}; expected [id of pose A, id of pose B]")
        return poses


def remove_pair_heading(first: Rotvecs, second: Rotvecs, in_sequence: bool) -> tuple[Rotvecs, Rotvecs]:
    """Removes the heading of the first pose from both, or, out of sequence, each one's own.

    Args:
        first, second: (22, 3) in the stored frame.
        in_sequence: whether both are frames of one motion.
    """
    poses = np.stack([first, second])
    poses = rotate_heading_euler(poses, -heading_euler(poses[:1])) if in_sequence else remove_heading_euler(poses)
    return poses[0], poses[1]
