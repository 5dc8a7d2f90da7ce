"""A corpus on disk: Parquet shards by split and task, a recipe, and `corpus.json` once it is complete.

    corpus/
      recipe.json                                  what is built
      train/pose-to-text-00000-of-00012.parquet    ... a finished shard
      corpus.json                                  rows and shards of each split

Shards are what the Hub shows and `datasets` streams: the folder is uploaded as it is.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from datasets import Dataset, IterableDataset, load_dataset
from tqdm.auto import tqdm

from unipose.tasks_unipose import TASKS
from unipose.training.datasets.instructions import check_tasks
from unipose.training.datasets.rows import Record, Row, rows_from_records, to_dataset
from unipose.training.io import PARTIAL, atomic_path, write_json


RECIPE_FILE, CORPUS_FILE = "recipe.json", "corpus.json"


@dataclass(frozen=True)
class Shard:
    """One file of a corpus, and where it stands among those of its split and task.

    `count` is how many these are, or 0 where that is not known before the last one.
    """

    split: str
    task: str
    index: int
    count: int
    rows: int

    @property
    def name(self) -> str:
        of = f"-of-{self.count:05d}" if self.count else ""
        return f"{self.split}/{self.task}-{self.index:05d}{of}.parquet"

    def seed(self, seed: int) -> np.random.SeedSequence:
        """What a corpus' seed means for this shard; no other shard has to be made before it."""
        return np.random.SeedSequence((seed, crc32(f"{self.split}/{self.task}".encode()), self.index))


