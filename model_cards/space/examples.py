"""Examples that a visitor can run with one click."""

from dataclasses import dataclass

import numpy as np
import roma
import torch
from answering import Assistant, Mode, Request
from PIL import Image
from session import Session

from unipose.processing.pose_frames import JOINT_NAMES, to_z_up
from unipose.processing.rendering import render_pose


IMAGE_SIZE = 256
ARMS_DOWN = 1.25  # radians from the T-pose


@dataclass(frozen=True)
class Example:
    """One example.

    Args:
        label: What stands on its button.
        text: Words of the message.
        mode: What the visitor wants.
        image_of: Description of the person in the image of the message; "": no image.
    """

    label: str
    text: str = ""
    mode: Mode = "auto"
    image_of: str = ""


EXAMPLES = (
    Example("A person squats.", "A person squats.", "new"),
    Example("Raise the left arm.", "Raise the left arm."),
    Example("Turn the head to the right.", "Turn the head to the right."),
    Example("Are the knees bent?", "Are the knees bent?"),
    Example("Describe the pose", mode="ask"),
    Example("Compare with before", mode="compare"),
    Example("Someone does a handstand.", "Someone does a handstand.", "new"),
    Example("Estimate an image", image_of="A person lunges forward."),
)


def example_image(assistant: Assistant, description: str) -> Image.Image:
    """A rendered person, which the embedded model knows.

    Args:
        assistant: Makes the pose.
        description: Words of the pose.
    """
    pose = assistant.answer(Session(), Request(description, "new")).pose
    return render_pose(pose, size=IMAGE_SIZE, view="three-quarter")


def standing_pose() -> np.ndarray:
    """(22, 3, 3) the pose before there is any: a visitor may start by dragging its joints."""
    vectors = torch.zeros(len(JOINT_NAMES), 3)
    for side, sign in (("left", -1.0), ("right", 1.0)):
        vectors[JOINT_NAMES.index(f"{side}_shoulder"), 2] = sign * ARMS_DOWN
    return to_z_up(roma.rotvec_to_rotmat(vectors)).numpy()
