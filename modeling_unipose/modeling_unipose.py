"""UniPose: one language model that reads and writes text and 3D human poses, and reads images.

Reading order: `UniPoseModel.forward` is the whole data flow (poses -> codes, queries, images, mask, language model);
`UniPoseForConditionalGeneration` adds the head, the paper's loss and generation (`generation_unipose`).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, Cache
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    BaseModelOutputWithPooling,
    CausalLMOutputWithPast,
)
from transformers.modeling_utils import slice_logits_to_keep
from transformers.processing_utils import Unpack
from transformers.utils import is_tracing, torch_compilable_check
from transformers.utils.generic import TransformersKwargs, can_return_tuple

from .cache_keyword import CACHE, accepts_both_cache_names
from .configuration_unipose import UniPoseConfig
from .generation_unipose import UniPoseGenerationMixin
from .mixed_attention import create_mask
from .modeling_pose_vqvae import UniPoseVQVAE
from .output_hooks import columns_of, install_hooks
from .pretrained_unipose import UniPosePreTrainedModel
from .query_runs import is_pose_code, query_index, shift_pose_labels, source_codes
from .vision_unipose import ImageInputMixin, UniPoseMultiModalProjector, build_vision_encoders


@dataclass
class UniPoseModelOutputWithPast(BaseModelOutputWithPast):
    """The library's output and two fields of the model's own.

    Args:
        image_outputs: Output of `get_image_features`; None without images.
        source_pose_codes: (batch, length) ids of the codes of each query's source pose, -1 elsewhere; None without
            `source_pose_pointer`, or for words alone.
    """

    image_outputs: BaseModelOutputWithPooling | None = None
    source_pose_codes: torch.Tensor | None = None


@dataclass
class UniPoseCausalLMOutputWithPast(CausalLMOutputWithPast):
    """The library's output and the two fields of `UniPoseModelOutputWithPast`."""

    image_outputs: BaseModelOutputWithPooling | None = None
    source_pose_codes: torch.Tensor | None = None


