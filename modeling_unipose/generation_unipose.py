"""Generation of text and poses inside the library's own `generate` (paper, section 3.3).

An output pose costs one forward. The step after pose-start runs pose-start and all queries at once. The following
steps take one query's logits each, so that sampling, scores, streamers and stopping stay the library's. Rows of a
batch may be at different steps: while one row takes stored logits, the others continue. When its block is complete,
its cache positions are filled with the queries' keys and values. The codes themselves are never fed back, except to
the other queries of their block with `pose_refinement_steps` (see `pose_decoding`).

Without poses (generation_mode="text") every decoding method of the library works, and compiles, unchanged.
"""

from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask
from transformers import Cache, GenerationMixin, LogitsProcessorList
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .cache_keyword import CACHE, accepts_both_cache_names
from .configuration_unipose import UniPoseConfig
from .finite_checks import FiniteLogits, NumericScores
from .generation_arguments import ONE_BY_ONE, check_generation_arguments, validate_generation
from .growing_cache import room_to_grow
from .mixed_attention import create_mask
from .pose_blocks import PoseBlocks, Refinement, append_queries, codes_to_queries, prompt_source_codes
from .pose_decoding import CodeChooser, ExpectedCodes, PoseDecoding, PoseDecodingMode, options_of
from .pose_grammar import PoseGrammar, PoseMode
from .query_runs import codes_since_start
from .scoring_unipose import ScoringMixin
from .seeded_sampling import SeededSampling, seeded_generator
from .single_pose import can_choose_at_once, generate_single_poses, with_code_logits
from .whole_poses import protect_poses, restrict_processors


IMAGE_INPUTS = ("pixel_values", "pose_pixel_values")
LOOP_ARGUMENTS = ("stopping_criteria", "streamer")


class ContinuousBatchingError(NotImplementedError, ValueError):
    """Continuous batching is not implemented."""


