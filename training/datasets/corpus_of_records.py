"""Makes a corpus of datasets that you brought, each read by `import_data` before.

    python -m unipose.training.datasets.corpus_of_records --config training/recipes/paper/corpus_of_records.yaml

Each record serves the tasks of its sort: poses with captions pose-to-text and text-to-pose, pairs pose-diff and
pose-edit, pictures image-to-pose and, where they have captions, image-to-text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import datasets
from trl import TrlParser

from unipose.tasks_unipose import TASKS
from unipose.training.datasets.import_data import SavedRecords
from unipose.training.datasets.rows import Record
from unipose.training.datasets.shards import write_records


@dataclass
class RecordsArguments:
    """Whose records go into which split, and for which tasks."""

    train: list[str] = field(metadata={"help": "Folders that import_data has written."})
    output: str = field(metadata={"help": "Folder of the corpus."})
    validation: list[str] = field(default_factory=list, metadata={"help": "The same, for evaluation in training."})
    test: list[str] = field(default_factory=list, metadata={"help": "The same, held out."})
    tasks: list[str] = field(default_factory=lambda: list(TASKS), metadata={"help": "What to make of the records."})
    shard_size: int = field(default=1000, metadata={"help": "The most rows of a shard."})
    seed: int = 1


def open_records(folders: Sequence[str]) -> chain[Record]:
    """The records of all folders, one folder after the other."""
    return chain.from_iterable(SavedRecords(folder) for folder in folders)


def main() -> None:
    (arguments,) = TrlParser((RecordsArguments,)).parse_args_and_config()
    datasets.disable_progress_bars()
    folders = {"train": arguments.train, "validation": arguments.validation, "test": arguments.test}
    splits = {split: open_records(own) for split, own in folders.items() if own}
    summary = write_records(arguments.output, splits, arguments.tasks, arguments.seed, arguments.shard_size)
    for split, tasks in summary["rows"].items():
        print(f"{split}: " + ", ".join(f"{number} {task}" for task, number in tasks.items()))


if __name__ == "__main__":
    main()
