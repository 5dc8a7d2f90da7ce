"""A tiny model, a corpus of sixteen rows, recipes of two stages, and the logs and weights of a run."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from stage_corpus import CPU_ARGUMENTS
from tiny_checkpoint import save_tiny_checkpoint

from unipose.training.datasets.generation import to_rotvecs
from unipose.training.datasets.record_writer import write_records
from unipose.training.datasets.records import ImageRecord, PoseRecord
from unipose.training.sampling.poses import training_motion_poses


COMMON = {
    "learning_rate": 0.01,
    "lr_scheduler_type": "constant",
    # Gradients of almost zero must not become steps of full size.
    "adam_epsilon": 1.0e-3,
    **CPU_ARGUMENTS,
    "save_steps": 2,
}
# Nine rows without an image and seven with one, in global batches of four: the last batch of an epoch is mixed.
NUM_POSES, NUM_IMAGES = 9, 7


def random_records() -> list[PoseRecord | ImageRecord]:
    rng = np.random.default_rng(0)
    poses = to_rotvecs(training_motion_poses()[::50][: NUM_POSES + NUM_IMAGES].float())
    words = ["kneel", "sit", "left", "right", "hand", "above", "the", "head"]
    records: list[PoseRecord | ImageRecord] = []
    for index, pose in enumerate(poses):
        if index < NUM_POSES:
            records.append(PoseRecord(str(index), pose, (" ".join(rng.choice(words, 3 + index)),)))
            continue
        file = BytesIO()
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(file, "png")
        records.append(ImageRecord(str(index), file.getvalue(), pose))
    return records


def write_stages(folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Writes `model` in some dtype, `corpus`, `instruct.yaml` (8 steps) and `pose_tokenizer.yaml` (4 steps)."""
    save_tiny_checkpoint(folder / "model", dtype=dtype)
    write_records(folder / "corpus", {"train": random_records()}, ["text-to-pose", "image-to-pose"], seed=0)
    stages = {
        "instruct": {
            "model": str(folder / "model"),
            "corpus": str(folder / "corpus"),
            "max_steps": 8,
        },
        "pose_tokenizer": {
            "num_poses": 48,
            "hidden_size": 16,
            "codebook_size": 32,
            "codebook_dim": 8,
            "num_pose_tokens": 6,
            # Codes are arg-minima: after more steps, rounding lets one of them flip.
            "max_steps": 4,
            "learning_rate": 0.001,
        },
    }
    for stage, recipe in stages.items():
        (folder / f"{stage}.yaml").write_text(yaml.safe_dump(COMMON | recipe))


def logged(run: Path, name: str = "loss") -> list[float]:
    state = json.loads((max(run.glob("checkpoint-*")) / "trainer_state.json").read_text("utf-8"))
    return [entry[name] for entry in state["log_history"] if name in entry]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")
