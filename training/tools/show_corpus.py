"""Draws a contact sheet of the synthetic corpus: poses with captions, pairs with instructions.

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
COLORS = 128
HEADINGS = (
    "Captions, drawn at random. Left and right are the body's own: its left arm is on the right of the image",
    "Instructions, drawn at random, from the pose on the left to the pose on the right",
)


@dataclass
class ShowArguments:
    """What to draw."""

    output: str = field(default="docs/corpus.png", metadata={"help": "The image to write."})
    number: int = field(default=20, metadata={"help": "Number of captions, and of instructions."})
    split: str = field(default="train", metadata={"help": f"Split of the corpus: one of {', '.join(SPLITS)}."})
    seed: int = field(default=0, metadata={"help": "Seed of the random numbers."})


def draw(pose: Rotvecs, body: BodyModel, size: int) -> Image.Image:
    """Renders a pose.

    Args:
        pose: (22, 3) in the stored frame.
        body: the body to pose.
        size: pixels of the square image.
    """
    return render_pose(roma.rotvec_to_rotmat(torch.from_numpy(pose)), body, size, view="three-quarter")


def show_captions(records: Sequence[PoseRecord], body: BodyModel) -> Image.Image:
    """A sheet of poses, each above its caption.

    Args:
        records: poses with a caption.
        body: the body to pose.
    """
    images = [draw(record.rotvecs, body, CELL) for record in tqdm(records, desc="captions", leave=False)]
    return contact_sheet(images, [record.captions[0] for record in records], columns=5, font_size=FONT_SIZE)


def show_instructions(records: Sequence[PosePairRecord], body: BodyModel) -> Image.Image:
    """A sheet of pose pairs, side by side above the instruction.

    Args:
        records: pairs with an instruction.
        body: the body to pose.
    """
    images = []
    for record in tqdm(records, desc="instructions", leave=False):
        pair = Image.new("RGB", (2 * PAIR_CELL + GAP, PAIR_CELL), "white")
        for place, pose in enumerate((record.first, record.second)):
            pair.paste(draw(pose, body, PAIR_CELL), (place * (PAIR_CELL + GAP), 0))
        images.append(pair)
    return contact_sheet(images, [record.texts[0] for record in records], columns=4, font_size=FONT_SIZE)


def draw_page(generator: RecordGenerator, number: int, seed: int) -> Image.Image:
    """The whole page.

    Args:
        generator: of the records.
        number: of captions, half of them answers and half prompts, and of instructions.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    answers = number // 2
    captions = [
        *generator.records("pose-to-text", answers, rng, "caption"),
        *generator.records("text-to-pose", number - answers, rng, "description"),
    ]
    instructions = generator.records("pose-edit", number, rng, "instruction")
    sheets = (show_captions(captions, generator.body), show_instructions(instructions, generator.body))
    return stack([piece for text, sheet in zip(HEADINGS, sheets) for piece in (heading(text, sheet.width), sheet)])


def main() -> None:
    (arguments,) = HfArgumentParser((ShowArguments,)).parse_args_into_dataclasses()
    page = draw_page(RecordGenerator(BodyModel.builtin(), arguments.split), arguments.number, arguments.seed)
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    page.quantize(COLORS).save(output, optimize=True)
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
