"""Generation of text and poses inside the library's own `generate` (paper, section 3.3).

An output pose costs one forward. The step that follows pose-start runs pose-start and all queries at once; the
queries' logits are then served one a step, so that sampling, scores, streamers and stopping stay the library's. Rows
of a batch need not be in step: while one row is served, the others go on, and its cache places are filled with the
queries' keys and values when its block is complete. The codes themselves are never fed back.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from transformers import Cache, GenerationMixin, LogitsProcessor, LogitsProcessorList
from transformers.cache_utils import DynamicLayer, StaticLayer
from transformers.generation import GenerationMode
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .cache_keyword import CACHE, accepts_both_cache_names
from .configuration_unipose import UniPoseConfig


PoseMode = Literal["pose", "text"]
IMAGE_INPUTS = ("pixel_values", "pose_pixel_values")


def codes_since_start(ids: torch.Tensor, config: UniPoseConfig) -> torch.Tensor:
    """(batch, length) -> tokens since pose-start in each row (0: it ends in pose-start); -1 outside a pose block."""
    window = ids[:, -(config.num_pose_tokens + 1) :]
    # A prompt of embeddings has no ids.
    if window.shape[1] == 0:
        return ids.new_full((len(ids),), -1)
    position = torch.arange(window.shape[1], device=ids.device)
    last_start = torch.where(window == config.pose_start_token_id, position, -1).max(dim=1).values
    return torch.where(last_start < 0, -1, window.shape[1] - 1 - last_start)


class PoseGrammar(LogitsProcessor):
    """Makes a malformed pose impossible: pose-start, exactly `num_pose_tokens` codes, pose-end.

    It runs first, so that temperature, top-k and top-p act on permitted tokens only, and last, so that no other
    processor can force a token into a block. What it permits follows from the last ids: it has no state.
    """

    def __init__(self, config: UniPoseConfig, max_length: int, generation_mode: PoseMode | None):
        self.config = config
        self.max_length = max_length
        self.generation_mode = generation_mode

    def permitted(self, ids: torch.Tensor, vocab_size: int) -> torch.Tensor:
        """(batch, length) -> (batch, vocab_size)."""
        config = self.config
        token = torch.arange(vocab_size, device=ids.device)
        first_code, size = config.pose_code_start_id, config.pose_tokenizer_config.codebook_size
        is_code = (token >= first_code) & (token < first_code + size)
        is_start, is_end = token == config.pose_start_token_id, token == config.pose_end_token_id
        placeholders = token.new_tensor(
            [config.pose_token_id, config.pose_query_token_id, config.image_token_id]
            + [config.image_start_token_id, config.image_end_token_id]
        )
        if self.generation_mode == "pose":
            in_text = token == self.next_before_pose(ids).unsqueeze(1)
        else:
            in_text = ~(is_code | is_end | torch.isin(token, placeholders))
            if self.generation_mode == "text" or ids.shape[1] + config.num_pose_tokens + 2 > self.max_length:
                in_text = in_text & ~is_start
        since = codes_since_start(ids, config).unsqueeze(1)
        in_block = torch.where(since == config.num_pose_tokens, is_end, is_code)
        return torch.where(since < 0, in_text, in_block)

    def next_before_pose(self, ids: torch.Tensor) -> torch.Tensor:
        """(batch, length) -> (batch,) the token that leads to a pose: the next of the opening, then pose-start."""
        opening = ids.new_tensor(self.config.pose_opening_ids)
        leading = [*self.config.pose_opening_ids, self.config.pose_start_token_id]
        following = ids.new_full((len(ids),), leading[0])
        for said in range(1, min(len(opening), ids.shape[1]) + 1):
            matches = (ids[:, -said:] == opening[:said]).all(dim=1)
            following = following.masked_fill(matches, leading[said])
        return following

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        permitted = self.permitted(input_ids, scores.shape[1])
        return torch.where(permitted, scores.clamp_min(torch.finfo(scores.dtype).min), -torch.inf)


@dataclass
class PoseBlock:
    """Rows whose pose block started at the same step; `start` is the place of pose-start in the sequence."""

    rows: torch.Tensor
    start: int
    logits: torch.Tensor
    keys: list[torch.Tensor] = field(default_factory=list)
    values: list[torch.Tensor] = field(default_factory=list)


class PoseBlocks:
    """The blocks that are being served in one call of `generate`, and the cache places they own."""

    def __init__(self, config: UniPoseConfig, prompt_length: int, never_skip: bool):
        self.config = config
        self.prompt_length = prompt_length
        # Under ZeRO-3 every process must run every forward.
        self.never_skip = never_skip
        self.blocks: list[PoseBlock] = []
        self.ids = torch.empty(0, 0, dtype=torch.long)
        # Cache places that precede input_ids, where a cache is continued with the new ids only.
        self.cache_offset: int | None = None

    def serve(self, ids: torch.Tensor) -> torch.Tensor | None:
        """Logits (batch, 1, vocab_size) of the step that follows `ids`, if no row needs a forward."""
        self.ids = ids
        if self.never_skip or (codes_since_start(ids, self.config) < 1).any():
            return None
        like = self.blocks[0].logits
        return self.fill_in(like.new_zeros(len(ids), 1, like.shape[-1]))

    def receive(self, logits: torch.Tensor, cache: Cache | None) -> torch.Tensor:
        """Logits (batch, kept positions, vocab_size) of a forward -> those of this step (batch, 1, vocab_size)."""
        tokens = self.config.num_pose_tokens
        begins = codes_since_start(self.ids, self.config) == 0
        added = tokens if begins.any() else 0
        if self.cache_offset is None and cache is not None:
            self.cache_offset = int(cache.get_seq_length()) - self.ids.shape[1] - added
        if not added:
            return self.fill_in(logits[:, -1:])
        rows = begins.nonzero().squeeze(1)
        block = PoseBlock(rows=rows, start=self.ids.shape[1] - 1, logits=logits[rows, -tokens:].clone())
        if cache is not None:
            self.take_places(cache, block)
        self.blocks.append(block)
        return self.fill_in(logits[:, -tokens - 1 : -tokens].clone())

    def fill_in(self, logits: torch.Tensor) -> torch.Tensor:
        """Puts the served rows' logits in. After the last code any will do: the grammar leaves pose-end alone."""
        for block in self.blocks:
            index = self.ids.shape[1] - 1 - block.start
            if index < self.config.num_pose_tokens:
                logits[block.rows, 0] = block.logits[:, index]
        return logits

    def places(self, block: PoseBlock, count: int) -> slice:
        first = block.start + 1 + (self.cache_offset or 0)
        return slice(first, first + count)

    def take_places(self, cache: Cache, block: PoseBlock) -> None:
        """Keeps the queries' keys and values aside and crops the cache to the pose-start."""
        places = self.places(block, self.config.num_pose_tokens)
        for layer in cache.layers:
            if type(layer) not in (DynamicLayer, StaticLayer):
                raise ValueError(f"an output pose needs a dynamic or a static cache, found {type(layer).__name__}")
            block.keys.append(layer.keys[block.rows, :, places].clone())
            block.values.append(layer.values[block.rows, :, places].clone())
            resize_layer(layer, -self.config.num_pose_tokens)

    def sync(self, cache: Cache, length: int) -> None:
        """Makes the cache cover `length` ids; places of complete blocks are filled, the others when complete."""
        tokens = self.config.num_pose_tokens
        missing = length + (self.cache_offset or 0) - int(cache.get_seq_length())
        for layer in cache.layers:
            resize_layer(layer, missing)
        for block in self.blocks:
            if block.start + tokens < length:
                self.restore(cache, block, tokens)
        self.blocks = [block for block in self.blocks if block.start + tokens >= length]

    def finish(self, cache: Cache, length: int) -> None:
        """After the last step: all places that cover `length` ids are valid, so that the cache may be continued."""
        self.sync(cache, length)
        for block in self.blocks:
            self.restore(cache, block, length - block.start - 1)

    def restore(self, cache: Cache, block: PoseBlock, count: int) -> None:
        places = self.places(block, count)
        for layer, keys, values in zip(cache.layers, block.keys, block.values):
            layer.keys[block.rows, :, places] = keys[:, :, :count]
            layer.values[block.rows, :, places] = values[:, :, :count]


