"""The statistics of an evaluation on disk, and paired tests between two evaluations of the same rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unipose.training.evaluation.report import METRICS, format_value, in_printed_unit
from unipose.training.evaluation.text_metrics import BleuCounts
from unipose.training.evaluation.uncertainty import (
    Bleu,
    Difference,
    Diversity,
    Frechet,
    Mean,
    Statistic,
    paired_difference,
    resample_counts,
)
from unipose.training.io import atomic_path, markdown_table


STATISTICS_FILE = "statistics.npz"
# No task or metric has it in its name.
SEPARATOR = "\t"
KEYS = "keys"

# {task: {metric: difference}}
Comparison = dict[str, dict[str, Difference]]


@dataclass(frozen=True)
class StoredTask:
    """The model's statistics on the rows of a task.

    Args:
        keys: a digest of each row.
        statistics: {metric: statistic of these rows}.
    """

    keys: Sequence[str]
    statistics: Mapping[str, Statistic]


def save_statistics(folder: Path, tasks: Mapping[str, StoredTask]) -> None:
    """Writes `statistics.npz`, which `compare_evaluations` reads.

    Args:
        folder: folder of the evaluation.
        tasks: of each task.
    """
    arrays: dict[str, npt.NDArray] = {}
    for task, stored in tasks.items():
        arrays[SEPARATOR.join((task, KEYS))] = np.array(stored.keys, dtype=np.str_)
        for metric, statistic in stored.statistics.items():
            kind = type(statistic).__name__
            parts = statistic.counts if isinstance(statistic, Bleu) else statistic
            for field in fields(parts):
                name = SEPARATOR.join((task, metric, kind, field.name))
                arrays[name] = np.asarray(getattr(parts, field.name))
    with atomic_path(folder / STATISTICS_FILE) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_statistics(folder: Path) -> dict[str, StoredTask]:
    """Reads `statistics.npz`.

    Raises:
        FileNotFoundError: the folder holds no finished evaluation.
    """
    path = folder / STATISTICS_FILE
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no finished evaluation: there is no {STATISTICS_FILE}")
    keys: dict[str, list[str]] = {}
    found: dict[str, dict[tuple[str, str], dict[str, npt.NDArray]]] = {}
    with np.load(path) as file:
        for name in file.files:
            task, *rest = name.split(SEPARATOR)
            if rest == [KEYS]:
                keys[task] = file[name].tolist()
            else:
                metric, kind, field = rest
                found.setdefault(task, {}).setdefault((metric, kind), {})[field] = file[name]
    return {
        task: StoredTask(keys[task], {metric: _statistic(kind, arrays) for (metric, kind), arrays in metrics.items()})
        for task, metrics in found.items()
    }


def _statistic(kind: str, arrays: dict[str, npt.NDArray]) -> Statistic:
    if kind == "Mean":
        return Mean(**arrays)
    if kind == "Bleu":
        definition = str(arrays.pop("definition"))
        return Bleu(BleuCounts(**arrays, definition=definition))
    return Frechet(**arrays) if kind == "Frechet" else Diversity(**arrays)


def compare_evaluations(first: Path, second: Path, seed: int = 0) -> Comparison:
    """Paired differences of all metrics that two evaluations have in common, on their common rows.

    Args:
        first: folder of an evaluation.
        second: folder of another.
        seed: seed of the bootstrap.

    Raises:
        FileNotFoundError: a folder holds no finished evaluation.
        ValueError: the evaluations have no row of a task in common.
    """
    one, other = load_statistics(first), load_statistics(second)
    comparison: Comparison = {}
    for task in (task for task in one if task in other):
        places = {key: row for row, key in enumerate(other[task].keys)}
        pairs = [(row, places[key]) for row, key in enumerate(one[task].keys) if key in places]
        if not pairs:
            continue
        rows, other_rows = (list(column) for column in zip(*pairs))
        counts = resample_counts(len(rows), seed)
        comparison[task] = {
            metric: paired_difference(
                statistic.select(rows), other[task].statistics[metric].select(other_rows), counts
            )
            for metric, statistic in one[task].statistics.items()
            if metric in other[task].statistics
        }
    if not comparison:
        raise ValueError(f"{first} and {second} have no rows of a task in common")
    return comparison


def comparison_markdown(comparison: Comparison, first: str, second: str) -> str:
    """A comparison as a Markdown page.

    Args:
        comparison: of `compare_evaluations`.
        first: name of the first evaluation.
        second: name of the second.
    """
    rows = []
    for task, metrics in comparison.items():
        for metric, found in metrics.items():
            low, high = (_signed(metric, end) for end in (found.low, found.high))
            values = [format_value(metric, value) for value in (found.first, found.second)]
            change = f"{_signed(metric, found.difference)} [{low}, {high}]"
            rows.append((task, METRICS[metric].name, found.rows, *values, change, f"{found.p_value:.3f}"))
    header = ("task", "metric", "rows", "A", "B", "B - A [95 % interval]", "p")
    return "\n".join(
        [
            f"A: {first}, B: {second}. Paired bootstrap over common rows; p is two-sided and not corrected for the "
            "number of metrics.",
            "",
            markdown_table(header, rows),
            "",
        ]
    )


def _signed(metric: str, value: float) -> str:
    return f"{in_printed_unit(metric, value):+.{METRICS[metric].decimals}f}"
