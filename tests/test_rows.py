"""Training rows: the contract, and that captions and pictures belong to their poses."""

import numpy as np
import pytest
import roma
import torch
from datasets import Dataset, concatenate_datasets

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import to_y_up
from unipose.training.archetypes import archetype_poses
from unipose.training.captions.measures import heading
from unipose.training.poses import sample_training_poses
from unipose.training.rows import (
    LARGEST_TURN,
    TASKS,
    TEXT_TO_POSE_PROMPTS,
    blocks,
    build_rows,
    caption_poses,
    image_to_pose_row,
    pose_to_text_row,
    text_to_pose_row,
)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.builtin()


@pytest.fixture(scope="module")
def poses(body: BodyModel) -> tuple[torch.Tensor, list[str | None]]:
    return sample_training_poses(24, 0, body)


@pytest.fixture(scope="module")
def rows(body: BodyModel, poses: tuple[torch.Tensor, list[str | None]]) -> Dataset:
    return build_rows(*poses, TASKS, seed=0, picture_size=32, body=body)


def test_one_row_a_task_and_pose(rows: Dataset) -> None:
    assert rows["task"][:] == [task for task in TASKS for _ in range(24)]


def test_blocks_match_inputs(rows: Dataset) -> None:
    for row in rows:
        content = [block for message in row["messages"] for block in message["content"]]
        kinds = [block["type"] for block in content]
        assert kinds.count("pose") == len(row["poses"]) == 1
        assert kinds.count("image") == len(row["images"]) == (row["task"] == "image-to-pose")
        assert all(set(block) == ({"type", "text"} if block["type"] == "text" else {"type"}) for block in content)
        assert all(block["text"] for block in content if block["type"] == "text")
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        answer = [block["type"] for block in row["messages"][1]["content"]]
        assert answer == (["text"] if row["task"] == "pose-to-text" else ["pose"])
        assert np.asarray(row["poses"]).shape == (1, 22, 3)


def test_poses_of_text_rows_are_the_given_ones(rows: Dataset, poses: tuple[torch.Tensor, list[str | None]]) -> None:
    stored = torch.tensor(rows.select(range(48))["poses"][:])[:, 0]
    torch.testing.assert_close(roma.rotvec_to_rotmat(stored), poses[0].repeat(2, 1, 1, 1), atol=1e-5, rtol=0.0)


def test_poses_of_picture_rows_are_turned(rows: Dataset, poses: tuple[torch.Tensor, list[str | None]]) -> None:
    stored = torch.tensor(rows.select(range(48, 72))["poses"][:])[:, 0]
    rotmats = roma.rotvec_to_rotmat(stored)
    torch.testing.assert_close(rotmats[:, 1:], poses[0][:, 1:], atol=1e-5, rtol=0.0)
    yaw = np.degrees(heading(to_y_up(rotmats)[:, 0].numpy()))
    assert np.abs(yaw).max() < LARGEST_TURN + 0.1
    assert np.abs(yaw).max() > LARGEST_TURN / 2


def test_pictures_show_the_turn(body: BodyModel) -> None:
    """An outstretched left arm is on the picture's right side."""
    rotmats = archetype_poses(["t_pose"]).clone()
    rotmats[:, 17] = archetype_poses(["stand"])[:, 17]
    row = build_rows(rotmats, [None], ["image-to-pose"], seed=0, picture_size=64, body=body)[0]
    picture = np.asarray(row["images"][0].convert("RGB"), dtype=np.int64)
    assert picture.shape == (64, 64, 3)
    columns = (np.abs(picture[:32] - picture[0, 0]).sum(axis=-1) > 30).any(axis=0).nonzero()[0]
    joints = body.forward_joints(roma.rotvec_to_rotmat(torch.tensor(row["poses"])))[0]
    across = (joints[20, 0] - joints[:, 0].min()) / (joints[:, 0].max() - joints[:, 0].min())
    assert across > 0.9
    assert columns.max() - 32 > 0
    assert len(columns) > 20


def test_same_seed_same_rows(body: BodyModel, poses: tuple[torch.Tensor, list[str | None]], rows: Dataset) -> None:
    again = build_rows(*poses, TASKS, seed=0, picture_size=32, body=body)
    assert again["messages"][:] == rows["messages"][:]
    pictures = [np.asarray(each[0]) for each in (again[60]["images"], rows[60]["images"])]
    np.testing.assert_array_equal(*pictures)
    other = build_rows(*poses, TASKS[:1], seed=1, body=body)
    assert other["messages"][:] != rows["messages"][:24]


def test_rows_of_two_builds_go_together(body: BodyModel, poses: tuple[torch.Tensor, list[str | None]]) -> None:
    text = build_rows(*poses, ["text-to-pose"], seed=0, body=body)
    pictures = build_rows(poses[0][:2], poses[1][:2], ["image-to-pose"], seed=0, picture_size=16, body=body)
    assert len(concatenate_datasets([text, pictures])) == 26


def test_a_third_of_descriptions_is_bare() -> None:
    rng = np.random.default_rng(0)
    made = [text_to_pose_row([[0.0] * 3] * 22, "A person sits.", rng) for _ in range(600)]
    texts = [row["messages"][0]["content"][0]["text"] for row in made]
    assert texts.count("A person sits.") / 600 == pytest.approx(1 / 3, abs=0.06)
    assert set(texts) == {"A person sits."} | {
        prompt.format(caption="A person sits.") for prompt in TEXT_TO_POSE_PROMPTS
    }


def test_single_rows() -> None:
    rng, pose = np.random.default_rng(0), [[0.0] * 3] * 22
    described = pose_to_text_row(pose, "A person sits.", rng)
    assert described["messages"][1]["content"] == [{"type": "text", "text": "A person sits."}]
    seen = image_to_pose_row(pose, "picture", rng)
    assert seen["images"] == ["picture"]


def test_blocks_split_a_prompt() -> None:
    assert blocks("Describe {pose}.") == [
        {"type": "text", "text": "Describe "},
        {"type": "pose"},
        {"type": "text", "text": "."},
    ]
    assert blocks("{caption}", "A {pose}") == [{"type": "text", "text": "A "}, {"type": "pose"}]


def test_named_poses_are_called_by_their_name(body: BodyModel) -> None:
    names: list[str | None] = ["squat"] * 50
    texts = [
        each.text for each in caption_poses(archetype_poses(["squat"] * 50), names, np.random.default_rng(0), body)
    ]
    assert any(text == "A person squats." for text in texts)
    assert all("squat" in text.split(".")[0] for text in texts)


def test_wrong_input_is_named(body: BodyModel, poses: tuple[torch.Tensor, list[str | None]]) -> None:
    with pytest.raises(ValueError, match="pose-to-song"):
        build_rows(*poses, ["pose-to-song"], seed=0, body=body)
    with pytest.raises(ValueError, match="24 poses and 1 labels"):
        build_rows(poses[0], [None], TASKS, seed=0, body=body)
