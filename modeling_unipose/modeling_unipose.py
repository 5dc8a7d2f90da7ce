"""UniPose: one language model that reads and writes text and 3D human poses, and reads pictures.

Reading order: `UniPoseModel.forward` is the whole data flow (poses -> codes, queries, pictures, mask, language model);
`UniPoseForConditionalGeneration` adds the head, the paper's loss and generation (`generation_unipose`).
"""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.attention.flex_attention import BlockMask
from transformers import AutoModel, Cache, PreTrainedModel
from transformers import initialization as init
from transformers.dynamic_module_utils import custom_object_save
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    BaseModelOutputWithPooling,
    CausalLMOutputWithPast,
)
from transformers.modeling_utils import slice_logits_to_keep
from transformers.processing_utils import Unpack
from transformers.utils.generic import TransformersKwargs, can_return_tuple
from transformers.utils.output_capturing import select_hidden_states

from .cache_keyword import CACHE, accepts_both_cache_names
from .configuration_unipose import UniPoseConfig
from .generation_unipose import UniPoseGenerationMixin
from .modeling_pose_vqvae import UniPoseVQVAE
from .vision_unipose import UniPoseMultiModalProjector, build_towers, general_tower_features, pose_tower_features


# What each Auto class takes from a folder that was saved, by file and class.
AUTO_MAP = {
    "AutoConfig": "configuration_unipose.UniPoseConfig",
    "AutoModel": "modeling_unipose.UniPoseModel",
    "AutoModelForImageTextToText": "modeling_unipose.UniPoseForConditionalGeneration",
    "AutoModelForMultimodalLM": "modeling_unipose.UniPoseForConditionalGeneration",
}


@dataclass
class UniPoseModelOutputWithPast(BaseModelOutputWithPast):
    """As the library's, with image_hidden_states (pictures, num_image_tokens, hidden_size), projected."""

    image_hidden_states: torch.Tensor | None = None


@dataclass
class UniPoseCausalLMOutputWithPast(CausalLMOutputWithPast):
    """As the library's, with image_hidden_states as the base model returned them."""

    image_hidden_states: torch.Tensor | None = None