def resize_layer(layer: DynamicLayer | StaticLayer, change: int) -> None:
    """Adds (empty) or removes places at the end of one cache layer."""
    if isinstance(layer, StaticLayer):
        layer.cumulative_length.add_(change)
    elif change < 0:
        layer.crop(change)
    else:
        layer.keys = torch.nn.functional.pad(layer.keys, (0, 0, 0, change))
        layer.values = torch.nn.functional.pad(layer.values, (0, 0, 0, change))


class UniPoseGenerationMixin(GenerationMixin):
    """`generate` with parallel pose blocks. See the module's docstring."""

    config: UniPoseConfig
    model: Any

    @torch.no_grad()
    def generate(self, inputs=None, generation_config=None, *, generation_mode: PoseMode | None = None, **kwargs):
        """As the library's `generate`, with poses.

        Args:
            generation_mode: "pose": the answer is one pose and ends with it; "text": the answer holds no pose; None:
                the model chooses, and text and poses may alternate.
            kwargs: The library's; `inputs_embeds` must end before pose-start, which only ids can tell.

        Raises:
            ValueError: For beam search without generation_mode="text", for assisted or prompt-lookup decoding and for
                guidance, which would emit codes one by one; if a prompt ends inside a pose; if there is no room.
        """
        if generation_mode not in ("pose", "text", None):
            raise ValueError(f'generation_mode must be "pose", "text" or None, found {generation_mode!r}')
        if generation_mode == "pose":
            config = generation_config or self.generation_config
            ends = kwargs.get("eos_token_id", config.eos_token_id)
            ends = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
            kwargs["eos_token_id"] = [*ends, self.config.pose_end_token_id]
            if "max_length" not in kwargs and config.max_length is None and config.max_new_tokens is None:
                kwargs.setdefault("max_new_tokens", self.config.pose_answer_length)
        kwargs = self.encode_images(kwargs)
        return super().generate(inputs, generation_config, generation_mode=generation_mode, **kwargs)

    def encode_images(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Replaces the pixels by `mm_encoder_outputs`: every image is encoded once, however often its row is repeated.

        The library does this by itself, but only for models that take `pixel_values`, and keeps all hidden states.
        """
        pixels = {name: kwargs[name] for name in IMAGE_INPUTS if kwargs.get(name) is not None}
        if not pixels:
            return kwargs
        if kwargs.get("mm_encoder_outputs"):
            raise ValueError(f"give {' and '.join(pixels)} or mm_encoder_outputs, got both")
        if self.device.type != "meta":
            pixels = {name: values.to(self.device) for name, values in pixels.items()}
        features = self.model.get_image_features(**pixels, return_dict=True).pooler_output
        others = {name: value for name, value in kwargs.items() if name not in IMAGE_INPUTS}
        return {**others, "mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=features)}}

    def _validate_generation_mode(self, generation_mode, generation_config, generation_mode_kwargs):
        single = (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE)
        beams = (GenerationMode.BEAM_SEARCH, GenerationMode.BEAM_SAMPLE)
        if generation_mode not in single + beams or generation_config.guidance_scale not in (None, 1, 1.0):
            raise ValueError(
                f"{generation_mode.value} with guidance_scale={generation_config.guidance_scale} would emit the codes "
                "of a pose one by one: use greedy search or sampling"
            )
        super()._validate_generation_mode(generation_mode, generation_config, generation_mode_kwargs)

    def _get_logits_processor(self, generation_config, model_kwargs=None, **kwargs) -> LogitsProcessorList:
        mode = (model_kwargs or {}).get("generation_mode")
        if generation_config.num_beams > 1 and mode != "text":
            raise ValueError(
                f"beam search (num_beams={generation_config.num_beams}) cannot cross a pose: use greedy search or "
                'sampling, or generation_mode="text"'
            )
        processors = super()._get_logits_processor(generation_config, model_kwargs=model_kwargs, **kwargs)
        grammar = PoseGrammar(self.config, generation_config.max_length, mode)
        return LogitsProcessorList([grammar, *processors, grammar] if processors else [grammar])

    def _sample(self, input_ids, generation_config, synced_gpus=False, **kwargs):
        config = self.config
        self.check_room(input_ids, generation_config.max_length, kwargs["generation_mode"])
        kwargs.pop("generation_mode")
        if config.pose_attention == "causal":
            return super()._sample(input_ids, generation_config=generation_config, synced_gpus=synced_gpus, **kwargs)
        # Forwards of one and of many positions alternate: compiled code would be rebuilt all the time.
        generation_config.disable_compile = True
        blocks = PoseBlocks(config, input_ids.shape[1], never_skip=synced_gpus)
        output = super()._sample(
            input_ids, generation_config=generation_config, synced_gpus=synced_gpus, pose_blocks=blocks, **kwargs
        )
        if generation_config.return_dict_in_generate and output.get(CACHE) is not None:
            blocks.finish(output[CACHE], output.sequences.shape[1] - 1)
        return output

    def check_room(self, input_ids: torch.Tensor, max_length: int, generation_mode: PoseMode | None) -> None:
        """A prompt must end outside a pose or in pose-start, with room for the whole pose."""
        tokens = self.config.num_pose_tokens
        since = codes_since_start(input_ids, self.config)
        closed = (input_ids[:, -1:] == self.config.pose_end_token_id).any(dim=1)
        inside = ((since > 0) & ~closed).nonzero().flatten().tolist()
        if inside:
            raise ValueError(
                f"row {inside[0]} of the prompt ends inside a pose ({int(since[inside[0]])} of {tokens} codes): end "
                "it with pose-start or with the whole pose"
            )
        starts = generation_mode == "pose" and not (since == 0).all()
        needed = self.config.pose_answer_length if starts else tokens + 1
        if (starts or (since == 0).any()) and input_ids.shape[1] + needed > max_length:
            raise ValueError(
                f"a pose takes {needed} more tokens, but the limit leaves {max_length - input_ids.shape[1]}: raise "
                f"max_new_tokens to at least {needed}"
            )

    @staticmethod
    def create_masks_for_generate(config, inputs_embeds, attention_mask, **kwargs):
        """Leaves the 2-D mask as it is: only `forward` knows the queries, and makes the mask with them."""
        return attention_mask

    @accepts_both_cache_names
    def prepare_inputs_for_generation(
        self,
        input_ids,
        next_sequence_length=None,
        cache: Cache | None = None,
        inputs_embeds=None,
        is_first_iteration=False,
        pose_blocks: PoseBlocks | None = None,
        generation_mode: PoseMode | None = None,
        **kwargs,
    ):
        if pose_blocks is not None:
            served = pose_blocks.serve(input_ids)
            if served is not None:
                return {"served_logits": served, CACHE: cache}
            if cache is not None and not is_first_iteration:
                pose_blocks.sync(cache, input_ids.shape[1] - 1)
        inputs = super().prepare_inputs_for_generation(
            input_ids,
            next_sequence_length,
            **{CACHE: cache},
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
        if cache is not None and not is_first_iteration:
            inputs.pop("pose_values", None)
        if pose_blocks is not None:
            if cache is None:
                inputs["input_ids"] = self.codes_to_queries(inputs["input_ids"], pose_blocks.prompt_length)
            if (codes_since_start(input_ids, self.config) == 0).any():
                self.append_queries(inputs)
        return inputs

    def codes_to_queries(self, ids: torch.Tensor, prompt_length: int) -> torch.Tensor:
        """Without a cache the answer's poses are seen as in the cached run: as queries, not as codes."""
        code = ids - self.config.pose_code_start_id
        is_code = (code >= 0) & (code < self.config.pose_tokenizer_config.codebook_size)
        is_code[:, :prompt_length] = False
        return ids.masked_fill(is_code, self.config.pose_query_token_id)

    def append_queries(self, inputs: dict) -> None:
        """Lets every row of the next forward end in all queries; rows that begin no pose ignore them."""
        tokens, pad = self.config.num_pose_tokens, torch.nn.functional.pad
        inputs["input_ids"] = pad(inputs["input_ids"], (0, tokens), value=self.config.pose_query_token_id)
        if inputs.get("attention_mask") is not None:
            inputs["attention_mask"] = pad(inputs["attention_mask"], (0, tokens), value=1)
        if inputs.get("position_ids") is not None:
            last = inputs["position_ids"][:, -1:]
            steps = torch.arange(1, tokens + 1, device=last.device)
            inputs["position_ids"] = torch.cat([inputs["position_ids"], last + steps], dim=1)
        inputs["logits_to_keep"] = tokens + 1

    def _update_model_kwargs_for_generation(self, outputs, model_kwargs, **kwargs):
        blocks = model_kwargs.get("pose_blocks")
        if blocks is not None:
            outputs.logits = blocks.receive(outputs.logits, outputs.get(CACHE))
        return super()._update_model_kwargs_for_generation(outputs, model_kwargs, **kwargs)

    def _expand_inputs_for_generation(self, expand_size=1, input_ids=None, **kwargs):
        """Repeats rows; each row's images and poses stay together."""
        config, repeated = self.config, {}
        # A prompt of embeddings has no ids.
        ids, embeds = (None if input_ids.shape[1] == 0 else input_ids), kwargs.get("inputs_embeds")

        def repeat(values: torch.Tensor, token_id: int, tokens: int) -> torch.Tensor:
            counts = self.model.positions_of(token_id, ids, embeds).sum(dim=1) // tokens
            return torch.cat([row for row in values.split(counts.tolist()) for _ in range(expand_size)])

        if (poses := kwargs.pop("pose_values", None)) is not None:
            repeated["pose_values"] = repeat(poses, config.pose_token_id, config.num_pose_tokens)
        if images := (kwargs.pop("mm_encoder_outputs", None) or {}).get("image"):
            features = repeat(images.pooler_output, config.image_token_id, config.num_image_tokens)
            repeated["mm_encoder_outputs"] = {"image": BaseModelOutputWithPooling(pooler_output=features)}
        expanded, kwargs = super()._expand_inputs_for_generation(expand_size, input_ids=input_ids, **kwargs)
        return expanded, {**kwargs, **repeated}
