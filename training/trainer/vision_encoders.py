"""Pretraining of the vision encoders on rendered people: their readouts, their batches and the trainer.

The pose encoder locates joints and regresses the pose, as the original's does for human mesh recovery. The vision
encoder matches images with their descriptions, as CLIP does. The readouts are discarded after the training.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

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
from unipose.training.trainer.callbacks import SetEpochCallback
from unipose.training.trainer.collator import ROW_KEY
from unipose.training.trainer.samplers import SeededSampler
from unipose.training.trainer.trainers import SampledDataMixin, StageTrainer


# Meters count more than squared entries of rotations; the cross-entropy of cells leads the first steps.
JOINT_WEIGHT = 2.0
CELL_WEIGHT = 1.0
# Of the joints that single patches locate: in the image (shares of its side), and from the pelvis (meters).
PLACE_WEIGHT = 5.0
LOCAL_JOINT_WEIGHT = 2.0
# Pixels that `VitPoseBackbone` adds at the border before it cuts patches.
PATCH_PADDING = 2
# Offsets from a patch's center: outputs of about 1 shift by this share of the image's side.
PLACE_SCALE = 0.2
# Folders of the stage's output, one per encoder.
VISION, POSE_VISION = "vision", "pose_vision"


@dataclass
class EncoderArguments(EncoderSizes):
    """The images that the encoders are trained on, and their attention."""

    images: str = field(
        default="runs/encoder_images", metadata={"help": "Folder of the images; missing ones are rendered."}
    )
    num_images: int = field(default=60000, metadata={"help": "Number of images."})
    render_size: int = field(
        default=112, metadata={"help": "Pixels of the rendered images, of which the encoders see random parts."}
    )
    records: list[str] = field(
        default_factory=list, metadata={"help": "Folders of records by import_data, to sample their motion too."}
    )
    image_seed: int = field(default=7, metadata={"help": "Seed of the poses, texts and styles of the images."})
    workers: int = field(default=2, metadata={"help": "Number of rendering processes."})
    attention: str = field(default="sdpa", metadata={"help": "Attention of both encoders: sdpa or eager."})
    start: str | None = field(
        default=None, metadata={"help": "Output folder of an earlier run to start from; default: new weights."}
    )


class PoseReadout(nn.Module):
    """The pose encoder with two readouts: each joint where it is in the image, and the whole pose.

    A joint attends to the patches that show it (supervised with its place in the image). They say where exactly it is,
    in the image and relative to the pelvis. So the patches learn to locate joints from the first steps on.

    The pose is linear in the mean of the patches, so that each patch carries all of it, and a language model finds it
    wherever it attends. A readout by patch position works here, but the language model then does not find the pose.

    Args:
        encoder: the pose encoder.
    """

    centers: torch.Tensor

    def __init__(self, encoder: VitPoseBackbone):
        super().__init__()
        width = encoder.config.hidden_size
        self.encoder = encoder
        self.cells = nn.Linear(width, NUM_JOINTS)
        self.joints = nn.Linear(width, NUM_JOINTS * 5)
        self.pose = nn.Linear(width, NUM_JOINTS * 6)
        self.register_buffer("centers", patch_centers(encoder.config), persistent=False)

    def forward(self, pose_pixel_values: torch.Tensor) -> "ReadPoses":
        """(images, 3, height, width) -> the readouts of each image."""
        patches = self.encoder(pose_pixel_values).feature_maps[-1]
        logits = self.cells(patches).float().mT
        values = self.joints(patches).float().unflatten(2, (NUM_JOINTS, 5)).transpose(1, 2)
        values = torch.cat([PLACE_SCALE * values[..., :2] + self.centers, values[..., 2:]], dim=-1)
        joints = (logits.softmax(dim=-1).unsqueeze(-2) @ values).squeeze(-2)
        rotation_6d = self.pose(patches.mean(dim=1)).float().unflatten(1, (NUM_JOINTS, 6))
        return ReadPoses(logits, joints[..., :2], joints[..., 2:], rotation_6d_to_rotmat(rotation_6d))


class ReadPoses(NamedTuple):
    """What `PoseReadout` reads from images.

    Args:
        logits: (images, 22, patches), of the patch in which a joint is.
        places: (images, 22, 2), of the joints as shares of the square image's width and height.
        joints: (images, 22, 3) in meters from the pelvis, y up.
        rotmats: (images, 22, 3, 3), the poses.
    """

    logits: torch.Tensor
    places: torch.Tensor
    joints: torch.Tensor
    rotmats: torch.Tensor


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
        places: torch.Tensor,
        rotmats: torch.Tensor,
        has_person: torch.Tensor,
        words: torch.Tensor,
        starts: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Losses, each (), and what is read from each image; the arguments are a batch of `EncoderCollator`.

        Args:
            pixel_values: the vision encoder's pixels.
            pose_pixel_values: the pose encoder's pixels.
            cells: (images, 22, patches), of `joint_cells`.
            places: (images, 22, 2), of the joints as shares of the image's width and height.
            rotmats: (images, 22, 3, 3), the target poses.
            has_person: (images,) 1, or 0 for an image without a person, which has no pose.
            words: ids of all descriptions, one after the other.
            starts: (images,), where each description starts in `words`.
        """
        read = self.poses(pose_pixel_values)
        log_probabilities = nn.functional.log_softmax(read.logits, dim=-1)
        shown = cells.sum(dim=-1)
        distances = (read.places - places).abs().sum(dim=-1)
        return {
            "cell_loss": -(cells * log_probabilities).sum() / shown.sum().clamp_min(1.0),
            "place_loss": (shown * distances).sum() / shown.sum().clamp_min(1.0),
            "rotation_loss": mean_of_people((read.rotmats - rotmats).square(), has_person),
            "caption_loss": self.captions(pixel_values, words, starts),
            "joints": read.joints,
            "rotmats": read.rotmats,
        }


