"""Evaluates a model: on held-out motion clips beside simple baselines, on recorded motion, and in people's words.

    python -m unipose.training.evaluation.evaluate --model modeling_unipose/embedded --output runs/evaluation

`--records` adds recorded motion that `import_data` has written: give subjects that training has not seen.
Millimeters are measured on the built-in body and cannot be compared with results on SMPL.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import pipeline
from trl import TrlParser

from unipose.processing.body_model import BodyModel, to_body_model
from unipose.training.evaluation.held_out import (
    HeldOutFrames,
    HeldOutPairs,
    load_recorded,
    make_held_out_frames,
    make_held_out_pairs,
)
from unipose.training.evaluation.human_words import confidence_aurocs, evaluate_human_words
from unipose.training.evaluation.metrics import reconstruction_error
from unipose.training.evaluation.named_wordings import evaluate_named_wordings, sample_named_wordings
from unipose.training.evaluation.report import Metrics, to_markdown, words_to_markdown
from unipose.training.evaluation.tasks import (
    evaluate_image_to_pose,
    evaluate_image_to_text,
    evaluate_pose_diff,
    evaluate_pose_edit,
    evaluate_pose_to_text,
    evaluate_text_to_pose,
)
from unipose.training.geometry import remove_heading
from unipose.training.io import write_json
from unipose.training.sampling.poses import held_out_poses, sample_training_poses


@dataclass
class EvaluationArguments:
    """The model, and the size of the evaluation sets."""

    model: str = field(default="modeling_unipose/embedded", metadata={"help": "Folder or Hub id of the model."})
    output: str = field(default="runs/evaluation", metadata={"help": "Folder of metrics.json."})
    every: int = field(default=1, metadata={"help": "Step between held-out frames; 1: all frames."})
    pairs: int = field(default=200, metadata={"help": "Number of pose pairs for pose-edit and pose-diff."})
    training_poses: int = field(
        default=4000, metadata={"help": "Number of training poses for the mean-pose and nearest-pose baselines."}
    )
    image_size: int = field(default=96, metadata={"help": "Pixels of the square images, as in the corpus."})
    body: str | None = field(
        default=None,
        metadata={
            "help": "SMPL, SMPL-H or SMPL-X file of the body on which errors in millimeters are measured; by default "
            "the built-in body, which is not SMPL."
        },
    )
    records: list[str] = field(
        default_factory=list, metadata={"help": "Folders of records by import_data, to evaluate recorded poses too."}
    )
    recorded_poses: int = field(default=400, metadata={"help": "Maximum number of recorded poses."})
    wordings: int = field(default=500, metadata={"help": "Number of altered wordings of named poses."})
    batch_size: int = field(default=32, metadata={"help": "Number of inputs per forward pass."})
    seed: int = field(default=0, metadata={"help": "Seed of the evaluation sets and the baselines."})


@torch.no_grad()
def evaluate(
    pipe: Any,
    held_out: HeldOutFrames,
    pairs: HeldOutPairs,
    training: torch.Tensor,
    body: BodyModel,
    batch_size: int = 32,
    seed: int = 0,
    error_body: BodyModel | None = None,
) -> Metrics:
    """All metrics of a model.

    Args:
        pipe: `pipeline("unipose")` of the model.
        held_out: the single poses, from `make_held_out_frames`.
        pairs: the pairs of poses, from `make_held_out_pairs`.
        training: (m, 22, 3, 3) training poses for the mean-pose and nearest-pose baselines.
        body: the body on which the statements of texts are measured.
        batch_size: number of inputs per forward pass.
        seed: seed of the baselines' random choices.
        error_body: the body on which millimeters are measured; by default the same.

    Returns:
        {task: {"model" or a baseline: {metric: value}}}.
    """
    measured = error_body or body
    return {
        "pose tokenizer": {"model": reconstruction_error(pipe.model.model.pose_tokenizer, held_out.poses, measured)},
        "text-to-pose": evaluate_text_to_pose(pipe, held_out, training, body, batch_size, measured),
        "image-to-pose": evaluate_image_to_pose(pipe, held_out, training, measured, batch_size, seed),
        "pose-to-text": evaluate_pose_to_text(pipe, held_out, body, batch_size, seed),
        "image-to-text": evaluate_image_to_text(pipe, held_out, body, batch_size, seed),
        "pose-edit": evaluate_pose_edit(pipe, pairs, body, batch_size, measured),
        "pose-diff": evaluate_pose_diff(pipe, pairs, body, batch_size, seed),
    }


@torch.no_grad()
def evaluate_recorded(
    pipe: Any,
    poses: torch.Tensor,
    training: torch.Tensor,
    body: BodyModel,
    arguments: EvaluationArguments,
    error_body: BodyModel | None = None,
) -> Metrics:
    """Metrics of single recorded poses, as those of held-out frames; the pose tokenizer sees their own headings too.

    Args:
        pipe: `pipeline("unipose")` of the model.
        poses: (n, 22, 3, 3) in the stored frame, as recorded.
        training: (m, 22, 3, 3) training poses for the baselines.
        body: the body on which the statements of texts are measured, and which is rendered.
        arguments: size of images, batch size and seed.
        error_body: the body on which millimeters are measured; by default the same.
    """
    seed, batch_size, measured = arguments.seed, arguments.batch_size, error_body or body
    frames = make_held_out_frames(remove_heading(poses), body, arguments.image_size, seed)
    tokenizer = pipe.model.model.pose_tokenizer
    return {
        "pose tokenizer": {"model": reconstruction_error(tokenizer, frames.poses, measured)},
        "pose tokenizer, headings as recorded": {"model": reconstruction_error(tokenizer, poses, measured)},
        "text-to-pose": evaluate_text_to_pose(pipe, frames, training, body, batch_size, measured),
        "image-to-pose": evaluate_image_to_pose(pipe, frames, training, measured, batch_size, seed),
        "pose-to-text": evaluate_pose_to_text(pipe, frames, body, batch_size, seed),
        "image-to-text": evaluate_image_to_text(pipe, frames, body, batch_size, seed),
    }


def evaluate_words(
    pipe: Any, body: BodyModel, arguments: EvaluationArguments
) -> tuple[dict[str, Any], dict[str, float]]:
    """People's sentences, edits, chains of edits and questions, and altered wordings of named poses.

    Args:
        pipe: `pipeline("unipose")` of the model.
        body: the body to measure.
        arguments: number of wordings, batch size and seed.

    Returns:
        {"human words": {set: [right of each row]}, "named poses": {alteration: [right of each row]}}, and the AUROC
        of the confidence of each set.
    """
    human = evaluate_human_words(pipe, body)
    wordings = sample_named_wordings(arguments.wordings, arguments.seed)
    words = {
        "human words": {name: [row.right for row in rows] for name, rows in human.items()},
        "named poses": evaluate_named_wordings(pipe, wordings, body, arguments.batch_size),
    }
    return words, confidence_aurocs(human)


def main() -> None:
    (arguments,) = TrlParser((EvaluationArguments,)).parse_args_and_config()
    body, measured, seed = BodyModel.builtin(), to_body_model(arguments.body), arguments.seed
    frames = held_out_poses()[:: arguments.every].float()
    held_out = make_held_out_frames(frames, body, arguments.image_size, seed)
    training = sample_training_poses(arguments.training_poses, seed, body)[0].float()
    pipe = pipeline("unipose", model=arguments.model)  # type: ignore[call-overload]
    pairs = make_held_out_pairs(arguments.pairs, body, seed)
    report: dict[str, Any] = {"settings": vars(arguments), "frames": len(frames), "body": measured.title}
    report["metrics"] = evaluate(pipe, held_out, pairs, training, body, arguments.batch_size, seed, measured)
    report["words"], report["confidence_auroc"] = evaluate_words(pipe, body, arguments)
    print(f"{len(frames)} held-out frames; millimeters on the body: {measured.title}\n")
    print(f"{to_markdown(report['metrics'])}\n\n{words_to_markdown(report['words'])}")
    for name, value in report["confidence_auroc"].items():
        print(f"{name}: AUROC of the confidence {value:.3f}")
    if arguments.records:
        poses = load_recorded(arguments.records, arguments.recorded_poses)
        report["recorded"] = evaluate_recorded(pipe, poses, training, body, arguments, measured)
        print(f"\n{len(poses)} recorded poses\n\n{to_markdown(report['recorded'])}")
    write_json(Path(arguments.output) / "metrics.json", report)


if __name__ == "__main__":
    main()
