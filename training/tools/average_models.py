"""Averages the weights of runs that started from the same model: better than each of them on tasks that they trade.

Fine-tuning forgets a part of what came before. The mean of the weights before and after it loses less and keeps most
of what was learned (model soups, https://arxiv.org/abs/2203.05482).

python -m unipose.training.tools.average_models --models runs/a runs/b --output runs/mean
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel
from trl import TrlParser

import unipose  # noqa: F401  registers the model


@dataclass
class AverageArguments:
    """Options: folders of the models and of their mean."""

    models: list[str] = field(
        default_factory=list, metadata={"help": "Folders of models; the config and the processor are the last one's."}
    )
    weights: list[float] = field(
        default_factory=list,
        metadata={"help": "Weight of each model; default: all are equal. They need not sum to 1."},
    )
    output: str = field(default="runs/average", metadata={"help": "Folder of the mean."})


def average_models(models: Sequence[PreTrainedModel], weights: Sequence[float]) -> PreTrainedModel:
    """The last model with the weighted means of all models' parameters and floating-point buffers.

    A tensor that only some models have, such as a part that a later run has added, is averaged over these.

    Args:
        models: At least two; all their tensors must fit those of the last.
        weights: One positive number for each.

    Raises:
        ValueError: The numbers do not match, or a tensor has another shape.
    """
    if len(models) < 2 or len(weights) != len(models) or min(weights) <= 0:
        raise ValueError(
            f"expected at least two models and a positive weight for each, got {len(models)} models and weights "
            f"{list(weights)}"
        )
    states = [model.state_dict() for model in models]
    for name, tensor in states[-1].items():
        shapes = {tuple(state[name].shape) for state in states if name in state}
        if len(shapes) > 1:
            raise ValueError(f"{name} has the shapes {sorted(shapes)} in these models: expected one")
        if tensor.is_floating_point():
            present = [(weight, state[name]) for weight, state in zip(weights, states) if name in state]
            total = sum(weight for weight, _ in present)
            mean = sum((weight / total) * value.double() for weight, value in present)
            states[-1][name] = torch.as_tensor(mean).to(tensor.dtype)
    models[-1].load_state_dict(states[-1])
    return models[-1]


def main(arguments: AverageArguments) -> None:
    """Loads the models, averages and saves.

    Args:
        arguments: folders and weights.

    Raises:
        ValueError: As `average_models`.
    """
    models = [AutoModelForImageTextToText.from_pretrained(folder) for folder in arguments.models]
    average_models(models, arguments.weights or [1.0] * len(models)).save_pretrained(arguments.output)
    AutoProcessor.from_pretrained(arguments.models[-1]).save_pretrained(arguments.output)


if __name__ == "__main__":
    main(*TrlParser((AverageArguments,)).parse_args_and_config())
