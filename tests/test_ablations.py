"""The ablations at toy size: variants differ in one setting, are measured on the same frames, and are trained once."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from module_weights import unequal_weights, weights_of
from PIL import Image
from stage_corpus import write_tiny_corpus
from tiny_checkpoint import save_tiny_checkpoint
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from unipose import UniPoseVQVAE
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import rotmat_to_rotation_6d
from unipose.tasks_unipose import TASKS
from unipose.training import ablations
from unipose.training.ablations import attention, choices, orientation_noise, tasks, variants, vision_encoders
from unipose.training.ablations.table import columns, to_markdown
from unipose.training.datasets.generation import to_rotvecs
from unipose.training.datasets.import_data import save_records
from unipose.training.datasets.records import PoseRecord
from unipose.training.datasets.shards import load_corpus
from unipose.training.evaluation.metrics import pose_errors
from unipose.training.sampling.poses import held_out_poses, sample_training_poses
from unipose.training.trainer import language, pose_tokenizer
from unipose.training.trainer.language import subsample_each_task
from unipose.training.trainer.pose_tokenizer import PoseDataset, PoseTokenizerTrainer


pytestmark = pytest.mark.slow

RECIPES = Path(ablations.__file__).parents[1] / "recipes" / "ablations"
PROJECTOR = "multi_modal_projector"
COMMANDS = {
    "tasks": tasks,
    "vision_encoders": vision_encoders,
    "attention": attention,
    "orientation_noise": orientation_noise,
    "choices": choices,
}
SHARED = ["--use_cpu", "true", "--disable_tqdm", "true", "--logging_steps", "1", "--save_steps", "1"]
LANGUAGE = "--compile_language_model false --rows 4 --every 40 --training_poses 20 --image_size 48 --warmup_steps 0"
POSES = "--hidden_size 16 --codebook_size 32 --codebook_dim 8 --num_pose_tokens 6 --num_poses 48 --max_steps 2"
BASELINE = "mean training pose"


class Start(NamedTuple):
    """What a variant was before its first step, and the rows that it was to see."""

    weights: dict[str, torch.Tensor]
    pose_attention: str
    rows: list[tuple[str, str]]


class Ran(NamedTuple):
    """A command that has ended: its folder, its table, and how each variant began."""

    folder: Path
    table: dict[str, dict[str, float]]
    starts: list[Start]


def call(patch: pytest.MonkeyPatch, command: ModuleType, *overrides: str) -> None:
    name = command.__name__.rpartition(".")[2]
    patch.setattr(sys, "argv", [name, "--config", str(RECIPES / f"{name}.yaml"), *SHARED, *overrides])
    command.main()


def ended(folder: Path, starts: list[Any]) -> Ran:
    return Ran(folder, json.loads((folder / "metrics.json").read_text("utf-8")), starts)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, vision encoders with other weights, and a corpus of five rows of each task."""
    folder = tmp_path_factory.mktemp("toys")
    save_tiny_checkpoint(folder / "model")
    write_tiny_corpus(folder / "corpus", tuple(TASKS), images=True)
    model = AutoModelForImageTextToText.from_pretrained(folder / "model").model
    for name, encoder in (("vision", model.vision_tower), ("pose_vision", model.pose_vision_tower)):
        for weight in encoder.parameters():
            weight.data += 0.01
        encoder.save_pretrained(folder / "vision_encoders" / name)
    return folder


@pytest.fixture(scope="module")
def run(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ran]:
    """Runs a command on the toys; how the variants of the language model begin is noted."""

    def run_command(command: ModuleType, *more: str) -> Ran:
        folder, starts = tmp_path_factory.mktemp("ablation"), []
        build_trainer = language.build_trainer

        def note(*arguments: Any) -> Any:
            trainer = build_trainer(*arguments)
            rows = trainer.train_dataset
            named = list(zip(rows["task"], rows["source"]))
            starts.append(Start(weights_of(trainer.model), trainer.model.config.pose_attention, named))
            return trainer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(language, "build_trainer", note)
            where = [word for name in ("model", "corpus") for word in (f"--{name}", str(toys / name))]
            small = ["--per_device_train_batch_size", "2", *LANGUAGE.split(), "--output_dir", str(folder)]
            call(patch, command, *where, *small, *more)
        return ended(folder, starts)

    return run_command


@pytest.fixture(scope="module")
def tasks_ran(run: Callable[..., Ran], toys: Path) -> Ran:
    return run(tasks, "--vision_encoders", str(toys / "vision_encoders"))


