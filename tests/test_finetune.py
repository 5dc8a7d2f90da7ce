"""The stage finetune, for real on a tiny model: rows in, a folder that loads with a true card out."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_rows import save_image, upright_rotvecs, write_jsonl
from peft import PeftModel
from stage_corpus import write_tiny_corpus
from tiny_checkpoint import save_tiny_checkpoint
from transformers import AutoModelForImageTextToText, AutoProcessor, pipeline

from unipose import UniPoseForConditionalGeneration
from unipose.processing.body_model import BodyModel
from unipose.training.datasets.read_rows import read_rows
from unipose.training.datasets.rows import TASKS
from unipose.training.evaluation.row_answers import measure_loss, measure_rows
from unipose.training.stages.finetune import main
from unipose.training.trainer import finetuning
from unipose.training.trainer.collator import UniPoseDataCollator
from unipose.training.trainer.finetune_arguments import (
    FinetuneArguments,
    FinetuneConfig,
    number_of_checks,
    number_of_named_poses,
)
from unipose.training.trainer.finetune_report import rows_digest
from unipose.training.trainer.replay import (
    MAX_REPLAYED,
    ReplayArguments,
    ReplaySampler,
    load_replay_rows,
    replay_recipe,
    rows_to_replay,
    split_rows,
)


WORDS = ["A person kneels.", "Someone waves.", "The left arm is raised.", "A heron on one leg."]
FAST = ["--use_cpu", "true", "--precision", "fp32", "--disable_tqdm", "true", "--named_poses", "0"]
FAST += ["--per_device_train_batch_size", "4", "--num_train_epochs", "2", "--lora_dropout", "0"]

ADAPTERS = ["--keep_adapter", "true", "--learning_rate", "1e-2", "--lora_rank", "4"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "base"
    save_tiny_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "known"
    write_tiny_corpus(folder, ("text-to-pose", "pose-to-text"))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine rows of three tasks, one of them with an image."""
    folder = tmp_path_factory.mktemp("data")
    poses = upright_rotvecs(8)
    rows: list[dict[str, Any]] = [
        {"text": f"{WORDS[number % 4]} {number}", "pose": pose.tolist()} for number, pose in enumerate(poses)
    ]
    for row in rows[4:]:
        row["task"] = "pose-to-text"
    rows.append({"image": save_image(folder / "a.png").name, "text": "Nobody is there."})
    return write_jsonl(folder / "my_rows.jsonl", rows)


def run(data: Path, checkpoint: Path, corpus: Path, output: Path, *options: str) -> dict[str, Any]:
    """The command, and its report."""
    words = ["--data", str(data), "--model", str(checkpoint), "--replay_corpus", str(corpus)]
    main([*words, "--output_dir", str(output), *FAST, *options])
    return json.loads((output / "finetune.json").read_text("utf-8"))


def load(folder: Path) -> UniPoseForConditionalGeneration:
    return AutoModelForImageTextToText.from_pretrained(folder)


def some_batch(data: Path, checkpoint: Path) -> dict[str, torch.Tensor]:
    collator = UniPoseDataCollator(AutoProcessor.from_pretrained(checkpoint))
    return collator(list(read_rows(data))[:6])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path, checkpoint: Path, corpus: Path) -> Path:
    """A run with adapters, which are kept."""
    output = tmp_path_factory.mktemp("run") / "my-model"
    run(data, checkpoint, corpus, output, "--method", "lora", *ADAPTERS)
    return output


def test_the_folder_loads_and_holds_nothing_else(trained: Path) -> None:
    pipe = pipeline("unipose", model=str(trained))
    assert pipe("Someone waves.", task="text-to-pose")["poses"][0].shape == (22, 3, 3)
    assert isinstance(pipe("What is it?", poses=upright_rotvecs(1)[0], task="pose-to-text")["text"], str)
    names = {path.name for path in trained.iterdir()}
    assert {"README.md", "finetune.json", "model.safetensors", "config.json", "adapter"} <= names
    assert not {"new_model", "replay"} & names
    assert not list(trained.glob("checkpoint-*"))


