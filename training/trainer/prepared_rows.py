"""Rows of a corpus, made ready once: codes for poses, ids for text; pictures wait until a batch needs them."""

from datasets import Dataset

from unipose import UniPoseForConditionalGeneration
from unipose.training.trainer.collator import UniPoseDataCollator, add_pose_codes


def prepare_rows(rows: Dataset, model: UniPoseForConditionalGeneration, collator: UniPoseDataCollator) -> Dataset:
    """Adds input_ids, labels, shift_labels, `length` in tokens, the number of `pictures`, and the `row`'s own number.

    Of the corpus' columns the images stay, and what names a row to a person: `task` and `source`.
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
    lengths, pictures = zip(*((len(ids), int(image_token_id in ids)) for ids in rows["input_ids"]))
    columns = {"length": list(lengths), "pictures": list(pictures), "row": list(range(len(rows)))}
    for name, column in columns.items():
        rows = rows.add_column(name, column)
    return rows
