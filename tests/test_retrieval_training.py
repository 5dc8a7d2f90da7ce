"""The stage that trains retrieval models, on small corpora."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.datasets.generation import to_rotvecs
from unipose.training.datasets.record_writer import write_records
from unipose.training.datasets.records import ChainRecord, PosePairRecord, PoseRecord
from unipose.training.evaluation.retrieval import RetrievalModel
from unipose.training.evaluation.retrieval_metrics import recall_at
from unipose.training.sampling.poses import training_motion_poses
from unipose.training.stages import retrieval
from unipose.training.trainer.retrieval import is_of_pairs, load_texts


ROWS = 40
RUN = [
    *("--use_cpu", "true", "--disable_tqdm", "true", "--precision", "fp32", "--logging_steps", "5"),
    *("--per_device_train_batch_size", "20", "--learning_rate", "5e-3", "--vocab_size", "1200"),
    *("--embedding_size", "16", "--word_embedding_size", "16", "--text_hidden_size", "16"),
    *("--hidden_size", "32", "--num_pose_tokens", "8", "--num_residual_blocks", "1", "--pose_encoder", "mlp"),
]


def texts() -> list[str]:
    """Words that name the number of a row."""
    names = ["stand", "sit", "kneel", "bow", "squat", "lunge", "kick", "jump"]
    return [f"A person does a {names[row % 8]} and a {names[row // 8]}." for row in range(ROWS)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows in each split: of poses, of pairs and of chats."""
    poses = to_rotvecs(training_motion_poses()[::15][:ROWS].float())
    records: list[PoseRecord | PosePairRecord | ChainRecord] = []
    for row, text in enumerate(texts()):
        records.append(PoseRecord(f"pose {row}", poses[row], (text,)))
        records.append(PosePairRecord(f"pair {row}", poses[row], poses[row - 1], (text,)))
    turns = ("Change {pose}: bend.", "Now straighten.")
    records.append(ChainRecord("chat", (poses[0], poses[1], poses[2]), turns))
    folder = tmp_path_factory.mktemp("retrieval") / "corpus"
    splits = {split: iter(records) for split in ("train", "validation", "test")}
    write_records(folder, splits, ("text-to-pose", "pose-edit"), seed=0)
    return folder


def run_stage(monkeypatch: pytest.MonkeyPatch, *options: object) -> None:
    monkeypatch.setattr(sys, "argv", ["retrieval", *RUN, *map(str, options)])
    retrieval.main()


@pytest.mark.parametrize("tasks", [["text-to-pose"], ["pose-edit"]])
def test_texts_and_poses_of_a_corpus_belong_together(corpus: Path, tasks: list[str]) -> None:
    """Chats of several turns are left out."""
    rows = load_texts(corpus, "train", tasks)
    assert sorted(rows.texts) == sorted(texts())
    poses = training_motion_poses()[::15][:ROWS].float()
    for text, rotmats in zip(rows.texts, rows.rotmats):
        row = texts().index(text)
        expected = poses[row] if tasks == ["text-to-pose"] else torch.stack([poses[row], poses[row - 1]])
        assert roma.rotmat_geodesic_distance(rotmats, expected).max() < 2e-3
    assert len(load_texts(corpus, "train", tasks, rows=7)) == 7


def test_tasks_of_one_kind() -> None:
    assert [is_of_pairs(["pose-to-text", "text-to-pose"]), is_of_pairs(["pose-diff"])] == [False, True]
    for tasks in ([], ["image-to-pose"], ["text-to-pose", "pose-edit"]):
        with pytest.raises(ValueError, match="expected some of text-to-pose, pose-to-text, or of pose-edit"):
            is_of_pairs(tasks)


@pytest.mark.parametrize("task", ["text-to-pose", "pose-edit"])
def test_the_stage_trains_a_model_that_finds_poses(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    output = tmp_path / "run"
    run_stage(monkeypatch, "--corpus", corpus, "--tasks", task, "--output_dir", output, "--max_steps", 120)
    model, rows = RetrievalModel.from_pretrained(output), load_texts(corpus, "test", [task])
    recall = recall_at(model.get_text_features(rows.texts), model.get_pose_features(rows.rotmats), (5,))[5]
    assert recall > 0.9
    results = json.loads((output / "test_results.json").read_text("utf-8"))
    assert results["test_text_to_pose_top5"] == pytest.approx(recall)
    assert f"| text_to_pose_top5 | {100 * recall:.1f} |" in capsys.readouterr().out


def test_a_resumed_run_ends_with_the_same_weights(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--corpus", corpus, "--save_steps", 2, "--max_steps", 5, "--eval_strategy", "steps", "--eval_steps", 2)
    run_stage(monkeypatch, *options, "--output_dir", tmp_path / "whole")
    resume = tmp_path / "whole" / "checkpoint-2"
    run_stage(monkeypatch, *options, "--output_dir", tmp_path / "half", "--resume_from_checkpoint", resume)
    first, second = (RetrievalModel.from_pretrained(tmp_path / name).state_dict() for name in ("whole", "half"))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=0, msg=name)


def test_a_tokenizer_can_be_reused(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text_checkpoint: Path
) -> None:
    output = tmp_path / "run"
    options = (
        "--tokenizer",
        text_checkpoint,
        "--output_dir",
        output,
        "--max_steps",
        1,
        "--text_encoder",
        "transformer",
    )
    run_stage(monkeypatch, "--corpus", corpus, *options)
    model = RetrievalModel.from_pretrained(output)
    assert model.config.vocab_size == len(model.tokenizer)
    assert np.isfinite(model.get_text_features(["A person sits."]).numpy()).all()


def test_too_few_test_rows_are_an_error(
    text_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: BodyModel
) -> None:
    with pytest.raises(ValueError, match="got split 'test'; expected one of train, validation"):
        run_stage(monkeypatch, "--corpus", text_corpus, "--output_dir", tmp_path / "run")
    records = [PoseRecord("one", np.zeros((22, 3), np.float32), ("A person stands.",))]
    splits = {split: iter(records) for split in ("train", "validation", "test")}
    write_records(tmp_path / "corpus", splits, ("text-to-pose",), seed=0)
    with pytest.raises(ValueError, match="has 1 validation rows of text-to-pose; expected at least 32"):
        run_stage(monkeypatch, "--corpus", tmp_path / "corpus", "--output_dir", tmp_path / "run")
