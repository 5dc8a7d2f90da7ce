"""Draws a page by which a person can judge the corpus: poses with their captions, pairs with their instructions.

python -m unipose.training.tools.show_corpus --output docs/corpus.png
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import roma
import torch
from PIL import Image
from tqdm.auto import tqdm
from transformers import HfArgumentParser

from unipose.processing.body_model import BodyModel
from unipose.processing.rendering import contact_sheet, render_pose
from unipose.training.datasets.generation import SPLITS, RecordGenerator
from unipose.training.datasets.records import PosePairRecord, PoseRecord, Rotvecs
from unipose.training.tools.show_results import heading, stack


CELL = 204  # pixels
PAIR_CELL = 128
GAP = 3
FONT_SIZE = 11
COLOURS = 128
HEADINGS = (
    "Captions, drawn at random. Left and right are the body's own: its left arm is on the right of the image",
    "Instructions, drawn at random, from the pose on the left to the pose on the right",
)


@dataclass
class ShowArguments:
    """How much is drawn, and where to."""

    output: str = field(default="docs/corpus.png", metadata={"help": "The image to write."})
    number: int = field(default=20, metadata={"help": "Captions, and instructions."})
    split: str = field(default="train", metadata={"help": f"One of {', '.join(SPLITS)}."})
    seed: int = 0


def draw(pose: Rotvecs, body: BodyModel, size: int) -> Image.Image:
    return render_pose(roma.rotvec_to_rotmat(torch.from_numpy(pose)), body, size, view="three-quarter")


def show_captions(records: Sequence[PoseRecord], body: BodyModel) -> Image.Image:
    """Each pose above its caption."""
    images = [draw(record.rotvecs, body, CELL) for record in tqdm(records, desc="captions", leave=False)]
    return contact_sheet(images, [record.captions[0] for record in records], columns=5, font_size=FONT_SIZE)


def show_instructions(records: Sequence[PosePairRecord], body: BodyModel) -> Image.Image:
    """Both poses of each pair, side by side above the instruction."""
    images = []
    for record in tqdm(records, desc="instructions", leave=False):
        pair = Image.new("RGB", (2 * PAIR_CELL + GAP, PAIR_CELL), "white")
        for place, pose in enumerate((record.first, record.second)):
            pair.paste(draw(pose, body, PAIR_CELL), (place * (PAIR_CELL + GAP), 0))
        images.append(pair)
    return contact_sheet(images, [record.texts[0] for record in records], columns=4, font_size=FONT_SIZE)


def draw_page(generator: RecordGenerator, number: int, seed: int) -> Image.Image:
    """The whole page: `number` captions, half of them told and half asked for, and `number` instructions."""
    rng = np.random.default_rng(seed)
    asked = number // 2
    captions = [
        *generator.records("pose-to-text", asked, rng, "caption"),
        *generator.records("text-to-pose", number - asked, rng, "description"),
    ]
    instructions = generator.records("pose-edit", number, rng, "instruction")
    sheets = (show_captions(captions, generator.body), show_instructions(instructions, generator.body))
    return stack([piece for text, sheet in zip(HEADINGS, sheets) for piece in (heading(text, sheet.width), sheet)])


def main() -> None:
    (arguments,) = HfArgumentParser((ShowArguments,)).parse_args_into_dataclasses()
    page = draw_page(RecordGenerator(BodyModel.builtin(), arguments.split), arguments.number, arguments.seed)
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    page.quantize(COLOURS).save(output, optimize=True)
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
