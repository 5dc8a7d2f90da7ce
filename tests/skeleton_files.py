"""Small files of motion capture: noisy named poses on the built-in body's bones."""

import json
from pathlib import Path

import numpy as np
import torch
from motion_files import Performance, amc_text, asf_text, joint_names, perform, save

from unipose.processing.pose_features import NUM_JOINTS, to_z_up
from unipose.training.geometry import rotate_heading
from unipose.training.named_poses.archetypes import archetype_poses
from unipose.training.named_poses.joint_angles import Angles, pose_from_angles
from unipose.training.sampling.mixing import add_noise


POSES = ["stand", "crouch", "crawl", "hands_up", "lie_back", "kneel"]
RESTS: dict[str, Angles] = {
    "T": {},
    "A": {"shoulder": (-45, 0, 0)},
    "hanging": {"shoulder": (-85, 0, 0), "elbow": (0, -15, 0), "hip": (0, 0, 5)},
}
TO_Z_UP = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)


def noisy_poses() -> torch.Tensor:
    """Noisy named poses in several directions."""
    noisy = add_noise(archetype_poses(POSES), np.random.default_rng(0))
    return rotate_heading(noisy, torch.linspace(0, 3, len(POSES)))


def play(
    poses: torch.Tensor, rest: str = "T", size: float = 100.0, z_up: bool = False, yaw: float = 0.0
) -> Performance:
    """Poses on the built-in body's bones.

    Args:
        poses: (n, 22, 3, 3) in the stored frame.
        rest: The skeleton's rest pose, a key of `RESTS`.
        size: Length of a meter.
        z_up: Whether its world is z up.
        yaw: Heading of its rest pose in radians.
    """
    world = TO_Z_UP if z_up else torch.eye(3, dtype=torch.float64)
    standing = rotate_heading(to_z_up(pose_from_angles(RESTS[rest]))[None], torch.tensor([yaw]))[0]
    return perform(poses, standing, world, size)


def asf_folder(folder: Path, poses: torch.Tensor, rest: str = "T", **changes: str) -> Path:
    """A folder of one skeleton and its motion.

    Args:
        folder: An existing folder.
        poses: (n, 22, 3, 3) in the stored frame.
        rest: The skeleton's rest pose, a key of `RESTS`.
        **changes: Old and new text of the files `asf` and `amc`.
    """
    names = joint_names("cmu_asf")
    axes = np.random.default_rng(0).uniform(-90, 90, (NUM_JOINTS, 3))
    performance = play(poses, rest, 10.0)
    save(folder / "49.asf", asf_text(performance, names, axes).replace(*changes.get("asf", ("", ""))))
    save(folder / "49_02.amc", amc_text(performance, names, axes).replace(*changes.get("amc", ("", ""))))
    return folder


def deepmimic_text(frames: int = 5, **changes: object) -> str:
    """A body that bends its right knee more in every frame, 30 a second."""
    row = [1 / 30, 0, 0, 0, *[1, 0, 0, 0] * 4, 0.0, *[1, 0, 0, 0] * 2, 0.0, *[1, 0, 0, 0], 0.0, *[1, 0, 0, 0] * 2, 0.0]
    rows = [[*row[:20], -0.2 * frame, *row[21:]] for frame in range(frames)]
    return json.dumps({"Loop": "wrap", "Frames": rows} | changes)
