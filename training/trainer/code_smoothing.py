"""Soft targets for pose codes, by their distance in the codebook.

Not the paper's loss, in which all wrong codes cost the same. With soft targets a small model with few rows learns the
neighborhood of a code first, and its most probable code is the middle of its distribution.
"""

import torch
from torch import nn

from unipose import UniPoseConfig, UniPoseVQVAE


@torch.no_grad()
def smooth_targets(codebooks: torch.Tensor, smoothing: float) -> torch.Tensor:
    """The target distribution of each pose code.

    Args:
        codebooks: (codebooks, codes, dim), from `UniPoseVQVAE.codebooks`.
        smoothing: scale of the squared distances, in units of the mean one to the nearest other code. All codebooks
            share the scale of the coarsest one: the codes of a circle of headings are far closer than those of a grid.

    Returns:
        (codebooks, codes, codes), rows of sum 1, largest at the code itself.

    Raises:
        ValueError: `smoothing` is not positive.
    """
    if smoothing <= 0:
        raise ValueError(
            f"code_smoothing is {smoothing}, expected a positive number; leave it out for the paper's loss"
        )
    squared = [torch.cdist(codebook, codebook).square() for codebook in codebooks.float()]
    nearest = torch.stack([distances.fill_diagonal_(torch.inf).amin(dim=1).mean() for distances in squared]).max()
    return torch.stack(
        [nn.functional.softmax(-distances.fill_diagonal_(0.0) / (smoothing * nearest), dim=1) for distances in squared]
    )


class CodeTargets:
    """The target distribution of every token of an output pose.

    Args:
        pose_tokenizer: the trained model's pose tokenizer.
        smoothing: see `smooth_targets`.
    """

    def __init__(self, pose_tokenizer: UniPoseVQVAE, smoothing: float):
        self.distributions = smooth_targets(pose_tokenizer.codebooks(), smoothing)
        self.codebook_of_token = pose_tokenizer.codebook_of_token()

    def to(self, device: torch.device) -> "CodeTargets":
        """Moves the targets to a device."""
        self.distributions = self.distributions.to(device)
        self.codebook_of_token = self.codebook_of_token.to(device)
        return self

    def codebook_of_position(self, input_ids: torch.Tensor, config: UniPoseConfig) -> torch.Tensor:
        """The codebook of the code that each position predicts.

        Args:
            input_ids: (batch, length).
            config: the model's.

        Returns:
            (batch, length) index of a codebook; of no meaning at positions that predict no code.
        """
        position = torch.arange(input_ids.shape[1], device=input_ids.device)
        start = torch.where(input_ids == config.pose_start_token_id, position, 0).cummax(dim=1).values
        # A query predicts its own code, anything else the next one.
        token = position - start - (input_ids == config.pose_query_token_id).long()
        return self.codebook_of_token[token.clamp(0, len(self.codebook_of_token) - 1)]


def smoothed_cross_entropy(
    logits: torch.Tensor,
    codes: torch.Tensor,
    targets: torch.Tensor,
    codebooks: torch.Tensor,
    is_kept: torch.Tensor | None = None,
) -> torch.Tensor:
    """The sum of the cross-entropies of pose codes with soft targets, among codes alone.

    A code that an edit keeps has a hard target: near codes are wrong there, and a pointer can tell the right one.

    Generation allows nothing else at these positions. And with the words of a whole vocabulary beside the codes, this
    loss would be half of a small model's step.

    Args:
        logits: (positions, codes).
        codes: (positions,), the right code of each.
        targets: (codebooks, codes, codes), from `smooth_targets`.
        codebooks: (positions,) index of each code's codebook.
        is_kept: (positions,) bool, codes that equal those of the source pose; default: none.
    """
    log_probabilities = nn.functional.log_softmax(logits.float(), dim=-1)
    soft = (targets[codebooks, codes] * log_probabilities).sum(dim=-1)
    if is_kept is None:
        return -soft.sum()
    return -torch.where(is_kept, log_probabilities.gather(1, codes.unsqueeze(1)).squeeze(1), soft).sum()
