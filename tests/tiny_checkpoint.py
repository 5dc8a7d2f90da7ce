"""A saved random model with a real vocabulary: text, poses and both vision encoders, with its processor."""

from pathlib import Path

import torch
from tiny_models import CODES, POSE_TOKENIZER_SIZES, SIZES, tiny_pose_encoder_config
from tiny_tokenizer import tiny_tokenizer
from transformers import CLIPVisionConfig, LlamaConfig

from unipose import (
    UniPoseConfig,
    UniPoseForConditionalGeneration,
    UniPoseImageProcessor,
    UniPoseProcessor,
    UniPoseVQVAE,
    UniPoseVQVAEConfig,
)


def tiny_processor(vision: bool = True, pose_tokenizer: dict = POSE_TOKENIZER_SIZES) -> UniPoseProcessor:
    tokenizer = tiny_tokenizer(CODES)
    image_processor = UniPoseImageProcessor(size={"height": 32, "width": 32}, pose_size={"height": 32, "width": 16})
    return UniPoseProcessor(
        image_processor if vision else None,
        tokenizer,
        num_pose_tokens=pose_tokenizer["num_pose_tokens"],
        num_image_tokens=16 if vision else 0,
        codebook_size=CODES,
    )


def tiny_checkpoint_model(
    processor: UniPoseProcessor, vision: bool = True, pose_tokenizer: dict = POSE_TOKENIZER_SIZES
) -> UniPoseForConditionalGeneration:
    """A model whose vocabulary is the processor's."""
    tokenizer = processor.tokenizer
    config = UniPoseConfig(
        text_config=LlamaConfig(
            **SIZES,
            num_key_value_heads=2,
            vocab_size=len(tokenizer),
            max_position_embeddings=512,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            initializer_range=0.5,
        ),
        vision_config=CLIPVisionConfig(**SIZES, image_size=32, patch_size=8) if vision else None,
        pose_vision_config=tiny_pose_encoder_config() if vision else None,
        pose_tokenizer_config=UniPoseVQVAEConfig(**pose_tokenizer),
        pose_code_start_id=processor.pose_code_start_id,
        pose_token_id=processor.pose_token_id,
        pose_start_token_id=processor.pose_start_token_id,
        pose_end_token_id=processor.pose_end_token_id,
        pose_query_token_id=processor.pose_query_token_id,
        image_token_id=processor.image_token_id,
        image_start_token_id=processor.image_start_token_id,
        image_end_token_id=processor.image_end_token_id,
        # Wide enough that a random model's arg-maxima are far apart.
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    model = UniPoseForConditionalGeneration(config).eval()
    # A grid needs no spreading.
    if pose_tokenizer.get("architecture") != "body_parts":
        spread_pose_codes(model.model.pose_tokenizer)
    return model


@torch.no_grad()
def spread_pose_codes(pose_tokenizer: UniPoseVQVAE) -> None:
    """Lets different poses have different codes, and different codes different poses, as after training."""
    for module in pose_tokenizer.modules():
        if isinstance(module, torch.nn.Conv1d):
            module.weight.mul_(3)
    features = pose_tokenizer.encode_features(torch.randn(64, 22, 6))
    pose_tokenizer.quantizer.initialize(features.flatten(0, 1))


def save_tiny_checkpoint(
    path: str | Path,
    vision: bool = True,
    dtype: torch.dtype = torch.float32,
    pose_tokenizer: dict = POSE_TOKENIZER_SIZES,
) -> None:
    """Writes model, processor and code to a folder, as a user saves them; the pose tokenizer stays in float32."""
    processor = tiny_processor(vision, pose_tokenizer)
    model = tiny_checkpoint_model(processor, vision, pose_tokenizer)
    for part in (*model.model.children(), model.lm_head):
        if part is not model.model.pose_tokenizer:
            part.to(dtype)
    model.config.dtype = dtype
    model.save_pretrained(path)
    processor.save_pretrained(path)
