"""Images through an estimator in place of the model: `pipe(images=..., estimator=...)`."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from unipose import MediapipeEstimator, UniPosePipeline
from unipose.photo_landmarks import FoundLandmarks, merge_mirrored, place_landmarks
from unipose.processing.body_model import BodyModel
from unipose.processing.keypoint_skeletons import SKELETONS
from unipose.processing.pose_frames import JOINT_NAMES, to_y_up
from unipose.processing.rendering import render_pose
from unipose.training.named_poses.archetypes import archetype_poses


MODEL = Path(__file__).parents[1] / "viewer" / "mediapipe" / "pose_landmarker_heavy.task"
PHOTO = Path(__file__).parent / "photos" / "astronaut.jpg"
POSES = archetype_poses(["hands_up", "kneel"])
MEDIAPIPE_NAMES = SKELETONS["mediapipe"].names
IMAGES = [Image.new("RGB", (64, 48), color) for color in ("red", "blue")]


def by_color(images: Any) -> list[tuple[torch.Tensor, float]]:
    """An estimator that knows two images."""
    assert all(image.mode == "RGB" for image in images)
    return [(POSES[int(image.getpixel((0, 0))[2] > 0)], 0.75) for image in images]


@pytest.fixture(scope="module")
def pipe() -> UniPosePipeline:
    return pipeline("unipose")


def test_the_pose_of_an_image_is_the_estimators(pipe: UniPosePipeline) -> None:
    answer = pipe(images=IMAGES[1], task="image-to-pose", estimator=by_color)
    assert (answer["text"], answer["confidence"]) == ("", 0.75)
    np.testing.assert_allclose(answer["poses"][0], POSES[1], atol=1e-6)
    answers = pipe(images=IMAGES, task="image-to-pose", estimator=by_color, output_frame="y_up")
    for answer, pose in zip(answers, POSES):
        np.testing.assert_allclose(answer["poses"][0], to_y_up(pose), atol=1e-6)


def test_texts_about_images_are_about_the_estimated_poses(pipe: UniPosePipeline) -> None:
    answers = pipe(images=IMAGES, task="image-to-text", estimator=by_color, max_new_tokens=12)
    expected = pipe(poses=list(POSES), task="pose-to-text", max_new_tokens=12)
    assert [answer["text"] for answer in answers] == [answer["text"] for answer in expected]
    answer = pipe(images=IMAGES, task="image-diff", estimator=by_color, max_new_tokens=12)
    assert answer["text"] == pipe(poses=list(POSES), task="pose-diff", max_new_tokens=12)["text"]


def test_an_estimated_pose_may_have_several_texts(pipe: UniPosePipeline) -> None:
    settings = {"task": "image-to-text", "estimator": by_color, "max_new_tokens": 12, "seed": 1}
    assert len(pipe(images=IMAGES[0], num_return_sequences=2, **settings)) == 2
    assert pipe(images=IMAGES[0], best_of=2, **settings)["text"]
    one = pipe(images=IMAGES[0], task="image-to-pose", estimator=by_color, num_return_sequences=1, best_of=1)
    np.testing.assert_allclose(one["poses"][0], POSES[0], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"text": "Run.", "task": "text-to-pose"}, "takes a task of image-to-pose, image-to-text, image-diff"),
        ({"images": IMAGES[0]}, "got None"),
        ({"images": iter(IMAGES), "task": "image-to-pose"}, "got a stream"),
        ({"images": IMAGES[0], "task": "image-diff"}, "takes 2 images per row, got 1"),
        (
            {"images": IMAGES[0], "task": "image-to-pose", "num_return_sequences": 3},
            "num_return_sequences is 3, but an estimator finds exactly one pose in an image; accepted: 1",
        ),
        (
            {"images": IMAGES, "task": "image-to-pose", "generate_kwargs": {"num_return_sequences": 2}},
            "num_return_sequences is 2, but",
        ),
        ({"images": IMAGES[0], "task": "image-to-pose", "best_of": 4}, "best_of is 4, but an estimator"),
        ({"images": IMAGES[0], "task": "image-to-pose", "best_of": 0}, "best_of must be an integer of at least 1"),
        ({"images": IMAGES[0], "task": "image-to-pose", "generate_kwargs": 5}, "generate_kwargs must be a dict"),
        ({"images": IMAGES[0], "task": "image-to-pose", "estimator": "magic"}, "estimator is 'magic'; accepted"),
        ({"images": IMAGES[0], "task": "image-to-pose", "estimator": lambda images: [(np.ones(5), 1.0)]}, "image 1"),
    ],
)
def test_what_an_estimator_cannot_answer(pipe: UniPosePipeline, call: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pipe(**{"estimator": by_color, **call})


def test_a_mirror_image_of_the_same_landmarks_changes_nothing() -> None:
    """Each landmark of the mirror image is that of the other side; visibility follows."""
    rng = np.random.default_rng(0)
    found = FoundLandmarks(rng.normal(size=(33, 3)), rng.uniform(size=(33, 2)), rng.uniform(size=33))
    turned = merge_mirrored(None, found)
    assert turned is not None
    left, right = (MEDIAPIPE_NAMES.index(f"{side}_wrist") for side in ("left", "right"))
    np.testing.assert_allclose(turned.world[left], found.world[right] * (-1, 1, 1))
    np.testing.assert_allclose(turned.image[right], (1 - found.image[left, 0], found.image[left, 1]))
    assert turned.visibility[left] == found.visibility[right]
    for merged, expected in ((merge_mirrored(turned, found), turned), (merge_mirrored(None, turned), found)):
        for values, others in zip(merged or (), expected, strict=True):
            np.testing.assert_allclose(values, others, atol=1e-12)


def test_corrected_places_do_not_depend_on_the_unit() -> None:
    """The unit of MediaPipe's meters, and the size of the image, whose shares stay."""
    rng = np.random.default_rng(0)
    world, image = rng.normal(size=(33, 3)), rng.uniform(size=(33, 2))
    placed = place_landmarks(world, image, (300, 200))
    np.testing.assert_allclose(place_landmarks(2 * world, image, (600, 400))[:, :3], 2 * placed[:, :3], atol=1e-12)


