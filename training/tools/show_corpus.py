"""Draws a sheet of random poses with their captions and pairs of poses with their instructions, to judge the corpus.

python -m unipose.training.tools.show_corpus --output docs/corpus.png
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import roma
import torch
from PIL import Image
from tqdm.auto import tqdm
from trl import TrlParser

from unipose.processing.body_model import BodyModel
from unipose.processing.rendering import contact_sheet, render_pose
from unipose.training.datasets.generation import SPLITS, RecordGenerator
from unipose.training.datasets.records import PosePairRecord, PoseRecord, Rotvecs
from unipose.training.tools.sheets import save_sheet, stack, stack_with_headings


CELL = 204  # pixels
PAIR_CELL = 128
GAP = 3
FONT_SIZE = 11
COLORS = 128
CAPTIONS_HEADING = (
    "Random captions. Left and right are from the body's view: its left arm is on the right of the image"
)
INSTRUCTIONS_HEADING = "Random instructions, from the left pose to the right pose"


@dataclass
class ShowArguments:
    """Options: number of samples, split, seed and output image."""

    output: str = field(default="docs/corpus.png", metadata={"help": "Path of the sheet."})
    number: int = field(default=20, metadata={"help": "Number of captions, and number of instructions."})
    split: str = field(default="train", metadata={"help": f"Split of the corpus: {', '.join(SPLITS)}."})
    seed: int = field(default=0, metadata={"help": "Seed of the records."})


def render(pose: Rotvecs, body: BodyModel, size: int) -> Image.Image:
    """Renders a pose from the three-quarter view.

    Args:
        pose: (22, 3) rotation vectors.
        body: the body to render.
        size: pixels of the square image.
    """
    return render_pose(roma.rotvec_to_rotmat(torch.from_numpy(pose)), body, size, view="three-quarter")


def show_captions(records: Sequence[PoseRecord], body: BodyModel) -> Image.Image:
    """Each pose above its caption.

    Args:
        records: poses with captions.
        body: the body to render.
    """
    images = [render(record.rotvecs, body, CELL) for record in tqdm(records, desc="captions", leave=False)]
    return contact_sheet(images, [record.captions[0] for record in records], columns=5, font_size=FONT_SIZE)


def show_instructions(records: Sequence[PosePairRecord], body: BodyModel) -> Image.Image:
    """Both poses of each pair, side by side above the instruction.

    Args:
        records: pairs of poses with instructions.
        body: the body to render.
    """
    pairs = []
    for record in tqdm(records, desc="instructions", leave=False):
        images = [render(pose, body, PAIR_CELL) for pose in (record.first, record.second)]
        pairs.append(stack(images, GAP, horizontal=True))
    return contact_sheet(pairs, [record.texts[0] for record in records], columns=4, font_size=FONT_SIZE)


def draw_page(generator: RecordGenerator, number: int, seed: int) -> Image.Image:
    """The whole sheet: captions, half of them outputs and half of them inputs of a task, and instructions.

    Args:
        generator: generator of the corpus' records.
        number: number of captions, and number of instructions.
        seed: seed of the records.
    """
    rng = np.random.default_rng(seed)
    outputs = number // 2
    captions = [
        *generator.records("pose-to-text", outputs, rng, "caption"),
        *generator.records("text-to-pose", number - outputs, rng, "description"),
    ]
    instructions = generator.records("pose-edit", number, rng, "instruction")
    sheets = {
        CAPTIONS_HEADING: show_captions(captions, generator.body),
        INSTRUCTIONS_HEADING: show_instructions(instructions, generator.body),
    }
    return stack_with_headings(sheets)


def main() -> None:
    (arguments,) = TrlParser((ShowArguments,)).parse_args_and_config()
    page = draw_page(RecordGenerator(BodyModel.builtin(), arguments.split), arguments.number, arguments.seed)
    save_sheet(page, arguments.output, COLORS)


if __name__ == "__main__":
    main()
