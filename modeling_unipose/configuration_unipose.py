"""Configurations of the pose tokenizer and of the whole model. Default sizes are the release's (paper, section 3)."""

import copy
import math
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec


# What the config classes raise for values of a wrong type, name or size.
CONFIG_ERRORS = (ArithmeticError, AttributeError, IndexError, KeyError, StrictDataclassError, TypeError, ValueError)
NUM_JOINTS = 22
# Parts that a saved config has: their defaults are those of the release, with seven billion weights.
NEEDED_PARTS = ("text_config", "pose_tokenizer_config")


class ReadConfigMixin:
    """`from_dict` that tells a damaged config from a defect of the library."""

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs):
        """Makes a config of the content of config.json.

        Args:
            config_dict: The content.
            kwargs: The library's.

        Raises:
            OSError: It describes no model. Errors of the other arguments are the library's own.
        """
        content = copy.deepcopy(config_dict)
        try:
            return super().from_dict(config_dict, **kwargs)
        except CONFIG_ERRORS as error:
            if kwargs and cls.is_readable(content):
                raise
            reason = " ".join(str(error).split())
            raise OSError(
                f"config.json does not describe a {cls.__name__} ({type(error).__name__}: {reason}): fetch it again"
            ) from error

    @classmethod
    def is_readable(cls, config_dict: dict[str, Any]) -> bool:
        """Whether the content of config.json alone makes a config."""
        try:
            cls(**config_dict)
        except CONFIG_ERRORS:
            return False
        return True


def patch_grid(vision_config: PreTrainedConfig) -> tuple[int, int]:
    """(rows, columns) of the patches of an encoder whose config has (height, width) of image and patch."""
    (height, width), (patch_height, patch_width) = vision_config.image_size, vision_config.patch_size
    return height // patch_height, width // patch_width


