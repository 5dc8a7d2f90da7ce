"""Draws outputs of a model: poses generated from sentences, poses estimated from images, and captions of poses.

    python -m unipose.training.tools.show_results --model modeling_unipose/embedded --output docs/results.png

The sentences are fixed; images and poses are six frames at regular intervals of the held-out motion clips.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from transformers import pipeline
from trl import TrlParser

from unipose.processing.body_model import BodyModel
from unipose.processing.rendering import contact_sheet, render_pose
from unipose.training.evaluation.held_out import HeldOutFrames, make_held_out_frames
from unipose.training.evaluation.tasks import predict
from unipose.training.sampling.poses import held_out_poses
from unipose.training.tools.sheets import save_sheet, stack, stack_with_headings


SENTENCES = (
    "A person squats.",
    "Someone is kneeling on the left knee.",
    "A person stands with both arms raised overhead.",
    "Someone is lying face down.",
    "A person kicks with the right leg. Both hands are in front of the body.",
    "Someone is standing with both hands on the hips. The torso is leaning to the left.",
)
NUM_FRAMES = 6
CELL = 192  # pixels
FONT_SIZE = 14
SENTENCES_HEADING = "Text to pose: generated pose of each sentence"
FRAMES_HEADING = (
    "Image to pose and pose to text on held-out motion: image, pose estimated from it, generated caption of the true "
    "pose"
)


@dataclass
class ShowArguments:
    """Options: model, inputs and output image."""

    model: str = field(default="modeling_unipose/embedded", metadata={"help": "Folder or Hub id of the model."})
    output: str = field(default="docs/results.png", metadata={"help": "Path of the image."})
    image_size: int = field(default=96, metadata={"help": "Pixels of the square images that are input to the model."})
    seed: int = field(default=0, metadata={"help": "Seed of the input images."})


def show_sentences(pipe: Any, body: BodyModel) -> Image.Image:
    """The poses generated from `SENTENCES`, each above its sentence.

    Args:
        pipe: `pipeline("unipose")` of the model.
        body: the body to render.
    """
    outputs = predict(pipe, "text-to-pose", len(SENTENCES), text=SENTENCES)
    images = [render_pose(output["poses"][0], body, CELL, view="three-quarter") for output in outputs]
    return contact_sheet(images, SENTENCES, columns=len(images), font_size=FONT_SIZE)


def show_frames(pipe: Any, held_out: HeldOutFrames, body: BodyModel) -> Image.Image:
    """Each image above the pose estimated from it and the model's caption of the true pose.

    Args:
        pipe: `pipeline("unipose")` of the model.
        held_out: the frames.
        body: the body to render.
    """
    count = len(held_out.images)
    estimates = predict(pipe, "image-to-pose", count, images=held_out.images)
    captions = [output["text"] for output in predict(pipe, "pose-to-text", count, poses=list(held_out.poses))]
    pairs = [
        stack([image.resize((CELL, CELL), Image.Resampling.LANCZOS), render_pose(output["poses"][0], body, CELL)])
        for image, output in zip(held_out.images, estimates)
    ]
    return contact_sheet(pairs, captions, columns=len(pairs), font_size=FONT_SIZE)


def draw_results(pipe: Any, held_out: HeldOutFrames, body: BodyModel) -> Image.Image:
    """The whole sheet.

    Args:
        pipe: `pipeline("unipose")` of the model.
        held_out: the frames, from `make_held_out_frames`.
        body: the body to render.
    """
    sheets = {SENTENCES_HEADING: show_sentences(pipe, body), FRAMES_HEADING: show_frames(pipe, held_out, body)}
    return stack_with_headings(sheets)


def regular_frames(poses: torch.Tensor, count: int) -> torch.Tensor:
    """Poses at regular intervals: the middles of `count` equally long intervals.

    Args:
        poses: (n, 22, 3, 3).
        count: number of poses to select.
    """
    return poses[((torch.arange(count) + 0.5) * len(poses) / count).long()]


def main() -> None:
    (arguments,) = TrlParser((ShowArguments,)).parse_args_and_config()
    body = BodyModel.builtin()
    frames = regular_frames(held_out_poses().float(), NUM_FRAMES)
    held_out = make_held_out_frames(frames, body, arguments.image_size, arguments.seed)
    pipe = pipeline("unipose", model=arguments.model)  # type: ignore[call-overload]
    save_sheet(draw_results(pipe, held_out, body), arguments.output)


if __name__ == "__main__":
    main()
