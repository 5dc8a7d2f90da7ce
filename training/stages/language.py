"""What the stages `align`, `project` and `instruct` share: a corpus, TRL's trainer, a model of which parts move."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import SFTConfig, TrlParser

from unipose.training.corpus.shards import load_corpus
from unipose.training.stages.checkpoints import find_checkpoint
from unipose.training.stages.collator import UniPoseDataCollator
from unipose.training.stages.parts import LoraArguments, Part, merge, set_trainable
from unipose.training.stages.rows import prepare_rows
from unipose.training.stages.trainers import LanguageTrainer


@dataclass
class StageArguments:
    """Where a stage starts, and what it is shown."""

    model: str = field(metadata={"help": "Folder or Hub id of the model to start from."})
    corpus: str = field(default="runs/corpus", metadata={"help": "Folder that build_corpus has written."})
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
    parser = TrlParser((StageArguments, LoraArguments, SFTConfig))
    arguments, lora, training_arguments = parser.parse_args_and_config()
    trainer = build_trainer(arguments, lora, training_arguments, parts)
    trainer.train(resume_from_checkpoint=find_checkpoint(training_arguments))
    save_whole(trainer)


def build_trainer(
    arguments: StageArguments, lora: LoraArguments, training_arguments: SFTConfig, parts: Sequence[Part]
) -> LanguageTrainer:
    """The model of which `parts` move, the corpus made ready for it, and the trainer of both.

    Raises:
        ValueError: A model in half precision, whose trained weights are in float32, without `bf16` or `fp16`.
    """
    processor = AutoProcessor.from_pretrained(arguments.model)
    model = AutoModelForImageTextToText.from_pretrained(arguments.model)
    if model.dtype != torch.float32 and not (training_arguments.bf16 or training_arguments.fp16):
        raise ValueError(f"{arguments.model} is in {model.dtype}: train it with bf16: true, or build it in float32")
    if arguments.attention is not None:
        model.set_attn_implementation({"text_config": arguments.attention})
    collator = UniPoseDataCollator(processor, model.config.pose_attention)
    rows = prepare_rows(load_corpus(arguments.corpus, tasks=arguments.tasks), model, collator)
    if arguments.compile_language_model:
        model.model.language_model.compile(dynamic=True)
    return LanguageTrainer(
        model=set_trainable(model, parts, lora),
        args=training_arguments,
        train_dataset=rows,
        data_collator=collator,
        processing_class=processor,
    )


def save_whole(trainer: LanguageTrainer) -> None:
    """Saves the model with its adapters merged, and the processor: a folder that `from_pretrained` loads."""
    folder = trainer.args.output_dir
    model = merge(trainer.accelerator.unwrap_model(trainer.model))
    if trainer.is_world_process_zero():
        model.save_pretrained(folder)
        trainer.processing_class.save_pretrained(folder)
