"""What the stages `align`, `project` and `instruct` share: a corpus, TRL's trainer, a model of which parts move."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
from datasets import Dataset
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin, set_seed
from transformers.utils import SAFE_WEIGHTS_NAME
from trl import SFTConfig, TrlParser

from unipose import UniPoseForConditionalGeneration
from unipose.processing.body_model import BodyModel
from unipose.training.datasets.shards import load_corpus
from unipose.training.trainer.checkpoints import find_checkpoint
from unipose.training.trainer.collator import UniPoseDataCollator
from unipose.training.trainer.optimizer import OptimizerArguments, build_optimizer
from unipose.training.trainer.prepared_rows import prepare_rows
from unipose.training.trainer.projector import standardize_projector
from unipose.training.trainer.sample_callback import WatchAnswers
from unipose.training.trainer.smoothing import smooth_targets
from unipose.training.trainer.trainable_parts import LoraArguments, Part, merge, set_trainable
from unipose.training.trainer.trainers import LanguageTrainer


@dataclass
class StageArguments:
    """Where a stage starts, and what it is shown."""

    model: str = field(metadata={"help": "Folder or Hub id of the model to start from."})
    corpus: str = field(default="runs/corpus", metadata={"help": "Folder that build_corpus has written."})
    towers: str | None = field(
        default=None, metadata={"help": "Folder that the stage towers has written: put into the model first."}
    )
    standardize_pictures: int | None = field(
        default=None,
        metadata={"help": "Pictures of the corpus that an untrained projector's scales are fitted to first."},
    )
    tasks: list[str] | None = field(default=None, metadata={"help": "Of the corpus; all where left out."})
    rows: int | None = field(
        default=None, metadata={"help": "The most training rows of each task; all where left out."}
    )
    attention: str | None = field(
        default=None,
        metadata={"help": "Of the language model: sdpa, eager or flex_attention."},
    )
    code_smoothing: float | None = field(
        default=None,
        metadata={"help": "Codes near the right one are partly right; left out: the paper's loss."},
    )
    compile_language_model: bool = field(
        default=False,
        metadata={"help": "Compile the language model; needs a C++ compiler."},
    )
    eval_rows: int = field(
        default=256, metadata={"help": "The most validation rows that an evaluation takes its loss from."}
    )
    samples: int = field(
        default=2,
        metadata={"help": "Validation rows of each task whose answers an evaluation shows; 0: none."},
    )


def run_stage(parts: Sequence[Part]) -> None:
    """Parses a command line or a recipe, trains some parts of a model, and saves all of it."""
    parser = TrlParser((StageArguments, LoraArguments, OptimizerArguments, SFTConfig))
    arguments, lora, optimizer, training_arguments = parser.parse_args_and_config()
    train_stage(arguments, lora, optimizer, training_arguments, parts)


def train_stage(
    arguments: StageArguments,
    lora: LoraArguments,
    optimizer: OptimizerArguments,
    training_arguments: SFTConfig,
    parts: Sequence[Part],
) -> LanguageTrainer:
    """Trains some parts of a model, from the last checkpoint where the run is to go on, and saves all of it."""
    trainer = build_trainer(arguments, lora, optimizer, training_arguments, parts)
    trainer.train(resume_from_checkpoint=find_checkpoint(training_arguments))
    model = gather_weights(trainer.accelerator.unwrap_model(trainer.model), arguments, lora, parts)
    if trainer.is_world_process_zero():
        save_whole(model, trainer.processing_class, training_arguments.output_dir)
    return trainer


def build_trainer(
    arguments: StageArguments,
    lora: LoraArguments,
    optimizer: OptimizerArguments,
    training_arguments: SFTConfig,
    parts: Sequence[Part],
) -> LanguageTrainer:
    """The model of which `parts` move, the corpus made ready for it, and the trainer of both.

    Raises:
        ValueError: A model in half precision, whose trained weights are in float32, without `bf16` or `fp16`.
    """
    # Adapters are drawn before the trainer sets the seed; several processes must draw the same.
    set_seed(training_arguments.seed)
    processor = AutoProcessor.from_pretrained(arguments.model)
    model = load_model(arguments)
    if model.dtype.itemsize < 4 and not (training_arguments.bf16 or training_arguments.fp16):
        raise ValueError(f"{arguments.model} is in {model.dtype}: train it with bf16: true, or build it in float32")
    collator = UniPoseDataCollator(processor, model.config.pose_attention)
    rows = load_corpus(arguments.corpus, tasks=arguments.tasks)
    if arguments.rows is not None:
        rows = some_rows_of_each_task(rows, arguments.rows)
    rows = prepare_rows(rows, model, collator)
    evaluates = training_arguments.eval_strategy != "no"
    held_out = load_corpus(arguments.corpus, "validation", tasks=arguments.tasks) if evaluates else None
    questions = None
    if held_out is not None:
        questions = prepare_rows(some_rows(held_out, arguments.eval_rows), model, collator)
    if arguments.standardize_pictures is not None:
        pictures = some_pictures(rows, arguments.standardize_pictures)
        standardize_projector(model, processor.image_processor(pictures, return_tensors="pt"))
    code_targets = None
    if arguments.code_smoothing is not None:
        code_targets = smooth_targets(model.model.pose_tokenizer.quantizer.codebook, arguments.code_smoothing)
    trained = set_trainable(model, parts, lora)
    trainer = LanguageTrainer(
        model=trained,
        args=training_arguments,
        train_dataset=rows,
        eval_dataset=questions,
        data_collator=collator,
        processing_class=processor,
        code_targets=code_targets,
        optimizers=build_optimizer(trained, optimizer, training_arguments),
    )
    if held_out is not None and arguments.samples:
        trainer.add_callback(WatchAnswers(trainer, BodyModel.builtin(), held_out, processor, arguments.samples))
    return trainer


def load_model(arguments: StageArguments) -> UniPoseForConditionalGeneration:
    """The model to start from, with its towers and its way of attending as the stage wants them."""
    model = cast(UniPoseForConditionalGeneration, AutoModelForImageTextToText.from_pretrained(arguments.model))
    if arguments.towers is not None:
        put_towers(model, Path(arguments.towers))
    if arguments.attention is not None:
        model.set_attn_implementation({"text_config": arguments.attention})
    if arguments.compile_language_model:
        model.model.language_model.compile(dynamic=True)
    return model


def some_pictures(rows: Dataset, number: int) -> list[Image.Image]:
    """The first pictures of at most `number` prepared rows, from all over those that have any.

    Raises:
        ValueError: No row has a picture.
    """
    shown = np.flatnonzero(rows["pictures"])
    if not len(shown):
        raise ValueError("no row of these tasks has a picture: leave standardize_pictures out, or name picture tasks")
    return [row["images"][0] for row in some_rows(rows.select(shown), number)]


def some_rows(rows: Dataset, number: int) -> Dataset:
    """At most `number` rows, from all over `rows`, so that each task keeps its share."""
    number = min(number, len(rows))
    return rows.select(np.arange(number) * len(rows) // number)


def some_rows_of_each_task(rows: Dataset, number: int) -> Dataset:
    """At most `number` rows of each task, from all over its rows: the same, whatever other tasks there are."""
    tasks = np.asarray(rows["task"])
    chosen = []
    for task in np.unique(tasks):
        own = np.flatnonzero(tasks == task)
        few = min(number, len(own))
        chosen.append(own[np.arange(few) * len(own) // few])
    return rows.select(np.sort(np.concatenate(chosen)))


def put_towers(model: UniPoseForConditionalGeneration, folder: Path) -> None:
    """Gives a model the weights of the towers that the stage `towers` has trained, which are of the same sizes."""
    for tower, name in ((model.model.vision_tower, "vision"), (model.model.pose_vision_tower, "pose_vision")):
        if tower is not None:
            tower.load_state_dict(load_file(folder / name / SAFE_WEIGHTS_NAME))


def gather_weights(
    model: PreTrainedModel | PeftModel, arguments: StageArguments, lora: LoraArguments, parts: Sequence[Part]
) -> PreTrainedModel | PeftModel:
    """The model; where each process holds a shard of its weights (FSDP2), in the first one a model with all of them.

    All processes must call it.
    """
    if not any(isinstance(weight, DTensor) for weight in model.parameters()):
        return model
    weights = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if not weights:
        return model
    whole = set_trainable(AutoModelForImageTextToText.from_pretrained(arguments.model), parts, lora)
    whole.load_state_dict(weights)
    return whole


def save_whole(model: PreTrainedModel | PeftModel, processor: ProcessorMixin, folder: str | Path) -> None:
    """Saves the model with its adapters merged, and the processor: a folder that `from_pretrained` loads."""
    merge(model).save_pretrained(folder)
    processor.save_pretrained(folder)
