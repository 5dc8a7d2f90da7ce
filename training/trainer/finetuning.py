"""Fine-tuning on users' rows: a part of them and replayed rows are trained on, the rest tells before from after."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset, concatenate_datasets
from peft import PeftModel
from transformers import AutoModelForImageTextToText, AutoProcessor, set_seed
from transformers.utils import logging

from unipose import UniPoseForConditionalGeneration
from unipose.embedded_checkpoint import find_embedded_checkpoint
from unipose.processing.pose_features import Frame
from unipose.processing.processing_unipose import UniPoseProcessor
from unipose.training.datasets.read_rows import read_rows
from unipose.training.io import read_json, write_json
from unipose.training.trainer.callbacks import SetEpochCallback
from unipose.training.trainer.checkpoints import MARK, checkpoints, find_checkpoint
from unipose.training.trainer.code_smoothing import CodeTargets
from unipose.training.trainer.collator import UniPoseDataCollator
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.finetune_arguments import FinetuneArguments, number_of_checks, number_of_named_poses
from unipose.training.trainer.finetune_report import Measurement, make_report, write_finetune_card
from unipose.training.trainer.language import LanguageArguments, LanguageTrainer, gather_full_weights, save_merged
from unipose.training.trainer.optimizer import OptimizerArguments, build_optimizer
from unipose.training.trainer.prepared_rows import prepare_rows
from unipose.training.trainer.replay import (
    ReplayArguments,
    ReplaySampler,
    load_replay_rows,
    rows_to_replay,
    split_rows,
)
from unipose.training.trainer.trainable_parts import ALIGN, INSTRUCT, LoraArguments, Part, set_trainable


logger = logging.get_logger(__name__)

# Folders within the output folder: rows to replay, adapters, and the model until it is complete.
REPLAY_FOLDER, ADAPTER_FOLDER, NEW_MODEL = "replay", "adapter", "new_model"
CONFIG_FILE, REPORT_FILE = "config.json", "finetune.json"


class FinetuneTrainer(LanguageTrainer):
    """`LanguageTrainer` on the user's rows, which come first in the dataset, and on rows to replay.

    Args:
        num_own: number of the user's rows.
        replay_share: share of replayed rows in an epoch.
    """

    def __init__(self, *args, num_own: int, replay_share: float, **kwargs):
        self.num_own, self.replay_share = num_own, replay_share
        super().__init__(*args, **kwargs)

    def train_sampler(self) -> ReplaySampler:
        rows, batch_size = self.train_dataset, self.args.train_batch_size * self.args.world_size
        sampler = ReplaySampler(
            rows["length"], rows["has_image"], batch_size, self.args.seed, self.num_own, self.replay_share
        )
        self.add_callback(SetEpochCallback(sampler, *self.random_collators))
        return sampler


@dataclass(frozen=True)
class Run:
    """What a fine-tuning begins with.

    Args:
        name: folder or Hub id of the initial model.
        model: the initial model.
        collator: its collator, with its processor.
        own: the user's rows to train on.
        train_rows: the rows to train on, prepared: the user's first, then those to replay.
        measurement: what is measured before and after.
    """

    name: str
    model: UniPoseForConditionalGeneration
    collator: UniPoseDataCollator
    own: Dataset
    train_rows: Dataset
    measurement: Measurement


def finetune(
    arguments: FinetuneArguments,
    lora: LoraArguments,
    replay: ReplayArguments,
    optimizer: OptimizerArguments,
    config: StageConfig,
) -> dict[str, Any]:
    """Trains a model on the user's rows and saves it with its card: a folder that `from_pretrained` loads.

    Args:
        arguments: the rows and the model.
        lora: options of the adapters.
        replay: rows of what the model knows.
        optimizer: options of the optimizer.
        config: the trainer's arguments.

    Returns:
        The content of finetune.json: rows, options, and figures of before and after. Empty in all processes but the
        first.

    Raises:
        ValueError: a row is wrong, or the options do not fit; nothing is trained then.
        FileExistsError: the output folder holds a model already, and the run does not resume.
    """
    output = Path(cast(str, config.output_dir))
    if (output / CONFIG_FILE).exists():
        return read_finished(output, config)
    checkpoint = find_checkpoint(config)
    if arguments.method == "full":
        lora = LoraArguments()
    elif lora.lora_rank is None:
        raise ValueError("lora_rank is none, expected a rank for the method lora, or the method full")
    # Adapters are drawn before the trainer sets the seed; all processes must draw the same.
    set_seed(config.seed)
    run = prepare_run(arguments, replay, config)
    before = run.measurement.measure(run.model)
    trainer = build_finetune_trainer(run, arguments, lora, replay, optimizer, config)
    trainer.train(resume_from_checkpoint=checkpoint)
    trained = gather_full_weights(
        trainer.accelerator.unwrap_model(trainer.model), LanguageArguments(model=run.name), lora, trained_parts(run)
    )
    if not trainer.is_world_process_zero():
        return {}
    folder = output / NEW_MODEL
    shutil.rmtree(folder, ignore_errors=True)
    if arguments.keep_adapter and isinstance(trained, PeftModel):
        trained.save_pretrained(folder / ADAPTER_FOLDER)
    save_merged(trained, run.collator.processor, folder)
    # A GPU need not hold two models.
    trained.cpu()
    after = run.measurement.measure(AutoModelForImageTextToText.from_pretrained(folder))
    steps = trainer.state.global_step
    report = make_report(arguments, lora, replay, run.own, steps, run.measurement, (before, after))
    write_json(folder / REPORT_FILE, report)
    write_finetune_card(folder, output.resolve().name, report)
    finish(output)
    return report


def read_finished(output: Path, config: StageConfig) -> dict[str, Any]:
    """The report of a run that is finished, where the same command runs again.

    Args:
        output: folder of the model.
        config: the trainer's arguments.

    Raises:
        FileExistsError: the run does not resume, or the model is of another origin.
    """
    resumes = str(config.resume_from_checkpoint).lower() not in ("none", "false")
    if not resumes or not (output / REPORT_FILE).exists():
        raise FileExistsError(f"{output} holds a model already: give another --output_dir, or move it away")
    logger.warning(f"{output} is finished: nothing is trained")
    return read_json(output / REPORT_FILE)


def prepare_run(arguments: FinetuneArguments, replay: ReplayArguments, config: StageConfig) -> Run:
    """Reads, checks, splits and prepares all rows, and loads the model.

    Args:
        arguments: the rows and the model.
        replay: rows of what the model knows.
        config: the trainer's arguments.

    Raises:
        ValueError: a row is wrong, or the options do not fit.
    """
    name = arguments.model or str(find_embedded_checkpoint())
    processor = AutoProcessor.from_pretrained(name)
    own, held_out = split_rows(read_user_rows(arguments, processor), arguments.held_out, config.seed)
    model = load_initial_model(name, arguments.attention, config)
    collator = UniPoseDataCollator(processor, model.config.pose_attention)
    known, known_held_out = load_known_rows(replay, arguments, len(own), model, config)

    def prepare(rows: Dataset) -> Dataset:
        return prepare_rows(rows, model, collator, arguments.workers)

    measurement = Measurement(
        processor,
        collator,
        None if held_out is None else (held_out, prepare(held_out)),
        None if known_held_out is None else prepare(known_held_out),
        number_of_named_poses(arguments, len(own)),
        config,
    )
    train_rows = prepare(own if known is None else concatenate_datasets([own, known]))
    return Run(name, model, collator, own, train_rows, measurement)


def read_user_rows(arguments: FinetuneArguments, processor: UniPoseProcessor) -> Dataset:
    """The rows that the arguments name, with the model's prompts.

    Args:
        arguments: the rows.
        processor: the model's processor.

    Raises:
        ValueError: a row or an option is wrong.
    """
    pairs = [pair.partition("=") for pair in arguments.rename]
    if not all(old and new for old, _, new in pairs):
        raise ValueError(f"rename is {arguments.rename}, expected theirs=ours, such as description=text")
    return read_rows(
        arguments.data,
        tasks=arguments.tasks,
        frame=cast(Frame | None, arguments.frame),
        split=arguments.split,
        rename={old: new for old, _, new in pairs},
        ignore=arguments.ignore,
        prompts=processor.task_prompts,
        keep_heading=arguments.keep_heading,
    )


def load_initial_model(name: str, attention: str | None, config: StageConfig) -> UniPoseForConditionalGeneration:
    """The model to start from.

    Args:
        name: folder or Hub id.
        attention: attention of the language model; default: eager on a CPU, otherwise the model's own.
        config: the trainer's arguments.

    Raises:
        ValueError: a model in half precision, whose trained weights are in float32, with `precision: fp32`.
    """
    model = cast(UniPoseForConditionalGeneration, AutoModelForImageTextToText.from_pretrained(name))
    if attention is None and config.device.type == "cpu":
        # The fastest one for the short rows of a small model (docs/training/overview.md, "Efficiency").
        attention = "eager"
    if attention is not None:
        model.set_attn_implementation({"text_config": attention})
    if model.dtype.itemsize < torch.float32.itemsize and not (config.bf16 or config.fp16):
        raise ValueError(f"{name} is in {model.dtype}, but precision is fp32: train it with precision bf16")
    return model


def load_known_rows(
    replay: ReplayArguments,
    arguments: FinetuneArguments,
    num_own: int,
    model: UniPoseForConditionalGeneration,
    config: StageConfig,
) -> tuple[Dataset | None, Dataset | None]:
    """The rows to replay, and others of their kind that are never trained on; None without replay.

    Args:
        replay: number and origin of the rows.
        arguments: number of processes.
        num_own: number of the user's rows to train on.
        model: decides whether there are images.
        config: the trainer's arguments.
    """
    if not replay.replay_share:
        return None, None
    folder = Path(cast(str, config.output_dir)) / REPLAY_FOLDER
    counts = (rows_to_replay(replay, num_own, config), number_of_checks(num_own))
    has_images = model.config.num_image_tokens > 0
    with config.main_process_first(desc="rows to replay"):
        return load_replay_rows(replay, counts, folder, has_images, config.seed, arguments.workers)


def trained_parts(run: Run) -> tuple[Part, ...]:
    """The parts to train: the projector only where the user's rows have images."""
    return INSTRUCT if any(run.train_rows["has_image"][: len(run.own)]) else ALIGN


