"""Fits the confidence of a model's answers on validation rows: captions, wordings of named poses, images, pairs.

    python -m unipose.training.evaluation.calibrate --model runs/instruct --output runs/calibration --write true

The rows are made from the motion clips for validation, and from `--records` of subjects that nothing else uses.
An answer is right if all statements of the request or of the answer hold, or if the pose of the name comes out. For a
description of an image three of four statements are enough: the pose is estimated.
Texts about no pose and images without a person have no right answer. The sets in `assets/human_words` are not used.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import pipeline
from trl import TrlParser

from unipose.processing.body_model import BodyModel
from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.instruction_reader import read_instruction
from unipose.training.evaluation.held_out import (
    HeldOutFrames,
    HeldOutPairs,
    load_recorded,
    make_held_out_frames,
    make_held_out_pairs,
)
from unipose.training.evaluation.metrics import auroc, pose_errors
from unipose.training.evaluation.named_wordings import is_named_pose, sample_named_wordings
from unipose.training.evaluation.posecode_metrics import paircode_precision, posecode_precision
from unipose.training.evaluation.tasks import first_poses
from unipose.training.geometry import remove_heading
from unipose.training.io import markdown_table, write_json, write_text
from unipose.training.sampling.poses import VALIDATION_CLIPS, validation_poses
from unipose.training.synthetic_images.scenes import empty_scene


# An estimated pose is right within this PA-MPJPE, in mm.
NEAR_IMAGE = 100.0
# Share of the statements about an image that must hold.
IMAGE_STATEMENTS = 0.75
OFF_TOPIC = (
    "What is the capital of France?",
    "the stock market fell by two percent",
    "Write a poem about autumn leaves.",
    "asdf qwer zxcv",
    "Multiply 17 by 23.",
    "my laptop does not start anymore",
    "A recipe for tomato soup.",
    "the red car is parked outside",
    "Translate this sentence into German.",
    "once upon a time there was a king",
    "blue green purple yellow",
    "The train leaves at noon from platform four.",
)
POSE_FEATURES = ("code_log_prob", "code_entropy", "code_variance", "code_agreement")
TEXT_FEATURES = ("text_log_prob", "text_min_log_prob")
# Features of each task's confidence.
TASK_FEATURES = {
    "text-to-pose": (*POSE_FEATURES, "consistency"),
    "pose-edit": (*POSE_FEATURES, "consistency"),
    "image-to-pose": POSE_FEATURES,
    "pose-to-text": (*TEXT_FEATURES, "consistency"),
    "pose-diff": (*TEXT_FEATURES, "consistency"),
    "image-to-text": (*TEXT_FEATURES, "image_variance"),
}
FOLDS = 5
# Of images with a person, the share that may be taken for empty.
FALSE_ALARMS = 0.05
Array = npt.NDArray[np.float64]


@dataclass
class CalibrationArguments:
    """The model, and the size of the validation sets."""

    model: str = field(default="modeling_unipose/embedded", metadata={"help": "Folder of the model."})
    output: str = field(default="runs/calibration", metadata={"help": "Folder of calibration.json."})
    write: bool = field(default=False, metadata={"help": "Whether to write the weights to the model's config.json."})
    every: int = field(default=2, metadata={"help": "Step between frames of the clips; 1: all frames."})
    records: list[str] = field(
        default_factory=list, metadata={"help": "Folders of records by import_data: validation subjects."}
    )
    recorded_poses: int = field(default=200, metadata={"help": "Maximum number of recorded poses."})
    wordings: int = field(default=300, metadata={"help": "Number of wordings of named poses."})
    pairs: int = field(default=200, metadata={"help": "Number of pose pairs for pose-edit and pose-diff."})
    empty_images: int = field(default=100, metadata={"help": "Number of images without a person."})
    image_size: int = field(default=96, metadata={"help": "Pixels of the square images, as in the corpus."})
    batch_size: int = field(default=32, metadata={"help": "Number of inputs per forward pass."})
    seed: int = field(
        default=7, metadata={"help": "Seed of the validation sets; other than that of the evaluation's."}
    )


@dataclass(frozen=True)
class Examples:
    """Answers of one task.

    Args:
        features: the features of each answer.
        right: (n,) booleans.
        empty: (n,) booleans, requests without a right answer: about no pose, or with no person in the image.
    """

    features: list[dict[str, float]]
    right: npt.NDArray[np.bool_]
    empty: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Fit:
    """A logistic regression in the units of the features, and how well it does on rows that it was not fitted to.

    Args:
        weights: weights by feature, and "bias".
        auroc: probability that a right answer has a higher confidence than a wrong one.
        calibration_error: mean difference of confidence and share of right answers, over ten equal groups.
        confidences: (n,) of each answer, by the fit on the other folds.
    """

    weights: dict[str, float]
    auroc: float
    calibration_error: float
    confidences: Array


def fit_logistic(values: Array, right: npt.NDArray[np.bool_], penalty: float = 1.0) -> Array:
    """Weights of a logistic regression with an L2 penalty in the units of the columns' deviations, by Newton's method.

    Args:
        values: (n, features).
        right: (n,) booleans.
        penalty: weight of the penalty, in rows.

    Returns:
        (features + 1,) weights, the last is the bias.
    """
    mean, deviation = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-9)
    design = np.column_stack([(values - mean) / deviation, np.ones(len(values))])
    ridge = penalty * np.eye(design.shape[1])
    # Without a penalty on the bias it would grow without end where all answers are right.
    ridge[-1, -1] = 1e-3
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        probability = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (probability - right) + ridge @ weights
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
    slopes = weights[:-1] / deviation
    return np.append(slopes, weights[-1] - slopes @ mean)


def fit_confidence(examples: Examples, names: Sequence[str], seed: int) -> Fit:
    """Fits the weights of one task, and measures them by cross-validation.

    Args:
        examples: answers that are right or wrong.
        names: names of the features.
        seed: seed of the folds.
    """
    # As in the pipeline, an answer that lacks a feature, because it is empty, has no confidence.
    whole = np.array([all(name in row for name in names) for row in examples.features])
    values = np.array([[row.get(name, 0.0) for name in names] for row in examples.features])
    fold = np.random.default_rng(seed).permutation(len(values)) % FOLDS
    held_out = np.zeros(len(values))
    for index in range(FOLDS):
        own, others = whole & (fold == index), whole & (fold != index)
        weights = fit_logistic(values[others], examples.right[others])
        held_out[own] = 1.0 / (1.0 + np.exp(-np.clip(values[own] @ weights[:-1] + weights[-1], -60, 60)))
    weights = fit_logistic(values[whole], examples.right[whole])
    groups = np.array_split(np.argsort(held_out, kind="stable"), 10)
    errors = [
        len(group) * abs(held_out[group].mean() - examples.right[group].mean()) for group in groups if len(group)
    ]
    return Fit(
        dict(zip((*names, "bias"), weights.tolist())),
        auroc(held_out, examples.right),
        sum(errors) / len(values),
        held_out,
    )


def no_person_threshold(fit: Fit, examples: Examples) -> float:
    """The confidence below which image-to-text says that it sees no person: few images with a person are below it.

    Args:
        fit: fit of image-to-text.
        examples: its answers, those to images without a person among them.
    """
    return float(np.quantile(fit.confidences[~examples.empty], FALSE_ALARMS))


def image_without_person(rng: np.random.Generator, size: int) -> Image.Image:
    """A synthetic scene without a person, or sometimes one color, or noise.

    Args:
        rng: source of all randomness.
        size: pixels of the square image.
    """
    kind = rng.integers(4)
    if kind == 0:
        return Image.new("RGB", (size, size), tuple(rng.integers(0, 256, 3).tolist()))
    if kind == 1:
        return Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))
    return empty_scene(rng, size)


def collect_examples(pipe: Any, body: BodyModel, arguments: CalibrationArguments) -> Iterator[tuple[str, Examples]]:
    """The model's answers to the validation rows of each task, with their features.

    Args:
        pipe: `pipeline("unipose")`.
        body: the body to measure.
        arguments: sizes and seed of the sets.
    """
    seed, size = arguments.seed, arguments.batch_size
    frames = validation_poses()[:: arguments.every].float()
    if arguments.records:
        recorded = remove_heading(load_recorded(arguments.records, arguments.recorded_poses))
        frames = torch.cat([frames, recorded.float()])
    held_out = make_held_out_frames(frames, body, arguments.image_size, seed)
    pairs = make_held_out_pairs(arguments.pairs, body, seed, VALIDATION_CLIPS)

    def ask(task: str, **inputs: Sequence[Any]) -> list[dict[str, Any]]:
        return pipe(**inputs, task=task, batch_size=size, do_sample=False, return_features=True)

    yield "text-to-pose", _text_to_pose(ask, held_out, body, arguments)
    yield from _pose_texts(ask, held_out, pairs, body)
    yield from _images(ask, held_out, body, arguments)


Ask = Callable[..., list[dict[str, Any]]]


def _examples(answers: Sequence[dict[str, Any]], right: Sequence[bool], empty: int = 0) -> Examples:
    """Answers with the features that they carry; the last `empty` ones have no right answer."""
    is_empty = np.arange(len(answers)) >= len(answers) - empty
    return Examples([answer["features"] for answer in answers], np.array(right, dtype=bool) & ~is_empty, is_empty)


def _text_to_pose(ask: Ask, held_out: HeldOutFrames, body: BodyModel, arguments: CalibrationArguments) -> Examples:
    rng = np.random.default_rng(arguments.seed)
    wordings = sample_named_wordings(arguments.wordings, arguments.seed)
    # The training has all wordings of the bank. Texts with disturbed words stand for wordings that it does not have.
    wordings += [replace(wording, text=disturb_words(wording.text, rng)) for wording in wordings]
    captions = [caption.text for caption in held_out.captions]
    texts = [*captions, *(wording.text for wording in wordings), *OFF_TOPIC]
    answers = ask("text-to-pose", text=texts)
    poses = first_poses(answers)
    described, named = poses[: len(captions)], poses[len(captions) : len(texts) - len(OFF_TOPIC)]
    right = [
        posecode_precision([caption.codes], pose[None], body) == 1.0
        for caption, pose in zip(held_out.captions, described)
    ]
    right += is_named_pose(named, wordings, body).tolist()
    return _examples(answers, right + [False] * len(OFF_TOPIC), len(OFF_TOPIC))


def disturb_words(text: str, rng: np.random.Generator) -> str:
    """A text in which one to three words are left out, doubled or exchanged for others of the text.

    Args:
        text: at least one word.
        rng: source of all randomness.
    """
    words = text.split()
    for _ in range(rng.integers(1, 4)):
        index, other = rng.integers(len(words), size=2)
        kind = rng.integers(3)
        if kind == 0 and len(words) > 1:
            words.pop(index)
        elif kind == 1:
            words.insert(index, words[other])
        else:
            words[index], words[other] = words[other], words[index]
    return " ".join(words)


def _pose_texts(
    ask: Ask, held_out: HeldOutFrames, pairs: HeldOutPairs, body: BodyModel
) -> Iterator[tuple[str, Examples]]:
    first, second = pairs.pairs.first, pairs.pairs.second
    answers = ask("pose-to-text", poses=list(held_out.poses))
    right = [is_true_caption(answer["text"], pose, body) for answer, pose in zip(answers, held_out.poses)]
    yield "pose-to-text", _examples(answers, right)
    answers = ask("pose-edit", text=[row.text for row in pairs.instructions], poses=list(first))
    right = [
        paircode_precision([row.codes], before[None], after[None], body) == 1.0
        for row, before, after in zip(pairs.instructions, first, first_poses(answers))
    ]
    yield "pose-edit", _examples(answers, right)
    answers = ask("pose-diff", poses=[list(pair) for pair in zip(first, second)])
    right = []
    for answer, before, after in zip(answers, first, second):
        codes = read_instruction(answer["text"]).codes
        right.append(paircode_precision([codes], before[None], after[None], body) == 1.0)
    yield "pose-diff", _examples(answers, right)


def _images(
    ask: Ask, held_out: HeldOutFrames, body: BodyModel, arguments: CalibrationArguments
) -> Iterator[tuple[str, Examples]]:
    rng, count = np.random.default_rng(arguments.seed), arguments.empty_images
    empty = [image_without_person(rng, arguments.image_size) for _ in range(count)]
    images, targets = [*held_out.images, *empty], held_out.camera_poses
    answers = ask("image-to-pose", images=images)
    poses = first_poses(answers)
    near = [
        pose_errors(pose[None], target[None], body)["pa_mpjpe_mm"] <= NEAR_IMAGE
        for pose, target in zip(poses, targets)
    ]
    yield "image-to-pose", _examples(answers, near + [False] * count, count)
    answers = ask("image-to-text", images=images)
    right = [
        posecode_precision([read_caption(answer["text"]).codes], pose[None], body) >= IMAGE_STATEMENTS
        for answer, pose in zip(answers, targets)
    ]
    yield "image-to-text", _examples(answers, right + [False] * count, count)


def is_true_caption(text: str, pose: torch.Tensor, body: BodyModel) -> bool:
    """Whether a text states something about a pose, and all of it holds.

    Args:
        text: a caption.
        pose: (22, 3, 3) in the stored frame.
        body: the body to measure.
    """
    return posecode_precision([read_caption(text).codes], pose[None], body) == 1.0


def write_weights(folder: Path, weights: dict[str, dict[str, float]], no_person_below: float) -> None:
    """Writes the confidence of a model to its config.json.

    Args:
        folder: folder of the model.
        weights: weights of each task.
        no_person_below: see `UniPoseConfig`.
    """
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config |= {"confidence_weights": weights, "no_person_below": no_person_below}
    write_text(path, json.dumps(config, indent=2, sort_keys=True) + "\n")


def main() -> None:
    (arguments,) = TrlParser((CalibrationArguments,)).parse_args_and_config()
    pipe = pipeline("unipose", model=arguments.model)  # type: ignore[call-overload]
    results: dict[str, Any] = {}
    rows, weights, threshold = [], {}, 0.0
    with torch.no_grad():
        for task, examples in collect_examples(pipe, BodyModel.builtin(), arguments):
            fit = fit_confidence(examples, TASK_FEATURES[task], arguments.seed)
            weights[task] = fit.weights
            shares = {"right": float(examples.right.mean()), "auroc": fit.auroc, "error": fit.calibration_error}
            shares["auroc of empty"] = auroc(fit.confidences, ~examples.empty)
            if task == "image-to-text":
                threshold = no_person_threshold(fit, examples)
                shares["empty below"] = float((fit.confidences[examples.empty] < threshold).mean())
            results[task] = shares | {"weights": fit.weights}
            rows.append((task, len(examples.right), *(f"{shares[name]:.3f}" for name in list(shares)[:4])))
    write_json(Path(arguments.output) / "calibration.json", {"tasks": results, "no_person_below": threshold})
    if arguments.write:
        write_weights(Path(arguments.model), weights, threshold)
    header = ("task", "answers", "share right", "AUROC", "calibration error", "AUROC of requests without an answer")
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
