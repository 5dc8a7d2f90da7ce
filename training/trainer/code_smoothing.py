"""Soft targets for pose codes, by their distance in the codebook.

Not the paper's loss, in which all wrong codes cost the same. With soft targets a small model with few rows learns the
neighborhood of a code first, and its most probable code is the middle of its distribution.
"""

import torch
from torch import nn


@torch.no_grad()
def smooth_targets(codebook: torch.Tensor, smoothing: float) -> torch.Tensor:
    """The target distribution of each pose code.

    Args:
        codebook: (codes, dim).
        smoothing: scale of the squared distances, in units of the mean one to the nearest other code.

    Returns:
        (codes, codes), rows of sum 1, largest at the code itself.

    Raises:
        ValueError: `smoothing` is not positive.
    """
    if smoothing <= 0:
        raise ValueError(
            f"code_smoothing is {smoothing}, expected a positive number; leave it out for the paper's loss"
        )
    squared = torch.cdist(codebook.float(), codebook.float()).square()
    nearest = squared.fill_diagonal_(torch.inf).amin(dim=1).mean()
    return nn.functional.softmax(-squared.fill_diagonal_(0.0) / (smoothing * nearest), dim=1)


def smoothed_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, first_code: int, targets: torch.Tensor
) -> torch.Tensor:
    """The sum of cross-entropies, with soft targets where a label is a pose code.

    Args:
        logits: (positions, vocab_size).
        labels: (positions,), none of them ignored.
        first_code: id of pose code 0.
        targets: (codes, codes), from `smooth_targets`.
    """
    log_probabilities = nn.functional.log_softmax(logits.float(), dim=-1)
    codes = labels - first_code
    is_code = (codes >= 0) & (codes < len(targets))
    code_log_probabilities = log_probabilities[is_code, first_code : first_code + len(targets)]
    soft = (targets[codes[is_code]] * code_log_probabilities).sum()
    return -soft - log_probabilities[~is_code].gather(1, labels[~is_code].unsqueeze(1)).sum()
