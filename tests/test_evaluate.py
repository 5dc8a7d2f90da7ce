"""The evaluation: a perfect model gets perfect results, and the baselines are computed as documented."""

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
from unipose.training.evaluation.baselines import (
    TrainingPoses,
    mean_pose,
    nearest_by_posecodes,
    nearest_poses,
    shuffled_partners,
)
from unipose.training.evaluation.evaluate import evaluate_set
from unipose.training.evaluation.evaluation_sets import EvaluationSet
from unipose.training.evaluation.held_out import (
    HeldOutFrames,
    HeldOutPairs,
    make_held_out_frames,
    make_held_out_pairs,
)
from unipose.training.evaluation.metrics import pose_errors
from unipose.training.evaluation.posecode_metrics import posecode_precision, posecodes_of_poses
from unipose.training.evaluation.report import to_markdown, to_metrics
from unipose.training.evaluation.scores import Judge, pose_statistics, text_statistics
from unipose.training.evaluation.task_rows import TaskRows, frame_rows, pair_rows
from unipose.training.geometry import rotate_heading
from unipose.training.sampling.poses import held_out_poses, sample_training_poses
from unipose.training.tools.show_results import CELL, SENTENCES, draw_results, regular_frames


FRAMES, TRAINING = 12, 150


class LosslessPoseTokenizer:
    """Its codes are the poses."""

    device = torch.device("cpu")

    def eval(self) -> None: ...

    def encode(self, pose_values: torch.Tensor) -> torch.Tensor:
        return pose_values

    def decode(self, pose_codes: torch.Tensor) -> torch.Tensor:
        return rotation_6d_to_rotmat(pose_codes)


