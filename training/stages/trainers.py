"""transformers' and TRL's trainers with what every stage wants: a loss that is a number, and an order that resumes."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch.utils.data import Sampler
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTTrainer

from unipose.training.stages.order import GroupedSampler


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
    """Stops, before the weights are touched, at a loss that is NaN or infinite, and names the batch."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        rows = inputs.pop(ROW_KEY, None)
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            raise FloatingPointError(self.blame(loss, rows))
        return loss

    def blame(self, loss: torch.Tensor, rows: torch.Tensor | None) -> str:
        named = "unknown rows" if rows is None else f"rows {', '.join(map(str, rows.tolist()))} of the dataset"
        return (
            f"the loss is {loss.item()} at step {self.state.global_step + 1} ({named}); the weights are still those "
            "of the step before. Look at these rows, or go on from the last checkpoint with a lower learning rate"
        )

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        inputs.pop(ROW_KEY, None)
        return super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)


class LogsLossParts(LossIsFinite):
    """Logs the mean of each part of the loss that `note` was told since the last time."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.parts: dict[str, list[float]] = {}

    def note(self, parts: Mapping[str, torch.Tensor]) -> None:
        for name, value in parts.items():
            self.parts.setdefault(name, []).append(value.item())

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        if self.parts:
            means = torch.tensor([sum(values) / len(values) for values in self.parts.values()])
            of_all = self.accelerator.reduce(means.to(self.args.device), "mean")
            logs = logs | dict(zip(self.parts, of_all.tolist()))
            self.parts.clear()
        super().log(logs, *args, **kwargs)


class LanguageTrainer(LogsLossParts, SFTTrainer):
    """TRL's trainer on prepared rows, which have `length` and `pictures`, with the model's own loss.

    TRL's fused head pads what is asked to whole tiles and takes their logits in fp32, which at a small model's size is
    half of a step; here the model computes those of the positions that are asked for something, and no others.
    """

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        asked = inputs["shift_labels"] != -100
        outputs = model(**inputs, logits_to_keep=asked, num_items_in_batch=num_items_in_batch, use_cache=False)
        loss = outputs.loss
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            # The divisor counts the labels of all processes, whose gradients are averaged.
            loss = loss * self.accelerator.num_processes
        if model.training and (self.state.global_step + 1) % self.args.logging_steps == 0:
            right = outputs.logits.argmax(dim=-1) == inputs["shift_labels"][asked]
            self.note({"token_accuracy": right.float().mean()})
        return (loss, outputs) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = self.train_dataset if train_dataset is None else train_dataset
        batch_size = self.args.train_batch_size * self.args.world_size
        sampler = GroupedSampler(rows["length"], rows["pictures"], batch_size, self.args.seed)
        self.add_callback(TellEpoch(sampler))
        return sampler
