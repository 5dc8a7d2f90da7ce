"""Output folders of runs: only what a run began is removed, and two runs do not write into one folder."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer

from unipose.training.trainer.checkpoints import (
    MARK,
    begin_checkpoint,
    checkpoints,
    is_complete,
    locked,
    remove_old_checkpoints,
)
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.prepared_rows import keep_rows
from unipose.training.trainer.trainers import StageTrainer


class Squares(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.weight * x).square().mean()}


def trainer(folder: Path, **arguments: Any) -> Trainer:
    own = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 1, "max_steps": 3, **arguments}
    config = StageConfig(
        precision="fp32", output_dir=str(folder), use_cpu=True, report_to="none", disable_tqdm=True, **own
    )
    return StageTrainer(Squares(), config, train_dataset=[{"x": torch.ones(1)}] * 8)


def test_a_save_removes_no_folder_of_others(tmp_path: Path) -> None:
    """Neither folders without a trainer's state, nor a whole checkpoint that is older than all of this run."""
    for name in ("checkpoint-7", "checkpoint-1000", "checkpoint-best"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("mine")
    (tmp_path / "checkpoint-0").mkdir()
    (tmp_path / "checkpoint-0" / "trainer_state.json").write_text("{}")
    trainer(tmp_path).train()
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {
        "checkpoint-0",
        "checkpoint-3",
        "checkpoint-7",
        "checkpoint-1000",
        "checkpoint-best",
    }
    assert (tmp_path / "checkpoint-7" / "notes.txt").read_text() == "mine"
    assert is_complete(tmp_path / "checkpoint-3")


def test_a_save_does_not_write_into_a_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-2").mkdir()
    (tmp_path / "checkpoint-2" / "model.safetensors").write_text("mine")
    with pytest.raises(FileExistsError, match="checkpoint-2 is not a checkpoint of this run"):
        trainer(tmp_path).train()
    assert (tmp_path / "checkpoint-2" / "model.safetensors").read_text() == "mine"
    assert is_complete(tmp_path / "checkpoint-1")


def test_what_a_killed_run_began_is_removed(tmp_path: Path) -> None:
    begin_checkpoint(tmp_path / "checkpoint-5")
    (tmp_path / "checkpoint-5" / "model.safetensors").write_text("half")
    begin_checkpoint(tmp_path / "checkpoint-6")
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-6"]


def test_the_best_and_the_last_checkpoint_stay(tmp_path: Path) -> None:
    for step in (300, 1, 2, 3):
        begin_checkpoint(tmp_path / f"checkpoint-{step}")
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    remove_old_checkpoints(tmp_path, None, None)
    assert len(checkpoints(tmp_path)) == 4
    remove_old_checkpoints(tmp_path, 2, str(tmp_path / "checkpoint-1"))
    # The last is the one saved last, whatever its number.
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-1", "checkpoint-3"]
    remove_old_checkpoints(tmp_path, 1, str(tmp_path / "checkpoint-1"))
    assert len(checkpoints(tmp_path)) == 2


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(OSError, match="another run trains in"):
            trainer(tmp_path).train()
        with pytest.raises(OSError, match="another run trains in"):
            keep_rows(tmp_path, "key", lambda: pytest.fail("prepared"))
    assert not list(tmp_path.iterdir())
    trainer(tmp_path).train()
    assert (tmp_path / "checkpoint-3" / MARK).exists()
