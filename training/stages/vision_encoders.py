"""Pretrains the picture towers on rendered people, only where no pretrained ones can be had.

    python -m unipose.training.stages.vision_encoders --config training/recipes/tiny/vision_encoders.yaml

The pose tower finds joints and the pose, as the original's does for human mesh recovery; the general tower matches
pictures with their descriptions, as CLIP does. What they are read out with is thrown away. A later stage puts the two
folders that this writes into its model (`towers` of the stage `project`), and all of them freeze the towers.
"""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from torch import nn
from transformers import (
    AutoBackbone,
    CLIPVisionModel,
    PreTrainedTokenizerBase,
    TrainingArguments,
    VitPoseBackbone,
    VitPoseBackboneConfig,
)
from trl import TrlParser

from unipose import UniPoseImageProcessor
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import NUM_JOINTS, rotation_6d_to_rotmat
from unipose.training.models.encoder_sizes import TowerSizes, image_processor, tower_configs
from unipose.training.models.text_tokenizer import train_text_tokenizer
from unipose.training.stages.encoder_images import WithMirrored, draw_tower_pictures
from unipose.training.trainer.checkpoints import find_checkpoint
from unipose.training.trainer.optimizer import OptimizerArguments, build_optimizer
from unipose.training.trainer.trainers import StageTrainer


# Metres count more than squared entries of rotations; the cross-entropy of cells (up to log 48) leads, not rules.
JOINT_WEIGHT = 5.0
CELL_WEIGHT = 0.2
# Where each tower is saved.
VISION, POSE_VISION = "vision", "pose_vision"
# Of the bag of words that descriptions become.
VOCABULARY = 2000


@dataclass
class TowerArguments(TowerSizes):
    """Which pictures the towers see, and how they are attended to."""

    pictures: str = field(default="runs/pictures", metadata={"help": "Folder of the pictures, drawn where missing."})
    num_pictures: int = field(default=60000, metadata={"help": "How many pictures."})
    picture_seed: int = 7
    workers: int = field(default=2, metadata={"help": "Processes that draw."})
    attention: str = field(default="sdpa", metadata={"help": "Of both towers: sdpa or eager."})
    start: str | None = field(default=None, metadata={"help": "Folder of this stage to go on from; else untrained."})


