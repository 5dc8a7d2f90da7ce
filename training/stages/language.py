"""What the stages `align`, `project` and `instruct` share: a corpus, TRL's trainer, a model of which parts move."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from peft import PeftModel
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin, set_seed
from trl import SFTConfig, TrlParser

from unipose.training.corpus.shards import load_corpus
from unipose.training.stages.checkpoints import find_checkpoint
from unipose.training.stages.collator import UniPoseDataCollator
from unipose.training.stages.parts import LoraArguments, Part, set_trainable
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
    model = gather_weights(trainer.accelerator.unwrap_model(trainer.model), arguments, lora, parts)
    if trainer.is_world_process_zero():
        save_whole(model, trainer.processing_class, training_arguments.output_dir)


def build_trainer(
    arguments: StageArguments, lora: LoraArguments, training_arguments: SFTConfig, parts: Sequence[Part]
) -> LanguageTrainer:
    """The model of which `parts` move, the corpus made ready for it, and the trainer of both."""
    # Adapters are drawn before the trainer sets the seed; several processes must draw the same.
    set_seed(training_arguments.seed)
    processor = AutoProcessor.from_pretrained(arguments.model)
    model = AutoModelForImageTextToText.from_pretrained(arguments.model)
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
    if isinstance(model, PeftModel):
        model = model.merge_and_unload()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
