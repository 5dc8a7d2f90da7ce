"""Rows of a corpus, prepared once: codes for poses, ids for text; images are processed batch by batch."""

from datasets import Dataset

from unipose import UniPoseForConditionalGeneration
from unipose.training.trainer.collator import ROW_KEY, UniPoseDataCollator, add_pose_codes


def prepare_rows(rows: Dataset, model: UniPoseForConditionalGeneration, collator: UniPoseDataCollator) -> Dataset:
    """Adds input_ids, labels, shift_labels, `length` in tokens, `has_image` and the row's index (`ROW_KEY`).

    Keeps the corpus columns `images`, and `task` and `source`, which identify a row in error messages.

    Args:
        rows: rows of a corpus.
        model: model whose pose tokenizer encodes the poses.
        collator: the model's collator.
    """
    rows = rows.map(
        add_pose_codes,
        batched=True,
        batch_size=512,
        fn_kwargs={"pose_tokenizer": model.model.pose_tokenizer},
        desc="pose codes",
    )
    used = [name for name in rows.column_names if name not in ("images", "task", "source")]
    rows = rows.map(collator.encode, desc="text tokens", remove_columns=used)
    image_token_id = model.config.image_token_id
    lengths, has_image = zip(*((len(ids), image_token_id in ids) for ids in rows["input_ids"]))
    columns = {"length": list(lengths), "has_image": list(has_image), ROW_KEY: list(range(len(rows)))}
    for name, column in columns.items():
        rows = rows.add_column(name, column)
    return rows