class PoseReadout(nn.Module):
    """The pose tower with two readouts: the patch in which each joint is, and the pose.

    The pose is read from the mean of the patches: so each of them carries all of it, and a language model finds it by
    looking anywhere. Read from where the patches lie, a pose is found here, but not by a language model.

    Args:
        tower: the pose tower.
        hidden: width of the pose's readout.
    """

    def __init__(self, tower: VitPoseBackbone, hidden: int = 512):
        super().__init__()
        width = tower.config.hidden_size
        self.tower = tower
        self.cells = nn.Linear(width, NUM_JOINTS)
        self.pose = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, NUM_JOINTS * 6))

    def forward(self, pose_pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(pictures, 3, height, width) -> logits of patches (pictures, 22, patches), rotmats (pictures, 22, 3, 3)."""
        patches = self.tower(pose_pixel_values).feature_maps[-1]
        rotation_6d = self.pose(patches.mean(dim=1)).float().unflatten(1, (NUM_JOINTS, 6))
        return self.cells(patches).float().mT, rotation_6d_to_rotmat(rotation_6d)


class CaptionMatch(nn.Module):
    """The general tower and a bag of words in one space, in which a picture is nearest its own description.

    Args:
        tower: the general tower.
        vocab_size: of the words.
        width: of the common space.
    """

    def __init__(self, tower: CLIPVisionModel, vocab_size: int, width: int = 64):
        super().__init__()
        hidden = tower.config.hidden_size
        self.tower = tower
        self.picture = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.words = nn.EmbeddingBag(vocab_size, 2 * width, mode="mean")
        self.text = nn.Sequential(nn.GELU(), nn.Linear(2 * width, width))
        self.log_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, pixel_values: torch.Tensor, words: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        """Pictures and as many descriptions -> the symmetric contrastive loss, ()."""
        patches = self.tower(pixel_values).last_hidden_state[:, 1:]
        pictures = nn.functional.normalize(self.picture(patches).mean(dim=1).float(), dim=-1)
        texts = nn.functional.normalize(self.text(self.words(words, starts)).float(), dim=-1)
        alike = self.log_scale.exp().clamp(max=100.0) * pictures @ texts.T
        own = torch.arange(len(alike), device=alike.device)
        return (nn.functional.cross_entropy(alike, own) + nn.functional.cross_entropy(alike.T, own)) / 2


class TowerTraining(nn.Module):
    """Both towers with their readouts."""

    def __init__(self, vision: CLIPVisionModel, pose_vision: VitPoseBackbone, vocab_size: int):
        super().__init__()
        self.general = CaptionMatch(vision, vocab_size)
        self.pose = PoseReadout(pose_vision)

    def forward(
        self,
        pixel_values: torch.Tensor,
        pose_pixel_values: torch.Tensor,
        cells: torch.Tensor,
        rotmats: torch.Tensor,
        words: torch.Tensor,
        starts: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """A batch of `TowerCollator` -> three losses, each (), and the rotmats found."""
        logits, found = self.pose(pose_pixel_values)
        likely = nn.functional.log_softmax(logits, dim=-1)
        return {
            "cell_loss": -(cells * likely).sum() / cells.sum().clamp_min(1.0),
            "rotation_loss": nn.functional.mse_loss(found, rotmats),
            "caption_loss": self.general(pixel_values, words, starts),
            "rotmats": found,
        }


class TowerCollator:
    """Rows of `draw_tower_pictures` -> the pixels of both towers, patches of joints, rotations and words."""

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
            **self.image_processor([row["picture"] for row in rows], return_tensors="pt"),
            "cells": joint_cells(joints, visible, self.pose_vision),
            "rotmats": roma.rotvec_to_rotmat(rotvecs),
            "words": torch.tensor([word for text in texts for word in text]),
            "starts": lengths.cumsum(0) - lengths,
        }


def pose_grid(pose_vision: VitPoseBackboneConfig) -> tuple[int, int]:
    """(rows, columns) of the pose tower's patches."""
    (height, width), (patch_height, patch_width) = pose_vision.image_size, pose_vision.patch_size
    return height // patch_height, width // patch_width


def joint_cells(joints: torch.Tensor, visible: torch.Tensor, pose_vision: VitPoseBackboneConfig) -> torch.Tensor:
    """Where joints are on the pose tower's grid of patches.

    Args:
        joints: (pictures, 22, 2), as shares of the width and height of square pictures.
        visible: (pictures, 22) bool.
        pose_vision: of the tower, which sees the middle of each picture.

    Returns:
        (pictures, 22, rows * columns): each visible joint shared among the four patches whose middles are nearest, sum
        1; less at the border, 0 outside of the crop and where it is not visible.
    """
    rows, columns = pose_grid(pose_vision)
    height, width = pose_vision.image_size
    x = ((joints[..., 0] - 0.5) * height / width + 0.5) * columns - 0.5
    y = joints[..., 1] * rows - 0.5
    cells = joints.new_zeros(*visible.shape, rows, columns)
    for row, column in itertools.product(range(rows), range(columns)):
        cells[..., row, column] = (1 - (y - row).abs()).clamp_min(0) * (1 - (x - column).abs()).clamp_min(0)
    return cells.flatten(-2) * visible.unsqueeze(-1)


class TowerTrainer(StageTrainer):
    """Adds the distance of the joints, in metres, and logs every part of the loss."""

    def __init__(self, body: BodyModel, **kwargs):
        super().__init__(**kwargs)
        self.body = body.to(self.args.device)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        rotmats = outputs.pop("rotmats")
        with torch.autocast(rotmats.device.type, enabled=False):
            found, wanted = (self.body.forward_joints(poses) for poses in (rotmats, inputs["rotmats"]))
        parts = outputs | {"joint_distance": (found - wanted).norm(dim=-1).mean()}
        if model.training:
            self.note(parts)
        loss = parts["rotation_loss"] + JOINT_WEIGHT * parts["joint_distance"] + CELL_WEIGHT * parts["cell_loss"]
        loss = loss + parts["caption_loss"]
        return (loss, outputs) if return_outputs else loss


def build_towers(arguments: TowerArguments) -> tuple[CLIPVisionModel, VitPoseBackbone]:
    """Both towers: untrained, or as an earlier run of this stage left them."""
    if arguments.start is not None:
        vision_folder, pose_folder = Path(arguments.start) / VISION, Path(arguments.start) / POSE_VISION
        return (
            CLIPVisionModel.from_pretrained(vision_folder, attn_implementation=arguments.attention),
            VitPoseBackbone.from_pretrained(pose_folder, attn_implementation=arguments.attention),
        )
    vision, pose_vision = tower_configs(arguments)
    for config in (vision, pose_vision):
        config._attn_implementation = arguments.attention
    return CLIPVisionModel(vision), AutoBackbone.from_config(pose_vision)


def main() -> None:
    parser = TrlParser((TowerArguments, OptimizerArguments, TrainingArguments))
    arguments, optimizer, training_arguments = parser.parse_args_and_config()
    torch.manual_seed(training_arguments.seed)
    vision, pose_vision = build_towers(arguments)
    pictures = draw_tower_pictures(
        arguments.pictures, arguments.num_pictures, vision.config.image_size, arguments.picture_seed, arguments.workers
    )
    tokenizer = train_text_tokenizer(pictures["text"], VOCABULARY)
    towers = TowerTraining(vision, pose_vision, len(tokenizer))
    trainer = TowerTrainer(
        BodyModel.builtin(),
        model=towers,
        args=training_arguments,
        train_dataset=WithMirrored(pictures),
        data_collator=TowerCollator(image_processor(vision.config, pose_vision.config), tokenizer, pose_vision.config),
        optimizers=build_optimizer(towers, optimizer, training_arguments),
    )
    trainer.train(resume_from_checkpoint=find_checkpoint(training_arguments))
    folder = Path(training_arguments.output_dir)
    vision.save_pretrained(folder / VISION)
    pose_vision.save_pretrained(folder / POSE_VISION)


if __name__ == "__main__":
    main()
