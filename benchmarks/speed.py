"""Speed of all tasks beside the machine's limit: the same matrix products alone, measured in the same run.

    python benchmarks/speed.py [--sizes embedded 84m] [--tasks text-to-pose] [--batches 1 16] [--repeats 5] [--record]

Prints a table and what changed since the last run of benchmarks/history.jsonl; --record adds this run to it.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from history import HISTORY, TOLERANCE, add_run, current_commit, describe_changes, last_run, read_runs
from measure import machine, print_table
from model_sizes import SIZES, load_size
from speed_cases import TaskMeasured, choose_cases, measure_task

from unipose.tasks_unipose import TASKS
from unipose.training.io import write_text


TASK_HEADER = (
    "size",
    "task",
    "batch",
    "generate, ms",
    "limit, ms",
    "ratio",
    "per second",
    "pipeline, ms",
    "ratio",
    "pipeline adds, ms",
    "of that products, ms",
    "10^9 operations",
)


def task_row(measured: TaskMeasured) -> list[str]:
    """A row of the table of tasks."""
    own, whole = measured.generate, measured.pipeline
    size, task, batch, _ = own.name.split("/")
    figures = [own.seconds, own.limit or 0.0]
    return [
        size,
        task,
        batch,
        *(f"{1000 * seconds:.1f}" for seconds in figures),
        f"{own.ratio:.2f}",
        f"{own.per_second:.1f} {own.unit}",
        f"{1000 * whole.seconds:.1f}",
        f"{whole.ratio:.2f}",
        f"{1000 * measured.added:.1f}",
        f"{1000 * measured.added_products:.1f}",
        f"{own.operations:.2f}",
    ]


def ratios_of(results: Sequence[TaskMeasured]) -> dict[str, float]:
    """The ratios that go into the history, by name."""
    ratios = {}
    for result in results:
        for one in (result.generate, result.pipeline):
            ratios[one.name] = one.ratio or 0.0
    return ratios


def parse_arguments() -> argparse.Namespace:
    """The command line of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES, help="default: both")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=[], help="default: all")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16, 64], help="default: 1 4 16 64")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls; default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all figures are written as JSON")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="of the comparison; default: %(default)s")
    parser.add_argument("--record", action="store_true", help="add the ratios to benchmarks/history.jsonl")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    results: list[TaskMeasured] = []
    for size in arguments.sizes:
        pipe = load_size(size)
        for task, batch in choose_cases(arguments.tasks, arguments.batches):
            results.append(measure_task(size, pipe, task, batch, arguments.repeats))
    print(machine() + "\n")
    print_table(TASK_HEADER, [task_row(result) for result in results])
    ratios = ratios_of(results)
    print("\n" + describe_changes(last_run(read_runs(HISTORY), machine()), ratios, arguments.tolerance))
    if arguments.json:
        figures: dict[str, Any] = {
            "machine": machine(),
            "threads": torch.get_num_threads(),
            "commit": current_commit(),
            "measured": [one.as_dict() for result in results for one in (result.generate, result.pipeline)],
        }
        write_text(arguments.json, json.dumps(figures, indent=1) + "\n")
    if arguments.record:
        add_run(HISTORY, machine(), ratios)


if __name__ == "__main__":
    main()
