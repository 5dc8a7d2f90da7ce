"""Which of several answers to take, and how much to trust one: without a reader of texts or a model of bodies."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from .tasks_unipose import TASKS, Task


Answer = dict[str, Any]
Chooser = Callable[[dict[str, Any], list[Answer]], int]
ChooserName = Literal["consistent", "central"]

# What a confidence may depend on. Each is a mean over the tokens of an answer, unless stated otherwise.
FEATURES = {
    "log_prob": "log-probability of the tokens",
    "text_log_prob": "log-probability of the tokens of text",
    "text_min_log_prob": "lowest log-probability of a token of text",
    "code_log_prob": "log-probability of the codes",
    "code_entropy": "entropy of the codes' distributions, in nats",
    "code_variance": "variance of the codes' vectors, relative to that of the whole codebook",
    "code_agreement": "share of codes whose most probable code is the expected one",
    "consistency": "log-probability of the request's tokens, given the answer, in the reverse task",
    "image_variance": "code_variance of the pose that the model estimates in the image",
}
# Task -> task that asks for the request, given the answer.
REVERSE_TASKS = {
    "text-to-pose": "pose-to-text",
    "pose-to-text": "text-to-pose",
    "pose-edit": "pose-diff",
    "pose-diff": "pose-edit",
}
NO_PERSON = "There is no person in the image."


class ReverseRequest(NamedTuple):
    """A request whose right answer is known: the text or the pose of another request.

    Args:
        task: Task of the request.
        text: Its text, or None.
        poses: Its poses.
        answer: The known answer: a text or a pose.
    """

    task: Task
    text: str | None
    poses: list[Any]
    answer: Any


def reverse_request(task: Task, text: Any, poses: Sequence[Any], answer: Answer) -> ReverseRequest | None:
    """Turns a request and its answer around: the caption of the generated pose, the pose of the generated caption.

    Args:
        task: Task of the request.
        text: Text of the request.
        poses: Poses of the request.
        answer: The answer.

    Returns:
        None where the task has no reverse, or the answer is empty.
    """
    if task.name not in REVERSE_TASKS or (task.answer == "pose" and not isinstance(text, str)):
        return None
    reverse = TASKS[REVERSE_TASKS[task.name]]
    if task.answer == "pose":
        return ReverseRequest(reverse, None, [*poses, *answer["poses"]], text) if answer["poses"] else None
    if not answer["text"]:
        return None
    *before, last = poses
    return ReverseRequest(reverse, answer["text"], before, last)


def most_central(answers: Sequence[Answer]) -> int:
    """The answer with the least mean distance to the others, the first in a tie.

    The distance of poses is the mean angle between the rotations of their joints; that of texts is the share of words
    that only one of them has.
    """
    distances = [[answer_distance(one, other) for other in answers] for one in answers]
    return int(np.argmin(np.mean(distances, axis=1).round(9)))


def answer_distance(one: Answer, other: Answer) -> float:
    """The distance of two answers, see `most_central`; answers with different numbers of poses are far apart.

    Args:
        one: An answer.
        other: Another one.
    """
    words, others = set(one["text"].lower().split()), set(other["text"].lower().split())
    distance = len(words ^ others) / max(len(words | others), 1)
    if len(one["poses"]) != len(other["poses"]):
        return distance + math.pi
    for pose, twin in zip(one["poses"], other["poses"]):
        trace = np.einsum("jkl,jkl->j", np.asarray(pose, dtype=np.float64), np.asarray(twin, dtype=np.float64))
        distance += float(np.arccos(np.clip((trace - 1.0) / 2.0, -1.0, 1.0)).mean())
    return distance


def confidence(features: Mapping[str, float], weights: Mapping[str, float] | None) -> float:
    """The confidence in an answer, from 0 to 1.

    Args:
        features: Values of some `FEATURES`.
        weights: Weights of features and "bias", of a logistic regression; None: the confidence is not calibrated, and
            the geometric mean of the tokens' probabilities stands in for it.

    Raises:
        ValueError: A weight of an unknown feature.
    """
    if weights is None:
        return math.exp(min(features["log_prob"], 0.0))
    unknown = weights.keys() - FEATURES.keys() - {"bias"}
    if unknown:
        raise ValueError(
            f"the confidence has weights of {', '.join(sorted(unknown))}; accepted: bias, {', '.join(FEATURES)}"
        )
    total = weights.get("bias", 0.0)
    # An empty answer lacks features, and a confidence.
    for name, weight in weights.items():
        if name != "bias":
            if name not in features:
                return 0.0
            total += weight * features[name]
    return 1.0 / (1.0 + math.exp(-min(max(total, -60.0), 60.0)))


__all__ = [
    "FEATURES",
    "NO_PERSON",
    "Answer",
    "Chooser",
    "ChooserName",
    "ReverseRequest",
    "answer_distance",
    "confidence",
    "most_central",
    "reverse_request",
]
