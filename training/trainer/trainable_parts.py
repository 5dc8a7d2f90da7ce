"""The parts of the model that a stage trains; the language model whole or through LoRA (paper, section 3.4)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from unipose import UniPoseForConditionalGeneration


Part = Literal[
    "language_model",
    "pose_query_embeddings",
    "pose_position_embeddings",
    "source_pose_pointer",
    "lm_head",
    "multi_modal_projector",
]

# The stages' parts. Embeddings belong to the language model; with tied embeddings so does the head.
ALIGN: tuple[Part, ...] = (
    "language_model",
    "pose_query_embeddings",
    "pose_position_embeddings",
    "source_pose_pointer",
    "lm_head",
)
PROJECT: tuple[Part, ...] = ("multi_modal_projector",)
INSTRUCT: tuple[Part, ...] = (*ALIGN, *PROJECT)

# The linear layers inside the blocks of the language model; a plain "q_proj" would match the vision encoders too.
LORA_TARGETS = r".*language_model\.layers\..*\.(q|k|v|o|gate|up|down)_proj"


@dataclass
class LoraArguments:
    """Options of LoRA: low-rank adapters of the language model, merged at the end of training."""

    lora_rank: int | None = field(
        default=None, metadata={"help": "Rank of the adapters; default: every weight is trained."}
    )
    lora_alpha: int = field(
        default=32, metadata={"help": "Scale of the adapters: the factor is lora_alpha / lora_rank."}
    )
    lora_dropout: float = field(default=0.05, metadata={"help": "Dropout before the adapters."})
    train_full_embeddings: bool = field(
        default=True,
        metadata={"help": "With adapters: whether to train the embeddings of all tokens, or of new ones only."},
    )


def new_token_ids(model: UniPoseForConditionalGeneration) -> list[int]:
    """Ids of the tokens that `add_pose_tokens` has added: pose code 0 is the first of them."""
    return list(range(model.config.pose_code_start_id, model.config.text_config.vocab_size))


def set_trainable(
    model: UniPoseForConditionalGeneration, parts: Sequence[Part], lora: LoraArguments
) -> UniPoseForConditionalGeneration | PeftModel:
    """Freezes all but some parts; returns the model, wrapped by PEFT if LoRA trains its language model.

    Trained weights are float32 or wider for every checkpoint: bfloat16 would round most steps away.

    Args:
        model: changed in place.
        parts: trained parts of the model.
        lora: options of LoRA.

    Raises:
        ValueError: the model lacks one of the parts.
    """
    model.requires_grad_(False)
    if "multi_modal_projector" in parts and model.model.multi_modal_projector is None:
        raise ValueError("this model has no vision encoders, and so no projector to train: skip the stage `project`")
    optional = {
        "pose_position_embeddings": model.model.pose_position_embeddings,
        "source_pose_pointer": model.model.source_pose_pointer,
    }
    parts = [part for part in parts if part not in optional or optional[part] is not None]
    trained: UniPoseForConditionalGeneration | PeftModel = model
    if "language_model" in parts and lora.lora_rank is not None:
        trained = get_peft_model(model, lora_config(model, parts, lora))
    else:
        for part in parts:
            module = model.lm_head if part == "lm_head" else model.model.get_submodule(part)
            module.requires_grad_(True)
    for weight in trained.parameters():
        if weight.requires_grad:
            weight.data = weight.data.to(torch.promote_types(weight.dtype, torch.float32))
    return trained.train()


def lora_config(model: UniPoseForConditionalGeneration, parts: Sequence[Part], lora: LoraArguments) -> LoraConfig:
    """Adapters for the language model; other parts are trained whole, embeddings and head by `lora`'s options.

    Args:
        model: the model to adapt.
        parts: trained parts of the model.
        lora: rank, scale, dropout and embeddings.
    """
    tied = model.config.tie_word_embeddings
    whole = [part for part in parts if part not in ("language_model", "lm_head")]
    # peft ties the head to the embeddings itself.
    tables = ["embed_tokens"] if tied else ["embed_tokens", "lm_head"]
    return LoraConfig(
        r=lora.lora_rank,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=LORA_TARGETS,
        modules_to_save=whole + (tables if lora.train_full_embeddings else []),
        trainable_token_indices=None if lora.train_full_embeddings else dict.fromkeys(tables, new_token_ids(model)),
        ensure_weight_tying=tied and lora.train_full_embeddings,
    )


def merge_adapters(trained: UniPoseForConditionalGeneration | PeftModel) -> UniPoseForConditionalGeneration:
    """The model with adapters merged into the weights, in the checkpoint's dtype."""
    model = trained.merge_and_unload() if isinstance(trained, PeftModel) else trained
    # The dtype of the whole config is overwritten whenever a checkpoint is saved.
    dtype = model.config.text_config.dtype
    if dtype is not None:
        for part in (*model.model.children(), model.lm_head):
            if part is not model.model.pose_tokenizer:
                part.to(dtype)
    return model
