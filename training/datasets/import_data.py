"""Reads a dataset that you brought and keeps its records in a folder that opens at once (`SavedRecords`).

python -m unipose.training.datasets.import_data --source amass --root AMASS --frames_per_second 10 --output runs/amass
python -m unipose.training.datasets.import_data --source posefix --root posefix --amass AMASS --output runs/pairs
python -m unipose.training.datasets.import_data --source hmr_tars --root coco --pickles_may_run_code true \
    --output runs/coco

Where it was interrupted the same command goes on: what is written is not written again (but read over).
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value, concatenate_datasets, load_from_disk
from tqdm.auto import tqdm
from trl import TrlParser

from unipose.training.datasets.importers import (
    AmassPoses,
    Crop,
    HmrPictures,
    HmrTarPictures,
    PoseFixPairs,
    PoseScriptPoses,
    ThreeDPWPictures,
    WeightedMix,
)
from unipose.training.datasets.records import PictureRecord, PosePairRecord, PoseRecord, Rotvecs


Record = PoseRecord | PosePairRecord | PictureRecord

POSE, TEXTS = List(List(Value("float32"))), List(Value("string"))
COLUMNS: dict[type[Record], Features] = {
    PoseRecord: Features({"name": Value("string"), "rotvecs": POSE, "captions": TEXTS}),
    PosePairRecord: Features(
        {
            "name": Value("string"),
            "first": POSE,
            "second": POSE,
            "texts": TEXTS,
            "same_sequence": Value("bool"),
        }
    ),
    PictureRecord: Features({"name": Value("string"), "image": Value("binary"), "rotvecs": POSE, "captions": TEXTS}),
}
POSE_COLUMNS, TEXT_COLUMNS = ("rotvecs", "first", "second"), ("captions", "texts")
RECORDS_PER_PART = 10_000
# Says what the parts of a folder were made from, and, when they are all there, that they are.
STATE_FILE = "import.json"


@dataclass
class ImportArguments:
    """What to read; each source takes those options that its loader has."""

    source: str = field(metadata={"help": "amass, posescript, posefix, hmr_npz, hmr_tars or 3dpw."})
    root: str = field(
        metadata={"help": "The dataset's folder; of hmr_npz the folder of pictures, of hmr_tars the tars."}
    )
    output: str = field(metadata={"help": "Folder of the records."})
    amass: str = field(default="", metadata={"help": "posescript, posefix: AMASS's folder, SMPL-H layout."})
    annotations: str = field(default="", metadata={"help": "hmr_npz: the npz."})
    dataset: str = field(default="hmr2", metadata={"help": "hmr_npz, hmr_tars: whose pictures they are."})
    pickles_may_run_code: bool = field(
        default=False, metadata={"help": "hmr_tars, 3dpw: read pickles, which can run any code. Trusted files only."}
    )
    split: str = "train"
    captions: str = field(default="auto", metadata={"help": "posescript: auto or human."})
    texts: list[str] = field(
        default_factory=lambda: ["auto"], metadata={"help": "posefix: some of auto, human, paraphrases."}
    )
    pose_table: str | None = field(default=None, metadata={"help": "posefix: PoseScript's table of poses."})
    subsets: list[str] = field(default_factory=list, metadata={"help": "amass: sub-datasets, all where left out."})
    weights: dict[str, float] | str = field(
        default_factory=dict, metadata={"help": "amass: draw `limit` poses, sub-datasets by these weights."}
    )
    frames_per_second: float | None = field(default=None, metadata={"help": "amass."})
    trim: float = field(default=0.0, metadata={"help": "amass: share of a clip left out at each end."})
    keep_heading: bool = field(default=True, metadata={"help": "amass."})
    stride: int = field(default=1, metadata={"help": "amass, 3dpw."})
    expand: float = field(default=1.0, metadata={"help": "Pictures: the box's side, times this."})
    max_size: int = field(default=336, metadata={"help": "Pictures: largest side in pixels."})
    seed: int = field(default=0, metadata={"help": "Order of files (amass, hmr_tars, 3dpw) or of rows (hmr_npz)."})
    skip_damaged: bool = field(default=False, metadata={"help": "hmr_npz, hmr_tars: log unusable rows, go on."})
    limit: int | None = field(default=None, metadata={"help": "At most so many records."})


def open_amass(arguments: ImportArguments) -> Iterable[Record]:
    """The poses of a folder, or a mix of sub-datasets where there are weights."""

    def loader(subsets: Sequence[str] | None) -> AmassPoses:
        return AmassPoses(
            arguments.root,
            subsets,
            frames_per_second=arguments.frames_per_second,
            stride=arguments.stride,
            trim=arguments.trim,
            keep_heading=arguments.keep_heading,
            seed=arguments.seed,
        )

    weights = json.loads(arguments.weights) if isinstance(arguments.weights, str) else arguments.weights
    if not weights:
        return loader(arguments.subsets or None)
    if arguments.limit is None or arguments.subsets:
        raise ValueError("weights name the sub-datasets and need a limit, the number of poses to draw")
    return WeightedMix({name: loader([name]) for name in weights}, weights, arguments.limit, arguments.seed)


def crop(arguments: ImportArguments) -> Crop:
    """How persons are cut out."""
    return Crop(expand=arguments.expand, max_size=arguments.max_size)


OPEN: dict[str, Callable[[ImportArguments], Iterable[Record]]] = {
    "amass": open_amass,
    "posescript": lambda a: PoseScriptPoses(a.root, a.amass, a.split, a.captions),
    "posefix": lambda a: PoseFixPairs(a.root, a.amass, a.split, a.texts, pose_table=a.pose_table),
    "hmr_npz": lambda a: HmrPictures(a.annotations, a.root, a.dataset, crop(a), a.seed, a.skip_damaged),
    "hmr_tars": lambda a: HmrTarPictures(a.root, a.pickles_may_run_code, a.dataset, crop(a), a.seed, a.skip_damaged),
    "3dpw": lambda a: ThreeDPWPictures(a.root, a.pickles_may_run_code, a.split, a.stride, crop(a), a.seed),
}


def open_source(arguments: ImportArguments) -> Iterable[Record]:
    """The loader that the arguments describe.

    Raises:
        ValueError: an unknown source, or an option that its loader refuses.
    """
    if arguments.source not in OPEN:
        raise ValueError(f"unknown source {arguments.source!r}; accepted: {', '.join(OPEN)}")
    return OPEN[arguments.source](arguments)


def save_records(
    records: Iterable[Record], output: Path, made_from: dict[str, Any], part: int = RECORDS_PER_PART
) -> None:
    """Writes records in parts, each of which appears whole or not at all; goes on after those that are there.

    Args:
        records: must give the same ones in the same order every time.
        output: the folder.
        made_from: what tells this import from another; a folder of another one is refused.
        part: records a part.

    Raises:
        ValueError: the folder holds something else, or there is no record.
    """
    state = check_state(output, made_from | {"records_per_part": part})
    if state["records"] is not None:
        return
    done = len(list(output.glob("part-*")))
    stream = iter(tqdm(records, desc="records", total=len(records) if hasattr(records, "__len__") else None))
    count = sum(1 for _ in islice(stream, done * part))
    while rows := list(islice(stream, part)):
        write_part(rows, output / f"part-{done:05d}")
        done, count = done + 1, count + len(rows)
    if not count:
        raise ValueError("the source holds no record")
    (output / STATE_FILE).write_text(json.dumps(state | {"records": count}, indent=1), encoding="utf-8")


def check_state(output: Path, made_from: dict[str, Any]) -> dict[str, Any]:
    """The state of the folder, begun where it is new."""
    path = output / STATE_FILE
    made_from = json.loads(json.dumps(made_from))
    if path.is_file():
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["made_from"] != made_from:
            raise ValueError(f"{output} was made from {state['made_from']}, not from {made_from}; give another folder")
        return state
    if output.exists() and any(output.iterdir()):
        raise ValueError(f"{output} holds something else; give another folder")
    output.mkdir(parents=True, exist_ok=True)
    state = {"made_from": made_from, "records": None}
    path.write_text(json.dumps(state, indent=1), encoding="utf-8")
    return state


def write_part(records: list[Record], path: Path) -> None:
    """One part, in a folder beside it that is renamed at the end."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    features = COLUMNS[type(records[0])]
    Dataset.from_list([asdict(record) for record in records], features=features).save_to_disk(unfinished)
    unfinished.rename(path)


