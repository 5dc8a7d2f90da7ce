"""What a stage trains: parts of the model by name, the language model whole or through LoRA (paper, section 3.4)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from peft import LoraConfig, PeftModel, get_peft_model

from unipose import UniPoseForConditionalGeneration


Part = Literal["language_model", "pose_query_embeddings", "lm_head", "multi_modal_projector"]

# The stages' parts. Embeddings belong to the language model; with tied embeddings so does the head.
ALIGN: tuple[Part, ...] = ("language_model", "pose_query_embeddings", "lm_head")
PROJECT: tuple[Part, ...] = ("multi_modal_projector",)
INSTRUCT: tuple[Part, ...] = (*ALIGN, *PROJECT)

# The linear layers inside the blocks of the language model; a plain "q_proj" would be found in the towers too.
LORA_TARGETS = r".*language_model\.layers\..*\.(q|k|v|o|gate|up|down)_proj"


@dataclass
class LoraArguments:
    """How the language model is trained: whole, or through low-rank adapters that are merged at the end."""

    lora_rank: int | None = field(
        default=None, metadata={"help": "Rank of the adapters; every weight is trained where left out."}
    )
    lora_alpha: int = field(default=32, metadata={"help": "The adapters' scale is lora_alpha / lora_rank."})
    lora_dropout: float = 0.05
    old_embeddings: bool = field(
        default=True,
        metadata={"help": "Beside adapters, train the embeddings of all tokens, or (false) of pose tokens only."},
    )


def new_token_ids(model: UniPoseForConditionalGeneration) -> list[int]:
    """Ids of pose codes and of the tokens around poses and pictures: what no pretrained language model knows."""
    config = model.config
    codes = range(config.pose_code_start_id, config.pose_code_start_id + config.pose_tokenizer_config.codebook_size)
    around = (
        config.pose_start_token_id,
        config.pose_end_token_id,
        config.image_start_token_id,
        config.image_end_token_id,
    )
    return [*codes, *around]


def set_trainable(
    model: UniPoseForConditionalGeneration, parts: Sequence[Part], lora: LoraArguments
) -> UniPoseForConditionalGeneration | PeftModel:
    """Freezes all but some parts; returns the model, wrapped where its language model is trained by LoRA."""
    model.requires_grad_(False)
    if "language_model" in parts and lora.lora_rank is not None:
        return get_peft_model(model, lora_config(model, parts, lora))
    for part in parts:
        module = model.lm_head if part == "lm_head" else model.model.get_submodule(part)
        module.requires_grad_(True)
    return model.train()


def lora_config(model: UniPoseForConditionalGeneration, parts: Sequence[Part], lora: LoraArguments) -> LoraConfig:
    """Adapters for the language model; the other parts are trained whole, embeddings and head as `lora` says."""
    tied = model.config.tie_word_embeddings
    whole = [part for part in parts if part not in ("language_model", "lm_head")]
    tables = ["embed_tokens"] if tied else ["embed_tokens", "lm_head"]
    new = new_token_ids(model)
    return LoraConfig(
        r=lora.lora_rank,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=LORA_TARGETS,
        modules_to_save=whole + (tables if lora.old_embeddings else []),
        trainable_token_indices=None if lora.old_embeddings else dict.fromkeys(tables, new),
        ensure_weight_tying=tied,
    )