@pytest.fixture(scope="module")
def encoders_ran(run: Callable[..., Ran], toys: Path) -> Ran:
    return run(vision_encoders, "--vision_encoders", str(toys / "vision_encoders"), "--max_steps", "2")


@pytest.fixture(scope="module")
def attention_ran(run: Callable[..., Ran]) -> Ran:
    return run(attention, "--max_steps", "2")


@pytest.fixture(scope="module")
def choices_ran(run: Callable[..., Ran], toys: Path) -> Ran:
    """All groups, with records of the poses of one clip, which are also the recorded poses to measure."""
    poses = to_rotvecs(sample_training_poses(6, 0, BodyModel.builtin())[0])
    records = toys / "records"
    save_records([PoseRecord(f"clip:{frame}", pose, ("walk",)) for frame, pose in enumerate(poses)], records, {})
    recipe = toys / "recipe.yaml"
    counts = dict.fromkeys(("pose_to_text", "pose_diff", "image_to_text", "image_diff", "image_to_pose"), 0)
    shares = {"named_poses": 0.4, "human_wordings": 1.0, "human_edits": 0.5, "typed_forms": 0.5}
    recipe.write_text(yaml.safe_dump({**counts, "text_to_pose": 6, "pose_edit": 4, **shares, "clip_poses": 0.2}))
    words = ["--decoding_model", toys / "model", "--corpus_recipe", recipe, "--pairs", 3, "--recorded_poses", 4]
    words += ["--train_records", records, "--test_records", records, "--groups", "decoding", "words", "motion"]
    return run(choices, *map(str, words), "--max_steps", "2", "--code_smoothing", "1.0")


@pytest.fixture(scope="module")
def noise_ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder, starts = tmp_path_factory.mktemp("ablation"), []

    class Noted(PoseTokenizerTrainer):
        def __init__(self, *args: Any, **kwargs: Any):
            starts.append((weights_of(kwargs["model"]), kwargs["train_dataset"]))
            super().__init__(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pose_tokenizer, "PoseTokenizerTrainer", Noted)
        call(patch, orientation_noise, *POSES.split(), "--warmup_steps", "0", "--output_dir", str(folder))
    return ended(folder, starts)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_recipe_is_read_by_its_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class WasRead(Exception):
        pass

    def stop(*args: Any) -> None:
        raise WasRead

    for module in (variants, orientation_noise, choices):
        monkeypatch.setattr(module, "open_ablation", stop)
    with pytest.raises(WasRead):
        call(monkeypatch, COMMANDS[name])
    with pytest.raises(ValueError, match="no_such_word"):
        call(monkeypatch, COMMANDS[name], "--no_such_word", "1")


def test_tasks_table(tasks_ran: Ran) -> None:
    table = tasks_ran.table
    assert list(table) == ["text-to-pose alone", "image-to-pose alone", "all tasks", BASELINE]
    about = {name: {heading.partition(",")[0] for heading in row} for name, row in table.items()}
    assert about["text-to-pose alone"] == {"steps", "text-to-pose"}
    assert about["image-to-pose alone"] == {"steps", "image-to-pose"}
    assert about["all tasks"] == {"steps", "text-to-pose", "image-to-pose"}
    assert about[BASELINE] == {"text-to-pose", "image-to-pose"}
    # Four rows of each of seven tasks, two at once, each seen once.
    assert [table[name].get("steps") for name in table] == [2, 2, 14, None]
    written = (tasks_ran.folder / "table.md").read_text("utf-8").splitlines()
    assert written[0].startswith("| variant | steps | text-to-pose, MPJPE (mm) |")
    assert len(written) == 2 + len(table)


def test_tasks_differ_in_the_other_tasks_rows_alone(tasks_ran: Ran) -> None:
    text, image, both = tasks_ran.starts
    for alone, task in ((text, "text-to-pose"), (image, "image-to-pose")):
        assert all(PROJECTOR in name for name in unequal_weights(alone.weights, both.weights)), (
            "fitted to its own images"
        )
        assert len(alone.rows) == 4
        assert alone.rows == [row for row in both.rows if row[0] == task]
    assert {task for task, _ in both.rows} == set(TASKS)


