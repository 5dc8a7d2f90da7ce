"""Builds a corpus: poses, pairs, captions, differences, pictures and instructions as rows of the seven tasks.

    python -m unipose.training.datasets.build_corpus --config training/recipes/tiny/corpus.yaml

Shards are made side by side by `--workers` processes, each from its own seed, so that any number of workers makes the
same files. Finished shards are kept: the same command goes on where it was interrupted. `--push_to_hub owner/name`
uploads the complete corpus with its card.
"""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from tqdm.auto import tqdm
from trl import TrlParser

from unipose.processing.body_model import BodyModel
from unipose.tasks_unipose import TASKS
from unipose.training.datasets.corpus_card import push_corpus
from unipose.training.datasets.generation import RecordGenerator
from unipose.training.datasets.instructions import load_instructions
from unipose.training.datasets.rows import rows_from_records
from unipose.training.datasets.shards import Shard, close_corpus, missing_shards, open_corpus, plan_shards, write_shard


@dataclass(frozen=True)
class Recipe:
    """What a corpus is made of: rows of each task in training, and of every task in the other splits."""

    pose_to_text: int = 15000
    pose_diff: int = 15000
    image_to_text: int = 15000
    image_diff: int = 15000
    text_to_pose: int = 15000
    image_to_pose: int = 15000
    pose_edit: int = 15000
    validation: int = field(default=0, metadata={"help": "Rows of each task from the validation clips."})
    test: int = field(default=0, metadata={"help": "Rows of each task from the held-out clips."})
    picture_size: int = field(default=96, metadata={"help": "Pixels of the square pictures."})
    variety: float = field(default=1.0, metadata={"help": "1: captions in all wordings; 0: in the first of each."})
    answer_variety: float = field(default=1.0, metadata={"help": "The same, of captions that are asked for."})
    templates: int = field(default=200, metadata={"help": "How many ways to ask for each task are used."})
    shard_size: int = field(default=1000, metadata={"help": "Rows of a shard."})
    seed: int = 1

    def shards(self) -> list[Shard]:
        """Every task that has rows in training has them in the other splits."""
        train = {task: getattr(self, task.replace("-", "_")) for task in TASKS}
        rows = {"train": {task: number for task, number in train.items() if number}}
        for split in ("validation", "test"):
            rows[split] = dict.fromkeys(rows["train"], getattr(self, split)) if getattr(self, split) else {}
        return plan_shards(rows, self.shard_size)


@dataclass
class BuildArguments:
    """Where a corpus goes, and who makes it."""

    output: str = field(default="runs/corpus", metadata={"help": "Folder of the corpus."})
    workers: int = field(default=os.cpu_count() or 1, metadata={"help": "Processes that make shards."})
    push_to_hub: str | None = field(default=None, metadata={"help": "Dataset on the Hub: owner/name."})
    private: bool = field(default=False, metadata={"help": "Whether a new dataset on the Hub is private."})


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in torch depend on how many threads share them: a shard is the same on every machine size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def build_shard(folder: Path, recipe: Recipe, shard: Shard) -> Shard:
    """Makes the rows of one shard and writes them."""
    rng = np.random.default_rng(shard.seed(recipe.seed))
    with one_thread(), torch.no_grad():
        generator = RecordGenerator(
            BodyModel.builtin(), shard.split, recipe.picture_size, recipe.variety, recipe.answer_variety
        )
        records = generator.records(shard.task, shard.rows, rng, shard.name.removesuffix(".parquet"))
        templates = {shard.task: load_instructions(shard.task)[: recipe.templates]}
        write_shard(folder, shard, rows_from_records(records, [shard.task], rng, templates))
    return shard


def _start_worker() -> None:
    datasets.disable_progress_bars()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def build_shards(folder: Path, recipe: Recipe, shards: list[Shard], workers: int) -> Iterator[Shard]:
    """Makes shards, and gives each when it is finished.

    Raises:
        RuntimeError: a worker process ended without a word, as one that is killed for its memory does.
    """
    if workers <= 1 or len(shards) <= 1:
        for shard in shards:
            yield build_shard(folder, recipe, shard)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(shards)), context, initializer=_start_worker)
    try:
        jobs = [pool.submit(build_shard, folder, recipe, shard) for shard in shards]
        for job in as_completed(jobs):
            yield job.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a worker process was killed (out of memory?); finished shards are kept, and the same command goes on"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def build_corpus(recipe: Recipe, folder: str | Path, workers: int = 1) -> dict[str, Any]:
    """Builds a corpus, or the rest of one that was interrupted.

    Args:
        recipe: what it is made of.
        folder: where it goes.
        workers: processes that make shards; they do not change what is made.

    Returns:
        {"rows": {split: {task: number}}, "shards": ...}.

    Raises:
        ValueError: a recipe that asks for nothing or for less, or another recipe than that of the folder.
        RuntimeError: a worker was killed.
    """
    folder, shards = Path(folder), recipe.shards()
    open_corpus(folder, {"maker": "build_corpus"} | asdict(recipe))
    missing = missing_shards(folder, shards)
    total = sum(shard.rows for shard in shards)
    kept = total - sum(shard.rows for shard in missing)
    with tqdm(total=total, initial=kept, desc="corpus", unit=" rows") as progress:
        for shard in build_shards(folder, recipe, missing, workers):
            progress.update(shard.rows)
    return close_corpus(folder, shards)


def main() -> None:
    recipe, arguments = TrlParser((Recipe, BuildArguments)).parse_args_and_config()
    datasets.disable_progress_bars()
    summary = build_corpus(recipe, arguments.output, arguments.workers)
    for split, tasks in summary["rows"].items():
        print(f"{split}: " + ", ".join(f"{number} {task}" for task, number in tasks.items()))
    if arguments.push_to_hub:
        print(push_corpus(Path(arguments.output), arguments.push_to_hub, arguments.private))


if __name__ == "__main__":
    main()
