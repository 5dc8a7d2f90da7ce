"""Copies of a module's weights, and comparisons of them."""

import torch


def weights_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def unequal_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> list[str]:
    """The names of tensors that are not equal in two sets of weights."""
    return [name for name in first.keys() | second.keys() if not torch.equal(first[name], second[name])]


def unmoved_weights(module: torch.nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    """The names of a module's tensors that are equal to those of before."""
    return {name for name, value in module.state_dict().items() if torch.equal(value, before[name])}
