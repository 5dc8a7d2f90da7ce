"""Texts about images through the poses that the model estimates in them.

A small model reads a pose far better from its codes than from an image. With `texts_through_poses` in its config the
pipeline estimates the pose of each image first, and then asks about the poses.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .answer_pipeline import Row
from .pipeline_rows import check_inputs
from .tasks_unipose import TASKS, Task


# Tasks about images, and those about poses with the same answers.
THROUGH_POSES = {"image-to-text": "pose-to-text", "image-diff": "pose-diff"}


class ImageTextMixin:
    """The poses of images, for `UniPosePipeline`."""

    model: Any
    processor: Any
    read_row: Any

    def answering_task(self, rows: Sequence[Row], task: Task | None) -> Task | None:
        """The task that answers rows: another one where texts about images go through poses.

        Chats and texts with placeholders say where their images stand: they are answered as they are.

        Args:
            rows: Inputs of the answers.
            task: Their task.
        """
        if task is None or task.name not in THROUGH_POSES or not self.model.config.texts_through_poses:
            return task
        marks = [placeholder.token for placeholder in self.processor.placeholders.values()]
        texts = [row.text for row in rows]
        if any(
            text is not None and (not isinstance(text, str) or any(mark in text for mark in marks)) for text in texts
        ):
            return task
        return TASKS[THROUGH_POSES[task.name]]

    def with_estimated_poses(self, rows: Sequence[Row], task: Task, batch_size: int) -> list[Row]:
        """Rows with the poses of their images in place of the images.

        Args:
            rows: Inputs of the answers.
            task: Their task, which takes images.
            batch_size: Number of images of a batch.

        Raises:
            ValueError: A row has another number of images or poses than its task.
        """
        for row in rows:
            check_inputs(row, task)
        images = [image for row in rows for image in row.images]
        answers: list[Mapping[str, Any]] = self(  # type: ignore[operator]
            images=images, task="image-to-pose", batch_size=batch_size, do_sample=False
        )
        poses = iter([torch.as_tensor(answer["poses"][0]) for answer in answers])
        return [self.read_row(Row(row.text, [], [next(poses) for _ in row.images]), None)[0] for row in rows]


__all__ = ["ImageTextMixin"]
