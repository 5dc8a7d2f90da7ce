"""A corpus of datasets that a user has imported, and what the pose tokenizer takes from them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from dataset_files import random_poses

from unipose.processing.body_model import BodyModel
from unipose.training.datasets import corpus_of_records
from unipose.training.datasets.import_data import STATE_FILE, SavedRecords, save_records
from unipose.training.datasets.records import PosePairRecord, PoseRecord
from unipose.training.datasets.shards import load_corpus
from unipose.training.trainer.pose_tokenizer import PoseTokenizerArguments, training_poses


POSES = random_poses(9, 0).astype(np.float32)


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    """Three described poses, two pairs with a difference, and a pose without a caption."""
    records: dict[str, list[PoseRecord | PosePairRecord]] = {
        "described": [PoseRecord(f"pose {i}", POSES[i], (f"Caption {i}.", "Another.")) for i in range(3)],
        "pairs": [PosePairRecord(f"pair {i}", POSES[i], POSES[i + 1], ("Turn.",)) for i in (4, 6)],
        "bare": [PoseRecord("bare", POSES[8])],
    }
    for name, own in records.items():
        save_records(own, tmp_path / name, {})
    return {name: str(tmp_path / name) for name in records}


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["corpus_of_records", *words])
    corpus_of_records.main()


def test_tasks_follow_from_the_kind_of_record(
    folders: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "corpus"
    train = ["--train", folders["described"], folders["pairs"], folders["bare"]]
    run(monkeypatch, *train, "--validation", folders["pairs"], "--output", str(corpus))
    assert "train: 6 pose-to-text, 2 pose-diff, 6 text-to-pose, 2 pose-edit" in capsys.readouterr().out
    rows = load_corpus(corpus, tasks=["text-to-pose"])
    assert sorted(rows["text"]) == sorted([f"Caption {i}." for i in range(3)] + ["Another."] * 3)
    first = next(row for row in rows if row["text"] == "Caption 0.")
    np.testing.assert_array_equal(np.array(first["poses"], dtype=np.float32), POSES[:1])
    assert set(load_corpus(corpus, "validation")["task"]) == {"pose-diff", "pose-edit"}


def test_only_the_given_tasks(folders: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tmp_path / "corpus"
    run(monkeypatch, "--train", folders["described"], "--tasks", "pose-to-text", "--output", str(corpus))
    assert set(load_corpus(corpus)["task"]) == {"pose-to-text"}
    words = ["--train", folders["described"], "--tasks", "pose-edit", "--output", str(tmp_path / "none")]
    with pytest.raises(ValueError, match="got no train record with rows of pose-edit"):
        run(monkeypatch, *words)


def test_an_unfinished_import_is_refused(
    folders: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = Path(folders["bare"]) / STATE_FILE
    state.write_text(json.dumps(json.loads(state.read_text("utf-8")) | {"records": None}), encoding="utf-8")
    with pytest.raises(ValueError, match="was interrupted"):
        run(monkeypatch, "--train", folders["bare"], "--output", str(tmp_path / "corpus"))


def test_the_pose_tokenizer_trains_on_imported_poses(folders: dict[str, str]) -> None:
    np.testing.assert_array_equal(SavedRecords(folders["described"]).poses(), POSES[:3])
    np.testing.assert_array_equal(SavedRecords(folders["pairs"]).poses(), POSES[[4, 6, 5, 7]])
    body = BodyModel.builtin()
    imported = PoseTokenizerArguments(num_poses=0, records=[folders["described"], folders["bare"]])
    poses = training_poses(imported, 0, body)
    torch.testing.assert_close(poses, roma.rotvec_to_rotmat(torch.from_numpy(POSES[[0, 1, 2, 8]])))
    both = training_poses(PoseTokenizerArguments(num_poses=5, records=[folders["described"]]), 0, body)
    assert both.shape == (8, 22, 3, 3)
    assert both.dtype == torch.float32
    with pytest.raises(ValueError, match="no training poses"):
        training_poses(PoseTokenizerArguments(num_poses=0), 0, body)
