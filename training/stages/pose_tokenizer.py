"""Stage 1: trains the pose tokenizer (paper, section 3.1 and stage 1 of section 3.4).

python -m unipose.training.stages.pose_tokenizer --config training/recipes/tiny/pose_tokenizer.yaml
"""

from dataclasses import dataclass, field

import numpy as np
import roma
import torch
from torch.utils.data import Dataset
from transformers import TrainingArguments
from trl import TrlParser

from unipose import UniPoseVQVAE, UniPoseVQVAEConfig
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import rotation_6d_to_rotmat, rotmat_to_rotation_6d
from unipose.training.datasets.import_data import SavedRecords
from unipose.training.evaluation.metrics import reconstruction_error
from unipose.training.geometry import jitter_orientation
from unipose.training.sampling.poses import held_out_poses, sample_training_poses, validation_poses
from unipose.training.trainer.callbacks import WatchReconstructions
from unipose.training.trainer.checkpoints import find_checkpoint
from unipose.training.trainer.losses import JOINT_LOSS_WEIGHT, VERTEX_LOSS_WEIGHT, body_loss
from unipose.training.trainer.optimizer import OptimizerArguments, build_optimizer
from unipose.training.trainer.samplers import SeededSampler
from unipose.training.trainer.schedules import StepArguments, step_schedule
from unipose.training.trainer.trainers import ROW_KEY, StageTrainer, TellEpoch


@dataclass
class PoseTokenizerArguments:
    """Sizes of the pose tokenizer and of its data; see `UniPoseVQVAEConfig`."""

    num_poses: int = field(default=60000, metadata={"help": "Poses drawn from motion, mixed limbs and archetypes."})
    records: list[str] = field(
        default_factory=list, metadata={"help": "Folders that import_data has written, whose poses are added."}
    )
    hidden_size: int = 128
    codebook_size: int = 512
    codebook_dim: int = 64
    num_pose_tokens: int = 20
    dead_code_threshold: float = 1.0
    orientation_noise: bool = field(
        default=True, metadata={"help": "Whether the global orientation of what is seen is jittered (paper, stage 1)."}
    )
    samples: int = field(default=6, metadata={"help": "Validation poses that an evaluation draws; 0: none."})


class PoseDataset(Dataset):
    """Poses as the networks see them; a whole batch is fetched at once, its orientations jittered (paper, stage 1).

    The jitter of a pose follows from the seed and the epoch alone: a resumed training sees the same poses, and so do
    several processes together.
    """

    def __init__(self, rotmats: torch.Tensor, seed: int | None):
        self.rotmats = rotmats
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rotmats)

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        rotmats = self.rotmats[indices]
        if self.seed is not None:
            generators = [np.random.default_rng([self.seed, self.epoch, index]) for index in indices]
            rotmats = jitter_orientation(rotmats, np.stack([rng.uniform(-1.0, 1.0, 3) for rng in generators]))
        return {"pose_values": rotmat_to_rotation_6d(rotmats), ROW_KEY: torch.tensor(indices)}


def collate_poses(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`PoseDataset` gives whole batches."""
    return batch


class PoseTokenizerTrainer(StageTrainer):
    """Adds the joint and vertex losses, which need a body, and logs every part, and the share of codes in use."""

    def __init__(self, body: BodyModel, schedule: StepArguments | None = None, **kwargs):
        super().__init__(**kwargs)
        self.schedule = schedule or StepArguments()
        # Its inputs are its labels.
        self.can_return_loss = True
        self.codebook_size: int = kwargs["model"].config.codebook_size
        self.used_codes: set[int] = set()
        self.body = body.to(self.args.device)

    def create_scheduler(self, num_training_steps, optimizer=None):
        if self.lr_scheduler is None and self.schedule.lr_drops:
            self.lr_scheduler = step_schedule(optimizer or self.optimizer, num_training_steps, self.schedule)
        return super().create_scheduler(num_training_steps, optimizer)

    def _get_train_sampler(self, train_dataset: PoseDataset | None = None) -> SeededSampler:
        poses = self.train_dataset if train_dataset is None else train_dataset
        sampler = SeededSampler(len(poses), self.args.seed)
        self.add_callback(TellEpoch(sampler, poses))
        return sampler

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        target = rotation_6d_to_rotmat(inputs["pose_values"])
        # Half precision is a matter of millimetres along a chain of joints.
        with torch.autocast(target.device.type, enabled=False):
            parts = body_loss(self.body, outputs.reconstruction.float(), target)
        loss = outputs.loss + JOINT_LOSS_WEIGHT * parts["joint_loss"] + VERTEX_LOSS_WEIGHT * parts["vertex_loss"]
        if model.training:
            self.note(parts | {name: outputs[name] for name in ("rotation_loss", "commitment_loss", "perplexity")})
            self.used_codes.update(outputs.pose_codes.unique().tolist())
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        if "loss" in logs:
            logs = logs | {"codebook_usage": len(self.used_codes) / self.codebook_size}
            self.used_codes.clear()
        super().log(logs, *args, **kwargs)


def main() -> None:
    parser = TrlParser((PoseTokenizerArguments, StepArguments, OptimizerArguments, TrainingArguments))
    trainer = train_pose_tokenizer(*parser.parse_args_and_config())
    metrics = reconstruction_error(trainer.model.cpu(), held_out_poses().float(), BodyModel.builtin())
    trainer.log_metrics("held_out", metrics)
    trainer.save_metrics("held_out", metrics)


def training_poses(arguments: PoseTokenizerArguments, seed: int, body: BodyModel) -> torch.Tensor:
    """(poses, 22, 3, 3) float32: those that are drawn, and those of the user's records.

    Raises:
        ValueError: neither is asked for, or an import is not finished.
    """
    imported = [roma.rotvec_to_rotmat(torch.from_numpy(SavedRecords(folder).poses())) for folder in arguments.records]
    if arguments.num_poses:
        imported.append(sample_training_poses(arguments.num_poses, seed, body)[0].float())
    if not imported:
        raise ValueError("there are no poses to learn from: num_poses is 0, and records names no folder")
    return torch.cat(imported)


def train_pose_tokenizer(
    arguments: PoseTokenizerArguments,
    schedule: StepArguments,
    optimizer: OptimizerArguments,
    training_arguments: TrainingArguments,
) -> PoseTokenizerTrainer:
    """Trains a new pose tokenizer, from the last checkpoint where the run is to go on, and saves it."""
    body = BodyModel.builtin()
    torch.manual_seed(training_arguments.seed)
    rotmats = training_poses(arguments, training_arguments.seed, body)
    others = ("num_poses", "records", "samples", "orientation_noise")
    sizes = {name: value for name, value in vars(arguments).items() if name not in others}
    model = UniPoseVQVAE(UniPoseVQVAEConfig(**sizes))
    validation = validation_poses().float()
    trainer = PoseTokenizerTrainer(
        body,
        schedule,
        model=model,
        args=training_arguments,
        train_dataset=PoseDataset(rotmats, training_arguments.seed if arguments.orientation_noise else None),
        eval_dataset=PoseDataset(validation, None),
        data_collator=collate_poses,
        optimizers=build_optimizer(model, optimizer, training_arguments),
    )
    if arguments.samples:
        trainer.add_callback(WatchReconstructions(trainer, BodyModel.builtin(), validation, arguments.samples))
    trainer.train(resume_from_checkpoint=find_checkpoint(training_arguments))
    trainer.save_model()
    return trainer


if __name__ == "__main__":
    main()
