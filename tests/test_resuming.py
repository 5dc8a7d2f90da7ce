"""Runs that are stopped, killed or diverge: they resume as if uninterrupted, or stop and name the rows."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from datasets import Dataset
from module_weights import unequal_weights, weights_of
from safetensors.torch import load_file
from stage_corpus import STAGE_ARGUMENTS
from tiny_models import POSE_TOKENIZER_SIZES
from transformers import TrainingArguments

from unipose import UniPoseVQVAE, UniPoseVQVAEConfig
from unipose.processing.body_model import BodyModel
from unipose.training.sampling.poses import training_motion_poses
from unipose.training.stages import align, pose_tokenizer
from unipose.training.trainer import checkpoints
from unipose.training.trainer.checkpoints import MARK, find_checkpoint, is_complete
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.language import LanguageArguments, LanguageTrainer, build_trainer, run_stage
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.pose_tokenizer import PoseDataset, PoseTokenizerTrainer, collate_poses
from unipose.training.trainer.prepared_rows import keep_rows, remove_rows
from unipose.training.trainer.trainable_parts import ALIGN, LoraArguments


TASKS = ("pose-to-text", "text-to-pose")  # 10 rows: 5 steps an epoch
LORA = {"lora_rank": 2, "lora_dropout": 0.2}
# Runs stages in processes of their own. Each is killed, as by the system when memory runs out, before it opens a file
# of a checkpoint for writing. The imports are shared: they take longer than a run.
KILL = """
import importlib, json, os, signal, sys
import unipose.training.trainer.language

for module, arguments, file in json.loads(sys.argv[1]):
    command = importlib.import_module(module)
    if os.fork() == 0:
        def kill(event, details, file=file):
            if event == "open" and str(details[0]).endswith(file):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.argv = [module, *arguments]
        sys.addaudithook(kill)
        command.main()
        os._exit(0)
    _, status = os.wait()
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (module, status)
"""


def language_trainer(
    model: Path,
    corpus: Path,
    folder: Path,
    lora: dict[str, Any] | None = None,
    rows: int | None = None,
    **arguments,
) -> LanguageTrainer:
    settings = StageConfig(output_dir=str(folder), **(STAGE_ARGUMENTS | {"save_strategy": "no"} | arguments))
    stage = LanguageArguments(model=str(model), corpus=str(corpus), rows=rows)
    return build_trainer(stage, LoraArguments(**(lora or {})), OptimizerArguments(), settings, ALIGN)


def pose_trainer(folder: Path, poses: torch.Tensor, seed: int = 0, **arguments) -> PoseTokenizerTrainer:
    torch.manual_seed(seed)
    return PoseTokenizerTrainer(
        BodyModel.builtin(),
        model=UniPoseVQVAE(UniPoseVQVAEConfig(**POSE_TOKENIZER_SIZES)),
        args=StageConfig(output_dir=str(folder), **(STAGE_ARGUMENTS | {"save_strategy": "no"} | arguments)),
        train_dataset=PoseDataset(poses, 0),
        data_collator=collate_poses,
    )


def ten_poses() -> torch.Tensor:
    return training_motion_poses()[::100][:10].float()


def losses(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


# Resuming.


@pytest.mark.parametrize("step", [5, 7], ids=["between epochs", "within the second epoch"])
@pytest.mark.parametrize("lora", [None, LORA], ids=["whole", "lora with dropout"])
def test_a_resumed_language_stage_equals_an_uninterrupted_one(
    text_checkpoint: Path, text_corpus: Path, tmp_path: Path, lora: dict[str, Any] | None, step: int
) -> None:
    straight = language_trainer(
        text_checkpoint,
        text_corpus,
        tmp_path,
        lora,
        max_steps=12,
        save_strategy="steps",
        save_steps=step,
        save_total_limit=None,
    )
    straight.train()
    resumed = language_trainer(text_checkpoint, text_corpus, tmp_path / "resumed", lora, max_steps=12)
    resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
    assert losses(resumed) == losses(straight)
    assert len(losses(resumed)) == 12
    assert unequal_weights(weights_of(resumed.model), weights_of(straight.model)) == []


def test_dropout_and_order_matter_to_the_tests_above(text_checkpoint: Path, text_corpus: Path, tmp_path: Path) -> None:
    """Another seed after resuming gives other weights: the equality above is not for lack of randomness."""
    arguments = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    straight = language_trainer(text_checkpoint, text_corpus, tmp_path, LORA, **arguments)
    straight.train()
    for file in (tmp_path / "checkpoint-2").glob("rng_state*"):
        file.unlink()
    forgetful = language_trainer(text_checkpoint, text_corpus, tmp_path / "resumed", LORA, max_steps=4)
    torch.manual_seed(1)
    forgetful.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert losses(forgetful) != losses(straight)


def test_a_resumed_pose_tokenizer_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Within the second epoch, with its codebook and moving averages."""
    straight = pose_trainer(tmp_path, ten_poses(), max_steps=12, save_strategy="steps", save_steps=7)
    straight.train()
    resumed = pose_trainer(tmp_path / "resumed", ten_poses(), seed=1, max_steps=12)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))
    assert losses(resumed) == losses(straight)
    assert unequal_weights(weights_of(resumed.model), weights_of(straight.model)) == []


