"""Where an untrained projector starts: from standardised features, at the scale of embeddings.

Two towers speak in different strengths, and a new projector passes that on: a language model then sees the louder one
alone, and pictures hundreds of times as loud as words.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from unipose import UniPoseForConditionalGeneration


@torch.no_grad()
def standardize_projector(model: UniPoseForConditionalGeneration, pixels: Mapping[str, torch.Tensor]) -> None:
    """Fits the scales of a projector to some pictures; which channels it mixes stays as it is.

    Args:
        model: with at least one tower; its projector is changed.
        pixels: of the pictures, as `get_image_features` takes them.
    """
    projector = model.model.multi_modal_projector
    seen: list[torch.Tensor] = []
    hook = projector.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(0, -2)))
    model.get_image_features(**pixels)
    hook.remove()
    features = seen[0]
    mean, deviation = features.mean(dim=0), features.std(dim=0).clamp_min(1e-6)
    first, second = projector.linear_1, projector.linear_2
    first.weight.div_(deviation)
    first.bias.sub_(first.weight @ mean)
    table = cast(nn.Embedding, model.get_input_embeddings()).weight
    loudness = table.std() / projector(features).std()
    second.weight.mul_(loudness)
    second.bias.mul_(loudness)