def test_merged_adapters_give_the_outputs_of_the_adapters(trained: Path, data: Path, checkpoint: Path) -> None:
    batch = some_batch(data, checkpoint)
    base, merged = load(checkpoint), load(trained)
    adapted = PeftModel.from_pretrained(load(checkpoint), trained / "adapter")
    with torch.no_grad():
        before, one, other = (model.eval()(**batch).logits for model in (base, merged, adapted))
    torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-4)
    assert (one - before).abs().max() > 0.1


def test_the_card_says_what_was_trained_and_before_and_after(
    trained: Path, data: Path, checkpoint: Path, body: BodyModel
) -> None:
    report = json.loads((trained / "finetune.json").read_text("utf-8"))
    rows = read_rows(data)
    own, held_out = split_rows(rows, 0.2, 0)
    assert held_out is not None
    assert (report["rows"]["trained"], report["rows"]["held_out"]) == (len(own), len(held_out))
    assert report["rows"]["tasks"] == {"image-to-text": 1, "pose-to-text": 4, "text-to-pose": 4}
    assert report["rows"]["sha256_of_trained_rows"] == rows_digest(own)
    assert (report["data"], report["base_model"]) == ("my_rows.jsonl", "base")
    processor = AutoProcessor.from_pretrained(checkpoint)
    batches = [UniPoseDataCollator(processor)(list(held_out))]
    for side, folder in (("before", checkpoint), ("after", trained)):
        expected = measure_rows(load(folder).eval(), processor, held_out, batches, body, 8)
        assert report[side]["held_out"]["metrics"] == pytest.approx(expected.metrics, rel=1e-3), side
        assert report[side]["replay"]["loss"] > 0
    card = (trained / "README.md").read_text("utf-8")
    loss = [report[side]["held_out"]["metrics"]["loss"] for side in ("before", "after")]
    for expected in (
        "my_rows.jsonl",
        rows_digest(own),
        f"| held-out rows of the data | loss per token | {loss[0]:.3f} | {loss[1]:.3f} | {len(held_out)} |",
        "| `lora_rank` | 4 |",
        "| `learning_rate` | 0.01 |",
        "pose-to-text (4)",
    ):
        assert expected in card
    for folder in (data.parent, checkpoint.parent, trained.parent):
        assert str(folder) not in card + json.dumps(report)


def test_training_lowers_the_loss_of_the_users_rows(trained: Path, data: Path, checkpoint: Path) -> None:
    batch = some_batch(data, checkpoint)
    before, after = (measure_loss(load(folder).eval(), [batch]) for folder in (checkpoint, trained))
    assert after["loss"] < before["loss"]


def test_the_whole_model_is_trained_by_the_method_full(
    data: Path, checkpoint: Path, corpus: Path, tmp_path: Path
) -> None:
    output = tmp_path / "full"
    report = run(data, checkpoint, corpus, output, "--method", "full", "--keep_adapter", "true")
    assert report["options"]["method"] == "full"
    assert "lora_rank" not in report["options"]
    assert not (output / "adapter").exists()
    before, after = load(checkpoint).state_dict(), load(output).state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert "model.language_model.layers.0.mlp.up_proj.weight" in moved
    assert "model.language_model.norm.weight" in moved
    assert not any("pose_tokenizer" in name or "tower" in name for name in moved)


def test_a_run_without_replay_and_without_held_out_rows(
    data: Path, checkpoint: Path, corpus: Path, tmp_path: Path
) -> None:
    output = tmp_path / "plain"
    report = run(data, checkpoint, corpus, output, "--replay_share", "0", "--held_out", "0")
    assert report["rows"]["trained"] == 9
    assert report["before"] == report["after"] == {"held_out": None, "replay": None, "named_poses": None}
    card = (output / "README.md").read_text("utf-8")
    assert "nothing was measured" in card
    assert "may be forgotten" in card


