"""Output poses inside the library's generation loop: one forward computes all codes, each step takes one."""

from dataclasses import dataclass, field

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer, StaticLayer

from .configuration_unipose import UniPoseConfig


def codes_since_start(ids: torch.Tensor, config: UniPoseConfig) -> torch.Tensor:
    """Number of tokens of each row since its last pose-start.

    Args:
        ids: (batch, length).
        config: Config with the token ids.

    Returns:
        (batch,) tokens since pose-start; 0 where a row ends in pose-start, -1 outside a pose block.
    """
    window = ids[:, -(config.num_pose_tokens + 1) :]
    # A prompt of embeddings has no ids.
    if window.shape[1] == 0:
        return ids.new_full((len(ids),), -1)
    position = torch.arange(window.shape[1], device=ids.device)
    last_start = torch.where(window == config.pose_start_token_id, position, -1).max(dim=1).values
    return torch.where(last_start < 0, -1, window.shape[1] - 1 - last_start)


@dataclass
class PoseBlock:
    """Rows whose pose block started at the same step; `start` is the position of pose-start in the sequence."""

    rows: torch.Tensor
    start: int
    logits: torch.Tensor
    keys: list[torch.Tensor] = field(default_factory=list)
    values: list[torch.Tensor] = field(default_factory=list)


class PoseBlocks:
    """The unfinished blocks of one call of `generate`, and the cache positions they own.

    Args:
        config: Config with the token ids.
        prompt_length: Number of ids of the prompt.
        never_skip: Whether to run every forward, even if its logits are known, as all processes must under ZeRO-3.
    """

    def __init__(self, config: UniPoseConfig, prompt_length: int, never_skip: bool):
        self.config = config
        self.prompt_length = prompt_length
        self.never_skip = never_skip
        self.blocks: list[PoseBlock] = []
        self.ids = torch.empty(0, 0, dtype=torch.long)
        # Number of cache positions before input_ids, if a cache is continued with the new ids only.
        self.cache_offset: int | None = None

    def next_logits(self, ids: torch.Tensor) -> torch.Tensor | None:
        """Logits (batch, 1, vocab_size) of the step that follows `ids`; None if any row needs a forward."""
        self.ids = ids
        if self.never_skip or (codes_since_start(ids, self.config) < 1).any():
            return None
        like = self.blocks[0].logits
        return self.merge(like.new_zeros(len(ids), 1, like.shape[-1]))

    def store(self, logits: torch.Tensor, cache: Cache | None) -> torch.Tensor:
        """Stores the logits of a new block's codes for the next steps.

        Args:
            logits: (batch, kept positions, vocab_size) of a forward.
            cache: Cache after that forward; the new block's positions are removed from it.

        Returns:
            (batch, 1, vocab_size), the logits of this step.
        """
        tokens = self.config.num_pose_tokens
        begins = codes_since_start(self.ids, self.config) == 0
        added = tokens if begins.any() else 0
        if self.cache_offset is None and cache is not None:
            self.cache_offset = int(cache.get_seq_length()) - self.ids.shape[1] - added
        if not added:
            return self.merge(logits[:, -1:])
        rows = begins.nonzero().squeeze(1)
        block = PoseBlock(rows=rows, start=self.ids.shape[1] - 1, logits=logits[rows, -tokens:].clone())
        if cache is not None:
            self.stash_kv(cache, block)
        self.blocks.append(block)
        return self.merge(logits[:, -tokens - 1 : -tokens].clone())

    def merge(self, logits: torch.Tensor) -> torch.Tensor:
        """Overwrites the logits (batch, 1, vocab_size) of rows inside a block.

        After the last code the logits do not matter: the grammar allows pose-end only.
        """
        for block in self.blocks:
            index = self.ids.shape[1] - 1 - block.start
            if index < self.config.num_pose_tokens:
                logits[block.rows, 0] = block.logits[:, index]
        return logits

    def cache_positions(self, block: PoseBlock, count: int) -> slice:
        """The positions of a block's first codes in the cache.

        Args:
            block: The block.
            count: Number of codes.
        """
        first = block.start + 1 + (self.cache_offset or 0)
        return slice(first, first + count)

    def stash_kv(self, cache: Cache, block: PoseBlock) -> None:
        """Moves the queries' keys and values from the cache to the block: the cache then ends in pose-start.

        Args:
            cache: Changed in place.
            block: Changed in place.

        Args:
            cache: Grown by the forward with the block's queries.
            block: Gets the keys and values of its rows, layer by layer.

        Raises:
            ValueError: If a layer of the cache is neither dynamic nor static.
        """
        positions = self.cache_positions(block, self.config.num_pose_tokens)
        for layer in cache.layers:
            if type(layer) not in (DynamicLayer, StaticLayer):
                raise ValueError(f"an output pose needs a dynamic or a static cache, got {type(layer).__name__}")
            block.keys.append(layer.keys[block.rows, :, positions].clone())
            block.values.append(layer.values[block.rows, :, positions].clone())
            resize_layer(layer, -self.config.num_pose_tokens)

    def sync_cache(self, cache: Cache, length: int) -> None:
        """Resizes the cache and fills the positions of complete blocks.

        Positions of incomplete blocks stay empty.

        Args:
            cache: Changed in place.
            length: Number of ids.
        """
        tokens = self.config.num_pose_tokens
        missing = length + (self.cache_offset or 0) - int(cache.get_seq_length())
        for layer in cache.layers:
            resize_layer(layer, missing)
        for block in self.blocks:
            if block.start + tokens < length:
                self.restore_block(cache, block, tokens)
        self.blocks = [block for block in self.blocks if block.start + tokens >= length]

    def restore(self, cache: Cache, length: int) -> None:
        """Makes every cache position valid after the last step, so that the cache can be reused.

        Args:
            cache: Changed in place.
            length: Number of ids.
        """
        self.sync_cache(cache, length)
        for block in self.blocks:
            self.restore_block(cache, block, length - block.start - 1)

    def restore_block(self, cache: Cache, block: PoseBlock, count: int) -> None:
        """Puts the keys and values of a block's first codes back into the cache.

        Args:
            cache: Changed in place.
            block: The block.
            count: Number of codes.
        """
        positions = self.cache_positions(block, count)
        for layer, keys, values in zip(cache.layers, block.keys, block.values):
            layer.keys[block.rows, :, positions] = keys[:, :, :count]
            layer.values[block.rows, :, positions] = values[:, :, :count]


def resize_layer(layer: DynamicLayer | StaticLayer, change: int) -> None:
    """Adds (empty) or removes positions at the end of one cache layer.

    Args:
        layer: Changed in place.
        change: Number of added positions; negative: removed.
    """
    if isinstance(layer, StaticLayer):
        layer.cumulative_length.add_(change)
    elif change < 0:
        layer.crop(change)
    else:
        layer.keys = torch.nn.functional.pad(layer.keys, (0, 0, 0, change))
        layer.values = torch.nn.functional.pad(layer.values, (0, 0, 0, change))


__all__ = ["PoseBlock", "PoseBlocks", "codes_since_start"]
