"""The folder of a corpus: Parquet shards by split and task, its recipe, and `corpus.json` once it is complete.

    corpus/
      recipe.json                                  the options it is built from
      train/pose-to-text-00000-of-00012.parquet    ... a finished shard
      corpus.json                                  rows and shards of each split, and the checksum of each shard

The Hub shows and `datasets` streams this layout, so the folder is uploaded unchanged.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from datasets import Dataset, IterableDataset, load_dataset
from pyarrow import ArrowException
from pyarrow.parquet import ParquetFile

from unipose.tasks_unipose import TASKS
from unipose.training.datasets.instructions import check_tasks
from unipose.training.datasets.rows import FEATURES, Row, to_dataset
from unipose.training.io import PARTIAL, atomic_path, file_digest, read_json, write_json


RECIPE_FILE, CORPUS_FILE = "recipe.json", "corpus.json"


@dataclass(frozen=True)
class Shard:
    """One file of a corpus.

    Args:
        split: "train", "validation" or "test".
        task: a key of `TASKS`.
        index: index among the shards of the same split and task.
        count: number of these shards; 0 if it is not known yet.
        rows: number of rows.
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
        """The shard's own seed, derived from that of the corpus: shards can be built in any order."""
        return np.random.SeedSequence((seed, crc32(f"{self.split}/{self.task}".encode()), self.index))


