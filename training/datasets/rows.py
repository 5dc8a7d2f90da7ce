"""Records -> training rows: `{"messages": [...], "images": [...], "poses": [(22, 3) rotation vectors]}`.

Content blocks refer to the row's images and poses in order; a pose in an assistant's turn is an output pose. Every row
carries its `task` too, the `source` of its record and the bare `text` it is about: the answer of a task that is
answered in words, the description or instruction of one that is told something. Poses are in the stored z-up frame.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset, Features, Image, Json, List, Value

from unipose.processing.pose_features import NUM_JOINTS
from unipose.tasks_unipose import TASKS
from unipose.training.datasets.instructions import TEXTS, check_tasks, check_template, load_instructions
from unipose.training.datasets.records import PicturePairRecord, PictureRecord, PosePairRecord, PoseRecord, Rotvecs


Row = dict[str, Any]
Block = dict[str, str]
Record = PoseRecord | PosePairRecord | PictureRecord | PicturePairRecord

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

# Which records a task is made from.
TASK_RECORDS: dict[str, type[Record]] = {
    name: ((PictureRecord, PicturePairRecord) if task.images else (PoseRecord, PosePairRecord))[task.num_subjects - 1]
    for name, task in TASKS.items()
}
POSE_ANSWERS = frozenset(name for name, task in TASKS.items() if task.answer == "pose")
# The prompt without a template, and how often it is used: plain descriptions and instructions work by themselves.
BARE_PROMPTS = {
    name: " ".join(f"{{{placeholder}}}" for placeholder in task.placeholders)
    for name, task in TASKS.items()
    if task.text
}
BARE_SHARE = 1 / 3

_POSES_AND_PICTURES = re.compile(r"\{(pose|image)(?:_[ab])?\}")
_TEXTS = re.compile(f"{{(?:{'|'.join(sorted(TEXTS))})}}")


class Content(NamedTuple):
    """What a record holds: encoded pictures, poses and texts, each in order."""

    images: tuple[bytes, ...]
    poses: tuple[Rotvecs, ...]
    texts: tuple[str, ...]


def blocks(template: str, text: str = "") -> list[Block]:
    """A prompt's content: words around the poses and pictures it names; `{caption}` or `{instruction}` is `text`."""
    pieces = _POSES_AND_PICTURES.split(template)
    content = [
        {"type": "text", "text": _TEXTS.sub(lambda _: text, piece)} if index % 2 == 0 else {"type": piece}
        for index, piece in enumerate(pieces)
    ]
    return [block for block in content if block != {"type": "text", "text": ""}]


def contents(record: Record) -> Content:
    """The parts of a record, whatever its sort.

    Raises:
        ValueError: a pose is not (22, 3) or not finite, or a text is empty; the message names the record.
    """
    if isinstance(record, PoseRecord):
        content = Content((), (record.rotvecs,), record.captions)
    elif isinstance(record, PosePairRecord):
        content = Content((), (record.first, record.second), record.texts)
    elif isinstance(record, PictureRecord):
        content = Content((record.image,), (record.rotvecs,), record.captions)
    else:
        pair = (record.first, record.second)
        content = Content(tuple(each.image for each in pair), tuple(each.rotvecs for each in pair), record.texts)
    for pose in content.poses:
        if np.shape(pose) != (NUM_JOINTS, 3):
            raise ValueError(f"record {record.name!r}: a pose has the shape {np.shape(pose)}; accepted: (22, 3)")
        if not np.isfinite(pose).all():
            raise ValueError(f"record {record.name!r}: a pose holds NaN or infinite values")
    if not all(text.strip() for text in content.texts):
        raise ValueError(f"record {record.name!r}: a text is empty")
    return content


def rows_from_records(
    records: Iterable[Record],
    tasks: Sequence[str],
    rng: np.random.Generator,
    templates: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Row]:
    """One row for each record, task that its sort serves, and text; image-to-pose needs none and gives one row.

    Args:
        records: of any sorts, mixed or not.
        tasks: some of `TASKS`; a record serves those that `TASK_RECORDS` gives its sort.
        rng: draws the template of each row.
        templates: ways to ask for each task; the packaged ones where left out.

    Raises:
        ValueError: an unknown task, a template that does not fit its task, a damaged record.
    """
    check_tasks(tasks)
    templates = {task: load_instructions(task) for task in tasks} if templates is None else templates
    for task in tasks:
        if not templates.get(task):
            raise ValueError(f"there is no template for {task}")
        for template in templates[task]:
            check_template(task, template)
    for record in records:
        content = contents(record)
        for task in tasks:
            if isinstance(record, TASK_RECORDS[task]):
                texts = ("",) if task == "image-to-pose" else content.texts
                for text in texts:
                    yield make_row(task, _draw_prompt(task, templates[task], rng), content, text, record.name)


def _draw_prompt(task: str, templates: Sequence[str], rng: np.random.Generator) -> str:
    if task in BARE_PROMPTS and rng.random() < BARE_SHARE:
        return BARE_PROMPTS[task]
    return templates[int(rng.integers(len(templates)))]


def make_row(task: str, prompt: str, content: Content, text: str, source: str) -> Row:
    """The row of one question and its answer.

    Args:
        task: one of `TASKS`.
        prompt: a template of the task.
        content: the pictures and poses; those that the task neither shows nor asks for are left out.
        text: the caption, instruction or difference.
        source: the record's name.
    """
    question = blocks(prompt, text)
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


def to_dataset(rows: Iterable[Row]) -> Dataset:
    """Rows as a `datasets.Dataset` with the features of a corpus."""
    return Dataset.from_list(list(rows), features=FEATURES)


__all__ = [
    "FEATURES",
    "Content",
    "Record",
    "Row",
    "blocks",
    "contents",
    "make_row",
    "rows_from_records",
    "to_dataset",
]
