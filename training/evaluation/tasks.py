"""Metrics of a model and of baselines on the held-out sets, for each task.

Every `evaluate_...` returns {"model" or the baseline's name: {metric: value}}.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from unipose.processing.body_model import BodyModel
from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.instruction_reader import read_instruction
from unipose.training.evaluation.baselines import mean_pose, nearest_by_posecodes, shuffled_partners
from unipose.training.evaluation.held_out import HeldOutFrames, HeldOutPairs, rotate_heading_at_random
from unipose.training.evaluation.metrics import pose_errors, reconstruction_error
from unipose.training.evaluation.posecode_metrics import (
    changed_part_named,
    paircode_precision,
    posecode_precision,
    posecodes_of_poses,
    reading_metrics,
)


# {"model" or a baseline: {metric: value}}
Results = dict[str, dict[str, float]]


def predict(pipe: Any, task: str, batch_size: int, **inputs: Sequence[Any]) -> list[dict[str, Any]]:
    """The pipeline's greedy outputs for a list of inputs, batch by batch.

    Args:
        pipe: `pipeline("unipose")`.
        task: name of the task.
        batch_size: number of inputs per forward pass.
        inputs: `text`, `images` or `poses`, as the pipeline takes them.
    """
    count = len(next(iter(inputs.values())))
    outputs: list[dict[str, Any]] = []
    for start in tqdm(range(0, count, batch_size), desc=task, leave=False, disable=None):
        batch = {name: list(rows[start : start + batch_size]) for name, rows in inputs.items()}
        size = len(next(iter(batch.values())))
        outputs += pipe(**batch, task=task, batch_size=size, do_sample=False)
    return outputs


def first_poses(outputs: Sequence[dict[str, Any]]) -> torch.Tensor:
    """(n, 22, 3, 3): the first pose of each output."""
    return torch.stack([torch.as_tensor(output["poses"][0]).float() for output in outputs])


def evaluate_text_to_pose(
    pipe: Any,
    held_out: HeldOutFrames,
    training: torch.Tensor,
    body: BodyModel,
    batch_size: int,
    error_body: BodyModel | None = None,
) -> Results:
    """Poses generated from descriptions.

    Args:
        pipe: `pipeline("unipose")` of the model.
        held_out: the captions, and the poses that they describe.
        training: (m, 22, 3, 3) training poses, for the baselines.
        body: the body on which the statements of captions are measured.
        batch_size: number of captions per forward pass.
        error_body: the body on which millimeters are measured; by default the same.
    """
    posecodes = [caption.codes for caption in held_out.captions]
    outputs = predict(pipe, "text-to-pose", batch_size, text=[caption.text for caption in held_out.captions])
    nearest = nearest_by_posecodes(posecodes, posecodes_of_poses(training, body))
    predictions = {
        "model": first_poses(outputs),
        "mean training pose": mean_pose(training).expand_as(held_out.poses),
        "nearest training pose by description": training[torch.from_numpy(nearest)],
    }
    return {
        name: pose_errors(poses, held_out.poses, error_body or body)
        | {"posecode_precision": posecode_precision(posecodes, poses, body)}
        for name, poses in predictions.items()
    }


def evaluate_image_to_pose(
    pipe: Any, held_out: HeldOutFrames, training: torch.Tensor, body: BodyModel, batch_size: int, seed: int
) -> Results:
    """Poses estimated from images; "pose tokenizer alone" is the error that encoding and decoding the target makes.

    Args:
        pipe: `pipeline("unipose")` of the model.
        held_out: the images, and the poses as the camera sees them.
        training: (m, 22, 3, 3) training poses for the mean pose, which are given headings like those of the images.
        body: the body to measure.
        batch_size: number of images per forward pass.
        seed: seed of the headings.
    """
    average = mean_pose(rotate_heading_at_random(training, np.random.default_rng(seed)))
    outputs = predict(pipe, "image-to-pose", batch_size, images=held_out.images)
    targets = held_out.camera_poses
    return {
        "model": pose_errors(first_poses(outputs), targets, body),
        "mean training pose": pose_errors(average.expand_as(targets), targets, body),
        "pose tokenizer alone": reconstruction_error(pipe.model.model.pose_tokenizer, targets, body),
    }


def evaluate_pose_to_text(pipe: Any, held_out: HeldOutFrames, body: BodyModel, batch_size: int, seed: int) -> Results:
    """Descriptions of poses; the baseline is the model's own descriptions, shuffled among the frames.

    Args:
        pipe: `pipeline("unipose")` of the model.
        held_out: the poses.
        body: the body to measure.
        batch_size: number of poses per forward pass.
        seed: seed of the shuffling.
    """
    outputs = predict(pipe, "pose-to-text", batch_size, poses=list(held_out.poses))
    return _description_metrics(outputs, held_out.poses, body, seed)


def evaluate_image_to_text(pipe: Any, held_out: HeldOutFrames, body: BodyModel, batch_size: int, seed: int) -> Results:
    """Descriptions of images; the baseline is the model's own descriptions, shuffled among the frames.

    Args:
        pipe: `pipeline("unipose")` of the model.
        held_out: the images, and the poses as the camera sees them.
        body: the body to measure.
        batch_size: number of images per forward pass.
        seed: seed of the shuffling.
    """
    outputs = predict(pipe, "image-to-text", batch_size, images=held_out.images)
    return _description_metrics(outputs, held_out.camera_poses, body, seed)


def _description_metrics(
    outputs: Sequence[dict[str, Any]], poses: torch.Tensor, body: BodyModel, seed: int
) -> Results:
    readings = [read_caption(output["text"]) for output in outputs]
    posecodes = [reading.codes for reading in readings]
    partners = shuffled_partners(len(posecodes), np.random.default_rng(seed))
    shuffled = [posecodes[index] for index in partners]
    return {
        "model": {"posecode_precision": posecode_precision(posecodes, poses, body)} | reading_metrics(readings),
        "captions of other frames": {"posecode_precision": posecode_precision(shuffled, poses, body)},
    }


def evaluate_pose_edit(
    pipe: Any, held_out: HeldOutPairs, body: BodyModel, batch_size: int, error_body: BodyModel | None = None
) -> Results:
    """Poses edited by instructions; the baseline returns the first pose unchanged.

    Args:
        pipe: `pipeline("unipose")` of the model.
        held_out: the pairs and their instructions.
        body: the body on which the statements of instructions are measured.
        batch_size: number of pairs per forward pass.
        error_body: the body on which millimeters are measured; by default the same.
    """
    pairs = held_out.pairs
    texts = [instruction.text for instruction in held_out.instructions]
    outputs = predict(pipe, "pose-edit", batch_size, text=texts, poses=list(pairs.first))
    paircodes = [instruction.codes for instruction in held_out.instructions]
    return {
        name: pose_errors(poses, pairs.second, error_body or body)
        | {"paircode_precision": paircode_precision(paircodes, pairs.first, poses, body)}
        for name, poses in (("model", first_poses(outputs)), ("input pose unchanged", pairs.first))
    }


def evaluate_pose_diff(pipe: Any, held_out: HeldOutPairs, body: BodyModel, batch_size: int, seed: int) -> Results:
    """Differences between two poses; the baseline is the model's own texts, shuffled among the pairs.

    Args:
        pipe: `pipeline("unipose")` of the model.
        held_out: the pairs.
        body: the body to measure.
        batch_size: number of pairs per forward pass.
        seed: seed of the shuffling.
    """
    pairs = held_out.pairs
    outputs = predict(pipe, "pose-diff", batch_size, poses=[list(pair) for pair in zip(pairs.first, pairs.second)])
    texts = [output["text"] for output in outputs]
    readings = [read_instruction(text) for text in texts]
    partners = shuffled_partners(len(texts), np.random.default_rng(seed))
    results: Results = {}
    for name, order in (("model", np.arange(len(texts))), ("texts of other pairs", partners)):
        paircodes = [readings[index].codes for index in order]
        results[name] = {
            "paircode_precision": paircode_precision(paircodes, pairs.first, pairs.second, body),
            "changed_part_named": changed_part_named([texts[index] for index in order], pairs),
        }
    results["model"] |= reading_metrics(readings)
    return results
