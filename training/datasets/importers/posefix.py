"""PoseFix: pairs of AMASS frames with texts that say how to get from the first to the second.

Its folder (`posefix_release`) holds

- `pair_id_2_pose_ids.json`: [[id of pose A, id of pose B], ...], the place in the list being the pair's id,
- `{train,val,test}_{in,out}_sequence_pair_ids.json`: lists of pair ids,
- `posefix_auto_135305.json`, `posefix_human_6157.json`, `posefix_paraphrases_4284.json`: {pair id: text or [texts]},
- as a rule PoseScript's table of poses (`ids_2_dataset_sequence_and_frame_index_100k.json`).

Headings: the two poses of an **in-sequence** pair are frames of one motion, so its text may speak of a turn. A loses
its heading, Rz(-c) R_A as in `remove_heading_euler`, and B is turned by that same Rz(-c), A's, not its own: B keeps
its turn relative to A. The poses of an **out-of-sequence** pair are not of one motion: each loses its own heading.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unipose.training.datasets.importers.amass import AmassFrames
from unipose.training.datasets.importers.errors import SOURCES, DatasetError
from unipose.training.datasets.importers.files import read_json, require_folder
from unipose.training.datasets.importers.orientation import (
    heading_euler,
    remove_heading_euler,
    to_matrices,
    turn_about_vertical,
    turn_pelvis,
)
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
    """The pairs of one split that have a text, as `PosePairRecord`s: in-sequence ones first, named by their id.

    Args:
        root: PoseFix's folder.
        amass: AMASS's folder, SMPL-H layout.
        split: "train", "val" or "test".
        texts: some of "auto", "human" and "paraphrases"; a pair gets the texts of all of them, in this order.
        kinds: "in" and "out" of sequence, or one of them.
        pose_table: the table of poses, where it is not in `root` (it is also in PoseScript's folder).

    Raises:
        ValueError: an unknown split, kind of texts or kind of pairs, or none.
        DatasetError: when read: a file is missing or damaged, an id unknown, a frame out of range, or nothing is left.
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
                raise ValueError(f"{option} is {values!r}; accepted: a list of {', '.join(accepted)}")
            for value in values:
                check_choice(option, value, accepted)

    @cached_property
    def pairs(self) -> dict[str, tuple[tuple[str, ...], bool]]:
        """For each pair its texts, and whether it is in sequence."""
        source, root = SOURCES["posefix"], require_folder(Path(self.root), SOURCES["posefix"])
        ids = {kind: read_ids(root / f"{self.split}_{kind}_sequence_pair_ids.json", source) for kind in self.kinds}
        in_sequence = {key: kind == "in" for kind in KINDS if kind in ids for key in ids[kind]}
        paths = [find_one(root, TEXT_FILES[kind], source) for kind in self.texts]
        texts = texts_of(list(in_sequence), paths, source)
        return {key: (found, in_sequence[key]) for key, found in texts.items()}

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[PosePairRecord]:
        for key, (texts, in_sequence) in self.pairs.items():
            first, second = self.poses[key]
            poses = without_heading(self.frames[first], self.frames[second], in_sequence)
            yield PosePairRecord(key, *poses, texts, same_sequence=in_sequence)

    @cached_property
    def frames(self) -> AmassFrames:
        """The poses, headings as recorded; each motion is opened once, when its first pose is asked for."""
        path = Path(self.root) / POSE_TABLE if self.pose_table is None else Path(self.pose_table)
        keys = {key for pair in self.poses.values() for key in pair}
        frames = read_pose_table(path, self.amass, keys, SOURCES["posefix"])
        for key, (first, second) in self.poses.items():
            files = frames.table[first][0], frames.table[second][0]
            if self.pairs[key][1] and files[0] != files[1]:
                raise DatasetError(
                    f"pair {key} is said to be in sequence, but by {path} it is of {files[0]} and {files[1]}: this "
                    f"table of poses does not belong to these pairs. {SOURCES['posefix']}."
                )
        return frames

    @cached_property
    def poses(self) -> dict[str, tuple[str, str]]:
        """For each pair the ids of its poses."""
        path = Path(self.root) / PAIR_TABLE
        table: list[Any] = read_json(path, SOURCES["posefix"], list)
        poses = {}
        for key in self.pairs:
            if not key.isdecimal() or int(key) >= len(table):
                raise DatasetError(f"{path} holds {len(table)} pairs, but pair {key!r} is asked for")
            match table[int(key)]:
                case [str() | int() as first, str() | int() as second]:
                    poses[key] = str(first), str(second)
                case other:
                    raise DatasetError(f"{path}: pair {key} is {other!r}; accepted: [id of pose A, id of pose B]")
        return poses


def without_heading(first: Rotvecs, second: Rotvecs, in_sequence: bool) -> tuple[Rotvecs, Rotvecs]:
    """Takes the heading off two stored (22, 3) poses: A's off both in a sequence, else each one's own."""
    poses = np.stack([first, second])
    if not in_sequence:
        poses = remove_heading_euler(poses)
    else:
        poses = turn_pelvis(poses, turn_about_vertical(-heading_euler(to_matrices(first[:1]))))
    return poses[0], poses[1]