class UniPoseModel(ImageInputMixin, UniPosePreTrainedModel):
    """The two vision encoders, the projector, the pose tokenizer and the language model, without the head."""

    # Quantizers leave the pose tokenizer as it is; they match names from their start.
    _keep_in_fp32_modules = {"pose_tokenizer.encoder", "pose_tokenizer.decoder"}  # noqa: RUF012
    # The head of a whole checkpoint.
    _keys_to_ignore_on_load_unexpected = {r"^lm_head\."}  # noqa: RUF012

    def __init__(self, config: UniPoseConfig):
        super().__init__(config)
        self.vision_tower, self.pose_vision_tower = build_vision_encoders(config)
        self.multi_modal_projector = UniPoseMultiModalProjector(config) if config.num_image_tokens else None
        # Codes are arg-minima: they pass no gradient, and half precision would change them.
        self.pose_tokenizer = UniPoseVQVAE(config.pose_tokenizer_config).requires_grad_(False).float()
        self.pose_query_embeddings = nn.Embedding(config.num_pose_tokens, config.text_config.hidden_size)
        self.pose_position_embeddings: nn.Embedding | None = None
        if config.pose_position_embeddings:
            self.pose_position_embeddings = nn.Embedding(config.num_pose_tokens, config.text_config.hidden_size)
        self.source_pose_pointer: nn.Linear | None = None
        if config.source_pose_pointer:
            self.source_pose_pointer = nn.Linear(config.text_config.hidden_size, 1)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        install_hooks(self.vision_tower, self.pose_vision_tower)

    def train(self, mode: bool = True) -> "UniPoseModel":
        """Sets the mode, but keeps the pose tokenizer frozen and in evaluation mode: it is trained separately.

        A vision encoder without trainable weights also stays in evaluation mode: dropout would only blur its features.
        Loading makes every weight trainable and calls this method at its end.
        """
        super().train(mode)
        self.pose_tokenizer.eval().requires_grad_(False)
        for encoder in (self.vision_tower, self.pose_vision_tower):
            if encoder is not None and not any(weight.requires_grad for weight in encoder.parameters()):
                encoder.eval()
        return self

    def placeholder_mask(
        self, token_id: int, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor
    ) -> torch.Tensor:
        """Positions of a token; without ids, positions of its embedding.

        Args:
            token_id: The placeholder's id.
            input_ids: (batch, length), or None.
            inputs_embeds: (batch, length, hidden_size), read where input_ids are None.

        Returns:
            (batch, length) bool.
        """
        if input_ids is not None:
            return input_ids == token_id
        token = torch.full((), token_id, dtype=torch.long, device=inputs_embeds.device)
        return (inputs_embeds == self.get_input_embeddings()(token).to(inputs_embeds)).all(dim=-1)

    def embed_ids(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Embeds ids; pose codes with their positions, if the model has such embeddings.

        Args:
            input_ids: (batch, length). Codes of a pose follow each other, so that the first of them starts the pose.

        Returns:
            (batch, length, hidden_size).
        """
        embeds = self.get_input_embeddings()(input_ids)
        if self.pose_position_embeddings is None:
            return embeds
        is_code = is_pose_code(input_ids, self.config)
        positions = self.pose_position_embeddings(self.index_in_pose(is_code))
        return embeds + (positions * is_code.unsqueeze(-1)).to(embeds)

    def index_in_pose(self, is_code: torch.Tensor) -> torch.Tensor:
        """(batch, length) bool of codes or queries -> index of each in its pose; 0 elsewhere."""
        return (query_index(is_code) % self.config.num_pose_tokens).clamp_min(0)

    @torch.no_grad()
    def encode_poses(self, placeholders: torch.Tensor, pose_values: torch.Tensor | None) -> torch.Tensor | None:
        """The codes of input poses.

        Args:
            placeholders: (batch, length) bool.
            pose_values: (poses, 22, 6) in placeholder order, or None.

        Returns:
            (poses, num_pose_tokens) ids, or None without poses.

        Raises:
            ValueError: If placeholders and poses do not match, with both numbers, or the values are no rotations.
        """
        tokens, poses = self.config.num_pose_tokens, 0 if pose_values is None else len(pose_values)
        torch_compilable_check(
            placeholders.sum() == poses * tokens,
            lambda: (
                f"input_ids hold {int(placeholders.sum())} pose placeholders, but pose_values hold {poses} poses of "
                f"{tokens} tokens ({poses * tokens})"
            ),
        )
        if pose_values is None:
            return None
        codes = self.pose_tokenizer.encode(pose_values, allow_absent=False).to(placeholders.device)
        return codes + self.config.pose_code_start_id

    def insert_pose_codes(
        self, inputs_embeds: torch.Tensor, placeholders: torch.Tensor, pose_codes: torch.Tensor | None
    ) -> torch.Tensor:
        """Replaces the placeholders of input poses by the embedded codes of the poses.

        Args:
            inputs_embeds: (batch, length, hidden_size).
            placeholders: (batch, length) bool.
            pose_codes: (poses, num_pose_tokens) ids in placeholder order, or None.

        Returns:
            (batch, length, hidden_size).
        """
        if pose_codes is None:
            return inputs_embeds
        return inputs_embeds.masked_scatter(placeholders.unsqueeze(-1), self.embed_ids(pose_codes).to(inputs_embeds))

    def insert_queries(
        self, inputs_embeds: torch.Tensor, is_query: torch.Tensor, revealed_pose_codes: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Replaces the placeholders of output poses by the learned queries, counted from the start of each run.

        Args:
            inputs_embeds: (batch, length, hidden_size).
            is_query: (batch, length) bool.
            revealed_pose_codes: (batch, length) codes that are embedded in place of their queries, -1 elsewhere.

        Returns:
            (batch, length, hidden_size).
        """
        index = self.index_in_pose(is_query)
        queries = self.pose_query_embeddings(index).to(inputs_embeds)
        inputs_embeds = torch.where(is_query.unsqueeze(-1), queries, inputs_embeds)
        if revealed_pose_codes is None:
            return inputs_embeds
        is_revealed = is_query & (revealed_pose_codes >= 0)
        ids = revealed_pose_codes.clamp_min(0) + self.config.pose_code_start_id
        codes = self.get_input_embeddings()(ids).to(inputs_embeds)
        if self.pose_position_embeddings is not None:
            codes = codes + self.pose_position_embeddings(index).to(codes)
        return torch.where(is_revealed.unsqueeze(-1), codes, inputs_embeds)

    def point_to_sources(self, logits: torch.Tensor, hidden: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        """Raises the logit of each source code by what the pointer computes from the query's hidden state.

        Args:
            logits: (..., vocab_size), changed in place.
            hidden: (..., hidden_size).
            sources: (..., 1) index of each source code in the logits, negative where there is none.

        Returns:
            (..., vocab_size).
        """
        amount = self.source_pose_pointer(hidden) * (sources >= 0)
        return logits.scatter_add_(-1, sources.clamp_min(0), amount.to(logits))

    @can_return_tuple
    @accepts_both_cache_names
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pose_pixel_values: torch.Tensor | None = None,
        pose_values: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        source_pose_codes: torch.Tensor | None = None,
        revealed_pose_codes: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> UniPoseModelOutputWithPast:
        """Text, images and poses in one sequence.

        Args:
            input_ids: (batch, length) with placeholders for images, input poses and the queries of output poses.
            attention_mask: (batch, past + length), or a ready 4-D mask.
            inputs_embeds: (batch, length, hidden) in place of input_ids; placeholders are found by their embeddings.
                Codes of poses must be embedded by `embed_ids`.
            cache: Keys and values of the past; it grows.
            pixel_values, pose_pixel_values: (images, 3, height, width), in placeholder order.
            pose_values: (poses, 22, 6), in placeholder order.
            mm_encoder_outputs: {"image": output of `get_image_features`} in place of the two pixel inputs.
            source_pose_codes: (batch, length) ids of the codes of each query's source pose, -1 elsewhere, with
                `source_pose_pointer`; default: those of the last input pose before each query. A forward whose input
                pose is in the cache needs them.
            revealed_pose_codes: (batch, length) known codes of output poses, -1 elsewhere: their queries are replaced
                by the embeddings of the codes, and the other queries of the block see them (masked refinement).

        Raises:
            ValueError: If placeholders and inputs do not match, with both numbers.
        """
        if (input_ids is None) == (inputs_embeds is None):
            got = "none" if input_ids is None else "both"
            raise ValueError(f"give exactly one of input_ids and inputs_embeds, got {got}")
        images = (mm_encoder_outputs or {}).get("image")
        if pixel_values is not None or pose_pixel_values is not None:
            if images is not None:
                raise ValueError("give pixel_values and pose_pixel_values or mm_encoder_outputs, got both")
            images = self.get_image_features(pixel_values, pose_pixel_values, return_dict=True)
        if pose_values is None and images is None and self.is_text_alone(input_ids):
            inputs_embeds, opened = self.get_input_embeddings()(input_ids), None
        else:
            inputs_embeds, opened, source_pose_codes = self.embed_inputs(
                input_ids,
                inputs_embeds,
                None if images is None else images.pooler_output,
                pose_values,
                source_pose_codes,
                revealed_pose_codes,
            )
        mask = create_mask(self.language_model.config, inputs_embeds, attention_mask, cache, position_ids, opened)
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=mask,
            position_ids=position_ids,
            **{CACHE: cache},
            **kwargs,
        )
        return UniPoseModelOutputWithPast(**outputs, image_outputs=images, source_pose_codes=source_pose_codes)

    def is_text_alone(self, input_ids: torch.Tensor | None) -> bool:
        """Whether ids are known to be words, as in most steps of generation; in training and in graphs nothing is.

        Args:
            input_ids: (batch, length), or None.
        """
        if input_ids is None or torch.is_grad_enabled() or is_tracing():
            return False
        config = self.config
        first = min(config.pose_code_start_id, config.pose_token_id, config.pose_query_token_id, config.image_token_id)
        return bool((input_ids < first).all())

    def embed_inputs(
        self,
        input_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
        image_features: torch.Tensor | None,
        pose_values: torch.Tensor | None,
        source_pose_codes: torch.Tensor | None,
        revealed_pose_codes: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Embeds text, images, input poses and the queries of output poses in one sequence.

        Args:
            input_ids: See `forward`.
            inputs_embeds: See `forward`.
            image_features: (image tokens, hidden_size), or None.
            pose_values: See `forward`.
            source_pose_codes: See `forward`.
            revealed_pose_codes: See `forward`.

        Returns:
            (batch, length, hidden_size) embeddings, the queries (batch, length) that see each other or None, and the
            source codes of the queries or None.
        """
        if inputs_embeds is None:
            inputs_embeds = self.embed_ids(input_ids)
        is_pose, is_image, is_query = (
            self.placeholder_mask(token_id, input_ids, inputs_embeds)
            for token_id in (self.config.pose_token_id, self.config.image_token_id, self.config.pose_query_token_id)
        )
        pose_codes = self.encode_poses(is_pose, pose_values)
        inputs_embeds = self.insert_pose_codes(inputs_embeds, is_pose, pose_codes)
        if self.source_pose_pointer is not None and source_pose_codes is None:
            source_pose_codes = source_codes(input_ids, is_pose, pose_codes, is_query, self.config)
        inputs_embeds = self.insert_image_features(inputs_embeds, is_image, image_features)
        if image_features is None and self.multi_modal_projector is not None:
            inputs_embeds = self.add_zero_projector_gradient(inputs_embeds)
        inputs_embeds = self.insert_queries(inputs_embeds, is_query, revealed_pose_codes)
        opened = is_query if self.config.pose_attention == "mixed" else None
        return inputs_embeds, opened, source_pose_codes


class UniPoseForConditionalGeneration(UniPosePreTrainedModel, UniPoseGenerationMixin):
    """The model with its language head, the paper's loss, and generation of text and poses."""

    _keep_in_fp32_modules = {"model.pose_tokenizer.encoder", "model.pose_tokenizer.decoder"}  # noqa: RUF012
    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}  # noqa: RUF012
    _tp_plan = {"lm_head": "colwise_gather_output"}  # noqa: RUF012

    def __init__(self, config: UniPoseConfig):
        super().__init__(config)
        self.model = UniPoseModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def get_image_features(
        self,
        pixel_values: torch.Tensor | None = None,
        pose_pixel_values: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        """Encodes images (see `UniPoseModel.get_image_features`).

        Args:
            pixel_values: (images, 3, height, width) for the vision encoder.
            pose_pixel_values: (images, 3, height, width) for the pose encoder.
            kwargs: The library's.
        """
        return self.model.get_image_features(pixel_values, pose_pixel_values, **kwargs)

    def decode_pose_codes(self, pose_codes: torch.Tensor) -> torch.Tensor:
        """Decodes poses.

        Args:
            pose_codes: (poses, num_pose_tokens) integers from 0 to codebook_size - 1.

        Returns:
            (poses, 22, 3, 3) rotation matrices, stored frame (z up).

        Raises:
            ValueError: The shape, the type or a code is wrong, or the weights decode it to no rotations.
        """
        return self.model.pose_tokenizer.decode(pose_codes)

    @can_return_tuple
    @accepts_both_cache_names
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pose_pixel_values: torch.Tensor | None = None,
        pose_values: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, BaseModelOutputWithPooling] | None = None,
        source_pose_codes: torch.Tensor | None = None,
        revealed_pose_codes: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        shift_labels: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        pose_codes_only: bool = False,
        cached_logits: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> UniPoseCausalLMOutputWithPast:
        """Runs `UniPoseModel.forward`, then computes logits and loss.

        Args:
            labels: (batch, length), -100 at ignored positions. At query positions the label is the code's token id at
                the same position; everywhere else it is the next token's, as usual.
            shift_labels: (batch, length), the label of each position's prediction; default: made from `labels`.
            num_items_in_batch: Divisor of the summed loss; default: the number of labels (paper, section 3.4).
            logits_to_keep: Only the last positions (an int) or these positions (a tensor); 0 keeps all. A (batch,
                length) bool mask gives the logits (kept, vocab_size), and the loss, of these positions alone: training
                needs the supervised positions only.
            pose_codes_only: Whether the logits are those of the pose codes alone, (batch, kept, codebook_size), in the
                order of the codes; without labels.
            cached_logits: (batch, 1, vocab_size) logits of an earlier forward, returned without running the model.
        """
        if cached_logits is not None:
            return UniPoseCausalLMOutputWithPast(logits=cached_logits, **{CACHE: cache})
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            **{CACHE: cache},
            inputs_embeds=inputs_embeds,
            pixel_values=pixel_values,
            pose_pixel_values=pose_pixel_values,
            pose_values=pose_values,
            mm_encoder_outputs=mm_encoder_outputs,
            source_pose_codes=source_pose_codes,
            revealed_pose_codes=revealed_pose_codes,
            **kwargs,
        )
        is_mask = isinstance(logits_to_keep, torch.Tensor) and logits_to_keep.dtype == torch.bool

        # Found once: every search for the places of a mask makes the host wait for the device.
        places = logits_to_keep.flatten().nonzero()[:, 0] if is_mask else None

        def keep(values: torch.Tensor) -> torch.Tensor:
            if places is None:
                return slice_logits_to_keep(values, logits_to_keep)
            return values.flatten(0, 1).index_select(0, places)

        hidden = keep(outputs.last_hidden_state)
        logits = self.code_logits(hidden) if pose_codes_only else self.lm_head(hidden)
        if (sources := outputs.source_pose_codes) is not None:
            first = self.config.pose_code_start_id if pose_codes_only else 0
            logits = self.model.point_to_sources(logits, hidden, keep(sources.unsqueeze(-1)) - first)
        loss = None
        if labels is not None or shift_labels is not None:
            if shift_labels is None:
                shift_labels = self.shift_labels(input_ids, labels, inputs_embeds)
            counted = shift_labels if labels is None else labels
            divisor = (counted != -100).sum() if num_items_in_batch is None else num_items_in_batch
            target = shift_labels.flatten() if places is None else keep(shift_labels.to(places.device))
            loss = nn.functional.cross_entropy(
                logits.flatten(0, -2).float(), target.to(logits.device), reduction="sum"
            ) / torch.as_tensor(divisor, device=logits.device).clamp_min(1)
        return UniPoseCausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            **{CACHE: outputs.get(CACHE)},
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_outputs=outputs.image_outputs,
            source_pose_codes=outputs.source_pose_codes,
        )

    def code_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., hidden_size) -> (..., codebook_size), the columns of the pose codes of what the head computes."""
        first = self.config.pose_code_start_id
        (logits,) = columns_of(self.lm_head, hidden, [slice(first, first + self.config.num_pose_codes)])
        return logits

    def shift_labels(
        self, input_ids: torch.Tensor | None, labels: torch.Tensor, inputs_embeds: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The label of each position's prediction (see `shift_pose_labels`).

        Args:
            input_ids: (batch, length), or None.
            labels: (batch, length), -100 at ignored positions.
            inputs_embeds: (batch, length, hidden_size), read where input_ids are None.

        Returns:
            (batch, length).
        """
        is_query = self.model.placeholder_mask(self.config.pose_query_token_id, input_ids, inputs_embeds)
        return shift_pose_labels(is_query, labels)


__all__ = ["UniPoseForConditionalGeneration", "UniPoseModel", "UniPosePreTrainedModel"]
