"""Extensions of transformers' Trainer for all stages: errors at non-finite losses, and exact resuming."""

import random
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer

from unipose.training.trainer.callbacks import TimeLimitCallback
from unipose.training.trainer.checkpoints import begin_checkpoint, locked, remove_old_checkpoints
from unipose.training.trainer.collator import ROW_KEY
from unipose.training.trainer.config import StageConfig


class NonFiniteGuard(Trainer):
    """Stops at a loss or a gradient that is not finite, before the optimizer changes a weight, and names the rows.

    Losses and the gradient's norm are read together, once per step: each read makes the host wait for the device.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # Loss and rows of each batch of the current step.
        self.batches_of_step: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def training_step(self, model, inputs, num_items_in_batch=None):
        rows = inputs.pop(ROW_KEY, None)
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.batches_of_step.append((loss.detach(), rows))
        return loss

    def _get_grad_norm(self, model, grad_norm=None):
        norm = super()._get_grad_norm(model, grad_norm)
        batches, self.batches_of_step = self.batches_of_step, []
        device = batches[0][0].device
        total = norm.full_tensor() if isinstance(norm, DTensor) else torch.as_tensor(0.0 if norm is None else norm)
        *losses, norm_value = torch.stack([*(loss.float() for loss, _ in batches), total.to(device).float()]).tolist()
        for loss, (_, rows) in zip(losses, batches):
            if not np.isfinite(loss):
                raise FloatingPointError(self.error_message(f"the loss is {loss}", _to_list(rows)))
        # In half precision the loss is scaled up until its gradients overflow; the scaler skips such steps.
        if self.accelerator.scaler is None and not np.isfinite(norm_value):
            all_rows = [row for _, rows in batches for row in _to_list(rows)]
            raise FloatingPointError(self.error_message(f"the gradient's norm is {norm_value}", all_rows))
        return norm

    def error_message(self, problem: str, rows: Sequence[int]) -> str:
        """Message with the error, its step and rows, and a remedy.

        Args:
            problem: the value that is not finite.
            rows: numbers of the batch's rows in the training dataset.
        """
        named = f"rows {', '.join(self.name_row(row) for row in rows)} of the dataset" if rows else "unknown rows"
        return (
            f"{problem} at step {self.state.global_step + 1} ({named}); the optimizer did not use it, the weights are "
            "still those of the step before. Check these rows, or resume from the last checkpoint with a lower "
            "learning rate"
        )

    def name_row(self, row: int) -> str:
        """A row of the training dataset, for messages."""
        return str(row)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        inputs.pop(ROW_KEY, None)
        return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)


def _to_list(rows: torch.Tensor | None) -> list[int]:
    return [] if rows is None else rows.tolist()


class LossComponentsLogger(Trainer):
    """Logs the loss and the mean of each of its components since the last log."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.components: dict[str, list[torch.Tensor]] = {}

    def log_components(self, components: Mapping[str, torch.Tensor]) -> None:
        """Keeps scalars by name, on their device, until the next log."""
        for name, value in components.items():
            self.components.setdefault(name, []).append(value.detach())

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        if "loss" in logs and self.components:
            counts = [len(values) for values in self.components.values()]
            scalars = torch.stack([value for values in self.components.values() for value in values]).tolist()
            ends = np.cumsum(counts).tolist()
            means = torch.tensor([sum(scalars[end - count : end]) / count for count, end in zip(counts, ends)])
            of_all = self.accelerator.reduce(means.to(self.args.device), "mean")
            logs = logs | dict(zip(self.components, of_all.tolist()))
            self.components.clear()
        super().log(logs, *args, **kwargs)


class AtomicCheckpointMixin(Trainer):
    """Removes incomplete checkpoints of this run before a save, and writes the trainer's state last.

    Otherwise a resumed run would write into the folder of a killed run, and files of both could pass for one
    checkpoint. What others have put into the folder stays (see `checkpoints`).
    """

    def train(self, *args, **kwargs):
        with locked(self.args.output_dir) if self.args.should_save else nullcontext():
            return super().train(*args, **kwargs)

    def save_model(self, output_dir=None, _internal_call=False):
        if output_dir is not None and Path(output_dir).parent == Path(self.args.output_dir):
            if self.args.should_save:
                begin_checkpoint(Path(output_dir))
            self.accelerator.wait_for_everyone()
        super().save_model(output_dir, _internal_call)

    def _save_checkpoint(self, *args, **kwargs):
        # The library would remove the checkpoints of others too.
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(*args, **kwargs)
        finally:
            self.args.save_total_limit = limit
        if self.args.should_save:
            remove_old_checkpoints(self.args.output_dir, limit, self.state.best_model_checkpoint)

    def _save_rng_state(self, output_dir):
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()


class NoExtraStepMixin(Trainer):
    """Resuming a finished run trains nothing; within an epoch the library would train one more step."""

    def _run_epoch(self, *args, **kwargs):
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **kwargs)
        else:
            self.control.should_training_stop = True


class DeterministicEvalMixin(Trainer):
    """Evaluations do not change the random states: a run with them ends with the same weights."""

    def evaluate(self, *args, **kwargs):
        with preserve_random_states(self.args.device):
            return super().evaluate(*args, **kwargs)


@contextmanager
def preserve_random_states(device: torch.device) -> Iterator[None]:
    """Restores the random states of Python, numpy and torch at the end of the block."""
    python, numbers = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)


class SampledDataMixin(Trainer):
    """Trains on rows in the order of the trainer's own sampler."""

    @abstractmethod
    def train_sampler(self) -> Sampler[int]:
        """The order of the training rows, the same in all processes."""

    def train_collator(self) -> Any:
        """The collator of training batches; evaluation always takes the trainer's own."""
        return self.data_collator

    def get_train_dataloader(self) -> DataLoader:
        args = self.args
        loader: DataLoader = DataLoader(
            self.train_dataset,
            batch_size=args.train_batch_size,
            sampler=self.train_sampler(),
            collate_fn=self.train_collator(),
            drop_last=args.dataloader_drop_last,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            multiprocessing_context=args.dataloader_multiprocessing_context,
            in_order=args.dataloader_in_order,
        )
        return self.accelerator.prepare(loader)


class TimeLimitMixin(Trainer):
    """Stops after `max_minutes` of `StageConfig`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        minutes = cast(StageConfig, self.args).max_minutes
        if minutes is not None:
            self.add_callback(TimeLimitCallback(minutes))


class StageTrainer(
    NonFiniteGuard,
    LossComponentsLogger,
    AtomicCheckpointMixin,
    NoExtraStepMixin,
    DeterministicEvalMixin,
    TimeLimitMixin,
):
    """The trainer of all stages."""
