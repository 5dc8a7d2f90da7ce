"""Guards of the private hooks of transformers and TRL that training uses: docs/library-hooks.md names them."""

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, SequentialSampler
from transformers import Trainer
from trl import SFTTrainer

from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.language import LanguageTrainer
from unipose.training.trainer.pose_tokenizer import PoseTokenizerTrainer
from unipose.training.trainer.trainers import LossComponentsLogger, SampledDataMixin, StageTrainer
from unipose.training.trainer.vision_encoders import EncoderTrainer


# Of a dataloader, those that the library's arguments decide on.
SETTINGS = ("batch_size", "drop_last", "num_workers", "pin_memory", "persistent_workers", "prefetch_factor")
SETTINGS += ("multiprocessing_context", "in_order")


class Rows(Dataset):
    """Eight rows of one number."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"value": torch.tensor([float(index)]), "row": torch.tensor(index)}


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def forward(self, value: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": self.line(value).square().mean()}


class Recorder(SampledDataMixin, StageTrainer):
    """Notes the order of what the library calls."""

    def __init__(self, *args: Any, **kwargs: Any):
        self.calls: list[str] = []
        super().__init__(*args, **kwargs)

    def train_sampler(self) -> SequentialSampler:
        self.calls.append("train_sampler")
        return SequentialSampler(self.train_dataset)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.calls.append("training_step")
        return super().training_step(*args, **kwargs)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        self.calls.append("_get_grad_norm")
        return super()._get_grad_norm(model, grad_norm)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append("_run_epoch")
        super()._run_epoch(*args, **kwargs)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        self.calls.append(f"save_model {Path(output_dir or '').name}")
        super().save_model(output_dir, _internal_call)

    def _save_rng_state(self, output_dir: str) -> None:
        assert not (Path(output_dir) / "trainer_state.json").exists(), "the state is written last"
        self.calls.append(f"_save_rng_state {Path(output_dir).name}")
        super()._save_rng_state(output_dir)


def train(folder: Path, **settings: Any) -> Recorder:
    config = StageConfig(
        str(folder), precision="fp32", use_cpu=True, disable_tqdm=True, logging_steps=1, max_steps=2, **settings
    )
    trainer = Recorder(model=Line(), args=config, train_dataset=Rows(), data_collator=torch.utils.data.default_collate)
    trainer.train()
    return trainer


def test_the_library_calls_every_hook_in_order(tmp_path: Path) -> None:
    trainer = train(tmp_path, save_steps=2, per_device_train_batch_size=4)
    assert trainer.calls == [
        "train_sampler",
        "_run_epoch",
        *["training_step", "_get_grad_norm"] * 2,
        "save_model checkpoint-2",
        "_save_rng_state checkpoint-2",
    ]


def test_the_norm_comes_after_all_batches_of_a_step(tmp_path: Path) -> None:
    trainer = train(tmp_path, save_strategy="no", per_device_train_batch_size=2, gradient_accumulation_steps=2)
    assert trainer.calls[2:] == ["training_step", "training_step", "_get_grad_norm"] * 2


def test_loss_components_stay_on_the_device_until_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = SimpleNamespace(components={})
    with monkeypatch.context() as patch:
        for read in ("item", "tolist", "__bool__", "__float__"):
            patch.setattr(torch.Tensor, read, None)
        for value in (1.0, 3.0):
            LossComponentsLogger.log_components(logger, {"joint_loss": torch.tensor(value)})  # type: ignore[arg-type]
    assert torch.stack(logger.components["joint_loss"]).tolist() == [1.0, 3.0]


@pytest.mark.parametrize("name", ["_get_grad_norm", "_run_epoch", "_save_rng_state", "save_model"])
@pytest.mark.parametrize("trainer", [LanguageTrainer, PoseTokenizerTrainer, EncoderTrainer])
def test_the_hooks_exist_with_their_arguments(trainer: type[Trainer], name: str) -> None:
    """Ours come before the library's, which still takes what ours pass on."""
    owners = [kind for kind in trainer.__mro__ if name in vars(kind)]
    assert issubclass(owners[0], Trainer)
    assert owners[0].__module__.startswith("unipose.")
    library = inspect.signature(vars(Trainer)[name]).parameters
    expected = {
        "_get_grad_norm": ["self", "model", "grad_norm"],
        "_save_rng_state": ["self", "output_dir"],
        "save_model": ["self", "output_dir", "_internal_call"],
    }
    assert list(library) == expected.get(name, list(library))


def test_trl_takes_our_loss_and_our_sampler() -> None:
    """SFTTrainer has a loss of its own, which ours replaces, and no dataloader of its own, which would."""
    assert "compute_loss" in vars(SFTTrainer)
    assert LanguageTrainer.compute_loss.__module__ == LanguageTrainer.__module__
    assert "get_train_dataloader" not in vars(SFTTrainer)


def test_the_dataloader_is_as_the_librarys(tmp_path: Path) -> None:
    """All settings of a dataloader that the library passes on are passed on here."""
    config = StageConfig(str(tmp_path), precision="fp32", use_cpu=True, per_device_train_batch_size=4)
    trainers = [kind(model=Line(), args=config, train_dataset=Rows()) for kind in (Trainer, Recorder)]
    theirs, ours = (trainer.get_train_dataloader() for trainer in trainers)
    assert isinstance(ours, DataLoader)
    for name in SETTINGS:
        assert getattr(ours, name) == getattr(theirs, name), name
