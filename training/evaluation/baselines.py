"""Predictions without a model, for comparison: the mean pose, the nearest pose by posecodes, shuffled partners."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import roma
import torch

from unipose.training.captions.posecodes import CODES, Posecode


def mean_pose(poses: torch.Tensor) -> torch.Tensor:
    """(n, 22, 3, 3) -> (22, 3, 3): the rotations with the least mean squared chordal distance."""
    return roma.special_procrustes(poses.mean(dim=0))


def nearest_by_posecodes(
    queries: Sequence[Sequence[Posecode]], candidates: Sequence[Sequence[Posecode]]
) -> npt.NDArray[np.int64]:
    """The candidate with the largest overlap of posecodes (intersection over union) for each query.

    Args:
        queries: n sets of posecodes.
        candidates: m sets of posecodes.

    Returns:
        (n,) indices into the candidates; the first of equally good ones.
    """
    first, second = _multi_hot(queries), _multi_hot(candidates)
    intersection = first @ second.T
    union = first.sum(axis=1)[:, None] + second.sum(axis=1) - intersection
    return np.argmax(intersection / np.maximum(union, 1.0), axis=1)


def _multi_hot(posecodes: Sequence[Sequence[Posecode]]) -> npt.NDArray[np.float32]:
    column = {code: index for index, code in enumerate(CODES)}
    table = np.zeros((len(posecodes), len(CODES)), dtype=np.float32)
    for row, codes in enumerate(posecodes):
        table[row, [column[code] for code in codes]] = 1.0
    return table


def shuffled_partners(count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """A random assignment of rows to other rows.

    Args:
        count: rows, two or more.
        rng: the random numbers.

    Returns:
        (count,) indices, a permutation that leaves no row at its own place.
    """
    order = rng.permutation(count)
    partners = np.empty(count, dtype=np.int64)
    partners[order] = np.roll(order, 1)
    return partners
