"""Draws what a checkpoint answers: poses of sentences, then poses of pictures and words for poses.

    python -m unipose.training.tools.show_results --model modeling_unipose/embedded --output docs/results.png

Six sentences are given, and six frames at regular intervals through the motion clips that no training has seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from transformers import HfArgumentParser, pipeline

from unipose.processing.body_model import BodyModel
from unipose.processing.rendering import TEXT_COLOR, contact_sheet, render_pose
from unipose.training.evaluation.evaluate import HeldOut, ask, hold_out
from unipose.training.sampling.poses import held_out_poses


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
FONT_SIZE, HEADING_SIZE = 14, 18
HEADINGS = (
    "Text to pose: the sentence, and the pose made from it",
    "Picture to pose, and pose to text, on held-out motion: the picture, the pose estimated from it, and the words "
    "for the true pose",
)


@dataclass
class ShowArguments:
    """What is drawn, and where to."""

    model: str = field(default="modeling_unipose/embedded", metadata={"help": "Folder or Hub id of the model."})
    output: str = field(default="docs/results.png", metadata={"help": "The picture to write."})
    picture_size: int = field(default=96, metadata={"help": "Pixels of a picture that the model sees."})
    seed: int = 0


def show_sentences(pipe: Any, body: BodyModel) -> Image.Image:
    """`SENTENCES`, each under the pose that the model makes of it."""
    answers = ask(pipe, "text-to-pose", len(SENTENCES), text=SENTENCES)
    pictures = [render_pose(answer["poses"][0], body, CELL, view="three-quarter") for answer in answers]
    return contact_sheet(pictures, SENTENCES, columns=len(pictures), font_size=FONT_SIZE)


def show_frames(pipe: Any, held_out: HeldOut, body: BodyModel) -> Image.Image:
    """Each picture above the pose estimated from it and the model's words for the true pose."""
    estimates = ask(pipe, "image-to-pose", len(held_out.pictures), images=held_out.pictures)
    texts = [answer["text"] for answer in ask(pipe, "pose-to-text", len(held_out.poses), poses=list(held_out.poses))]
    pairs = [
        stack([picture.resize((CELL, CELL), Image.Resampling.LANCZOS), render_pose(answer["poses"][0], body, CELL)])
        for picture, answer in zip(held_out.pictures, estimates)
    ]
    return contact_sheet(pairs, texts, columns=len(pairs), font_size=FONT_SIZE)


def heading(text: str, width: int) -> Image.Image:
    """One line of text as a picture of `width` pixels."""
    strip = Image.new("RGB", (width, 2 * HEADING_SIZE), "white")
    font = ImageFont.load_default(size=HEADING_SIZE)
    ImageDraw.Draw(strip).text((14, HEADING_SIZE // 2), text, fill=TEXT_COLOR, font=font)
    return strip


def stack(pictures: Sequence[Image.Image], gap: int = 4) -> Image.Image:
    """Pictures of the same mode below each other, `gap` white pixels between them."""
    width = max(picture.width for picture in pictures)
    stacked = Image.new("RGB", (width, sum(picture.height + gap for picture in pictures) - gap), "white")
    top = 0
    for picture in pictures:
        stacked.paste(picture, (0, top))
        top += picture.height + gap
    return stacked


def draw_results(pipe: Any, held_out: HeldOut, body: BodyModel) -> Image.Image:
    """The whole picture.

    Args:
        pipe: `pipeline("unipose")` of the model.
        held_out: the frames to show, from `evaluate.hold_out`.
        body: the body to draw.
    """
    parts = (show_sentences(pipe, body), show_frames(pipe, held_out, body))
    return stack([piece for text, part in zip(HEADINGS, parts) for piece in (heading(text, part.width), part)])


def regular_frames(poses: torch.Tensor, count: int) -> torch.Tensor:
    """`count` of (n, 22, 3, 3) poses, from the middles of as many equal stretches."""
    return poses[((torch.arange(count) + 0.5) * len(poses) / count).long()]


def main() -> None:
    (arguments,) = HfArgumentParser((ShowArguments,)).parse_args_into_dataclasses()
    body = BodyModel.builtin()
    frames = regular_frames(held_out_poses().float(), NUM_FRAMES)
    held_out = hold_out(frames, body, arguments.picture_size, arguments.seed)
    pipe = pipeline("unipose", model=arguments.model)  # type: ignore[call-overload]
    picture = draw_results(pipe, held_out, body)
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    picture.save(output)
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
