"""Training of the pose tokenizer: its poses, its losses on a body, and the stage (paper, section 3.1)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import roma
import torch
from torch.utils.data import Dataset

from unipose import UniPoseVQVAE, UniPoseVQVAEConfig
from unipose.processing.body_model import BodyModel, to_body_model
from unipose.processing.pose_features import NUM_JOINTS, rotation_6d_to_rotmat, rotmat_to_rotation_6d
from unipose.training.datasets.import_data import SavedRecords
from unipose.training.datasets.motion_records import load_motion
from unipose.training.geometry import jitter_orientation
from unipose.training.sampling.poses import sample_training_poses, validation_poses
from unipose.training.sampling.variety import variety_weights
from unipose.training.trainer.callbacks import ReconstructionCallback, SetEpochCallback
from unipose.training.trainer.checkpoints import find_checkpoint
from unipose.training.trainer.collator import ROW_KEY
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.losses import JOINT_LOSS_WEIGHT, VERTEX_LOSS_WEIGHT, body_loss
from unipose.training.trainer.optimizer import OptimizerArguments, build_optimizer
from unipose.training.trainer.samplers import SeededSampler
from unipose.training.trainer.schedules import StepScheduleArguments, step_schedule
from unipose.training.trainer.trainers import SampledDataMixin, StageTrainer


@dataclass
class PoseTokenizerArguments:
    """Sizes of the pose tokenizer and of its data; see `UniPoseVQVAEConfig`."""

    num_poses: int = field(
        default=60000, metadata={"help": "Number of poses sampled from motion, mixed limbs and archetypes."}
    )
    records: list[str] = field(
        default_factory=list, metadata={"help": "Folders of records by import_data, to train on and to sample from."}
    )
    hidden_size: int = field(default=128, metadata={"help": "Number of channels of the convolutions."})
    codebook_size: int = field(default=512, metadata={"help": "Number of pose codes."})
    codebook_dim: int = field(default=64, metadata={"help": "Width of a code."})
    num_pose_tokens: int = field(default=20, metadata={"help": "Number of codes per pose; even."})
    dead_code_threshold: float = field(
        default=1.0, metadata={"help": "Moving count below which a code is replaced by a row of the batch."}
    )
    architecture: Literal["convolution", "body_parts"] = field(
        default="convolution", metadata={"help": "Architecture of the pose tokenizer; convolution is the paper's."}
    )
    scalar_levels: list[int] | None = field(
        default=None, metadata={"help": "Numbers of grid points of each dimension of a code of body parts."}
    )
    part_tokens: dict[str, int] | None = field(
        default=None, metadata={"help": "Numbers of tokens of the torso, the head, each arm and each leg."}
    )
    commitment_loss_weight: float = field(default=1.0, metadata={"help": "Weight of the commitment loss."})
    orientation_noise: bool = field(
        default=True, metadata={"help": "Whether to jitter the global orientation of training poses (paper, stage 1)."}
    )
    joint_noise: float = field(
        default=0.0,
        metadata={"help": "Largest standard deviation of random rotations of joints in degrees; 0: none."},
    )
    body: str | None = field(
        default=None,
        metadata={
            "help": "SMPL, SMPL-H or SMPL-X file of the body on which the joint and vertex losses and the errors in "
            "millimeters are measured; by default the built-in body, which is not SMPL."
        },
    )
    samples: int = field(default=6, metadata={"help": "Number of validation poses to draw at an evaluation; 0: none."})


class PoseDataset(Dataset):
    """Poses as 6D rotations; a whole batch is fetched at once, its orientations jittered (paper, stage 1).

    The jitter of a pose follows from the seed and the epoch alone: a resumed training gets the same poses, and so do
    several processes and the workers of a dataloader, which share the epoch's memory.

    Args:
        rotmats: (poses, 22, 3, 3), in the stored frame.
        seed: seed of the jitter; None: no jitter.
        orientation_noise: whether to jitter the global orientation.
        joint_noise: largest standard deviation of the joints' random rotations, in degrees.
    """

    def __init__(
        self, rotmats: torch.Tensor, seed: int | None, orientation_noise: bool = True, joint_noise: float = 0.0
    ):
        self.rotmats = rotmats
        self.seed = seed
        self.orientation_noise = orientation_noise
        self.joint_noise = joint_noise
        self.epoch = torch.zeros((), dtype=torch.long).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch in this process and in its workers, persistent ones too."""
        self.epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.rotmats)

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        rotmats = self.rotmats[indices]
        if self.seed is not None:
            generators = [np.random.default_rng([self.seed, int(self.epoch), index]) for index in indices]
            if self.orientation_noise:
                rotmats = jitter_orientation(rotmats, np.stack([rng.uniform(-1.0, 1.0, 3) for rng in generators]))
            if self.joint_noise:
                rotmats = rotmats @ random_rotations(generators, self.joint_noise).to(rotmats)
        return {"pose_values": rotmat_to_rotation_6d(rotmats), ROW_KEY: torch.tensor(indices)}


def random_rotations(generators: Sequence[np.random.Generator], largest: float) -> torch.Tensor:
    """Random rotations of about half of each pose's joints, most of them small.

    Args:
        generators: one generator of each pose.
        largest: standard deviation in degrees of the pose with the most noise.

    Returns:
        (poses, 22, 3, 3).
    """
    vectors = [
        rng.random() ** 2 * (rng.random((NUM_JOINTS, 1)) < 0.5) * rng.standard_normal((NUM_JOINTS, 3))
        for rng in generators
    ]
    return roma.rotvec_to_rotmat(torch.from_numpy(np.stack(vectors) * np.radians(largest)))


