"""Sizes of small vision encoders, for a model without pretrained ones."""

from dataclasses import dataclass, field

from transformers import CLIPVisionConfig, PreTrainedConfig, VitPoseBackboneConfig

from unipose import UniPoseImageProcessor


@dataclass
class EncoderSizes:
    """Widths and depths of the vision encoder and the pose encoder, for images of 96 pixels."""

    vision_hidden_size: int = field(default=128, metadata={"help": "Width of a new vision encoder."})
    vision_layers: int = field(default=3, metadata={"help": "Number of layers of a new vision encoder."})
    pose_vision_hidden_size: int = field(default=192, metadata={"help": "Width of a new pose encoder."})
    pose_vision_layers: int = field(default=6, metadata={"help": "Number of layers of a new pose encoder."})


def encoder_configs(sizes: EncoderSizes) -> tuple[CLIPVisionConfig, VitPoseBackboneConfig]:
    """Configs for square images of 96 pixels: 6 x 6 tokens of the vision encoder, 8 x 8 of the pose encoder.

    The paper's pose encoder sees a portrait part. A square also shows all of a body that lies or spreads its arms.
    """
    vision = CLIPVisionConfig(
        hidden_size=sizes.vision_hidden_size,
        intermediate_size=2 * sizes.vision_hidden_size,
        num_hidden_layers=sizes.vision_layers,
        num_attention_heads=4,
        image_size=96,
        patch_size=16,
    )
    pose_vision = VitPoseBackboneConfig(
        hidden_size=sizes.pose_vision_hidden_size,
        mlp_ratio=2,
        num_hidden_layers=sizes.pose_vision_layers,
        num_attention_heads=6,
        image_size=[96, 96],
        patch_size=[12, 12],
        out_indices=[sizes.pose_vision_layers],
        layer_norm_eps=1e-6,
    )
    return vision, pose_vision


def image_processor(
    vision: PreTrainedConfig | None, pose_vision: PreTrainedConfig | None, **statistics: list[float]
) -> UniPoseImageProcessor:
    """The image processor of both encoders, or of the only one.

    Args:
        vision: config of the vision encoder, if any.
        pose_vision: config of the pose encoder, if any.
        statistics: `image_mean` and `image_std`; default: CLIP's.
    """
    return UniPoseImageProcessor(
        size=None if vision is None else dict.fromkeys(("height", "width"), vision.image_size),
        pose_size=None if pose_vision is None else dict(zip(("height", "width"), pose_vision.image_size)),
        **statistics,
    )
