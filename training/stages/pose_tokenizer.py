"""Stage 1: trains the pose tokenizer (paper, section 3.1 and stage 1 of section 3.4).

python -m unipose.training.stages.pose_tokenizer --config training/recipes/tiny/pose_tokenizer.yaml
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import TrainingArguments
from trl import TrlParser

from unipose import UniPoseVQVAE, UniPoseVQVAEConfig
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import rotation_6d_to_rotmat, rotmat_to_rotation_6d
from unipose.training.metrics import pose_errors
from unipose.training.sampler.poses import (
    held_out_poses,
    jitter_orientation,
    sample_training_poses,
    validation_poses,
)
from unipose.training.stages.checkpoints import find_checkpoint
from unipose.training.stages.losses import JOINT_LOSS_WEIGHT, VERTEX_LOSS_WEIGHT, body_loss
from unipose.training.stages.trainers import ROW_KEY, StageTrainer
from unipose.training.stages.watch import WatchReconstructions


@dataclass
class PoseTokenizerArguments:
    """Sizes of the pose tokenizer and of its data; see `UniPoseVQVAEConfig`."""

    num_poses: int = field(default=60000, metadata={"help": "Poses drawn from motion, mixed limbs and archetypes."})
    hidden_size: int = 128
    codebook_size: int = 512
    codebook_dim: int = 64
    num_pose_tokens: int = 20
    samples: int = field(default=6, metadata={"help": "Validation poses that an evaluation draws; 0: none."})


class PoseDataset(Dataset):
    """Poses as the networks see them; a whole batch is fetched at once, its orientations jittered (paper, stage 1).

    The jitter follows from the seed and the batch's indices alone, so that a resumed training sees the same poses.
    """

    def __init__(self, rotmats: torch.Tensor, seed: int | None):
        self.rotmats = rotmats
        self.seed = seed

    def __len__(self) -> int:
        return len(self.rotmats)

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        rotmats = self.rotmats[indices]
        if self.seed is not None:
            rotmats = jitter_orientation(rotmats, np.random.default_rng([self.seed, *indices]))
        return {"pose_values": rotmat_to_rotation_6d(rotmats), ROW_KEY: torch.tensor(indices)}


def collate_poses(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`PoseDataset` gives whole batches."""
    return batch


class PoseTokenizerTrainer(StageTrainer):
    """Adds the joint and vertex losses, which need a body, and logs every part, and the share of codes in use."""

    def __init__(self, body: BodyModel, **kwargs):
        super().__init__(**kwargs)
        # Its inputs are its labels.
        self.can_return_loss = True
        self.body = body.to(self.args.device)
        self.parts: dict[str, list[float]] = {}
        self.codebook_size: int = kwargs["model"].config.codebook_size
        self.used_codes: set[int] = set()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        parts = body_loss(self.body, outputs.reconstruction, rotation_6d_to_rotmat(inputs["pose_values"]))
        loss = outputs.loss + JOINT_LOSS_WEIGHT * parts["joint_loss"] + VERTEX_LOSS_WEIGHT * parts["vertex_loss"]
        if model.training:
            parts |= {name: outputs[name] for name in ("rotation_loss", "commitment_loss", "perplexity")}
            for name, value in parts.items():
                self.parts.setdefault(name, []).append(value.item())
            self.used_codes.update(outputs.pose_codes.unique().tolist())
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        if "loss" in logs and self.parts:
            logs = logs | {name: sum(values) / len(values) for name, values in self.parts.items()}
            logs["codebook_usage"] = len(self.used_codes) / self.codebook_size
            self.parts.clear()
            self.used_codes.clear()
        super().log(logs, *args, **kwargs)


@torch.no_grad()
def reconstruction_error(model: UniPoseVQVAE, rotmats: torch.Tensor, body: BodyModel) -> dict[str, float]:
    """Mean MPJPE and PA-MPJPE in mm of (poses, 22, 3, 3) against what their codes decode to."""
    model.eval()
    decoded = model.decode(model.encode(rotmat_to_rotation_6d(rotmats)))
    return pose_errors(decoded, rotmats, body)


def main() -> None:
    parser = TrlParser((PoseTokenizerArguments, TrainingArguments))
    arguments, training_arguments = parser.parse_args_and_config()
    body = BodyModel.builtin()
    torch.manual_seed(training_arguments.seed)
    rotmats, _ = sample_training_poses(arguments.num_poses, training_arguments.seed, body)
    sizes = {name: value for name, value in vars(arguments).items() if name not in ("num_poses", "samples")}
    validation = validation_poses().float()
    trainer = PoseTokenizerTrainer(
        body,
        model=UniPoseVQVAE(UniPoseVQVAEConfig(**sizes)),
        args=training_arguments,
        train_dataset=PoseDataset(rotmats.float(), training_arguments.seed),
        eval_dataset=PoseDataset(validation, None),
        data_collator=collate_poses,
    )
    if arguments.samples:
        trainer.add_callback(WatchReconstructions(trainer, BodyModel.builtin(), validation, arguments.samples))
    trainer.train(resume_from_checkpoint=find_checkpoint(training_arguments))
    trainer.save_model()
    metrics = reconstruction_error(trainer.model.cpu(), held_out_poses().float(), body.cpu())
    trainer.log_metrics("held_out", metrics)
    trainer.save_metrics("held_out", metrics)


if __name__ == "__main__":
    main()
