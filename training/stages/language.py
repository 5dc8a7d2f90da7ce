"""What the stages `align`, `project` and `instruct` share: a corpus, TRL's trainer, a model of which parts move."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.utils import SAFE_WEIGHTS_NAME
from trl import SFTConfig, TrlParser

from unipose import UniPoseForConditionalGeneration
from unipose.training.corpus.shards import load_corpus
from unipose.training.stages.checkpoints import find_checkpoint
from unipose.training.stages.collator import UniPoseDataCollator
from unipose.training.stages.muon import OptimizerArguments, build_optimizer
from unipose.training.stages.parts import LoraArguments, Part, merge, set_trainable
from unipose.training.stages.rows import prepare_rows
from unipose.training.stages.trainers import LanguageTrainer


@dataclass
class StageArguments:
    """Where a stage starts, and what it is shown."""

    model: str = field(metadata={"help": "Folder or Hub id of the model to start from."})
    corpus: str = field(default="runs/corpus", metadata={"help": "Folder that build_corpus has written."})
    towers: str | None = field(
        default=None, metadata={"help": "Folder that the stage towers has written: put into the model first."}
    )
    tasks: list[str] | None = field(default=None, metadata={"help": "Of the corpus; all where left out."})
    attention: str | None = field(
        default=None,
        metadata={"help": "Of the language model: sdpa, eager or flex_attention."},
    )
    compile_language_model: bool = field(
        default=False,
        metadata={"help": "Compile the language model; needs a C++ compiler."},
    )


def run_stage(parts: Sequence[Part]) -> None:
    """Parses a command line or a recipe, trains some parts of a model, and saves all of it."""
    parser = TrlParser((StageArguments, LoraArguments, OptimizerArguments, SFTConfig))
    arguments, lora, optimizer, training_arguments = parser.parse_args_and_config()
    trainer = build_trainer(arguments, lora, optimizer, training_arguments, parts)
    trainer.train(resume_from_checkpoint=find_checkpoint(training_arguments))
    save_whole(trainer)


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
    processor = AutoProcessor.from_pretrained(arguments.model)
    model = AutoModelForImageTextToText.from_pretrained(arguments.model)
    if model.dtype != torch.float32 and not (training_arguments.bf16 or training_arguments.fp16):
        raise ValueError(f"{arguments.model} is in {model.dtype}: train it with bf16: true, or build it in float32")
    if arguments.towers is not None:
        put_towers(model, Path(arguments.towers))
    if arguments.attention is not None:
        model.set_attn_implementation({"text_config": arguments.attention})
    collator = UniPoseDataCollator(processor, model.config.pose_attention)
    rows = prepare_rows(load_corpus(arguments.corpus, tasks=arguments.tasks), model, collator)
    if arguments.compile_language_model:
        model.model.language_model.compile(dynamic=True)
    trained = set_trainable(model, parts, lora)
    return LanguageTrainer(
        model=trained,
        args=training_arguments,
        train_dataset=rows,
        data_collator=collator,
        processing_class=processor,
        optimizers=build_optimizer(trained, optimizer, training_arguments),
    )


def put_towers(model: UniPoseForConditionalGeneration, folder: Path) -> None:
    """Gives a model the weights of the towers that the stage `towers` has trained, which are of the same sizes."""
    for tower, name in ((model.model.vision_tower, "vision"), (model.model.pose_vision_tower, "pose_vision")):
        if tower is not None:
            tower.load_state_dict(load_file(folder / name / SAFE_WEIGHTS_NAME))


def save_whole(trainer: LanguageTrainer) -> None:
    """Saves the model with its adapters merged, and the processor: a folder that `from_pretrained` loads."""
    folder = trainer.args.output_dir
    model = merge(trainer.accelerator.unwrap_model(trainer.model))
    if trainer.is_world_process_zero():
        model.save_pretrained(folder)
        trainer.processing_class.save_pretrained(folder)
