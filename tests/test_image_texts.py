"""Texts about images through the poses that the model estimates in them."""

from pathlib import Path

import pytest
from test_pipeline import SHORT, assert_same, random_image
from transformers import pipeline

from unipose import UniPosePipeline


@pytest.fixture
def pipe(tiny_checkpoint: Path) -> UniPosePipeline:
    pipe = pipeline("unipose", model=str(tiny_checkpoint))
    pipe.model.config.texts_through_poses = True
    return pipe


def estimated(pipe: UniPosePipeline, seed: int):
    return pipe(images=random_image(seed), task="image-to-pose")["poses"][0]


def test_a_description_is_that_of_the_estimated_pose(pipe: UniPosePipeline) -> None:
    pose = estimated(pipe, 0)
    answer = pipe(images=random_image(0), task="image-to-text", **SHORT)
    assert_same(answer, pipe(poses=pose, task="pose-to-text", **SHORT))
    pipe.model.config.texts_through_poses = False
    assert answer["text"] != pipe(images=random_image(0), task="image-to-text", **SHORT)["text"]


def test_a_question_is_asked_about_the_estimated_pose(pipe: UniPosePipeline) -> None:
    answer = pipe("Is he sitting?", images=random_image(0), task="image-to-text", **SHORT)
    assert_same(answer, pipe("Is he sitting?", poses=estimated(pipe, 0), task="pose-to-text", **SHORT))


def test_two_images_are_compared_by_their_poses_in_order(pipe: UniPosePipeline) -> None:
    images, poses = [random_image(0), random_image(9)], [estimated(pipe, 0), estimated(pipe, 9)]
    rows = pipe(images=[images, images[::-1]], task="image-diff", batch_size=2, **SHORT)
    for row, pair in zip(rows, (poses, poses[::-1])):
        assert_same(row, pipe(poses=pair, task="pose-diff", **SHORT))
    assert rows[0]["text"] != rows[1]["text"]


def test_the_confidence_is_that_of_the_image(pipe: UniPosePipeline) -> None:
    pipe.model.config.confidence_weights = {"image-to-text": {"image_variance": -1.0, "bias": 0.0}}
    pipe.model.config.no_person_below = 1.0
    answer = pipe(images=random_image(0), task="image-to-text", return_features=True, **SHORT)
    assert answer["features"]["image_variance"] > 0
    assert answer["text"] == "There is no person in the image."


def test_chats_and_placeholders_are_answered_as_they_are(pipe: UniPosePipeline) -> None:
    chat = [
        {"role": "user", "content": [{"type": "image", "image": random_image(0)}, {"type": "text", "text": "Who?"}]}
    ]

    def answers() -> list[str]:
        placed = pipe("Who is in <image>?", images=random_image(0), task="image-to-text", **SHORT)
        return [placed["text"], pipe(chat, task="image-to-text", **SHORT)["text"]]

    through = answers()
    pipe.model.config.texts_through_poses = False
    assert answers() == through


def test_a_wrong_number_of_images_says_so(pipe: UniPosePipeline) -> None:
    with pytest.raises(ValueError, match="takes 1 images per row, got 2"):
        pipe(images=[[random_image(0), random_image(1)]], task="image-to-text")
