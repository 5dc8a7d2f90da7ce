"""A loss with soft targets for pose codes that are close in the codebook."""

import pytest
import torch
from tiny_models import BODY_PARTS_SIZES, EOS, tiny_config
from torch import nn

from unipose import UniPoseVQVAE, UniPoseVQVAEConfig
from unipose.training.trainer.code_smoothing import CodeTargets, smooth_targets, smoothed_cross_entropy


CODEBOOKS = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [5.0, 5.0], [5.0, 6.0]]])


def test_near_codes_are_partly_right() -> None:
    targets = smooth_targets(CODEBOOKS, 1.0)[0]
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(4))
    assert (targets.argmax(dim=1) == torch.arange(4)).all()
    assert targets[0, 1] / targets[0, 0] == pytest.approx(torch.e**-1, rel=1e-5)
    assert targets[0, 2:].sum() < 1e-6
    wider = smooth_targets(CODEBOOKS, 3.0)[0]
    assert wider[0, 1] > targets[0, 1]


def test_no_smoothing_is_refused() -> None:
    with pytest.raises(ValueError, match="code_smoothing is 0, expected a positive number"):
        smooth_targets(CODEBOOKS, 0)


def test_the_loss_is_the_usual_one_at_hard_targets() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(6, 9, generator=generator), torch.tensor([0, 3, 4, 6, 8, 1])
    usual = nn.functional.cross_entropy(logits, labels, reduction="sum")
    torch.testing.assert_close(
        smoothed_cross_entropy(logits, labels, 3, torch.eye(4)[None], torch.zeros(6, dtype=torch.long)), usual
    )


def test_only_codes_are_smoothed_and_the_likelier_near_code_costs_less() -> None:
    targets = smooth_targets(CODEBOOKS, 1.0)
    near, far = torch.zeros(1, 9), torch.zeros(1, 9)
    near[0, 3 + 1] = far[0, 3 + 2] = 5.0
    label = torch.tensor([3])
    first = torch.tensor([0])
    loss_near, loss_far = (smoothed_cross_entropy(logits, label, 3, targets, first) for logits in (near, far))
    assert loss_near < loss_far - 1
    word = torch.tensor([1])
    for logits in (near, far):
        usual = nn.functional.cross_entropy(logits, word, reduction="sum")
        torch.testing.assert_close(smoothed_cross_entropy(logits, word, 3, targets, first), usual)


def test_a_heading_is_near_the_headings_beside_it_and_across_the_end_of_the_circle() -> None:
    tokenizer = UniPoseVQVAE(UniPoseVQVAEConfig(**BODY_PARTS_SIZES))
    targets = CodeTargets(tokenizer, 1.0).distributions
    size = targets.shape[-1]
    circle, steps = targets[0, 0], torch.arange(size)
    away = torch.minimum(steps, size - steps)
    assert circle[away.argsort(stable=True)].diff().max() < 1e-6, "farther around the circle is less likely"
    assert circle[-1] == pytest.approx(float(circle[1]), rel=1e-4)
    assert targets[1, 0, 2] / targets[1, 0, 0] == pytest.approx(torch.e**-1, rel=1e-3), "the grid sets the scale"
    assert circle[1] > 0.8 * circle[0], "headings are closer than points of the grid"


@pytest.mark.parametrize("pose_attention", ["mixed", "causal"])
def test_only_the_first_token_of_each_output_pose_is_a_heading(pose_attention: str) -> None:
    config = tiny_config(
        vision=None, pose_vision=False, pose_tokenizer=BODY_PARTS_SIZES, pose_attention=pose_attention
    )
    targets = CodeTargets(UniPoseVQVAE(config.pose_tokenizer_config), 1.0)
    tokens, start = config.num_pose_tokens, config.pose_start_token_id
    mixed = pose_attention == "mixed"
    code = config.pose_query_token_id if mixed else config.pose_code_start_id
    pose = [start, *[code] * tokens, config.pose_end_token_id]
    ids = torch.tensor([[5, *pose, 7, *pose, EOS], [*pose, *pose, 5, 5, EOS]])
    codebooks = targets.codebook_of_position(ids, config)
    predicts = ids == code if mixed else torch.cat([ids[:, 1:] == code, ids[:, :1] < 0], dim=1)
    assert codebooks[predicts].tolist() == ([0] + [1] * (tokens - 1)) * 4