def test_what_mediapipe_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"no MediaPipe model .+none\.task.+`unipose get-mediapipe"):
        MediapipeEstimator(tmp_path / "none.task")
    (tmp_path / "some.task").touch()
    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", None)
    with pytest.raises(ImportError, match=r"pip install 'unipose\[photo\]'"):
        MediapipeEstimator(tmp_path / "some.task")


@pytest.fixture(scope="module")
def estimator() -> MediapipeEstimator:
    if not os.environ.get("CI"):
        pytest.importorskip("mediapipe")
        if not MODEL.is_file():
            pytest.skip("needs MediaPipe's model: unipose get-mediapipe viewer/mediapipe")
    return MediapipeEstimator(MODEL)


@pytest.mark.slow
def test_a_person_in_a_photo_is_upright_and_faces_the_camera(
    pipe: UniPosePipeline, estimator: MediapipeEstimator
) -> None:
    """The upper body of an astronaut; legs and wrists are not seen, and rest."""
    answer = pipe(images=PHOTO, task="image-to-pose", estimator=estimator)
    _, up, forward = to_y_up(torch.as_tensor(answer["poses"][0]))[0].T
    assert up[1] > 0.95
    assert forward[2] > 0.95
    joints = dict(zip(JOINT_NAMES, BodyModel.builtin().forward_joints(torch.as_tensor(answer["poses"][0])[None])[0]))
    height = {name: float(place[1]) for name, place in joints.items()}
    assert max(height["left_wrist"], height["right_wrist"]) < height["neck"] < height["head"]
    assert max(height["left_ankle"], height["right_ankle"]) < height["pelvis"] - 0.7


@pytest.mark.slow
def test_mediapipe_finds_the_pose(pipe: UniPosePipeline, estimator: MediapipeEstimator) -> None:
    """A rendered person whose pose is known, from the front; an image of nobody is refused."""
    image = render_pose(POSES[0], size=512, view="front")
    answer = pipe(images=image, task="image-to-pose", estimator=estimator)
    body = BodyModel.builtin()
    found, expected = (body(torch.as_tensor(pose)[None]).joints[0] for pose in (answer["poses"][0], POSES[0]))
    assert 1000 * (found - expected).norm(dim=-1).mean() < 150
    assert 0.5 < answer["confidence"] <= 1.0
    with pytest.raises(ValueError, match="image 2: MediaPipe finds no person"):
        pipe(images=[image, Image.new("RGB", (300, 300), "gray")], task="image-to-pose", estimator=estimator)
