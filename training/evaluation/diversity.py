"""Diversity and multimodality: how different generated poses are, and those of one text (Guo et al., CVPR 2020).

Distances are Euclidean, between any vectors: embeddings of a retrieval model, or joints in meters. The original
definition draws random pairs; here all pairs count, which is its expected value.
"""

import numpy as np
import numpy.typing as npt


Array = npt.NDArray[np.float64]


def pair_distances(vectors: npt.ArrayLike) -> Array:
    """(n, ...) vectors -> (n, n) Euclidean distances between all pairs.

    Raises:
        ValueError: fewer than two vectors, or one is not finite.
    """
    flat = np.asarray(vectors, dtype=np.float64)
    flat = flat.reshape(len(flat), -1)
    if len(flat) < 2 or not np.isfinite(flat).all():
        raise ValueError(f"diversity needs at least 2 vectors of finite numbers, got the shape {flat.shape}")
    # Row by row: the usual product of all pairs loses half of the digits where two vectors are nearly equal.
    return np.stack([np.linalg.norm(flat - vector, axis=1) for vector in flat])


def diversity(vectors: npt.ArrayLike) -> float:
    """Mean distance between two different samples of a set.

    Args:
        vectors: (samples, ...) one vector of each generated pose.

    Raises:
        ValueError: fewer than two samples, or one is not finite.
    """
    distances = pair_distances(vectors)
    return float(distances.sum() / (len(distances) * (len(distances) - 1)))


def multimodality_of_rows(vectors: npt.ArrayLike) -> Array:
    """Mean distance between two different samples of one text, for each text.

    Args:
        vectors: (texts, samples, ...) one vector of each sampled pose.

    Returns:
        (texts,).

    Raises:
        ValueError: fewer than two samples of a text, or one is not finite.
    """
    return np.array([diversity(own) for own in np.asarray(vectors, dtype=np.float64)])


def multimodality(vectors: npt.ArrayLike) -> float:
    """Mean distance between two different samples of one text, averaged over texts.

    Args:
        vectors: (texts, samples, ...) one vector of each sampled pose.

    Raises:
        ValueError: no text, fewer than two samples of a text, or one is not finite.
    """
    rows = multimodality_of_rows(vectors)
    if not len(rows):
        raise ValueError("multimodality needs the samples of at least one text, got none")
    return float(rows.mean())
