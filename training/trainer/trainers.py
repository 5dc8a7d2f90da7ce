"""transformers' and TRL's trainers with what every stage wants: runs that stop where they go wrong, and resume."""

import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import SFTTrainer

from unipose.training.trainer.checkpoints import checkpoints, is_complete
from unipose.training.trainer.samplers import GroupedSampler
from unipose.training.trainer.smoothing import smoothed_cross_entropy


# The key under which a batch says which rows of the dataset it holds.
ROW_KEY = "row"


class HasEpoch(Protocol):
    def set_epoch(self, epoch: int) -> None: ...


class TellEpoch(TrainerCallback):
    """Tells the epoch to a sampler, and to a dataset whose rows change with it.

    The library does so too, but its message does not arrive where several processes go on with a run: there the
    sampler lies under two others.
    """

    def __init__(self, *listeners: HasEpoch):
        self.listeners = listeners

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs) -> None:
        for listener in self.listeners:
            listener.set_epoch(int(state.epoch or 0))


class LossIsFinite(Trainer):
    """Stops, before the optimizer moves a weight, at a loss or a gradient that is not finite, and names the batch."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # Of the batches that are summed up for the step to come.
        self.rows_of_step: list[int] = []

    def training_step(self, model, inputs, num_items_in_batch=None):
        rows = inputs.pop(ROW_KEY, None)
        rows = [] if rows is None else rows.tolist()
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            raise FloatingPointError(self.blame(f"the loss is {loss.item()}", rows))
        self.rows_of_step += rows
        return loss

    def _get_grad_norm(self, model, grad_norm=None):
        norm = super()._get_grad_norm(model, grad_norm)
        rows, self.rows_of_step = self.rows_of_step, []
        # In half precision the loss is scaled up until its gradients overflow; such steps are left out by themselves.
        if norm is not None and self.accelerator.scaler is None and not torch.isfinite(torch.as_tensor(norm)):
            raise FloatingPointError(self.blame(f"the gradient's norm is {float(norm)}", rows))
        return norm

    def blame(self, fault: str, rows: Sequence[int]) -> str:
        named = f"rows {', '.join(self.name_row(row) for row in rows)} of the dataset" if rows else "unknown rows"
        return (
            f"{fault} at step {self.state.global_step + 1} ({named}); the optimizer has not used it, the weights are "
            "still those of the step before. Look at these rows, or go on from the last checkpoint with a lower "
            "learning rate"
        )

    def name_row(self, row: int) -> str:
        return str(row)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        inputs.pop(ROW_KEY, None)
        return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)


class LogsLossParts(Trainer):
    """Logs the mean of each part of the loss that `note` was told since the last time."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.parts: dict[str, list[float]] = {}

    def note(self, parts: Mapping[str, torch.Tensor]) -> None:
        for name, value in parts.items():
            self.parts.setdefault(name, []).append(value.item())

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        if "loss" in logs and self.parts:
            means = torch.tensor([sum(values) / len(values) for values in self.parts.values()])
            of_all = self.accelerator.reduce(means.to(self.args.device), "mean")
            logs = logs | dict(zip(self.parts, of_all.tolist()))
            self.parts.clear()
        super().log(logs, *args, **kwargs)


class WholeCheckpoints(Trainer):
    """A checkpoint holds nothing but its own files, and its state is written after all else, by every process.

    Without that, a run that resumes would write over what a killed one has left, and files of the two could pass for
    one checkpoint; and where all checkpoints are younger than a second, the library keeps the one of the highest step,
    broken or not, and removes the others.
    """

    def _save_checkpoint(self, model, trial):
        if self.args.should_save:
            own = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            for left in checkpoints(self._get_output_dir(trial=trial)):
                if left.name == own or not is_complete(left):
                    shutil.rmtree(left)
        self.accelerator.wait_for_everyone()
        super()._save_checkpoint(model, trial)

    def _save_rng_state(self, output_dir):
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()


class StopsAtTheEnd(Trainer):
    """A finished run that is resumed stays as it is; within an epoch the library would train it one step more."""

    def _run_epoch(self, *args, **kwargs):
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **kwargs)
        else:
            self.control.should_training_stop = True


class QuietEvaluation(Trainer):
    """A run that is evaluated on the way ends with the very weights of one that is not."""

    def evaluate(self, *args, **kwargs):
        with random_states_kept(self.args.device):
            return super().evaluate(*args, **kwargs)


@contextmanager
def random_states_kept(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside, from Python, numpy or torch, is not missed outside."""
    python, numbers = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)


class StageTrainer(LossIsFinite, LogsLossParts, WholeCheckpoints, StopsAtTheEnd, QuietEvaluation):
    """What all stages want of a trainer."""


class LanguageTrainer(StageTrainer, SFTTrainer):
    """TRL's trainer on prepared rows, which have `length`, `pictures`, `task` and `source`, with the model's own loss.

    TRL's fused head pads what is asked to whole tiles and takes their logits in fp32, which at a small model's size is
    half of a step; here the model computes those of the positions that are asked for something, and no others.

    Args:
        code_targets: what is to be predicted for each pose code, from `smooth_targets`; the code alone where left out.
    """

    def __init__(self, *args, code_targets: torch.Tensor | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.code_targets = None if code_targets is None else code_targets.to(self.args.device)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        asked = inputs["shift_labels"] != -100
        targets = inputs["shift_labels"][asked]
        if self.code_targets is None:
            outputs = model(**inputs, logits_to_keep=asked, num_items_in_batch=num_items_in_batch, use_cache=False)
            loss = outputs.loss
        else:
            unlabelled = {name: value for name, value in inputs.items() if "labels" not in name}
            outputs = model(**unlabelled, logits_to_keep=asked, use_cache=False)
            first_code = self.model.config.pose_code_start_id
            loss = smoothed_cross_entropy(outputs.logits, targets, first_code, self.code_targets)
            loss = loss / torch.as_tensor(num_items_in_batch or len(targets), device=loss.device).clamp_min(1)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            # The divisor counts the labels of all processes, whose gradients are averaged.
            loss = loss * self.accelerator.num_processes
        if model.training and (self.state.global_step + 1) % self.args.logging_steps == 0:
            self.note({"token_accuracy": (outputs.logits.argmax(dim=-1) == targets).float().mean()})
        return (loss, outputs) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = self.train_dataset if train_dataset is None else train_dataset
        batch_size = self.args.train_batch_size * self.args.world_size
        sampler = GroupedSampler(rows["length"], rows["pictures"], batch_size, self.args.seed)
        self.add_callback(TellEpoch(sampler))
        return sampler

    def name_row(self, row: int) -> str:
        named = self.train_dataset.select_columns(["task", "source"])[row]
        return f"{row} ({named['task']}, {named['source']})"
