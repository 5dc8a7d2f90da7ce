"""The visual processor: two towers on one picture, fused channel-wise and projected (paper, section 3.2)."""

import torch
from torch import nn
from transformers import AutoBackbone, AutoModel, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BackboneOutput, BaseModelOutput

from .configuration_unipose import UniPoseConfig


class UniPoseMultiModalProjector(nn.Module):
    """(pictures, tokens, channels of both towers) -> (pictures, tokens, width of the language model)."""

    def __init__(self, config: UniPoseConfig):
        super().__init__()
        width = config.text_config.hidden_size
        self.linear_1 = nn.Linear(config.num_image_channels, width)
        self.act = ACT2FN[config.projector_hidden_act]
        self.linear_2 = nn.Linear(width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.linear_2(self.act(self.linear_1(features)))


def build_towers(config: UniPoseConfig) -> tuple[PreTrainedModel | None, PreTrainedModel | None]:
    """The general tower and the pose tower, each None where the config has none."""
    vision = None if config.vision_config is None else AutoModel.from_config(config.vision_config)
    pose = None if config.pose_vision_config is None else AutoBackbone.from_config(config.pose_vision_config)
    return vision, pose


def general_tower_features(outputs: BaseModelOutput, config: UniPoseConfig) -> torch.Tensor:
    """The general tower's outputs -> (pictures, rows * columns, channels); a leading class token is dropped."""
    return outputs.hidden_states[config.vision_feature_layer][:, -config.num_image_tokens :]


def pose_tower_features(outputs: BackboneOutput, config: UniPoseConfig) -> torch.Tensor:
    """The pose tower's outputs -> (pictures, rows * columns, channels) on the grid of the general tower.

    The pose tower sees a portrait crop: its map is padded with zero columns to a square before it is resized.
    """
    rows, columns = config.pose_feature_grid
    feature_map = outputs.feature_maps[-1].mT.unflatten(-1, (rows, columns))
    feature_map = nn.functional.pad(feature_map, ((rows - columns) // 2, (rows - columns + 1) // 2))
    if config.feature_grid != (rows, rows):
        feature_map = nn.functional.interpolate(
            feature_map, size=config.feature_grid, mode="bilinear", align_corners=True
        )
    return feature_map.flatten(-2).mT
