"""Throughput of building a corpus in rows per second by task, including texts, images and Parquet files.

    python benchmarks/corpus.py --repeats 3

One process builds one shard per task; two processes build several, timed once both are running.
"""

import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import datasets
from measure import parse_arguments, print_machine, print_table

from unipose.tasks_unipose import TASKS
from unipose.training.datasets.build_corpus import Recipe, build_shard, build_shards
from unipose.training.evaluation.timing import medians


ROWS, SHARDS = 200, 6
EMPTY = Recipe(0, 0, 0, 0, 0, 0, 0, shard_size=ROWS)


def single_task_recipe(task: str, shards: int) -> Recipe:
    """A recipe of one task's rows.

    Args:
        task: name of the task.
        shards: number of shards, each of `ROWS` rows.
    """
    return replace(EMPTY, **{task.replace("-", "_"): shards * ROWS})


def two_process_throughput(task: str) -> float:
    """Rows per second, from the second finished shard on."""
    recipe = single_task_recipe(task, SHARDS)
    with tempfile.TemporaryDirectory() as folder:
        finished = [time.perf_counter() for _ in build_shards(Path(folder), recipe, recipe.shards(), 2)]
    return (SHARDS - 2) * ROWS / (finished[-1] - finished[1])


def main() -> None:
    arguments = parse_arguments(__doc__, repeats=3)
    datasets.disable_progress_bars()
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        recipes = {task: single_task_recipe(task, 1) for task in TASKS}
        calls = {
            task: partial(build_shard, Path(folder), recipe, recipe.shards()[0]) for task, recipe in recipes.items()
        }
        seconds = medians(calls, arguments.repeats)
    rows = [[task, f"{ROWS / seconds[task]:.0f}", f"{two_process_throughput(task):.0f}"] for task in TASKS]
    header = ["task", f"one process (rows/s, median of {arguments.repeats})", "two processes (rows/s, one run)"]
    print_table(header, rows)


if __name__ == "__main__":
    main()
