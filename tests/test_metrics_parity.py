"""Every metric against the original release's recorded outputs for the same inputs, which are in meters."""

import pytest
import torch
from golden import load_json

from unipose.training.evaluation.metrics import best_similarity, joint_errors, mpjpe, pa_mpjpe
from unipose.training.evaluation.retrieval_metrics import (
    fid,
    gaussian_fit,
    matching_score,
    r_precision,
    recall_at,
    retrieval_metrics,
)


# The original release has no mask: the x of a target without ground truth is this.
ORIGINAL_MISSING_X = -2.0


def assert_same_mm(errors: torch.Tensor, recorded: torch.Tensor) -> None:
    torch.testing.assert_close(errors, 1000 * recorded, rtol=1e-5, atol=0.0)


# Distances.


def test_joint_errors(recorded_metrics: dict[str, torch.Tensor]) -> None:
    assert_same_mm(
        joint_errors(recorded_metrics["mp.preds"], recorded_metrics["mp.target"]),
        recorded_metrics["mp.mpjpe_jointwise"],
    )


@pytest.mark.parametrize(("name", "root_joints"), [("noalign", ()), ("align0", (0,)), ("align12", (1, 2))])
def test_mpjpe(recorded_metrics: dict[str, torch.Tensor], name: str, root_joints: tuple[int, ...]) -> None:
    errors = mpjpe(recorded_metrics["mp.preds"], recorded_metrics["mp.target"], root_joints)
    assert_same_mm(errors, recorded_metrics[f"mp.mpjpe_{name}"])


def test_mpjpe_with_missing_joints(recorded_metrics: dict[str, torch.Tensor]) -> None:
    target = recorded_metrics["mp.target_invalid"]
    valid = target[..., 0] != ORIGINAL_MISSING_X
    assert (~valid).sum(dim=1).tolist() == [0, 1, 0, 0, 5, 0, 0, 0, 0]
    assert_same_mm(mpjpe(recorded_metrics["mp.preds"], target, valid=valid), recorded_metrics["mp.mpjpe_invalid"])


@pytest.mark.parametrize(("target", "name"), [("target", "pampjpe"), ("target_mirror", "pampjpe_mirror")])
def test_pa_mpjpe(recorded_metrics: dict[str, torch.Tensor], target: str, name: str) -> None:
    assert_same_mm(
        pa_mpjpe(recorded_metrics["mp.preds"], recorded_metrics[f"mp.{target}"]), recorded_metrics[f"mp.{name}"]
    )


def test_best_similarity(recorded_metrics: dict[str, torch.Tensor]) -> None:
    rotation, translation, scale = best_similarity(recorded_metrics["mp.preds"], recorded_metrics["mp.target"])
    torch.testing.assert_close(rotation.float(), recorded_metrics["mp.pa_R"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(translation.float()[..., None], recorded_metrics["mp.pa_t"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(scale.float(), recorded_metrics["mp.pa_scale"], rtol=1e-5, atol=1e-6)


# Retrieval.


def test_r_precision_of_groups_in_order(recorded_metrics: dict[str, torch.Tensor]) -> None:
    text, pose = recorded_metrics["emb.text"], recorded_metrics["emb.pose"]
    precision = r_precision(text, pose, torch.arange(101))
    counts = [96 * value for value in precision.values()]
    assert counts == pytest.approx(recorded_metrics["R.topk_counts"].tolist(), rel=1e-6)


def test_matching_score_of_groups_in_order(recorded_metrics: dict[str, torch.Tensor]) -> None:
    score = matching_score(recorded_metrics["emb.text"], recorded_metrics["emb.pose"], torch.arange(101))
    assert 96 * score == pytest.approx(recorded_metrics["R.matching_score_sum"].item(), rel=1e-6)


@pytest.mark.parametrize("name", ["t2p", "t2p_noscores", "p2t"])
def test_recall(recorded_metrics: dict[str, torch.Tensor], name: str) -> None:
    """The original's numbers are the same with and without its optional scores."""
    text, pose = recorded_metrics["emb.text"], recorded_metrics["emb.pose"]
    queries, candidates = (pose, text) if name == "p2t" else (text, pose)
    recalls = recall_at(queries, candidates, range(1, 21))
    assert list(recalls.values()) == pytest.approx(recorded_metrics[f"recall.{name}"].tolist(), abs=1e-6)


def test_retrieval_metrics(recorded_metrics: dict[str, torch.Tensor]) -> None:
    """The original was called with recall at 1, 5 and 10."""
    expected = load_json("metrics")["retrieval_metric_compute"]
    metrics = retrieval_metrics(
        recorded_metrics["emb.text"],
        recorded_metrics["emb.pose"],
        recorded_metrics["RM.shuffle_idx"],
        recall_top_k=(1, 5, 10),
    )
    names = {"Matching_Score": "matching_score", "mRecall": "mean_recall"}
    for k in (1, 2, 3):
        names[f"R_Precision_Top{k}"] = f"r_precision_top{k}"
    for k in (1, 5, 10):
        names |= {f"Text2Pose_Top{k}": f"text_to_pose_top{k}", f"Pose2Text_Top{k}": f"pose_to_text_top{k}"}
    assert names.keys() == expected.keys()
    assert set(names.values()) == metrics.keys()
    assert {name: metrics[own] for name, own in names.items()} == pytest.approx(expected, abs=1e-6)


# FID.


def test_gaussian_fit(recorded_metrics: dict[str, torch.Tensor]) -> None:
    mean, covariance = gaussian_fit(recorded_metrics["emb.pose"])
    torch.testing.assert_close(mean.float(), recorded_metrics["fid.mu"], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(covariance, recorded_metrics["fid.cov"], rtol=1e-7, atol=1e-9)


def test_fid(recorded_metrics: dict[str, torch.Tensor]) -> None:
    distance = fid(recorded_metrics["emb.text"], recorded_metrics["emb.pose"])
    assert distance == pytest.approx(recorded_metrics["fid.value"].item(), abs=1e-7)
    assert distance == pytest.approx(load_json("metrics")["fid"], abs=1e-7)


def test_fid_with_a_singular_covariance(recorded_metrics: dict[str, torch.Tensor]) -> None:
    """15 samples of 24 dimensions."""
    distance = fid(recorded_metrics["emb.text"], recorded_metrics["emb.pose"][:15])
    assert distance == pytest.approx(recorded_metrics["fid.value_singular_n15"].item(), abs=1e-7)
    assert distance == pytest.approx(load_json("metrics")["fid_singular"], abs=1e-7)
