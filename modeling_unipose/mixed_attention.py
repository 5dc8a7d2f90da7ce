"""The paper's mixed attention: causal, but the queries of an output pose see each other (section 3.3)."""

import torch
from torch.nn.attention.flex_attention import BlockMask
from transformers import Cache, PreTrainedConfig
from transformers.masking_utils import create_causal_mask
from transformers.utils import is_tracing

from .cache_keyword import CACHE
from .query_runs import block_index


def cover_cache(blocks: torch.Tensor, cache: Cache | None) -> torch.Tensor:
    """Extends block ids to the past, which belongs to no block (-1).

    The library would apply shorter ids to the first positions of the cache, without an error.

    Args:
        blocks: (batch, length) of the new positions.
        cache: Keys and values of the past; a static one has a length of its own, and its past is a tensor.

    Returns:
        (batch, length of the keys).
    """
    if cache is None:
        return blocks
    length, _ = cache.get_mask_sizes(blocks.shape[1], 0)
    positions = torch.arange(blocks.shape[1], device=blocks.device) + cache.get_seq_length()
    return blocks.new_full((blocks.shape[0], length), -1).index_copy(1, positions, blocks)


def create_mask(
    config: PreTrainedConfig,
    inputs_embeds: torch.Tensor,
    attention_mask: torch.Tensor | None,
    cache: Cache | None,
    position_ids: torch.Tensor | None,
    opened: torch.Tensor | None,
) -> torch.Tensor | BlockMask | None:
    """The causal mask, opened inside each run of queries.

    Args:
        config: The language model's.
        inputs_embeds: (batch, length, hidden_size); only shape, dtype and device are read.
        attention_mask: (batch, past + length), or a ready 4-D mask, which is returned.
        cache: Keys and values of the past.
        position_ids: (batch, length).
        opened: (batch, length) bool, the queries that see each other; None: all positions are causal.

    Returns:
        The attention implementation's own form of a mask; None where it needs none.
    """
    blocks = None
    # One position alone sees the past and itself, query or not. A compiled graph holds no branch on values.
    if opened is not None and opened.shape[1] > 1 and (is_tracing() or opened.any()):
        blocks = cover_cache(torch.where(opened, block_index(opened), -1), cache)
    if attention_mask is None and cache is None:
        # Without a mask the library would look for packed sequences in position_ids.
        attention_mask = inputs_embeds.new_ones(inputs_embeds.shape[:2], dtype=torch.long)
    return create_causal_mask(
        config=config,
        inputs_embeds=inputs_embeds,
        attention_mask=attention_mask,
        **{CACHE: cache},
        position_ids=position_ids,
        block_sequence_ids=blocks,
    )


__all__ = ["cover_cache", "create_mask"]
