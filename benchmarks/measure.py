"""What the benchmarks share: their arguments, and Markdown tables."""

import argparse
from collections.abc import Sequence

import torch


def parse(description: str | None, repeats: int = 7, model: bool = False) -> argparse.Namespace:
    """`--repeats`, and `--model` where a model is measured."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=repeats, help="default: %(default)s")
    if model:
        parser.add_argument("--model", metavar="DIR", help="default: the model that ships with the package")
    return parser.parse_args()


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def print_machine() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), CPU\n")
