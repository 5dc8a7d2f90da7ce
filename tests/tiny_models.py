"""Random models of a few thousand parameters, with a vocabulary laid out by hand, and random inputs for them."""

import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
    SiglipVisionConfig,
    VitPoseBackboneConfig,
)

from unipose import UniPoseConfig, UniPoseForConditionalGeneration, UniPoseVQVAEConfig


WORDS = 40
CODES = 32
POSE_TOKENS = 6
EOS, PAD = 1, 0
# Of the text model and the vision encoder.
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
POSE_TOKENIZER_SIZES = {"hidden_size": 16, "codebook_size": CODES, "codebook_dim": 8, "num_pose_tokens": POSE_TOKENS}
VOCABULARY = {
    name: WORDS + CODES + i
    for i, name in enumerate(
        ("pose_token_id", "pose_start_token_id", "pose_end_token_id", "pose_query_token_id")
        + ("image_token_id", "image_start_token_id", "image_end_token_id")
    )
}
BODY_PARTS_SIZES = {
    "architecture": "body_parts",
    "hidden_size": 16,
    "codebook_size": CODES,
    "codebook_dim": 3,
    "scalar_levels": [4, 4, 2],
    "part_tokens": {"torso": 2, "head": 1, "arm": 1, "leg": 1},
    "num_pose_tokens": 8,
}
TEXT_CONFIGS = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen3": Qwen3Config}


def tiny_pose_encoder_config() -> VitPoseBackboneConfig:
    return VitPoseBackboneConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=[32, 16],
        patch_size=[8, 8],
        out_indices=[2],
        layer_norm_eps=1e-6,
    )


def tiny_config(
    text: str = "llama",
    vision: str | None = "clip",
    pose_vision: bool = True,
    pose_tokenizer: dict = POSE_TOKENIZER_SIZES,
    **kwargs,
) -> UniPoseConfig:
    text_config = TEXT_CONFIGS[text](
        **SIZES,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=WORDS + CODES + len(VOCABULARY),
        max_position_embeddings=512,
        eos_token_id=EOS,
        pad_token_id=PAD,
        bos_token_id=None,
        **({"sliding_window": None} if text == "mistral" else {}),
    )
    encoders = {"clip": CLIPVisionConfig, "siglip": SiglipVisionConfig}
    return UniPoseConfig(
        text_config=text_config,
        vision_config=encoders[vision](**SIZES, image_size=32, patch_size=8) if vision else None,
        pose_vision_config=tiny_pose_encoder_config() if pose_vision else None,
        pose_tokenizer_config=UniPoseVQVAEConfig(**pose_tokenizer),
        pose_code_start_id=WORDS,
        **VOCABULARY,
        # Wide enough that a random model's arg-maxima are far apart.
        initializer_range=0.5,
        **kwargs,
    )


def tiny_model(seed: int = 0, attn_implementation: str = "sdpa", **kwargs) -> UniPoseForConditionalGeneration:
    torch.manual_seed(seed)
    config = tiny_config(**kwargs)
    config.text_config.initializer_range = 0.5
    model = UniPoseForConditionalGeneration(config).eval()
    tokenizer = model.model.pose_tokenizer
    if config.pose_tokenizer_config.architecture == "convolution":
        tokenizer.quantizer.initialize(tokenizer.encode_features(torch.randn(20, 22, 6)).flatten(0, 1))
    model.set_attn_implementation({"text_config": attn_implementation})
    return model


def pose_block(config: UniPoseConfig) -> list[int]:
    return [
        config.pose_start_token_id,
        *[config.pose_token_id] * config.num_pose_tokens,
        config.pose_end_token_id,
    ]


def image_block(config: UniPoseConfig) -> list[int]:
    return [
        config.image_start_token_id,
        *[config.image_token_id] * config.num_image_tokens,
        config.image_end_token_id,
    ]


def words(count: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, WORDS, (count,), generator=generator).tolist()


def pad_left(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    length = max(map(len, rows))
    ids = torch.tensor([[PAD] * (length - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}


def random_pixels(config: UniPoseConfig, images: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pixels = {}
    if config.vision_config is not None:
        pixels["pixel_values"] = torch.randn(images, 3, 32, 32, generator=generator)
    if config.pose_vision_config is not None:
        pixels["pose_pixel_values"] = torch.randn(images, 3, 32, 16, generator=generator)
    return pixels
