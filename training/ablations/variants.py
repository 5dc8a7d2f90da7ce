"""Variants of an ablation, each trained in its own folder, and their evaluation."""

import json
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, pipeline

from unipose.processing.body_model import BodyModel
from unipose.training.ablations.table import Table, columns
from unipose.training.datasets.shards import check_recipe
from unipose.training.evaluation.baselines import MEAN_POSE, TrainingPoses
from unipose.training.evaluation.held_out import HeldOutFrames, make_held_out_frames
from unipose.training.evaluation.scores import Judge
from unipose.training.evaluation.task_rows import frame_rows
from unipose.training.evaluation.tasks import MODEL, evaluate_task
from unipose.training.io import write_json
from unipose.training.sampling.poses import held_out_poses, sample_training_poses
from unipose.training.trainer.checkpoints import find_checkpoint
from unipose.training.trainer.config import RecipeParser, StageConfig
from unipose.training.trainer.language import LanguageArguments, train_stage
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.trainable_parts import LoraArguments, Part


BASELINE = MEAN_POSE
# The columns of a task.
MEASURES = ("mpjpe_mm", "pa_mpjpe_mm", "posecode_precision")
# Written last in the folder of a variant.
FINISHED_FILE = "finished.json"
# The trainer's arguments that change the result; the others may differ when an ablation resumes.
RESULT_ARGUMENTS = (
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
    """The held-out frames on which the variants are measured."""

    every: int = field(default=1, metadata={"help": "Step between held-out frames; 1: all frames."})
    training_poses: int = field(
        default=2000, metadata={"help": "Number of training poses for the mean-pose baseline."}
    )
    image_size: int = field(default=96, metadata={"help": "Pixels of the square images, as in the corpus."})


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of every variant, on the same held-out frames.

    Args:
        held_out: the frames, with captions and images.
        training: (n, 22, 3, 3) poses of the baseline.
        body: the body to measure.
        batch_size: number of rows per batch.
        seed: seed of the headings of the mean pose.
    """

    held_out: HeldOutFrames
    training: torch.Tensor
    body: BodyModel
    batch_size: int
    seed: int

    def text_to_pose(self, pipe: Any, variant: str) -> Table:
        """Rows of a variant and of the baseline.

        Args:
            pipe: pipeline of the variant.
            variant: name of the variant.
        """
        return self._measure(pipe, variant, "text-to-pose")

    def image_to_pose(self, pipe: Any, variant: str) -> Table:
        """Rows of a variant and of the baseline.

        Args:
            pipe: pipeline of the variant.
            variant: name of the variant.
        """
        return self._measure(pipe, variant, "image-to-pose")

    def _measure(self, pipe: Any, variant: str, task: str) -> Table:
        rows = next(rows for rows in frame_rows(self.held_out) if rows.name == task)
        judge, training = Judge(self.body, self.body), TrainingPoses.of(self.training, self.body)
        measured = evaluate_task(pipe, rows, training, judge, self.batch_size, self.seed).values()
        return {
            name: columns({measure: own[measure] for measure in MEASURES if measure in own}, task)
            for name, own in ((variant, measured[MODEL]), (BASELINE, measured[BASELINE]))
        }


@dataclass(frozen=True)
class Ablation:
    """The settings with which every variant is trained and measured.

    Args:
        parts: trained parts of the model.
        stage: the model and the rows.
        measures: the held-out frames.
        optimizer: options of the optimizer.
        config: the trainer's arguments.
    """

    parts: tuple[Part, ...]
    stage: LanguageArguments
    measures: MeasureArguments
    optimizer: OptimizerArguments
    config: StageConfig

    @classmethod
    def from_recipe(cls, parts: tuple[Part, ...]) -> "Ablation":
        """Parses a command line and its recipe, and creates the folder.

        Raises:
            ValueError: the folder holds variants of another recipe.
        """
        parser = RecipeParser((LanguageArguments, MeasureArguments, OptimizerArguments, StageConfig))
        stage, measures, optimizer, config = parser.parse_args_and_config()
        open_ablation(config, stage, optimizer)
        return cls(parts, stage, measures, optimizer, config)

    @property
    def folder(self) -> Path:
        """Where the variants and the table are."""
        return Path(self.config.output_dir)

    def evaluation(self) -> Evaluation:
        """The evaluation of the variants; the same for the same seed."""
        measures, seed, body = self.measures, self.config.seed, BodyModel.builtin()
        frames = held_out_poses()[:: measures.every].float()
        held_out = make_held_out_frames(frames, body, measures.image_size, seed)
        poses, _ = sample_training_poses(measures.training_poses, seed, body)
        return Evaluation(held_out, poses.float(), body, self.config.per_device_eval_batch_size, seed)

    def train(self, variant: str, **changes: Any) -> Any:
        """Trains a variant, unless it is finished.

        Args:
            variant: name of the variant.
            changes: changes of the recipe's `LanguageArguments`.

        Returns:
            `pipeline("unipose")` of it.
        """
        config = variant_config(variant, self.config)
        if not is_finished(config):
            # Compilations for other variants count toward the limit of recompilations.
            torch.compiler.reset()
            stage = replace(self.stage, **changes)
            mark_finished(train_stage(stage, LoraArguments(), self.optimizer, config, self.parts))
        return pipeline("unipose", model=config.output_dir)  # type: ignore[call-overload]

    def steps(self, variant: str) -> int:
        """The number of steps of a finished variant."""
        return json.loads((self.folder / variant / FINISHED_FILE).read_text("utf-8"))["steps"]


def open_ablation(config: StageConfig, *arguments: Any) -> None:
    """Creates the folder of an ablation, or checks that an existing one has the same recipe.

    Args:
        config: the trainer's arguments.
        arguments: all other dataclasses of the recipe.

    Raises:
        ValueError: it has another recipe; the message names the differences.
    """
    known = config.to_dict()
    recipe = {name: value for own in arguments for name, value in vars(own).items()}
    recipe |= {name: known[name] for name in RESULT_ARGUMENTS}
    check_recipe(Path(config.output_dir), recipe, "variants")


def variant_config(variant: str, config: StageConfig) -> StageConfig:
    """The ablation's arguments with the variant's own folder.

    Args:
        variant: name of the variant.
        config: config of the ablation.
    """
    own = copy(config)
    own.output_dir = str(Path(config.output_dir) / variant)
    return own


def is_finished(config: StageConfig) -> bool:
    """Whether a variant was trained to its end, and saved.

    `find_checkpoint` raises a ValueError for a variant that was started but may not resume.
    """
    return find_checkpoint(config) is not None and (Path(config.output_dir) / FINISHED_FILE).exists()


def mark_finished(trainer: Trainer) -> None:
    """Writes into a variant's folder that it is finished, and after how many steps."""
    write_json(Path(trainer.args.output_dir) / FINISHED_FILE, {"steps": trainer.state.global_step})


def add_columns(table: Table, rows: Table) -> None:
    """Adds the columns of some rows to a table.

    Args:
        table: changed in place.
        rows: rows with new columns.
    """
    for name, row in rows.items():
        table.setdefault(name, {}).update(row)
