"""Rows and tokens per second of instruction tuning: our loop against a naive one, in several settings.

    python benchmarks/training.py --corpus runs/corpus [--compile]

The naive loop takes rows in random order, encodes their poses in every step, runs the vision encoders on a blank image
for every row without one, and computes the logits of all positions. A step is collating, forward, backward and AdamW;
padding does not count as tokens. bf16 is measured if this machine is faster in it.

The limit is the matrix products of our loop alone, forward and backward, of the same sizes in the same run. The share
of waiting is the time in which a step has no data yet: collated in the same process, and by a process of its own.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import torch
from datasets import Dataset
from history import describe_run
from matrix_products import compute_all, record_products
from measure import median_times, replace_section
from PIL import Image
from torch.utils.data import DataLoader
from transformers import AutoModelForImageTextToText, AutoProcessor

from unipose import UniPoseForConditionalGeneration
from unipose.embedded_checkpoint import find_embedded_checkpoint
from unipose.training.datasets.build_corpus import Recipe, build_shards
from unipose.training.datasets.shards import create_corpus, finish_corpus, load_corpus
from unipose.training.io import markdown_table
from unipose.training.trainer.collator import ROW_KEY, UniPoseDataCollator, add_pose_codes
from unipose.training.trainer.precision import choose_precision
from unipose.training.trainer.prepared_rows import prepare_rows
from unipose.training.trainer.samplers import GroupedSampler
from unipose.training.trainer.trainable_parts import INSTRUCT, LoraArguments, set_trainable


# Of docs/training/overview.md.
SECTION = "training"


class Loop:
    """A training loop of a model on some rows.

    Args:
        folder: folder of the model.
        rows: rows of a corpus.
        batch_size: number of rows of a step.
        attention: attention of the language model.
        bf16: whether the forward runs under bf16 autocast.
        compiled: whether the language model is compiled.
    """

    def __init__(
        self,
        folder: Path,
        rows: Dataset,
        batch_size: int,
        attention: str = "sdpa",
        bf16: bool = False,
        compiled: bool = False,
    ):
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model: UniPoseForConditionalGeneration = AutoModelForImageTextToText.from_pretrained(folder)
        self.model.set_attn_implementation({"text_config": attention})
        self.collator = UniPoseDataCollator(self.processor, self.model.config.pose_attention)
        self.raw, self.batch_size, self.bf16 = rows, batch_size, bf16
        self.rows = prepare_rows(rows, self.model, self.collator).remove_columns(ROW_KEY)
        self.order = list(GroupedSampler(self.rows["length"], self.rows["has_image"], batch_size, seed=0))
        if compiled:
            self.model.model.language_model.compile(dynamic=True)
        set_trainable(self.model, INSTRUCT, LoraArguments()).train()
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, 1e-5)

    def in_batches(self, order: Iterable[int]) -> list[list[int]]:
        rows = list(order)
        return [rows[first : first + self.batch_size] for first in range(0, len(rows), self.batch_size)]

    def padding(self, order: Iterable[int]) -> float:
        """Share of padding in the batches."""
        lengths = np.asarray(self.rows["length"])
        places = sum(len(batch) * lengths[batch].max() for batch in self.in_batches(order))
        return float(1 - lengths.sum() / places)

    def step(
        self, batch: dict[str, torch.Tensor], kept: torch.Tensor | int = 0, blank: torch.Tensor | float = 0.0
    ) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            loss = self.model(**batch, logits_to_keep=kept).loss + blank
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def ours(self) -> None:
        self.train_on(map(self.collate, self.in_batches(self.order)))

    def collate(self, batch: list[int]) -> dict[str, torch.Tensor]:
        """The batch of some rows."""
        return self.collator([self.rows[row] for row in batch])

    def train_on(self, batches: Iterable[dict[str, torch.Tensor]]) -> float:
        """Takes a step on each batch -> seconds of waiting for the batches."""
        waiting, start = 0.0, time.perf_counter()
        for batch in batches:
            waiting += time.perf_counter() - start
            self.step(batch, kept=batch["shift_labels"] != -100)
            start = time.perf_counter()
        return waiting

    def waiting_share(self, workers: int) -> float:
        """Share of the time in which no batch is ready.

        Args:
            workers: processes that collate; 0: this one.
        """
        loader = DataLoader(
            self.rows, batch_sampler=self.in_batches(self.order), collate_fn=self.collator, num_workers=workers
        )
        batches = iter(loader)
        # The start of a process is paid once a run.
        self.step(first := next(batches), kept=first["shift_labels"] != -100)
        start = time.perf_counter()
        return self.train_on(batches) / (time.perf_counter() - start)

    def naive(self) -> None:
        for batch in self.in_batches(range(len(self.raw))):
            rows = [self.raw[row] for row in batch]
            codes = add_pose_codes({"poses": [row["poses"] for row in rows]}, self.model.model.pose_tokenizer)
            coded = [row | {"pose_codes": own} for row, own in zip(rows, codes["pose_codes"])]
            self.step(self.collator(coded), blank=self.blank(sum(not row["images"] for row in rows)))

    def blank(self, count: int) -> torch.Tensor | float:
        """The zero that blank images add to the loss, at the full cost of their features."""
        if not count:
            return 0.0
        images = [Image.new("RGB", (96, 96))] * count
        pixels = self.processor.image_processor(images, return_tensors="pt")
        return 0.0 * self.model.get_image_features(**pixels).pooler_output.sum()


def small_corpus(folder: Path) -> None:
    """Rows of every task, in the shares of the embedded model's corpus."""
    recipe = Recipe(60, 30, 12, 6, 120, 150, 48, shard_size=200)
    create_corpus(folder, {"maker": "benchmark"})
    finish_corpus(folder, list(build_shards(folder, recipe, recipe.shards(), 1)))


