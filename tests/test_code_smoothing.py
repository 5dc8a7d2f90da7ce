"""A loss with soft targets for pose codes that are close in the codebook."""

from pathlib import Path

import pytest
import torch
from stage_corpus import STAGE_ARGUMENTS, write_tiny_corpus
from tiny_checkpoint import save_tiny_checkpoint
from tiny_models import BODY_PARTS_SIZES, EOS, tiny_config
from torch import nn

from unipose import UniPoseForConditionalGeneration, UniPoseVQVAE, UniPoseVQVAEConfig
from unipose.training.trainer.code_smoothing import CodeTargets, smooth_targets, smoothed_cross_entropy
from unipose.training.trainer.collator import ROW_KEY
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.language import LanguageArguments, build_trainer
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.trainable_parts import ALIGN, LoraArguments


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
    logits, codes = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 3, 1, 2, 2, 1])
    usual = nn.functional.cross_entropy(logits, codes, reduction="sum")
    first = torch.zeros(6, dtype=torch.long)
    torch.testing.assert_close(smoothed_cross_entropy(logits, codes, torch.eye(4)[None], first), usual)


def test_the_likelier_near_code_costs_less() -> None:
    targets = smooth_targets(CODEBOOKS, 1.0)
    near, far = torch.zeros(1, 4), torch.zeros(1, 4)
    near[0, 1] = far[0, 2] = 5.0
    first = code = torch.tensor([0])
    loss_near, loss_far = (smoothed_cross_entropy(logits, code, targets, first) for logits in (near, far))
    assert loss_near < loss_far - 1


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


def add_pointer(folder: Path) -> None:
    """Gives a saved model a pointer to source poses, with random weights."""
    model = UniPoseForConditionalGeneration.from_pretrained(folder)
    model.config.source_pose_pointer = True
    with_pointer = UniPoseForConditionalGeneration(model.config)
    with_pointer.load_state_dict(model.state_dict(), strict=False)
    with_pointer.save_pretrained(folder)


@pytest.mark.parametrize("pointer", [False, True], ids=["plain", "pointer"])
def test_the_trainers_loss_is_that_of_codes_among_codes_and_words_among_all(pointer: bool, tmp_path: Path) -> None:
    save_tiny_checkpoint(tmp_path / "model")
    if pointer:
        add_pointer(tmp_path / "model")
    write_tiny_corpus(tmp_path / "corpus", ("pose-to-text", "pose-edit" if pointer else "text-to-pose"))
    trainer = build_trainer(
        LanguageArguments(model=str(tmp_path / "model"), corpus=str(tmp_path / "corpus"), code_smoothing=1.0),
        LoraArguments(),
        OptimizerArguments(),
        StageConfig(output_dir=str(tmp_path / "run"), **(STAGE_ARGUMENTS | {"save_strategy": "no", "max_steps": 1})),
        ALIGN,
    )
    batch = trainer.data_collator([trainer.train_dataset[row] for row in (0, 1, -1, -2)])
    batch.pop(ROW_KEY)
    loss, outputs = trainer.compute_loss(trainer.model, batch, return_outputs=True)
    model, labels = trainer.model, batch["shift_labels"]
    inputs = {name: value for name, value in batch.items() if "labels" not in name}
    plain = model(**inputs)
    logits, first = plain.logits, model.config.pose_code_start_id
    size = model.config.pose_tokenizer_config.codebook_size
    is_code = (labels >= first) & (labels < first + size)
    is_word = (labels != -100) & ~is_code
    assert is_code.any()
    assert is_word.any()
    soft = smooth_targets(model.model.pose_tokenizer.codebooks(), 1.0)[0][labels[is_code] - first]
    if pointer:
        is_kept = plain.source_pose_codes[is_code] == labels[is_code]
        assert is_kept.any()
        assert not is_kept.all()
        soft[is_kept] = nn.functional.one_hot(labels[is_code][is_kept] - first, size).float()
    expected = nn.functional.cross_entropy(logits[is_code][:, first : first + size], soft, reduction="sum")
    expected = expected + nn.functional.cross_entropy(logits[is_word], labels[is_word], reduction="sum")
    torch.testing.assert_close(loss, expected / (labels != -100).sum(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(outputs.logits, logits[is_word])
    loss.backward()
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    got = {name: weight.grad.clone() for name, weight in weights.items() if weight.grad is not None}
    assert not pointer or got["model.source_pose_pointer.weight"].any()
    model.zero_grad()
    (expected / (labels != -100).sum()).backward()
    for name, gradient in got.items():
        torch.testing.assert_close(gradient, weights[name].grad, rtol=1e-3, atol=1e-5)
