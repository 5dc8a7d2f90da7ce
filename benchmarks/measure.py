"""What the benchmarks share: medians of repeated calls, taken in turn, and Markdown tables."""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch


def parse(description: str | None, repeats: int = 7, model: bool = False) -> argparse.Namespace:
    """`--repeats`, and `--model` where a model is measured."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=repeats, help="default: %(default)s")
    if model:
        parser.add_argument("--model", metavar="DIR", help="default: the model that ships with the package")
    return parser.parse_args()


def medians(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each call after one that is not counted; the calls take turns, so that load hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def print_machine() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), CPU\n")
