"""Command-line options and printed tables of the benchmarks."""

import argparse
from collections.abc import Sequence

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
