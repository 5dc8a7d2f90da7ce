"""Output poses inside the library's generation loop: one forward computes all codes, each step takes one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer, StaticLayer

from .cache_keyword import CACHE
from .configuration_unipose import UniPoseConfig
from .pose_decoding import CodeChooser, revealed_counts
from .query_runs import codes_since_start, is_pose_code, source_codes


@dataclass
class PoseBlock:
    """Rows whose pose block started at the same step; `start` is the position of pose-start in the sequence.

    `inputs` are those of the forward that computed the block, with all rows of the batch. `logits` (rows,
    num_pose_tokens, ...) are over the vocabulary, or over the codes alone (`PoseBlocks.codes_only`).
    """

    rows: torch.Tensor
    start: int
    logits: torch.Tensor
    inputs: dict[str, Any] = field(default_factory=dict)
    keys: list[torch.Tensor] = field(default_factory=list)
    values: list[torch.Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Refinement:
    """How the codes of a block are revealed to each other.

    Args:
        chooser: Chooses the codes that are revealed.
        counts: Number of known codes before each forward but the first.
        in_order: Whether the first codes are revealed, which sampling has drawn; otherwise the surest.
        forward: The model's forward.
    """

    chooser: CodeChooser
    counts: list[int]
    in_order: bool
    forward: Callable[..., Any]

    @classmethod
    def of_model(cls, model: Any, chooser: CodeChooser, in_order: bool) -> "Refinement | None":
        """The refinement of a call of `generate`; None with a single forward.

        Args:
            model: The model with its head.
            chooser: Chooses the codes; it holds the options.
            in_order: See above.
        """
        counts = revealed_counts(model.config.num_pose_tokens, chooser.decoding.pose_refinement_steps)
        return cls(chooser, counts, in_order, model) if counts else None


class PoseBlocks:
    """The unfinished blocks of one call of `generate`, and the cache positions they own.

    Args:
        config: Config with the token ids.
        prompt_length: Number of ids of the prompt.
        never_skip: Whether to run every forward, even if its logits are known, as all processes must under ZeRO-3.
        refinement: How codes are revealed; None: one forward computes a block.
        source_codes: (batch, num_pose_tokens) ids of the prompt's last poses, see `prompt_source_codes`.
        codes_only: Whether only the logits of codes are computed, because every row is at the start of its only pose.
    """

    def __init__(
        self,
        config: UniPoseConfig,
        prompt_length: int,
        never_skip: bool,
        refinement: "Refinement | None" = None,
        source_codes: torch.Tensor | None = None,
        codes_only: bool = False,
    ):
        self.config = config
        self.codes_only = codes_only
        self.prompt_length = prompt_length
        self.never_skip = never_skip
        self.refinement = refinement
        # Of the forward in progress, if it starts a block that will be refined.
        self.inputs: dict[str, Any] = {}
        self.source_codes = source_codes
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
            logits: (batch, kept positions, vocab_size) of a forward; with `codes_only` over the codes.
            cache: Cache after that forward; the new block's positions are removed from it, unless `codes_only`.

        Returns:
            (batch, 1, vocab_size), the logits of this step; with `codes_only` over the codes.
        """
        tokens = self.config.num_pose_tokens
        begins = codes_since_start(self.ids, self.config) == 0
        added = tokens if begins.any() else 0
        if self.cache_offset is None and cache is not None:
            self.cache_offset = int(cache.get_seq_length()) - self.ids.shape[1] - added
        if not added:
            return self.merge(logits[:, -1:])
        rows = begins.nonzero().squeeze(1)
        own = logits if self.codes_only else logits[rows, -tokens:]
        block = PoseBlock(rows, self.ids.shape[1] - 1, own, self.inputs)
        if cache is not None:
            check_layers(cache)
            # After the only pose of every row the cache is as the forward left it.
            if not self.codes_only:
                self.stash_kv(cache, block)
        self.blocks.append(block)
        if self.refinement is not None and not self.refinement.in_order:
            self.refine_surest_first(self.refinement, block, cache)
        return block.logits[:, :1] if self.codes_only else self.merge(logits[:, -tokens - 1 : -tokens].clone())

    def merge(self, logits: torch.Tensor) -> torch.Tensor:
        """Overwrites the logits (batch, 1, vocab_size) of rows inside a block.

        After the last code the logits do not matter: the grammar allows pose-end only.
        """
        for block in self.blocks:
            index = self.ids.shape[1] - 1 - block.start
            if index < self.config.num_pose_tokens:
                logits[block.rows, 0] = block.logits[:, index]
        return logits

    def refine_surest_first(self, refinement: "Refinement", block: PoseBlock, cache: Cache | None) -> None:
        """Predicts a block again and again; each time more of its surest codes are revealed.

        Args:
            refinement: How codes are revealed.
            block: Its logits become those of the forward in which each code was chosen.
            cache: Cache with the block's pose-start; it does not change.
        """
        codes = torch.full_like(block.logits[..., 0], -1, dtype=torch.long)
        for count in refinement.counts:
            is_known = codes >= 0
            code_logits = block.logits if self.codes_only else block.logits[..., refinement.chooser.ids]
            is_revealed = refinement.chooser.surest(code_logits, is_known, count)
            chosen = refinement.chooser.choose_all(code_logits, self.sources_of(block))
            codes = torch.where(is_revealed & ~is_known, chosen, codes)
            self.predict_hidden(refinement, block, codes, cache)

    def refine_in_order(self, ids: torch.Tensor, cache: Cache | None) -> None:
        """Predicts blocks again that have reached a count of the schedule; all of their codes so far are revealed.

        Args:
            ids: (batch, length).
            cache: The cache; it does not change.
        """
        if self.refinement is None or not self.refinement.in_order:
            return
        for block in self.blocks:
            count = ids.shape[1] - 1 - block.start
            if count in self.refinement.counts:
                codes = torch.full_like(block.logits[..., 0], -1, dtype=torch.long)
                codes[:, :count] = ids[block.rows, block.start + 1 :] - self.config.pose_code_start_id
                self.predict_hidden(self.refinement, block, codes, cache)

    def predict_hidden(
        self, refinement: "Refinement", block: PoseBlock, codes: torch.Tensor, cache: Cache | None
    ) -> None:
        """Replaces a block's logits of the codes that are not known.

        Args:
            refinement: Its forward is run once.
            block: Changed in place.
            codes: (rows, num_pose_tokens) known codes, -1 elsewhere.
            cache: The cache, valid up to the block's pose-start; None: the whole sequences are run again.
        """
        tokens, inputs = self.config.num_pose_tokens, dict(block.inputs)
        if cache is None:
            revealed = codes.new_full(inputs["input_ids"].shape, -1)
            revealed[block.rows, -tokens:] = codes
        else:
            revealed = codes
            inputs = self.inputs_behind_cache(block, cache)
        kept = {"logits_to_keep": tokens, "pose_codes_only": self.codes_only}
        outputs = refinement.forward(**inputs | {"revealed_pose_codes": revealed, **kept})
        predicted = outputs.logits if cache is not None else outputs.logits[block.rows]
        block.logits = torch.where((codes >= 0).unsqueeze(-1), block.logits, predicted)

    def inputs_behind_cache(self, block: PoseBlock, cache: Cache) -> dict[str, Any]:
        """The inputs of a block's rows and queries alone, with a copy of the cache up to their pose-start.

        Args:
            block: The block.
            cache: The cache, whose layers may be static and longer.
        """
        tokens = self.config.num_pose_tokens
        length = self.cache_positions(block, 0).start
        past = DynamicCache()
        for index, layer in enumerate(cache.layers):
            past.update(layer.keys[block.rows, :, :length], layer.values[block.rows, :, :length], index)
        mask, positions = block.inputs.get("attention_mask"), block.inputs.get("position_ids")
        return {
            "input_ids": block.inputs["input_ids"][block.rows, -tokens:],
            "attention_mask": None if mask is None else mask[block.rows],
            "position_ids": None if positions is None else positions[block.rows, -tokens:],
            "source_pose_codes": self.sources_of(block),
            CACHE: past,
        }

    def sources_of(self, block: PoseBlock) -> torch.Tensor | None:
        """(rows, num_pose_tokens) codes of the source poses of a block's rows; None without a pointer to them."""
        return None if self.source_codes is None else self.source_codes[block.rows]

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
            cache: Grown by the forward with the block's queries.
            block: Gets the keys and values of its rows, layer by layer.
        """
        positions = self.cache_positions(block, self.config.num_pose_tokens)
        for layer in cache.layers:
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


def check_layers(cache: Cache) -> None:
    """Checks that a cache can hold output poses.

    Raises:
        ValueError: If a layer of the cache is neither dynamic nor static.
    """
    for layer in cache.layers:
        if type(layer) not in (DynamicLayer, StaticLayer):
            raise ValueError(f"an output pose needs a dynamic or a static cache, got {type(layer).__name__}")


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


def codes_to_queries(ids: torch.Tensor, prompt_length: int, config: UniPoseConfig) -> torch.Tensor:
    """Replaces the answer's codes by queries, so that a run without a cache equals a cached run.

    Args:
        ids: (batch, length).
        prompt_length: Number of ids of the prompt, which stay unchanged.
        config: Config with the token ids.
    """
    is_code = is_pose_code(ids, config)
    is_code[:, :prompt_length] = False
    return ids.masked_fill(is_code, config.pose_query_token_id)


def prompt_source_codes(
    model: Any,
    input_ids: torch.Tensor,
    inputs_embeds: torch.Tensor | None = None,
    pose_values: torch.Tensor | None = None,
    **kwargs: Any,
) -> torch.Tensor | None:
    """Codes of each row's last input pose, for queries whose forward finds the prompt in its cache, and for choosers.

    Args:
        model: The model without its head.
        input_ids: (batch, length) of the prompt; without columns if it comes as embeddings.
        inputs_embeds: (batch, length, hidden_size) of the prompt, or None.
        pose_values: (poses, 22, 6) of the whole prompt, or None.
        kwargs: The other inputs, which are not used.

    Returns:
        (batch, num_pose_tokens) ids, -1 without an input pose; None without any, or without `source_pose_pointer`.

    Raises:
        ValueError: If placeholders and poses do not match, with both numbers.
    """
    config, pad = model.config, torch.nn.functional.pad
    if not config.source_pose_pointer:
        return None
    tokens, query = config.num_pose_tokens, config.pose_query_token_id
    ids = None if input_ids.shape[1] == 0 else input_ids
    is_pose = model.placeholder_mask(config.pose_token_id, ids, inputs_embeds)
    codes = model.encode_poses(is_pose, pose_values)
    if codes is None and not is_pose_code(input_ids, config).any():
        return None
    ids = None if ids is None else pad(ids, (0, tokens), value=query)
    is_query = pad(torch.zeros_like(is_pose), (0, tokens), value=True)
    return source_codes(ids, pad(is_pose, (0, tokens)), codes, is_query, config)[:, -tokens:]


def append_queries(
    inputs: dict[str, Any], config: UniPoseConfig, sources: torch.Tensor | None, codes_only: bool = False
) -> None:
    """Appends all queries to every row of the next forward; rows that start no pose ignore them.

    Args:
        inputs: Changed in place.
        config: Config with the token ids.
        sources: (batch, num_pose_tokens) codes of source poses that the forward does not see, or None.
        codes_only: Whether all rows start a pose, and only the logits of its codes are wanted.
    """
    tokens, pad = config.num_pose_tokens, torch.nn.functional.pad
    if sources is not None:
        inputs["source_pose_codes"] = pad(sources, (inputs["input_ids"].shape[1], 0), value=-1)
    inputs["input_ids"] = pad(inputs["input_ids"], (0, tokens), value=config.pose_query_token_id)
    if inputs.get("attention_mask") is not None:
        inputs["attention_mask"] = pad(inputs["attention_mask"], (0, tokens), value=1)
    if inputs.get("position_ids") is not None:
        last = inputs["position_ids"][:, -1:]
        steps = torch.arange(1, tokens + 1, device=last.device)
        inputs["position_ids"] = torch.cat([inputs["position_ids"], last + steps], dim=1)
    inputs["logits_to_keep"] = tokens if codes_only else tokens + 1
    inputs["pose_codes_only"] = codes_only


__all__ = ["PoseBlock", "PoseBlocks", "Refinement", "append_queries", "codes_to_queries", "prompt_source_codes"]
