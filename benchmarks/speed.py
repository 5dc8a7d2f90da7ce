"""Speed of the tasks and of their parts beside the machine's limit, measured in turns in one run.

    python benchmarks/speed.py [--sizes embedded 84m] [--tasks text-to-pose] [--batches 1 16] [--record]

The limit of a call is its matrix products alone. Prints tables, and what changed since the last run of
benchmarks/history.jsonl; --record adds this run to it. With one thread, times are those of the processor.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import datasets
from history import HISTORY, TOLERANCE, add_run, current_commit, describe_changes, describe_run, last_run, read_runs
from measure import machine, replace_section
from model_sizes import SIZES, load_size
from speed_cases import Measured, TaskMeasured, measure_tasks
from speed_parts import (
    measure_causal,
    measure_loading,
    measure_memory,
    measure_plain_vlm,
    measure_pose_tokenizer,
    measure_processor,
    measure_training,
)

from unipose import UniPosePipeline
from unipose.tasks_unipose import TASKS
from unipose.training.io import markdown_table, write_text


TASK_HEADER = (
    "size, task, batch",
    "generate, ms",
    "limit, ms",
    "ratio",
    "per second",
    "10^9 operations",
    "pipeline, ms",
    "limit, ms",
    "ratio",
    "pipeline adds, ms",
    "of that products, ms",
)
PART_HEADER = ("size, part, batch", "ms", "beside it, ms", "ratio", "per second", "beside it")
MEMORY_HEADER = ("size, step", "peak, MB", "relative to imports and weights")
PARTS = ("tokenizer", "processor", "load", "training", "causal", "vlm", "memory")
CAUSAL_BATCHES = (1, 16)
# Of docs/benchmarks.md.
SECTION = "speed"

MemoryRow = tuple[str, float, float]


def task_row(result: TaskMeasured) -> list[str]:
    """A row of the table of tasks."""
    own, whole = result.generate, result.pipeline
    return [
        own.name.removesuffix("/generate").replace("/", ", "),
        *(f"{1000 * seconds:.1f}" for seconds in (own.seconds, own.other)),
        f"{own.ratio:.2f}",
        f"{own.per_second:.1f} {own.unit}",
        f"{own.operations:.2f}",
        *(f"{1000 * seconds:.1f}" for seconds in (whole.seconds, whole.other)),
        f"{whole.ratio:.2f}",
        *(f"{1000 * seconds:.1f}" for seconds in (result.added, result.added_products)),
    ]


def part_row(result: Measured) -> list[str]:
    """A row of the table of parts."""
    return [
        result.name.replace("/", ", "),
        *(f"{1000 * seconds:.2f}" for seconds in (result.seconds, result.other)),
        f"{result.ratio:.2f}",
        f"{result.per_second:.1f} {result.unit}" if result.unit else "-",
        result.against,
    ]


def measure_parts(
    size: str, pipe: UniPosePipeline, parts: Sequence[str], batches: Sequence[int], repeats: int
) -> Iterator[Measured]:
    """The parts of one size.

    Args:
        size: Name of the size.
        pipe: Its pipeline.
        parts: Some of `PARTS`.
        batches: Batch sizes.
        repeats: Number of timed calls.
    """
    for batch in batches:
        if "tokenizer" in parts:
            yield from measure_pose_tokenizer(size, pipe, batch, repeats)
        if "processor" in parts:
            yield from measure_processor(size, pipe, batch, repeats)
        if "causal" in parts and batch in CAUSAL_BATCHES:
            yield measure_causal(size, pipe, batch, repeats)
    if "vlm" in parts:
        yield from measure_plain_vlm(size, pipe, repeats)
    if "load" in parts:
        yield from measure_loading(size, pipe, repeats)
    if "training" in parts:
        yield measure_training(size, pipe, repeats)


def tables(tasks: Sequence[TaskMeasured], parts: Sequence[Measured], memory: Sequence[MemoryRow]) -> Iterator[str]:
    """Markdown tables of all that was measured.

    Args:
        tasks: the tasks.
        parts: the parts.
        memory: name, peak in MB and its ratio, of each step.
    """
    for header, rows in (
        (TASK_HEADER, [task_row(result) for result in tasks]),
        (PART_HEADER, [part_row(result) for result in parts]),
        (MEMORY_HEADER, [(name.replace("/", ", "), f"{peak:.0f}", f"{ratio:.2f}") for name, peak, ratio in memory]),
    ):
        if rows:
            yield markdown_table(header, rows)


def parse_arguments() -> argparse.Namespace:
    """The command line of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES, help="default: both")
    parser.add_argument("--tasks", nargs="*", choices=list(TASKS), default=list(TASKS), help="default: all")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16, 64], help="default: 1 4 16 64")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls; default: %(default)s")
    parser.add_argument(
        "--most_operations",
        type=float,
        default=200.0,
        help="batches of tasks that compute more, in 10^9, are left out; default: %(default)s",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all figures are written as JSON")
    parser.add_argument("--page", type=Path, metavar="FILE", help="Markdown page whose tables are replaced")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="of the comparison; default: %(default)s")
    parser.add_argument("--record", action="store_true", help="add the ratios to benchmarks/history.jsonl")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    datasets.disable_progress_bars()
    tasks: list[TaskMeasured] = []
    parts: list[Measured] = []
    memory: list[MemoryRow] = []
    batches, repeats = sorted(arguments.batches), arguments.repeats
    for size in arguments.sizes:
        pipe = load_size(size)
        tasks += measure_tasks(size, pipe, arguments.tasks, batches, repeats, arguments.most_operations)
        parts += measure_parts(size, pipe, arguments.parts, batches, repeats)
        if "memory" in arguments.parts:
            memory += measure_memory(size)
    measured = [*(one for result in tasks for one in (result.generate, result.pipeline)), *parts]
    text = "\n\n".join([describe_run(), *tables(tasks, parts, memory)])
    print(text + "\n")
    ratios = {one.name: one.ratio for one in measured} | {name: ratio for name, _, ratio in memory}
    print(describe_changes(last_run(read_runs(HISTORY), machine()), ratios, arguments.tolerance))
    if arguments.json:
        figures = {
            "machine": machine(),
            "commit": current_commit(),
            "measured": [one.as_dict() for one in measured],
            "memory": [{"name": name, "peak_mb": peak, "ratio": ratio} for name, peak, ratio in memory],
        }
        write_text(arguments.json, json.dumps(figures, indent=1) + "\n")
    if arguments.page:
        replace_section(arguments.page, SECTION, text)
    if arguments.record:
        add_run(HISTORY, machine(), ratios)


if __name__ == "__main__":
    main()
