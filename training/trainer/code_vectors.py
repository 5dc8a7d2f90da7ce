"""Vectors of pose codes, along which their embeddings move: near codes learn together, and copying generalizes.

Not in the paper, whose codes are learned one by one. A small model sees most of its codes rarely at most positions of
a pose, and none of them in most combinations.
"""

import math

import torch
from torch import nn

from unipose import UniPoseConfig, UniPoseVQVAE
from unipose.training.trainer.moving_rows import MovingRows


# Harmonics of the heading: from the half of the circle to a few degrees.
HARMONICS = (1, 2, 4, 8, 16, 32)


def code_rows(
    pose_tokenizer: UniPoseVQVAE, config: UniPoseConfig, table: nn.Parameter, device: torch.device | str
) -> MovingRows:
    """The rows of the pose codes in an embedding table.

    Args:
        pose_tokenizer: the trained model's pose tokenizer.
        config: the model's config.
        table: the embedding table that is trained.
        device: where the table is trained.
    """
    vectors = code_vectors(pose_tokenizer).to(device, table.dtype)
    return MovingRows(
        config.pose_code_start_id, vectors, torch.ones(len(vectors), dtype=torch.bool, device=device), table.shape[1]
    )


@torch.no_grad()
def code_vectors(pose_tokenizer: UniPoseVQVAE) -> torch.Tensor:
    """Vectors of the pose codes, those of each codebook side by side: a code's index stands for one code of each.

    A learned codebook is its own vectors. On a grid every point of every dimension has a bump; on the circle of
    headings there are `HARMONICS`.

    Args:
        pose_tokenizer: a trained pose tokenizer.

    Returns:
        (codes, size); per codebook of mean 0 and mean squared norm 1.

    Raises:
        ValueError: the codes of a codebook are all alike.
    """
    codebooks = pose_tokenizer.codebooks().float()
    levels = pose_tokenizer.config.scalar_levels
    if levels is not None:
        heading, grid = codebooks
        return torch.cat([_standardize(_harmonics(heading)), _standardize(_bumps(grid, levels))], dim=1)
    return torch.cat([_standardize(codebook) for codebook in codebooks], dim=1)


def _harmonics(circle: torch.Tensor) -> torch.Tensor:
    """(codes, dim), of which the first two are a cosine and a sine -> (codes, 2 * harmonics)."""
    angles = torch.atan2(circle[:, 1], circle[:, 0]).unsqueeze(1) * torch.tensor(HARMONICS, device=circle.device)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _bumps(grid: torch.Tensor, levels: list[int]) -> torch.Tensor:
    """(codes, dim) between -1 and 1 -> (codes, sum of levels): closeness to each point, in steps of the grid."""
    bumps = []
    for values, count in zip(grid.unbind(dim=1), levels):
        points = torch.linspace(-1.0, 1.0, count, device=grid.device)
        steps = (values.unsqueeze(1) - points) * (count - 1) / 2
        bumps.append(torch.exp(-steps.square() / 2))
    return torch.cat(bumps, dim=1)


def _standardize(vectors: torch.Tensor) -> torch.Tensor:
    vectors = vectors - vectors.mean(dim=0)
    size = vectors.norm() / math.sqrt(len(vectors))
    if size == 0:
        raise ValueError(
            "code_vectors is set, but all pose codes have the same vector in the codebook: train the pose tokenizer"
        )
    return vectors / size