def build_finetune_trainer(
    run: Run,
    arguments: FinetuneArguments,
    lora: LoraArguments,
    replay: ReplayArguments,
    optimizer: OptimizerArguments,
    config: StageConfig,
) -> FinetuneTrainer:
    """The trainer of a run, whose model has its trainable parts.

    Args:
        run: the model and the rows.
        arguments: the loss.
        lora: options of the adapters; without a rank, all weights are trained.
        replay: share of replayed rows.
        optimizer: options of the optimizer.
        config: the trainer's arguments.
    """
    smoothing, model = arguments.code_smoothing, run.model
    targets = None if smoothing is None else CodeTargets(model.model.pose_tokenizer.cpu(), smoothing)
    trained = set_trainable(model, trained_parts(run), lora)
    held_out = run.measurement.held_out
    return FinetuneTrainer(
        model=trained,
        args=config,
        train_dataset=run.train_rows,
        eval_dataset=None if held_out is None else held_out[1],
        data_collator=run.collator,
        processing_class=run.collator.processor,
        code_targets=targets,
        reveal_codes=arguments.reveal_codes,
        num_own=len(run.own),
        replay_share=replay.replay_share,
        optimizers=build_optimizer(trained, optimizer, config),
    )


def finish(output: Path) -> None:
    """Moves the complete model to its place, the config last, and removes what only the training needed.

    Args:
        output: folder of the run.
    """
    folder = output / NEW_MODEL
    shutil.rmtree(output / ADAPTER_FOLDER, ignore_errors=True)
    for path in sorted(folder.iterdir(), key=lambda path: path.name == CONFIG_FILE):
        os.replace(path, output / path.name)
    folder.rmdir()
    shutil.rmtree(output / REPLAY_FOLDER, ignore_errors=True)
    for path in checkpoints(output):
        if (path / MARK).exists():
            shutil.rmtree(path)
