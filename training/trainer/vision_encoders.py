"""Pretraining of the vision encoders on rendered people: their readouts, their batches and the trainer.

The pose encoder locates joints and regresses the pose, as the original's does for human mesh recovery. The vision
encoder matches images with their descriptions, as CLIP does. The readouts are discarded after the training.
"""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoBackbone,
    AutoModel,
    CLIPVisionModel,
    PreTrainedTokenizerBase,
    VitPoseBackbone,
    VitPoseBackboneConfig,
)
from transformers.utils import SAFE_WEIGHTS_NAME

from unipose import UniPoseForConditionalGeneration, UniPoseImageProcessor
from unipose.configuration_unipose import patch_grid
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import NUM_JOINTS, rotation_6d_to_rotmat
from unipose.training.models.encoder_sizes import EncoderSizes, encoder_configs
from unipose.training.trainer.trainers import StageTrainer


# Meters count more than squared entries of rotations; the cross-entropy of cells (up to log 48) must not dominate.
JOINT_WEIGHT = 5.0
CELL_WEIGHT = 0.2
# Folders of the stage's output, one per encoder.
VISION, POSE_VISION = "vision", "pose_vision"


@dataclass
class EncoderArguments(EncoderSizes):
    """The images that the encoders are trained on, and their attention."""

    images: str = field(
        default="runs/encoder_images", metadata={"help": "Folder of the images; missing ones are rendered."}
    )
    num_images: int = field(default=60000, metadata={"help": "Number of images."})
    image_seed: int = field(default=7, metadata={"help": "Seed of the poses, texts and styles of the images."})
    workers: int = field(default=2, metadata={"help": "Number of rendering processes."})
    attention: str = field(default="sdpa", metadata={"help": "Attention of both encoders: sdpa or eager."})
    start: str | None = field(
        default=None, metadata={"help": "Output folder of an earlier run to start from; default: new weights."}
    )


