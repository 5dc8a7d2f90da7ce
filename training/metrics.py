"""Distances between poses, as the paper reports them (paper, section 4; in millimetres)."""

import roma
import torch


def mpjpe(joints: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(poses, joints, 3) metres, twice -> (poses,) mean joint distance in mm, without any alignment."""
    return (joints - target).norm(dim=-1).mean(dim=-1) * 1000


def pa_mpjpe(joints: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(poses, joints, 3) metres, twice -> (poses,) mm after the best rotation, translation and scale (Procrustes)."""
    rotation, translation, scale = roma.rigid_points_registration(
        joints.double(), target.double(), compute_scaling=True
    )
    aligned = scale[:, None, None] * (joints.double() @ rotation.mT) + translation[:, None]
    return mpjpe(aligned, target.double()).to(joints.dtype)
