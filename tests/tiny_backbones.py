"""Saved random models of other libraries' kinds: language models, CLIP, SigLIP, ViTPose."""

from pathlib import Path

import torch
from tiny_models import SIZES
from transformers import (
    AutoModelForCausalLM,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    SiglipVisionModel,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)

from unipose.training.models.text_tokenizer import train_text_tokenizer


VISION = {**SIZES, "image_size": 32, "patch_size": 8}
KINDS = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen3": Qwen3Config, "granite": GraniteConfig}


def save_language_model(folder: Path, kind: str, tied: bool, pad: str | None = "</s>", spare: int = 0) -> None:
    tokenizer = train_text_tokenizer(["Sit down. Raise the left arm, and look up."] * 3, vocab_size=300)
    tokenizer.pad_token = pad
    tokenizer.chat_template = "{{ messages[0].content }}"
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = KINDS[kind](
        **SIZES,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=len(tokenizer) + spare,
        tie_word_embeddings=tied,
        initializer_range=0.2,
        **({"logits_scaling": 4.0} if kind == "granite" else {}),
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def vitpose_config(experts: int) -> VitPoseConfig:
    return VitPoseConfig(
        backbone_config=VitPoseBackboneConfig(
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            mlp_ratio=2,
            image_size=[32, 24],
            patch_size=[8, 8],
            num_experts=experts,
            part_features=6 if experts > 1 else 0,
            out_indices=[2],
        ),
        id2label={"0": "nose"},
        label2id={"nose": 0},
    )


def save_vision_encoders(folder: Path) -> None:
    torch.manual_seed(1)
    CLIPModel(CLIPConfig(text_config=dict(SIZES), vision_config=dict(VISION))).save_pretrained(folder / "clip")
    CLIPImageProcessorPil(image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6]).save_pretrained(folder / "clip")
    SiglipVisionModel(SiglipVisionConfig(**VISION)).save_pretrained(folder / "siglip")
    SiglipImageProcessorPil().save_pretrained(folder / "siglip")
    VitPoseForPoseEstimation(vitpose_config(experts=1)).save_pretrained(folder / "vitpose")
    VitPoseForPoseEstimation(vitpose_config(experts=3)).save_pretrained(folder / "vitpose_plus")
