"""The visual processor: two vision encoders on one image, fused channel-wise and projected (paper, section 3.2)."""

import torch
from torch import nn
from transformers import AutoBackbone, AutoModel, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BackboneOutput, BaseModelOutput, BaseModelOutputWithPooling
from transformers.processing_utils import Unpack
from transformers.utils import torch_compilable_check
from transformers.utils.generic import TransformersKwargs, can_return_tuple
from transformers.utils.output_capturing import select_hidden_states

from .configuration_unipose import UniPoseConfig
from .finite_checks import check_pixels
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


class ImageInputMixin:
    """The model's part that turns pixels into inputs of the language model."""

    config: UniPoseConfig
    training: bool
    vision_tower: PreTrainedModel | None
    pose_vision_tower: PreTrainedModel | None
    multi_modal_projector: UniPoseMultiModalProjector | None

    @can_return_tuple
    @select_hidden_states(lambda model: model.config.vision_feature_layer)
    def get_image_features(
        self,
        pixel_values: torch.Tensor | None = None,
        pose_pixel_values: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        """Encodes, fuses and projects images, each given twice: once for each vision encoder.

        Args:
            pixel_values: (images, 3, height, width) for the vision encoder, in placeholder order.
            pose_pixel_values: (images, 3, height, width) for the pose encoder, in the same order.

        Returns:
            pooler_output (images, num_image_tokens, hidden_size), the input of the language model. The other fields
            are the vision encoder's, or the pose encoder's if the model has no vision encoder.

        Raises:
            ValueError: If a vision encoder lacks its pixels, or pixels lack their vision encoder or are not finite.
        """
        outputs, features = [], []
        for encoder, pixels, name, extract in (
            (self.vision_tower, pixel_values, "pixel_values", vision_encoder_features),
            (self.pose_vision_tower, pose_pixel_values, "pose_pixel_values", pose_encoder_features),
        ):
            if (encoder is None) != (pixels is None):
                state = "has no vision encoder for" if encoder is None else "needs"
                raise ValueError(f"this model {state} {name}: give each of its vision encoders its own pixels")
            if encoder is not None:
                check_pixels(pixels, name)
                outputs.append(encoder(pixels.to(encoder.dtype), return_dict=True, **kwargs))
                features.append(extract(outputs[-1], self.config))
        return BaseModelOutputWithPooling(
            last_hidden_state=features[0] if self.vision_tower is None else outputs[0].last_hidden_state,
            pooler_output=self.multi_modal_projector(torch.cat(features, dim=-1)),
            hidden_states=outputs[0].hidden_states,
            attentions=outputs[0].attentions,
        )

    def insert_image_features(
        self, inputs_embeds: torch.Tensor, placeholders: torch.Tensor, features: torch.Tensor | None
    ) -> torch.Tensor:
        """Replaces the placeholders of images by their features.

        Args:
            inputs_embeds: (batch, length, hidden_size).
            placeholders: (batch, length) bool.
            features: (images, num_image_tokens, hidden_size) in placeholder order, or None.

        Returns:
            (batch, length, hidden_size).

        Raises:
            ValueError: If placeholders and images do not match, with both numbers.
        """
        tokens, images = self.config.num_image_tokens, 0 if features is None else len(features)
        torch_compilable_check(
            placeholders.sum() == images * tokens,
            lambda: (
                f"input_ids hold {int(placeholders.sum())} image placeholders, but {images} images of {tokens} tokens "
                f"({images * tokens}) were given"
            ),
        )
        if features is None:
            return inputs_embeds
        return inputs_embeds.masked_scatter(placeholders.unsqueeze(-1), features.to(inputs_embeds))

    def add_zero_projector_gradient(self, inputs_embeds: torch.Tensor) -> torch.Tensor:
        """Gives a trainable projector a gradient of zero, instead of none, from a batch without images.

        Distributed training exchanges gradients: all processes must have them for the same weights.
        """
        if not self.training or not any(weight.requires_grad for weight in self.multi_modal_projector.parameters()):
            return inputs_embeds
        blank = inputs_embeds.new_zeros(1, 1, self.config.num_image_channels)
        return inputs_embeds + 0.0 * self.multi_modal_projector(blank).to(inputs_embeds)