class UniPosePreTrainedModel(PreTrainedModel):
    config: UniPoseConfig
    config_class = UniPoseConfig
    base_model_prefix = "model"
    input_modalities = ["image", "text", "pose"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = [CACHE]  # noqa: RUF012
    # Codes are arg-minima: rounding the encoder to half precision changes them.
    _keep_in_fp32_modules_strict = {"pose_tokenizer"}  # noqa: RUF012
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # Flash attention takes no block mask.
    _supports_flash_attn = False
    _can_compile_fullgraph = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            init.zeros_(module.bias)

    @classmethod
    def is_custom_code(cls) -> bool:
        """False, as `_init_weights` leaves alone what is loaded already.

        In other people's code the library skips every module without parameters of its own to be safe; CLIP draws the
        weights of its attention and its MLP there.
        """
        return False

    def save_pretrained(self, save_directory: str | PathLike, *args, **kwargs) -> None:
        """As the library's; the folder also holds the code, and loads with `trust_remote_code` anywhere."""
        self.name_code()
        super().save_pretrained(save_directory, *args, **kwargs)

    def save_code(self, folder: str | PathLike) -> None:
        """What `save_pretrained` writes, without the weights: for weights that are written one by one."""
        self.name_code()
        custom_object_save(self, folder, config=self.config)
        self.config.architectures = [type(self).__name__]
        self.config.save_pretrained(folder)

    def name_code(self) -> None:
        """Says in the config which classes of which files the Auto classes and the pipeline take."""
        # Saving copies what this file imports relatively: the pipeline's code goes along.
        from .pipeline_unipose import UniPosePipeline

        self.config.auto_map = dict(AUTO_MAP)
        impl = f"pipeline_unipose.{UniPosePipeline.__name__}"
        self.config.custom_pipelines = {"unipose": {"impl": impl, "pt": ["AutoModelForImageTextToText"]}}

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As the library's; damaged weights raise an OSError that names the file."""
        try:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        except SafetensorError as error:
            files = damaged_files(Path(pretrained_model_name_or_path))
            raise OSError(
                f"the weights of {pretrained_model_name_or_path} are damaged or cut off ({error}): fetch "
                f"{', '.join(map(str, files)) or 'its .safetensors files'} again"
            ) from error


def damaged_files(folder: Path) -> list[Path]:
    """The .safetensors files of a folder whose header does not fit them."""
    damaged = []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except SafetensorError:
            damaged.append(path)
    return damaged


class UniPoseModel(UniPosePreTrainedModel):
    """The two towers, the projector, the pose tokenizer and the language model, without the head."""

    def __init__(self, config: UniPoseConfig):
        super().__init__(config)
        self.vision_tower, self.pose_vision_tower = build_towers(config)
        self.multi_modal_projector = UniPoseMultiModalProjector(config) if config.num_image_tokens else None
        # Its codes are arg-minima, through which no gradient comes.
        self.pose_tokenizer = UniPoseVQVAE(config.pose_tokenizer_config).requires_grad_(False)
        self.pose_query_embeddings = nn.Embedding(config.num_pose_tokens, config.text_config.hidden_size)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    def train(self, mode: bool = True) -> "UniPoseModel":
        """The pose tokenizer is trained as a model of its own; inside this one it stays in evaluation mode, frozen.

        So does a tower of which nothing is trained: dropout would only blur its features. Loading makes every weight
        trainable and calls this one at its end.
        """
        super().train(mode)
        self.pose_tokenizer.eval().requires_grad_(False)
        for tower in (self.vision_tower, self.pose_vision_tower):
            if tower is not None and not any(weight.requires_grad for weight in tower.parameters()):
                tower.eval()
        return self

    @can_return_tuple
    @select_hidden_states(lambda model: model.config.vision_feature_layer)
    def get_image_features(
        self,
        pixel_values: torch.Tensor | None = None,
        pose_pixel_values: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPooling:
        """Pictures, one tensor a tower, (pictures, 3, height, width) each, in placeholder order.

        Returns:
            pooler_output (pictures, num_image_tokens, hidden_size), what the language model sees; the rest is the
            general tower's, or the pose tower's where it is alone.
        """
        outputs, features = [], []
        for tower, pixels, name, read_features in (
            (self.vision_tower, pixel_values, "pixel_values", general_tower_features),
            (self.pose_vision_tower, pose_pixel_values, "pose_pixel_values", pose_tower_features),
        ):
            if (tower is None) != (pixels is None):
                state = "has no tower for" if tower is None else "needs"
                raise ValueError(f"this model {state} {name}: give each of its towers its own pixels, and no others")
            if tower is not None:
                outputs.append(tower(pixels.to(tower.dtype), return_dict=True, **kwargs))
                features.append(read_features(outputs[-1], self.config))
        return BaseModelOutputWithPooling(
            last_hidden_state=features[0] if self.vision_tower is None else outputs[0].last_hidden_state,
            pooler_output=self.multi_modal_projector(torch.cat(features, dim=-1)),
            hidden_states=outputs[0].hidden_states,
            attentions=outputs[0].attentions,
        )

    def positions_of(self, token_id: int, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor) -> torch.Tensor:
        """(batch, length) bool: where a token stands; without ids, where its embedding stands."""
        if input_ids is not None:
            return input_ids == token_id
        token = torch.tensor(token_id, device=inputs_embeds.device)
        return (inputs_embeds == self.get_input_embeddings()(token).to(inputs_embeds)).all(dim=-1)

    def insert_pose_codes(
        self, inputs_embeds: torch.Tensor, placeholders: torch.Tensor, pose_values: torch.Tensor | None
    ) -> torch.Tensor:
        """Replaces the placeholders of input poses by the embedded codes of `pose_values` (poses, 22, 6), in order."""
        count, tokens = int(placeholders.sum()), self.config.num_pose_tokens
        found = 0 if pose_values is None else len(pose_values)
        if count != found * tokens:
            raise ValueError(
                f"input_ids hold {count} pose placeholders, but pose_values hold {found} poses of {tokens} tokens "
                f"({found * tokens})"
            )
        if pose_values is None:
            return inputs_embeds
        with torch.no_grad():
            codes = self.pose_tokenizer.encode(pose_values).to(inputs_embeds.device)
        embeds = self.get_input_embeddings()(codes + self.config.pose_code_start_id)
        return inputs_embeds.masked_scatter(placeholders.unsqueeze(-1), embeds.to(inputs_embeds))

    def insert_image_features(
        self, inputs_embeds: torch.Tensor, placeholders: torch.Tensor, features: torch.Tensor | None
    ) -> torch.Tensor:
        """Replaces the placeholders of pictures by their features (pictures, num_image_tokens, hidden), in order."""
        count, tokens = int(placeholders.sum()), self.config.num_image_tokens
        found = 0 if features is None else len(features)
        if count != found * tokens:
            raise ValueError(
                f"input_ids hold {count} picture placeholders, but {found} pictures of {tokens} tokens "
                f"({found * tokens}) were given"
            )
        if features is None:
            return inputs_embeds
        return inputs_embeds.masked_scatter(placeholders.unsqueeze(-1), features.to(inputs_embeds))

    def reach_projector(self, inputs_embeds: torch.Tensor) -> torch.Tensor:
        """Lets a trained projector get a gradient of zero, not none, from a batch without pictures.

        Several processes exchange their gradients: all must have those of the same weights.
        """
        if not self.training or not any(weight.requires_grad for weight in self.multi_modal_projector.parameters()):
            return inputs_embeds
        blank = inputs_embeds.new_zeros(1, 1, self.config.num_image_channels)
        return inputs_embeds + 0.0 * self.multi_modal_projector(blank).to(inputs_embeds)

    def insert_queries(self, inputs_embeds: torch.Tensor, is_query: torch.Tensor) -> torch.Tensor:
        """Replaces the placeholders of output poses' queries by the learned queries, counted from each run's start."""
        index = (query_index(is_query) % self.config.num_pose_tokens).clamp_min(0)
        queries = self.pose_query_embeddings(index).to(inputs_embeds)
        return torch.where(is_query.unsqueeze(-1), queries, inputs_embeds)

    def create_mask(
        self,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor | None,
        cache: Cache | None,
        position_ids: torch.Tensor | None,
        is_query: torch.Tensor,
    ) -> torch.Tensor | BlockMask | None:
        """The causal mask, opened inside each run of queries (the paper's mixed attention, section 3.3).

        The ids of the blocks cover the past too: ids for the new positions alone would silently open wrong places.
        """
        blocks = None
        if self.config.pose_attention == "mixed" and is_query.any():
            blocks = torch.where(is_query, block_index(is_query), -1)
            past_length = 0 if cache is None else int(cache.get_seq_length())
            blocks = nn.functional.pad(blocks, (past_length, 0), value=-1)
        if blocks is None and attention_mask is None and cache is None:
            attention_mask = inputs_embeds.new_ones(inputs_embeds.shape[:2], dtype=torch.long)
        return create_causal_mask(
            config=self.language_model.config,
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            **{CACHE: cache},
            position_ids=position_ids,
            block_sequence_ids=blocks,
        )

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
        **kwargs: Unpack[TransformersKwargs],
    ) -> UniPoseModelOutputWithPast:
        """Text, pictures and poses in one sequence.

        Args:
            input_ids: (batch, length) with placeholders for pictures, input poses and the queries of output poses.
            attention_mask: (batch, past + length), or a ready 4-D mask.
            inputs_embeds: (batch, length, hidden) in place of input_ids; placeholders are known by their embeddings.
            pixel_values, pose_pixel_values: (pictures, 3, height, width), in placeholder order.
            pose_values: (poses, 22, 6), in placeholder order.
            mm_encoder_outputs: {"image": what `get_image_features` returned} in place of the two pixel inputs.

        Raises:
            ValueError: If placeholders and inputs do not match, with both numbers.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        images = (mm_encoder_outputs or {}).get("image")
        if pixel_values is not None or pose_pixel_values is not None:
            if images is not None:
                raise ValueError("give pixel_values and pose_pixel_values or mm_encoder_outputs, got both")
            images = self.get_image_features(pixel_values, pose_pixel_values, return_dict=True)
        image_features = None if images is None else images.pooler_output
        is_pose, is_image, is_query = (
            self.positions_of(token_id, input_ids, inputs_embeds)
            for token_id in (self.config.pose_token_id, self.config.image_token_id, self.config.pose_query_token_id)
        )
        inputs_embeds = self.insert_pose_codes(inputs_embeds, is_pose, pose_values)
        inputs_embeds = self.insert_image_features(inputs_embeds, is_image, image_features)
        if image_features is None and self.multi_modal_projector is not None:
            inputs_embeds = self.reach_projector(inputs_embeds)
        inputs_embeds = self.insert_queries(inputs_embeds, is_query)
        mask = self.create_mask(inputs_embeds, attention_mask, cache, position_ids, is_query)
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=mask,
            position_ids=position_ids,
            **{CACHE: cache},
            **kwargs,
        )
        return UniPoseModelOutputWithPast(**outputs, image_hidden_states=image_features)


class UniPoseForConditionalGeneration(UniPosePreTrainedModel, UniPoseGenerationMixin):
    """The model with its language head, the paper's loss, and generation of text and poses."""

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
        """See `UniPoseModel.get_image_features`."""
        return self.model.get_image_features(pixel_values, pose_pixel_values, **kwargs)

    def decode_pose_codes(self, pose_codes: torch.Tensor) -> torch.Tensor:
        """(poses, num_pose_tokens) codes -> (poses, 22, 3, 3) rotation matrices, stored frame (z up)."""
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
        labels: torch.Tensor | None = None,
        shift_labels: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        served_logits: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> UniPoseCausalLMOutputWithPast:
        """As `UniPoseModel.forward`, with logits and the loss.

        Args:
            labels: (batch, length), -100 where nothing is asked. At query positions the label is the code's token id
                at the same place; everywhere else it is the next token's, as usual.
            shift_labels: (batch, length), what each position must predict; made from `labels` where absent.
            num_items_in_batch: Divisor of the summed loss; the number of labels where absent (paper, section 3.4).
            logits_to_keep: Only the last positions (an int) or these positions (a tensor); 0 keeps all. A (batch,
                length) mask gives the logits (kept, vocab_size), and the loss, of these positions alone: training
                needs no more than those that are asked for something.
            served_logits: (batch, 1, vocab_size) that an earlier forward has computed: returned without running.
        """
        if served_logits is not None:
            return UniPoseCausalLMOutputWithPast(logits=served_logits, **{CACHE: cache})
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
            **kwargs,
        )
        is_mask = isinstance(logits_to_keep, torch.Tensor) and logits_to_keep.dtype == torch.bool
        hidden = outputs.last_hidden_state
        logits = self.lm_head(hidden[logits_to_keep] if is_mask else slice_logits_to_keep(hidden, logits_to_keep))
        loss = None
        if labels is not None or shift_labels is not None:
            if shift_labels is None:
                shift_labels = self.shift_labels(input_ids, labels, inputs_embeds)
            counted = shift_labels if labels is None else labels
            divisor = (counted != -100).sum() if num_items_in_batch is None else num_items_in_batch
            asked = shift_labels[logits_to_keep] if is_mask else shift_labels.flatten()
            loss = nn.functional.cross_entropy(
                logits.flatten(0, -2).float(), asked.to(logits.device), reduction="sum"
            ) / torch.as_tensor(divisor, device=logits.device).clamp_min(1)
        return UniPoseCausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            **{CACHE: outputs.get(CACHE)},
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=outputs.image_hidden_states,
        )

    def shift_labels(
        self, input_ids: torch.Tensor | None, labels: torch.Tensor, inputs_embeds: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(batch, length) labels -> what each position must predict (see the function below)."""
        is_query = self.model.positions_of(self.config.pose_query_token_id, input_ids, inputs_embeds)
        return shift_pose_labels(is_query, labels)


def query_index(is_query: torch.Tensor) -> torch.Tensor:
    """(batch, length) bool -> how many queries came before each position in its run; -1 outside."""
    position = torch.arange(is_query.shape[1], device=is_query.device).expand(is_query.shape)
    last_other = torch.where(is_query, -1, position).cummax(dim=1).values
    return position - last_other - 1


def block_index(is_query: torch.Tensor) -> torch.Tensor:
    """(batch, length) bool -> number of the run that a query belongs to, counted from 0 in each row."""
    starts = is_query & ~nn.functional.pad(is_query, (1, 0))[:, :-1]
    return starts.cumsum(dim=1) - 1


def shift_pose_labels(is_query: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What each position must predict: its own label at a query, nothing just before a run, else the next label.

    Args:
        is_query: (batch, length), True at the queries of output poses.
        labels: (batch, length), -100 where nothing is asked.

    Returns:
        (batch, length); pose end is never asked for, because the grammar of generation fixes it.
    """
    following = nn.functional.pad(labels[:, 1:], (0, 1), value=-100)
    edge = nn.functional.pad(is_query[:, 1:], (0, 1)) & ~is_query
    return torch.where(is_query, labels, following.masked_fill(edge, -100))


__all__ = ["UniPoseForConditionalGeneration", "UniPoseModel", "UniPosePreTrainedModel"]
