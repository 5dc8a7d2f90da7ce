"""Pretrains the two picture towers by pose regression, where no pretrained encoders can be had.

    python -m unipose.training.train_towers --config training/recipes/tiny_towers.yaml

The original's pose tower comes from human mesh recovery; this is its small twin on rendered people. What the towers
say together is read out linearly as a pose; the readout is thrown away and the towers are put into the model.
"""

from dataclasses import dataclass, field
from typing import Any

import roma
import torch
from datasets import Dataset, load_from_disk
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor, Trainer, TrainingArguments
from trl import TrlParser

from unipose import UniPoseForConditionalGeneration, UniPoseProcessor
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import NUM_JOINTS, rotation_6d_to_rotmat
from unipose.vision_unipose import encode_general, encode_pose


@dataclass
class TowerArguments:
    """Whose towers are trained, on which pictures."""

    model: str = field(default="runs/initial", metadata={"help": "Folder of the model; its towers are trained."})
    corpus: str = field(default="runs/corpus", metadata={"help": "Folder that build_corpus has written."})
    channels: int = field(default=48, metadata={"help": "Of each picture token in the readout."})


class PoseReadout(nn.Module):
    """Both towers and a linear readout: pictures -> (pictures, 22, 3, 3) rotations."""

    def __init__(self, model: UniPoseForConditionalGeneration, channels: int):
        super().__init__()
        self.vision_tower = model.model.vision_tower
        self.pose_vision_tower = model.model.pose_vision_tower
        self.config = model.config
        self.narrow = nn.LazyLinear(channels)
        self.readout = nn.Linear(channels * model.config.num_image_tokens, NUM_JOINTS * 6)

    def forward(
        self, pixel_values: torch.Tensor, pose_pixel_values: torch.Tensor, rotmats: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        general = encode_general(self.vision_tower, pixel_values, self.config)
        pose = encode_pose(self.pose_vision_tower, pose_pixel_values, self.config)
        tokens = nn.functional.gelu(self.narrow(torch.cat([general, pose], dim=-1)))
        found = rotation_6d_to_rotmat(self.readout(tokens.flatten(1)).unflatten(1, (NUM_JOINTS, 6)))
        return {"loss": nn.functional.mse_loss(found, rotmats), "rotmats": found}


class PictureCollator:
    """Rows of one picture and one pose -> both towers' pixels and the pose's rotations."""

    def __init__(self, processor: UniPoseProcessor):
        self.processor = processor

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        pictures = [row["images"][0] for row in rows]
        rotvecs = torch.tensor([row["poses"][0] for row in rows])
        pixels = self.processor.image_processor(pictures, return_tensors="pt")
        return {**pixels, "rotmats": roma.rotvec_to_rotmat(rotvecs)}


class TowerTrainer(Trainer):
    """Adds the distance of the joints, in metres, to the readout's own loss."""

    def __init__(self, body: BodyModel, **kwargs):
        super().__init__(**kwargs)
        self.body = body.to(self.args.device)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        distance = self.body.forward_joints(outputs["rotmats"]) - self.body.forward_joints(inputs["rotmats"])
        loss = outputs["loss"] + distance.norm(dim=-1).mean()
        return (loss, outputs) if return_outputs else loss


def picture_rows(corpus: Dataset) -> Dataset:
    """The rows that show one picture and ask for its pose."""
    tasks = corpus["task"]
    return corpus.select([index for index, task in enumerate(tasks) if task == "image-to-pose"])


def main() -> None:
    arguments, training_arguments = TrlParser((TowerArguments, TrainingArguments)).parse_args_and_config()
    torch.manual_seed(training_arguments.seed)
    model = AutoModelForImageTextToText.from_pretrained(arguments.model)
    processor = AutoProcessor.from_pretrained(arguments.model)
    readout = PoseReadout(model, arguments.channels)
    collator = PictureCollator(processor)
    rows = picture_rows(load_from_disk(arguments.corpus))
    with torch.no_grad():
        readout(**collator([rows[0], rows[1]]))
    trainer = TowerTrainer(
        BodyModel.builtin(), model=readout, args=training_arguments, train_dataset=rows, data_collator=collator
    )
    trainer.train(resume_from_checkpoint=training_arguments.resume_from_checkpoint)
    model.save_pretrained(training_arguments.output_dir)
    processor.save_pretrained(training_arguments.output_dir)


if __name__ == "__main__":
    main()
