"""Measures a checkpoint on the motion clips that no training has seen, beside what simpler means reach there.

    python -m unipose.training.evaluation.evaluate --model modeling_unipose/embedded --output runs/evaluation

Millimetres are those of the built-in body and cannot be set beside figures measured on SMPL.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import roma
import torch
from PIL import Image
from transformers import HfArgumentParser, pipeline

from unipose.processing.body_model import BodyModel
from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.describe import describe
from unipose.training.captions.posecodes import CODES, Posecode, extract_posecodes, holding
from unipose.training.captions.text import Caption
from unipose.training.datasets.generation import MAX_HEADING
from unipose.training.evaluation.evaluate_pairs import (
    HeldOutPairs,
    ask,
    evaluate_pose_diff,
    evaluate_pose_edit,
    hold_out_pairs,
)
from unipose.training.evaluation.metrics import pose_errors, reconstruction_error
from unipose.training.geometry import rotate_heading
from unipose.training.sampling.poses import held_out_poses, sample_training_poses
from unipose.training.synthetic_images.rendering import random_image


# {task: {what answered it: {measure: value}}}; "model" is the checkpoint, everything else is there to compare with.
Metrics = dict[str, dict[str, dict[str, float]]]

MEASURES = {
    "mpjpe_mm": "MPJPE (mm)",
    "pa_mpjpe_mm": "PA-MPJPE (mm)",
    "statements_true": "statements that hold (%)",
    "statements_said": "statements a caption",
    "sentences_unread": "sentences outside the inventory (%)",
    "part_named": "texts that name the changed part (%)",
}
SHARES = ("statements_true", "sentences_unread", "part_named")


@dataclass
class EvaluationArguments:
    """What is evaluated, and on how much."""

    model: str = field(default="modeling_unipose/embedded", metadata={"help": "Folder or Hub id of the model."})
    output: str = field(default="runs/evaluation", metadata={"help": "Folder for metrics.json."})
    every: int = field(default=1, metadata={"help": "Takes every n-th held-out frame."})
    pairs: int = field(default=200, metadata={"help": "Pairs of poses for edits and differences."})
    training_poses: int = field(default=4000, metadata={"help": "Poses behind the mean pose and the neighbours."})
    picture_size: int = field(default=96, metadata={"help": "Pixels of a picture, as in the corpus."})
    batch_size: int = 32
    seed: int = 0


@dataclass(frozen=True)
class HeldOut:
    """The frames to evaluate on, with what is asked about them.

    Args:
        poses: (n, 22, 3, 3) in the stored frame, heading removed.
        captions: their descriptions.
        turned: (n, 22, 3, 3), the poses as the camera of `pictures` sees them.
        pictures: one of each turned pose, drawn as those of the corpus.
    """

    poses: torch.Tensor
    captions: list[Caption[Posecode]]
    turned: torch.Tensor
    pictures: list[Image.Image]


def hold_out(poses: torch.Tensor, body: BodyModel, picture_size: int, seed: int) -> HeldOut:
    """Describes and draws (n, 22, 3, 3) poses; the same seed gives the same words, turns and pictures."""
    rng = np.random.default_rng(seed)
    captions = [describe(codes, rng) for codes in pose_statements(poses, body)]
    turned = turn_at_random(poses, rng)
    drawn = [random_image(pose, body, picture_size, rng)["bytes"] for pose in turned]
    return HeldOut(poses, captions, turned, [Image.open(io.BytesIO(png)) for png in drawn if png])


def turn_at_random(poses: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Turns (n, 22, 3, 3) poses away from the camera as the pictures of the corpus are."""
    return rotate_heading(poses, torch.from_numpy(np.radians(rng.uniform(-MAX_HEADING, MAX_HEADING, len(poses)))))


