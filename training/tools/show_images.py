"""Draws a sheet of random training images, to inspect before training on them.

python -m unipose.training.tools.show_images --output docs/synthetic_images.jpg
"""

import io
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from trl import TrlParser

from unipose.processing.body_model import BodyModel
from unipose.processing.rendering import contact_sheet
from unipose.training.geometry import rotate_heading
from unipose.training.sampling.poses import sample_training_poses
from unipose.training.synthetic_images.rendering import random_image
from unipose.training.tools.sheets import save_sheet


LARGEST_YAW = 180.0  # degrees


@dataclass
class SheetArguments:
    """Options: path of the sheet, number and size of the images."""

    output: str = field(default="docs/synthetic_images.jpg", metadata={"help": "Path of the sheet."})
    count: int = field(default=24, metadata={"help": "Number of images."})
    size: int = field(default=200, metadata={"help": "Pixels of the square images."})
    columns: int = field(default=6, metadata={"help": "Number of images per row."})
    seed: int = field(default=3, metadata={"help": "Seed of poses, headings and styles."})


def random_sheet(count: int, size: int, columns: int, seed: int) -> Image.Image:
    """Random training images in a grid.

    Args:
        count: number of images.
        size: pixels of the square images.
        columns: number of images per row.
        seed: seed of poses, headings and styles.
    """
    body = BodyModel.builtin()
    rng = np.random.default_rng(seed)
    poses, _ = sample_training_poses(count, seed, body)
    poses = rotate_heading(poses, torch.from_numpy(np.radians(rng.uniform(-LARGEST_YAW, LARGEST_YAW, count))))
    encoded = [random_image(pose, body, size, rng, poses)["bytes"] or b"" for pose in poses]
    return contact_sheet([Image.open(io.BytesIO(data)) for data in encoded], columns=columns)


def main() -> None:
    (arguments,) = TrlParser((SheetArguments,)).parse_args_and_config()
    sheet = random_sheet(arguments.count, arguments.size, arguments.columns, arguments.seed)
    save_sheet(sheet, arguments.output)


if __name__ == "__main__":
    main()
