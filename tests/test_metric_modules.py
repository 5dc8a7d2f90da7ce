"""The modules of `evaluate`: every folder loads offline, with the results of its card."""

import re
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest
import roma
import torch
from huggingface_hub import metadata_load

from unipose.processing.body_model import BodyModel
from unipose.training.captions import describe_poses
from unipose.training.evaluation.metrics import pa_mpjpe
from unipose.training.evaluation.retrieval_metrics import r_precision


FOLDER = Path(__file__).parents[1] / "model_cards/metrics"
NAMES = sorted(path.name for path in FOLDER.iterdir())
SAMPLE = re.compile(r"```python\n(.*?)# (\{.*?\})\n```", re.DOTALL)
TEXTS = (["A person squats with both arms raised.", "the cat"], ["Someone squats, both arms up.", "the cat sat down"])


def load(name: str) -> Any:
    return evaluate.load(str(FOLDER / name))


def test_there_is_a_module_for_each_metric_of_the_paper() -> None:
    assert set(NAMES) == {
        *("mpjpe", "pa_mpjpe", "pve", "geodesic_error", "fid", "r_precision", "recall_at_k", "diversity"),
        *("posecode_precision", "posecode_recall", "bleu4", "rouge_l", "meteor", "multimodality", "latency"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_that_of_a_metric(name: str) -> None:
    card = FOLDER / name / "README.md"
    assert {"evaluate", "metric"} <= set(metadata_load(card)["tags"])
    assert "definition" in card.read_text("utf-8")


@pytest.mark.parametrize("name", [name for name in NAMES if SAMPLE.search((FOLDER / name / "README.md").read_text())])
def test_the_sample_of_the_card(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code, shown = SAMPLE.search((FOLDER / name / "README.md").read_text("utf-8")).groups()
    monkeypatch.chdir(FOLDER.parents[1])
    names: dict[str, Any] = {}
    exec(code, names)
    expected = eval(shown)
    result = names["result"]
    assert result.pop("definition") == expected.pop("definition")
    assert result == pytest.approx(expected, abs=1e-9)


def test_batches_add_up_to_one_call() -> None:
    joints = np.random.default_rng(0).normal(size=(2, 6, 22, 3))
    whole = load("pa_mpjpe").compute(predictions=joints[0], references=joints[1])
    metric = load("pa_mpjpe")
    for rows in (slice(0, 2), slice(2, 6)):
        metric.add_batch(predictions=joints[0, rows], references=joints[1, rows])
    assert metric.compute() == whole
    assert whole["pa_mpjpe_mm"] == pytest.approx(pa_mpjpe(*torch.from_numpy(joints)).mean().item(), rel=1e-12)


def test_alignments_are_named() -> None:
    zeros = np.zeros((1, 3, 3))
    shifted = zeros + [0.3, 0.0, 0.4]
    plain = load("mpjpe").compute(predictions=shifted, references=zeros)
    aligned = load("mpjpe").compute(predictions=shifted, references=zeros, root_joints=[0])
    assert (plain["mpjpe_mm"], aligned["mpjpe_mm"]) == pytest.approx((500.0, 0.0))
    assert plain["definition"] != aligned["definition"]
    pelvis = {"pelvis": shifted[:, 0], "pelvis_references": zeros[:, 0]}
    assert load("pve").compute(predictions=shifted, references=zeros, **pelvis)["pve_mm"] == pytest.approx(0.0)


def test_global_orientation_can_be_left_out() -> None:
    target = np.zeros((1, 3, 3))
    rotated = target.copy()
    rotated[0, 0, 2] = np.pi / 2
    error = load("geodesic_error")
    assert error.compute(predictions=rotated, references=target)["rotation_error_deg"] == pytest.approx(30.0)
    skipped = error.compute(predictions=rotated, references=target, skip_joints=[0])
    assert skipped["rotation_error_deg"] == 0.0
    assert "[0]" in skipped["definition"]


def test_groups_once_are_those_of_the_function() -> None:
    generator = torch.Generator().manual_seed(3)
    text = torch.randn(70, 6, generator=generator, dtype=torch.float64)
    pose = text + torch.randn(70, 6, generator=generator, dtype=torch.float64)
    result = load("r_precision").compute(predictions=text.numpy(), references=pose.numpy(), seed=5)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(5))
    expected = r_precision(text, pose, order)
    assert [result[f"r_precision_top{k}"] for k in (1, 2, 3)] == pytest.approx(list(expected.values()))


def test_statements_of_true_descriptions_hold(body: BodyModel) -> None:
    poses = torch.eye(3).repeat(4, 22, 1, 1)
    poses[:, 0] = roma.rotvec_to_rotmat(torch.tensor([torch.pi / 2, 0.0, 0.0]))
    texts = describe_poses(poses, seed=0)
    rotvecs = roma.rotmat_to_rotvec(poses).numpy()
    precision = load("posecode_precision").compute(predictions=texts, references=rotvecs)
    assert precision["posecode_precision"] == 1.0
    assert precision["codes_per_caption"] > 1
    assert load("posecode_recall").compute(predictions=texts, references=texts)["posecode_recall"] == 1.0


@pytest.mark.parametrize(("name", "part"), [("bleu4", "tok:13a"), ("rouge_l", "rouge-score"), ("meteor", "nltk")])
def test_metrics_of_texts_name_their_variant(name: str, part: str) -> None:
    texts, references = TEXTS
    single = load(name).compute(predictions=texts, references=references)
    several = load(name).compute(predictions=texts, references=[[each, "another text"] for each in references])
    perfect = load(name).compute(predictions=texts[:1], references=texts[:1])
    assert part in single["definition"]
    assert several[name] >= single[name], "the best reference counts"
    assert perfect[name] == pytest.approx(1.0, abs=0.01)
    plain = load(name).compute(
        predictions=["The CAT, sat down"], references=["the cat sat down"], normalization="plain"
    )
    assert plain[name] == pytest.approx(1.0, abs=0.01)
    assert plain["definition"] != single["definition"]
