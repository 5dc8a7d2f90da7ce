"""Users' rows, in the forms that people have them -> a checked `Dataset` in our row format, ready for training.

    read_rows("my_rows.jsonl")

`row_sources` opens files, folders, datasets and the Hub; `row_columns` makes questions and answers of plain columns;
`row_values` reads poses and images. Nothing is dropped and nothing is reworded: what cannot be trained is an error.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from unipose.processing.pose_features import Frame, check_frame
from unipose.tasks_unipose import TASKS
from unipose.training.datasets.instructions import check_tasks
from unipose.training.datasets.row_checks import check_poses, check_row
from unipose.training.datasets.row_columns import plain_columns, rows_of_columns, tasks_of_columns
from unipose.training.datasets.row_sources import Source, open_rows
from unipose.training.datasets.row_values import Place, face_front, read_image_file, read_messages, read_pose
from unipose.training.datasets.rows import Row, to_dataset


# Columns of a row of messages; a corpus has all of them.
MESSAGE_COLUMNS = ("messages", "images", "poses", "task", "source", "text", "frame")
# Task of a row of messages whose inputs and answer are those of no task.
CHAT = "chat"

_TOKEN = re.compile(r"(<pose>|<image>)")


def read_rows(
    source: Source,
    *,
    tasks: Sequence[str] = (),
    frame: Frame | None = None,
    split: str = "train",
    rename: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    prompts: Mapping[str, str] | None = None,
    keep_heading: bool = False,
) -> Dataset:
    """Reads and checks training rows.

    A row has `messages`, whose image and pose blocks hold their values or take those of `images` and `poses` in order;
    or plain columns: `pose`, `second_pose`, `image`, `second_image`, `text`, `question` (docs/training/own-data.md).
    Poses are arrays, paths or dicts in any form that the processor takes; images are paths, bytes or PIL images. Paths
    are relative to the file.

    Args:
        source: A .jsonl, .csv, .tsv or .parquet file or a folder of them, a folder by save_to_disk, a Dataset, a list
            of dicts, or the id of a Hub dataset.
        tasks: Tasks that rows of plain columns make; default: that of the row's column `task`, or of its columns.
        frame: Frame of poses that state none; default: z_up.
        split: Split of a source that has several.
        rename: Columns to rename: {name in the source: name of ours}.
        ignore: Columns to leave out.
        prompts: Prompts of tasks, as a processor's `task_prompts`; default: those of the pipeline.
        keep_heading: Whether poses keep their heading. By default all poses of a row without images are rotated about
            the vertical so that the first one faces the front, which is how the pipeline passes them to the model.

    Returns:
        A dataset with `messages`, `images`, `poses` (22, 3) rotation vectors in radians (z up), `task`, `source` and
        `text`.

    Raises:
        ValueError: A row is wrong; the message names the file, the line and the field.
        FileNotFoundError: There is no such file, folder or dataset.
    """
    check_tasks(tasks)
    check_frame(frame)
    rows: list[Row] = []
    for raw, place in open_rows(source, split, frame):
        row = rename_columns(raw, rename or {}, ignore, place)
        is_chat = row.get("messages") is not None
        made = [message_row(row, place)] if is_chat else column_rows(row, tasks, prompts, place)
        rows += [check_made(each, place, keep_heading) for each in made]
    if not rows:
        raise ValueError(f"{source} holds no rows; expected at least one")
    return to_dataset(rows)


def rename_columns(
    row: Mapping[str, Any], rename: Mapping[str, str], ignore: Sequence[str], place: Place
) -> dict[str, Any]:
    """A row with the caller's names of columns.

    Args:
        row: The row.
        rename: New names by old ones.
        ignore: Columns to leave out.
        place: Where the row comes from.

    Raises:
        ValueError: A column that has the new name already.
    """
    for old, new in rename.items():
        if old in row and new in row and new not in ignore:
            raise ValueError(f"{place.name}: {old!r} cannot become {new!r}, which is a column too; ignore that one")
    return {rename.get(name, name): value for name, value in row.items() if name not in ignore}


def message_row(row: Mapping[str, Any], place: Place) -> Row:
    """A row of messages in our format; `<pose>` and `<image>` in its texts are blocks, as in the pipeline.

    Args:
        row: The row.
        place: Where it comes from.

    Raises:
        ValueError: A field is wrong.
    """
    unknown = [name for name, value in row.items() if name not in MESSAGE_COLUMNS and value is not None]
    if unknown:
        raise ValueError(
            f"{place.name}: got the columns {', '.join(map(repr, unknown))} beside messages; expected some of "
            f"{', '.join(MESSAGE_COLUMNS)}; rename or ignore others"
        )
    messages, images, poses = read_messages({**row, "messages": split_placeholders(row["messages"])}, place)
    return {
        "messages": messages,
        "images": [
            {"bytes": read_image_file(image, place, f"images: image {number}"), "path": None}
            for number, image in enumerate(images, start=1)
        ],
        "poses": [
            read_pose(pose, place, f"poses: pose {number}", row.get("frame"))
            for number, pose in enumerate(poses, start=1)
        ],
        "task": str(row.get("task") or infer_task(messages)),
        "source": str(row.get("source") or place.name),
        "text": str(row.get("text") or last_text(messages)),
    }


def column_rows(
    row: Mapping[str, Any], tasks: Sequence[str], prompts: Mapping[str, str] | None, place: Place
) -> list[Row]:
    """The rows of plain columns.

    Args:
        row: The row.
        tasks: See `read_rows`.
        prompts: See `read_rows`.
        place: Where the row comes from.
    """
    columns = plain_columns(row, place)
    return rows_of_columns(columns, tasks_of_columns(columns, tasks, place), prompts or {}, place)


def check_made(row: Row, place: Place, keep_heading: bool) -> Row:
    """A row that training takes.

    Args:
        row: A row in our format.
        place: Where it comes from.
        keep_heading: See `read_rows`.

    Raises:
        ValueError: A field is wrong.
    """
    check_row(row, place.name, len(row["poses"]))
    poses = [np.asarray(pose, dtype=np.float32) for pose in row["poses"]]
    poses = poses if keep_heading or row["images"] else face_front(poses)
    check_poses(poses, place.name)
    return row | {"poses": [pose.tolist() for pose in poses]}


def split_placeholders(messages: Any) -> Any:
    """Messages in whose texts `<pose>` and `<image>` have become blocks; anything else unchanged."""
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes):
        return messages
    return [
        {**message, "content": split_content(message["content"])}
        if isinstance(message, Mapping) and isinstance(message.get("content"), str | Sequence)
        else message
        for message in messages
    ]


def split_content(content: Any) -> Any:
    """The blocks of a content; placeholders in its texts have become blocks."""
    blocks: list[Any] = []
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        text = part.get("text") if isinstance(part, Mapping) else None
        pieces = [piece for piece in _TOKEN.split(text) if piece] if isinstance(text, str) else []
        blocks += [
            {"type": piece[1:-1]} if _TOKEN.fullmatch(piece) else {"type": "text", "text": piece} for piece in pieces
        ] or [part]
    return blocks


def infer_task(messages: Sequence[Mapping[str, Any]]) -> str:
    """The task with the inputs and the answer of a chat, or `CHAT`."""
    answer = messages[-1]["content"]
    kinds = [block["type"] for message in messages[:-1] for block in message["content"]]
    has_pose = any(block["type"] == "pose" for block in answer)
    inputs = (kinds.count("pose"), kinds.count("image"), "pose" if has_pose else "text")
    return next((name for name, task in TASKS.items() if (task.poses, task.images, task.answer) == inputs), CHAT)


def last_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of a chat's answer, or of its last question where that is a pose."""
    for message in reversed(messages):
        if text := "".join(block.get("text", "") for block in message["content"]).strip():
            return text
    return ""
