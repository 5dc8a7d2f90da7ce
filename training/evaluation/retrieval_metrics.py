"""R-precision, recall, matching score and FID in the embedding space of a retrieval model (paper, section 4).

Row i of `text_embeds` always belongs to row i of `pose_embeds`; similarity is the cosine.
"""

from collections.abc import Sequence

import torch


GROUP_SIZE = 32


def retrieval_ranks(queries: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """The rank of each query's match among all candidates.

    A candidate that is exactly as similar as the match ranks before it, so that a model with constant embeddings
    retrieves nothing.

    Args:
        queries: (..., samples, dim).
        candidates: (..., samples, dim); the match of query i is candidate i.

    Returns:
        (..., samples) from 1, the best, to `samples`.
    """
    similarity = _unit(queries) @ _unit(candidates).mT
    match = similarity.diagonal(dim1=-2, dim2=-1)
    return (similarity >= match[..., None]).sum(dim=-1)


def r_precision(
    text_embeds: torch.Tensor,
    pose_embeds: torch.Tensor,
    permutation: torch.Tensor,
    top_k: Sequence[int] = (1, 2, 3),
    group_size: int = GROUP_SIZE,
) -> dict[int, float]:
    """R-precision: how often a text's pose ranks among the first k of a random group of poses.

    Args:
        text_embeds: (samples, dim).
        pose_embeds: (samples, dim).
        permutation: (samples,) the order in which samples are divided into groups, such as
            `torch.randperm(samples, generator=generator)`; samples after the last full group are not counted.
        top_k: the values of k.
        group_size: number of samples per group.

    Returns:
        {k: fraction of the counted texts}.

    Raises:
        ValueError: embeddings or permutation of a wrong shape, embeddings that are not finite, too few samples for one
            group, a k outside 1..group_size.
    """
    texts, poses = _groups(text_embeds, pose_embeds, permutation, group_size)
    _check_k("top_k", top_k, group_size)
    ranks = retrieval_ranks(texts, poses)
    return {k: (ranks <= k).double().mean().item() for k in top_k}


def r_precision_of_rows(
    text_embeds: torch.Tensor,
    pose_embeds: torch.Tensor,
    k: int,
    shuffles: int = 1,
    seed: int = 0,
    group_size: int = GROUP_SIZE,
) -> torch.Tensor:
    """R-precision of each sample, averaged over random divisions into groups.

    One shuffle is the paper's definition. The result then depends on the seed; more shuffles reduce this.

    Args:
        text_embeds: (samples, dim).
        pose_embeds: (samples, dim).
        k: number of poses of a group among which the match counts.
        shuffles: number of divisions.
        seed: seed of the divisions.
        group_size: number of samples per group.

    Returns:
        (samples,) in 0..1; NaN for samples that are in the rest of every division.

    Raises:
        ValueError: see `r_precision`; or `shuffles` is below 1.
    """
    if shuffles < 1:
        raise ValueError(f"shuffles must be at least 1, got {shuffles}")
    generator = torch.Generator().manual_seed(seed)
    samples = len(text_embeds)
    hits, counted = torch.zeros(samples, dtype=torch.float64), torch.zeros(samples, dtype=torch.float64)
    for _ in range(shuffles):
        permutation = torch.randperm(samples, generator=generator)
        texts, poses = _groups(text_embeds, pose_embeds, permutation, group_size)
        _check_k("k", [k], group_size)
        ranks = retrieval_ranks(texts, poses).flatten()
        places = permutation[: len(ranks)]
        hits[places] += (ranks <= k).double().cpu()
        counted[places] += 1
    return hits / counted


def matching_score(
    text_embeds: torch.Tensor, pose_embeds: torch.Tensor, permutation: torch.Tensor, group_size: int = GROUP_SIZE
) -> float:
    """Mean cosine similarity of the matching pairs that `r_precision` counts.

    Args:
        text_embeds: (samples, dim).
        pose_embeds: (samples, dim).
        permutation: see `r_precision`.
        group_size: number of samples per group.

    Raises:
        ValueError: see `r_precision`.
    """
    texts, poses = _groups(text_embeds, pose_embeds, permutation, group_size)
    return (_unit(texts) * _unit(poses)).sum(dim=-1).double().mean().item()


def recall_at(queries: torch.Tensor, candidates: torch.Tensor, top_k: Sequence[int] = (5, 10, 20)) -> dict[int, float]:
    """Recall at k: how often a query's match ranks among the first k of all candidates.

    R(T2P) of the paper is `recall_at(text_embeds, pose_embeds)`, R(P2T) is `recall_at(pose_embeds, text_embeds)`.

    Args:
        queries: (samples, dim).
        candidates: (samples, dim).
        top_k: the values of k.

    Returns:
        {k: fraction of the queries}.

    Raises:
        ValueError: embeddings of a wrong shape or not finite, a k outside 1..samples.
    """
    _check_pairs("queries", queries, "candidates", candidates)
    _check_k("top_k", top_k, len(queries))
    ranks = retrieval_ranks(queries, candidates)
    return {k: (ranks <= k).double().mean().item() for k in top_k}


def retrieval_metrics(
    text_embeds: torch.Tensor,
    pose_embeds: torch.Tensor,
    permutation: torch.Tensor,
    precision_top_k: Sequence[int] = (1, 2, 3),
    recall_top_k: Sequence[int] = (5, 10, 20),
    group_size: int = GROUP_SIZE,
) -> dict[str, float]:
    """All metrics above, and mRecall, the mean of the recalls in both directions.

    Args:
        text_embeds: (samples, dim).
        pose_embeds: (samples, dim).
        permutation: see `r_precision`.
        precision_top_k: the values of k for R-precision.
        recall_top_k: the values of k for recall; the paper's tables have 5, 10 and 20.
        group_size: see `r_precision`.

    Returns:
        matching_score, r_precision_top{k}, text_to_pose_top{k}, pose_to_text_top{k} and mean_recall; all but the first
        are fractions of 1.

    Raises:
        ValueError: see `r_precision` and `recall_at`.
    """
    precision = r_precision(text_embeds, pose_embeds, permutation, precision_top_k, group_size)
    to_pose, to_text = (
        recall_at(text_embeds, pose_embeds, recall_top_k),
        recall_at(pose_embeds, text_embeds, recall_top_k),
    )
    recalls = [*to_pose.values(), *to_text.values()]
    return (
        {"matching_score": matching_score(text_embeds, pose_embeds, permutation, group_size)}
        | {f"r_precision_top{k}": value for k, value in precision.items()}
        | {f"text_to_pose_top{k}": value for k, value in to_pose.items()}
        | {f"pose_to_text_top{k}": value for k, value in to_text.items()}
        | {"mean_recall": sum(recalls) / len(recalls)}
    )


def gaussian_fit(embeds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(samples, dim) -> mean (dim,) and unbiased covariance (dim, dim), in double precision.

    Raises:
        ValueError: not (samples, dim) with two samples or more, or not finite.
    """
    _check_embeds("embeds", embeds)
    if len(embeds) < 2:
        raise ValueError(f"embeds must hold at least 2 samples for a covariance, got {len(embeds)}")
    embeds = embeds.double()
    return embeds.mean(dim=0), torch.atleast_2d(embeds.mT.cov())


def frechet_distance(
    mean: torch.Tensor, covariance: torch.Tensor, other_mean: torch.Tensor, other_covariance: torch.Tensor
) -> float:
    """Squared Frechet distance of two Gaussians: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    The trace of the root is computed from the eigenvalues of R C2 R, where R = C1^(1/2). They equal those of C1 C2,
    but this matrix is symmetric, so they are real. If a covariance is singular (fewer samples than dimensions), only
    rounding makes them negative; they are clamped to 0.

    Args:
        mean: (dim,).
        covariance: (dim, dim).
        other_mean: (dim,).
        other_covariance: (dim, dim).
    """
    variances, axes = torch.linalg.eigh(covariance)
    root = (axes * variances.clamp(min=0).sqrt()) @ axes.mT
    squares = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp(min=0)
    shared = squares.sqrt().sum()
    distance = (mean - other_mean).square().sum() + covariance.trace() + other_covariance.trace() - 2 * shared
    return distance.clamp(min=0).item()


def fid(embeds: torch.Tensor, other_embeds: torch.Tensor) -> float:
    """Frechet distance between Gaussian fits of two sets of pose embeddings, such as generated and true poses.

    Args:
        embeds: (samples, dim).
        other_embeds: (other samples, dim). With fewer samples than dimensions the distance is biased upwards: compare
            only results of equally large sets.

    Raises:
        ValueError: see `gaussian_fit`; or the widths differ.
    """
    if embeds.ndim == other_embeds.ndim == 2 and embeds.shape[1] != other_embeds.shape[1]:
        raise ValueError(
            f"embeds and other_embeds must have the same width, got {embeds.shape[1]} and {other_embeds.shape[1]}"
        )
    if min(embeds.shape[0], other_embeds.shape[0]) >= embeds.shape[-1]:
        return frechet_distance(*gaussian_fit(embeds), *gaussian_fit(other_embeds))
    # With few samples: C1 = A^T A and C2 = B^T B, and the trace of (C1 C2)^(1/2) is the nuclear norm of A B^T.
    means, factors = zip(*(_centered(each) for each in (embeds, other_embeds)))
    shared = torch.linalg.svdvals(factors[0] @ factors[1].mT).sum()
    variances = factors[0].square().sum() + factors[1].square().sum()
    return ((means[0] - means[1]).square().sum() + variances - 2 * shared).clamp(min=0).item()


def _centered(embeds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean, and a factor A of the unbiased covariance A^T A, in double precision."""
    _check_embeds("embeds", embeds)
    if len(embeds) < 2:
        raise ValueError(f"embeds must hold at least 2 samples for a covariance, got {len(embeds)}")
    embeds = embeds.double()
    mean = embeds.mean(dim=0)
    return mean, (embeds - mean) / (len(embeds) - 1) ** 0.5


def _unit(embeds: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(embeds.float(), dim=-1)


def _groups(
    text_embeds: torch.Tensor, pose_embeds: torch.Tensor, permutation: torch.Tensor, group_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(samples, dim) twice -> (groups, group_size, dim) twice."""
    _check_pairs("text_embeds", text_embeds, "pose_embeds", pose_embeds)
    samples = len(text_embeds)
    if permutation.shape != (samples,) or not torch.equal(
        permutation.sort().values, torch.arange(samples, device=permutation.device)
    ):
        raise ValueError(
            f"permutation must hold each of 0..{samples - 1} once, got {permutation.dtype} of the shape "
            f"{tuple(permutation.shape)}"
        )
    if group_size < 1 or samples < group_size:
        raise ValueError(f"group_size must lie in 1..{samples}, the number of samples, got {group_size}")
    groups = permutation[: samples // group_size * group_size].view(-1, group_size)
    return text_embeds[groups], pose_embeds[groups]


def _check_embeds(name: str, embeds: torch.Tensor) -> None:
    if embeds.ndim != 2:
        raise ValueError(f"{name} must have the shape (samples, dim), got {tuple(embeds.shape)}")
    if not embeds.isfinite().all():
        rows = (~embeds.isfinite().all(dim=-1)).nonzero().flatten().tolist()
        raise ValueError(f"{name} must be finite, got NaN or infinity in {len(rows)} rows, the first is {rows[0]}")


def _check_pairs(name: str, embeds: torch.Tensor, other_name: str, other: torch.Tensor) -> None:
    _check_embeds(name, embeds)
    _check_embeds(other_name, other)
    if embeds.shape != other.shape:
        raise ValueError(
            f"{other_name} must have the shape of {name}, {tuple(embeds.shape)}, got {tuple(other.shape)}"
        )


def _check_k(name: str, top_k: Sequence[int], largest: int) -> None:
    if not top_k or not all(1 <= k <= largest for k in top_k):
        raise ValueError(f"{name} must hold numbers in 1..{largest}, got {list(top_k)}")