def plan_shards(rows: dict[str, dict[str, int]], shard_size: int) -> list[Shard]:
    """The shards of a corpus, those of one task spread evenly among those of the others.

    Args:
        rows: {split: {task: number of rows}}.
        shard_size: the most rows of a shard.

    Raises:
        ValueError: an unknown task, a negative number of rows, a shard size below 1, or no rows at all.
    """
    if shard_size < 1:
        raise ValueError(f"shard_size is {shard_size}; a shard holds at least 1 row")
    planned: list[Shard] = []
    for split, tasks in rows.items():
        check_tasks(tasks)
        shards: list[Shard] = []
        for task, number in tasks.items():
            if number < 0:
                raise ValueError(f"{split}: {number} rows of {task} were asked for")
            count = -(-number // shard_size)
            shards += [
                Shard(split, task, index, count, min(shard_size, number - index * shard_size))
                for index in range(count)
            ]
        planned += sorted(shards, key=lambda shard: ((shard.index + 0.5) / shard.count, list(TASKS).index(shard.task)))
    if not planned:
        raise ValueError("no rows were asked for")
    return planned


def open_corpus(folder: Path, recipe: dict[str, Any]) -> None:
    """Makes the folder of a corpus, or makes sure that what lies there is of the same recipe; removes broken shards.

    Raises:
        ValueError: the folder holds a corpus of another recipe; the message says where the two differ.
    """
    keep_recipe(folder, recipe, "a corpus")
    for partial in folder.glob(f"*/*{PARTIAL}"):
        partial.unlink()


def keep_recipe(folder: Path, recipe: dict[str, Any], made: str) -> None:
    """Makes a folder that holds its recipe, or makes sure that what lies there, `made` by name, is of the same one.

    Raises:
        ValueError: it is of another recipe; the message says where the two differ.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / RECIPE_FILE
    if file.exists():
        known = json.loads(file.read_text("utf-8"))
        changes = [
            f"{name} was {known.get(name)} and is {recipe.get(name)}"
            for name in sorted({*known, *recipe})
            if known.get(name) != recipe.get(name)
        ]
        if changes:
            raise ValueError(
                f"{folder} holds {made} of another recipe ({'; '.join(changes)}): give another output folder, or "
                "remove this one"
            )
    else:
        write_json(file, recipe)


def write_shard(folder: Path, shard: Shard, rows: Iterable[Row]) -> None:
    """Writes a shard so that it is there whole or not at all."""
    with atomic_path(folder / shard.name) as partial:
        to_dataset(rows).to_parquet(partial)


def close_corpus(folder: Path, shards: Sequence[Shard]) -> dict[str, Any]:
    """Writes `corpus.json`, which says that the corpus is complete, and returns what it holds."""
    summary: dict[str, Any] = {"rows": {}, "shards": {}}
    for shard in sorted(shards, key=lambda shard: list(TASKS).index(shard.task)):
        counts = summary["rows"].setdefault(shard.split, {})
        counts[shard.task] = counts.get(shard.task, 0) + shard.rows
    for shard in shards:
        summary["shards"].setdefault(shard.split, []).append(asdict(shard))
    write_json(folder / CORPUS_FILE, summary)
    return summary


def write_records(
    folder: str | Path,
    records: Mapping[str, Iterable[Record]],
    tasks: Sequence[str],
    seed: int,
    shard_size: int = 1000,
    templates: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Makes a corpus of records of any source, keeping at most a shard of each task in memory.

    Args:
        folder: of the corpus.
        records: those of each split, read one by one.
        tasks: what to make of each record (see `rows_from_records`).
        seed: of the templates.
        shard_size: the most rows of a shard.
        templates: ways to ask for each task; the packaged ones where left out.

    Returns:
        {"rows": {split: {task: number}}, "shards": ...}.

    Raises:
        ValueError: an unknown task, a damaged record, a split without a row, or the folder of another recipe.
    """
    folder = Path(folder)
    check_tasks(tasks)
    recipe = {"maker": "write_records", "tasks": list(tasks), "seed": seed, "shard_size": shard_size}
    open_corpus(folder, recipe)
    written: list[Shard] = []
    for split, own in records.items():
        rng = np.random.default_rng((seed, crc32(split.encode())))
        shards = list(_write_split(folder, split, rows_from_records(own, tasks, rng, templates), shard_size))
        if not shards:
            raise ValueError(f"no {split} record serves {', '.join(tasks)}: there is none, or it has no text")
        written += shards
    return close_corpus(folder, written)


def _write_split(folder: Path, split: str, rows: Iterable[Row], shard_size: int) -> Iterator[Shard]:
    waiting: dict[str, list[Row]] = {task: [] for task in TASKS}
    numbers = dict.fromkeys(TASKS, 0)

    def write(task: str) -> Shard:
        shard = Shard(split, task, numbers[task], 0, len(waiting[task]))
        write_shard(folder, shard, waiting[task])
        waiting[task], numbers[task] = [], numbers[task] + 1
        return shard

    for row in tqdm(rows, desc=split, unit=" rows"):
        waiting[row["task"]].append(row)
        if len(waiting[row["task"]]) == shard_size:
            yield write(row["task"])
    for task in TASKS:
        if waiting[task]:
            yield write(task)


def read_summary(folder: str | Path) -> dict[str, Any]:
    """{"rows": {split: {task: number}}, "shards": ...} of a complete corpus.

    Raises:
        FileNotFoundError: there is none, or it is not complete.
    """
    file = Path(folder) / CORPUS_FILE
    if not file.exists():
        begun = (Path(folder) / RECIPE_FILE).exists()
        reason = "holds a corpus that is not complete: go on" if begun else "holds no corpus: make one"
        raise FileNotFoundError(f"{folder} {reason} with python -m unipose.training.datasets.build_corpus")
    return json.loads(file.read_text("utf-8"))


def load_corpus(
    folder: str | Path,
    split: str = "train",
    *,
    tasks: Sequence[str] | None = None,
    streaming: bool = False,
    cache_dir: str | Path | None = None,
) -> Dataset | IterableDataset:
    """The rows of a corpus, shard by shard; streamed rows are the same in the same order.

    Shards of the tasks alternate: `.shuffle(seed, buffer_size)` with a buffer of a few shards mixes a stream.

    Args:
        folder: what `build_corpus` has written.
        split: "train", "validation" or "test".
        tasks: only these; all where left out.
        streaming: reads shards when rows are asked for, for corpora beyond the disk cache.
        cache_dir: where `datasets` keeps the memory-mapped copy of a corpus that is not streamed.

    Raises:
        FileNotFoundError: the corpus is not there or not complete, or one of its shards is gone.
        ValueError: an unknown split or task, or no row of these tasks.
    """
    shards = read_summary(folder)["shards"]
    if split not in shards:
        raise ValueError(f"{folder} has no split {split!r}; it has {', '.join(shards)}")
    check_tasks(tasks or ())
    files = [str(Path(folder) / Shard(**shard).name) for shard in shards[split] if shard["task"] in (tasks or TASKS)]
    if not files:
        raise ValueError(f"{folder} has no {split} rows of {', '.join(tasks or TASKS)}")
    gone = [file for file in files if not Path(file).exists()]
    if gone:
        raise FileNotFoundError(f"{folder}: {len(gone)} shards are gone, the first is {gone[0]}")
    return load_dataset(
        "parquet",
        data_files={split: files},
        split=split,
        streaming=streaming,
        cache_dir=None if cache_dir is None else str(cache_dir),
    )


def missing_shards(folder: Path, shards: Sequence[Shard]) -> list[Shard]:
    """The shards that are not finished."""
    return [shard for shard in shards if not (folder / shard.name).exists()]
