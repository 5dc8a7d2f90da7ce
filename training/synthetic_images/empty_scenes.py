"""Images without a person: the background of a random style, seen by a camera that would show one."""

import numpy as np
import torch
from PIL import Image

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.synthetic_images.backgrounds import apply_sensor_noise, paint_background
from unipose.training.synthetic_images.rendering import RenderedImage, fit_camera, pose_person
from unipose.training.synthetic_images.style import random_style


def empty_scene(body: BodyModel, size: int, rng: np.random.Generator) -> bytes:
    """An encoded image of an empty scene.

    Args:
        body: a body for which the camera is placed.
        size: pixels of the square image.
        rng: source of all randomness.
    """
    style = random_style(rng, allow_bystander=False)
    rest = torch.eye(3).repeat(len(JOINT_NAMES), 1, 1)
    person = pose_person(rest, style.clothes, style.shape, body)
    projection = fit_camera(person, style, size, size)
    canvas = paint_background(style.background, projection, (size, size), float(person.vertices[:, 1].min()))
    image = apply_sensor_noise(Image.fromarray((canvas + 0.5).astype(np.uint8)), style.sensor)
    nothing = np.zeros((0, 2)), np.zeros(0, dtype=bool)
    return RenderedImage(image, *nothing, style).encode()