def collate_poses(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns the batch unchanged: `PoseDataset` returns whole batches."""
    return batch


class PoseTokenizerTrainer(SampledDataMixin, StageTrainer):
    """Adds the joint and vertex losses, which need a body, and logs every component and the share of codes in use.

    Args:
        body: the body on which losses are measured.
        schedule: a learning rate that falls in steps, if any.
    """

    def __init__(self, body: BodyModel, schedule: StepScheduleArguments | None = None, **kwargs):
        super().__init__(**kwargs)
        self.schedule = schedule or StepScheduleArguments()
        # Its inputs are its labels.
        self.can_return_loss = True
        codebook_size: int = kwargs["model"].config.codebook_size
        # On the device, since reading the codes in every step would make the host wait.
        self.is_used = torch.zeros(codebook_size, dtype=torch.bool, device=self.args.device)
        self.body = body.to(self.args.device)

    def create_scheduler(self, num_training_steps, optimizer=None):
        if self.lr_scheduler is None and self.schedule.lr_drops:
            self.lr_scheduler = step_schedule(optimizer or self.optimizer, num_training_steps, self.schedule)
        return super().create_scheduler(num_training_steps, optimizer)

    def train_sampler(self) -> SeededSampler:
        sampler = SeededSampler(len(self.train_dataset), self.args.seed)
        self.add_callback(SetEpochCallback(sampler, self.train_dataset))
        return sampler

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(**inputs)
        target = rotation_6d_to_rotmat(inputs["pose_values"])
        # Along a chain of joints, errors of half precision add up to millimeters.
        with torch.autocast(target.device.type, enabled=False):
            components = body_loss(self.body, outputs.reconstruction.float(), target)
        loss = outputs.loss + JOINT_LOSS_WEIGHT * components["joint_loss"]
        loss = loss + VERTEX_LOSS_WEIGHT * components["vertex_loss"]
        if model.training:
            own = {name: outputs[name] for name in ("rotation_loss", "commitment_loss", "perplexity")}
            self.log_components(components | own)
            self.is_used[outputs.pose_codes.flatten()] = True
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        if "loss" in logs:
            logs = logs | {"codebook_usage": int(self.is_used.sum()) / len(self.is_used)}
            self.is_used.zero_()
        super().log(logs, *args, **kwargs)


def training_poses(arguments: PoseTokenizerArguments, seed: int, body: BodyModel) -> torch.Tensor:
    """The poses of the user's records with their heading, and poses that are sampled from these and the motion clips.

    Args:
        arguments: number of sampled poses, and records. Where poses are sampled, those of the records are drawn by
            variety, as many as there are; otherwise they are the training set as it is.
        seed: seed of the sampling.
        body: the body for which sampled poses must be plausible.

    Returns:
        (poses, 22, 3, 3) float32, in the stored frame.

    Raises:
        ValueError: there are no poses, or an import is not finished.
    """
    imported = [roma.rotvec_to_rotmat(torch.from_numpy(SavedRecords(folder).poses())) for folder in arguments.records]
    if not arguments.num_poses:
        if not imported:
            raise ValueError("there are no training poses: num_poses is 0, and records names no folder")
        return torch.cat(imported)
    motion = load_motion(arguments.records, body)
    poses = [sample_training_poses(arguments.num_poses, seed, body, motion=motion)[0].float()]
    if imported:
        recorded = torch.cat(imported)
        weights = variety_weights(recorded, body).numpy()
        poses.append(recorded[np.random.default_rng(seed).choice(len(recorded), len(recorded), p=weights)])
    return torch.cat(poses)


def train_pose_tokenizer(
    arguments: PoseTokenizerArguments,
    schedule: StepScheduleArguments,
    optimizer: OptimizerArguments,
    config: StageConfig,
) -> PoseTokenizerTrainer:
    """Trains a new pose tokenizer, from the last checkpoint where the run resumes, and saves it.

    Args:
        arguments: sizes and data.
        schedule: a learning rate that falls in steps, if any.
        optimizer: options of the optimizer.
        config: the trainer's arguments.
    """
    body = to_body_model(arguments.body)
    torch.manual_seed(config.seed)
    rotmats = training_poses(arguments, config.seed, BodyModel.builtin())
    others = ("num_poses", "records", "body", "samples", "orientation_noise", "joint_noise")
    sizes = {name: value for name, value in vars(arguments).items() if name not in others}
    model = UniPoseVQVAE(UniPoseVQVAEConfig(**sizes))
    validation = validation_poses().float()
    trainer = PoseTokenizerTrainer(
        body,
        schedule,
        model=model,
        args=config,
        train_dataset=PoseDataset(rotmats, config.seed, arguments.orientation_noise, arguments.joint_noise),
        eval_dataset=PoseDataset(validation, None),
        data_collator=collate_poses,
        optimizers=build_optimizer(model, optimizer, config),
    )
    if arguments.samples:
        trainer.add_callback(ReconstructionCallback(trainer, body, validation, arguments.samples))
    trainer.train(resume_from_checkpoint=find_checkpoint(config))
    trainer.save_model()
    return trainer
