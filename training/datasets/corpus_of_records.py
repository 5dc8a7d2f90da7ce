"""Builds a corpus from your own datasets, each imported with `import_data` before.

    python -m unipose.training.datasets.corpus_of_records --config training/recipes/paper/corpus_of_records.yaml

The kind of a record decides its tasks: poses with captions give rows of pose-to-text and text-to-pose, pairs of
pose-diff and pose-edit, images of image-to-pose and, with captions, of image-to-text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import datasets
from trl import TrlParser

from unipose.tasks_unipose import TASKS
from unipose.training.datasets.import_data import SavedRecords
from unipose.training.datasets.record_writer import write_records
from unipose.training.datasets.rows import Record


@dataclass
class RecordsArguments:
    """The records of each split, and the tasks of the rows."""

    train: list[str] = field(metadata={"help": "Folders by import_data, of the training split."})
    output: str = field(metadata={"help": "Folder of the corpus."})
    validation: list[str] = field(default_factory=list, metadata={"help": "Folders of the validation split."})
    test: list[str] = field(default_factory=list, metadata={"help": "Folders of the test split."})
    tasks: list[str] = field(default_factory=lambda: list(TASKS), metadata={"help": "Tasks of the rows."})
    shard_size: int = field(default=1000, metadata={"help": "Maximum number of rows of a shard."})
    seed: int = field(default=1, metadata={"help": "Seed of the choice of templates."})


def open_records(folders: Sequence[str]) -> chain[Record]:
    """The records of all folders, in order."""
    return chain.from_iterable(SavedRecords(folder) for folder in folders)


def main() -> None:
    (arguments,) = TrlParser((RecordsArguments,)).parse_args_and_config()
    datasets.disable_progress_bars()
    folders = {"train": arguments.train, "validation": arguments.validation, "test": arguments.test}
    splits = {split: open_records(paths) for split, paths in folders.items() if paths}
    summary = write_records(arguments.output, splits, arguments.tasks, arguments.seed, arguments.shard_size)
    for split, tasks in summary["rows"].items():
        print(f"{split}: " + ", ".join(f"{number} {task}" for task, number in tasks.items()))


if __name__ == "__main__":
    main()
