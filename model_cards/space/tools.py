"""The functions of the API page, which are MCP tools too: numbers and words in and out, nothing is fetched."""

import functools
import io
from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np
import roma
import torch
from answering import Assistant, Candidate, check_answers, check_text
from gradio.processing_utils import save_bytes_to_cache
from messages import explain
from PIL import Image

from unipose.processing.image_loading import decode_base64, image_to_rgb
from unipose.processing.pose_features import pose_to_rotmats
from unipose.processing.rendering import render_pose
from unipose.tasks_unipose import TASKS


DIGITS = 4
IMAGE_SIZE = 256


class Tools:
    """Functions for programs.

    Args:
        assistant: Answers them.
        cache: Folder in which the web framework keeps images for a while.
    """

    def __init__(self, assistant: Assistant, cache: str):
        self.assistant, self.limits, self.cache = assistant, assistant.limits, cache

    def describe(self, pose: list[list[float]]) -> dict[str, Any]:
        """Describes a 3D human pose in words.

        Args:
            pose: 22 rotation vectors (axis-angle, radians), SMPL joint order; the first is the orientation, z up.
        """
        return self.words("pose-to-text", None, [], [read_pose(pose, "pose")])

    def generate(self, text: str, answers: int = 1, seed: int = 0) -> dict[str, Any]:
        """Makes 3D human poses from a description such as "A person squats.".

        Args:
            text: The description.
            answers: Number of poses, from 1 to 4; more than one are sampled.
            seed: Seed of the samples.
        """
        return self.poses("text-to-pose", self.sentence(text), [], [], answers, seed)

    def edit(self, pose: list[list[float]], text: str, answers: int = 1, seed: int = 0) -> dict[str, Any]:
        """Changes a 3D human pose by words such as "Raise the left arm.".

        Args:
            pose: 22 rotation vectors (axis-angle, radians), SMPL joint order; the first is the orientation, z up.
            text: What to change.
            answers: Number of poses, from 1 to 4; more than one are sampled.
            seed: Seed of the samples.
        """
        return self.poses("pose-edit", self.sentence(text), [], [read_pose(pose, "pose")], answers, seed)

    def compare(self, first: list[list[float]], second: list[list[float]]) -> dict[str, Any]:
        """Tells in words how the second of two 3D human poses differs from the first.

        Args:
            first: 22 rotation vectors (axis-angle, radians), SMPL joint order; the first is the orientation, z up.
            second: The same of the second pose.
        """
        return self.words("pose-diff", None, [], [read_pose(first, "first"), read_pose(second, "second")])

    def estimate(self, image: str) -> dict[str, Any]:
        """Estimates the 3D pose of the person in an image.

        Args:
            image: The image as a data: URI or in base64; addresses are not read.
        """
        return self.poses("image-to-pose", None, [self.read_image(image)], [], 1, 0)

    def ask(self, text: str, pose: list[list[float]]) -> dict[str, Any]:
        """Answers a question about a 3D human pose, such as "Are the knees bent?".

        Args:
            text: The question.
            pose: 22 rotation vectors (axis-angle, radians), SMPL joint order; the first is the orientation, z up.
        """
        return self.words("pose-to-text", self.sentence(text), [], [read_pose(pose, "pose")])

    def draw(self, pose: list[list[float]]) -> gr.FileData:
        """Draws a 3D human pose as a PNG image of 256 pixels.

        Args:
            pose: 22 rotation vectors (axis-angle, radians), SMPL joint order; the first is the orientation, z up.
        """
        buffer = io.BytesIO()
        render_pose(read_pose(pose, "pose"), size=IMAGE_SIZE).save(buffer, format="PNG")
        return gr.FileData(path=save_bytes_to_cache(buffer.getvalue(), "pose.png", self.cache))

    def sentence(self, text: Any) -> str:
        """A text that is not empty.

        Raises:
            ValueError: It is empty or too long.
        """
        if not check_text(text, self.limits).strip():
            raise ValueError("the text is empty")
        return text

    def read_image(self, image: Any) -> Image.Image:
        """The image of a data: URI or of base64.

        Raises:
            ValueError: It is neither, too large, or no image.
        """
        if not isinstance(image, str) or len(image) > 4 * self.limits.upload_bytes / 3 + 100:
            raise ValueError(f"the image must be a data: URI or base64 of at most {self.limits.upload_bytes} bytes")
        return image_to_rgb(decode_base64(image), "image", self.limits.pixels)

    def words(self, task: str, text: str | None, images: list[Image.Image], poses: list[np.ndarray]) -> dict[str, Any]:
        """An answer in words as JSON.

        Args:
            task: Name of the task.
            text: The question, if any.
            images: Images that it is about.
            poses: Poses that it is about.
        """
        answer = self.assistant.ask(TASKS[task], text, images, poses)
        return {"text": answer["text"], "confidence": round(answer["confidence"], DIGITS)}

    def poses(
        self,
        task: str,
        text: str | None,
        images: list[Image.Image],
        poses: list[np.ndarray],
        answers: int,
        seed: int,
    ) -> dict[str, Any]:
        """Poses as JSON.

        Args:
            task: Name of the task.
            text: Description or instruction, if any.
            images: Images that it is about.
            poses: Poses that it is about.
            answers: Number of poses.
            seed: Seed of the samples.
        """
        check_answers(answers, self.limits)
        found = self.assistant.make(TASKS[task], text, images, poses, answers, seed)
        return {"poses": [pose_record(candidate) for candidate in found]}


def read_pose(pose: Any, name: str) -> np.ndarray:
    """A pose of a program: numbers only, never a path.

    Args:
        pose: 22 rotation vectors, or 66 numbers.
        name: Its name in errors.

    Raises:
        ValueError: It is something else, or no pose.
    """
    try:
        numbers = np.asarray(pose, dtype=np.float64) if isinstance(pose, list) else None
    except (ValueError, TypeError):
        numbers = None
    if numbers is None or numbers.shape not in ((22, 3), (66,)):
        raise ValueError(f"{name} must be a list of 22 rotation vectors (axis-angle, radians)")
    return pose_to_rotmats(numbers.reshape(22, 3), name, "z_up").numpy()


def pose_record(candidate: Candidate) -> dict[str, Any]:
    """A pose as JSON: about 500 tokens."""
    vectors = roma.rotmat_to_rotvec(torch.from_numpy(candidate.pose).double()).numpy()
    # Adding zero leaves no "-0.0".
    numbers = (vectors.round(DIGITS) + 0.0).tolist()
    return {"axis_angle": numbers, "confidence": round(candidate.confidence, DIGITS)}


def explained(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose errors reach the caller as messages for people."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:  # see `explain`
            raise gr.Error(explain(error), print_exception=False) from None

    return call
