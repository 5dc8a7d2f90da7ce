"""Writes records of any source as a corpus."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from tqdm.auto import tqdm

from unipose.tasks_unipose import TASKS
from unipose.training.datasets.instructions import check_tasks
from unipose.training.datasets.rows import Record, Row, rows_from_records
from unipose.training.datasets.shards import Shard, create_corpus, finish_corpus, write_shard


def write_records(
    folder: str | Path,
    records: Mapping[str, Iterable[Record]],
    tasks: Sequence[str],
    seed: int,
    shard_size: int = 1000,
    templates: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Writes a corpus of records, with at most one shard of each task in memory.

    Args:
        folder: folder of the corpus.
        records: records of each split, read one by one.
        tasks: tasks of the rows (see `rows_from_records`).
        seed: seed of the choice of templates.
        shard_size: maximum number of rows of a shard.
        templates: prompts of each task; default: the packaged ones.

    Returns:
        {"rows": {split: {task: number}}, "shards": ...}.

    Raises:
        ValueError: an unknown task, an invalid record, a split without rows, or a folder with another recipe.
    """
    folder = Path(folder)
    check_tasks(tasks)
    recipe = {"maker": "write_records", "tasks": list(tasks), "seed": seed, "shard_size": shard_size}
    create_corpus(folder, recipe)
    written: list[Shard] = []
    for split, split_records in records.items():
        rng = np.random.default_rng((seed, crc32(split.encode())))
        rows = rows_from_records(split_records, tasks, rng, templates)
        shards = list(_write_split(folder, split, rows, shard_size))
        if not shards:
            raise ValueError(
                f"got no {split} record with rows of {', '.join(tasks)}; expected at least one, with texts where the "
                "task needs them"
            )
        written += shards
    return finish_corpus(folder, written)


def _write_split(folder: Path, split: str, rows: Iterable[Row], shard_size: int) -> Iterator[Shard]:
    buffers: dict[str, list[Row]] = {task: [] for task in TASKS}
    counts = dict.fromkeys(TASKS, 0)

    def flush(task: str) -> Shard:
        shard = Shard(split, task, counts[task], 0, len(buffers[task]))
        write_shard(folder, shard, buffers[task])
        buffers[task], counts[task] = [], counts[task] + 1
        return shard

    for row in tqdm(rows, desc=split, unit=" rows"):
        buffers[row["task"]].append(row)
        if len(buffers[row["task"]]) == shard_size:
            yield flush(row["task"])
    for task in TASKS:
        if buffers[task]:
            yield flush(task)