def mean_of_people(values: torch.Tensor, has_person: torch.Tensor) -> torch.Tensor:
    """The mean over the images with a person, ().

    Args:
        values: (images, ...).
        has_person: (images,) 1 or 0.
    """
    return (values.flatten(1).mean(dim=1) * has_person).sum() / has_person.sum().clamp_min(1.0)


class EncoderCollator:
    """Batches of `EncoderImages` -> the pixels of both encoders, patches and places of joints, rotations and words.

    The pixels are those of the image processor, which takes one image at a time and thus longer.

    Args:
        image_processor: image processor of both encoders.
        tokenizer: tokenizer of the descriptions.
        pose_vision: config of the pose encoder.

    Raises:
        ValueError: the encoders see images of different heights.
    """

    def __init__(
        self,
        image_processor: UniPoseImageProcessor,
        tokenizer: PreTrainedTokenizerBase,
        pose_vision: VitPoseBackboneConfig,
    ):
        heights = image_processor.size["height"], image_processor.pose_size["height"]
        if heights[0] != heights[1]:
            raise ValueError(f"the encoders' images are {heights[0]} and {heights[1]} pixels high; expected the same")
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.pose_vision = pose_vision

    def __call__(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        texts = self.tokenizer(batch["texts"])["input_ids"]
        lengths = torch.tensor([len(text) for text in texts])
        places, visible = torch.from_numpy(batch["joints_2d"]), torch.from_numpy(batch["visible"])
        images = torch.from_numpy(batch["images"]).permute(0, 3, 1, 2).float() / 255
        processor = self.image_processor
        pose_height, pose_width = self.pose_vision.image_size
        left = (pose_height - pose_width) // 2
        pose_images = images[..., left : left + pose_width]
        return {
            "pixel_values": normalize(images, processor.image_mean, processor.image_std),
            "pose_pixel_values": normalize(pose_images, processor.pose_image_mean, processor.pose_image_std),
            "cells": joint_cells(places, visible, self.pose_vision),
            "places": places,
            "rotmats": batch["rotmats"],
            "has_person": torch.from_numpy(batch["has_person"]).float(),
            "words": torch.tensor([word for text in texts for word in text]),
            "starts": lengths.cumsum(0) - lengths,
            ROW_KEY: batch[ROW_KEY],
        }


def normalize(images: torch.Tensor, mean: Sequence[float], deviation: Sequence[float]) -> torch.Tensor:
    """Normalizes the colors.

    Args:
        images: (n, 3, height, width) in 0..1.
        mean: of red, green and blue.
        deviation: of red, green and blue.
    """
    return (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(deviation).view(3, 1, 1)


def patch_centers(pose_vision: VitPoseBackboneConfig) -> torch.Tensor:
    """(patches, 2): the center of each patch of the pose encoder, as shares of the square image's width and height."""
    rows, columns = patch_grid(pose_vision)
    height, width = pose_vision.image_size
    down, right = (
        size * (torch.arange(count) + 0.5) - PATCH_PADDING
        for count, size in zip((rows, columns), pose_vision.patch_size)
    )
    right = right + (height - width) / 2
    centers = torch.stack([right.expand(rows, columns), down[:, None].expand(rows, columns)], dim=-1)
    return centers.flatten(0, 1) / height


def joint_cells(joints: torch.Tensor, visible: torch.Tensor, pose_vision: VitPoseBackboneConfig) -> torch.Tensor:
    """Where joints are on the pose encoder's grid of patches.

    Args:
        joints: (images, 22, 2), as shares of the width and height of square images.
        visible: (images, 22) bool.
        pose_vision: config of the encoder, which sees the middle of each image.

    Returns:
        (images, 22, patches): each visible joint shared among the four patches with the nearest centers, sum 1; less
        at the border, 0 outside of the crop and where it is not visible.
    """
    distances = (joints.unsqueeze(-2) - patch_centers(pose_vision)).abs() * pose_vision.image_size[0]
    height, width = pose_vision.patch_size
    shares = (1 - distances / torch.tensor([width, height])).clamp_min(0)
    return shares.prod(dim=-1) * visible.unsqueeze(-1)


class EncoderTrainer(SampledDataMixin, StageTrainer):
    """Adds the distances of the joints, in meters, to the loss and logs every component.

    Args:
        body: body whose joints are compared.
    """

    def __init__(self, body: BodyModel, **kwargs):
        super().__init__(**kwargs)
        self.body = body.to(self.args.device)

    def train_sampler(self) -> SeededSampler:
        sampler = SeededSampler(len(self.train_dataset), self.args.seed)
        self.add_callback(SetEpochCallback(sampler, self.train_dataset))
        return sampler

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        joints, rotmats = outputs.pop("joints"), outputs.pop("rotmats")
        with torch.autocast(rotmats.device.type, enabled=False):
            predicted, target = (self.body.forward_joints(poses) for poses in (rotmats, inputs["rotmats"]))
        components = outputs | {
            name: mean_of_people((found - target).norm(dim=-1), inputs["has_person"])
            for name, found in (("joint_distance", predicted), ("local_joint_distance", joints))
        }
        if model.training:
            self.log_components(components)
        loss = components["rotation_loss"] + JOINT_WEIGHT * components["joint_distance"]
        loss = loss + LOCAL_JOINT_WEIGHT * components["local_joint_distance"]
        loss = loss + CELL_WEIGHT * components["cell_loss"] + PLACE_WEIGHT * components["place_loss"]
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