class UniPoseGenerationMixin(ScoringMixin, GenerationMixin):
    """`generate` with parallel pose blocks. See the module's docstring."""

    config: UniPoseConfig
    model: Any
    device: torch.device
    dtype: torch.dtype

    @torch.no_grad()
    def generate(
        self,
        inputs=None,
        generation_config=None,
        *,
        generation_mode: PoseMode | None = None,
        pose_decoding: PoseDecodingMode | None = None,
        pose_temperature: float | None = None,
        pose_refinement_steps: int | None = None,
        seed: int | torch.Generator | None = None,
        output_code_logits: bool = False,
        **kwargs,
    ):
        """Generates text and poses, like the library's `generate`.

        Args:
            inputs: (batch, length) prompt ids; also as `input_ids`.
            generation_config: The library's; default: the model's own.
            generation_mode: "pose": the answer is one pose and ends with it; "text": the answer holds no pose; None:
                the model chooses, and text and poses may alternate.
            pose_decoding: "argmax" or "expected" (see `PoseDecoding`); default: that of generation_config, else the
                model's own generation config, else "argmax". The same holds for the two options below.
            pose_temperature: Temperature of "expected"; default 1.
            pose_refinement_steps: Number of forwards of each pose; default 1.
            seed: Seed of this call's samples, or a generator; torch's own random numbers do not change.
            output_code_logits: With generation_mode="pose" and return_dict_in_generate=True, whether the output has
                `code_logits`; less work than output_logits=True, because only the codes are looked at.
            kwargs: The library's; `inputs_embeds` must end before pose-start, because pose-start is found by its id.

        Returns:
            The library's: ids, or an output class with `return_dict_in_generate=True`.

        Raises:
            ValueError: Beam search, assisted or prompt-lookup decoding, or guidance without generation_mode="text":
                they would emit codes one by one. A prompt that ends in pose-start with generation_mode="text". A
                prompt that ends inside a pose. A pose that does not fit, also one that the model starts of its own. A
                prompt that leaves no position of the model for an answer. Pixels together with mm_encoder_outputs. An
                argument without an accepted value. Logits that are not finite. A seed of another type, or with beam
                search.
        """
        if generation_mode not in ("pose", "text", None):
            raise ValueError(f'generation_mode must be "pose", "text" or None, got {generation_mode!r}')
        check_generation_arguments(kwargs)
        if generation_config is not None:
            check_generation_arguments(vars(generation_config), "generation_config: ")
        if generation_mode == "pose":
            config = generation_config or self.generation_config
            ends = kwargs.get("eos_token_id", config.eos_token_id)
            ends = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
            kwargs["eos_token_id"] = [*ends, self.config.pose_end_token_id]
            if "max_length" not in kwargs and config.max_length is None and config.max_new_tokens is None:
                kwargs.setdefault("max_new_tokens", self.config.pose_answer_length)
        if generation_mode != "text" and kwargs.get("assistant_model") is not None:
            raise ValueError(f"assisted decoding {ONE_BY_ONE}")
        prompt = kwargs.get("input_ids") if inputs is None else inputs
        if generation_mode == "text" and prompt is not None:
            self.validate_no_open_pose(prompt)
        if seed is not None:
            generator = seed if isinstance(seed, torch.Generator) else seeded_generator(seed, self.device)
            kwargs["seeded_sampling"] = SeededSampling(generator)
        kwargs = self.encode_images(kwargs)
        of_call = {
            "pose_decoding": pose_decoding,
            "pose_temperature": pose_temperature,
            "pose_refinement_steps": pose_refinement_steps,
        }
        configs = (options_of(generation_config), options_of(self.generation_config))
        decoding = PoseDecoding.resolve(self.config, of_call, *configs)
        if generation_mode != "text":
            kwargs["pose_options"] = decoding
        if output_code_logits:
            if generation_mode != "pose":
                raise ValueError(f'output_code_logits needs generation_mode="pose", got {generation_mode!r}')
            kwargs["output_code_logits"] = True
        return super().generate(inputs, generation_config, generation_mode=generation_mode, **kwargs)

    def generate_batch(self, *args, **kwargs):
        """Not supported.

        Raises:
            ContinuousBatchingError: Always.
        """
        return self.init_continuous_batching()

    def init_continuous_batching(self, *args, **kwargs):
        """Not supported.

        Raises:
            ContinuousBatchingError: Always.
        """
        raise ContinuousBatchingError(
            "continuous batching (generate_batch) takes neither images nor poses and would emit the codes of a pose "
            "one by one: use generate, which takes batches"
        )

    def _prepare_generated_length(self, generation_config, *args, input_ids_length, inputs_tensor, **kwargs):
        """Ends an answer at the model's last position; a prompt that leaves none is an error."""
        generation_config = super()._prepare_generated_length(
            generation_config, *args, input_ids_length=input_ids_length, inputs_tensor=inputs_tensor, **kwargs
        )
        limit, embedded = self.config.max_positions, inputs_tensor.shape[1] if input_ids_length == 0 else 0
        if limit is not None:
            length = input_ids_length + embedded
            if length >= limit:
                raise ValueError(
                    f"the prompt has {length} tokens, but the model has {limit} positions (max_position_embeddings), "
                    "and the answer needs some of them: shorten the prompt"
                )
            generation_config.max_length = min(generation_config.max_length, limit - embedded)
        return generation_config

    def encode_images(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Replaces the pixels by `mm_encoder_outputs`: every image is encoded once, however often its row is repeated.

        The library does this too, but only for models that take `pixel_values`, and it keeps all hidden states.

        Raises:
            ValueError: If both are given.
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

    def _get_logits_processor(
        self, generation_config, input_ids_seq_length=0, model_kwargs=None, **kwargs
    ) -> LogitsProcessorList:
        mode = model_kwargs["generation_mode"]
        validate_generation(generation_config, mode, model_kwargs.get("seeded_sampling") is not None)
        processors = super()._get_logits_processor(
            generation_config, input_ids_seq_length, model_kwargs=model_kwargs, **kwargs
        )
        if mode != "text":
            processors = restrict_processors(processors, self.config)
        grammar = PoseGrammar(self.config, generation_config.max_length, mode, input_ids_seq_length)
        decoding = model_kwargs.get("pose_options")
        if decoding is not None and decoding.pose_decoding == "expected" and not generation_config.do_sample:
            chooser = CodeChooser(self.config, self.model.pose_tokenizer, decoding)
            expected = ExpectedCodes(self.config, chooser, model_kwargs.get("prompt_source_codes"))
            processors = LogitsProcessorList([expected, *processors])
        first = [FiniteLogits(self), grammar]
        return LogitsProcessorList([*first, *processors, grammar, NumericScores()] if processors else first)

    def _get_candidate_generator(self, *args, logits_processor, **kwargs):
        """The library hands this model's processors on to the assistant, whose scores are no logits of this model."""
        others = [processor for processor in logits_processor if not isinstance(processor, FiniteLogits)]
        return super()._get_candidate_generator(*args, logits_processor=LogitsProcessorList(others), **kwargs)

    def _sample(self, input_ids, logits_processor, generation_config, synced_gpus=False, **kwargs):
        mode, decoding = kwargs.pop("generation_mode"), kwargs.pop("pose_options", None)
        code_logits = kwargs.pop("output_code_logits", False)
        seeded, sources = kwargs.pop("seeded_sampling", None), kwargs.pop("prompt_source_codes", None)
        self.validate_length(input_ids, generation_config.max_length, mode)
        if mode != "text":
            limits = input_ids.shape[1], generation_config.max_length
            kwargs["stopping_criteria"] = protect_poses(kwargs["stopping_criteria"], self.config, *limits)
        in_order = generation_config.do_sample
        if seeded is not None and in_order:
            logits_processor = LogitsProcessorList([*logits_processor, seeded])
            generation_config.do_sample = False
        arguments = {"logits_processor": logits_processor, "generation_config": generation_config, **kwargs}
        if mode == "text" or self.config.pose_attention == "causal":
            generation_config.output_logits = generation_config.output_logits or code_logits
            with room_to_grow(kwargs.get(CACHE)):
                output = super()._sample(input_ids, synced_gpus=synced_gpus, **arguments)
        else:
            # Forwards of one position and of many alternate, which would cause recompilation again and again.
            generation_config.disable_compile = True
            chooser = CodeChooser(self.config, self.model.pose_tokenizer, decoding)
            refinement = Refinement.of_model(self, chooser, in_order=in_order)
            if synced_gpus and refinement is not None:
                raise ValueError("pose_refinement_steps > 1 runs forwards that other processes do not run: expected 1")
            is_plain = mode == "pose" and seeded is None and not synced_gpus
            at_once = is_plain and can_choose_at_once(input_ids, self.config, arguments)
            blocks = PoseBlocks(self.config, input_ids.shape[1], synced_gpus, refinement, sources, at_once)
            if at_once:
                streamer = kwargs.get("streamer")
                inputs = {name: value for name, value in kwargs.items() if name not in LOOP_ARGUMENTS}
                output = generate_single_poses(self, input_ids, blocks, chooser, generation_config, streamer, inputs)
            else:
                generation_config.output_logits = generation_config.output_logits or code_logits
                output = super()._sample(input_ids, synced_gpus=synced_gpus, pose_blocks=blocks, **arguments)
            if not at_once and generation_config.return_dict_in_generate and output.get(CACHE) is not None:
                blocks.restore(output[CACHE], output.sequences.shape[1] - 1)
        if code_logits and generation_config.return_dict_in_generate and output.get("code_logits") is None:
            output = with_code_logits(output, input_ids.shape[1], self.config)
        if seeded is not None and in_order and generation_config.output_scores:
            output.scores = tuple(seeded.scores[-len(output.scores) :])
        return output

    def validate_no_open_pose(self, input_ids: torch.Tensor) -> None:
        """Checks that no row (batch, length) of a prompt ends in pose-start if the answer is text.

        Raises:
            ValueError: A row ends in pose-start.
        """
        rows = (codes_since_start(input_ids, self.config) == 0).nonzero().flatten().tolist()
        if rows:
            raise ValueError(f'row {rows[0]} of the prompt ends in pose-start, but generation_mode is "text"')

    def validate_length(self, input_ids: torch.Tensor, max_length: int, generation_mode: PoseMode | None) -> None:
        """Checks that a prompt ends outside a pose, or in pose-start with room for the whole pose.

        Args:
            input_ids: (batch, length).
            max_length: Maximum length of prompt and answer.
            generation_mode: See `generate`.

        Raises:
            ValueError: It does not; the message has the row, or both numbers.
        """
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
        """Returns the 2-D mask unchanged: `forward` creates the mask, because only it knows the queries.

        Args:
            config: Not used.
            inputs_embeds: Not used.
            attention_mask: (batch, length), returned.
            kwargs: Not used.
        """
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
        pose_options: PoseDecoding | None = None,
        seeded_sampling: SeededSampling | None = None,
        output_code_logits: bool = False,
        **kwargs,
    ):
        if pose_blocks is not None:
            pose_blocks.refine_in_order(input_ids, cache)
            cached_logits = pose_blocks.next_logits(input_ids)
            if cached_logits is not None:
                return {"cached_logits": cached_logits, CACHE: cache}
            if cache is not None and not is_first_iteration:
                pose_blocks.sync_cache(cache, input_ids.shape[1] - 1)
        # The library does not mark an assistant's first iteration as first, and would drop the images.
        is_first_iteration = is_first_iteration or (cache is not None and not cache.is_initialized)
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
        elif next_sequence_length is not None:
            inputs |= self.drop_cached(inputs, input_ids, inputs_embeds, next_sequence_length)
        if pose_blocks is not None:
            if cache is None:
                inputs["input_ids"] = codes_to_queries(inputs["input_ids"], pose_blocks.prompt_length, self.config)
            if (codes_since_start(input_ids, self.config) == 0).any():
                sources = None if cache is None else pose_blocks.source_codes
                append_queries(inputs, self.config, sources, pose_blocks.codes_only)
                pose_blocks.inputs = {} if pose_blocks.refinement is None else dict(inputs)
        elif cache is not None and cache.is_compileable and next_sequence_length == 1:
            inputs["attention_mask"] = self.mask_of_one_position(inputs)
        return inputs

    def drop_cached(
        self,
        inputs: dict[str, Any],
        input_ids: torch.Tensor,
        inputs_embeds: torch.Tensor | None,
        next_sequence_length: int,
    ) -> dict[str, Any]:
        """The poses and images of the positions that a continued cache does not hold yet.

        Args:
            inputs: Inputs of the forward.
            input_ids: (batch, length) of the whole prompt; without columns if it comes as embeddings.
            inputs_embeds: (batch, length, hidden_size) of the whole prompt, or None.
            next_sequence_length: Number of its last positions that are not in the cache.
        """
        ids, config = None if input_ids.shape[1] == 0 else input_ids, self.config

        def keep(values: torch.Tensor, token_id: int, tokens: int) -> torch.Tensor:
            columns = self.model.placeholder_mask(token_id, ids, inputs_embeds).nonzero()[:, 1]
            if len(columns) != len(values) * tokens:
                return values  # forward tells that they do not fit
            length = (input_ids if inputs_embeds is None else inputs_embeds).shape[1]
            return values[columns[::tokens] >= length - next_sequence_length]

        kept: dict[str, Any] = {}
        if (poses := inputs.get("pose_values")) is not None:
            poses = keep(poses, config.pose_token_id, config.num_pose_tokens)
            kept["pose_values"] = poses if len(poses) else None
        if images := (inputs.get("mm_encoder_outputs") or {}).get("image"):
            features = keep(images.pooler_output, config.image_token_id, config.num_image_tokens)
            outputs = {"image": BaseModelOutputWithPooling(pooler_output=features)}
            kept["mm_encoder_outputs"] = outputs if len(features) else None
        return kept

    def mask_of_one_position(self, inputs: dict[str, Any]) -> torch.Tensor | BlockMask | None:
        """The 4-D mask over a static cache: a 2-D mask grows at every step, which would recompile the forward."""
        ids = inputs["input_ids"]
        embeds = torch.empty((*ids.shape, 0), dtype=self.dtype, device=ids.device)
        mask, positions = inputs.get("attention_mask"), inputs.get("position_ids")
        return create_mask(self.model.language_model.config, embeds, mask, inputs[CACHE], positions, None)

    def _update_model_kwargs_for_generation(self, outputs, model_kwargs, **kwargs):
        blocks = model_kwargs.get("pose_blocks")
        if blocks is not None:
            outputs.logits = blocks.store(outputs.logits, outputs.get(CACHE))
        return super()._update_model_kwargs_for_generation(outputs, model_kwargs, **kwargs)

    def _expand_inputs_for_generation(self, expand_size=1, input_ids=None, **kwargs):
        """Repeats rows, each with its images, its poses and the codes of its source pose."""
        config = self.config
        repeated: dict[str, Any] = {}
        if "pose_options" in kwargs:
            kwargs["prompt_source_codes"] = prompt_source_codes(self.model, input_ids, **kwargs)
        # A prompt of embeddings has no ids.
        ids, embeds = (None if input_ids.shape[1] == 0 else input_ids), kwargs.get("inputs_embeds")

        def repeat(values: torch.Tensor, token_id: int, tokens: int) -> torch.Tensor:
            counts = self.model.placeholder_mask(token_id, ids, embeds).sum(dim=1) // tokens
            return torch.cat([row for row in values.split(counts.tolist()) for _ in range(expand_size)])

        if (poses := kwargs.pop("pose_values", None)) is not None:
            repeated["pose_values"] = repeat(poses, config.pose_token_id, config.num_pose_tokens)
        if images := (kwargs.pop("mm_encoder_outputs", None) or {}).get("image"):
            features = repeat(images.pooler_output, config.image_token_id, config.num_image_tokens)
            repeated["mm_encoder_outputs"] = {"image": BaseModelOutputWithPooling(pooler_output=features)}
        expanded, kwargs = super()._expand_inputs_for_generation(expand_size, input_ids=input_ids, **kwargs)
        return expanded, {**kwargs, **repeated}


__all__ = ["PoseGrammar", "PoseMode", "UniPoseGenerationMixin"]
