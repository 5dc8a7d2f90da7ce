"""The visual processor: two vision encoders on one image, fused channel-wise and projected (paper, section 3.2)."""

import torch
from torch import nn
from transformers import AutoBackbone, AutoModel, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BackboneOutput, BaseModelOutput

from .configuration_unipose import UniPoseConfig
from .output_hooks import install_hooks


class UniPoseMultiModalProjector(nn.Module):
    """(images, tokens, channels of both vision encoders) -> (images, tokens, hidden_size of the language model)."""

    def __init__(self, config: UniPoseConfig):
        super().__init__()
        width = config.text_config.hidden_size
        self.linear_1 = nn.Linear(config.num_image_channels, width)
        self.act = ACT2FN[config.projector_hidden_act]
        self.linear_2 = nn.Linear(width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.linear_2(self.act(self.linear_1(features)))


# Neither the pose encoder nor the pose tokenizer has flex attention, and only the language model has a block mask.
WITHOUT_FLEX_ATTENTION = ("vision_config", "pose_vision_config", "pose_tokenizer_config")


def attention_per_part(implementation: str | dict) -> str | dict:
    """Maps the plain name "flex_attention" to the language model; the other parts use sdpa."""
    if implementation != "flex_attention":
        return implementation
    return {"": implementation, "text_config": implementation, **dict.fromkeys(WITHOUT_FLEX_ATTENTION, "sdpa")}


def build_vision_encoders(config: UniPoseConfig) -> tuple[PreTrainedModel | None, PreTrainedModel | None]:
    """The vision encoder and the pose encoder, each None where the config has none."""
    # Loading with the plain name sets it in every part of the config.
    for part in (getattr(config, name) for name in WITHOUT_FLEX_ATTENTION):
        if part is not None and part._attn_implementation == "flex_attention":
            part._attn_implementation = "sdpa"
    vision = None if config.vision_config is None else AutoModel.from_config(config.vision_config)
    pose = None if config.pose_vision_config is None else AutoBackbone.from_config(config.pose_vision_config)
    install_hooks(vision, pose)
    return vision, pose


def vision_encoder_features(outputs: BaseModelOutput, config: UniPoseConfig) -> torch.Tensor:
    """The features of the vision encoder; a leading class token is dropped.

    Args:
        outputs: The encoder's, with hidden states.
        config: Config with the layer and the number of tokens.

    Returns:
        (images, rows * columns, channels).
    """
    return outputs.hidden_states[config.vision_feature_layer][:, -config.num_image_tokens :]


def pose_encoder_features(outputs: BackboneOutput, config: UniPoseConfig) -> torch.Tensor:
    """The features of the pose encoder, on the grid of the vision encoder.

    The pose encoder sees a portrait crop: its map is padded with zero columns to a square before it is resized.

    Args:
        outputs: The encoder's, with feature maps.
        config: Config with both grids.

    Returns:
        (images, rows * columns, channels).
    """
    rows, columns = config.pose_feature_grid
    feature_map = outputs.feature_maps[-1].mT.unflatten(-1, (rows, columns))
    feature_map = nn.functional.pad(feature_map, ((rows - columns) // 2, (rows - columns + 1) // 2))
    if config.feature_grid != (rows, rows):
        feature_map = nn.functional.interpolate(
            feature_map, size=config.feature_grid, mode="bilinear", align_corners=True
        )
    return feature_map.flatten(-2).mT
