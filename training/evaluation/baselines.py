"""Answers without the model, for comparison: of the training poses, of the input, of other rows, of random weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import roma
import torch
from transformers import AutoModelForImageTextToText

from unipose import UniPosePipeline
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import rotmat_to_rotation_6d, to_y_up
from unipose.training.captions.describe import describe
from unipose.training.captions.posecodes import CODES, Posecode
from unipose.training.evaluation.held_out import rotate_heading_at_random
from unipose.training.evaluation.posecode_metrics import posecodes_of_poses
from unipose.training.evaluation.task_rows import TaskRows
from unipose.training.geometry import heading, remove_heading, rotate_heading


# Names of the baselines in reports.
TOKENIZER = "pose tokenizer alone"
MEAN_POSE = "mean training pose"
NEAREST_BY_TEXT = "nearest training pose by description"
NEAREST_BY_POSE = "nearest training pose"
INPUT_POSE = "input pose unchanged"
REFERENCES = "reference texts"
SHUFFLED_REFERENCES = "reference texts of other rows"
NEAREST_CAPTION = "template caption of the nearest training pose"
OWN_CAPTIONS, OWN_DIFFERENCES = "captions of other frames", "texts of other pairs"
RANDOM_MODEL = "random weights"


@dataclass(frozen=True)
class TrainingPoses:
    """What baselines know of the training.

    Args:
        poses: (m, 22, 3, 3) training poses in the stored frame, heading removed.
        posecodes: the posecodes of each.
        joints: (m, 22, 3) their joints in meters.
    """

    poses: torch.Tensor
    posecodes: list[tuple[Posecode, ...]]
    joints: torch.Tensor

    @classmethod
    def of(cls, poses: torch.Tensor, body: BodyModel) -> "TrainingPoses":
        """Measures training poses.

        Args:
            poses: (m, 22, 3, 3) in the stored frame, heading removed.
            body: the body to measure.
        """
        return cls(poses, posecodes_of_poses(poses, body), body.forward_joints(poses))


@torch.no_grad()
def pose_baselines(
    rows: TaskRows, training: TrainingPoses, pose_tokenizer: Any, body: BodyModel, seed: int
) -> dict[str, torch.Tensor]:
    """The baselines' poses for rows that are answered with a pose.

    Args:
        rows: n rows.
        training: training poses.
        pose_tokenizer: that of the model: the ground truth passes through it.
        body: the body to measure.
        seed: seed of the headings of the mean pose.

    Returns:
        {name: (n, 22, 3, 3)}.

    Raises:
        ValueError: the rows have no targets.
    """
    if rows.poses is None:
        raise ValueError(f"{rows.name}: its rows have no target poses")
    seen = training.poses
    if rows.has_headings:
        seen = rotate_heading_at_random(seen, np.random.default_rng(seed))
    answers = {
        TOKENIZER: reconstruct(pose_tokenizer, rows.poses),
        MEAN_POSE: mean_pose(seen).expand_as(rows.poses),
        NEAREST_BY_POSE: nearest_poses(rows.poses, training, body),
    }
    if rows.before is not None:
        answers[INPUT_POSE] = rows.before
    elif len(rows.statements):
        answers[NEAREST_BY_TEXT] = training.poses[nearest_by_posecodes(rows.statements, training.posecodes)]
    return answers


def text_baselines(
    rows: TaskRows, texts: Sequence[str], training: TrainingPoses, body: BodyModel, seed: int
) -> dict[str, list[str]]:
    """The baselines' texts for rows that are answered with a text.

    Args:
        rows: n rows.
        texts: the model's answers, which are shuffled among the rows.
        training: training poses.
        body: the body to measure.
        seed: seed of the shuffling and of the template captions.

    Returns:
        {name: n texts}.
    """
    answers: dict[str, list[str]] = {}
    if len(rows.texts):
        answers[REFERENCES] = list(rows.texts)
    if rows.poses is not None and not rows.compares:
        nearest = nearest_indices(rows.poses, training, body)
        rng = np.random.default_rng(seed)
        answers[NEAREST_CAPTION] = [describe(training.posecodes[index], rng).text for index in nearest.tolist()]
    if len(rows) > 1:
        partners = shuffled_partners(len(rows), np.random.default_rng(seed))
        if len(rows.texts):
            answers[SHUFFLED_REFERENCES] = [rows.texts[index] for index in partners]
        own = OWN_DIFFERENCES if rows.compares else OWN_CAPTIONS
        answers[own] = [texts[index] for index in partners]
    return answers


def random_pipeline(pipe: UniPosePipeline, seed: int) -> UniPosePipeline:
    """A pipeline whose model has the same config and random weights.

    Args:
        pipe: pipeline of the model.
        seed: seed of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(pipe.model.config).eval()
    model.generation_config = pipe.model.generation_config
    return UniPosePipeline(model=model, processor=pipe.processor, device=pipe.model.device)


