"""A loss with soft targets for pose codes that are close in the codebook."""

import pytest
import torch
from torch import nn

from unipose.training.trainer.code_smoothing import smooth_targets, smoothed_cross_entropy


CODEBOOK = torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0], [5.0, 6.0]])


def test_near_codes_are_partly_right() -> None:
    targets = smooth_targets(CODEBOOK, 1.0)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(4))
    assert (targets.argmax(dim=1) == torch.arange(4)).all()
    assert targets[0, 1] / targets[0, 0] == pytest.approx(torch.e**-1, rel=1e-5)
    assert targets[0, 2:].sum() < 1e-6
    wider = smooth_targets(CODEBOOK, 3.0)
    assert wider[0, 1] > targets[0, 1]


def test_no_smoothing_is_refused() -> None:
    with pytest.raises(ValueError, match="code_smoothing is 0, expected a positive number"):
        smooth_targets(CODEBOOK, 0)


def test_the_loss_is_the_usual_one_at_hard_targets() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(6, 9, generator=generator), torch.tensor([0, 3, 4, 6, 8, 1])
    usual = nn.functional.cross_entropy(logits, labels, reduction="sum")
    torch.testing.assert_close(smoothed_cross_entropy(logits, labels, 3, torch.eye(4)), usual)


def test_only_codes_are_smoothed_and_the_likelier_near_code_costs_less() -> None:
    targets = smooth_targets(CODEBOOK, 1.0)
    near, far = torch.zeros(1, 9), torch.zeros(1, 9)
    near[0, 3 + 1] = far[0, 3 + 2] = 5.0
    label = torch.tensor([3])
    assert smoothed_cross_entropy(near, label, 3, targets) < smoothed_cross_entropy(far, label, 3, targets) - 1
    word = torch.tensor([1])
    for logits in (near, far):
        usual = nn.functional.cross_entropy(logits, word, reduction="sum")
        torch.testing.assert_close(smoothed_cross_entropy(logits, word, 3, targets), usual)
