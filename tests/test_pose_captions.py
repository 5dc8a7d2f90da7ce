"""`unipose.training.captions`: texts straight from rotation matrices."""

import numpy as np
import pytest
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.captions import compare_poses, describe_poses, read_caption
from unipose.training.captions.instruction_reader import read_instruction
from unipose.training.captions.paircodes import paircodes_hold
from unipose.training.captions.posecodes import holding
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses
from unipose.training.sampling.poses import sample_training_poses


@pytest.fixture(scope="module")
def poses() -> torch.Tensor:
    return torch.cat(
        [archetype_poses(list(ARCHETYPES)), sample_training_poses(100, 0, BodyModel.builtin())[0]]
    ).float()


@pytest.fixture(scope="module")
def joints(poses: torch.Tensor) -> np.ndarray:
    return BodyModel.builtin().forward_joints(poses).numpy()


def test_descriptions_hold_on_their_pose(poses: torch.Tensor, joints: np.ndarray) -> None:
    for text, pose, own in zip(describe_poses(poses), poses, joints):
        reading = read_caption(text)
        assert reading.codes
        assert reading.unparsable == ()
        assert holding(reading.codes, own[None], rotmats=pose[None]).all()


@pytest.mark.parametrize("style", ["instruction", "difference"])
def test_comparisons_hold_on_their_pair(poses: torch.Tensor, joints: np.ndarray, style: str) -> None:
    second = poses.roll(1, 0)
    texts = compare_poses(poses, second, style=style)
    rotmats = poses, second
    for index, text in enumerate(texts):
        reading = read_instruction(text)
        assert reading.codes
        assert reading.unparsable == ()
        pair = joints[index, None], joints[index - 1, None]
        assert paircodes_hold(reading.codes, *pair, rotmats=[each[index, None] for each in rotmats]).all()
    assert texts == compare_poses(poses, second, style=style)
    assert compare_poses(poses, second, style=style, seed=1) != texts


def test_the_seed_decides_the_text(poses: torch.Tensor) -> None:
    texts = describe_poses(poses.numpy(), seed=3)
    assert texts == describe_poses(poses, seed=3)
    assert texts[:5] == describe_poses(poses[:5], seed=3)
    assert texts != describe_poses(poses, seed=4)


def test_no_pose_no_text() -> None:
    none = np.zeros((0, 22, 3, 3))
    assert describe_poses(none) == compare_poses(none, none) == []


def test_a_pose_that_does_not_change(poses: torch.Tensor) -> None:
    assert all(read_instruction(text).codes[0].kind == "none" for text in compare_poses(poses[:9], poses[:9]))


def test_bad_input_is_refused(poses: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"rotmats: got the shape \(22, 3, 3\); expected \(n, 22, 3, 3\)"):
        describe_poses(poses[0])
    with pytest.raises(ValueError, match=r"second: got the shape \(9, 22, 3\)"):
        compare_poses(poses[:9], poses[:9, :, 0])
    with pytest.raises(ValueError, match="rotmats, pose 2: the matrix of joint 0"):
        describe_poses(torch.stack([poses[0], 2 * poses[1]]))
    with pytest.raises(ValueError, match="rotmats, pose 1: it holds 198 NaN"):
        describe_poses(poses[:1] * torch.nan)
    with pytest.raises(ValueError, match="got 3 first and 2 second poses"):
        compare_poses(poses[:3], poses[:2])
    with pytest.raises(ValueError, match="style is 'question'; expected one of 'instruction', 'difference'"):
        compare_poses(poses, poses, style="question")
