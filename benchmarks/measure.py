"""Command-line options, times and printed tables of the benchmarks."""

import argparse
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from unipose.training.io import markdown_table


def parse_arguments(description: str | None, repeats: int = 7, model: bool = False) -> argparse.Namespace:
    """Parses `--repeats`, and `--model` if the benchmark measures a model.

    Args:
        description: description of the benchmark, for `--help`.
        repeats: the default of `--repeats`.
        model: whether there is a `--model`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=repeats, help="timed calls; default: %(default)s")
    if model:
        parser.add_argument("--model", metavar="DIR", help="folder of a model; default: the embedded one")
    return parser.parse_args()


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a Markdown table.

    Args:
        header: the column names.
        rows: one cell per column.
    """
    print(markdown_table(header, rows))


def print_machine() -> None:
    """Prints what the timings depend on: torch's version and threads."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), CPU\n")


def own_time() -> float:
    """Seconds of the processor with one thread, which leave out the time that other processes take; else seconds."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def interleaved_times(
    calls: Mapping[str, Callable[[], object]],
    repeats: int,
    clock: Callable[[], float] = own_time,
    warm_up: bool = True,
) -> dict[str, list[float]]:
    """Seconds of calls that alternate, so that other load on the machine affects all alike.

    Args:
        calls: the calls, by name.
        repeats: number of timed calls of each.
        clock: gives seconds.
        warm_up: whether each runs once before, which is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values() if warm_up else ():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return seconds


def median_times(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of calls that alternate, see `interleaved_times`.

    Args:
        calls: the calls, by name.
        repeats: number of timed calls of each.
    """
    return {name: statistics.median(times) for name, times in interleaved_times(calls, repeats).items()}


def median_ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios of times that were measured one after the other.

    Args:
        ones: seconds of one call.
        others: seconds of the call that it is divided by.
    """
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def machine() -> str:
    """The machine in words: processor, threads and torch's version."""
    file = Path("/proc/cpuinfo")
    found = re.search(
        r"^model name\s*: (.+)$", file.read_text(encoding="utf-8") if file.exists() else "", re.MULTILINE
    )
    model = found[1] if found else platform.machine()
    isa = torch.backends.cpu.get_cpu_capability()
    return f"{model} ({isa}), {torch.get_num_threads()} thread(s), torch {torch.__version__}"


def replace_section(page: Path, name: str, text: str) -> None:
    """Replaces what stands between two marks of a page, `<!-- name -->` and `<!-- end of name -->`.

    Args:
        page: a Markdown file.
        name: the name in the marks.
        text: the new content.

    Raises:
        ValueError: the page lacks a mark.
    """
    content = page.read_text(encoding="utf-8")
    marks = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if not all(content.count(mark) == 1 for mark in marks):
        raise ValueError(f"{page} must have the lines {' and '.join(map(str.strip, marks))} once each")
    before, _, rest = content.partition(marks[0])
    after = rest.partition(marks[1])[2]
    page.write_text(f"{before}{marks[0]}\n{text.strip()}\n\n{marks[1]}{after}", encoding="utf-8")