class PerfectPipeline:
    """Returns the target for each input of the held-out sets."""

    def __init__(self, held_out: HeldOutFrames, pairs: HeldOutPairs, body: BodyModel):
        self.model = SimpleNamespace(model=SimpleNamespace(pose_tokenizer=LosslessPoseTokenizer()))
        rng = np.random.default_rng(5)
        texts = [describe(codes, rng).text for codes in posecodes_of_poses(held_out.poses, body)]
        self.targets = {
            "text-to-pose": dict(zip((caption.text for caption in held_out.captions), held_out.poses)),
            "image-to-pose": dict(zip((image.tobytes() for image in held_out.images), held_out.camera_poses)),
            "image-to-text": dict(zip((image.tobytes() for image in held_out.images), texts)),
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
        targets = [self.targets[task][key_of(name, row)] for row in rows]
        return [
            {"text": target, "poses": []} if isinstance(target, str) else {"text": "", "poses": [target.numpy()]}
            for target in targets
        ]


def key_of(name: str, row: Any) -> Any:
    """The key of an input's target: a text, the bytes of an image or a pose, or those of both of a pair."""
    if name == "text":
        return row
    if isinstance(row, list | tuple):
        return tuple(key_of(name, each) for each in row)
    return row.tobytes() if name == "images" else row.numpy().tobytes()


def metrics_of(
    pipe: Any,
    held_out: HeldOutFrames,
    pairs: HeldOutPairs,
    training: torch.Tensor,
    body: BodyModel,
    batch_size: int = 32,
    error_body: BodyModel | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """The metrics of a pipeline on the held-out sets, without differences of images."""
    rows = [*frame_rows(held_out), *pair_rows(pairs, None)]
    sets = EvaluationSet("held-out", "held-out", rows, {"pose tokenizer": held_out.poses}, len(held_out.poses))
    judge = Judge(body, error_body or body)
    return to_metrics(evaluate_set(pipe, sets, TrainingPoses.of(training, body), judge, batch_size))


@pytest.fixture(scope="module")
def training(body: BodyModel) -> torch.Tensor:
    return sample_training_poses(TRAINING, 0, body)[0].float()


@pytest.fixture(scope="module")
def held_out(body: BodyModel) -> HeldOutFrames:
    poses = held_out_poses().float()
    return make_held_out_frames(poses[:: len(poses) // FRAMES][:FRAMES], body, image_size=24, seed=0)


@pytest.fixture(scope="module")
def pairs(body: BodyModel) -> HeldOutPairs:
    return make_held_out_pairs(FRAMES, body, seed=0)


def test_perfect_model(body: BodyModel, training: torch.Tensor, held_out: HeldOutFrames, pairs: HeldOutPairs) -> None:
    pipe = PerfectPipeline(held_out, pairs, body)
    metrics = metrics_of(pipe, held_out, pairs, training, body, batch_size=5)
    assert pipe.batches == [5, 5, 2] * 6
    for results in metrics.values():
        for metric, value in results["model"].items():
            if metric.endswith("_mm"):
                assert value == pytest.approx(0.0, abs=1e-2)
    assert metrics["text-to-pose"]["model"]["posecode_precision"] == 1.0
    assert metrics["pose-to-text"]["model"]["posecode_precision"] == 1.0
    assert metrics["pose-to-text"]["model"]["unparsable_sentences"] == 0.0
    assert metrics["pose-to-text"]["model"]["codes_per_caption"] > 2.0
    for task in ("pose-edit", "pose-diff"):
        assert metrics[task]["model"]["paircode_precision"] == 1.0
    assert metrics["pose-edit"]["input pose unchanged"]["mpjpe_mm"] > 10.0
    assert metrics["pose-edit"]["input pose unchanged"]["paircode_precision"] < 0.5
    assert metrics["pose-diff"]["model"]["unparsable_sentences"] == 0.0
    assert metrics["pose-diff"]["model"]["changed_part_named"] > 0.7
    assert metrics["pose-diff"]["texts of other pairs"]["paircode_precision"] < 0.6
    assert metrics["image-to-pose"]["pose tokenizer alone"]["mpjpe_mm"] == pytest.approx(0.0, abs=1e-2)
    for task, name in (
        ("text-to-pose", "mean training pose"),
        ("text-to-pose", "nearest training pose by description"),
        ("pose-to-text", "captions of other frames"),
    ):
        assert metrics[task][name]["posecode_precision"] < 0.9
    for task in ("text-to-pose", "image-to-pose", "pose-edit"):
        assert metrics[task]["model"]["rotation_error_deg"] == pytest.approx(0.0, abs=0.1)
        assert metrics[task]["pose tokenizer alone"]["pve_mm"] == pytest.approx(0.0, abs=1e-2)
        nearest, mean = (metrics[task][name]["mpjpe_mm"] for name in ("nearest training pose", "mean training pose"))
        assert 0 < nearest < mean
    for task in ("pose-to-text", "image-to-text", "pose-diff"):
        references = metrics[task]["reference texts"]
        assert [references["bleu4"], references["rouge_l"]] == pytest.approx([1.0, 1.0])
        assert references[f"{'pair' if task == 'pose-diff' else 'pose'}code_recall"] == 1.0
        assert metrics[task]["reference texts of other rows"]["meteor"] < 0.9
    nearest_captions = metrics["pose-to-text"]["template caption of the nearest training pose"]
    assert 0.3 < nearest_captions["posecode_precision"] < 1.0
    points = {
        task: {name: {m: [v, v] for m, v in own.items()} for name, own in metrics[task].items()} for task in metrics
    }
    table = to_markdown(metrics, points)
    assert "| text-to-pose | posecode precision (%) | 100.0 [100.0, 100.0] | pose tokenizer alone " in table


def test_same_seed_same_held_out_frames(body: BodyModel, held_out: HeldOutFrames) -> None:
    again = make_held_out_frames(held_out.poses, body, image_size=24, seed=0)
    assert again.captions == held_out.captions
    assert all(np.array_equal(one, other) for one, other in zip(again.images, held_out.images))
    assert make_held_out_frames(held_out.poses, body, image_size=24, seed=1).captions != held_out.captions


def test_mean_pose_by_hand() -> None:
    """Rotations of -0.2, 0.1 and 0.4 rad about one axis: the chordal mean is the angle of their summed directions."""
    angles = torch.tensor([-0.2, 0.1, 0.4], dtype=torch.float64)
    rotvecs = torch.zeros(3, 22, 3, dtype=torch.float64)
    rotvecs[:, 3, 1] = angles
    expected = torch.zeros(22, 3, dtype=torch.float64)
    expected[3, 1] = torch.atan2(angles.sin().sum(), angles.cos().sum())
    torch.testing.assert_close(roma.rotmat_to_rotvec(mean_pose(roma.rotvec_to_rotmat(rotvecs))), expected)


def test_mean_pose_baseline_by_hand(
    body: BodyModel, training: torch.Tensor, held_out: HeldOutFrames, pairs: HeldOutPairs
) -> None:
    metrics = metrics_of(PerfectPipeline(held_out, pairs, body), held_out, pairs, training, body)
    left, _, right = torch.linalg.svd(training.double().mean(dim=0))
    left[..., -1] *= torch.det(left @ right)[:, None]
    joints = body.forward_joints((left @ right).float()[None])
    distances = (joints - body.forward_joints(held_out.poses)).norm(dim=-1)
    assert metrics["text-to-pose"]["mean training pose"]["mpjpe_mm"] == pytest.approx(
        1000 * distances.mean().item(), abs=1e-2
    )


def test_nearest_neighbor_of_a_training_pose_is_itself(body: BodyModel, training: torch.Tensor) -> None:
    codes = posecodes_of_poses(training, body)
    nearest = nearest_by_posecodes(codes, codes)
    assert [set(codes[index]) for index in nearest] == [set(expected) for expected in codes]
    unique = [index for index, each in enumerate(codes) if codes.count(each) == 1]
    assert len(unique) > TRAINING / 2
    assert nearest[unique].tolist() == unique


def test_nearest_pose_of_a_rotated_training_pose_is_itself(body: BodyModel, training: torch.Tensor) -> None:
    known = TrainingPoses.of(training, body)
    rotated = rotate_heading(training[:8], torch.linspace(-2.0, 2.0, 8))
    assert pose_errors(nearest_poses(rotated, known, body), rotated, body)["mpjpe_mm"] < 1e-2


def test_nearest_by_intersection_over_union() -> None:
    straight, kneels, near = (
        Posecode("bend", "left_knee", "straight"),
        Posecode("posture", "body", "kneels_both"),
        Posecode("near", "left_hand", "head"),
    )
    assert nearest_by_posecodes([(straight,)], [(kneels,), (straight, kneels, near), (straight, near)])[0] == 2


def test_posecode_precision_counts_posecodes(body: BodyModel) -> None:
    t_pose = torch.eye(3).repeat(2, 22, 1, 1)
    straight, bent = (Posecode("bend", "left_knee", value) for value in ("straight", "bent_90"))
    assert posecode_precision([(straight, bent), (straight,)], t_pose, body) == pytest.approx(2 / 3)
    assert posecode_precision([(), (straight,)], t_pose, body) == 1.0
    assert posecode_precision([(), ()], t_pose, body) == 0.0


def test_only_aligned_errors_ignore_the_heading(body: BodyModel, held_out: HeldOutFrames) -> None:
    errors = pose_errors(held_out.camera_poses, held_out.poses, body)
    assert errors["mpjpe_mm"] > 20.0
    assert errors["pa_mpjpe_mm"] == pytest.approx(0.0, abs=1e-2)


def test_shuffled_partners_keep_no_row_at_its_place() -> None:
    for count in (2, 3, 50):
        partners = shuffled_partners(count, np.random.default_rng(0))
        assert sorted(partners) == list(range(count))
        assert (partners != np.arange(count)).all()


def test_image_of_results(body: BodyModel, held_out: HeldOutFrames, pairs: HeldOutPairs) -> None:
    pipe = PerfectPipeline(held_out, pairs, body)
    pipe.targets["text-to-pose"] |= dict(zip(SENTENCES, held_out.poses))
    few = HeldOutFrames(held_out.poses[:2], held_out.captions[:2], held_out.camera_poses[:2], held_out.images[:2])
    image = draw_results(pipe, few, body)
    assert image.width > len(SENTENCES) * CELL
    assert image.height > 3 * CELL
    assert all(read_caption(sentence).unparsable == () for sentence in SENTENCES)


def test_regular_frames() -> None:
    poses = torch.arange(206.0)[:, None, None, None].expand(206, 22, 3, 3)
    assert regular_frames(poses, 6)[:, 0, 0, 0].tolist() == [17, 51, 85, 120, 154, 188]


# Retrieval.


class PoseTexts:
    """Embeds a pose as its joints, and a text as the joints of the pose that it belongs to."""

    def __init__(self, texts: list[str], poses: torch.Tensor):
        self.known = dict(zip(texts, self.get_pose_features(poses)))

    def get_text_features(self, texts: list[str]) -> torch.Tensor:
        return torch.stack([self.known[text] for text in texts])

    def get_pose_features(self, poses: torch.Tensor) -> torch.Tensor:
        centered = poses.flatten(1) - poses.flatten(1).mean(dim=1, keepdim=True)
        return torch.nn.functional.normalize(centered, dim=-1)


def test_retrieval_metrics_of_right_and_of_wrong_poses(body: BodyModel, training: torch.Tensor) -> None:
    texts = [f"text {row}" for row in range(50)]
    poses = training[:50]
    judge = Judge(body, body, PoseTexts(texts, poses), shuffles=3)
    generated = TaskRows("text-to-pose", "text-to-pose", {"text": texts}, poses, texts=texts)
    right = {name: each.score() for name, each in pose_statistics(generated, poses, judge).items()}
    assert right["fid"] == pytest.approx(0.0, abs=1e-6)
    for name in ("r_precision_top1", "text_to_pose_top5", "pose_to_text_top20", "mean_recall"):
        assert right[name] == 1.0, name
    wrong = {name: each.score() for name, each in pose_statistics(generated, poses.roll(1, 0), judge).items()}
    assert wrong["fid"] == pytest.approx(0.0, abs=1e-6), "the same set of poses"
    assert wrong["diversity"] == pytest.approx(right["diversity"])
    assert wrong["r_precision_top3"] < 0.5
    assert wrong["mean_recall"] < 0.6
    same = pose_statistics(generated, poses[:1].expand(50, -1, -1, -1), judge)
    assert same["diversity"].score() == pytest.approx(0.0, abs=1e-6)
    assert same["fid"].score() > 0.05
    captions = TaskRows("pose-to-text", "pose-to-text", {"poses": list(poses)}, poses, texts=texts)
    assert text_statistics(captions, texts, judge)["r_precision_top1"].score() == 1.0
    assert "r_precision_top1" not in text_statistics(captions.first(20), texts[:20], judge), "fewer than one group"
