"""Looks at a model while it is trained: at each evaluation a picture, lines of text, and numbers.

    <output_dir>/samples/step-000100.png, step-000100.jsonl

The numbers go through the trainer's log to wherever `report_to` says; tensorboard and trackio get the picture too.
"""

import json
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import Trainer, TrainerCallback
from transformers.integrations import TensorBoardCallback, TrackioCallback

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import rotmat_to_rotation_6d
from unipose.processing.rendering import contact_sheet, render_pose
from unipose.training.evaluation.metrics import pose_errors


CELL = 144  # pixels
FONT_SIZE = 12
SAMPLES_FOLDER = "samples"


@dataclass(frozen=True)
class Sight:
    """What there is to see of a model.

    Args:
        numbers: by name, without "eval_".
        lines: what is written to the JSON lines.
        picture: to look at.
    """

    numbers: dict[str, float]
    lines: list[dict[str, Any]]
    picture: Image.Image


class Watch(TrainerCallback):
    """Looks at the model of a trainer whenever that evaluates; subclasses say at what.

    Every process looks, since the weights may lie scattered over all of them; the first one writes.
    """

    def __init__(self, trainer: Trainer, body: BodyModel):
        self.trainer = trainer
        self.body = body

    @abstractmethod
    def look(self) -> Sight:
        """What there is to see of the trainer's model, which is in evaluation mode."""

    def on_evaluate(self, args, state, control, *, model, metrics, **kwargs) -> None:
        training = model.training
        model.eval()
        with torch.no_grad():
            sight = self.look()
        model.train(training)
        numbers = {f"eval_{name}": value for name, value in sight.numbers.items()}
        metrics |= numbers
        self.trainer.log(numbers)
        if state.is_world_process_zero:
            write_sight(sight, Path(args.output_dir) / SAMPLES_FOLDER / f"step-{state.global_step:06d}")
            show_picture(sight.picture, state.global_step, self.trainer.callback_handler.callbacks)


def write_sight(sight: Sight, path: Path) -> None:
    """Writes `path`.png and `path`.jsonl."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sight.picture.save(path.with_suffix(".png"))
    lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in sight.lines]
    path.with_suffix(".jsonl").write_text("".join(lines), encoding="utf-8")


def show_picture(picture: Image.Image, step: int, callbacks: Iterable[TrainerCallback]) -> None:
    """Hands a picture to those of a trainer's callbacks that report to tensorboard or trackio."""
    for callback in callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.tb_writer is not None:
            callback.tb_writer.add_image(SAMPLES_FOLDER, np.asarray(picture), step, dataformats="HWC")
        elif isinstance(callback, TrackioCallback):
            import trackio

            trackio.log({SAMPLES_FOLDER: trackio.Image(picture), "train/global_step": step})


def in_a_row(pictures: Sequence[Image.Image], names: Sequence[str]) -> Image.Image:
    """Pictures side by side, each above its name."""
    return contact_sheet(pictures, names, columns=len(pictures), font_size=FONT_SIZE)


class WatchReconstructions(Watch):
    """Poses beside what their codes decode to; the error is that of all poses, the picture shows a few.

    Args:
        trainer: of a pose tokenizer.
        body: to measure and to draw.
        poses: (n, 22, 3, 3), in the stored frame.
        shown: how many are drawn, from all over `poses`.
    """

    def __init__(self, trainer: Trainer, body: BodyModel, poses: torch.Tensor, shown: int):
        super().__init__(trainer, body)
        self.poses = poses
        self.shown = np.arange(shown) * len(poses) // shown

    def look(self) -> Sight:
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        codes = model.encode(rotmat_to_rotation_6d(self.poses.to(model.device)))
        decoded = model.decode(codes).to(self.poses)
        pairs, lines = [], []
        for index in self.shown.tolist():
            pose, found = self.poses[index : index + 1], decoded[index : index + 1]
            errors = pose_errors(found, pose, self.body)
            drawn = [render_pose(each[0], self.body, CELL, view="three-quarter") for each in (pose, found)]
            pairs.append(in_a_row(drawn, ["pose", f"decoded: {errors['mpjpe_mm']:.0f} mm"]))
            lines.append({"pose": index, "pose_codes": codes[index].tolist()} | errors)
        return Sight(pose_errors(decoded, self.poses, self.body), lines, contact_sheet(pairs, columns=3))
