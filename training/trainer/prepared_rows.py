"""Rows of a corpus, prepared once: codes for poses, ids for text; images are processed batch by batch."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from datasets import Dataset, Features, List, Value, load_from_disk

from unipose import UniPoseForConditionalGeneration, UniPoseVQVAE
from unipose.training.datasets.row_checks import check_length, name_row
from unipose.training.datasets.shards import RECIPE_FILE, read_summary
from unipose.training.io import atomic_path, read_json
from unipose.training.trainer.checkpoints import locked
from unipose.training.trainer.collator import ROW_KEY, Row, UniPoseDataCollator, add_pose_codes


# Folder of the prepared rows within the output folder of a stage.
ROWS_FOLDER = "prepared_rows"


def prepare_rows(
    rows: Dataset, model: UniPoseForConditionalGeneration, collator: UniPoseDataCollator, workers: int = 1
) -> Dataset:
    """Adds input_ids, labels, shift_labels, `length` in tokens, `has_image` and the row's index (`ROW_KEY`).

    Keeps the corpus columns `images`, and `task` and `source`, which identify a row in error messages.

    Args:
        rows: rows of a corpus.
        model: model whose pose tokenizer encodes the poses.
        collator: the model's collator.
        workers: number of processes; does not change the result.

    Raises:
        ValueError: a row is wrong; the message names the row and the field.
    """
    processes = min(workers, len(rows)) if workers > 1 else None
    rows = rows.map(
        _add_pose_codes,
        batched=True,
        with_indices=True,
        batch_size=512,
        num_proc=processes,
        fn_kwargs={"pose_tokenizer": model.model.pose_tokenizer},
        # The type of rows without poses would say that no row has any.
        features=Features({**rows.features, "pose_codes": List(List(Value("int64")))}),
        desc="pose codes",
    )
    used = [name for name in rows.column_names if name not in ("images", "task", "source")]
    return rows.map(
        _prepare_row,
        with_indices=True,
        num_proc=processes,
        fn_kwargs={
            "collator": collator,
            "image_token_id": model.config.image_token_id,
            "max_length": model.config.max_positions,
        },
        desc="text tokens",
        remove_columns=used,
    )


def _add_pose_codes(rows: dict[str, list], indices: list[int], pose_tokenizer: UniPoseVQVAE) -> dict[str, list]:
    return add_pose_codes(rows, pose_tokenizer, indices[0])


def _prepare_row(
    row: Row, index: int, collator: UniPoseDataCollator, image_token_id: int, max_length: int | None
) -> Row:
    encoded = collator.encode(row, index)
    ids = encoded["input_ids"]
    check_length(len(ids), max_length, name_row(row, index))
    return encoded | {"length": len(ids), "has_image": image_token_id in ids, ROW_KEY: index}


def keep_rows(output: Path, key: str, prepare: Callable[[], Dataset]) -> Dataset:
    """Rows that a stage has prepared before, or prepares and keeps now: a resumed run starts at once.

    Rows of another key are removed.

    Args:
        output: output folder of the stage.
        key: result of `rows_key`.
        prepare: prepares the rows.

    Raises:
        OSError: another run trains in the folder.
    """
    folder = output / ROWS_FOLDER / key
    if not folder.exists():
        with locked(output):
            shutil.rmtree(folder.parent, ignore_errors=True)
            with atomic_path(folder) as partial:
                prepare().save_to_disk(partial)
    return load_from_disk(folder)


def remove_rows(output: Path) -> None:
    """Removes the rows that a stage has kept, once it is finished."""
    shutil.rmtree(output / ROWS_FOLDER, ignore_errors=True)


def rows_key(
    corpus: str, selection: object, model: UniPoseForConditionalGeneration, collator: UniPoseDataCollator
) -> str:
    """A digest of all that prepared rows depend on.

    Args:
        corpus: folder of a corpus.
        selection: which of its rows are prepared, as JSON.
        model: model whose pose tokenizer encodes the poses.
        collator: the model's collator.
    """
    processor = collator.processor
    recipe = [read_json(Path(corpus) / RECIPE_FILE), read_summary(corpus), selection]
    texts = [processor.tokenizer.get_vocab(), processor.chat_template, collator.pose_attention]
    digest = hashlib.sha256(json.dumps([recipe, texts], sort_keys=True).encode())
    for name, weight in model.model.pose_tokenizer.state_dict().items():
        digest.update(name.encode() + weight.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
