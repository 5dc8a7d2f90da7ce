"""Scenes without a person, in the styles of images with one."""

import numpy as np
from PIL import Image

from unipose.processing.rasterizing import Projection
from unipose.processing.rendering import Size
from unipose.training.synthetic_images.backgrounds import apply_sensor_noise, occluder_cover, paint_occluder
from unipose.training.synthetic_images.random_styles import random_style
from unipose.training.synthetic_images.rendering import RenderedImage, image_size, render_background


# The camera looks at where a person would be: corners of a box in meters.
PLACE = np.array([[x, y, z] for x in (-0.4, 0.4) for y in (0.0, 1.7) for z in (-0.3, 0.3)])
# Things that would be in front of the person: their places and sizes refer to this part of the image.
MIDDLE = ((0.25, 0.1), (0.75, 0.95))


def empty_scene(rng: np.random.Generator, size: Size) -> Image.Image:
    """An image without a person: a room, outdoors or a plain background, with things in it.

    Args:
        rng: source of all randomness; the same state gives the same image.
        size: pixels of a square, or (width, height).

    Raises:
        ValueError: a size below 1.
    """
    return _render_scene(rng, size).image


def empty_image(rng: np.random.Generator, size: Size) -> dict[str, bytes | None]:
    """`empty_scene` as a value of a `datasets.Image` column: {"bytes": JPEG or PNG, "path": None}.

    Args:
        rng: source of all randomness; the same state gives the same bytes.
        size: pixels of a square, or (width, height).

    Raises:
        ValueError: a size below 1.
    """
    return {"bytes": _render_scene(rng, size).encode(), "path": None}


def _render_scene(rng: np.random.Generator, size: Size) -> RenderedImage:
    width, height = image_size(size)
    style = random_style(rng)
    projection = Projection.fit(PLACE, style.camera, width, height)
    image = render_background(style, projection, (width, height), ground=0.0)
    for occluder in style.occluders:
        cover = occluder_cover(occluder, np.array(MIDDLE) * (width, height), 1.0, (width, height))
        paint_occluder(image, cover, occluder)
    image = apply_sensor_noise(image, style.sensor)
    joints = np.full((22, 2), np.nan)
    return RenderedImage(image=image, joints_2d=joints, visible=np.zeros(22, dtype=bool), style=style)
