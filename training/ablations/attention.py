"""Causal against mixed attention of output poses (paper, sections 3.3 and 4): quality and time per pose.

python -m unipose.training.ablations.attention --config training/recipes/ablations/attention.yaml
"""

from functools import partial
from pathlib import Path
from typing import Any, Literal

from transformers import AutoModelForImageTextToText, AutoProcessor

from unipose.training.ablations.table import Table, write_table
from unipose.training.ablations.variants import Ablation, add_columns
from unipose.training.evaluation.timing import medians
from unipose.training.trainer.trainable_parts import ALIGN


BATCH_SIZES = (1, 8)
REPEATS = 7


def save_with_attention(source: str, pose_attention: Literal["causal", "mixed"], folder: Path) -> None:
    """Saves a model and its processor with another attention of output poses.

    Args:
        source: folder or Hub id of the model.
        pose_attention: pose attention of the saved model.
        folder: where it is saved.
    """
    model = AutoModelForImageTextToText.from_pretrained(source)
    model.config.pose_attention = pose_attention
    model.save_pretrained(folder)
    AutoProcessor.from_pretrained(source).save_pretrained(folder)


def milliseconds_per_pose(pipes: dict[str, Any], captions: list[str]) -> Table:
    """Median time per pose for each batch size, from a caption to rotations; the variants take turns.

    Args:
        pipes: pipelines by variant.
        captions: at least as many as the largest batch.
    """
    table: Table = {name: {} for name in pipes}
    for batch_size in BATCH_SIZES:
        inputs = {"text": captions[:batch_size], "batch_size": batch_size, "task": "text-to-pose", "do_sample": False}
        seconds = medians({name: partial(pipe, **inputs) for name, pipe in pipes.items()}, REPEATS)
        for name, row in table.items():
            row[f"ms per pose, batch {batch_size}"] = 1000 * seconds[name] / batch_size
    return table


def main() -> None:
    ablation = Ablation.from_recipe(ALIGN)
    evaluation = ablation.evaluation()
    names: tuple[Literal["causal", "mixed"], ...] = ("causal", "mixed")
    table: Table = {name: {} for name in names}
    pipes = {}
    for name in names:
        model = ablation.folder / f"{name} model"
        save_with_attention(ablation.stage.model, name, model)
        pipes[name] = ablation.train(name, model=str(model))
        add_columns(table, evaluation.text_to_pose(pipes[name], name))
    add_columns(table, milliseconds_per_pose(pipes, [caption.text for caption in evaluation.held_out.captions]))
    write_table(table, ablation.folder)


if __name__ == "__main__":
    main()
