"""The evaluation: a perfect model is found perfect, and baselines are what they say."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import rotation_6d_to_rotmat
from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.describe import describe
from unipose.training.captions.instruct import instruct
from unipose.training.captions.posecodes import Posecode
from unipose.training.evaluation.evaluate import (
    HeldOut,
    evaluate,
    hold_out,
    mean_pose,
    nearest_by_statements,
    others_at_random,
    pose_statements,
    statement_share,
    to_markdown,
)
from unipose.training.evaluation.evaluate_pairs import HeldOutPairs, hold_out_pairs
from unipose.training.evaluation.metrics import pose_errors
from unipose.training.sampling.poses import held_out_poses, sample_training_poses
from unipose.training.tools.show_results import CELL, SENTENCES, draw_results, regular_frames


FRAMES, TRAINING = 12, 150


class LosslessPoseTokenizer:
    """Its codes are the poses themselves."""

    def eval(self) -> None: ...

    def encode(self, pose_values: torch.Tensor) -> torch.Tensor:
        return pose_values

    def decode(self, pose_codes: torch.Tensor) -> torch.Tensor:
        return rotation_6d_to_rotmat(pose_codes)


class PerfectPipeline:
    """Knows the answer to each question about the held-out frames."""

    def __init__(self, held_out: HeldOut, pairs: HeldOutPairs, body: BodyModel):
        self.model = SimpleNamespace(model=SimpleNamespace(pose_tokenizer=LosslessPoseTokenizer()))
        rng = np.random.default_rng(5)
        texts = [describe(codes, rng).text for codes in pose_statements(held_out.poses, body)]
        self.answers = {
            "text-to-pose": dict(zip((caption.text for caption in held_out.captions), held_out.poses)),
            "image-to-pose": dict(zip((picture.tobytes() for picture in held_out.pictures), held_out.turned)),
            "pose-to-text": dict(zip((pose.numpy().tobytes() for pose in held_out.poses), texts)),
            "pose-edit": dict(zip((instruction.text for instruction in pairs.instructions), pairs.pairs.second)),
            "pose-diff": {
                (first.numpy().tobytes(), second.numpy().tobytes()): instruct(instruction.codes, rng, drop=0.0).text
                for first, second, instruction in zip(pairs.pairs.first, pairs.pairs.second, pairs.instructions)
            },
        }
        self.batches: list[int] = []

    def __call__(self, task: str, batch_size: int, do_sample: bool, **column: list[Any]) -> list[dict[str, Any]]:
        assert not do_sample
        name, rows = next(iter(column.items()))
        self.batches.append(len(rows))
        found = [self.answers[task][key_of(name, row)] for row in rows]
        return [
            {"text": answer, "poses": []} if isinstance(answer, str) else {"text": "", "poses": [answer.numpy()]}
            for answer in found
        ]


def key_of(name: str, row: Any) -> Any:
    """What an answer is filed under: a text, a picture's bytes, a pose's, or those of both poses of a pair."""
    if name == "images":
        return row.tobytes()
    if name == "text":
        return row
    return tuple(pose.numpy().tobytes() for pose in row) if isinstance(row, list) else row.numpy().tobytes()


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.builtin()


@pytest.fixture(scope="module")
def training(body: BodyModel) -> torch.Tensor:
    return sample_training_poses(TRAINING, 0, body)[0].float()


@pytest.fixture(scope="module")
def held_out(body: BodyModel) -> HeldOut:
    poses = held_out_poses().float()
    return hold_out(poses[:: len(poses) // FRAMES][:FRAMES], body, picture_size=24, seed=0)


@pytest.fixture(scope="module")
def pairs(body: BodyModel) -> HeldOutPairs:
    return hold_out_pairs(FRAMES, body, seed=0)


def test_perfect_model(body: BodyModel, training: torch.Tensor, held_out: HeldOut, pairs: HeldOutPairs) -> None:
    pipe = PerfectPipeline(held_out, pairs, body)
    metrics = evaluate(pipe, held_out, pairs, training, body, batch_size=5)
    assert pipe.batches == [5, 5, 2] * 5
    for answered in metrics.values():
        for measure, value in answered["model"].items():
            if measure.endswith("_mm"):
                assert value == pytest.approx(0.0, abs=1e-2)
    assert metrics["text-to-pose"]["model"]["statements_true"] == 1.0
    assert metrics["pose-to-text"]["model"]["statements_true"] == 1.0
    assert metrics["pose-to-text"]["model"]["sentences_unread"] == 0.0
    assert metrics["pose-to-text"]["model"]["statements_said"] > 2.0
    for task in ("pose-edit", "pose-diff"):
        assert metrics[task]["model"]["statements_true"] == 1.0
    assert metrics["pose-edit"]["keeping the pose"]["mpjpe_mm"] > 10.0
    assert metrics["pose-edit"]["keeping the pose"]["statements_true"] < 0.5
    assert metrics["pose-diff"]["model"]["sentences_unread"] == 0.0
    assert metrics["pose-diff"]["model"]["part_named"] > 0.7
    assert metrics["pose-diff"]["model's texts of other pairs"]["statements_true"] < 0.6
    assert metrics["image-to-pose"]["pose tokenizer alone"]["mpjpe_mm"] == pytest.approx(0.0, abs=1e-2)
    for task, name in (
        ("text-to-pose", "mean training pose"),
        ("text-to-pose", "nearest training pose by description"),
        ("pose-to-text", "model's captions of other frames"),
    ):
        assert metrics[task][name]["statements_true"] < 0.9
    assert "| text-to-pose | statements that hold (%) | 100.0 | mean training pose " in to_markdown(metrics)


def test_same_seed_same_questions(body: BodyModel, held_out: HeldOut) -> None:
    again = hold_out(held_out.poses, body, picture_size=24, seed=0)
    assert again.captions == held_out.captions
    assert all(np.array_equal(one, other) for one, other in zip(again.pictures, held_out.pictures))
    assert hold_out(held_out.poses, body, picture_size=24, seed=1).captions != held_out.captions


def test_mean_pose_by_hand() -> None:
    """Turns of -0.2, 0.1 and 0.4 rad about one axis: the chordal mean is the angle of their summed directions."""
    angles = torch.tensor([-0.2, 0.1, 0.4], dtype=torch.float64)
    rotvecs = torch.zeros(3, 22, 3, dtype=torch.float64)
    rotvecs[:, 3, 1] = angles
    expected = torch.zeros(22, 3, dtype=torch.float64)
    expected[3, 1] = torch.atan2(angles.sin().sum(), angles.cos().sum())
    torch.testing.assert_close(roma.rotmat_to_rotvec(mean_pose(roma.rotvec_to_rotmat(rotvecs))), expected)


def test_mean_pose_baseline_by_hand(
    body: BodyModel, training: torch.Tensor, held_out: HeldOut, pairs: HeldOutPairs
) -> None:
    metrics = evaluate(PerfectPipeline(held_out, pairs, body), held_out, pairs, training, body)
    left, _, right = torch.linalg.svd(training.double().mean(dim=0))
    left[..., -1] *= torch.det(left @ right)[:, None]
    joints = body.forward_joints((left @ right).float()[None])
    distances = (joints - body.forward_joints(held_out.poses)).norm(dim=-1)
    assert metrics["text-to-pose"]["mean training pose"]["mpjpe_mm"] == pytest.approx(
        1000 * distances.mean().item(), abs=1e-2
    )


def test_nearest_neighbour_of_a_training_pose_is_itself(body: BodyModel, training: torch.Tensor) -> None:
    codes = pose_statements(training, body)
    nearest = nearest_by_statements(codes, codes)
    assert [set(codes[index]) for index in nearest] == [set(own) for own in codes]
    unique = [index for index, own in enumerate(codes) if codes.count(own) == 1]
    assert len(unique) > TRAINING / 2
    assert nearest[unique].tolist() == unique


def test_overlap_counts_what_either_says() -> None:
    straight, kneels, near = (
        Posecode("bend", "left_knee", "straight"),
        Posecode("posture", "body", "kneels_both"),
        Posecode("near", "left_hand", "head"),
    )
    assert nearest_by_statements([(straight,)], [(kneels,), (straight, kneels, near), (straight, near)])[0] == 2


def test_statement_share_counts_statements(body: BodyModel) -> None:
    t_pose = torch.eye(3).repeat(2, 22, 1, 1)
    straight, bent = (Posecode("bend", "left_knee", value) for value in ("straight", "bent_90"))
    assert statement_share([(straight, bent), (straight,)], t_pose, body) == pytest.approx(2 / 3)
    assert statement_share([(), (straight,)], t_pose, body) == 1.0
    assert statement_share([(), ()], t_pose, body) == 0.0


def test_errors_are_blind_to_turns_only_when_aligned(body: BodyModel, held_out: HeldOut) -> None:
    errors = pose_errors(held_out.turned, held_out.poses, body)
    assert errors["mpjpe_mm"] > 20.0
    assert errors["pa_mpjpe_mm"] == pytest.approx(0.0, abs=1e-2)


def test_others_are_never_oneself() -> None:
    for count in (2, 3, 50):
        others = others_at_random(count, np.random.default_rng(0))
        assert sorted(others) == list(range(count))
        assert (others != np.arange(count)).all()


def test_the_picture_of_results(body: BodyModel, held_out: HeldOut, pairs: HeldOutPairs) -> None:
    pipe = PerfectPipeline(held_out, pairs, body)
    pipe.answers["text-to-pose"] |= dict(zip(SENTENCES, held_out.poses))
    few = HeldOut(held_out.poses[:2], held_out.captions[:2], held_out.turned[:2], held_out.pictures[:2])
    picture = draw_results(pipe, few, body)
    assert picture.width > len(SENTENCES) * CELL
    assert picture.height > 3 * CELL
    assert all(read_caption(sentence).unparsable == () for sentence in SENTENCES)


def test_regular_frames() -> None:
    poses = torch.arange(206.0)[:, None, None, None].expand(206, 22, 3, 3)
    assert regular_frames(poses, 6)[:, 0, 0, 0].tolist() == [17, 51, 85, 120, 154, 188]
