"""The rows that a task is evaluated on: inputs of the pipeline, and what is known about right answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import roma
import torch
from datasets import Dataset

from unipose.tasks_unipose import TASKS
from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.instruction_reader import read_instruction
from unipose.training.captions.paircodes import Paircode
from unipose.training.captions.posecodes import Posecode
from unipose.training.evaluation.held_out import HeldOutFrames, HeldOutPairs, PairViews
from unipose.training.evaluation.row_answers import TASK_OF_ANSWER, answer_kind, answer_text, count_prompt_poses
from unipose.training.sampling.pose_pairs import PosePairs


Statement = Posecode | Paircode


@dataclass(frozen=True)
class TaskRows:
    """n rows of one task.

    Args:
        name: the task, or another name of the rows in the report.
        task: name of the task.
        inputs: `text`, `images` and `poses` of the pipeline, n of each.
        poses: (n, 22, 3, 3), the right answers, or the poses that a text describes (of a pair: the second); None if
            they are not known.
        before: (n, 22, 3, 3), the first pose of each pair.
        texts: n texts: the input of a pose, or the references of a text; empty if there are none.
        statements: what each of `texts` states.
        changes: n pairs whose changed parts are known.
        has_headings: whether poses face every direction, as in images.
        are_chats: whether `text` holds chats, with the prompts of the rows.
    """

    name: str
    task: str
    inputs: dict[str, Sequence[Any]]
    poses: torch.Tensor | None = None
    before: torch.Tensor | None = None
    texts: Sequence[str] = ()
    statements: Sequence[tuple[Any, ...]] = field(default_factory=tuple)
    changes: PosePairs | None = None
    has_headings: bool = False
    are_chats: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def answers_with_pose(self) -> bool:
        return TASKS[self.task].answer == "pose"

    @property
    def compares(self) -> bool:
        """Whether texts are about two poses."""
        return TASKS[self.task].num_subjects == 2

    @property
    def pipeline_task(self) -> str:
        """The task of the pipeline's call; of a chat it takes the kind of answer alone."""
        return TASK_OF_ANSWER[TASKS[self.task].answer] if self.are_chats else self.task

    def first(self, count: int | None) -> "TaskRows":
        """The first rows; all if `count` is None."""
        if count is None or count >= len(self):
            return self
        return replace(
            self,
            inputs={name: column[:count] for name, column in self.inputs.items()},
            poses=None if self.poses is None else self.poses[:count],
            before=None if self.before is None else self.before[:count],
            texts=self.texts[:count],
            statements=self.statements[:count],
            changes=None if self.changes is None else self.changes.select(range(count)),
        )


def frame_rows(held_out: HeldOutFrames) -> list[TaskRows]:
    """The four tasks of single poses and images.

    Args:
        held_out: poses with their descriptions and images.
    """
    texts = [caption.text for caption in held_out.captions]
    codes = [caption.codes for caption in held_out.captions]
    described = {"texts": texts, "statements": codes}
    poses, seen = held_out.poses, held_out.camera_poses
    images = {"images": held_out.images}
    return [
        TaskRows("text-to-pose", "text-to-pose", {"text": texts}, poses, **described),
        TaskRows("image-to-pose", "image-to-pose", images, seen, has_headings=True),
        TaskRows("pose-to-text", "pose-to-text", {"poses": list(poses)}, poses, **described),
        TaskRows("image-to-text", "image-to-text", images, seen, **described, has_headings=True),
    ]


def pair_rows(held_out: HeldOutPairs, views: PairViews | None) -> list[TaskRows]:
    """The tasks of pairs of poses: edits, differences, and differences of images.

    Args:
        held_out: pairs with instructions and differences.
        views: images of the pairs; without them image-diff is left out.
    """
    pairs = held_out.pairs
    known = {"poses": pairs.second, "before": pairs.first, "changes": pairs}
    edits = [instruction.text for instruction in held_out.instructions]
    edit_codes = [instruction.codes for instruction in held_out.instructions]
    texts = {
        "texts": [difference.text for difference in held_out.differences],
        "statements": [difference.codes for difference in held_out.differences],
    }
    both = [list(pair) for pair in zip(pairs.first, pairs.second)]
    rows = [
        TaskRows(
            "pose-edit",
            "pose-edit",
            {"text": edits, "poses": list(pairs.first)},
            **known,
            texts=edits,
            statements=edit_codes,
        ),
        TaskRows("pose-diff", "pose-diff", {"poses": both}, **known, **texts),
    ]
    if views is not None:
        rows.append(TaskRows("image-diff", "image-diff", {"images": views.images}, **known, **texts))
    return rows


def data_rows(rows: Dataset) -> list[TaskRows]:
    """Rows of `read_rows` by task and kind of answer, in the order of `TASKS`; the prompts are the rows' own.

    Args:
        rows: training rows; the last message of each is the right answer.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["task"], answer_kind(row)), []).append(row)
    order = list(TASKS)
    known = sorted(groups, key=lambda key: (order.index(key[0]) if key[0] in order else len(order), key))
    tasks = [task for task, _ in groups]
    return [
        _data_task(task if tasks.count(task) == 1 else f"{task}, {kind}", task, kind, groups[task, kind])
        for task, kind in known
    ]


def _data_task(name: str, task: str, kind: str, rows: Sequence[dict[str, Any]]) -> TaskRows:
    # Of a free chat only the kind of its answer is known, not what its text is about.
    is_known = task in TASKS and TASKS[task].answer == kind
    own = TASKS[task if is_known else TASK_OF_ANSWER[kind]]
    counts = [count_prompt_poses(row) for row in rows]
    if kind == "pose":
        targets = [row["poses"][count] for row, count in zip(rows, counts)]
        befores = [row["poses"][count - 1] if count else None for row, count in zip(rows, counts)]
        texts = [row["text"] for row in rows] if is_known and own.text else []
    else:
        shows_poses = is_known and all(count == own.poses > 0 for count in counts)
        targets = [row["poses"][count - 1] if shows_poses else None for row, count in zip(rows, counts)]
        befores = [row["poses"][0] if shows_poses else None for row in rows]
        texts = [answer_text(row) for row in rows]
    before = _rotmats(befores) if own.num_subjects == 2 else None
    read = read_caption if own.num_subjects == 1 else read_instruction
    # The paircodes of an edit need the pose before it.
    has_statements = is_known and (kind == "text" or own.num_subjects == 1 or before is not None)
    return TaskRows(
        name,
        own.name,
        {
            "text": [row["messages"][:-1] for row in rows],
            "images": [row["images"] for row in rows],
            "poses": [row["poses"][:count] for row, count in zip(rows, counts)],
        },
        _rotmats(targets),
        before,
        texts,
        [read(text).codes for text in texts] if has_statements else [],
        has_headings=any(row["images"] for row in rows),
        are_chats=True,
    )


def _rotmats(rotvecs: Sequence[Any]) -> torch.Tensor | None:
    if any(pose is None for pose in rotvecs):
        return None
    return roma.rotvec_to_rotmat(torch.tensor(rotvecs, dtype=torch.float32))
