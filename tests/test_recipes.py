"""Every recipe says only what its command knows; the small and the paper ones run from end to end at toy size."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from dataset_files import random_poses
from smpl_files import model_arrays, write_model
from tiny_backbones import save_language_model, save_vision_encoders
from transformers import AutoModelForImageTextToText, get_scheduler

from unipose import UniPoseForConditionalGeneration, UniPoseVQVAE, training
from unipose.training.datasets import build_corpus, corpus_of_records
from unipose.training.datasets.import_data import save_records
from unipose.training.datasets.records import PoseRecord
from unipose.training.models import build_model
from unipose.training.stages import align, finetune, instruct, pose_tokenizer, project, retrieval, vision_encoders
from unipose.training.trainer import language
from unipose.training.trainer import pose_tokenizer as pose_training
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.schedules import StepScheduleArguments, step_schedule


RECIPES = Path(training.__file__).with_name("recipes")
STAGES = ("align", "project", "instruct")
COMMANDS: dict[str, Callable[[], None]] = {
    "corpus": build_corpus.main,
    "corpus_of_records": corpus_of_records.main,
    "pose_tokenizer": pose_tokenizer.main,
    "vision_encoders": vision_encoders.main,
    "model": build_model.main,
    "align": align.main,
    "project": project.main,
    "instruct": instruct.main,
    "finetune": finetune.main,
    "retrieval": retrieval.main,
    "retrieval_pairs": retrieval.main,
    "retrieval_corpus": build_corpus.main,
}
# What each command does with its recipe once that is read.
FIRST_CALLS = [
    (build_corpus, "build_shared_corpus"),
    (corpus_of_records, "write_records"),
    (pose_training, "to_body_model"),
    (vision_encoders, "render_encoder_images"),
    (build_model, "build_model"),
    (language, "build_trainer"),
    (finetune, "finetune"),
    (retrieval, "train_retrieval"),
]
RUN = ["--use_cpu", "true", "--max_steps", "2", "--disable_tqdm", "true", "--logging_steps", "1"]


class WasRead(Exception):
    """A command has read its recipe."""


def stop(*args, **kwargs):
    raise WasRead


def command(monkeypatch: pytest.MonkeyPatch, stage: str, recipe: Path, *overrides: str) -> None:
    monkeypatch.setattr(sys, "argv", [stage, "--config", str(recipe), *overrides])
    COMMANDS[stage]()


@pytest.mark.parametrize(
    "recipe",
    [path for size in ("tiny", "small", "paper") for path in sorted((RECIPES / size).glob("*.yaml"))],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_a_recipe_is_read_by_its_command(recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module, name in FIRST_CALLS:
        monkeypatch.setattr(module, name, stop)
    trains = recipe.stem not in ("corpus", "corpus_of_records", "retrieval_corpus", "model")
    with pytest.raises(WasRead):
        command(monkeypatch, recipe.stem, recipe, *(["--use_cpu", "true"] if trains else []))


def test_an_unknown_word_in_a_recipe_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else the test above could not fail."""
    recipe = tmp_path / "project.yaml"
    recipe.write_text((RECIPES / "paper" / "project.yaml").read_text("utf-8") + "learning_rat: 1\n", "utf-8")
    monkeypatch.setattr(language, "build_trainer", stop)
    with pytest.raises(ValueError, match="learning_rat"):
        command(monkeypatch, "project", recipe, "--use_cpu", "true")


@pytest.mark.parametrize("size", ["small", "paper"])
def test_stages_resume_from_each_other(size: str) -> None:
    """A stage starts from the folder that the one before writes."""
    read = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in (RECIPES / size).glob("*.yaml")}
    assert read["model"]["pose_tokenizer"] == read["pose_tokenizer"]["output_dir"]
    assert read["align"]["model"] == read["model"]["output"]
    assert read["project"]["model"] == read["align"]["output_dir"]
    assert read["instruct"]["model"] == read["project"]["output_dir"]


