"""Time and memory of building a corpus of some size, preparing it for training, and reading it for an epoch.

python benchmarks/corpus_growth.py [--rows 1000]

The rows are half pose-to-text, half text-to-pose. One process; prints JSON: seconds of the processor, and peak MB
above the memory before.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
from peak_memory import resident, take_peak
from transformers import AutoModelForImageTextToText, AutoProcessor

from unipose.embedded_checkpoint import find_embedded_checkpoint
from unipose.training.datasets.build_corpus import Recipe, build_corpus
from unipose.training.datasets.shards import load_corpus
from unipose.training.trainer.collator import ROW_KEY, UniPoseDataCollator
from unipose.training.trainer.prepared_rows import prepare_rows
from unipose.training.trainer.samplers import GroupedSampler


BATCH = 64


def recipe_of(rows: int) -> Recipe:
    """Rows without images, in shards of 1,000."""
    counts = dict.fromkeys(("pose_diff", "image_to_text", "image_diff", "image_to_pose", "pose_edit"), 0)
    return Recipe(pose_to_text=rows // 2, text_to_pose=rows - rows // 2, **counts)


def measure_corpus(rows: int, folder: Path) -> dict[str, dict[str, float]]:
    """{step: {"seconds", "mb"}} of one size.

    Args:
        rows: number of rows.
        folder: an empty folder.
    """
    figures: dict[str, dict[str, float]] = {}

    def step(name: str, call: Callable[[], Any]) -> Any:
        before = resident()
        take_peak()
        start = time.process_time()
        result = call()
        figures[name] = {"seconds": time.process_time() - start, "mb": take_peak() - before}
        return result

    checkpoint = find_embedded_checkpoint()
    model = AutoModelForImageTextToText.from_pretrained(checkpoint)
    collator = UniPoseDataCollator(AutoProcessor.from_pretrained(checkpoint), model.config.pose_attention)
    step("warm-up", lambda: build_corpus(recipe_of(100), folder / "warm-up"))
    step("build", lambda: build_corpus(recipe_of(rows), folder / "corpus"))
    corpus = step("open", lambda: load_corpus(folder / "corpus", cache_dir=folder / "cache"))
    prepared = step("prepare", lambda: prepare_rows(corpus, model, collator).remove_columns(ROW_KEY))

    def order() -> list[int]:
        return list(GroupedSampler(prepared["length"], prepared["has_image"], BATCH, seed=0))

    chosen = step("order", order)

    def read() -> None:
        for start in range(0, len(chosen), BATCH):
            collator([prepared[row] for row in chosen[start : start + BATCH]])

    step("read", read)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="default: %(default)s")
    arguments = parser.parse_args()
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure_corpus(arguments.rows, Path(folder))))


if __name__ == "__main__":
    main()
