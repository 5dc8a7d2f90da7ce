"""Pictures of poses for training: clothes, ground and camera drawn at random."""

import io

import numpy as np
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.rendering import BACKGROUND, Palette, hsv_colour, render_pose


# The camera looks down by at most this much (degrees); poses stay upright whatever it is.
LARGEST_ELEVATION = 12.0
PLAIN_BACKGROUND = 0.4


def random_picture(
    rotmat: torch.Tensor, body: BodyModel, size: int, rng: np.random.Generator
) -> dict[str, bytes | None]:
    """A picture of a (22, 3, 3) pose from the front, a little from above; clothes, ground and camera drawn at random.

    The default background and a shadow are among what is drawn, so that pictures of `render_pose` are nothing new.

    Returns:
        What a `datasets.Image` column stores: {"bytes": PNG, "path": None}.
    """
    plain = rng.random() < PLAIN_BACKGROUND
    drawn = hsv_colour(rng.random(), 0.45 * rng.random(), 0.45 + 0.55 * rng.random())
    picture = render_pose(
        rotmat,
        body,
        size=size,
        elevation=rng.uniform(0.0, LARGEST_ELEVATION),
        background=BACKGROUND if plain else drawn,
        palette=Palette.random(rng),
        shadow=plain,
    )
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return {"bytes": stream.getvalue(), "path": None}