@pytest.mark.parametrize(
    ("stage", "rate", "batch", "epochs"),
    [("pose_tokenizer", 2e-4, 256, 240), ("align", 1.5e-4, 24, 6), ("project", 5e-5, 8, 2), ("instruct", 5e-5, 8, 2)],
)
def test_paper_recipes_hold_the_papers_numbers(stage: str, rate: float, batch: int, epochs: int) -> None:
    read = yaml.safe_load((RECIPES / "paper" / f"{stage}.yaml").read_text("utf-8"))
    gpus = 1 if stage == "pose_tokenizer" else 4
    assert read["learning_rate"] == rate
    assert read["per_device_train_batch_size"] * gpus == batch
    assert read["num_train_epochs"] == epochs
    if stage == "pose_tokenizer":
        assert (read["adam_beta1"], read["adam_beta2"], read["weight_decay"]) == (0.9, 0.99, 1e-5)
        assert read["lr_drops"] == pytest.approx([8 / 12, 11 / 12], abs=1e-3)
    else:
        assert (read["lr_scheduler_type"], read["warmup_steps"], read["weight_decay"]) == ("cosine", 0.03, 0.0)
        assert read["precision"] == "bf16"
        assert read["activation_checkpointing"]


def test_the_learning_rate_falls_in_steps() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = step_schedule(optimizer, 12, StepScheduleArguments(lr_drops=[0.6667, 0.9167]))
    rates = []
    for _ in range(12):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([1.0] * 8 + [0.1] * 3 + [0.01])
    with pytest.raises(ValueError, match="between 0 and 1"):
        step_schedule(optimizer, 12, StepScheduleArguments(lr_drops=[8.0]))
    with pytest.raises(ValueError, match="multistep"):
        get_scheduler("multistep", optimizer)
    assert StageConfig("unused", use_cpu=True).warmup_steps == 0


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Language models and vision encoders of a few thousand weights, imported poses, and two rows a task."""
    folder = tmp_path_factory.mktemp("toys")
    save_vision_encoders(folder)
    save_language_model(folder / "llama", "llama", tied=True)
    save_language_model(folder / "mistral", "mistral", tied=False, pad=None)
    save_records([PoseRecord(str(i), pose) for i, pose in enumerate(random_poses(40, 0))], folder / "amass", {})
    recipe = dict.fromkeys([name.replace("-", "_") for name in build_corpus.TASKS], 2)
    build_corpus.build_corpus(build_corpus.Recipe(**recipe, image_size=48), folder / "corpus")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "backbone", "pose_vision"), [("small", "llama", "vitpose"), ("paper", "mistral", "vitpose_plus")]
)
def test_recipes_run_from_end_to_end(
    size: str, backbone: str, pose_vision: str, toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From poses to an instructed model that loads and answers; sizes and steps alone are other than the recipe's."""
    recipes = RECIPES / size
    sizes: dict[str, object] = {"hidden_size": 16, "codebook_size": 32, "codebook_dim": 8, "num_pose_tokens": 6}
    if size == "paper":
        sizes |= {"records": toys / "amass", "body": write_model(tmp_path / "body.npz", model_arrays(24))}
    else:
        sizes |= {"num_poses": 64}
    toy = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    tokenizer = tmp_path / "pose_tokenizer"
    where = ["--output_dir", str(tokenizer), "--per_device_train_batch_size", "16"]
    command(monkeypatch, "pose_tokenizer", recipes / "pose_tokenizer.yaml", *RUN, *toy, *where)
    assert UniPoseVQVAE.from_pretrained(tokenizer).config.codebook_size == 32
    model = tmp_path / "initial"
    chosen = {"pose_tokenizer": tokenizer, "backbone": toys / backbone, "vision": toys / "clip", "output": model}
    chosen["pose_vision"] = toys / pose_vision
    words = [word for name, value in chosen.items() for word in (f"--{name}", str(value))]
    command(monkeypatch, "model", recipes / "model.yaml", *words)
    for stage in STAGES:
        after = tmp_path / stage
        where = ["--model", str(model), "--corpus", str(toys / "corpus"), "--output_dir", str(after)]
        small = ["--per_device_train_batch_size", "2", "--dataloader_num_workers", "0"]
        command(monkeypatch, stage, recipes / f"{stage}.yaml", *RUN, *where, *small)
        model = after
    trained, info = AutoModelForImageTextToText.from_pretrained(model, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert isinstance(trained, UniPoseForConditionalGeneration)
    assert trained.dtype == (torch.bfloat16 if size == "paper" else torch.float32)
