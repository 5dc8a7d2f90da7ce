"""Callbacks of the trainers: the epoch of samplers and datasets, and samples of the model at each evaluation.

    <output_dir>/samples/step-000100.png, step-000100.jsonl

A sample's metrics go through the trainer's log to all of `report_to`; tensorboard and trackio get its image too.
"""

import json
import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback, TrackioCallback

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import rotmat_to_rotation_6d
from unipose.processing.rendering import contact_sheet, render_pose
from unipose.training.evaluation.metrics import pose_errors
from unipose.training.io import write_text


CELL = 144  # pixels
FONT_SIZE = 12
SAMPLES_FOLDER = "samples"


class HasEpoch(Protocol):
    """A sampler or a dataset that changes with the epoch."""

    def set_epoch(self, epoch: int) -> None: ...


class SetEpochCallback(TrainerCallback):
    """Sets the epoch of samplers and datasets.

    The library does so for a dataloader's sampler, but does not reach it where several processes resume a run: there
    the sampler is wrapped twice.
    """

    def __init__(self, *listeners: HasEpoch):
        self.listeners = listeners

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs) -> None:
        for listener in self.listeners:
            listener.set_epoch(int(state.epoch or 0))


class TimeLimitCallback(TrainerCallback):
    """Stops after some time; until then the learning rate is the schedule's times a cosine of the time.

    The number of steps that fit into the time need not be known. A resumed run starts with a new time.

    Args:
        minutes: the time, from the first step.
        clock: seconds since some moment.
    """

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic):
        self.seconds = 60 * minutes
        self.clock = clock
        self.start: float | None = None

    def share(self) -> float:
        """The share of the time that is past, at most 1."""
        if self.start is None:
            self.start = self.clock()
        return min((self.clock() - self.start) / self.seconds, 1.0)

    def on_step_begin(self, args, state, control, *, optimizer, **kwargs) -> None:
        factor = 0.5 * (1 + math.cos(math.pi * self.share()))
        # The schedule sets every rate anew after every step.
        for group in optimizer.param_groups:
            group["lr"] *= factor

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if self.share() == 1:
            control.should_training_stop = True


@dataclass(frozen=True)
class EvalSnapshot:
    """Metrics and samples of a model at one evaluation.

    Args:
        metrics: metrics by name, without "eval_".
        lines: content of the JSON lines.
        image: image of the samples.
    """

    metrics: dict[str, float]
    lines: list[dict[str, Any]]
    image: Image.Image


class SampleCallback(TrainerCallback):
    """Collects samples of a trainer's model at each evaluation; subclasses define the samples.

    All processes collect, since the weights may be sharded over all of them; the first one writes.
    """

    def __init__(self, trainer: Trainer, body: BodyModel):
        self.trainer = trainer
        self.body = body

    @abstractmethod
    def collect(self) -> EvalSnapshot:
        """Samples of the trainer's model, which is in evaluation mode."""

    def on_evaluate(self, args, state, control, *, model, metrics, **kwargs) -> None:
        training = model.training
        model.eval()
        with torch.no_grad():
            snapshot = self.collect()
        model.train(training)
        own_metrics = {f"eval_{name}": value for name, value in snapshot.metrics.items()}
        metrics |= own_metrics
        self.trainer.log(own_metrics)
        if state.is_world_process_zero:
            write_snapshot(snapshot, Path(args.output_dir) / SAMPLES_FOLDER / f"step-{state.global_step:06d}")
            log_image(snapshot.image, state.global_step, self.trainer.callback_handler.callbacks)


def write_snapshot(snapshot: EvalSnapshot, path: Path) -> None:
    """Writes `path`.png and `path`.jsonl.

    Args:
        snapshot: the snapshot to write.
        path: path without an ending.
    """
    lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in snapshot.lines]
    write_text(path.with_suffix(".jsonl"), "".join(lines))
    snapshot.image.save(path.with_suffix(".png"))


def log_image(image: Image.Image, step: int, callbacks: Iterable[TrainerCallback]) -> None:
    """Logs an image to tensorboard and trackio.

    Args:
        image: the image to log.
        step: step of the training.
        callbacks: the trainer's; those of tensorboard and trackio are used.
    """
    for callback in callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.tb_writer is not None:
            callback.tb_writer.add_image(SAMPLES_FOLDER, np.asarray(image), step, dataformats="HWC")
        elif isinstance(callback, TrackioCallback):
            import trackio

            trackio.log({SAMPLES_FOLDER: trackio.Image(image), "train/global_step": step})


def side_by_side(images: Sequence[Image.Image], names: Sequence[str]) -> Image.Image:
    """One row of images, each above its name.

    Args:
        images: images of one size.
        names: one per image.
    """
    return contact_sheet(images, names, columns=len(images), font_size=FONT_SIZE)


class ReconstructionCallback(SampleCallback):
    """Poses and their reconstructions; the metrics are of all poses, the image shows a few.

    Args:
        trainer: trainer of a pose tokenizer.
        body: the body to measure and to draw.
        poses: (n, 22, 3, 3), in the stored frame.
        samples: number of poses in the image, spread evenly over `poses`.
    """

    def __init__(self, trainer: Trainer, body: BodyModel, poses: torch.Tensor, samples: int):
        super().__init__(trainer, body)
        self.poses = poses
        self.samples = np.arange(samples) * len(poses) // samples

    def collect(self) -> EvalSnapshot:
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        codes = model.encode(rotmat_to_rotation_6d(self.poses.to(model.device)))
        decoded = model.decode(codes).to(self.poses)
        pairs, lines = [], []
        for index in self.samples.tolist():
            target, result = self.poses[index : index + 1], decoded[index : index + 1]
            errors = pose_errors(result, target, self.body)
            drawn = [render_pose(pose[0], self.body, CELL, view="three-quarter") for pose in (target, result)]
            pairs.append(side_by_side(drawn, ["pose", f"decoded: {errors['mpjpe_mm']:.0f} mm"]))
            lines.append({"pose": index, "pose_codes": codes[index].tolist()} | errors)
        return EvalSnapshot(pose_errors(decoded, self.poses, self.body), lines, contact_sheet(pairs, columns=3))
