"""Hooks by which transformers records the outputs of layers: installed at once, and left out of pickles."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils.output_capturing import maybe_install_capturing_hooks


def install_hooks(*models: PreTrainedModel | None) -> None:
    """Installs the hooks of models, None for none.

    The library does this in the first forward, behind a lock, which no compiled graph can hold.
    """
    for model in models:
        if model is not None:
            maybe_install_capturing_hooks(model)


def without_hooks(module: nn.Module) -> nn.Module:
    """The same module with the same weights, but without the hooks: they are closures, which no pickle can hold."""
    copied = object.__new__(type(module))
    state = vars(copied)
    state.update(vars(module))
    state.pop("_output_capturing_hooks_installed", None)
    state["_forward_hooks"] = type(module._forward_hooks)(
        (key, hook)
        for key, hook in module._forward_hooks.items()
        if getattr(hook, "__module__", None) != maybe_install_capturing_hooks.__module__
    )
    state["_modules"] = {name: child and without_hooks(child) for name, child in module._modules.items()}
    return copied


def is_plain_linear(module: nn.Module) -> bool:
    """Whether a call of a module is one product with its weights: no adapter, quantization, offloading or hook."""
    hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
    # accelerate puts a forward of its own on the module.
    return type(module) is nn.Linear and hooks == 0 and "forward" not in vars(module)


def columns_of(head: nn.Module, hidden: torch.Tensor, parts: Iterable[slice]) -> Iterator[torch.Tensor]:
    """Columns of what a head computes, one part after the other, so that all logits are never in memory at once.

    A head that is more than its weights, because of an adapter, a quantization or a hook, is run whole, and once.

    Args:
        head: The head, (..., hidden_size) -> (..., vocab_size).
        hidden: (..., hidden_size).
        parts: The columns of each part.
    """
    if is_plain_linear(head):
        weight: Any = head.weight
        yield from (nn.functional.linear(hidden, weight[part]) for part in parts)
    else:
        logits = head(hidden)
        yield from (logits[..., part] for part in parts)


class PicklingMixin:
    """`pickle` and `torch.save` of a whole model."""

    def __getstate__(self) -> dict[str, Any]:
        return vars(without_hooks(self))  # type: ignore[arg-type]


__all__ = ["PicklingMixin", "columns_of", "install_hooks", "is_plain_linear"]
