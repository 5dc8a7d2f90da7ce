"""Pose codes that lie near the right one are not as wrong as the others: a loss that knows the codebook.

Not the paper's, whose loss takes all wrong codes alike. A small model with few rows learns the neighbourhood first,
and its most likely code is the middle of what it thinks possible, not the one of many that got a little more.
"""

import torch
from torch import nn


@torch.no_grad()
def smooth_targets(codebook: torch.Tensor, smoothing: float) -> torch.Tensor:
    """What is to be predicted for each code.

    Args:
        codebook: (codes, dim).
        smoothing: squared distances are measured in the mean of those to the nearest other code, times this.

    Returns:
        (codes, codes), rows of sum 1, greatest at the code itself.

    Raises:
        ValueError: `smoothing` is not positive.
    """
    if smoothing <= 0:
        raise ValueError(f"smoothing is {smoothing}; it must be positive (for the paper's loss, leave it out)")
    squared = torch.cdist(codebook.float(), codebook.float()).square()
    nearest = squared.fill_diagonal_(torch.inf).amin(dim=1).mean()
    return nn.functional.softmax(-squared.fill_diagonal_(0.0) / (smoothing * nearest), dim=1)


def smoothed_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, first_code: int, targets: torch.Tensor
) -> torch.Tensor:
    """The sum of cross-entropies, against `targets` where a label is a pose code.

    Args:
        logits: (positions, vocab_size).
        labels: (positions,), all of them asked.
        first_code: id of pose code 0.
        targets: (codes, codes), from `smooth_targets`.
    """
    likely = nn.functional.log_softmax(logits.float(), dim=-1)
    codes = labels - first_code
    is_code = (codes >= 0) & (codes < len(targets))
    of_codes = likely[is_code, first_code : first_code + len(targets)]
    soft = (targets[codes[is_code]] * of_codes).sum()
    return -soft - likely[~is_code].gather(1, labels[~is_code].unsqueeze(1)).sum()