class SavedRecords(Sequence[Record]):
    """The records of a folder that `import_data` has written, in memory only as they are asked for.

    Args:
        folder: the `output` of the import.

    Raises:
        ValueError: the import is not finished, or there is none.
    """

    def __init__(self, folder: Path | str) -> None:
        folder = Path(folder)
        path = folder / STATE_FILE
        if not path.is_file():
            raise ValueError(
                f"{folder} holds no records: there is no {path}; make it by unipose.training.datasets.import_data"
            )
        if json.loads(path.read_text(encoding="utf-8"))["records"] is None:
            raise ValueError(f"the import into {folder} was interrupted; give the same command again")
        parts = [load_from_disk(part) for part in sorted(folder.glob("part-*"))]
        self.rows = concatenate_datasets(parts)
        self.kind = next(kind for kind, features in COLUMNS.items() if set(features) == set(self.rows.column_names))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return self._record(self.rows[index])

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, self.rows)

    def poses(self) -> Rotvecs:
        """(n, 22, 3): every pose of the records; of pairs both."""
        rows = self.rows.with_format("numpy")
        return np.concatenate([np.stack(rows[name][:]) for name in POSE_COLUMNS if name in self.rows.column_names])

    def _record(self, row: dict[str, Any]) -> Record:
        arrays = {name: np.array(row[name], dtype=np.float32) for name in POSE_COLUMNS if name in row}
        texts = {name: tuple(row[name]) for name in TEXT_COLUMNS if name in row}
        return self.kind(**{**row, **arrays, **texts})


def main() -> None:
    (arguments,) = TrlParser((ImportArguments,)).parse_args_and_config()
    records = islice(open_source(arguments), arguments.limit) if arguments.limit else open_source(arguments)
    made_from = {name: value for name, value in asdict(arguments).items() if name != "output"}
    save_records(records, Path(arguments.output), made_from)
    print(f"{len(SavedRecords(arguments.output))} records in {arguments.output}")


if __name__ == "__main__":
    main()
