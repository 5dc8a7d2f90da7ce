"""Edits in training whose kept body parts come from other poses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from stage_corpus import STAGE_ARGUMENTS
from test_collator import POSE, make_row, text
from tiny_checkpoint import save_tiny_checkpoint, tiny_processor
from tiny_models import BODY_PARTS_SIZES, CODES, POSE_TOKENIZER_SIZES
from transformers import LlamaConfig

from unipose import UniPoseConfig, UniPoseProcessor, UniPoseVQVAEConfig
from unipose.training.trainer.code_revealing import CodeRevealingCollator
from unipose.training.trainer.collator import UniPoseDataCollator
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.kept_codes import KeptCodeCollator
from unipose.training.trainer.language import LanguageArguments, build_trainer
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.trainable_parts import ALIGN, LoraArguments


# Tokens of the heading, the torso, the head, the arms and the legs.
PARTS = (slice(0, 1), slice(1, 3), slice(3, 4), slice(4, 5), slice(5, 6), slice(6, 7), slice(7, 8))
TOKENS = 8
# One token of the torso and the left arm change.
BEFORE, AFTER = [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 9, 4, 10, 6, 7, 8]
OTHER = [20, 21, 22, 23, 24, 25, 26, 27]
THIRD = [11, 12, 13, 14, 15, 16, 17, 18]


@pytest.fixture(scope="module")
def processor() -> UniPoseProcessor:
    return tiny_processor(vision=False, pose_tokenizer=BODY_PARTS_SIZES)


def config_of(processor: UniPoseProcessor, sizes: dict = BODY_PARTS_SIZES) -> UniPoseConfig:
    return UniPoseConfig(
        text_config=LlamaConfig(vocab_size=len(processor.tokenizer)),
        vision_config=None,
        pose_vision_config=None,
        pose_tokenizer_config=UniPoseVQVAEConfig(**sizes),
        pose_code_start_id=processor.pose_code_start_id,
    )


def numbered_rows() -> list[dict]:
    """An edit, and rows that are none: a description, a pose of a text, a text alone."""
    rows = [
        make_row([POSE, text("Bend.")], [POSE], [BEFORE, AFTER]),
        make_row([text("Why is"), POSE], [text("A person kneels.")], [OTHER]),
        make_row([text("Stand.")], [POSE], [THIRD]),
        make_row([text("Why?")], [text("A person kneels.")]),
    ]
    return [row | {"row": 10 + index} for index, row in enumerate(rows)]


def varying(
    processor: UniPoseProcessor, share: float = 1.0, seed: int = 0, epoch: int = 0, attention: str = "mixed"
) -> KeptCodeCollator:
    collator = KeptCodeCollator(UniPoseDataCollator(processor, attention), share, seed, config_of(processor))
    collator.set_epoch(epoch)
    return collator


def poses_of(batch: dict[str, torch.Tensor], row: int, processor: UniPoseProcessor) -> np.ndarray:
    """(poses, tokens) codes of a row, those of an output pose from the labels."""
    is_query = batch["input_ids"][row] == processor.pose_query_token_id
    tokens = torch.where(is_query, batch["labels"][row], batch["input_ids"][row]) - processor.pose_code_start_id
    return tokens[(tokens >= 0) & (tokens < CODES)].view(-1, TOKENS).numpy()


def source_of(code: int, token: int) -> str:
    return {OTHER[token]: "other", THIRD[token]: "third"}.get(int(code), "random")


@pytest.mark.parametrize("attention", ["mixed", "causal"])
def test_only_kept_parts_are_replaced_in_both_poses(processor: UniPoseProcessor, attention: str) -> None:
    replaced, donors = np.zeros(len(PARTS)), []
    rows = numbered_rows()
    for seed in range(60):
        batch = varying(processor, seed=seed, attention=attention)(rows)
        before, after = poses_of(batch, 0, processor)
        expected_before, expected_after = np.array(BEFORE), np.array(AFTER)
        sources = set()
        for index, part in enumerate(PARTS):
            if not np.array_equal(before[part], BEFORE[part]):
                replaced[index] += 1
                sources |= {source_of(code, token) for token, code in list(enumerate(before))[part]}
                expected_before[part] = expected_after[part] = before[part]
        assert np.array_equal(before, expected_before)
        assert np.array_equal(after, expected_after)
        donors.append(sources)
        # As if the row had held these poses from the start.
        changed = [rows[0] | {"pose_codes": [before.tolist(), after.tolist()]}, *rows[1:]]
        plain = UniPoseDataCollator(processor, attention)(changed)
        assert all(torch.equal(batch[name], plain[name]) for name in plain)
    assert (replaced > 0).tolist() == [True, False, True, False, True, True, True]
    assert replaced[[0, 2, 4, 5, 6]] / 60 == pytest.approx(0.5, abs=0.25)
    drawn = [sources for sources in donors if sources]
    one_pose = sum(sources in ({"other"}, {"third"}) for sources in drawn) / len(drawn)
    several = sum(sources == {"other", "third"} for sources in drawn) / len(drawn)
    assert {"other"} in drawn
    assert {"third"} in drawn
    assert sum("random" in sources for sources in drawn) / len(drawn) == pytest.approx(0.25, abs=0.15)
    # Tokens that each come from any pose sometimes all come from one.
    assert several == pytest.approx(0.38, abs=0.2)
    assert one_pose == pytest.approx(0.37, abs=0.2)


def test_an_earlier_pose_of_the_chat_changes_alike(processor: UniPoseProcessor) -> None:
    """An answer may take a part from any pose before it."""
    rows = [make_row([POSE, text("then"), POSE, text("Back.")], [POSE], [BEFORE, AFTER, BEFORE]), *numbered_rows()[1:]]
    batch = varying(processor)([row | {"row": index} for index, row in enumerate(rows)])
    first, second, third = poses_of(batch, 0, processor)
    assert not np.array_equal(first, BEFORE)
    assert np.array_equal(first, third)
    assert np.array_equal(first != second, np.array(BEFORE) != np.array(AFTER))


def test_the_choice_follows_from_seed_epoch_and_batch(processor: UniPoseProcessor) -> None:
    rows = [row | {"row": index} for index, row in enumerate(numbered_rows() * 5)]

    def inputs(**settings) -> torch.Tensor:
        return varying(processor, **settings)(rows)["input_ids"]

    once = inputs()
    assert torch.equal(once, inputs())
    assert not torch.equal(once, inputs(epoch=1))
    assert not torch.equal(once, inputs(seed=1))
    assert torch.equal(inputs(share=0.0), UniPoseDataCollator(processor)(rows)["input_ids"])
    changed = [
        not torch.equal(batch["input_ids"][0], rows_before)
        for seed in range(400)
        for batch, rows_before in [(varying(processor, 0.3, seed)(numbered_rows()), inputs(share=0.0)[0])]
    ]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.07)


def test_an_edit_without_another_pose_in_its_batch_stays(processor: UniPoseProcessor) -> None:
    rows = [numbered_rows()[0], numbered_rows()[3]]
    plain = UniPoseDataCollator(processor)(rows)
    for seed in range(5):
        batch = varying(processor, seed=seed)(rows)
        assert all(torch.equal(batch[name], plain[name]) for name in plain)


def test_a_replaced_code_can_be_revealed(processor: UniPoseProcessor) -> None:
    inner = varying(processor)
    batch = CodeRevealingCollator(inner, 1.0, 0)(numbered_rows())
    varied = inner(numbered_rows())
    given = batch["revealed_pose_codes"] >= 0
    assert given[0].any()
    codes = varied["labels"][given] - processor.pose_code_start_id
    assert torch.equal(batch["revealed_pose_codes"][given], codes)
    assert torch.equal(batch["labels"], varied["labels"].masked_fill(given, -100))


def test_what_cannot_be_varied_says_so(processor: UniPoseProcessor) -> None:
    with pytest.raises(ValueError, match="vary_kept_codes is -1, expected a share of the output poses from 0 to 1"):
        KeptCodeCollator(UniPoseDataCollator(processor), -1, 0, config_of(processor))
    with pytest.raises(ValueError, match=r"vary_kept_codes needs a pose tokenizer .* body parts, got convolution"):
        KeptCodeCollator(UniPoseDataCollator(processor), 0.5, 0, config_of(processor, POSE_TOKENIZER_SIZES))


def test_a_resumed_stage_varies_the_same_codes_and_evaluates_without(text_corpus: Path, tmp_path: Path) -> None:
    save_tiny_checkpoint(tmp_path / "initial", vision=False, pose_tokenizer=BODY_PARTS_SIZES)

    def stage(folder: str, share: float, **arguments):
        settings = STAGE_ARGUMENTS | {"per_device_train_batch_size": 5, "save_strategy": "no"} | arguments
        config = StageConfig(output_dir=str(tmp_path / folder), **settings)
        options = LanguageArguments(
            model=str(tmp_path / "initial"), corpus=str(text_corpus), tasks=["pose-edit"], vary_kept_codes=share,
            reveal_codes=share / 2, samples=0,
        )  # fmt: skip
        return build_trainer(options, LoraArguments(), OptimizerArguments(), config, ALIGN)

    def losses(run) -> list[float]:
        return [entry["loss"] for entry in run.state.log_history if "loss" in entry]

    straight = stage("straight", 1.0, max_steps=4, save_strategy="steps", save_steps=3, eval_strategy="steps")
    plain = stage("plain", 0.0, max_steps=4, eval_strategy="steps")
    assert straight.evaluate()["eval_loss"] == plain.evaluate()["eval_loss"]
    straight.train()
    resumed = stage("resumed", 1.0, max_steps=4)
    resumed.train(resume_from_checkpoint=str(tmp_path / "straight" / "checkpoint-3"))
    assert losses(resumed) == losses(straight)
    plain.train()
    assert losses(plain) != losses(straight)
