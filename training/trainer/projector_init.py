"""Initialization of a projector: from standardized features, to the scale of text embeddings.

The features of two vision encoders differ in scale, and a new projector passes that on: the larger ones would
dominate, and image tokens would be hundreds of times as large as text tokens.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from unipose import UniPoseForConditionalGeneration


@torch.no_grad()
def standardize_projector(model: UniPoseForConditionalGeneration, pixels: Mapping[str, torch.Tensor]) -> None:
    """Fits the scales of a projector to some images; its mixing of channels does not change.

    Args:
        model: model with at least one vision encoder; its projector is changed.
        pixels: pixels of the images, as `get_image_features` takes them.
    """
    projector = model.model.multi_modal_projector
    inputs_seen: list[torch.Tensor] = []
    hook = projector.register_forward_pre_hook(lambda _, inputs: inputs_seen.append(inputs[0].flatten(0, -2)))
    model.get_image_features(**pixels)
    hook.remove()
    features = inputs_seen[0]
    mean, deviation = features.mean(dim=0), features.std(dim=0).clamp_min(1e-6)
    first, second = projector.linear_1, projector.linear_2
    first.weight.div_(deviation)
    first.bias.sub_(first.weight @ mean)
    table = cast(nn.Embedding, model.get_input_embeddings()).weight
    scale = table.std() / projector(features).std()
    second.weight.mul_(scale)
    second.bias.mul_(scale)