@strict
class UniPoseVQVAEConfig(ReadConfigMixin, PreTrainedConfig):
    """The pose tokenizer: 22 joint rotations <-> `num_pose_tokens` codes (paper, section 3.1).

    Args:
        num_joints: Number of joints of a pose; SMPL's 22 body joints.
        hidden_size: Number of channels of the 1-D convolutions over the joint axis.
        codebook_size: Number of pose codes.
        codebook_dim: Width of a code.
        num_pose_tokens: Number of codes per pose; even.
        num_residual_blocks: Number of blocks of each residual stack, dilations 3^(n-1) down to 1.
        architecture: "convolution": the paper's; "body_parts": each token belongs to one part of the body, and one to
            the heading; all are quantized to the grid of `scalar_levels`.
        scalar_levels: Number of grid points of each dimension of a code; for body parts only.
        part_tokens: Number of tokens of the torso, the head, each arm and each leg; for body parts only.
        rotation_loss_weight, commitment_loss_weight: Weights of the two loss components that need no body model.
        decay: Decay of the moving averages that the codebook follows.
        dead_code_threshold: A code whose moving count is below it is replaced by a row of the batch.

    Raises:
        ValueError: If num_joints is not 22, num_pose_tokens is odd or below 2, or the sizes of body parts contradict
            each other.
    """

    model_type = "unipose_vqvae"

    # Architecture
    architecture: Literal["convolution", "body_parts"] = "convolution"
    num_joints: int = 22
    hidden_size: int = 512
    codebook_size: int = 2048
    codebook_dim: int = 256
    num_pose_tokens: int = 80
    num_residual_blocks: int = 2
    scalar_levels: list[int] | None = None
    part_tokens: dict[str, int] | None = None
    # Training
    rotation_loss_weight: float = 20.0
    commitment_loss_weight: float = 1.0
    decay: float = 0.99
    dead_code_threshold: float = 1.0

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.num_joints != NUM_JOINTS:
            raise ValueError(f"num_joints must be {NUM_JOINTS}, the joints of a pose, got {self.num_joints}")
        if self.num_pose_tokens < 2 or self.num_pose_tokens % 2:
            raise ValueError(f"num_pose_tokens must be even and at least 2, got {self.num_pose_tokens}")
        if self.architecture == "body_parts":
            self.check_body_parts()

    def check_body_parts(self) -> None:
        """Checks the sizes of a tokenizer of body parts.

        Raises:
            ValueError: If they contradict each other.
        """
        if not self.scalar_levels or not self.part_tokens:
            raise ValueError("a tokenizer of body parts needs scalar_levels and part_tokens")
        if math.prod(self.scalar_levels) != self.codebook_size or len(self.scalar_levels) != self.codebook_dim:
            raise ValueError(
                f"scalar_levels {self.scalar_levels} make {math.prod(self.scalar_levels)} codes of "
                f"{len(self.scalar_levels)} dimensions, expected codebook_size {self.codebook_size} and codebook_dim "
                f"{self.codebook_dim}"
            )
        if self.part_tokens.keys() != {"torso", "head", "arm", "leg"}:
            raise ValueError(f"part_tokens names {sorted(self.part_tokens)}, expected torso, head, arm and leg")
        tokens = 1 + sum(count * (2 if kind in ("arm", "leg") else 1) for kind, count in self.part_tokens.items())
        if tokens != self.num_pose_tokens:
            raise ValueError(f"part_tokens and the heading make {tokens} tokens, expected {self.num_pose_tokens}")

    @property
    def encoder_lengths(self) -> list[int]:
        """Lengths the joint axis is stretched to; never below the number of joints, so that no joint is skipped."""
        tokens = self.num_pose_tokens
        return [max(tokens // 2, self.num_joints), max(tokens, self.num_joints), 2 * tokens]

    @property
    def decoder_lengths(self) -> list[int]:
        """Four even steps from `num_pose_tokens` to `num_joints` (80 -> 65, 51, 36, 22)."""
        tokens, joints = self.num_pose_tokens, self.num_joints
        return [int(tokens + (joints - tokens) * step / 4) for step in range(1, 5)]


class RegisteredPipelines(dict):
    """`custom_pipelines` of a checkpoint whose pipeline the installed package has registered.

    `pipeline(model=...)` finds the task in them, and then, as they seem to hold no task, the registered pipeline: the
    checkpoint's own copy would need `trust_remote_code`.
    """

    def __contains__(self, task: object) -> bool:
        return False


@strict
class UniPoseConfig(ReadConfigMixin, PreTrainedConfig):
    """Language model + two vision encoders + pose tokenizer (paper, section 3).

    Args:
        text_config: Any causal decoder that `AutoModel` builds, with full attention in every layer.
        vision_config: The vision encoder (CLIP or SigLIP); None: the model has none.
        pose_vision_config: The pose encoder (VitPoseBackbone, which is ViTPose); None: the model has none.
        pose_tokenizer_config: The pose tokenizer.
        pose_attention: "mixed": an output pose is one block of queries that see each other, decoded in one forward;
            "causal": codes are decoded one by one (the paper's ablation).
        pose_position_embeddings: Whether the codes of poses are embedded with their position in the pose. Without (the
            paper's), a code says what it is, but not which token of the pose it is.
        source_pose_pointer: Whether a query of an output pose raises the logit of the code that the source pose, the
            last input pose before it, has at the same index, by an amount that it computes: an edit copies what it
            keeps. Without (the paper's), the model must learn to repeat every code.
        vision_feature_layer: Index of the hidden state of the vision encoder that is used; a class token is dropped.
        projector_hidden_act: Activation between the projector's two layers.
        initializer_range: Standard deviation of new weights.
        tie_word_embeddings: Whether the head shares the input embeddings' weights; also true if text_config sets it.
        auto_map: Files and classes of a saved folder's code, by Auto class; written by `save_pretrained`.
        pose_code_start_id: Id of pose code 0; code i is `pose_code_start_id + i`.
        pose_token_id: Placeholder of one code of an input pose.
        pose_query_token_id: Placeholder of one query of an output pose.
        pose_start_token_id, pose_end_token_id: Tokens around every pose.
        image_token_id: Placeholder of one image token.
        image_start_token_id, image_end_token_id: Tokens around every image.
        pose_opening_ids: Token ids of an answer before pose-start. A model converted from the original release starts
            every answer with a word-start mark.
        confidence_weights: Weights of the confidence in an answer, by task ("free" without one), feature and "bias";
            None: not calibrated.
        no_person_below: Confidence below which image-to-text says that it sees no person; None: never.
        texts_through_poses: Whether the pipeline answers image-to-text and image-diff from the poses that the model
            estimates in the images. The paper's model answers from the images.

    Raises:
        ValueError: If text_config has layers without full attention, or too small a vocabulary for the pose codes; if
            codes that are decoded one by one should have positions.
    """

    model_type = "unipose"
    sub_configs_defaults = {  # noqa: RUF012 - transformers' own declaration
        "text_config": SubConfigSpec(
            config_class=AutoConfig, model_type="mistral", init_kwargs={"vocab_size": 34065, "sliding_window": None}
        ),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model", optional=True),
        "pose_vision_config": SubConfigSpec(config_class=AutoConfig, model_type="vitpose_backbone", optional=True),
        "pose_tokenizer_config": SubConfigSpec(config_class=UniPoseVQVAEConfig),
    }

    # Architecture
    text_config: dict | PreTrainedConfig | None = None
    vision_config: dict | PreTrainedConfig | None = None
    pose_vision_config: dict | PreTrainedConfig | None = None
    pose_tokenizer_config: dict | PreTrainedConfig | None = None
    pose_attention: Literal["mixed", "causal"] = "mixed"
    pose_position_embeddings: bool = False
    source_pose_pointer: bool = False
    vision_feature_layer: int = -2
    projector_hidden_act: str = "gelu"
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False
    # Remote code
    auto_map: dict[str, str] | None = None
    # Vocabulary
    pose_code_start_id: int = 32000
    pose_token_id: int = 34048
    pose_start_token_id: int = 34049
    pose_end_token_id: int = 34050
    pose_query_token_id: int = 34051
    image_token_id: int = 34052
    image_start_token_id: int = 34053
    image_end_token_id: int = 34054
    pose_opening_ids: list[int] | None = None
    # Confidence
    confidence_weights: dict[str, dict[str, float]] | None = None
    no_person_below: float | None = None
    # Texts about images
    texts_through_poses: bool = False

    def __post_init__(self, **kwargs):
        if "custom_pipelines" in kwargs and has_registered_pipeline():
            kwargs["custom_pipelines"] = RegisteredPipelines(kwargs["custom_pipelines"])
        super().__post_init__(**kwargs)
        self.pose_opening_ids = self.pose_opening_ids or []
        # The Auto classes read the attribute wherever it exists: it must be a dict.
        self.auto_map = self.auto_map or {}
        self.tie_word_embeddings = self.tie_word_embeddings or self.text_config.tie_word_embeddings
        for name in ("pose_position_embeddings", "source_pose_pointer"):
            if getattr(self, name) and self.pose_attention == "causal":
                raise ValueError(
                    f'{name} is true and pose_attention is "causal": a code that is decoded alone has no position in '
                    'its pose; expected pose_attention "mixed"'
                )
        text = self.text_config.to_dict()
        layer_types = set(text.get("layer_types") or [])
        if layer_types - {"full_attention"} or (not layer_types and text.get("sliding_window") is not None):
            raise ValueError(
                f"text_config ({text['model_type']}) has layers without full attention (layer_types: "
                f"{sorted(layer_types) or 'none'}, sliding_window: {text.get('sliding_window')}); an output pose must "
                "see the whole prompt: set sliding_window=None"
            )
        last_code = self.pose_code_start_id + self.num_pose_codes - 1
        if last_code >= self.text_config.vocab_size:
            raise ValueError(
                f"pose codes take the ids {self.pose_code_start_id}..{last_code}, but text_config.vocab_size is "
                f"{self.text_config.vocab_size}"
            )

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs):
        """Makes a config of the content of config.json.

        Args:
            config_dict: The content.
            kwargs: The library's.

        Raises:
            OSError: It describes no model, or lacks a part: the default would be a model of the release's size.
        """
        kind = config_dict.get("model_type")
        if kind is not None and not isinstance(kind, str):
            raise OSError(f"config.json describes no model: its model_type is {shorten(kind)}, expected a string")
        for name in NEEDED_PARTS:
            # A dict among the arguments changes values of the file's part.
            part = config_dict.get(name)
            whole = isinstance(part, dict) and part.get("model_type")
            if not whole and not isinstance(kwargs.get(name), PreTrainedConfig):
                raise OSError(
                    f"config.json describes no model: its {name} is {shorten(part)}, expected the config of that "
                    "part with its model_type; fetch it again"
                )
        return super().from_dict(config_dict, **kwargs)

    @property
    def max_positions(self) -> int | None:
        """Maximum number of tokens of a prompt and its answer; None: the language model has no limit."""
        return getattr(self.text_config, "max_position_embeddings", None)

    @property
    def num_pose_tokens(self) -> int:
        """Tokens of a pose."""
        return self.pose_tokenizer_config.num_pose_tokens

    @property
    def num_pose_codes(self) -> int:
        """Codes that a token of a pose may be."""
        return self.pose_tokenizer_config.codebook_size

    @property
    def pose_answer_length(self) -> int:
        """Tokens of an answer that is one pose: its opening, pose-start, the codes and pose-end."""
        return len(self.pose_opening_ids) + self.num_pose_tokens + 2

    @property
    def feature_grid(self) -> tuple[int, int]:
        """(rows, columns) of image tokens: the vision encoder's grid, or the pose encoder's, padded to a square."""
        if self.vision_config is not None:
            side = self.vision_config.image_size // self.vision_config.patch_size
        else:
            side = self.pose_feature_grid[0]
        return side, side

    @property
    def pose_feature_grid(self) -> tuple[int, int]:
        """(rows, columns) of the pose encoder's map before it is padded to a square (16 x 12 at release size)."""
        return patch_grid(self.pose_vision_config)

    @property
    def num_image_channels(self) -> int:
        """Channels of an image token before it is projected: those of both vision encoders."""
        encoders = (self.vision_config, self.pose_vision_config)
        return sum(encoder.hidden_size for encoder in encoders if encoder is not None)

    @property
    def num_image_tokens(self) -> int:
        """Tokens of an image; 0 for a model without vision encoders."""
        if self.vision_config is None and self.pose_vision_config is None:
            return 0
        rows, columns = self.feature_grid
        return rows * columns


def has_registered_pipeline() -> bool:
    """Whether the installed package has registered its pipeline."""
    # Not at the top: transformers.pipelines imports this module, where it is registered.
    from transformers.pipelines import PIPELINE_REGISTRY

    return "unipose" in PIPELINE_REGISTRY.supported_tasks


def shorten(value: Any) -> str:
    """A value for an error message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


__all__ = ["UniPoseConfig", "UniPoseVQVAEConfig"]