@torch.no_grad()
def reconstruct(pose_tokenizer: Any, poses: torch.Tensor) -> torch.Tensor:
    """Poses that the pose tokenizer encodes and decodes.

    Args:
        pose_tokenizer: of a model in evaluation mode.
        poses: (n, 22, 3, 3) in the stored frame.
    """
    pose_tokenizer.eval()
    values = rotmat_to_rotation_6d(poses).to(pose_tokenizer.device)
    return pose_tokenizer.decode(pose_tokenizer.encode(values)).float().cpu()


def mean_pose(poses: torch.Tensor) -> torch.Tensor:
    """(n, 22, 3, 3) -> (22, 3, 3): the rotations with the least mean squared chordal distance."""
    return roma.special_procrustes(poses.mean(dim=0))


def nearest_indices(poses: torch.Tensor, training: TrainingPoses, body: BodyModel) -> torch.Tensor:
    """The training pose with the least mean joint distance from each pose, whatever their headings.

    Args:
        poses: (n, 22, 3, 3) in the stored frame.
        training: training poses.
        body: the body to measure.

    Returns:
        (n,) indices.
    """
    joints = body.forward_joints(remove_heading(poses.double()).float())
    return torch.stack([(training.joints - own).norm(dim=-1).mean(dim=1).argmin() for own in joints])


def nearest_poses(poses: torch.Tensor, training: TrainingPoses, body: BodyModel) -> torch.Tensor:
    """(n, 22, 3, 3): the nearest training pose of each pose, with the heading of that pose.

    Args:
        poses: (n, 22, 3, 3) in the stored frame.
        training: training poses.
        body: the body to measure.
    """
    nearest = training.poses[nearest_indices(poses, training, body)]
    yaw = torch.from_numpy(heading(to_y_up(poses)[:, 0].double().numpy()))
    return rotate_heading(nearest, yaw).to(poses.dtype)


def nearest_by_posecodes(
    queries: Sequence[Sequence[Posecode]], candidates: Sequence[Sequence[Posecode]]
) -> npt.NDArray[np.int64]:
    """The candidate with the largest overlap of posecodes (intersection over union) for each query.

    Args:
        queries: n sets of posecodes.
        candidates: m sets of posecodes.

    Returns:
        (n,) indices into the candidates; the first of equally good ones.
    """
    first, second = _multi_hot(queries), _multi_hot(candidates)
    intersection = first @ second.T
    union = first.sum(axis=1)[:, None] + second.sum(axis=1) - intersection
    return np.argmax(intersection / np.maximum(union, 1.0), axis=1)


def _multi_hot(posecodes: Sequence[Sequence[Posecode]]) -> npt.NDArray[np.float32]:
    column = {code: index for index, code in enumerate(CODES)}
    table = np.zeros((len(posecodes), len(CODES)), dtype=np.float32)
    for row, codes in enumerate(posecodes):
        table[row, [column[code] for code in codes]] = 1.0
    return table


def shuffled_partners(count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """A random assignment of rows to other rows.

    Args:
        count: rows, two or more.
        rng: the random numbers.

    Returns:
        (count,) indices, a permutation that leaves no row at its own place.
    """
    order = rng.permutation(count)
    partners = np.empty(count, dtype=np.int64)
    partners[order] = np.roll(order, 1)
    return partners
