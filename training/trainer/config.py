"""Training arguments of all stages, and the parser of their commands."""

import os
from dataclasses import dataclass, field
from typing import Any, TypedDict, get_args, get_type_hints

import torch
from huggingface_hub.dataclasses import validate_typed_dict
from huggingface_hub.errors import StrictDataclassError
from trl import SFTConfig, TrlParser

from unipose.training.trainer.precision import Precision, choose_precision


@dataclass
class StageConfig(SFTConfig):
    """TRL's `SFTConfig` with the defaults of all stages; recipes override them."""

    precision: Precision = field(
        default="auto",
        metadata={"help": "Precision of the forward pass; auto: bf16 if this machine is faster in it, else fp32."},
    )
    seed: int = field(default=0, metadata={"help": "Seed of new weights, of the order of rows and of dropout."})
    # The library's parser needs the types in this order.
    report_to: None | str | list[str] = field(  # noqa: RUF036
        default="none", metadata={"help": "Loggers, such as tensorboard, trackio or wandb."}
    )
    activation_checkpointing: bool | None = field(
        default=False, metadata={"help": "Whether to recompute activations in the backward pass, which saves memory."}
    )
    # The trainers stop at a loss that is not finite. The library's filter would cost a host sync in every batch.
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Whether to leave non-finite losses out of the log."}
    )
    # The collator and the sampler need columns that the model's forward does not accept.
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Whether to remove columns that the model's forward does not accept."}
    )
    dataset_kwargs: dict[str, Any] | str | None = field(
        default_factory=lambda: {"skip_prepare_dataset": True},
        metadata={"help": "Options of TRL's dataset preparation."},
    )
    max_minutes: float | None = field(
        default=None,
        metadata={
            "help": "Time after which training stops; until then the learning rate also falls as a cosine of the time."
        },
    )
    # Truncation could cut a pose.
    max_length: int | None = field(
        default=None, metadata={"help": "Maximum number of tokens of a row; default: no truncation."}
    )

    def __post_init__(self):
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise ValueError(f"max_minutes is {self.max_minutes}, expected a positive number, or none for no limit")
        # A process that is forked after its parent has used a tokenizer's threads would wait for them forever.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        device = None if self.use_cpu else torch.accelerator.current_accelerator(check_available=True)
        # Otherwise the library rejects bf16 on a machine without a GPU.
        self.use_cpu = device is None
        explicit: Precision | None = "fp16" if self.fp16 else None
        if explicit is None and self.bf16 is not None:
            explicit = "bf16" if self.bf16 else "fp32"
        if self.precision == "auto":
            self.precision = explicit or choose_precision("cpu" if device is None else device.type)
        elif explicit not in (None, self.precision):
            raise ValueError(f"got precision {self.precision}, but bf16 and fp16 mean {explicit}: leave those two out")
        self.bf16, self.fp16 = self.precision == "bf16", self.precision == "fp16"
        super().__post_init__()


class RecipeParser(TrlParser):
    """Parses the command line of a stage, and the recipe that `--config` names.

    A key or an option that no dataclass has is an error that names it, and so is a value of another type.
    """

    def set_defaults_with_config(self, **settings: Any) -> list[str]:
        """Takes the settings of a recipe as defaults of the command line.

        Raises:
            ValueError: an unknown key, or a value of another type.
        """
        hints = {
            name: hint
            for kind in self.dataclass_types
            for name, hint in get_type_hints(kind).items()
            if name in kind.__dataclass_fields__
        }
        unknown = sorted(settings.keys() - hints.keys())
        if unknown:
            raise ValueError(f"unknown keys in the recipe: {', '.join(unknown)}")
        typed = {name: _to_number(value, hints[name]) for name, value in settings.items()}
        try:
            validate_typed_dict(TypedDict("Recipe", hints, total=False), typed)  # type: ignore[operator]
        except StrictDataclassError as error:
            raise ValueError(f"in the recipe: {error}") from error
        return super().set_defaults_with_config(**settings)


def _to_number(value: Any, hint: Any) -> Any:
    """Converts numbers of float fields: YAML reads 1 as an integer and 1e-3 as a string."""
    kinds = (hint, *get_args(hint))
    if str in kinds or isinstance(value, bool) or not isinstance(value, (int, str)) or float not in kinds:
        return value
    try:
        return float(value)
    except ValueError:
        return value