def test_encoders_differ_in_the_pose_encoder_alone(encoders_ran: Ran, toys: Path) -> None:
    alone, both = encoders_ran.starts
    assert alone.rows == both.rows
    common = {name: value for name, value in both.weights.items() if "pose_vision_tower" not in name}
    assert len(common) < len(both.weights)
    channels = alone.weights[vision_encoders.PROJECTOR_INPUT].shape[1]
    common[vision_encoders.PROJECTOR_INPUT] = common[vision_encoders.PROJECTOR_INPUT][:, :channels]
    assert channels == AutoConfig.from_pretrained(toys / "model").vision_config.hidden_size
    assert all(PROJECTOR in name for name in unequal_weights(alone.weights, common)), (
        "each is fitted to its own features"
    )


def test_encoders_table_and_models(encoders_ran: Ran, toys: Path) -> None:
    assert list(encoders_ran.table) == ["vision encoder only", "both encoders", BASELINE]
    headings = {"image-to-pose, MPJPE (mm)", "image-to-pose, PA-MPJPE (mm)"}
    assert all(set(row) == headings for row in encoders_ran.table.values())
    seen = {}
    for name in ("vision encoder only", "both encoders"):
        processor = AutoProcessor.from_pretrained(encoders_ran.folder / name)
        seen[name] = set(processor.image_processor([Image.new("RGB", (48, 48))], return_tensors="pt"))
    assert seen["vision encoder only"] == {"pixel_values"}
    assert seen["both encoders"] == {"pixel_values", "pose_pixel_values"}
    with pytest.raises(ValueError, match="both vision encoders"):
        vision_encoders.save_without_pose_encoder(str(encoders_ran.folder / "vision encoder only"), toys / "none")


def test_attention_differs_in_the_mask_alone(attention_ran: Ran) -> None:
    causal, mixed = attention_ran.starts
    assert (causal.pose_attention, mixed.pose_attention) == ("causal", "mixed")
    assert unequal_weights(causal.weights, mixed.weights) == []
    assert causal.rows == mixed.rows


def test_attention_table(attention_ran: Ran) -> None:
    table = attention_ran.table
    assert list(table) == ["causal", "mixed", BASELINE]
    timed = {"ms per pose, batch 1", "ms per pose, batch 8"}
    assert set(table["causal"]) == set(table["mixed"]) == set(table[BASELINE]) | timed
    assert all(table[name][heading] > 0 for name in ("causal", "mixed") for heading in timed)
    trained = [
        AutoModelForImageTextToText.from_pretrained(attention_ran.folder / name) for name in ("causal", "mixed")
    ]
    assert [model.config.pose_attention for model in trained] == ["causal", "mixed"]
    assert unequal_weights(*(weights_of(model.model.language_model) for model in trained))


def test_choices_table(choices_ran: Ran) -> None:
    table = choices_ran.table
    decodings = ["argmax, 1 step", "argmax, 3 steps", "expected, 1 step", "expected, 3 steps"]
    assert list(table) == [*decodings, choices.WHOLE, choices.WITHOUT_WORDS, choices.WITHOUT_MOTION]
    headings = [*table[decodings[0]]]
    assert all([*row] == headings for row in table.values())
    assert {heading.rpartition(", ")[0] for heading in headings} == {
        *("text-to-pose", "pose-edit", "text-to-pose (recorded)", "people's sentences", "people's edits")
    }
    errors = [table[name]["text-to-pose, MPJPE (mm)"] for name in decodings]
    assert len(set(errors)) == 4, "each decodes in its own way"
    cells = (choices_ran.folder / "table.md").read_text("utf-8").splitlines()[2].split(" | ")[1:]
    for cell, heading in zip(cells, headings):
        value, low, high = (float(number) for number in re.findall(r"\d+\.\d", cell))
        assert low <= value <= high, heading


def test_choices_differ_in_the_rows_alone(choices_ran: Ran) -> None:
    whole, *others = choices_ran.starts
    assert len(others) == 2
    for other in others:
        assert unequal_weights(whole.weights, other.weights) == []
        assert [task for task, _ in whole.rows] == [task for task, _ in other.rows], "as many rows of each task"
    words, motion = ({source for _, source in start.rows} for start in others)
    assert any("human" in source for source in motion)
    assert not any("human" in source for source in words)
    recipes = [
        json.loads((choices_ran.folder / "corpora" / name / "recipe.json").read_text("utf-8"))
        for name in (choices.WHOLE, choices.WITHOUT_MOTION)
    ]
    assert {key for key in recipes[0] if recipes[0][key] != recipes[1][key]} == {"records", "clip_poses"}


