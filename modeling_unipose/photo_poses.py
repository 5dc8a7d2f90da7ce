"""Poses of people in photos by another tool: the embedded model knows rendered people only.

An estimator takes RGB images and gives a pose, in any form that the processor reads, and a confidence for each.
`MediapipeEstimator` is one: its landmarks become rotations as joint positions do.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from .answer_pipeline import check_choice
from .image_texts import THROUGH_POSES
from .photo_landmarks import FoundLandmarks, merge_mirrored, place_landmarks
from .pipeline_rows import check_inputs
from .pipeline_streams import is_stream
from .tasks_unipose import TASKS


Estimator = Callable[[Sequence[Image.Image]], Sequence[tuple[Any, float]]]

ESTIMATED_TASKS = ("image-to-pose", *THROUGH_POSES)
MEDIAPIPE_MODEL = Path("~/.cache/unipose/mediapipe/pose_landmarker_heavy.task")


class MediapipeEstimator:
    """MediaPipe's pose landmarks (extra `photo`), on the processor.

    Args:
        model: Path of a `.task` file. Default: `MEDIAPIPE_MODEL`, where `unipose get-mediapipe` writes it, the exact
            one; `pose_landmarker_full.task` beside it takes less than half the time.
        mirrored: Also looks at the mirror image and takes the mean, in twice the time.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: MediaPipe is not installed.
    """

    def __init__(self, model: str | Path = MEDIAPIPE_MODEL, mirrored: bool = True):
        self.mirrored = mirrored
        path = Path(model).expanduser()
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no MediaPipe model {path}: `unipose get-mediapipe {path.parent}` fetches it; "
                "MediapipeEstimator(path) takes another place"
            )
        try:
            # By name: with a statement here, in code that is saved with models, loading them would demand MediaPipe.
            tasks, self.mediapipe = import_module("mediapipe.tasks.python"), import_module("mediapipe")
        except ImportError as error:
            raise ImportError("estimator='mediapipe' needs MediaPipe: pip install 'unipose[photo]'") from error
        options = tasks.vision.PoseLandmarkerOptions(base_options=tasks.BaseOptions(model_asset_path=str(path)))
        self.open_landmarker = partial(tasks.vision.PoseLandmarker.create_from_options, options)

    def __call__(self, images: Sequence[Image.Image]) -> list[tuple[dict[str, Any], float]]:
        """The poses of one person in each image.

        Args:
            images: RGB images.

        Returns:
            Joint positions, and the mean visibility of the landmarks.

        Raises:
            ValueError: There is no person in an image.
        """
        estimates = []
        for number, (image, found) in enumerate(zip(images, self.find(images)), 1):
            if found is None:
                raise ValueError(f"image {number}: MediaPipe finds no person in it")
            keypoints = place_landmarks(found.world, found.image, image.size)
            pose = {"keypoints_3d": keypoints, "skeleton": "mediapipe"}
            estimates.append((pose, float(found.visibility.mean())))
        return estimates

    def find(self, images: Sequence[Image.Image]) -> list[FoundLandmarks | None]:
        """The landmarks of one person in each image, as MediaPipe gives them; None where there is nobody.

        Args:
            images: RGB images.
        """
        people = []
        with self.open_landmarker() as landmarker:
            for image in images:
                pixels = np.asarray(image)
                found = self.find_one(landmarker, pixels)
                if self.mirrored:
                    found = merge_mirrored(found, self.find_one(landmarker, pixels[:, ::-1]))
                people.append(found)
        return people

    def find_one(self, landmarker: Any, pixels: np.ndarray) -> FoundLandmarks | None:
        """The landmarks of one image.

        Args:
            landmarker: MediaPipe's.
            pixels: (height, width, 3) RGB.
        """
        given = self.mediapipe.Image(image_format=self.mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(pixels))
        found = landmarker.detect(given)
        if not found.pose_world_landmarks:
            return None
        world, flat = found.pose_world_landmarks[0], found.pose_landmarks[0]
        return FoundLandmarks(
            np.array([[point.x, point.y, point.z] for point in world]),
            np.array([[point.x, point.y] for point in flat]),
            np.array([point.visibility for point in world]),
        )


def find_estimator(estimator: Any) -> Estimator:
    """The function that an argument names.

    Raises:
        ValueError: It is neither "mediapipe" nor a function.
        FileNotFoundError: As `MediapipeEstimator`.
        ImportError: As `MediapipeEstimator`.
    """
    if estimator == "mediapipe":
        return MediapipeEstimator()
    if callable(estimator):
        return estimator
    raise ValueError(f"estimator is {estimator!r}; accepted: 'mediapipe', or a function of images")


def check_one_pose(asked: Mapping[str, int | None]) -> None:
    """Checks that nobody asks an estimator for more than one pose of an image.

    Args:
        asked: Numbers of answers by the names of their arguments; None: not given.

    Raises:
        ValueError: One is above 1.
    """
    for name, count in asked.items():
        if count is not None and count > 1:
            raise ValueError(f"{name} is {count}, but an estimator finds exactly one pose in an image; accepted: 1")


class PhotoMixin:
    """Answers about images through the poses of an estimator, for `UniPosePipeline`."""

    processor: Any
    arrange_rows: Any

    def answer_estimated(
        self, inputs: Mapping[str, Any], task: str | None, estimator: Any, frame: str, options: Mapping[str, Any]
    ) -> Any:
        """Answers rows of images as `UniPosePipeline.__call__` does, with the poses of an estimator.

        Args:
            inputs: "text", "images" and "poses" of the call.
            task: One of `ESTIMATED_TASKS`.
            estimator: See `find_estimator`.
            frame: Frame of the poses of the answers.
            options: Other arguments of the call, for texts about the poses.

        Raises:
            ValueError: Another task, a stream, more than one pose of an image, or an image without a person.
        """
        if task not in ESTIMATED_TASKS:
            raise ValueError(f"estimator= takes a task of {', '.join(ESTIMATED_TASKS)}; got {task!r}")
        if any(is_stream(value) for value in inputs.values()):
            raise ValueError("estimator= takes lists of images; got a stream")
        count = {**(options["generate_kwargs"] or {}), **options}.get("num_return_sequences", 1)
        check_choice(count, options["best_of"], options["chooser"])
        if task == "image-to-pose":
            check_one_pose({"num_return_sequences": count, "best_of": options["best_of"]})
        rows, many = self.arrange_rows(inputs["text"], inputs["images"], inputs["poses"], TASKS[task])
        for row in rows:
            check_inputs(row, TASKS[task])
        images = [image for row in rows for image in row.images]
        read = [self.processor.read_image(image, f"image {number}") for number, image in enumerate(images, 1)]
        estimates = [
            (self.processor.read_pose(pose, f"the pose of image {number}"), confidence)
            for number, (pose, confidence) in enumerate(find_estimator(estimator)(read), 1)
        ]
        if task == "image-to-pose":
            stated = options["return_confidence"]
            answers = [self.pose_answer(pose, value if stated else None, frame) for pose, value in estimates]
        else:
            poses = iter([pose for pose, _ in estimates])
            groups = [[next(poses) for _ in row.images] for row in rows]
            answers = self(  # type: ignore[operator]
                [row.text for row in rows], poses=groups, task=THROUGH_POSES[task], **options
            )
        return answers if many else answers[0]

    def pose_answer(self, pose: torch.Tensor, confidence: float | None, frame: str) -> dict[str, Any]:
        """An answer that is a pose.

        Args:
            pose: (22, 3, 3) in the stored z-up frame.
            confidence: From 0 to 1; None: the answer states none.
            frame: Frame of the answer.
        """
        turned = self.processor.to_frame(pose, frame, "output_frame")
        answer = {"text": "", "poses": [turned.numpy()]}
        return answer if confidence is None else answer | {"confidence": float(confidence)}


__all__ = ["MediapipeEstimator", "PhotoMixin"]
