"""Rows of a call of the pipeline: texts or chats, each with its images and poses."""

from collections.abc import Mapping, Sequence
from typing import Any

from .answer_pipeline import Row
from .tasks_unipose import TASKS, Task


def distribute(inputs: Any, one_per_row: bool) -> tuple[list[list[Any]], bool]:
    """Images or poses that the processor has grouped -> those of each row.

    Args:
        inputs: `Grouped` of the processor.
        one_per_row: Whether a flat list has one item for each row; otherwise all belong to one row.

    Returns:
        The rows, and whether there is a list of rows.
    """
    if inputs.layout == "flat" and one_per_row:
        return [[] if item is None else [item] for item in inputs.items], True
    return inputs.rows, inputs.layout == "nested"


def copy_chat(chat: Sequence[Any]) -> tuple[list[Any], list[dict[str, Any]]]:
    """A copy of a chat, and the content blocks of the copy; what is no message or block stays as it is."""
    messages = [dict(message) if isinstance(message, Mapping) else message for message in chat]
    blocks = []
    for message in messages:
        if isinstance(message, dict) and isinstance(message.get("content"), list | tuple):
            content = [dict(block) if isinstance(block, Mapping) else block for block in message["content"]]
            message["content"] = content
            blocks += [block for block in content if isinstance(block, dict)]
    return messages, blocks


def is_chat(text: Any) -> bool:
    """Whether it is meant as one chat: a list with a message."""
    return isinstance(text, list | tuple) and any(isinstance(message, Mapping) for message in text)


def check_inputs(row: Row, task: Task) -> None:
    """Checks that a row has as many poses and images as its task takes.

    Args:
        row: Inputs of one answer.
        task: Task of the row.

    Raises:
        ValueError: The numbers differ.
    """
    for kind, expected, got in (("poses", task.poses, len(row.poses)), ("images", task.images, len(row.images))):
        if got != expected:
            raise ValueError(f"task {task.name!r} takes {expected} {kind} per row, got {got}")


def check_text(text: Any, task: Task | None) -> str:
    """The user's text.

    Args:
        text: The value that the user passed.
        task: None where the model chooses.

    Raises:
        ValueError: It is missing, empty or no string.
    """
    if text is None:
        reason = "without a task" if task is None else f"task {task.name!r}"
        raise ValueError(f"{reason}: a text is needed; tasks: {', '.join(TASKS)}")
    if not isinstance(text, str):
        raise ValueError(f"a text is a string or a chat, got {type(text).__name__}")
    if not text.strip():
        raise ValueError("the text is empty")
    return text


def fill_blocks(blocks: list[dict[str, Any]], kind: str, values: list[Any], keys: Sequence[str]) -> None:
    """Fills each empty block of a kind with the next value.

    Args:
        blocks: Content blocks of one chat, in order; changed in place.
        kind: "image" or "pose".
        values: Images or poses, one for each empty block.
        keys: Keys under which a block of this kind may hold its value.

    Raises:
        ValueError: The numbers differ.
    """
    empty = [block for block in blocks if block["type"] == kind and all(block.get(key) is None for key in keys)]
    if len(empty) != len(values):
        raise ValueError(f"the text has places for {len(empty)} {kind}s, but {len(values)} were given")
    for block, value in zip(empty, values):
        block[kind] = value


__all__ = ["check_inputs", "check_text", "copy_chat", "distribute", "fill_blocks", "is_chat"]
