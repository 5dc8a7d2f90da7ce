"""How time and memory grow with the prompt, the poses of a chat, the batch and the corpus, beside what must grow.

    python benchmarks/growth.py [--parts prompt poses batch corpus] [--rows 1000 10000 100000] [--plots FILE.png]

Prints a table with exponents: the slopes of the logarithms in the upper half of the numbers. What must grow is the
time of the same matrix products alone. The model has random weights: 8 layers of width 512 (84 million weights).
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from history import describe_run
from loglog_plots import Plot, draw_plots, fit_exponent
from matrix_products import compute_all, record_products
from measure import interleaved_times, replace_section
from model_sizes import load_size
from peak_memory import resident, take_peak
from speed_cases import SENTENCE, Call, random_poses

from unipose import UniPosePipeline
from unipose.training.io import markdown_table


PARTS = ("prompt", "poses", "batch", "corpus")
PROMPTS = (32, 64, 128, 256, 512, 1024, 2048)
POSES = (1, 2, 4, 8, 16, 32)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
ROWS = (1000, 10_000, 100_000)
TABLE_HEADER = ("growth", "of", "first", "last", "exponent")
# Of docs/benchmarks.md.
SECTION = "growth"
# Answers of a chat; not longer, because its poses are what grows.
CHAT_OPTIONS = {"max_new_tokens": 8, "eos_token_id": -1}


def grow(
    title: str, x_label: str, numbers: Sequence[int], make: Callable[[int], Call], model: Any, repeats: int
) -> Plot:
    """Time, memory and products of a call for several numbers.

    Args:
        title: Title of the plot.
        x_label: What the numbers are.
        numbers: The numbers, the smallest first.
        make: Number -> the call.
        model: The model whose products are recorded.
        repeats: Number of timed calls.
    """
    curves: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number in numbers:
        call = make(number)
        least = resident()
        take_peak()
        call()
        memory = take_peak() - least
        products = record_products(call, model)
        times = interleaved_times({"call": call, "limit": partial(compute_all, products)}, repeats, warm_up=False)
        curves["time, s"].append((number, statistics.median(times["call"])))
        curves["products alone, s"].append((number, statistics.median(times["limit"])))
        curves["memory, MB"].append((number, max(memory, 1.0)))
    return Plot(title, x_label, curves)


def grow_prompt(pipe: UniPosePipeline, repeats: int) -> Plot:
    """A pose after prompts of several lengths.

    Args:
        pipe: pipeline of the model.
        repeats: number of timed calls.
    """
    config = pipe.model.config

    def make(length: int) -> Call:
        ids = torch.randint(3, 200, (1, length))
        ids[:, -1] = config.pose_start_token_id
        return partial(pipe.model.generate, ids, attention_mask=torch.ones_like(ids), generation_mode="pose")

    return grow("A pose after a prompt", "tokens of the prompt", PROMPTS, make, pipe.model, repeats)


def grow_poses(pipe: UniPosePipeline, repeats: int) -> Plot:
    """An answer of eight tokens to chats with several poses.

    Args:
        pipe: pipeline of the model.
        repeats: number of timed calls.
    """

    def make(count: int) -> Call:
        blocks = [{"type": "pose", "pose": pose} for pose in random_poses(count)]
        chat = [{"role": "user", "content": [*blocks, {"type": "text", "text": "What changes?"}]}]
        return partial(pipe, chat, task="pose-to-text", **CHAT_OPTIONS)

    return grow("Chats with poses", "poses of the chat", POSES, make, pipe.model, repeats)


def grow_batch(pipe: UniPosePipeline, repeats: int) -> Plot:
    """Batches of text-to-pose.

    Args:
        pipe: pipeline of the model.
        repeats: number of timed calls.
    """

    def make(batch: int) -> Call:
        return partial(pipe, [SENTENCE] * batch, task="text-to-pose", batch_size=batch)

    return grow("Text to pose, by batch", "rows of the batch", BATCHES, make, pipe.model, repeats)


def grow_corpus(rows: Sequence[int]) -> Iterator[Plot]:
    """Time and memory of corpora, each in a new process.

    Args:
        rows: numbers of rows, the smallest first.
    """
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {"seconds": {}, "mb": {}}
    for number in rows:
        command = [sys.executable, str(Path(__file__).with_name("corpus_growth.py")), "--rows", str(number)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        add_corpus(curves, number, json.loads(output.splitlines()[-1]))
    yield Plot("A corpus: time, s", "rows", curves["seconds"])
    yield Plot("A corpus: memory, MB", "rows", curves["mb"])


def add_corpus(
    curves: dict[str, dict[str, list[tuple[float, float]]]], number: int, figures: dict[str, dict[str, float]]
) -> None:
    """Adds one size to the curves.

    Args:
        curves: "seconds" and "mb", by step; changed in place.
        number: rows.
        figures: Output of corpus_growth.py.
    """
    for step, values in figures.items():
        for unit, value in values.items():
            if step != "warm-up":
                curves[unit].setdefault(step, []).append((number, max(value, 1e-3 if unit == "seconds" else 0.1)))


def rows_of(plot: Plot) -> Iterator[list[str]]:
    """Rows of the table: one for each curve of a plot."""
    for name, curve in plot.curves.items():
        first, last = curve[0], curve[-1]
        ends = [f"{value:.3g} at {number:,}" for number, value in (first, last)]
        yield [plot.title, name, *ends, f"{fit_exponent(curve):.2f}"]


def parse_arguments() -> argparse.Namespace:
    """The command line of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS, help="of corpora; default: 1000 10000 100000")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls; default: %(default)s")
    parser.add_argument("--page", type=Path, metavar="FILE", help="Markdown page whose table is replaced")
    parser.add_argument("--plots", type=Path, metavar="FILE", help="PNG of all plots")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    plots: list[Plot] = []
    calls = {"prompt": grow_prompt, "poses": grow_poses, "batch": grow_batch}
    if any(part in calls for part in arguments.parts):
        pipe = load_size("84m")
        plots += [call(pipe, arguments.repeats) for part, call in calls.items() if part in arguments.parts]
    if "corpus" in arguments.parts:
        plots += grow_corpus(sorted(arguments.rows))
    table = markdown_table(TABLE_HEADER, [row for plot in plots for row in rows_of(plot)])
    text = f"{describe_run()}\n\n{table}"
    print(text)
    if arguments.page:
        replace_section(arguments.page, SECTION, text)
    if arguments.plots:
        draw_plots(plots).quantize(64).save(arguments.plots, optimize=True)


if __name__ == "__main__":
    main()
