"""Records -> training rows: `{"messages": [...], "images": [...], "poses": [(22, 3) rotation vectors]}`.

Content blocks refer to the row's images and poses in order; a pose in an assistant's turn is an output pose. Every row
also has its `task`, its record's name (`source`) and its `text`: the answer where that is a text, otherwise the
caption or instruction in the prompt, or "". Poses are in the stored z-up frame.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset, Features, Image, Json, List, Value

from unipose.processing.pose_features import NUM_JOINTS
from unipose.tasks_unipose import TASKS
from unipose.training.datasets.instructions import TEXTS, check_tasks, check_template, load_instructions
from unipose.training.datasets.records import (
    ChainRecord,
    ImageAnswerRecord,
    ImagePairRecord,
    ImageRecord,
    PosePairRecord,
    PoseRecord,
    Rotvecs,
)
from unipose.training.datasets.row_checks import check_poses


Row = dict[str, Any]
Block = dict[str, str]
Record = PoseRecord | PosePairRecord | ChainRecord | ImageRecord | ImageAnswerRecord | ImagePairRecord

FEATURES = Features(
    {
        "messages": List(Json()),
        "images": List(Image()),
        "poses": List(List(List(Value("float32"), length=3), length=NUM_JOINTS)),
        "task": Value("string"),
        "source": Value("string"),
        "text": Value("string"),
    }
)

# The kind of record that each task needs.
TASK_RECORDS: dict[str, type[Record]] = {
    name: ((ImageRecord, ImagePairRecord) if task.images else (PoseRecord, PosePairRecord))[task.num_subjects - 1]
    for name, task in TASKS.items()
}
POSE_ANSWERS = frozenset(name for name, task in TASKS.items() if task.answer == "pose")
# The task of a chat of several turns, and of an answer about an image.
CHAIN_TASK, IMAGE_ANSWER_TASK = "pose-edit", "image-to-text"
# Prompts without a template, and their share: a plain caption or instruction should work as a prompt.
BARE_PROMPTS = {
    name: " ".join(f"{{{placeholder}}}" for placeholder in task.placeholders)
    for name, task in TASKS.items()
    if task.text
}
BARE_SHARE = 1 / 3

_PLACEHOLDER = re.compile(r"\{(pose|image)(?:_[ab])?\}")
_TEXTS = re.compile(f"{{(?:{'|'.join(sorted(TEXTS))})}}")


class Content(NamedTuple):
    """The encoded images, poses and texts of a record, each in order."""

    images: tuple[bytes, ...]
    poses: tuple[Rotvecs, ...]
    texts: tuple[str, ...]


def content_blocks(template: str, text: str = "") -> list[Block]:
    """The content blocks of a prompt.

    Args:
        template: text with placeholders of poses and images, such as `{pose_a}`.
        text: replaces `{caption}` or `{instruction}`.
    """
    pieces = _PLACEHOLDER.split(template)
    content = [
        {"type": "text", "text": _TEXTS.sub(lambda _: text, piece)} if index % 2 == 0 else {"type": piece}
        for index, piece in enumerate(pieces)
    ]
    return [block for block in content if block != {"type": "text", "text": ""}]


def record_content(record: Record) -> Content:
    """The validated content of a record of any kind.

    Raises:
        ValueError: a pose is not (22, 3), not finite or in degrees, or a text is empty; the message names the record.
    """
    if isinstance(record, PoseRecord):
        content = Content((), (record.rotvecs,), record.captions)
    elif isinstance(record, PosePairRecord):
        content = Content((), (record.first, record.second), record.texts)
    elif isinstance(record, ChainRecord):
        content = Content((), record.poses, record.turns)
    elif isinstance(record, ImageAnswerRecord):
        content = Content((record.image,), (), (record.answer,))
    elif isinstance(record, ImageRecord):
        content = Content((record.image,), (record.rotvecs,), record.captions)
    else:
        pair = (record.first, record.second)
        content = Content(tuple(each.image for each in pair), tuple(each.rotvecs for each in pair), record.texts)
    check_poses(content.poses, f"record {record.name!r}")
    if not all(text.strip() for text in content.texts):
        raise ValueError(f"record {record.name!r}: got an empty text; expected words")
    return content


def rows_from_records(
    records: Iterable[Record],
    tasks: Sequence[str],
    rng: np.random.Generator,
    templates: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Row]:
    """One row for each record, each task of its kind, and each text; image-to-pose has one row without a text.

    Args:
        records: records of any kinds.
        tasks: keys of `TASKS`; a record has the tasks of its kind (`TASK_RECORDS`).
        rng: draws the template of each row whose record has none.
        templates: prompts of each task; the packaged ones where left out.

    Raises:
        ValueError: an unknown task, a template that does not fit its task, or an invalid record.
    """
    check_tasks(tasks)
    templates = {task: load_instructions(task) for task in tasks} if templates is None else templates
    for task in tasks:
        if not templates.get(task):
            raise ValueError(f"got templates without any of {task}; expected at least one")
        for template in templates[task]:
            check_template(task, template)
    for record in records:
        content = record_content(record)
        if isinstance(record, ChainRecord) and CHAIN_TASK in tasks:
            yield make_chain_row(record)
        for task in tasks:
            if isinstance(record, TASK_RECORDS[task]) or (
                isinstance(record, ImageAnswerRecord) and task == IMAGE_ANSWER_TASK
            ):
                texts = ("",) if task == "image-to-pose" else content.texts
                for text in texts:
                    prompt = _own_prompt(record) or _draw_prompt(task, templates[task], rng)
                    yield make_row(task, prompt, content, text, record.name)


def _own_prompt(record: Record) -> str:
    return record.prompt if isinstance(record, PoseRecord | PosePairRecord | ImageAnswerRecord) else ""


def _draw_prompt(task: str, templates: Sequence[str], rng: np.random.Generator) -> str:
    if task in BARE_PROMPTS and rng.random() < BARE_SHARE:
        return BARE_PROMPTS[task]
    return templates[int(rng.integers(len(templates)))]


def make_row(task: str, prompt: str, content: Content, text: str, source: str) -> Row:
    """One training row: a prompt and its answer.

    Args:
        task: a key of `TASKS`.
        prompt: a template of the task.
        content: images and poses; those that the task does not use are left out.
        text: the caption, instruction or difference.
        source: the record's name.
    """
    question = content_blocks(prompt, text)
    answer = [{"type": "pose"} if task in POSE_ANSWERS else {"type": "text", "text": text}]
    num_poses = sum(block["type"] == "pose" for block in question + answer)
    return {
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        "images": [{"bytes": image, "path": None} for image in content.images],
        "poses": [np.asarray(pose, dtype=np.float32).tolist() for pose in content.poses[:num_poses]],
        "task": task,
        "source": source,
        "text": text,
    }


def make_chain_row(record: ChainRecord) -> Row:
    """One training row of several turns, each answered with a pose.

    Args:
        record: the chat.

    Raises:
        ValueError: the number of poses does not fit the turns.
    """
    questions = [content_blocks(turn) for turn in record.turns]
    num_poses = len(questions) + sum(block["type"] == "pose" for question in questions for block in question)
    if num_poses != len(record.poses):
        raise ValueError(f"record {record.name!r}: got {len(record.poses)} poses; expected {num_poses} for its turns")
    messages: list[dict[str, Any]] = []
    for question in questions:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": [{"type": "pose"}]}]
    return {
        "messages": messages,
        "images": [],
        "poses": [np.asarray(pose, dtype=np.float32).tolist() for pose in record.poses],
        "task": CHAIN_TASK,
        "source": record.name,
        "text": record.turns[-1],
    }


def to_dataset(rows: Iterable[Row]) -> Dataset:
    """Rows as a `datasets.Dataset` with the features of a corpus."""
    return Dataset.from_list(list(rows), features=FEATURES)