def plan_shards(rows: dict[str, dict[str, int]], shard_size: int) -> list[Shard]:
    """The shards of a corpus, with the shards of all tasks evenly interleaved.

    Args:
        rows: {split: {task: number of rows}}.
        shard_size: maximum number of rows of a shard.

    Raises:
        ValueError: an unknown task, a negative number of rows, a shard size below 1, or no rows at all.
    """
    if shard_size < 1:
        raise ValueError(f"shard_size is {shard_size}; expected at least 1")
    planned: list[Shard] = []
    for split, tasks in rows.items():
        check_tasks(tasks)
        shards: list[Shard] = []
        for task, number in tasks.items():
            if number < 0:
                raise ValueError(f"{split}: got {number} rows of {task}; expected at least 0")
            count = -(-number // shard_size)
            shards += [
                Shard(split, task, index, count, min(shard_size, number - index * shard_size))
                for index in range(count)
            ]
        planned += sorted(shards, key=lambda shard: ((shard.index + 0.5) / shard.count, list(TASKS).index(shard.task)))
    if not planned:
        raise ValueError("got a corpus of no rows; expected at least one row of a task")
    return planned


def create_corpus(folder: Path, recipe: dict[str, Any]) -> None:
    """Creates the folder of a corpus with its recipe, or checks that of an existing one; removes unfinished shards.

    Args:
        folder: folder of the corpus.
        recipe: the options it is built from.

    Raises:
        ValueError: the folder holds a corpus with another recipe; the message names the differences.
    """
    check_recipe(folder, recipe, "a corpus")
    for partial in folder.glob(f"*/*{PARTIAL}"):
        partial.unlink()


def check_recipe(folder: Path, recipe: dict[str, Any], content: str) -> None:
    """Writes the recipe into a new folder, or compares it with the one that an existing folder holds.

    Args:
        folder: created where it does not exist.
        recipe: JSON values by name.
        content: the folder's content, for the error message.

    Raises:
        ValueError: the folder holds another recipe; the message names the differences.
    """
    file = folder / RECIPE_FILE
    if not file.exists():
        write_json(file, recipe)
        return
    known = read_json(file)
    changes = [
        f"{name} was {known.get(name)} and is {recipe.get(name)}"
        for name in sorted({*known, *recipe})
        if known.get(name) != recipe.get(name)
    ]
    if changes:
        raise ValueError(
            f"{folder} holds {content} of another recipe ({'; '.join(changes)}); expected the same recipe, another "
            "output folder, or that you remove this one"
        )


def write_shard(folder: Path, shard: Shard, rows: Iterable[Row]) -> None:
    """Writes a shard atomically.

    Args:
        folder: folder of the corpus.
        shard: name and place of the shard.
        rows: its rows.
    """
    with atomic_path(folder / shard.name) as partial:
        to_dataset(rows).to_parquet(partial)


def finish_corpus(folder: Path, shards: Sequence[Shard]) -> dict[str, Any]:
    """Writes `corpus.json`, which marks the corpus as complete.

    Args:
        folder: folder of the corpus.
        shards: all of its shards.

    Returns:
        {"rows": {split: {task: number}}, "shards": {split: [...]}, "sha256": {name of a shard: digest}}.
    """
    summary: dict[str, Any] = {"rows": {}, "shards": {}, "sha256": {}}
    for shard in sorted(shards, key=lambda shard: list(TASKS).index(shard.task)):
        counts = summary["rows"].setdefault(shard.split, {})
        counts[shard.task] = counts.get(shard.task, 0) + shard.rows
    for shard in shards:
        summary["shards"].setdefault(shard.split, []).append(asdict(shard))
        summary["sha256"][shard.name] = file_digest(folder / shard.name)
    write_json(folder / CORPUS_FILE, summary)
    return summary


def read_summary(folder: str | Path) -> dict[str, Any]:
    """{"rows": {split: {task: number}}, "shards": {split: [...]}} of a complete corpus.

    Raises:
        FileNotFoundError: there is none, or it is not complete.
    """
    file = Path(folder) / CORPUS_FILE
    if not file.exists():
        started = (Path(folder) / RECIPE_FILE).exists()
        reason = "holds a corpus that is not complete: resume it" if started else "holds no corpus: build one"
        raise FileNotFoundError(f"{folder} {reason} with python -m unipose.training.datasets.build_corpus")
    return read_json(file)


def load_corpus(
    folder: str | Path,
    split: str = "train",
    *,
    tasks: Sequence[str] | None = None,
    streaming: bool = False,
    cache_dir: str | Path | None = None,
) -> Dataset | IterableDataset:
    """Opens the rows of a corpus, in the order of its shards, streamed or not.

    Shards of all tasks are interleaved: `.shuffle(seed, buffer_size)` with a buffer of a few shards mixes a stream.

    Args:
        folder: folder of a complete corpus.
        split: "train", "validation" or "test".
        tasks: only rows of these; default: all.
        streaming: reads shards on demand, for corpora larger than the disk cache.
        cache_dir: where `datasets` keeps the memory-mapped copy of a corpus that is not streamed.

    Raises:
        FileNotFoundError: the corpus does not exist or is not complete, or one of its shards is missing.
        ValueError: an unknown split or task, no row of these tasks, or a damaged shard, which is named.
    """
    summary = read_summary(folder)
    shards = summary["shards"]
    if split not in shards:
        raise ValueError(f"{folder}: got split {split!r}; expected one of {', '.join(shards)}")
    check_tasks(tasks or ())
    files = [str(Path(folder) / Shard(**shard).name) for shard in shards[split] if shard["task"] in (tasks or TASKS)]
    if not files:
        raise ValueError(f"{folder} has no {split} rows of {', '.join(tasks or TASKS)}")
    missing = [file for file in files if not Path(file).exists()]
    if missing:
        raise FileNotFoundError(f"{folder}: {len(missing)} shards are missing, the first is {missing[0]}")
    check_shards(folder, files, summary.get("sha256", {}))
    return load_dataset(
        "parquet",
        data_files={split: files},
        split=split,
        streaming=streaming,
        cache_dir=None if cache_dir is None else str(cache_dir),
    )


def check_shards(folder: str | Path, files: Sequence[str], digests: dict[str, str]) -> None:
    """Checks that shards are as they were written.

    Args:
        folder: folder of the corpus.
        files: the shards.
        digests: checksums by name within the folder; a corpus of an earlier version has none, and only the structure
            of its shards is checked.

    Raises:
        ValueError: a shard is damaged; the message names it.
    """
    for file in files:
        expected = digests.get(Path(file).relative_to(folder).as_posix())
        got = None if expected is None else file_digest(Path(file))
        if got != expected:
            raise ValueError(f"{file} is damaged: its SHA-256 is {got}, expected {expected}; build or copy it again")
        try:
            names = ParquetFile(file).schema_arrow.names
        except (ArrowException, OSError) as error:
            raise ValueError(f"{file} is damaged: {error}; build or copy it again") from error
        if names != list(FEATURES):
            raise ValueError(f"{file} has the columns {', '.join(names)}; expected {', '.join(FEATURES)}")


def missing_shards(folder: Path, shards: Sequence[Shard]) -> list[Shard]:
    """The shards that are not written yet.

    Args:
        folder: folder of the corpus.
        shards: all of its shards.
    """
    return [shard for shard in shards if not (folder / shard.name).exists()]