def test_evaluating_on_the_way_changes_no_weight(text_checkpoint: Path, text_corpus: Path, tmp_path: Path) -> None:
    """With dropout, whose random numbers an evaluation must leave where they were."""
    arguments = {"eval_strategy": "steps", "eval_steps": 1}
    ends = []
    for name, own in (("plain", {}), ("evaluated", arguments)):
        trainer = language_trainer(text_checkpoint, text_corpus, tmp_path / name, LORA, max_steps=3, **own)
        trainer.train()
        ends.append(weights_of(trainer.model))
    assert [entry["step"] for entry in trainer.state.log_history if "eval_loss" in entry] == [1, 2, 3]
    assert unequal_weights(*ends) == []


# Killed.


def write_recipe(path: Path, **settings) -> list[str]:
    path.write_text(yaml.safe_dump(settings))
    return config(path)


class Killed(NamedTuple):
    """The recipes of two runs that were killed while they saved, and the folders of these."""

    language: Path
    poses: Path


@pytest.fixture(scope="module")
def killed(text_checkpoint: Path, text_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("killed")
    language = (
        STAGE_ARGUMENTS
        | LORA
        | {"model": str(text_checkpoint), "corpus": str(text_corpus), "max_steps": 9, "save_steps": 3}
    )
    language |= {"resume_from_checkpoint": "true", "save_total_limit": 1}
    poses = STAGE_ARGUMENTS | {"num_poses": 20, "hidden_size": 16, "codebook_size": 32, "codebook_dim": 8}
    poses |= {"num_pose_tokens": 6, "max_steps": 6, "save_steps": 2, "resume_from_checkpoint": "true"}
    for name, settings in (("language", language), ("poses", poses)):
        for run in ("straight", "killed"):
            write_recipe(folder / f"{name}_{run}.yaml", **settings, output_dir=str(folder / name / run))
    runs = [
        (align.__name__, config(folder / "language_killed.yaml"), "checkpoint-6/trainer_state.json"),
        (pose_tokenizer.__name__, config(folder / "poses_killed.yaml"), "checkpoint-4/config.json"),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", KILL, json.dumps(runs)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Killed(folder / "language", folder / "poses")


def config(recipe: Path) -> list[str]:
    return ["--config", str(recipe)]


def run_twice(command: Callable[[], None], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Trains without interruption, and resumes the killed run by its own command; the names of unequal weights."""
    for run in ("straight", "killed"):
        monkeypatch.setattr(sys, "argv", ["stage", *config(folder.parent / f"{folder.name}_{run}.yaml")])
        command()
    return unequal_weights(*(load_file(folder / run / "model.safetensors") for run in ("straight", "killed")))


@pytest.mark.slow
def test_a_language_stage_killed_while_it_saves_resumes_by_the_same_command(
    killed: Killed, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = killed.language / "killed"
    assert is_complete(output / "checkpoint-3")
    broken = output / "checkpoint-6"
    assert {"adapter_model.safetensors", "optimizer.pt", "rng_state.pth"} <= {file.name for file in broken.iterdir()}
    assert not is_complete(broken)
    # A file that the next save does not write over.
    (broken / "model-00002-of-00002.safetensors").write_text("left")

    messages: list[str] = []
    monkeypatch.setattr(checkpoints.logger, "warning", messages.append)
    assert run_twice(align.main, killed.language, monkeypatch) == []
    assert any(f"{broken} is incomplete" in message for message in messages)
    assert [folder.name for folder in output.glob("checkpoint-*")] == ["checkpoint-9"]
    state = json.loads((output / "checkpoint-9" / "trainer_state.json").read_text())
    assert [entry["step"] for entry in state["log_history"]] == list(range(1, 10))


@pytest.mark.slow
def test_a_pose_tokenizer_killed_while_it_saves_resumes_by_the_same_command(
    killed: Killed, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = killed.poses / "killed" / "checkpoint-4"
    assert not is_complete(broken)
    assert run_twice(pose_tokenizer.main, killed.poses, monkeypatch) == []
    assert is_complete(broken)


# Which checkpoint.


def checkpoint(folder: Path, step: int, state: str | None = "{}") -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    if state is not None:
        (path / "trainer_state.json").write_text(state)
    return path


def found_with(folder: Path, expected: str | None) -> str | None:
    arguments = TrainingArguments(output_dir=str(folder), use_cpu=True, report_to="none")
    arguments.resume_from_checkpoint = expected
    return find_checkpoint(arguments)


def test_the_last_complete_checkpoint_has_the_highest_number(tmp_path: Path) -> None:
    assert found_with(tmp_path, "true") is None
    for step, state in ((900, "{}"), (1000, "{}"), (1100, '{"global_step": 11'), (1200, ""), (1300, None)):
        checkpoint(tmp_path, step, state)
    (tmp_path / "checkpoint-1400").write_text("a file")
    (tmp_path / "checkpoint-last").mkdir()
    assert found_with(tmp_path, "true") == str(tmp_path / "checkpoint-1000")


def test_a_start_does_not_bury_checkpoints_and_a_broken_one_cannot_be_named(tmp_path: Path) -> None:
    broken = checkpoint(tmp_path, 5, None)
    with pytest.raises(ValueError, match=r"checkpoint-5.*resume_from_checkpoint true"):
        found_with(tmp_path, None)
    with pytest.raises(ValueError, match="checkpoint-5 is not a complete checkpoint"):
        found_with(tmp_path, str(broken))


def test_a_save_leaves_no_file_of_another_run_and_no_broken_checkpoint(tmp_path: Path) -> None:
    """Also where the other run's checkpoint looks complete, and its step is beyond this run's. Stages began all."""
    (checkpoint(tmp_path, 2) / "pytorch_model.bin").write_text("of another run")
    for step in (1, 100):
        (checkpoint(tmp_path, step, None) / MARK).touch()
    pose_trainer(tmp_path, ten_poses(), max_steps=2, save_strategy="steps", save_steps=2, save_total_limit=1).train()
    assert [folder.name for folder in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]
    assert is_complete(tmp_path / "checkpoint-2")
    assert not (tmp_path / "checkpoint-2" / "pytorch_model.bin").exists()


def test_rerunning_a_finished_run_changes_nothing(
    text_checkpoint: Path, text_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = STAGE_ARGUMENTS | {
        "model": str(text_checkpoint),
        "corpus": str(text_corpus),
        "max_steps": 2,
        "save_steps": 2,
    }
    settings |= {"resume_from_checkpoint": "true", "output_dir": str(tmp_path / "run")}
    monkeypatch.setattr(sys, "argv", ["align", *write_recipe(tmp_path / "recipe.yaml", **settings)])
    ends = []
    for _ in range(2):
        run_stage(ALIGN)
        ends.append(load_file(tmp_path / "run" / "model.safetensors"))
    assert unequal_weights(*ends) == []


def test_rows_are_prepared_once_and_again_only_for_another_key(tmp_path: Path) -> None:
    prepared = []

    def prepare() -> Dataset:
        prepared.append(len(prepared))
        return Dataset.from_dict({"call": prepared[-1:]})

    assert keep_rows(tmp_path, "one", prepare)["call"] == [0]
    assert keep_rows(tmp_path, "one", prepare)["call"] == [0]
    assert keep_rows(tmp_path, "two", prepare)["call"] == [1]
    assert keep_rows(tmp_path, "one", prepare)["call"] == [2]
    remove_rows(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_stage_resumes_with_the_rows_that_it_had_prepared(
    text_checkpoint: Path, text_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = language_trainer(text_checkpoint, text_corpus, tmp_path, max_steps=1)
    monkeypatch.setattr("unipose.training.trainer.language.prepare_rows", None)
    again = language_trainer(text_checkpoint, text_corpus, tmp_path, max_steps=1)
    assert again.train_dataset[0] == first.train_dataset[0]
    with pytest.raises(TypeError, match="not callable"):
        language_trainer(text_checkpoint, text_corpus, tmp_path, max_steps=1, rows=1)


# Diverging.


def spoil(model: torch.nn.Module, call: int, gradient_only: bool) -> None:
    """At one call the embeddings are not numbers: by their value, or only by their gradient."""
    calls = iter(range(1, 100))

    def hook(module: torch.nn.Module, inputs: Any, embedded: torch.Tensor) -> torch.Tensor:
        if next(calls) != call:
            return embedded
        # The slope of the root is infinite at 0, and 0 times it is no number.
        return embedded + (embedded * 0).abs().sqrt() if gradient_only else embedded * float("nan")

    model.get_input_embeddings().register_forward_hook(hook)


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("gradient_only", [False, True], ids=["loss", "gradient"])
def test_a_language_stage_stops_at_what_is_not_a_number_and_names_the_rows(
    text_checkpoint: Path, text_corpus: Path, tmp_path: Path, gradient_only: bool, accumulated: int
) -> None:
    """At the last batch of the second step; with another one before it where two make a step."""
    arguments = {"gradient_accumulation_steps": accumulated}
    before = language_trainer(text_checkpoint, text_corpus, tmp_path, max_steps=1, **arguments)
    before.train()
    trainer = language_trainer(text_checkpoint, text_corpus, tmp_path, max_steps=2, **arguments)
    order, end = list(trainer.train_sampler()), 4 * accumulated
    spoil(trainer.model, 2 * accumulated, gradient_only)
    fault = "gradient's norm is nan" if gradient_only else "loss is nan"
    with pytest.raises(FloatingPointError, match=f"{fault} at step 2 ") as stopped:
        trainer.train()
    named_rows = order[end - (2 * accumulated if gradient_only else 2) : end]
    rows = trainer.train_dataset
    named = ", ".join(f"{row} ({rows[row]['task']}, {rows[row]['source']})" for row in named_rows)
    assert f"(rows {named} of the dataset)" in str(stopped.value)
    assert "train:" in named
    assert unequal_weights(weights_of(trainer.model), weights_of(before.model)) == []


@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_pose_tokenizer_stops_at_a_pose_that_is_not_a_number(tmp_path: Path, accumulated: int) -> None:
    poses = ten_poses()
    poses[3, 5] = float("nan")
    trainer = pose_trainer(tmp_path, poses, max_steps=5, gradient_accumulation_steps=accumulated)
    before = []
    for name, value in trainer.model.named_parameters():
        value.register_hook(lambda gradient, name=name, value=value: before.append((name, value.detach().clone())))
    with pytest.raises(FloatingPointError, match=r"loss is nan at step \d+ \(rows (\d, 3|3, \d) of the dataset\)"):
        trainer.train()
    # What the weights were when their last gradient came is what they are.
    assert unequal_weights(dict(trainer.model.named_parameters()), dict(before)) == []
