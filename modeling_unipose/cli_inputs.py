"""Inputs of the command: the task that they imply, and what is read from standard input."""

import argparse
import json
import sys
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from PIL import Image

from .cli_console import is_standard
from .tasks_unipose import TASKS


def implied_task(text: Any, poses: Sequence[Any], images: Sequence[Any], wants_pose: bool = False) -> str | None:
    """The task of a request that names none; None: the model chooses between text and poses.

    Args:
        text: The text, or None. A sentence without poses and images describes a pose, unless it is a question.
        poses: The input poses.
        images: The input images.
        wants_pose: Whether the answer must be a pose.
    """
    is_question = isinstance(text, str) and text.rstrip().endswith("?")
    answer = "pose" if wants_pose or not (poses or images or is_question) else "text"
    inputs = (len(poses), len(images), answer)
    return next((name for name, task in TASKS.items() if (task.poses, task.images, task.answer) == inputs), None)


def read_inputs(arguments: argparse.Namespace) -> argparse.Namespace:
    """The arguments of one request; what is "-" is read from standard input.

    Args:
        arguments: The command line: text, pose and image.

    Raises:
        ValueError: Several inputs are "-", or standard input holds something else.
    """
    named = [arguments.text or "", *arguments.pose, *arguments.image]
    if sum(map(is_standard, named)) > 1:
        raise ValueError("only one input can be -, standard input")
    text, poses, images = arguments.text, arguments.pose, arguments.image
    if text is not None and is_standard(text):
        text = read_text()
    return argparse.Namespace(
        **{
            **vars(arguments),
            "text": text,
            "pose": [pose for path in poses for pose in (read_poses() if is_standard(path) else [path])],
            "image": [read_image() if is_standard(path) else path for path in images],
        }
    )


def read_text() -> str:
    """The text on standard input.

    Raises:
        ValueError: It is not UTF-8.
    """
    try:
        return sys.stdin.read().strip()
    except UnicodeDecodeError as error:
        raise ValueError("the text on standard input is not UTF-8") from error


def read_poses() -> list[Any]:
    """The poses on standard input: JSON, or one in each line, as the command prints them.

    Raises:
        ValueError: It is not JSON.
    """
    text = read_text()
    try:
        try:
            return [json.loads(text)]
        except json.JSONDecodeError:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise ValueError("--pose -: standard input is not a pose as JSON, or one in each line") from error


def read_image() -> Image.Image:
    """The image file on standard input.

    Raises:
        ValueError: It is no image.
    """
    try:
        return Image.open(BytesIO(sys.stdin.buffer.read()))
    except OSError as error:
        raise ValueError("--image -: standard input is not an image file") from error
