"""Rows of plain columns (`text`, `pose`, `image`, ...) -> the question and the answer of a task."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unipose.configuration_unipose import shorten
from unipose.tasks_unipose import TASKS, Task
from unipose.training.datasets.instructions import check_tasks
from unipose.training.datasets.row_values import Place, read_image_file, read_pose
from unipose.training.datasets.rows import Content, Row, make_row


# Other names of a column: those of paths, and that of the Hub's image folders.
SYNONYMS = {
    "pose_path": "pose",
    "second_pose_path": "second_pose",
    "image_path": "image",
    "file_name": "image",
    "second_image_path": "second_image",
    "caption": "text",
}
POSES, IMAGES = ("pose", "second_pose"), ("image", "second_image")
# Columns of a row beside those of its task.
OPTIONS = ("task", "source", "frame")
COLUMNS = (*POSES, *IMAGES, "text", "question", *OPTIONS)

_TOKEN = re.compile(r"<(pose|image)>")


def task_columns(task: Task) -> set[str]:
    """The columns that a task needs: the answer to an edit is its second pose."""
    poses = task.poses + (task.answer == "pose")
    columns = {*POSES[:poses], *IMAGES[: task.images]}
    return columns if task.answer == "pose" and task.text is None else columns | {"text"}


# The first task whose columns are those of a row, where neither the row nor the caller names one.
DEFAULT_TASKS = ("text-to-pose", "image-to-pose", "image-to-text", "pose-edit", "image-diff")


def plain_columns(row: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The columns of a row that have a value, by their first names.

    Args:
        row: The row.
        place: Where it comes from.

    Raises:
        ValueError: An unknown column, or two names of one.
    """
    columns: dict[str, Any] = {}
    for given, value in row.items():
        name = SYNONYMS.get(given, given)
        if name not in COLUMNS:
            raise ValueError(
                f"{place.name}: got the column {given!r}; expected messages, images and poses, or some of "
                f"{', '.join((*COLUMNS, *SYNONYMS))}; rename or ignore others"
            )
        if value is None:
            continue
        if name in columns:
            raise ValueError(f"{place.name}, {given}: {name!r} is given twice; expected one of both")
        columns[name] = value
    return columns


def tasks_of_columns(columns: Mapping[str, Any], tasks: Sequence[str], place: Place) -> list[str]:
    """The tasks of a row.

    Args:
        columns: Its columns.
        tasks: The caller's choice; the row has those that its columns suffice for. Empty: see `DEFAULT_TASKS`.
        place: Where it comes from.

    Raises:
        ValueError: No task fits, or one that is named does not, or a column is in none of them.
    """
    given = set(columns) - set(OPTIONS) - {"question"}
    named = columns.get("task")
    if named is not None:
        try:
            check_tasks([named])
        except ValueError as error:
            raise ValueError(f"{place.name}, task: {error}") from error
        found = [named]
    elif tasks:
        found = [task for task in tasks if task_columns(TASKS[task]) <= given]
    elif "question" in columns:
        found = [name for name, task in TASKS.items() if task.answer == "text" and task_columns(task) == given]
    else:
        found = [task for task in DEFAULT_TASKS if task_columns(TASKS[task]) == given]
    used = {column for task in found for column in task_columns(TASKS[task])}
    if not found or used != given:
        wanted = " and ".join(found) or " or ".join(tasks) or "a task"
        raise ValueError(
            f"{place.name}: got the columns {', '.join(sorted(given)) or 'none'} for {wanted}; expected "
            + "; ".join(f"{name}: {', '.join(sorted(task_columns(task)))}" for name, task in TASKS.items())
            + "; name the task in a column task, or the tasks of all rows"
        )
    return found


def rows_of_columns(
    columns: Mapping[str, Any], tasks: Iterable[str], prompts: Mapping[str, str], place: Place
) -> list[Row]:
    """One row for each task.

    Args:
        columns: Columns with a value.
        tasks: Tasks that fit them.
        prompts: The model's prompts, as in a processor's `task_prompts`; those of `TASKS` where left out.
        place: Where the row comes from.

    Raises:
        ValueError: A value is wrong; the message names the row and the column.
    """
    frame = columns.get("frame")
    poses = {name: read_pose(columns[name], place, name, frame) for name in POSES if name in columns}
    images = {name: read_image_file(columns[name], place, name) for name in IMAGES if name in columns}
    texts = {name: check_words(columns[name], place, name) for name in ("text", "question") if name in columns}
    rows = []
    for name in tasks:
        task = TASKS[name]
        needed = task_columns(task)
        content = Content(
            tuple(image for column, image in images.items() if column in needed),
            tuple(pose for column, pose in poses.items() if column in needed),
            (),
        )
        text = texts.get("text", "") if "text" in needed else ""
        template = prompt_template(task, prompts.get(name, task.prompt), texts.get("question"), place)
        rows.append(make_row(name, template, content, text, str(columns.get("source") or place.name)))
    return rows


def prompt_template(task: Task, prompt: str, question: str | None, place: Place) -> str:
    """The template of a row's question: as the pipeline writes it: training and use have the same prompts.

    Args:
        task: The task.
        prompt: The model's prompt of the task.
        question: The row's own.
        place: Where the row comes from.

    Raises:
        ValueError: A question where the text is the prompt, or placeholders that do not fit the task.
    """
    if question is not None and task.text is not None:
        raise ValueError(f"{place.name}, question: {task.name} has none, its prompt is the text; leave it out")
    text = prompt if question is None else question
    inputs = [name for name in task.placeholders if name != task.text]
    kinds = [name.split("_")[0] for name in inputs]
    if not _TOKEN.search(text):
        text = "".join(f"<{kind}> " for kind in kinds) + text
    if _TOKEN.findall(text) != kinds:
        raise ValueError(f"{place.name}, question: got {shorten(text)}; expected the placeholders {kinds} or none")
    template = _TOKEN.sub(lambda token: f"{{{token[1]}}}", text)
    return template.replace("{text}", f"{{{task.text}}}")


def check_words(text: Any, place: Place, column: str) -> str:
    """A text of a row.

    Args:
        text: The value.
        place: Where the row comes from.
        column: Its column.

    Raises:
        ValueError: It is no text, or empty.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{place.name}, {column}: got {shorten(text)}; expected words")
    return text
