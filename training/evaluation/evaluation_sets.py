"""The rows that the options of an evaluation choose: held-out motion, recorded motion, or a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import Frame
from unipose.tasks_unipose import TASKS
from unipose.training.datasets.read_rows import read_rows
from unipose.training.evaluation.held_out import (
    HeldOutFrames,
    load_recorded,
    make_held_out_frames,
    make_held_out_pairs,
    render_pairs,
)
from unipose.training.evaluation.task_rows import TaskRows, data_rows, frame_rows, pair_rows
from unipose.training.evaluation.tasks import TOKENIZER_TASK
from unipose.training.geometry import remove_heading
from unipose.training.sampling.poses import HELD_OUT_CLIPS, held_out_poses


# Beside the seven tasks: the pose tokenizer alone, and texts in people's words.
TOKENIZER_NAME, WORDS_NAME = "pose-tokenizer", "words"
EVALUATED = (TOKENIZER_NAME, *TASKS, WORDS_NAME)
RECORDED_HEADINGS = f"{TOKENIZER_TASK}, headings as recorded"


@dataclass(frozen=True)
class EvaluationSet:
    """Rows of several tasks.

    Args:
        name: name in reports.
        kind: name of the dataset in a model card's metadata.
        rows: those of each task.
        tokenizer_poses: {name in the report: (n, 22, 3, 3) poses that the pose tokenizer encodes}.
        frames: number of single poses.
    """

    name: str
    kind: str
    rows: list[TaskRows]
    tokenizer_poses: dict[str, torch.Tensor]
    frames: int

    def chosen(self, tasks: Sequence[str], limit: int | None) -> "EvaluationSet":
        """The first rows of some tasks.

        Args:
            tasks: some of `EVALUATED`; empty: all.
            limit: number of rows of each; None: all.
        """
        rows = [own.first(limit) for own in self.rows if not tasks or own.name.split(",")[0] in tasks]
        wanted = not tasks or TOKENIZER_NAME in tasks
        poses = {name: poses[:limit] for name, poses in self.tokenizer_poses.items()} if wanted else {}
        return EvaluationSet(self.name, self.kind, rows, poses, self.frames)


def check_evaluated(tasks: Sequence[str]) -> None:
    """Checks the names of what to evaluate.

    Raises:
        ValueError: an unknown name.
    """
    unknown = [task for task in tasks if task not in EVALUATED]
    if unknown:
        raise ValueError(f"got unknown tasks {', '.join(unknown)}; expected some of {', '.join(EVALUATED)}")


def held_out_set(
    body: BodyModel, tasks: Sequence[str], every: int, num_pairs: int, image_size: int, seed: int
) -> EvaluationSet:
    """Frames of the held-out motion clips, and pairs of them.

    Args:
        body: the body to measure and to render.
        tasks: some of `EVALUATED`; empty: all. Images of pairs are rendered only if they are wanted.
        every: step between frames.
        num_pairs: number of pairs.
        image_size: pixels of the square images.
        seed: seed of all random choices.
    """
    frames = make_held_out_frames(held_out_poses()[::every].float(), body, image_size, seed)
    pairs = make_held_out_pairs(num_pairs, body, seed)
    with_views = not tasks or "image-diff" in tasks
    views = render_pairs(pairs.pairs, body, image_size, seed) if with_views else None
    rows = [*frame_rows(frames), *pair_rows(pairs, views)]
    name = f"held-out motion clips ({', '.join(HELD_OUT_CLIPS)})"
    return EvaluationSet(name, "deepmimic-held-out", rows, {TOKENIZER_TASK: frames.poses}, len(frames.poses))


def recorded_set(folders: Sequence[str], count: int, body: BodyModel, image_size: int, seed: int) -> EvaluationSet:
    """Recorded poses as held-out frames; the pose tokenizer sees them with their own headings too.

    Args:
        folders: outputs of `import_data`.
        count: maximum number of poses.
        body: the body to measure and to render.
        image_size: pixels of the square images.
        seed: seed of all random choices.
    """
    poses = load_recorded(folders, count)
    frames: HeldOutFrames = make_held_out_frames(remove_heading(poses), body, image_size, seed)
    tokenizer_poses = {TOKENIZER_TASK: frames.poses, RECORDED_HEADINGS: poses}
    return EvaluationSet("recorded motion", "recorded-motion", frame_rows(frames), tokenizer_poses, len(poses))


def data_set(source: str, split: str, tasks: Sequence[str], frame: Frame | None) -> EvaluationSet:
    """Rows of a dataset in any form that `read_rows` takes.

    Args:
        source: a file, a folder, a corpus, or the id of a Hub dataset.
        split: its split.
        tasks: some of `EVALUATED`; plain columns make rows of these tasks.
        frame: frame of poses that state none.

    Raises:
        ValueError: a row is wrong, or no row is of one of the tasks.
        FileNotFoundError: there is no such file, folder or dataset.
    """
    rows = data_rows(read_rows(source, split=split, tasks=[task for task in tasks if task in TASKS], frame=frame))
    targets = [own.poses for own in rows if own.answers_with_pose and own.poses is not None]
    poses = {TOKENIZER_TASK: torch.cat(targets)} if targets else {}
    name = f"{Path(source).name}, split {split}"
    found = EvaluationSet(name, source, rows, poses, sum(len(own) for own in rows)).chosen(tasks, None)
    if not found.rows and not found.tokenizer_poses:
        raise ValueError(
            f"{source}, split {split}, has no rows of the tasks {', '.join(tasks)}; "
            f"it has {', '.join(own.name for own in rows)}"
        )
    return found
