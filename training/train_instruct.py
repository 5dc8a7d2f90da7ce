"""Trains the language model on rows of all tasks with TRL's SFTTrainer (paper, section 3.4).

python -m unipose.training.train_instruct --config training/recipes/tiny_instruct.yaml
"""

from dataclasses import dataclass, field

from datasets import Dataset
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import SFTConfig, SFTTrainer, TrlParser

from unipose import UniPoseForConditionalGeneration
from unipose.training.collator import UniPoseDataCollator, add_pose_codes
from unipose.training.corpus.shards import load_corpus


@dataclass
class InstructArguments:
    """Where the run starts."""

    model: str = field(default="runs/initial", metadata={"help": "Folder or Hub id of the model to start from."})
    corpus: str = field(default="runs/corpus", metadata={"help": "Folder that build_corpus has written."})


def prepare_rows(rows: Dataset, model: UniPoseForConditionalGeneration, collator: UniPoseDataCollator) -> Dataset:
    """Encodes poses to codes and texts to ids, once; pictures stay as they are until a batch needs them."""
    rows = rows.map(
        add_pose_codes,
        batched=True,
        batch_size=512,
        fn_kwargs={"pose_tokenizer": model.model.pose_tokenizer},
        desc="pose codes",
    )
    used = [name for name in rows.column_names if name != "images"]
    rows = rows.map(collator.encode, desc="text tokens", remove_columns=used)
    return rows.add_column("length", [len(ids) for ids in rows["input_ids"]])


def main() -> None:
    parser = TrlParser((InstructArguments, SFTConfig))
    arguments, training_arguments = parser.parse_args_and_config()
    processor = AutoProcessor.from_pretrained(arguments.model)
    model = AutoModelForImageTextToText.from_pretrained(arguments.model)
    collator = UniPoseDataCollator(processor, model.config.pose_attention)
    trainer = SFTTrainer(
        model=model,
        args=training_arguments,
        train_dataset=prepare_rows(load_corpus(arguments.corpus), model, collator),
        data_collator=collator,
        processing_class=processor,
    )
    trainer.train(resume_from_checkpoint=training_arguments.resume_from_checkpoint)
    trainer.save_model()
    processor.save_pretrained(training_arguments.output_dir)


if __name__ == "__main__":
    main()