def test_named_poses_are_counted_before_and_after(data: Path, checkpoint: Path, corpus: Path, tmp_path: Path) -> None:
    report = run(data, checkpoint, corpus, tmp_path / "named", "--named_poses", "5", "--max_steps", "1")
    assert 0 <= report["before"]["named_poses"] <= 100
    card = (tmp_path / "named" / "README.md").read_text("utf-8")
    assert re.search(r"\| wordings of named poses \| right poses \| .* \| 5 \|\n", card)
    assert re.search(r"\| held-out rows of what the base model knows \| loss per token \| .* \| 8 \|\n", card)


def test_an_interrupted_run_resumes_to_the_same_model(
    data: Path, checkpoint: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--save_steps", "2", "--max_steps", "4", "--resume_from_checkpoint", "true", "--held_out", "0"]
    run(data, checkpoint, corpus, tmp_path / "straight", *options)
    step = finetuning.FinetuneTrainer.training_step

    def stop(self, *args, **kwargs):
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(finetuning.FinetuneTrainer, "training_step", stop)
        with pytest.raises(KeyboardInterrupt):
            run(data, checkpoint, corpus, tmp_path / "resumed", *options)
    assert (tmp_path / "resumed" / "checkpoint-2").is_dir()
    assert not (tmp_path / "resumed" / "config.json").exists()
    run(data, checkpoint, corpus, tmp_path / "resumed", *options)
    straight, resumed = (load(tmp_path / name).state_dict() for name in ("straight", "resumed"))
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    # Once more: finished.
    changed = (tmp_path / "resumed" / "model.safetensors").stat().st_mtime_ns
    run(data, checkpoint, corpus, tmp_path / "resumed", *options)
    assert (tmp_path / "resumed" / "model.safetensors").stat().st_mtime_ns == changed


def test_what_is_wrong_is_said_before_any_training(data: Path, checkpoint: Path, corpus: Path, tmp_path: Path) -> None:
    lines = data.read_text("utf-8").splitlines()
    bad = json.loads(lines[2]) | {"image": str(data.parent / "a.png")}
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text("\n".join([*lines[:2], json.dumps(bad)]), "utf-8")
    with pytest.raises(ValueError, match=r"wrong.jsonl, line 3: got the columns image, pose, text"):
        run(wrong, checkpoint, corpus, tmp_path / "a")
    assert not (tmp_path / "a" / "config.json").exists()
    with pytest.raises(ValueError, match="rename is"):
        run(data, checkpoint, corpus, tmp_path / "a", "--rename", "text")
    with pytest.raises(ValueError, match="held_out is 1"):
        run(data, checkpoint, corpus, tmp_path / "a", "--held_out", "1")
    with pytest.raises(ValueError, match="replay_share is 1"):
        run(data, checkpoint, corpus, tmp_path / "a", "--replay_share", "1")
    with pytest.raises(FileExistsError, match="holds a model already"):
        run(data, checkpoint, corpus, checkpoint)


# The parts.


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9])
def test_replayed_rows_have_their_share_and_all_are_seen(share: float) -> None:
    own, pool = 20, 33
    rng = np.random.default_rng(0)
    sampler = ReplaySampler(rng.integers(5, 90, own + pool), rng.random(own + pool) < 0.3, 4, 7, own, share)
    counts = np.zeros(own + pool, dtype=int)
    for epoch in range(12):
        sampler.set_epoch(epoch)
        rows = list(sampler)
        assert rows == list(sampler), "the order follows from the seed and the epoch"
        assert len(rows) == len(sampler)
        assert sorted(row for row in rows if row < own) == list(range(own)), "each of the user's rows once an epoch"
        assert sum(row >= own for row in rows) == pytest.approx(share * len(rows), abs=0.5)
        np.add.at(counts, rows, 1)
    replayed = counts[own:]
    assert replayed.max() - replayed.min() <= 1


