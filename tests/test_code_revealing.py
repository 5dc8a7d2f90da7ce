"""Masked refinement in training: some codes of an output pose are given, the others are predicted from them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from stage_corpus import STAGE_ARGUMENTS
from test_collator import FIRST, POSE, SECOND, make_row, text
from tiny_checkpoint import tiny_checkpoint_model, tiny_processor
from tiny_models import CODES, POSE_TOKENS, tiny_config, tiny_model, words

from unipose import UniPoseForConditionalGeneration, UniPoseProcessor
from unipose.training.trainer.code_revealing import CodeRevealingCollator, reveal_codes
from unipose.training.trainer.collator import UniPoseDataCollator
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.language import LanguageArguments, LanguageTrainer, build_trainer
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.trainable_parts import ALIGN, LoraArguments


@pytest.fixture(scope="module")
def processor() -> UniPoseProcessor:
    return tiny_processor(vision=False)


@pytest.fixture(scope="module")
def model(processor: UniPoseProcessor) -> UniPoseForConditionalGeneration:
    return tiny_checkpoint_model(processor, vision=False)


def numbered_rows() -> list[dict]:
    """Text alone, an input pose, one and two output poses."""
    rows = [
        make_row([text("Why?")], [text("A person kneels.")]),
        make_row([POSE, text("Bend.")], [POSE], [FIRST, SECOND]),
        make_row([text("Two.")], [POSE, text("then"), POSE], [FIRST, SECOND]),
        make_row([text("Stand.")], [POSE], [SECOND]),
    ]
    return [row | {"row": 10 + index} for index, row in enumerate(rows)]


def revealing(processor: UniPoseProcessor, share: float = 1.0, seed: int = 0, epoch: int = 0) -> CodeRevealingCollator:
    collator = CodeRevealingCollator(UniPoseDataCollator(processor), share, seed)
    collator.set_epoch(epoch)
    return collator


def test_a_revealed_code_is_the_true_one_and_has_no_loss(processor: UniPoseProcessor) -> None:
    plain = UniPoseDataCollator(processor)(numbered_rows())
    batch = revealing(processor)(numbered_rows())
    revealed = batch.pop("revealed_pose_codes")
    given = revealed >= 0
    assert torch.equal(revealed[given] + processor.pose_code_start_id, plain["labels"][given])
    for name in ("labels", "shift_labels"):
        assert (batch[name][given] == -100).all()
        assert torch.equal(batch[name][~given], plain[name][~given])
    assert all(torch.equal(batch[name], plain[name]) for name in plain if "labels" not in name)
    assert (plain["input_ids"][given] == processor.pose_query_token_id).all()
    counts = [int(row.sum()) for row in given]
    assert counts[0] == 0, "no output pose"
    assert 1 <= counts[1] < POSE_TOKENS
    assert 2 <= counts[2] < 2 * POSE_TOKENS - 1


def test_the_choice_follows_from_seed_epoch_and_row_alone(processor: UniPoseProcessor) -> None:
    rows = numbered_rows() * 5
    rows = [row | {"row": index} for index, row in enumerate(rows)]

    def choice(rows: list[dict], **settings) -> torch.Tensor:
        revealed = revealing(processor, **settings)(rows)["revealed_pose_codes"]
        return torch.nn.functional.pad(revealed, (0, 64 - revealed.shape[1]), value=-1)

    once = choice(rows)
    assert torch.equal(once, choice(rows))
    assert torch.equal(once[[7, 2]], choice([rows[7], rows[2]])), "whatever batch a row is in"
    assert not torch.equal(once, choice(rows, epoch=1))
    assert not torch.equal(once, choice(rows, seed=1))


def test_a_share_of_the_poses_is_revealed_and_any_number_of_codes() -> None:
    draws = np.stack([reveal_codes(np.random.default_rng(seed), 0.3, 8) for seed in range(4000)])
    counts = draws.sum(axis=1)
    assert (counts > 0).mean() == pytest.approx(0.3, abs=0.03)
    assert set(counts.tolist()) == set(range(8))
    assert draws.mean(axis=0) == pytest.approx(draws.mean(), abs=0.03), "every position alike"
    # The share that stays hidden is the mean of the cosine, 2 / pi.
    assert counts[counts > 0].mean() / 8 == pytest.approx(1 - 2 / np.pi, abs=0.07)


@pytest.mark.parametrize(
    ("share", "attention", "message"),
    [
        (1.5, "mixed", "reveal_codes is 1.5, expected a share of the output poses from 0 to 1"),
        (0.5, "causal", "reveal_codes needs output poses of queries"),
    ],
)
def test_what_cannot_be_revealed_says_so(
    processor: UniPoseProcessor, share: float, attention: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CodeRevealingCollator(UniPoseDataCollator(processor, attention), share, 0)


def block(model: UniPoseForConditionalGeneration) -> torch.Tensor:
    config = model.config
    return torch.tensor([[*words(5, 1), config.pose_start_token_id, *[config.pose_query_token_id] * POSE_TOKENS, 3]])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@torch.no_grad()
def test_only_a_revealed_code_changes_the_others_of_its_block(attention: str) -> None:
    model = tiny_model(vision=None, pose_vision=False, attn_implementation=attention)
    ids = block(model)
    plain, codes = model(ids).logits, torch.full_like(ids, -1)
    assert torch.equal(model(ids, revealed_pose_codes=codes).logits, plain)
    codes[0, 0] = 3
    assert torch.equal(model(ids, revealed_pose_codes=codes).logits, plain), "text is not revealed"
    last = 6 + POSE_TOKENS - 1
    codes[0, last] = 3
    one, codes[0, last] = model(ids, revealed_pose_codes=codes).logits, 4
    other = model(ids, revealed_pose_codes=codes).logits
    for logits in (one, other):
        assert torch.equal(logits[:, :6], plain[:, :6]), "what precedes the block does not see it"
        assert not torch.isclose(logits[:, 6 : last + 1], plain[:, 6 : last + 1]).all(dim=-1).any()
    assert not torch.isclose(one[:, 6:last], other[:, 6:last]).all(dim=-1).any()
    embeds = model.get_input_embeddings()(ids)
    torch.testing.assert_close(model(inputs_embeds=embeds, revealed_pose_codes=codes).logits, other)


def test_the_second_code_is_learned_from_the_first() -> None:
    """Two equal codes, one of two values: the second is known only where the first is revealed."""
    torch.manual_seed(0)
    config, generator = tiny_config(vision=None, pose_vision=False), torch.Generator().manual_seed(0)
    config.initializer_range = config.text_config.initializer_range = 0.1
    model = UniPoseForConditionalGeneration(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    rows, ids = 16, block(model)
    first = int((ids[0] == config.pose_query_token_id).nonzero()[0])
    for _ in range(50):
        value = torch.randint(2, (rows, 1), generator=generator) * 7 + 3
        labels = torch.full((rows, ids.shape[1]), -100)
        labels[:, first : first + 2] = value + config.pose_code_start_id
        given = torch.full_like(labels, -1)
        given[: rows // 2, first : first + 1] = value[: rows // 2]
        labels[: rows // 2, first] = -100
        model(ids.repeat(rows, 1), labels=labels, revealed_pose_codes=given).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    codes = slice(config.pose_code_start_id, config.pose_code_start_id + CODES)
    hidden = model(ids).logits[0, first + 1, codes].softmax(dim=-1)
    assert hidden[[3, 10]].min() > 0.25
    for value in (3, 10):
        given = torch.full_like(ids, -1)
        given[0, first] = value
        probabilities = model(ids, revealed_pose_codes=given).logits[0, first + 1, codes].softmax(dim=-1)
        assert probabilities[value] > 0.95


def stage(model: Path, corpus: Path, folder: Path, reveal: float, compiled: bool = False, **arguments):
    settings = StageConfig(output_dir=str(folder), **(STAGE_ARGUMENTS | {"save_strategy": "no"} | arguments))
    options = LanguageArguments(
        model=str(model), corpus=str(corpus), reveal_codes=reveal, compile_language_model=compiled, samples=0
    )
    return build_trainer(options, LoraArguments(), OptimizerArguments(), settings, ALIGN)


def losses(trainer: LanguageTrainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_a_resumed_stage_reveals_the_same_codes_and_evaluates_without(
    text_checkpoint: Path, text_corpus: Path, tmp_path: Path
) -> None:
    straight = stage(
        text_checkpoint, text_corpus, tmp_path, 0.7, max_steps=12, save_strategy="steps", save_steps=11,
        eval_strategy="steps", eval_steps=12,
    )  # fmt: skip
    plain = stage(
        text_checkpoint, text_corpus, tmp_path / "plain", 0.0, max_steps=3, eval_strategy="steps", eval_steps=9
    )
    assert straight.evaluate()["eval_loss"] == plain.evaluate()["eval_loss"]
    straight.train()
    resumed = stage(text_checkpoint, text_corpus, tmp_path / "resumed", 0.7, max_steps=12)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-11"))
    assert losses(resumed) == losses(straight)
    plain.train()
    assert losses(plain) != losses(straight)[:3]
