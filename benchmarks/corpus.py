"""Rows a second of each task's corpus, texts, pictures and Parquet included.

    python benchmarks/corpus.py --repeats 3

One process makes a shard of each task; then two make several, from the moment on when both are at work.
"""

import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import datasets
from measure import parse, print_machine, print_table

from unipose.tasks_unipose import TASKS
from unipose.training.datasets.build_corpus import Recipe, build_shard, build_shards
from unipose.training.evaluation.timing import medians


ROWS, SHARDS = 200, 6
NOTHING = Recipe(0, 0, 0, 0, 0, 0, 0, shard_size=ROWS)


def of_task(task: str, shards: int) -> Recipe:
    return replace(NOTHING, **{task.replace("-", "_"): shards * ROWS})


def two_workers(task: str) -> float:
    """Rows a second after the second finished shard."""
    recipe = of_task(task, SHARDS)
    with tempfile.TemporaryDirectory() as folder:
        finished = [time.perf_counter() for _ in build_shards(Path(folder), recipe, recipe.shards(), 2)]
    return (SHARDS - 2) * ROWS / (finished[-1] - finished[1])


def main() -> None:
    arguments = parse(__doc__, repeats=3)
    datasets.disable_progress_bars()
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        recipes = {task: of_task(task, 1) for task in TASKS}
        calls = {
            task: partial(build_shard, Path(folder), recipe, recipe.shards()[0]) for task, recipe in recipes.items()
        }
        seconds = medians(calls, arguments.repeats)
    rows = [[task, f"{ROWS / seconds[task]:.0f}", f"{two_workers(task):.0f}"] for task in TASKS]
    header = ["task", f"one process, rows/s (median of {arguments.repeats})", "two processes, rows/s (one run)"]
    print_table(header, rows)


if __name__ == "__main__":
    main()
