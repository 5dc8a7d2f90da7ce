"""Embeddings of pose codes that move along vectors of the codebook: near codes learn together."""

import math
from pathlib import Path

import pytest
import torch
from stage_corpus import STAGE_ARGUMENTS
from tiny_checkpoint import save_tiny_checkpoint
from tiny_models import BODY_PARTS_SIZES, CODES, POSE_TOKENIZER_SIZES

from unipose import UniPoseVQVAE, UniPoseVQVAEConfig
from unipose.training.trainer.code_vectors import code_vectors
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.language import LanguageArguments, LanguageTrainer, build_trainer
from unipose.training.trainer.optimizer import OptimizerArguments
from unipose.training.trainer.trainable_parts import ALIGN, PROJECT, LoraArguments, Part


LEVELS = BODY_PARTS_SIZES["scalar_levels"]


@pytest.fixture(scope="module")
def grid() -> UniPoseVQVAE:
    return UniPoseVQVAE(UniPoseVQVAEConfig(**BODY_PARTS_SIZES))


def test_vectors_of_a_grid_are_closer_the_fewer_steps_lie_between(grid: UniPoseVQVAE) -> None:
    vectors, points = code_vectors(grid)[:, -sum(LEVELS) :], grid.codebooks()[1]
    steps = ((points[:, None] - points).abs() * (torch.tensor(LEVELS) - 1) / 2).round().long()
    distances = torch.cdist(vectors, vectors)
    for dimension in range(len(LEVELS)):
        others_equal = (steps.sum(dim=-1) == steps[..., dimension]).nonzero()
        by_steps: dict[int, list[float]] = {}
        for first, second in others_equal.tolist():
            by_steps.setdefault(int(steps[first, second, dimension]), []).append(float(distances[first, second]))
        means = [sum(by_steps[count]) / len(by_steps[count]) for count in sorted(by_steps)]
        assert means == sorted(means)
        assert means[0] == pytest.approx(0, abs=1e-3)
        assert means[1] > 0.1
    # The values of different dimensions add up, so codes that share a value share its part of the vector.
    first, second, third, fourth = (int(i) for i in ((points == torch.tensor(p)).all(dim=1).nonzero() for p in
        ([-1.0, -1, -1], [-1.0, 1, -1], [1.0, -1, -1], [1.0, 1, -1])))  # fmt: skip
    torch.testing.assert_close(vectors[second] - vectors[first], vectors[fourth] - vectors[third])


def test_vectors_of_headings_go_round_the_circle(grid: UniPoseVQVAE) -> None:
    vectors = code_vectors(grid)[:, : -sum(LEVELS)]
    distances = torch.cdist(vectors, vectors)
    torch.testing.assert_close(distances[1:, 1:], distances[:-1, :-1], atol=2e-3, rtol=0)
    torch.testing.assert_close(distances[0, 1:], distances[0, 1:].flip(0), atol=2e-3, rtol=0)
    circle = torch.arange(CODES) * 2 * math.pi / CODES
    slow = torch.stack([circle.cos(), circle.sin()], dim=1)
    fitted = vectors @ torch.linalg.lstsq(vectors, slow, driver="gelsd").solution
    torch.testing.assert_close(fitted, slow, atol=1e-3, rtol=0)


def test_a_learned_codebook_is_its_own_vectors() -> None:
    tokenizer = UniPoseVQVAE(UniPoseVQVAEConfig(**POSE_TOKENIZER_SIZES))
    with pytest.raises(ValueError, match="all pose codes have the same vector"):
        code_vectors(tokenizer)
    codebook = torch.randn(CODES, 8, generator=torch.Generator().manual_seed(0)) * 7 + 3
    tokenizer.quantizer.codebook.copy_(codebook)
    vectors = code_vectors(tokenizer)
    distances, own = torch.cdist(codebook, codebook), torch.cdist(vectors, vectors)
    torch.testing.assert_close(own / own.max(), distances / distances.max(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("sizes", [POSE_TOKENIZER_SIZES, BODY_PARTS_SIZES], ids=["convolution", "body_parts"])
def test_vectors_have_mean_zero_and_size_one(sizes: dict) -> None:
    tokenizer = UniPoseVQVAE(UniPoseVQVAEConfig(**sizes))
    if "scalar_levels" not in sizes:
        torch.nn.init.normal_(tokenizer.quantizer.codebook)
    vectors = code_vectors(tokenizer)
    assert len(vectors) == CODES
    torch.testing.assert_close(vectors.mean(dim=0), torch.zeros(vectors.shape[1]), atol=1e-5, rtol=0)
    assert vectors.square().sum(dim=1).mean() == pytest.approx(len(tokenizer.codebooks()), rel=1e-4)


# Training.


def trainer(
    model: Path, corpus: Path, folder: Path, code_vectors: bool, parts: tuple[Part, ...] = ALIGN, **arguments
) -> LanguageTrainer:
    settings = StageConfig(output_dir=str(folder), **(STAGE_ARGUMENTS | {"save_strategy": "no"} | arguments))
    stage = LanguageArguments(
        model=str(model), corpus=str(corpus), code_vectors=code_vectors, code_smoothing=0.5, samples=0
    )
    return build_trainer(stage, LoraArguments(), OptimizerArguments(muon_learning_rate=0.02), settings, parts)


def code_table(trained: LanguageTrainer) -> torch.Tensor:
    first = trained.model.config.pose_code_start_id
    return trained.model.get_input_embeddings().weight[first : first + CODES].detach().clone()


@pytest.mark.parametrize("sizes", [POSE_TOKENIZER_SIZES, BODY_PARTS_SIZES], ids=["convolution", "body_parts"])
def test_near_codes_move_together_and_a_resumed_run_is_the_same(
    sizes: dict, text_corpus: Path, tmp_path: Path
) -> None:
    save_tiny_checkpoint(tmp_path / "initial", vision=False, pose_tokenizer=sizes)
    moves, vectors = {}, None
    for option in (False, True):
        run = trainer(
            tmp_path / "initial", text_corpus, tmp_path / str(option), option, max_steps=6,
            save_strategy="steps", save_steps=3,
        )  # fmt: skip
        before = code_table(run)
        run.train()
        moves[option] = code_table(run) - before
        vectors = code_vectors(run.model.model.pose_tokenizer)
    assert vectors is not None

    def explained(change: torch.Tensor) -> float:
        """The share of the moves that is a linear map of the vectors."""
        fitted = vectors @ torch.linalg.lstsq(vectors, change, driver="gelsd").solution
        return float(fitted.square().sum() / change.square().sum())

    assert explained(moves[True]) > 1.3 * explained(moves[False])
    resumed = trainer(tmp_path / "initial", text_corpus, tmp_path / "resumed", True, max_steps=6)
    resumed.train(resume_from_checkpoint=str(tmp_path / "True" / "checkpoint-3"))
    assert torch.equal(code_table(resumed) - before, moves[True])


def test_a_stage_that_trains_no_embeddings_refuses_them(
    tiny_checkpoint: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="code_vectors is set, but this stage does not train the embeddings"):
        trainer(tiny_checkpoint, tiny_corpus, tmp_path, True, PROJECT)