class PoseReadout(nn.Module):
    """The pose encoder with two readouts: the patch of each joint, and the pose.

    The pose is read from the mean of the patches, so that each patch carries all of it, and a language model finds it
    wherever it attends. A readout by patch position works here, but the language model then does not find the pose.

    Args:
        encoder: the pose encoder.
        hidden: width of the pose's readout.
    """

    def __init__(self, encoder: VitPoseBackbone, hidden: int = 512):
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder = encoder
        self.cells = nn.Linear(width, NUM_JOINTS)
        self.pose = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, NUM_JOINTS * 6))

    def forward(self, pose_pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(images, 3, height, width) -> logits of patches (images, 22, patches), rotmats (images, 22, 3, 3)."""
        patches = self.encoder(pose_pixel_values).feature_maps[-1]
        rotation_6d = self.pose(patches.mean(dim=1)).float().unflatten(1, (NUM_JOINTS, 6))
        return self.cells(patches).float().mT, rotation_6d_to_rotmat(rotation_6d)


class CaptionMatch(nn.Module):
    """The vision encoder and a bag of words in one space, in which an image is nearest its own description.

    Args:
        encoder: the vision encoder.
        vocab_size: number of words.
        width: width of the common space.
    """

    def __init__(self, encoder: CLIPVisionModel, vocab_size: int, width: int = 64):
        super().__init__()
        hidden = encoder.config.hidden_size
        self.encoder = encoder
        self.image = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.words = nn.EmbeddingBag(vocab_size, 2 * width, mode="mean")
        self.text = nn.Sequential(nn.GELU(), nn.Linear(2 * width, width))
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, pixel_values: torch.Tensor, words: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        """The symmetric contrastive loss, ().

        Args:
            pixel_values: (images, 3, height, width).
            words: ids of all descriptions, one after the other.
            starts: (images,), where each description starts in `words`.
        """
        patches = self.encoder(pixel_values).last_hidden_state[:, 1:]
        images = nn.functional.normalize(self.image(patches).mean(dim=1).float(), dim=-1)
        texts = nn.functional.normalize(self.text(self.words(words, starts)).float(), dim=-1)
        similarity = self.log_scale.exp().clamp(max=100.0) * images @ texts.T
        own = torch.arange(len(similarity), device=similarity.device)
        return (nn.functional.cross_entropy(similarity, own) + nn.functional.cross_entropy(similarity.T, own)) / 2


class EncoderPretraining(nn.Module):
    """Both encoders with their readouts.

    Args:
        vision: the vision encoder.
        pose_vision: the pose encoder.
        vocab_size: number of words in the descriptions' vocabulary.
    """

    def __init__(self, vision: CLIPVisionModel, pose_vision: VitPoseBackbone, vocab_size: int):
        super().__init__()
        self.captions = CaptionMatch(vision, vocab_size)
        self.poses = PoseReadout(pose_vision)

    def forward(
        self,
        pixel_values: torch.Tensor,
        pose_pixel_values: torch.Tensor,
        cells: torch.Tensor,
        rotmats: torch.Tensor,
        words: torch.Tensor,
        starts: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Three losses, each (), and the predicted rotmats; the arguments are a batch of `EncoderCollator`.

        Args:
            pixel_values: the vision encoder's pixels.
            pose_pixel_values: the pose encoder's pixels.
            cells: (images, 22, patches), of `joint_cells`.
            rotmats: (images, 22, 3, 3), the target poses.
            words: ids of all descriptions, one after the other.
            starts: (images,), where each description starts in `words`.
        """
        logits, predicted = self.poses(pose_pixel_values)
        log_probabilities = nn.functional.log_softmax(logits, dim=-1)
        return {
            "cell_loss": -(cells * log_probabilities).sum() / cells.sum().clamp_min(1.0),
            "rotation_loss": nn.functional.mse_loss(predicted, rotmats),
            "caption_loss": self.captions(pixel_values, words, starts),
            "rotmats": predicted,
        }


class EncoderCollator:
    """Rows of `render_encoder_images` -> the pixels of both encoders, patches of joints, rotations and words.

    Args:
        image_processor: image processor of both encoders.
        tokenizer: tokenizer of the descriptions.
        pose_vision: config of the pose encoder.
    """

    def __init__(
        self,
        image_processor: UniPoseImageProcessor,
        tokenizer: PreTrainedTokenizerBase,
        pose_vision: VitPoseBackboneConfig,
    ):
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.pose_vision = pose_vision

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        texts = self.tokenizer([row["text"] for row in rows])["input_ids"]
        lengths = torch.tensor([len(text) for text in texts])
        rotvecs, joints, visible = (
            torch.tensor(np.array([row[name] for row in rows])) for name in ("rotvecs", "joints_2d", "visible")
        )
        return {
            **self.image_processor([row["image"] for row in rows], return_tensors="pt"),
            "cells": joint_cells(joints, visible, self.pose_vision),
            "rotmats": roma.rotvec_to_rotmat(rotvecs),
            "words": torch.tensor([word for text in texts for word in text]),
            "starts": lengths.cumsum(0) - lengths,
        }


def joint_cells(joints: torch.Tensor, visible: torch.Tensor, pose_vision: VitPoseBackboneConfig) -> torch.Tensor:
    """Where joints are on the pose encoder's grid of patches.

    Args:
        joints: (images, 22, 2), as shares of the width and height of square images.
        visible: (images, 22) bool.
        pose_vision: config of the encoder, which sees the middle of each image.

    Returns:
        (images, 22, rows * columns): each visible joint shared among the four patches with the nearest centers, sum 1;
        less at the border, 0 outside of the crop and where it is not visible.
    """
    rows, columns = patch_grid(pose_vision)
    height, width = pose_vision.image_size
    x = ((joints[..., 0] - 0.5) * height / width + 0.5) * columns - 0.5
    y = joints[..., 1] * rows - 0.5
    cells = joints.new_zeros(*visible.shape, rows, columns)
    for row, column in itertools.product(range(rows), range(columns)):
        cells[..., row, column] = (1 - (y - row).abs()).clamp_min(0) * (1 - (x - column).abs()).clamp_min(0)
    return cells.flatten(-2) * visible.unsqueeze(-1)


class EncoderTrainer(StageTrainer):
    """Adds the distance of the joints, in meters, to the loss and logs every component.

    Args:
        body: body whose joints are compared.
    """

    def __init__(self, body: BodyModel, **kwargs):
        super().__init__(**kwargs)
        self.body = body.to(self.args.device)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        rotmats = outputs.pop("rotmats")
        with torch.autocast(rotmats.device.type, enabled=False):
            predicted, target = (self.body.forward_joints(poses) for poses in (rotmats, inputs["rotmats"]))
        components = outputs | {"joint_distance": (predicted - target).norm(dim=-1).mean()}
        if model.training:
            self.log_components(components)
        loss = components["rotation_loss"] + JOINT_WEIGHT * components["joint_distance"]
        loss = loss + CELL_WEIGHT * components["cell_loss"]
        loss = loss + components["caption_loss"]
        return (loss, outputs) if return_outputs else loss


def build_encoders(arguments: EncoderArguments) -> tuple[CLIPVisionModel, VitPoseBackbone]:
    """Both encoders: untrained, or as an earlier run of this stage saved them."""
    attention = {"attn_implementation": arguments.attention}
    if arguments.start is not None:
        return (
            CLIPVisionModel.from_pretrained(Path(arguments.start) / VISION, **attention),
            VitPoseBackbone.from_pretrained(Path(arguments.start) / POSE_VISION, **attention),
        )
    vision, pose_vision = encoder_configs(arguments)
    return AutoModel.from_config(vision, **attention), AutoBackbone.from_config(pose_vision, **attention)


def load_vision_encoders(model: UniPoseForConditionalGeneration, folder: Path) -> None:
    """Loads the weights of the vision encoders that the stage `vision_encoders` has trained.

    Args:
        model: model with encoders of the same sizes; changed in place.
        folder: the stage's output.
    """
    for encoder, name in ((model.model.vision_tower, VISION), (model.model.pose_vision_tower, POSE_VISION)):
        if encoder is not None:
            encoder.load_state_dict(load_file(folder / name / SAFE_WEIGHTS_NAME))