def pose_statements(poses: torch.Tensor, body: BodyModel) -> list[tuple[Posecode, ...]]:
    """All that is worth saying about each of (n, 22, 3, 3) poses."""
    return extract_posecodes(body.forward_joints(poses).numpy(), rotmats=poses)


def mean_pose(poses: torch.Tensor) -> torch.Tensor:
    """(n, 22, 3, 3) -> (22, 3, 3): the rotations with the least mean squared chordal distance."""
    return roma.special_procrustes(poses.mean(dim=0))


def nearest_by_statements(
    asked: Sequence[Sequence[Posecode]], known: Sequence[Sequence[Posecode]]
) -> npt.NDArray[np.int64]:
    """For each set of codes the index of the known set with the largest overlap (intersection over union)."""
    first, second = _indicators(asked), _indicators(known)
    common = first @ second.T
    union = first.sum(axis=1)[:, None] + second.sum(axis=1) - common
    return np.argmax(common / np.maximum(union, 1.0), axis=1)


def _indicators(codes: Sequence[Sequence[Posecode]]) -> npt.NDArray[np.float32]:
    column = {code: index for index, code in enumerate(CODES)}
    table = np.zeros((len(codes), len(CODES)), dtype=np.float32)
    for row, own in enumerate(codes):
        table[row, [column[code] for code in own]] = 1.0
    return table


def statement_share(statements: Sequence[Sequence[Posecode]], poses: torch.Tensor, body: BodyModel) -> float:
    """The fraction of all statements that hold on their pose, of (n, 22, 3, 3), within the usual tolerance.

    It is 0 where nothing is stated: a model whose captions say nothing that can be read has said nothing true.
    """
    joints = body.forward_joints(poses).numpy()
    rows = enumerate(statements)
    held = [holding(codes, joints[i : i + 1], rotmats=poses[i : i + 1]).sum() for i, codes in rows if codes]
    return float(sum(held)) / max(sum(map(len, statements)), 1)


def _poses(answers: Sequence[dict[str, Any]]) -> torch.Tensor:
    return torch.stack([torch.as_tensor(answer["poses"][0]).float() for answer in answers])


def evaluate_text_to_pose(
    pipe: Any, held_out: HeldOut, training: torch.Tensor, body: BodyModel, batch_size: int
) -> dict[str, dict[str, float]]:
    """Poses from descriptions; beside the mean of (m, 22, 3, 3) training poses and the one that fits best in words."""
    statements = [caption.codes for caption in held_out.captions]
    answers = ask(pipe, "text-to-pose", batch_size, text=[caption.text for caption in held_out.captions])
    neighbours = nearest_by_statements(statements, pose_statements(training, body))
    found = {
        "model": _poses(answers),
        "mean training pose": mean_pose(training).expand_as(held_out.poses),
        "nearest training pose by description": training[torch.from_numpy(neighbours)],
    }
    return {
        name: pose_errors(poses, held_out.poses, body) | {"statements_true": statement_share(statements, poses, body)}
        for name, poses in found.items()
    }


def evaluate_image_to_pose(
    pipe: Any, held_out: HeldOut, training: torch.Tensor, body: BodyModel, batch_size: int, seed: int
) -> dict[str, dict[str, float]]:
    """Poses from pictures; beside the mean of training poses, turned as those are, and the tokenizer's own error."""
    average = mean_pose(turn_at_random(training, np.random.default_rng(seed)))
    answers = ask(pipe, "image-to-pose", batch_size, images=held_out.pictures)
    return {
        "model": pose_errors(_poses(answers), held_out.turned, body),
        "mean training pose": pose_errors(average.expand_as(held_out.turned), held_out.turned, body),
        "pose tokenizer alone": reconstruction_error(pipe.model.model.pose_tokenizer, held_out.turned, body),
    }