def take_rows(corpus: Path | None, count: int) -> Dataset:
    """Rows of a corpus, or of one made here, in random order.

    Args:
        corpus: folder of a corpus, if any.
        count: maximum number of rows.
    """
    with tempfile.TemporaryDirectory() as folder:
        if corpus is None:
            small_corpus(Path(folder))
        rows = load_corpus(corpus or folder, cache_dir=folder).shuffle(seed=0)
        # In memory, as the folder is left here.
        return Dataset.from_list(list(rows.select(range(min(count, len(rows))))), features=rows.features)


def parse_arguments() -> argparse.Namespace:
    """The command line of this benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="default: a small one is made")
    parser.add_argument("--model", type=Path, help="default: the model that ships with the package")
    parser.add_argument("--rows", type=int, default=384, help="default: %(default)s")
    parser.add_argument("--batch_size", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--page", type=Path, metavar="FILE", help="Markdown page whose table is replaced")
    parser.add_argument("--compile", action="store_true", help="measure a compiled model too: needs a C++ compiler")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    datasets.disable_progress_bars()
    rows = take_rows(arguments.corpus, arguments.rows)
    make = partial(Loop, arguments.model or find_embedded_checkpoint(), rows, arguments.batch_size)
    loop = make()
    calls: dict[str, Callable[[], None]] = {
        "naive: sdpa, fp32": loop.naive,
        "ours: sdpa, fp32": loop.ours,
        "ours: eager, fp32": make("eager").ours,
    }
    precision = choose_precision("cpu")
    if precision == "bf16":
        calls["ours: sdpa, bf16"] = make("sdpa", bf16=True).ours
        calls["ours: eager, bf16"] = make("eager", bf16=True).ours
    if arguments.compile:
        compiled = make("eager", bf16=precision == "bf16", compiled=True)
        calls[f"ours: eager, {precision}, compiled"] = compiled.ours
    for bf16 in (False, True) if precision == "bf16" else (False,):
        own = make(bf16=bf16)
        products = record_products(own.ours, own.model)
        calls[f"limit: matrix products of ours alone, {'bf16' if bf16 else 'fp32'}"] = partial(compute_all, products)
    text = "\n\n".join(
        [
            f"{describe_run()}, {len(rows)} rows in batches of {arguments.batch_size}",
            table_of(median_times(calls, arguments.repeats), loop),
            describe_data(loop),
        ]
    )
    print(text)
    if arguments.page:
        replace_section(arguments.page, SECTION, text)


def table_of(seconds: dict[str, float], loop: Loop) -> str:
    """A Markdown table of loops and limits.

    Args:
        seconds: of each loop and limit, by name.
        loop: has the rows of all of them.
    """
    rows, tokens, base = len(loop.rows), sum(loop.rows["length"]), seconds["naive: sdpa, fp32"]
    limit = min(own for name, own in seconds.items() if name.startswith("limit"))
    header = ["loop", "rows/s", "tokens/s", "relative to naive", "time / limit"]
    return markdown_table(
        header,
        [
            (name, f"{rows / own:.0f}", f"{tokens / own:.0f}", f"{base / own:.2f}", f"{own / limit:.2f}")
            for name, own in seconds.items()
        ],
    )


def describe_data(loop: Loop) -> str:
    """How much of the batches is padding, and how long a step waits for its batch."""
    padding = [loop.padding(order) for order in (range(len(loop.rows)), loop.order)]
    shares = [loop.waiting_share(workers) for workers in (0, 1)]
    return (
        f"Padding: {padding[0]:.0%} of the naive loop's positions, {padding[1]:.0%} of ours. Waiting for data: "
        f"{shares[0]:.1%} of the time; with a process that collates, {shares[1]:.1%}."
    )


if __name__ == "__main__":
    main()
