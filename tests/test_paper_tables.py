"""The paper's tables: published figures, scores of predictions that are known to be right, and the command."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from dataset_files import random_poses, write_posescript, write_smplh

from unipose.processing.body_model import BodyModel
from unipose.tasks_unipose import TASKS
from unipose.training.evaluation import paper_tables
from unipose.training.evaluation.paper_data import KeypointRegressor, Samples
from unipose.training.evaluation.paper_tables import (
    check_rows,
    load_retrieval,
    score_estimated_poses,
    score_generated_poses,
    score_texts,
    to_markdown,
    without_heading,
)
from unipose.training.evaluation.published import COLUMN_TITLES, PUBLISHED
from unipose.training.evaluation.retrieval import RetrievalConfig, RetrievalModel
from unipose.training.geometry import rotate_heading
from unipose.training.models.text_tokenizer import train_word_tokenizer


ROWS = 34
TEXTS = [f"The person raises hand number {row} and bends knee {row % 7}." for row in range(ROWS)]
SIZES = {"hidden_size": 16, "num_pose_tokens": 8, "embedding_size": 12, "word_embedding_size": 8}


def new_retrieval(pairs: bool = False) -> RetrievalModel:
    torch.manual_seed(0)
    tokenizer = train_word_tokenizer(TEXTS, (), 1200)
    config = RetrievalConfig(vocab_size=len(tokenizer), text_hidden_size=8, pairs=pairs, **SIZES)
    return RetrievalModel(config, tokenizer).eval()


def poses(count: int = ROWS, seed: int = 0) -> torch.Tensor:
    return roma.rotvec_to_rotmat(torch.from_numpy(random_poses(count, seed))).float()


def test_published_tables_are_complete() -> None:
    """Every task of the paper has a table, every row a figure or None in every column."""
    assert {table.task for table in PUBLISHED.values()} == set(TASKS)
    for name, table in PUBLISHED.items():
        assert "UniPose" in table.rows, name
        assert set(table.metrics) <= set(COLUMN_TITLES)
        for method, values in table.rows.items():
            assert len(values) == len(table.metrics), f"{name}, {method}"
            percent = [value for value in values if value is not None and value > 0]
            assert len(percent) == sum(value is not None for value in values)


def test_right_poses_have_no_error(body: BodyModel) -> None:
    target, retrieval = poses(), new_retrieval()
    scores = score_generated_poses(target, Samples({"text": TEXTS}, TEXTS, target), body, retrieval)
    assert set(scores.values) == set(PUBLISHED["text-to-pose"].metrics)
    assert scores.values["mpjpe_mm"] == pytest.approx(0.0, abs=1e-3)
    assert scores.values["fid"] == pytest.approx(0.0, abs=1e-4)
    pairs = torch.stack([poses(seed=1), target], dim=1)
    edited = score_generated_poses(target, Samples({"text": TEXTS}, TEXTS, pairs), body, retrieval)
    assert set(edited.values) == set(PUBLISHED["pose-edit"].metrics)
    assert edited.values["mpjpe_mm"] == pytest.approx(0.0, abs=1e-3)
    unchanged = score_generated_poses(pairs[:, 0], Samples({"text": TEXTS}, TEXTS, pairs), body, retrieval)
    assert unchanged.values["mpjpe_mm"] > 50
    assert unchanged.values["fid"] > edited.values["fid"]
    alone = score_generated_poses(target, Samples({"text": TEXTS}, TEXTS, target), body, None)
    assert set(alone.values) == {"mpjpe_mm", "pa_mpjpe_mm"}


def test_right_texts_score_higher_than_shuffled_ones() -> None:
    samples = Samples({"poses": []}, TEXTS, poses())
    right = score_texts(TEXTS, samples, new_retrieval())
    assert set(right.values) == set(PUBLISHED["pose-to-text"].metrics)
    assert right.values["bleu4"] == pytest.approx(100.0)
    assert right.values["rouge_l"] == pytest.approx(100.0)
    shuffled = score_texts([*TEXTS[1:], TEXTS[0]], samples, None)
    assert set(shuffled.values) == {"bleu4", "rouge_l", "meteor"}
    assert all(shuffled.values[name] < right.values[name] for name in shuffled.values)
    assert len(score_texts([""] * ROWS, samples, new_retrieval()).values) == len(right.values)


def test_pairs_need_a_retrieval_model_of_pairs(tmp_path: Path) -> None:
    pairs = torch.stack([poses(), poses(seed=1)], dim=1)
    samples, retrieval = Samples({"poses": []}, TEXTS, pairs), new_retrieval(pairs=True)
    assert "r_precision_top1" in score_texts(TEXTS, samples, retrieval).values
    retrieval.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="embeds pairs of poses; this table needs one of single poses"):
        load_retrieval(str(tmp_path), pairs=False)
    with pytest.raises(ValueError, match="got 3 rows; R-precision and recalls need at least 32"):
        check_rows(Samples({"text": TEXTS[:3]}), retrieval)


def test_headings_do_not_change_embeddings() -> None:
    """Of a pair, both poses are rotated alike: what differs between them stays."""
    single, yaw = poses(4), torch.tensor([0.3, -1.0, 2.0, 3.0])
    torch.testing.assert_close(
        without_heading(rotate_heading(single, yaw)), without_heading(single), atol=1e-4, rtol=0
    )
    pairs = torch.stack([single, poses(4, 1)], dim=1)
    rotated = torch.stack([rotate_heading(pairs[:, side], yaw) for side in (0, 1)], dim=1)
    torch.testing.assert_close(without_heading(rotated), without_heading(pairs), atol=1e-4, rtol=0)
    torch.testing.assert_close(without_heading(pairs)[:, 0], without_heading(pairs[:, 0]))
    relative = [
        roma.rotmat_geodesic_distance(each[:, 0, 0], each[:, 1, 0]) for each in (pairs, without_heading(pairs))
    ]
    torch.testing.assert_close(relative[0], relative[1], atol=1e-3, rtol=0)


def test_estimated_poses(body: BodyModel) -> None:
    target = poses(3)
    right = score_estimated_poses(target, Samples({"images": []}, poses=target), body, None)
    assert right.values["mpjpe_mm"] == pytest.approx(0.0, abs=1e-3)
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=(14, len(body.v_template))))
    regressor = KeypointRegressor(weights / 100)
    keypoints = Samples({"images": []}, keypoints=regressor(body(target).vertices))
    assert score_estimated_poses(target, keypoints, body, regressor).values["mpjpe_mm"] == pytest.approx(0.0, abs=1e-3)
    turned = score_estimated_poses(rotate_heading(target, torch.ones(3)), keypoints, body, regressor)
    assert turned.values["mpjpe_mm"] > 10
    assert turned.values["pa_mpjpe_mm"] == pytest.approx(0.0, abs=1e-2)
    with pytest.raises(ValueError, match="give --joint_regressor"):
        score_estimated_poses(target, keypoints, body, None)


def test_a_table_has_dashes_where_there_is_no_figure(body: BodyModel) -> None:
    lines = to_markdown(PUBLISHED["text-to-pose"], "mine", None).splitlines()
    assert len(lines) == 2 + len(PUBLISHED["text-to-pose"].rows) + 1
    assert lines[-1] == "| mine |" + " - |" * len(PUBLISHED["text-to-pose"].metrics)
    scores = score_generated_poses(poses(), Samples({"text": TEXTS}, TEXTS, poses()), body, None)
    table = to_markdown(PUBLISHED["text-to-pose"], "mine", scores)
    assert "| mine | - | - | - | - | - | - | 0.0 | 0.0 | - |" in table
    assert table.splitlines()[-1].startswith("- MPJPE of 22 joints without alignment, body: ")


def run(monkeypatch: pytest.MonkeyPatch, *options: object) -> None:
    monkeypatch.setattr(sys, "argv", ["paper_tables", *map(str, options)])
    paper_tables.main()


def test_the_command_on_posescript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text_checkpoint: Path
) -> None:
    """A random model, on a folder in PoseScript's format."""
    write_smplh(tmp_path / "amass" / "a" / "b.npz", random_poses(ROWS, 0))
    frames = [("a/b.npz", row) for row in range(ROWS)]
    root = write_posescript(tmp_path / "posescript", frames, {"test": list(range(ROWS))})
    new_retrieval().save_pretrained(tmp_path / "retrieval")
    run(
        monkeypatch,
        *("--table", "text-to-pose", "--data", root, "--amass", tmp_path / "amass", "--captions", "auto"),
        *("--model", text_checkpoint, "--retrieval_model", tmp_path / "retrieval", "--output", tmp_path / "out"),
    )
    printed = capsys.readouterr().out
    assert "| UniPose (published) | 73.7 |" in printed
    result = json.loads((tmp_path / "out" / "text-to-pose.json").read_text("utf-8"))
    assert set(result["values"]) == set(PUBLISHED["text-to-pose"].metrics)
    assert f"| {result['values']['mpjpe_mm']:.1f} |" in printed
    assert result["settings"]["limit"] is None


def test_the_command_without_a_model_prints_the_published_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "--table", "pose-edit")
    assert "| PoseFix (published) | 300.2 | 144.1 | 0.019 |" in capsys.readouterr().out
    with pytest.raises(ValueError, match="unknown table 'pose-edits'; expected one of pose-to-text, "):
        run(monkeypatch, "--table", "pose-edits")
