"""Options of fine-tuning on users' rows, with the defaults that `docs/training/own-data.md` measures."""

from dataclasses import dataclass, field
from typing import Literal

from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.trainable_parts import LoraArguments


# Rows and wordings of what the model knew before, for the figures of the card: for each trained row, and in all. A
# training of few rows is short, and shall not wait for figures.
CHECKS_PER_ROW, MIN_CHECKS, MAX_CHECKS = 3, 20, 100


@dataclass
class FinetuneArguments:
    """The user's rows, and the model to train on them."""

    data: str = field(
        metadata={
            "help": "Rows: a .jsonl, .csv, .tsv or .parquet file or a folder of them, a folder by save_to_disk, or a "
            "Hub dataset."
        }
    )
    model: str | None = field(
        default=None, metadata={"help": "Folder or Hub id of the initial model; default: the packaged model."}
    )
    method: Literal["full", "lora"] = field(
        default="full", metadata={"help": "Whether all weights of the language model are trained, or adapters."}
    )
    tasks: list[str] = field(
        default_factory=list,
        metadata={"help": "Tasks that rows of plain columns make; default: that of the row's columns."},
    )
    frame: str | None = field(
        default=None, metadata={"help": "Frame of poses that state none: z_up, y_up or camera; default: z_up."}
    )
    split: str = field(default="train", metadata={"help": "Split to read of data that have several."})
    rename: list[str] = field(
        default_factory=list, metadata={"help": "Columns to rename: theirs=ours, such as description=text."}
    )
    ignore: list[str] = field(default_factory=list, metadata={"help": "Columns to leave out."})
    keep_heading: bool = field(
        default=False,
        metadata={"help": "Whether poses of rows without images keep their heading; default: they face the front."},
    )
    held_out: float = field(
        default=0.2, metadata={"help": "Share of the rows that is never trained on, for the figures of the card."}
    )
    named_poses: int | None = field(
        default=None,
        metadata={
            "help": "Number of wordings of named poses to answer before and after, for the card; default: three for "
            "each trained row, 20 to 100; 0: none."
        },
    )
    code_smoothing: float | None = field(
        default=1.0, metadata={"help": "Width of the soft targets of pose codes; null in a recipe: the paper's loss."}
    )
    reveal_codes: float = field(
        default=0.0,
        metadata={"help": "Share of the output poses of which random codes are given, for pose_refinement_steps."},
    )
    attention: str | None = field(
        default=None,
        metadata={"help": "Attention of the language model: sdpa, eager or flex_attention; default: eager on a CPU."},
    )
    keep_adapter: bool = field(
        default=False,
        metadata={"help": "Whether to save the adapters too, in the folder adapter; the saved model has them merged."},
    )
    workers: int = field(default=1, metadata={"help": "Number of processes that prepare the rows."})


@dataclass
class FinetuneLoraArguments(LoraArguments):
    """Options of the adapters, with the defaults of fine-tuning."""

    lora_rank: int | None = field(default=16, metadata={"help": "Rank of the adapters."})
    train_full_embeddings: bool = field(
        default=True,
        metadata={"help": "With adapters: whether to train the embeddings of all tokens, or of new ones only."},
    )


@dataclass
class FinetuneConfig(StageConfig):
    """Training arguments with the defaults of fine-tuning, which are measured on 50 rows and the packaged model."""

    output_dir: str | None = field(default="my-model", metadata={"help": "Folder of the trained model."})
    num_train_epochs: float = field(default=12.0, metadata={"help": "Number of times that each row is seen."})
    per_device_train_batch_size: int = field(default=16, metadata={"help": "Number of rows of a batch."})
    per_device_eval_batch_size: int = field(default=32, metadata={"help": "Number of rows of a batch to evaluate."})
    learning_rate: float = field(default=6e-4, metadata={"help": "Largest learning rate of AdamW."})
    # The library's parser needs the types in this order.
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Schedule of the learning rate."})
    warmup_steps: float = field(default=0.05, metadata={"help": "Steps of warmup; below 1: share of all steps."})
    logging_steps: float = field(default=20, metadata={"help": "Steps between two logs."})
    save_steps: float = field(default=200, metadata={"help": "Steps between two checkpoints."})
    save_total_limit: int | None = field(default=1, metadata={"help": "Number of checkpoints to keep."})


def number_of_checks(num_rows: int) -> int:
    """Number of rows of what the model knew before that the card's figures rest on.

    Args:
        num_rows: number of the user's rows to train on.
    """
    return min(max(CHECKS_PER_ROW * num_rows, MIN_CHECKS), MAX_CHECKS)


def number_of_named_poses(arguments: FinetuneArguments, num_rows: int) -> int:
    """Number of wordings of named poses that the card's figure rests on.

    Args:
        arguments: the number, where the user gives one.
        num_rows: number of the user's rows to train on.
    """
    return number_of_checks(num_rows) if arguments.named_poses is None else arguments.named_poses
