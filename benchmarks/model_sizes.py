"""The two sizes that are measured: the embedded model, and a random one of 84 million weights.

Weights are random where only sizes matter; the embedded model has its own, since its answers have their usual lengths.
"""

import copy

import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    VitPoseBackboneConfig,
    pipeline,
)

from unipose import (
    UniPoseConfig,
    UniPoseForConditionalGeneration,
    UniPosePipeline,
    UniPoseProcessor,
    UniPoseVQVAE,
    UniPoseVQVAEConfig,
)
from unipose.training.models.encoder_sizes import image_processor


SIZES = ("embedded", "84m")
TOKEN_IDS = ("pose_code_start", "pose", "pose_start", "pose_end", "pose_query", "image", "image_start", "image_end")
# Text tokens of Mistral, pose codes and UniPose's own tokens.
PAPER_VOCABULARY = 32000 + 2048 + 7


def load_embedded() -> UniPosePipeline:
    """The pipeline of the embedded model."""
    return pipeline("unipose")


def medium_config(processor: UniPoseProcessor) -> UniPoseConfig:
    """8 layers of width 512, CLIP at 336 px and a pose encoder of 6 layers of width 256, the paper's pose tokenizer.

    Args:
        processor: Its tokens have the ids of the config; the vocabulary is wider, as the paper's.
    """
    text = LlamaConfig(
        vocab_size=PAPER_VOCABULARY,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=8,
        num_attention_heads=8,
        max_position_embeddings=4096,
        bos_token_id=processor.tokenizer.bos_token_id,
        eos_token_id=processor.tokenizer.eos_token_id,
        pad_token_id=processor.tokenizer.pad_token_id,
    )
    vision = CLIPVisionConfig(
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=4,
        image_size=336,
        patch_size=14,
    )
    pose_vision = VitPoseBackboneConfig(
        hidden_size=256, num_hidden_layers=6, num_attention_heads=4, out_indices=[6], layer_norm_eps=1e-6
    )
    return UniPoseConfig(
        text_config=text,
        vision_config=vision,
        pose_vision_config=pose_vision,
        pose_tokenizer_config=UniPoseVQVAEConfig(),
        **{f"{name}_id": getattr(processor, f"{name}_id") for name in ("pose_code_start",)},
        **{f"{name}_token_id": getattr(processor, f"{name}_token_id") for name in TOKEN_IDS[1:]},
    )


def random_model(config: UniPoseConfig) -> UniPoseForConditionalGeneration:
    """A model with random weights, the same for the same config."""
    torch.manual_seed(0)
    model = UniPoseForConditionalGeneration(copy.deepcopy(config)).eval()
    fill_codebook(model.model.pose_tokenizer)
    return model


@torch.no_grad()
def fill_codebook(pose_tokenizer: UniPoseVQVAE) -> None:
    """Random codes in place of zeros, which all have the same distance to a pose."""
    if pose_tokenizer.config.architecture == "convolution":
        pose_tokenizer.quantizer.initialize(torch.randn_like(pose_tokenizer.quantizer.codebook))


def random_pipeline() -> UniPosePipeline:
    """The pipeline of the random model of 84 million weights."""
    own = load_embedded().processor
    config = medium_config(own)
    processor = UniPoseProcessor(
        image_processor(config.vision_config, config.pose_vision_config),
        own.tokenizer,
        num_pose_tokens=config.num_pose_tokens,
        num_image_tokens=config.num_image_tokens,
    )
    model = random_model(config)
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    return UniPosePipeline(model=model, processor=processor)


def load_size(size: str) -> UniPosePipeline:
    """The pipeline of one of `SIZES`."""
    return load_embedded() if size == "embedded" else random_pipeline()


def parallel_and_causal(
    config: UniPoseConfig,
) -> tuple[UniPoseForConditionalGeneration, UniPoseForConditionalGeneration]:
    """Random models of one size: poses as parallel blocks, and poses of one code a step.

    Args:
        config: Its sizes are kept; parts that a model with causal poses cannot have are left out of both.
    """
    config = copy.deepcopy(config)
    config.vision_config = config.pose_vision_config = None
    config.pose_position_embeddings = config.source_pose_pointer = False
    causal = copy.deepcopy(config)
    causal.pose_attention = "causal"
    return random_model(config), random_model(causal)


def plain_vlm(config: UniPoseConfig) -> tuple[UniPoseForConditionalGeneration, LlavaForConditionalGeneration]:
    """A random model with CLIP alone, and a Llava with the same encoder, projector and language model.

    Args:
        config: Sizes of both.
    """
    config = copy.deepcopy(config)
    config.pose_vision_config = None
    torch.manual_seed(0)
    llava = LlavaConfig(
        text_config=copy.deepcopy(config.text_config),
        vision_config=copy.deepcopy(config.vision_config),
        image_token_id=config.image_token_id,
        vision_feature_layer=-1,
        tie_word_embeddings=config.tie_word_embeddings,
    )
    return random_model(config), LlavaForConditionalGeneration(llava).eval()
