"""How often a training step makes the host wait for the device: a GPU idles until the host has launched more."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from distributed_runs import run
from host_waits import count_host_waits
from stage_recipes import write_stages

from unipose.training.trainer.language import LanguageTrainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("waits")
    write_stages(folder)
    return folder


def test_waits_are_counted() -> None:
    numbers = torch.arange(4)
    with count_host_waits() as counts:
        numbers[numbers > 1] + numbers.index_select(0, torch.tensor([1, 0]))
        int(numbers.sum()), numbers.nonzero(), numbers.tolist()
    assert counts == {"index by a mask": 1, "_local_scalar_dense": 1, "nonzero": 1, "tolist": 1}


@pytest.mark.parametrize(("options", "searches"), [((), 1), (("--code_smoothing", "1.0"), 2)], ids=["plain", "smooth"])
def test_a_step_waits_a_few_times(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], searches: int
) -> None:
    """The places of labels are searched once, of codes and of words once each. Three numbers are read: whether poses
    and images fit their placeholders, and whether the mask opens blocks. Of images two more: whether both are finite.
    """
    steps: list[tuple[bool, Counter[str]]] = []
    training_step = LanguageTrainer.training_step

    def counted(trainer: LanguageTrainer, model: torch.nn.Module, inputs: dict, *others: object) -> torch.Tensor:
        has_images = "pixel_values" in inputs
        with count_host_waits() as counts:
            loss = training_step(trainer, model, inputs, *others)
        steps.append((has_images, counts))
        return loss

    monkeypatch.setattr(LanguageTrainer, "training_step", counted)
    run("instruct", folder, f"run{searches}", 4, "--max_steps", "4", "--logging_steps", "100", *options)
    assert {has_images for has_images, _ in steps} == {True, False}
    for has_images, counts in steps:
        assert counts == {"nonzero": searches, "_local_scalar_dense": 5 if has_images else 3}
