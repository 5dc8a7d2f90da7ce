"""What the stages `align`, `project` and `instruct` share: a corpus, TRL's trainer, a model of which parts move."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from datasets import Dataset
from peft import PeftModel
from transformers import AutoModelForImageTextToText, AutoProcessor, set_seed
from trl import SFTConfig, TrlParser

from unipose.processing.body_model import BodyModel
from unipose.training.corpus.shards import load_corpus
from unipose.training.stages.checkpoints import find_checkpoint
from unipose.training.stages.collator import UniPoseDataCollator
from unipose.training.stages.parts import LoraArguments, Part, set_trainable
from unipose.training.stages.rows import prepare_rows
from unipose.training.stages.trainers import LanguageTrainer
from unipose.training.stages.watch_answers import WatchAnswers


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
    eval_rows: int = field(
        default=256, metadata={"help": "The most validation rows that an evaluation takes its loss from."}
    )
    samples: int = field(
        default=2,
        metadata={"help": "Validation rows of each task whose answers an evaluation shows; 0: none."},
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
    """The model of which `parts` move, the corpus made ready for it, and the trainer of both."""
    # The trainer's own seeding comes too late for the adapters.
    set_seed(training_arguments.seed)
    processor = AutoProcessor.from_pretrained(arguments.model)
    model = AutoModelForImageTextToText.from_pretrained(arguments.model)
    if arguments.attention is not None:
        model.set_attn_implementation({"text_config": arguments.attention})
    collator = UniPoseDataCollator(processor, model.config.pose_attention)
    rows = prepare_rows(load_corpus(arguments.corpus, tasks=arguments.tasks), model, collator)
    evaluates = training_arguments.eval_strategy != "no"
    held_out = load_corpus(arguments.corpus, "validation", tasks=arguments.tasks) if evaluates else None
    questions = None
    if held_out is not None:
        questions = prepare_rows(some_rows(held_out, arguments.eval_rows), model, collator)
    if arguments.compile_language_model:
        model.model.language_model.compile(dynamic=True)
    trainer = LanguageTrainer(
        model=set_trainable(model, parts, lora),
        args=training_arguments,
        train_dataset=rows,
        eval_dataset=questions,
        data_collator=collator,
        processing_class=processor,
    )
    if held_out is not None and arguments.samples:
        trainer.add_callback(WatchAnswers(trainer, BodyModel.builtin(), held_out, processor, arguments.samples))
    return trainer


def some_rows(rows: Dataset, number: int) -> Dataset:
    """At most `number` rows, from all over `rows`, so that each task keeps its share."""
    number = min(number, len(rows))
    return rows.select(np.arange(number) * len(rows) // number)


def save_whole(trainer: LanguageTrainer) -> None:
    """Saves the model with its adapters merged, and the processor: a folder that `from_pretrained` loads."""
    folder = trainer.args.output_dir
    model = trainer.accelerator.unwrap_model(trainer.model)
    if isinstance(model, PeftModel):
        model = model.merge_and_unload()
    if trainer.is_world_process_zero():
        model.save_pretrained(folder)
        trainer.processing_class.save_pretrained(folder)
