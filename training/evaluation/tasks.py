"""The metrics of a model and of all baselines on the rows of a task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from unipose.training.evaluation.baselines import (
    RANDOM_MODEL,
    TrainingPoses,
    pose_baselines,
    reconstruct,
    text_baselines,
)
from unipose.training.evaluation.scores import (
    Judge,
    Statistics,
    error_statistics,
    pose_statistics,
    sample_statistics,
    text_statistics,
)
from unipose.training.evaluation.task_rows import TaskRows


# {"model" or a baseline: {metric: value}}
Results = dict[str, dict[str, float]]

MODEL = "model"
# Several poses fit the text.
SAMPLED_TASKS = ("text-to-pose", "pose-edit")
TOKENIZER_TASK = "pose tokenizer"


@dataclass(frozen=True)
class TaskResult:
    """What a model made of the rows of a task.

    Args:
        rows: the rows; those of the pose tokenizer have no inputs.
        outputs: the model's answers, as the pipeline gives them.
        scores: {"model" or a baseline: {metric: statistic}}.
    """

    rows: TaskRows
    outputs: list[dict[str, Any]]
    scores: dict[str, Statistics]

    def values(self) -> Results:
        """{"model" or a baseline: {metric: value}}."""
        return {
            name: {metric: statistic.score() for metric, statistic in own.items()} for name, own in self.scores.items()
        }


def predict(
    pipe: Any, task: str, batch_size: int, process: int = 0, processes: int = 1, **inputs: Sequence[Any]
) -> list[dict[str, Any]]:
    """The pipeline's greedy outputs for a list of inputs, batch by batch.

    Args:
        pipe: `pipeline("unipose")`.
        task: name of the task.
        batch_size: number of inputs per forward pass.
        process: index of this process, which answers every batch of its own.
        processes: number of processes.
        inputs: `text`, `images` or `poses`, as the pipeline takes them.
    """
    count = len(next(iter(inputs.values())))
    outputs: list[dict[str, Any]] = []
    starts = range(process * batch_size, count, processes * batch_size)
    for start in tqdm(starts, desc=task, leave=False, disable=None):
        batch = {name: list(rows[start : start + batch_size]) for name, rows in inputs.items()}
        size = len(next(iter(batch.values())))
        outputs += pipe(**batch, task=task, batch_size=size, do_sample=False)
    return outputs


def answer_rows(
    pipe: Any, rows: TaskRows, batch_size: int, process: int = 0, processes: int = 1
) -> list[dict[str, Any]]:
    """The pipeline's greedy outputs for the rows of a task.

    Args:
        pipe: `pipeline("unipose")`.
        rows: the rows.
        batch_size: number of rows per forward pass.
        process: see `predict`.
        processes: see `predict`.
    """
    return predict(pipe, rows.pipeline_task, batch_size, process, processes, **rows.inputs)


def first_poses(outputs: Sequence[dict[str, Any]]) -> torch.Tensor:
    """(n, 22, 3, 3): the first pose of each output."""
    return torch.stack([torch.as_tensor(output["poses"][0]).float() for output in outputs])


def evaluate_task(
    pipe: Any,
    rows: TaskRows,
    training: TrainingPoses,
    judge: Judge,
    batch_size: int = 32,
    seed: int = 0,
    random_pipe: Any = None,
    sampler: Any = None,
) -> TaskResult:
    """The metrics of a model, and of all baselines that fit the task.

    Args:
        pipe: `pipeline("unipose")` of the model.
        rows: the rows of the task.
        training: training poses, for the baselines.
        judge: what answers are measured with.
        batch_size: number of rows per forward pass.
        seed: seed of the baselines' random choices.
        random_pipe: pipeline of a model with random weights, a further baseline.
        sampler: `PoseSampler` of the model, for multimodality.
    """
    outputs = answer_rows(pipe, rows, batch_size)
    random_outputs = None if random_pipe is None else answer_rows(random_pipe, rows, batch_size)
    scores: dict[str, Statistics] = {}
    if rows.answers_with_pose:
        poses = {MODEL: first_poses(outputs)}
        poses |= pose_baselines(rows, training, pipe.model.model.pose_tokenizer, judge.body, seed)
        if random_outputs is not None:
            poses[RANDOM_MODEL] = first_poses(random_outputs)
        scores = {name: pose_statistics(rows, own, judge) for name, own in poses.items()}
        if sampler is not None and rows.task in SAMPLED_TASKS:
            samples = [answer["poses"] for answer in answer_rows(sampler, rows, batch_size)]
            scores[MODEL] |= sample_statistics(rows, torch.as_tensor(np.array(samples)), judge)
    else:
        texts = {MODEL: [output["text"] for output in outputs]}
        texts |= text_baselines(rows, texts[MODEL], training, judge.body, seed)
        if random_outputs is not None:
            texts[RANDOM_MODEL] = [output["text"] for output in random_outputs]
        scores = {name: text_statistics(rows, own, judge) for name, own in texts.items()}
    return TaskResult(rows, outputs, scores)


def evaluate_pose_tokenizer(pipe: Any, poses: torch.Tensor, judge: Judge, name: str = TOKENIZER_TASK) -> TaskResult:
    """The errors of poses that the model's pose tokenizer encodes and decodes.

    Args:
        pipe: `pipeline("unipose")` of the model.
        poses: (n, 22, 3, 3) in the stored frame.
        judge: what poses are measured with.
        name: name in the report.
    """
    decoded = reconstruct(pipe.model.model.pose_tokenizer, poses)
    outputs = [{"text": "", "poses": [pose.numpy()]} for pose in decoded]
    scores = {MODEL: error_statistics(decoded, poses, judge.error_body)}
    return TaskResult(TaskRows(name, "image-to-pose", {"poses": list(poses)}, poses), outputs, scores)
