"""What the ablations share: variants that are trained alike, each in a folder of its own, and questions to them."""

import json
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainingArguments, pipeline
from trl import SFTConfig, TrlParser

from unipose.processing.body_model import BodyModel
from unipose.training.ablations.table import Table, columns
from unipose.training.datasets.shards import check_recipe
from unipose.training.evaluation.held_out import HeldOutFrames, make_held_out_frames
from unipose.training.evaluation.tasks import evaluate_image_to_pose, evaluate_text_to_pose
from unipose.training.io import write_json
from unipose.training.sampling.poses import held_out_poses, sample_training_poses
from unipose.training.stages.language import StageArguments, train_stage
from unipose.training.trainer.checkpoints import find_checkpoint
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.trainable_parts import LoraArguments, Part


BASELINE = "mean training pose"
# Written when all else of a variant is.
FINISHED_FILE = "finished.json"
# Of the trainer's arguments, those by which variants learn; the others may change when an ablation goes on.
LEARNING = (
    "seed",
    "max_steps",
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "adam_beta2",
    "max_grad_norm",
    "bf16",
)


@dataclass
class MeasureArguments:
    """On how much the variants are measured."""

    every: int = field(default=1, metadata={"help": "Takes every n-th held-out frame."})
    training_poses: int = field(default=2000, metadata={"help": "Poses behind the mean pose."})
    picture_size: int = field(default=96, metadata={"help": "Pixels of a picture, as in the corpus."})


@dataclass(frozen=True)
class Questions:
    """The held-out frames, asked of every variant alike.

    Args:
        training: (n, 22, 3, 3) poses for what the variants are compared with.
        batch_size: rows that are run at once.
        seed: of the turns of the mean pose.
    """

    held_out: HeldOutFrames
    training: torch.Tensor
    body: BodyModel
    batch_size: int
    seed: int

    def text_to_pose(self, pipe: Any, variant: str) -> Table:
        found = evaluate_text_to_pose(pipe, self.held_out, self.training, self.body, self.batch_size)
        return _name_rows(found, variant, "text-to-pose")

    def image_to_pose(self, pipe: Any, variant: str) -> Table:
        found = evaluate_image_to_pose(pipe, self.held_out, self.training, self.body, self.batch_size, self.seed)
        return _name_rows(found, variant, "image-to-pose")


def _name_rows(found: Table, variant: str, about: str) -> Table:
    return {variant: columns(found["model"], about), BASELINE: columns(found[BASELINE], about)}


@dataclass(frozen=True)
class Ablation:
    """A recipe, by which every variant is trained and measured.

    Args:
        parts: of the model, which are trained.
    """

    parts: tuple[Part, ...]
    stage: StageArguments
    measures: MeasureArguments
    optimizer: OptimizerArguments
    training: SFTConfig

    @classmethod
    def read(cls, parts: tuple[Part, ...]) -> "Ablation":
        """Parses a command line or a recipe, and makes the folder.

        Raises:
            ValueError: The folder holds variants of another recipe.
        """
        parser = TrlParser((StageArguments, MeasureArguments, OptimizerArguments, SFTConfig))
        stage, measures, optimizer, training = parser.parse_args_and_config()
        open_ablation(training, stage, optimizer)
        return cls(parts, stage, measures, optimizer, training)

    @property
    def folder(self) -> Path:
        return Path(self.training.output_dir)

    def questions(self) -> Questions:
        """The same for the same seed."""
        measures, seed, body = self.measures, self.training.seed, BodyModel.builtin()
        frames = held_out_poses()[:: measures.every].float()
        held_out = make_held_out_frames(frames, body, measures.picture_size, seed)
        poses, _ = sample_training_poses(measures.training_poses, seed, body)
        return Questions(held_out, poses.float(), body, self.training.per_device_eval_batch_size, seed)

    def train(self, variant: str, **changes: Any) -> Any:
        """Trains a variant, whose stage differs from the recipe's in `changes` alone; a finished one stays as it is.

        Returns:
            `pipeline("unipose")` of it.
        """
        training = arguments_of(variant, self.training)
        if not is_finished(training):
            # What was compiled for other variants counts against the most recompilations of the same code.
            torch.compiler.reset()
            stage = replace(self.stage, **changes)
            finish(train_stage(stage, LoraArguments(), self.optimizer, training, self.parts))
        return pipeline("unipose", model=training.output_dir)  # type: ignore[call-overload]

    def steps(self, variant: str) -> int:
        """For how many steps a finished variant was trained."""
        return json.loads((self.folder / variant / FINISHED_FILE).read_text("utf-8"))["steps"]


def open_ablation(training: TrainingArguments, *arguments: Any) -> None:
    """Makes the folder of an ablation, or makes sure that what lies there was begun with the same recipe.

    Raises:
        ValueError: It was not; the message says where the two differ.
    """
    known = training.to_dict()
    recipe = {name: value for own in arguments for name, value in vars(own).items()}
    recipe |= {name: known[name] for name in LEARNING}
    check_recipe(Path(training.output_dir), recipe, "variants")


def arguments_of(variant: str, training: TrainingArguments) -> TrainingArguments:
    """Those of the ablation, in the variant's own folder."""
    own = copy(training)
    own.output_dir = str(Path(training.output_dir) / variant)
    return own


def is_finished(training: TrainingArguments) -> bool:
    """Whether a variant was trained to its end, and saved.

    Raises:
        ValueError: It was begun, but is not to go on (see `find_checkpoint`).
    """
    return find_checkpoint(training) is not None and (Path(training.output_dir) / FINISHED_FILE).exists()


def finish(trainer: Trainer) -> None:
    """Says in a variant's folder that it is finished, and after how many steps."""
    write_json(Path(trainer.args.output_dir) / FINISHED_FILE, {"steps": trainer.state.global_step})


def fill(table: Table, rows: Table) -> None:
    """Adds the columns of some rows to a table."""
    for name, row in rows.items():
        table.setdefault(name, {}).update(row)
