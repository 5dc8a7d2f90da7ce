"""Draws a contact sheet of random synthetic images, to check them before training.

python -m unipose.training.tools.show_images [--output docs/pictures.jpg] [--seed 3]
"""

import argparse
import io

import numpy as np
import torch
from PIL import Image

from unipose.processing.body_model import BodyModel
from unipose.processing.rendering import contact_sheet
from unipose.training.geometry import rotate_heading
from unipose.training.sampling.poses import sample_training_poses
from unipose.training.synthetic_images.rendering import random_image


def random_sheet(count: int, size: int, columns: int, seed: int) -> Image.Image:
    """A grid of random synthetic images.

    Args:
        count: number of images.
        size: width and height of an image in pixels.
        columns: images per row.
        seed: of the random numbers.
    """
    body = BodyModel.builtin()
    rng = np.random.default_rng(seed)
    poses, _ = sample_training_poses(count, seed, body)
    poses = rotate_heading(poses, torch.from_numpy(np.radians(rng.uniform(-180.0, 180.0, count))))
    encoded = [random_image(pose, body, size, rng, poses)["bytes"] or b"" for pose in poses]
    return contact_sheet([Image.open(io.BytesIO(data)) for data in encoded], columns=columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", default="docs/pictures.jpg", metavar="FILE", help="image to write; default: %(default)s"
    )
    parser.add_argument("--count", type=int, default=24, help="number of images; default: %(default)s")
    parser.add_argument(
        "--size", type=int, default=200, help="width and height of an image in pixels; default: %(default)s"
    )
    parser.add_argument("--columns", type=int, default=6, help="images per row; default: %(default)s")
    parser.add_argument("--seed", type=int, default=3, help="seed of the random numbers; default: %(default)s")
    arguments = parser.parse_args()
    random_sheet(arguments.count, arguments.size, arguments.columns, arguments.seed).save(arguments.output, quality=85)


if __name__ == "__main__":
    main()
