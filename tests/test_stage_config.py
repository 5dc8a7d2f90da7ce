"""The settings of stages: defaults, the precision of this machine, and recipes that are checked."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tiny_tokenizer import tiny_tokenizer
from torch.utils.data import DataLoader

from unipose.training.trainer import config, precision
from unipose.training.trainer.config import RecipeParser, StageConfig
from unipose.training.trainer.optimizer import OptimizerArguments, build_optimizer


BF16_FASTER = {torch.bfloat16: 0.05e-3, torch.float32: 0.20e-3}
FP32_FASTER = {torch.bfloat16: 0.33e-3, torch.float32: 0.18e-3}


def parse(tmp_path: Path, **recipe: object) -> StageConfig:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), "utf-8")
    words = ["--config", str(path), "--output_dir", str(tmp_path), "--use_cpu", "true"]
    (parsed,) = RecipeParser((StageConfig,)).parse_args_and_config(words)
    return parsed


def seconds(measured: dict[torch.dtype, float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "cpu_matmul_seconds", lambda: measured)


# Precision.


@pytest.mark.parametrize(("measured", "chosen"), [(BF16_FASTER, "bf16"), (FP32_FASTER, "fp32")])
def test_auto_precision_is_the_faster_one_on_this_cpu(
    measured: dict, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also without `use_cpu`, where there is no GPU."""
    lines: list[str] = []
    seconds(measured, monkeypatch)
    monkeypatch.setattr(precision.logger, "warning", lines.append)
    parsed = parse(tmp_path)
    assert (parsed.precision, parsed.bf16, parsed.fp16) == (chosen, chosen == "bf16", False)
    if not torch.accelerator.is_available():
        assert StageConfig(str(tmp_path)).precision == chosen
    line = lines[0]
    assert line.startswith(f"precision {chosen}: this CPU")
    assert f"{1000 * measured[torch.bfloat16]:.2f} ms in bf16" in line


def test_bf16_must_be_faster_by_half() -> None:
    """What the masks of AVX2, AVX-512 with bf16 and AMX measure is far from the bound on either side."""
    measured = precision.cpu_matmul_seconds()
    assert all(value > 0 for value in measured.values())
    is_faster = measured[torch.bfloat16] * precision.PROBE_SPEEDUP < measured[torch.float32]
    assert (precision.fastest_dtype("cpu") == torch.bfloat16) == is_faster
    assert precision.cpu_matmul_seconds() is measured, "measured once"


@pytest.mark.parametrize(("supported", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_takes_bf16_where_it_has_it(supported: bool, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "is_torch_bf16_gpu_available", lambda: supported)
    assert precision.choose_precision("cuda") == chosen


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"precision": "fp32"}, "fp32"),
        ({"precision": "bf16"}, "bf16"),
        ({"bf16": True}, "bf16"),
        ({"bf16": False}, "fp32"),
        ({"fp16": True}, "fp16"),
        ({"precision": "bf16", "bf16": True}, "bf16"),
    ],
)
def test_explicit_precisions_are_not_probed(
    settings: dict, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "choose_precision", None)
    parsed = parse(tmp_path, **settings)
    assert (parsed.precision, parsed.bf16, parsed.fp16) == (chosen, chosen == "bf16", chosen == "fp16")


def test_two_precisions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got precision fp32, but bf16 and fp16 mean bf16"):
        parse(tmp_path, precision="fp32", bf16=True)


@pytest.mark.parametrize(("measured", "dtype"), [(BF16_FASTER, torch.bfloat16), (FP32_FASTER, torch.float32)])
def test_muon_multiplies_in_the_same_precision(
    measured: dict, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds(measured, monkeypatch)
    arguments = parse(tmp_path, precision="fp32")
    optimizer, _ = build_optimizer(torch.nn.Linear(3, 2), OptimizerArguments(muon_learning_rate=0.1), arguments)
    assert optimizer is not None
    assert optimizer.inner_dtype == dtype


# Recipes.


def test_defaults_of_all_stages(tmp_path: Path) -> None:
    parsed = parse(tmp_path, precision="fp32")
    assert parsed.dataset_kwargs == {"skip_prepare_dataset": True}
    assert (parsed.report_to, parsed.max_length, parsed.seed) == ([], None, 0)
    assert not parsed.remove_unused_columns
    assert not parsed.activation_checkpointing
    assert not parsed.gradient_checkpointing


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rat": 1.0}, "unknown keys in the recipe: learning_rat"),
        ({"max_steps": "many"}, "max_steps.*expected int, got str"),
        ({"max_steps": [5]}, "max_steps.*expected int, got list"),
        ({"learning_rate": "high"}, "learning_rate.*expected float, got str"),
        ({"use_cpu": 3}, "use_cpu.*expected bool, got int"),
        ({"precision": "half"}, "precision.*got half"),
    ],
)
def test_a_recipe_is_checked(settings: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"(?s){message}"):
        parse(tmp_path, **settings)


def test_numbers_are_parsed_as_in_yaml(tmp_path: Path) -> None:
    """1e-3 is a string in YAML, and 1 an integer."""
    parsed = parse(tmp_path, precision="fp32", learning_rate="1e-3", weight_decay=1, max_steps=5)
    assert (parsed.learning_rate, parsed.weight_decay, parsed.max_steps) == (1e-3, 1, 5)


def test_an_unknown_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--learning_rat"):
        RecipeParser((OptimizerArguments,)).parse_args_and_config(["--learning_rat", "1"])


# Imports.


@pytest.mark.slow
def test_the_collator_is_importable_and_captions_stay_light() -> None:
    program = """
import sys
import unipose.training.captions
assert "trl" not in sys.modules and "unipose.training.trainer.collator" not in sys.modules
from unipose.training import UniPoseDataCollator
assert UniPoseDataCollator.__module__ == "unipose.training.trainer.collator"
assert "trl" not in sys.modules
try:
    unipose.training.NoSuchName
except AttributeError as error:
    assert "NoSuchName" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# Processes of a dataloader.


def test_a_loaders_process_can_use_a_tokenizer_that_its_parent_has_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With threads in the parent, a forked process would wait for them forever."""
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    tokenizer, texts = tiny_tokenizer(4), ["the left knee"] * 64
    tokenizer(texts)
    parse(tmp_path)
    loader = DataLoader(
        texts, batch_size=32, num_workers=1, collate_fn=lambda batch: tokenizer(batch).input_ids, timeout=60,
        multiprocessing_context="fork",
    )  # fmt: skip
    assert [len(batch) for batch in loader] == [32, 32]


@pytest.mark.parametrize("minutes", [0, -1.5])
def test_a_time_limit_is_positive(tmp_path: Path, minutes: float) -> None:
    with pytest.raises(ValueError, match=f"max_minutes is {minutes}, expected a positive number"):
        parse(tmp_path, max_minutes=minutes)
