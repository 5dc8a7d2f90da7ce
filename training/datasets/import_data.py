"""Imports one of your own datasets: writes its records to a folder that opens instantly (`SavedRecords`).

python -m unipose.training.datasets.import_data --source amass --root AMASS --frames_per_second 10 --output runs/amass
python -m unipose.training.datasets.import_data --source posefix --root posefix --amass AMASS --output runs/pairs
python -m unipose.training.datasets.import_data --source hmr_tars --root coco --pickles_may_run_code true \
    --output runs/coco

The same command resumes an interrupted import: finished parts are kept, and their records are only read again.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from datasets import Dataset, Features, List, Value, concatenate_datasets, load_from_disk
from pyarrow import ArrowException
from tqdm.auto import tqdm
from trl import TrlParser

from unipose.processing.pose_features import NUM_JOINTS
from unipose.training.datasets.importers import (
    AmassPoses,
    AmcPoses,
    BvhPoses,
    ClipChoice,
    Crop,
    DeepMimicPoses,
    HmrImages,
    HmrTarImages,
    MotionArchives,
    PoseFixPairs,
    PoseScriptPoses,
    ThreeDPWImages,
    WeightedMix,
)
from unipose.training.datasets.records import ImageRecord, PosePairRecord, PoseRecord, Rotvecs
from unipose.training.io import PARTIAL, atomic_path, file_digest, read_json, write_json


Record = PoseRecord | PosePairRecord | ImageRecord

POSE, TEXTS = List(List(Value("float32"))), List(Value("string"))
COLUMNS: dict[type[Record], Features] = {
    PoseRecord: Features({"name": Value("string"), "rotvecs": POSE, "captions": TEXTS, "prompt": Value("string")}),
    PosePairRecord: Features(
        {
            "name": Value("string"),
            "first": POSE,
            "second": POSE,
            "texts": TEXTS,
            "same_sequence": Value("bool"),
            "prompt": Value("string"),
        }
    ),
    ImageRecord: Features({"name": Value("string"), "image": Value("binary"), "rotvecs": POSE, "captions": TEXTS}),
}
POSE_COLUMNS, TEXT_COLUMNS = ("rotvecs", "first", "second"), ("captions", "texts")
RECORDS_PER_PART = 10_000
# The options of an import, and the number of records once it is complete.
STATE_FILE = "import.json"
# The checksums of the files of a part. A damaged Arrow file would end the process, or give other poses.
DIGESTS_FILE = "sha256.json"


@dataclass
class ImportArguments:
    """The dataset and its options; the help of an option starts with the sources that use it."""

    source: str = field(
        metadata={
            "help": "Format of the dataset: amass, posescript, posefix, hmr_npz, hmr_tars, 3dpw, motion, bvh, amc, "
            "deepmimic."
        }
    )
    root: str = field(metadata={"help": "Folder of the dataset; hmr_npz: folder of images; hmr_tars: folder of tars."})
    output: str = field(metadata={"help": "Folder of the records."})
    amass: str = field(default="", metadata={"help": "posescript, posefix: AMASS's folder, SMPL-H layout."})
    annotations: str = field(default="", metadata={"help": "hmr_npz: path of the npz."})
    dataset: str = field(default="hmr2", metadata={"help": "hmr_npz, hmr_tars: name of the dataset, for errors."})
    pickles_may_run_code: bool = field(
        default=False, metadata={"help": "hmr_tars, 3dpw: whether to read pickles, which can run any code."}
    )
    split: str = field(default="train", metadata={"help": "posescript, posefix, 3dpw: split of the dataset."})
    captions: str = field(default="auto", metadata={"help": "posescript: kind of captions, auto or human."})
    texts: list[str] = field(
        default_factory=lambda: ["auto"],
        metadata={"help": "posefix: kinds of texts, some of auto, human, paraphrases."},
    )
    pose_table: str | None = field(default=None, metadata={"help": "posefix: path of PoseScript's table of poses."})
    subsets: list[str] = field(default_factory=list, metadata={"help": "amass: names of sub-datasets; default: all."})
    weights: dict[str, float] | str = field(
        default_factory=dict, metadata={"help": "amass: weights of sub-datasets to draw `limit` poses with."}
    )
    frames_per_second: float | None = field(
        default=None, metadata={"help": "amass, bvh, amc, deepmimic: frames per second to keep; default: all frames."}
    )
    trim: float = field(default=0.0, metadata={"help": "amass: fraction of a clip to drop at each end."})
    keep_heading: bool = field(default=True, metadata={"help": "amass: whether to keep the heading of poses."})
    clips: list[str] | None = field(
        default=None,
        metadata={
            "help": "motion, bvh, amc, deepmimic: patterns of clips to import, <file>/<clip> or <path without "
            "ending>; default: all."
        },
    )
    skip_clips: list[str] = field(
        default_factory=list, metadata={"help": "motion, bvh, amc, deepmimic: patterns of clips to leave out."}
    )
    min_change: float = field(
        default=0.0,
        metadata={"help": "motion, bvh, amc, deepmimic: minimum mean angle between kept frames of a clip in degrees."},
    )
    bone_map: str | None = field(
        default=None, metadata={"help": "bvh, amc: JSON file of bones by joint; default: found by their names."}
    )
    up_axis: Literal["x", "y", "z"] | None = field(
        default=None, metadata={"help": "bvh, amc: the vertical; default: found in the reference pose."}
    )
    reference_frame: int | None = field(
        default=None,
        metadata={"help": "bvh, amc: frame in which the body stands, to align with; default: the skeleton at rest."},
    )
    stride: int = field(default=1, metadata={"help": "amass, 3dpw: step between frames; 1: all frames."})
    expand: float = field(default=1.0, metadata={"help": "hmr_npz, hmr_tars, 3dpw: factor of the side of boxes."})
    max_size: int = field(default=336, metadata={"help": "hmr_npz, hmr_tars, 3dpw: maximum size of crops in pixels."})
    seed: int = field(
        default=0, metadata={"help": "Seed of the order of files (amass, hmr_tars, 3dpw) or rows (hmr_npz)."}
    )
    skip_damaged: bool = field(
        default=False, metadata={"help": "hmr_npz, hmr_tars: whether to log and skip unusable rows."}
    )
    limit: int | None = field(default=None, metadata={"help": "Maximum number of records; default: all."})


def open_amass(arguments: ImportArguments) -> Iterable[Record]:
    """The poses of a folder, or a mix of sub-datasets by weights.

    Raises:
        ValueError: weights without `limit` or with `subsets`, or an option out of range.
    """

    def importer(subsets: Sequence[str] | None) -> AmassPoses:
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
        return importer(arguments.subsets or None)
    if arguments.limit is None or arguments.subsets:
        raise ValueError(
            f"got weights with limit {arguments.limit} and subsets {arguments.subsets}; expected a limit, the number "
            "of poses to draw, and no subsets"
        )
    return WeightedMix({name: importer([name]) for name in weights}, weights, arguments.limit, arguments.seed)


def crop(arguments: ImportArguments) -> Crop:
    """The options of the crops."""
    return Crop(expand=arguments.expand, max_size=arguments.max_size)


def clip_choice(arguments: ImportArguments) -> ClipChoice:
    """Which clips and frames of motion files to import."""
    return ClipChoice(arguments.clips, arguments.skip_clips, arguments.min_change, arguments.frames_per_second)


OPEN: dict[str, Callable[[ImportArguments], Iterable[Record]]] = {
    "amass": open_amass,
    "posescript": lambda a: PoseScriptPoses(a.root, a.amass, a.split, a.captions),
    "posefix": lambda a: PoseFixPairs(a.root, a.amass, a.split, a.texts, pose_table=a.pose_table),
    "hmr_npz": lambda a: HmrImages(a.annotations, a.root, a.dataset, crop(a), a.seed, a.skip_damaged),
    "hmr_tars": lambda a: HmrTarImages(a.root, a.pickles_may_run_code, a.dataset, crop(a), a.seed, a.skip_damaged),
    "motion": lambda a: MotionArchives(a.root, a.clips, a.skip_clips, a.min_change),
    "bvh": lambda a: BvhPoses(a.root, clip_choice(a), a.bone_map, a.up_axis, a.reference_frame),
    "amc": lambda a: AmcPoses(a.root, clip_choice(a), a.bone_map, a.up_axis, a.reference_frame),
    "deepmimic": lambda a: DeepMimicPoses(a.root, clip_choice(a)),
    "3dpw": lambda a: ThreeDPWImages(a.root, a.pickles_may_run_code, a.split, a.stride, crop(a), a.seed),
}


def open_source(arguments: ImportArguments) -> Iterable[Record]:
    """The importer of a source.

    Raises:
        ValueError: an unknown source, or an invalid option.
    """
    if arguments.source not in OPEN:
        raise ValueError(f"unknown source {arguments.source!r}; expected one of {', '.join(OPEN)}")
    return OPEN[arguments.source](arguments)


def save_records(
    records: Iterable[Record], output: Path, made_from: dict[str, Any], part: int = RECORDS_PER_PART
) -> None:
    """Writes records in parts, each atomically; resumes after existing parts.

    Args:
        records: the records, the same in the same order at every call.
        output: the folder.
        made_from: options of the import; a folder with other options is refused.
        part: number of records per part.

    Raises:
        ValueError: the folder holds something else, or there are no records.
    """
    state = check_state(output, made_from | {"records_per_part": part})
    if state["records"] is not None:
        return
    done = len(part_folders(output))
    stream = iter(tqdm(records, desc="records", total=len(records) if isinstance(records, Sized) else None))
    count = sum(1 for _ in islice(stream, done * part))
    while rows := list(islice(stream, part)):
        write_part(rows, output / f"part-{done:05d}")
        done, count = done + 1, count + len(rows)
    if not count:
        raise ValueError("got a source without records; expected at least one")
    write_json(output / STATE_FILE, state | {"records": count})


def check_state(output: Path, made_from: dict[str, Any]) -> dict[str, Any]:
    """The state of an import's folder, created where the folder is new.

    Args:
        output: the folder.
        made_from: options of the import, JSON values by name.

    Raises:
        ValueError: the folder holds an import with other options, or something else.
    """
    path = output / STATE_FILE
    made_from = json.loads(json.dumps(made_from))
    if path.is_file():
        state = read_state(path)
        if state["made_from"] != made_from:
            raise ValueError(
                f"{output} was made from {state['made_from']}; expected {made_from}, or give another folder"
            )
        return state
    if output.exists() and any(output.iterdir()):
        raise ValueError(f"{output} holds other files; expected an empty folder")
    state = {"made_from": made_from, "records": None}
    write_json(path, state)
    return state


def part_folders(folder: Path) -> list[Path]:
    """The finished parts of an import, in order."""
    return sorted(path for path in folder.glob("part-*") if path.suffix != PARTIAL)


def write_part(records: list[Record], path: Path) -> None:
    """Writes one part and its checksums atomically.

    Args:
        records: records of one kind.
        path: folder of the part.
    """
    features = COLUMNS[type(records[0])]
    with atomic_path(path) as partial:
        Dataset.from_list([asdict(record) for record in records], features=features).save_to_disk(partial)
        write_json(partial / DIGESTS_FILE, {file.name: file_digest(file) for file in sorted(partial.iterdir())})


def read_part(path: Path) -> Dataset:
    """The rows of one part; one by an earlier version has no checksums.

    Raises:
        ValueError: a file is damaged or missing; the message names it.
    """
    digests = read_json(path / DIGESTS_FILE) if (path / DIGESTS_FILE).exists() else {}
    for name, expected in digests.items():
        got = file_digest(path / name) if (path / name).is_file() else None
        if got != expected:
            raise ValueError(
                f"{path / name} is damaged: its SHA-256 is {got}, expected {expected}; import the dataset again"
            )
    try:
        return load_from_disk(path)
    except (ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error}; import the dataset again") from error


def read_state(path: Path) -> dict[str, Any]:
    """The options of an import and the number of its records.

    Raises:
        ValueError: the file is damaged.
    """
    state = read_json(path)
    if not isinstance(state, dict) or not isinstance(state.get("made_from"), dict) or "records" not in state:
        raise ValueError(f"{path} is damaged: expected made_from and records; import the dataset again")
    return state


class SavedRecords(Sequence[Record]):
    """The records of a folder by `import_data`, loaded on demand.

    Args:
        folder: the `output` of the import.

    Raises:
        ValueError: there is no import, it is not finished, a file of it is damaged, or another version wrote it.
    """

    def __init__(self, folder: Path | str) -> None:
        folder = Path(folder)
        path = folder / STATE_FILE
        if not path.is_file():
            raise ValueError(
                f"{folder} holds no records: there is no {path}; write it with unipose.training.datasets.import_data"
            )
        expected = read_state(path)["records"]
        if expected is None:
            raise ValueError(f"the import into {folder} was interrupted; run the same command again")
        self.rows = concatenate_datasets([read_part(part) for part in part_folders(folder)])
        if len(self.rows) != expected:
            raise ValueError(f"{folder} holds {len(self.rows)} records, {path} says {expected}; import it again")
        columns = set(self.rows.column_names)
        kinds = [kind for kind, features in COLUMNS.items() if set(features) == columns]
        if not kinds:
            known = " or ".join(", ".join(sorted(features)) for features in COLUMNS.values())
            raise ValueError(
                f"the records in {folder} have the columns {', '.join(sorted(columns))}; expected {known}. Another "
                "version wrote them: import the dataset again"
            )
        self.kind = kinds[0]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        return self._record(self.rows[index])

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, self.rows)

    def poses(self) -> Rotvecs:
        """(n, 22, 3): all poses of the records; both of a pair."""
        columns = [self.rows.data.column(name) for name in POSE_COLUMNS if name in self.rows.column_names]
        # Without a Python object for every number this is twenty times faster.
        numbers = [chunk.flatten().flatten().to_numpy() for column in columns for chunk in column.chunks]
        return np.concatenate(numbers).reshape(-1, NUM_JOINTS, 3).astype(np.float32)

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