def test_groups_of_choices_are_checked() -> None:
    with pytest.raises(ValueError, match="got unknown groups heading; expected some of decoding, words, motion"):
        choices.ChoiceArguments(groups=["heading"])
    with pytest.raises(ValueError, match="the group motion needs train_records"):
        choices.ChoiceArguments(groups=["motion"])


def test_orientation_noise_differs_in_the_noise_alone(noise_ran: Ran) -> None:
    (without, plain), (with_noise, noisy) = noise_ran.starts
    assert unequal_weights(without, with_noise) == []
    assert torch.equal(plain.rotmats, noisy.rotmats)

    def seen(dataset: PoseDataset) -> torch.Tensor:
        return dataset.__getitems__([0, 1])["pose_values"]

    as_they_are = rotmat_to_rotation_6d(plain.rotmats[:2])
    assert torch.equal(seen(plain), as_they_are)
    assert not torch.equal(seen(noisy), as_they_are)


def test_orientation_noise_table(noise_ran: Ran) -> None:
    assert list(noise_ran.table) == ["without noise", "with noise"]
    ways = ("unchanged", "jittered", "random heading")
    headings = [f"{way}, {measure} (mm)" for way in ways for measure in ("MPJPE", "PA-MPJPE")]
    assert all(list(row) == headings for row in noise_ran.table.values())
    trained = [UniPoseVQVAE.from_pretrained(noise_ran.folder / name) for name in noise_ran.table]
    assert unequal_weights(*map(weights_of, trained))


def test_questions_about_orientation() -> None:
    """Bodies that are turned are the same but for the turn."""
    poses, body = held_out_poses()[::40].float(), BodyModel.builtin()
    oriented = orientation_noise.reoriented(poses, seed=0)
    assert torch.equal(oriented["unchanged"], poses)
    for way in ("jittered", "random heading"):
        errors = pose_errors(oriented[way], poses, body)
        assert errors["mpjpe_mm"] > 20.0
        assert errors["pa_mpjpe_mm"] == pytest.approx(0.0, abs=1e-2)
        assert torch.equal(oriented[way], orientation_noise.reoriented(poses, seed=0)[way])


def test_finished_variants_are_not_trained_again(
    encoders_ran: Ran, toys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing or unfinished variant is trained, a finished one stays; another recipe is refused."""
    trained = []
    train_stage = variants.train_stage

    def note(stage: Any, lora: Any, optimizer: Any, training: Any, parts: Any) -> Any:
        trained.append(Path(training.output_dir).name)
        return train_stage(stage, lora, optimizer, training, parts)

    monkeypatch.setattr(variants, "train_stage", note)
    again = [word for name in ("model", "corpus", "vision_encoders") for word in (f"--{name}", str(toys / name))]
    again += ["--per_device_train_batch_size", "2", *LANGUAGE.split(), "--output_dir", str(encoders_ran.folder)]
    call(monkeypatch, vision_encoders, *again, "--max_steps", "2")
    assert trained == []
    (encoders_ran.folder / "both encoders" / variants.FINISHED_FILE).unlink()
    call(monkeypatch, vision_encoders, *again, "--max_steps", "2")
    assert trained == ["both encoders"]
    assert json.loads((encoders_ran.folder / "metrics.json").read_text("utf-8")) == encoders_ran.table
    with pytest.raises(ValueError, match=r"variants of another recipe \(max_steps was 2 and is 3\)"):
        call(monkeypatch, vision_encoders, *again, "--max_steps", "3")


def test_rows_of_each_task_do_not_depend_on_the_others(toys: Path) -> None:
    whole = load_corpus(toys / "corpus")
    few = subsample_each_task(whole, 3)
    assert sorted(few["task"]) == sorted([*TASKS] * 3)
    for task in TASKS:
        alone = subsample_each_task(load_corpus(toys / "corpus", tasks=[task]), 3)
        assert alone["source"] == [row["source"] for row in few if row["task"] == task]
    assert len(subsample_each_task(whole, 1000)) == len(whole)


def test_markdown() -> None:
    table = {"one": {"steps": 3} | columns({"posecode_precision": 0.5}, "poses"), "other": {"time": 1.25}}
    assert to_markdown(table).splitlines() == [
        "| variant | steps | poses, posecode precision (%) | time |",
        "|---|---|---|---|",
        "| one | 3 | 50.0 |  |",
        "| other |  |  | 1.2 |",
    ]