@pytest.mark.parametrize(("own", "epochs", "share"), [(1, 12, 0.5), (40, 3, 0.3), (7, 2.5, 0.8), (300, 12, 0.5)])
def test_as_many_different_rows_are_replayed_as_the_training_sees(own: int, epochs: float, share: float) -> None:
    config = FinetuneConfig(num_train_epochs=epochs, per_device_train_batch_size=4, use_cpu=True)
    pool = rows_to_replay(ReplayArguments(replay_share=share), own, config)
    sampler = ReplaySampler([5] * (own + pool), [False] * (own + pool), 4, 0, own, share)
    seen: list[int] = []
    for epoch in range(int(np.ceil(epochs))):
        sampler.set_epoch(epoch)
        seen += [row for row in sampler if row >= own]
    if pool < MAX_REPLAYED:
        assert len(set(seen)) == pool
        assert pool <= len(seen) < pool + own / (1 - share)
    else:
        assert len(seen) > MAX_REPLAYED
    by_steps = FinetuneConfig(max_steps=9, per_device_train_batch_size=4, use_cpu=True)
    assert rows_to_replay(ReplayArguments(replay_share=share), own, by_steps) == pytest.approx(36 * share, abs=own)
    assert rows_to_replay(ReplayArguments(replay_share=share, replay_rows=17), own, config) == 17


@pytest.mark.parametrize(
    ("counts", "sizes"), [((5, 3), (5, 3)), ((9, 3), (9, 1)), ((50, 20), (9, 1)), ((1, 20), (1, 9))]
)
def test_rows_of_the_figures_are_not_replayed(
    counts: tuple[int, int], sizes: tuple[int, int], corpus: Path, tmp_path: Path
) -> None:
    """Of ten rows; where these are too few, a tenth is left out."""
    arguments = ReplayArguments(replay_corpus=str(corpus))
    replayed, held_out = load_replay_rows(arguments, counts, tmp_path, False, 0, 1)
    assert held_out is not None
    assert (len(replayed), len(held_out)) == sizes
    names = [set(zip(rows["task"], rows["source"])) for rows in (replayed, held_out)]
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == sum(sizes)


def test_checks_grow_with_the_rows() -> None:
    numbers = [number_of_checks(rows) for rows in (1, 10, 40, 1000)]
    assert numbers == sorted(numbers)
    assert (numbers[0], numbers[-1]) == (20, 100)
    assert [number_of_named_poses(FinetuneArguments("a", named_poses=given), 40) for given in (None, 0, 7)] == [
        100,
        0,
        7,
    ]


def test_generated_rows_are_of_all_tasks_of_the_model() -> None:
    with_images, without = replay_recipe(1500, True, 0), replay_recipe(1500, False, 0)
    for recipe, images in ((with_images, True), (without, False)):
        counts = {task: getattr(recipe, task.replace("-", "_")) for task in TASKS}
        assert sum(counts.values()) + recipe.questions == pytest.approx(1500, abs=4)
        for task, count in counts.items():
            assert (count > 0) == (images or TASKS[task].images == 0), task
    assert replay_recipe(10, False, 1).seed != replay_recipe(10, False, 2).seed
    with pytest.raises(ValueError, match="replay_rows is 0"):
        ReplayArguments(replay_rows=0)


def test_held_out_rows_share_no_source_and_no_content_with_trained_ones() -> None:
    pose = upright_rotvecs(1)[0]
    rows = [{"text": f"Pose {number % 10}.", "pose": pose} for number in range(20)]
    dataset = read_rows(rows, tasks=["text-to-pose", "pose-to-text"])
    trained, held_out = split_rows(dataset, 0.25, 3)
    assert held_out is not None
    assert len(trained) + len(held_out) == len(dataset) == 40
    assert len(held_out) == 4 * round(0.25 * 10), "two lines of two tasks are one row of each text"
    for column in ("source", "text"):
        assert not set(trained[column]) & set(held_out[column])
    again, _ = split_rows(dataset, 0.25, 3)
    other, _ = split_rows(dataset, 0.25, 4)
    assert trained["source"] == again["source"] != other["source"]
    assert split_rows(dataset, 0, 3)[1] is None
    with pytest.raises(ValueError, match="got 1 different row"):
        split_rows(dataset.select([0]), 0.2, 0)