def evaluate_pose_to_text(
    pipe: Any, held_out: HeldOut, body: BodyModel, batch_size: int, seed: int
) -> dict[str, dict[str, float]]:
    """Descriptions of poses, as far as they can be read; beside the descriptions that other frames were given."""
    answers = ask(pipe, "pose-to-text", batch_size, poses=list(held_out.poses))
    readings = [read_caption(answer["text"]) for answer in answers]
    statements = [reading.codes for reading in readings]
    others = others_at_random(len(statements), np.random.default_rng(seed))
    sentences = sum(reading.sentences for reading in readings)
    return {
        "model": {
            "statements_true": statement_share(statements, held_out.poses, body),
            "statements_said": sum(map(len, statements)) / len(statements),
            "sentences_unread": sum(len(reading.unparsable) for reading in readings) / max(sentences, 1),
        },
        "model's captions of other frames": {
            "statements_true": statement_share([statements[index] for index in others], held_out.poses, body)
        },
    }


def others_at_random(count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(count,) indices in random order, none at its own place (of two or more)."""
    order = rng.permutation(count)
    others = np.empty(count, dtype=np.int64)
    others[order] = np.roll(order, 1)
    return others


@torch.no_grad()
def evaluate(
    pipe: Any,
    held_out: HeldOut,
    pairs: HeldOutPairs,
    training: torch.Tensor,
    body: BodyModel,
    batch_size: int = 32,
    seed: int = 0,
) -> Metrics:
    """All measures of a model.

    Args:
        pipe: `pipeline("unipose")` of the model.
        held_out: what it is asked, from `hold_out`.
        pairs: what it is asked about pairs, from `hold_out_pairs`.
        training: (m, 22, 3, 3) poses for the mean pose and the nearest neighbours.
        body: whose joints are measured.
        batch_size: rows that are run at once.
        seed: of the baselines' random choices.
    """
    others = others_at_random(len(pairs.pairs), np.random.default_rng(seed))
    return {
        "pose tokenizer": {"model": reconstruction_error(pipe.model.model.pose_tokenizer, held_out.poses, body)},
        "text-to-pose": evaluate_text_to_pose(pipe, held_out, training, body, batch_size),
        "image-to-pose": evaluate_image_to_pose(pipe, held_out, training, body, batch_size, seed),
        "pose-to-text": evaluate_pose_to_text(pipe, held_out, body, batch_size, seed),
        "pose-edit": evaluate_pose_edit(pipe, pairs, body, batch_size),
        "pose-diff": evaluate_pose_diff(pipe, pairs, body, batch_size, others),
    }


def to_markdown(metrics: Metrics) -> str:
    """A table with a row for each task and measure: the model, then what it is compared with."""
    lines = ["| task | measure | model | to compare with |", "|---|---|---|---|"]
    for task, answered in metrics.items():
        for measure, value in answered["model"].items():
            others = [
                f"{name} {_number(measure, values[measure])}"
                for name, values in answered.items()
                if name != "model" and measure in values
            ]
            row = (task, MEASURES[measure], _number(measure, value), ", ".join(others))
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _number(measure: str, value: float) -> str:
    return f"{100 * value if measure in SHARES else value:.1f}"


def main() -> None:
    (arguments,) = HfArgumentParser((EvaluationArguments,)).parse_args_into_dataclasses()
    body = BodyModel.builtin()
    held_out = hold_out(held_out_poses()[:: arguments.every].float(), body, arguments.picture_size, arguments.seed)
    training, _ = sample_training_poses(arguments.training_poses, arguments.seed, body)
    pipe = pipeline("unipose", model=arguments.model)  # type: ignore[call-overload]
    pairs = hold_out_pairs(arguments.pairs, body, arguments.seed)
    metrics = evaluate(pipe, held_out, pairs, training.float(), body, arguments.batch_size, arguments.seed)
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    report = {"settings": vars(arguments), "frames": len(held_out.poses), "metrics": metrics}
    (output / "metrics.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"{len(held_out.poses)} held-out frames\n\n{to_markdown(metrics)}")


if __name__ == "__main__":
    main()
