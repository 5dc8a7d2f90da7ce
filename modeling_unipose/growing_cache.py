"""Keys and values of text answers go into room kept for them; the library would copy all of them at each token."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer


# Positions that a buffer has room for beyond those that it must hold, at least; else half of them.
LEAST_ROOM = 64


class GrowingLayer(DynamicLayer):
    """A dynamic layer whose keys and values are the filled parts of larger buffers.

    A cut layer would write over what views of it still hold, so it is used inside the library's loop only.
    """

    buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends keys and values.

        Args:
            key_states: (batch, heads, new positions, size).
            value_states: Of the same shape.
            args: Not used.
            kwargs: Not used.

        Returns:
            All keys and all values, (batch, heads, positions, size).
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        past = self.get_seq_length()
        length = past + key_states.shape[-2]
        if self.buffers is None or self.buffers[0].shape[-2] < length:
            self.buffers = larger(self.keys, key_states, past), larger(self.values, value_states, past)
        for buffer, states in zip(self.buffers, (key_states, value_states)):
            buffer[..., past:length, :] = states
        self.keys, self.values = (buffer[..., :length, :] for buffer in self.buffers)
        return self.keys, self.values

    def plain(self) -> DynamicLayer:
        """The library's layer with these keys and values."""
        layer = DynamicLayer()
        if self.keys is not None and self.values is not None:
            layer.lazy_initialization(self.keys, self.values)
            layer.keys, layer.values = self.keys, self.values
        return layer


def larger(filled: torch.Tensor | None, states: torch.Tensor, past: int) -> torch.Tensor:
    """A buffer with room for more positions, that begins with those so far.

    Args:
        filled: (batch, heads, past, size) keys or values so far; of any shape, or None, if there are none.
        states: (batch, heads, new positions, size) to come next.
        past: Number of positions so far.

    Returns:
        (batch, heads, positions, size).
    """
    length = past + states.shape[-2]
    buffer = states.new_empty((*states.shape[:-2], length + max(LEAST_ROOM, length // 2), states.shape[-1]))
    if filled is not None and past:
        buffer[..., :past, :] = filled
    return buffer


@contextmanager
def room_to_grow(cache: Cache | None) -> Iterator[None]:
    """Lets an empty dynamic cache grow without copies inside the context; outside it is the library's.

    Args:
        cache: Any other cache is left as it is.
    """
    layers = cache.layers if type(cache) is DynamicCache and not cache.offloading else []
    if not all(type(layer) is DynamicLayer and not layer.is_initialized for layer in layers):
        layers = []
    growing = [GrowingLayer() for _ in layers]
    layers[:] = growing
    try:
        yield
    finally:
        layers[:] = [layer.plain() for layer in growing]


__all__ = ["room_to_grow"]
