"""Bootstrap intervals and paired tests: cover the truth as often as they say, and find equal models equal."""

from pathlib import Path

import numpy as np
import pytest
import sacrebleu
import torch

from unipose.training.evaluation.compare import (
    StoredTask,
    compare_evaluations,
    comparison_markdown,
    load_statistics,
    save_statistics,
)
from unipose.training.evaluation.diversity import diversity
from unipose.training.evaluation.retrieval_metrics import fid
from unipose.training.evaluation.text_metrics import bleu4_counts
from unipose.training.evaluation.uncertainty import (
    Bleu,
    Diversity,
    Frechet,
    Mean,
    interval,
    paired_difference,
    resample_counts,
)


TEXTS = ["a b c d e f", "a b c x y z", "b c d e", "e f g h i j k"]
REFERENCES = ["a b c d e f", "a b c d e f", "a b c d e", "e f g h"]


def random_vectors(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 5))


STATISTICS = {
    "mean": Mean.of([1.0, 4.0, np.nan, 2.0]),
    "ratio": Mean.ratio([1, 0, 3, 2], [2, 0, 3, 4]),
    "bleu": Bleu(bleu4_counts(TEXTS, REFERENCES)),
    "frechet": Frechet(random_vectors(4), random_vectors(4, 1)),
    "diversity": Diversity(random_vectors(4)),
}


def test_counts_draw_as_many_rows_and_repeat_by_seed() -> None:
    counts = resample_counts(30, seed=3, resamples=200)
    assert counts.shape == (200, 30)
    assert (counts.sum(axis=1) == 30).all()
    assert counts.mean(axis=0) == pytest.approx(1.0, abs=0.3)
    np.testing.assert_array_equal(counts, resample_counts(30, seed=3, resamples=200))
    assert (counts != resample_counts(30, seed=4, resamples=200)).any()


@pytest.mark.parametrize("name", STATISTICS)
def test_a_resample_is_the_metric_of_its_rows(name: str) -> None:
    """Counts of rows give what the rows themselves give, written out."""
    statistic = STATISTICS[name]
    counts = np.array([[1, 1, 1, 1], [2, 0, 1, 1], [0, 3, 1, 0]], dtype=np.int32)
    expected = [statistic.select(np.repeat(np.arange(4), row)).score() for row in counts]
    if name == "diversity":
        # Pairs of a row with its own copy do not count.
        vectors = random_vectors(4)[[0, 0, 2, 3]]
        distances = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
        expected[1] = distances.sum() / (distances > 0).sum()
        vectors = random_vectors(4)[[1, 2]]
        expected[2] = np.linalg.norm(vectors[0] - vectors[1])
    np.testing.assert_allclose(statistic.resampled(counts), expected, rtol=1e-9)
    assert statistic.resampled(counts)[0] == pytest.approx(statistic.score())


def test_scores_are_those_of_the_metrics() -> None:
    assert STATISTICS["mean"].score() == pytest.approx(7 / 3)
    assert STATISTICS["ratio"].score() == pytest.approx(6 / 9)
    assert STATISTICS["bleu"].score() == pytest.approx(sacrebleu.corpus_bleu(TEXTS, [REFERENCES]).score / 100)
    first, second = (torch.from_numpy(random_vectors(4, seed)) for seed in (0, 1))
    assert STATISTICS["frechet"].score() == fid(first, second)
    assert STATISTICS["diversity"].score() == pytest.approx(diversity(random_vectors(4)))
    assert Mean.ratio([0, 0], [0, 0]).score() == 0.0


def test_intervals_of_a_mean_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered, widths = 0, []
    for seed in range(200):
        values = rng.normal(2.0, 1.0, 60)
        low, high = interval(Mean.of(values), resample_counts(60, seed, resamples=300))
        covered += low <= 2.0 <= high
        widths.append(high - low)
    assert 0.90 <= covered / 200 <= 0.98
    # The textbook's interval, which the normal distribution has.
    assert np.mean(widths) == pytest.approx(2 * 1.96 / np.sqrt(60), rel=0.07)


def test_interval_of_the_frechet_distance_is_around_its_value() -> None:
    statistic = Frechet(random_vectors(40), random_vectors(40, 1) + 1.0)
    low, high = interval(statistic, resample_counts(40, seed=0))
    assert low < statistic.score() < high


def test_equal_models_do_not_differ_and_better_ones_do() -> None:
    counts = resample_counts(80, seed=0)
    first = np.random.default_rng(1).normal(size=80)
    same = paired_difference(Mean.of(first), Mean.of(first), counts)
    assert (same.difference, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    noise = np.random.default_rng(2).normal(size=80)
    better = paired_difference(Mean.of(first), Mean.of(first + 0.5 + 0.1 * noise), counts)
    assert better.p_value < 0.01
    assert better.low < better.difference < better.high
    assert better.low > 0.4, "the rows' own spread cancels"
    with pytest.raises(ValueError, match="needs the same rows, got 80 and 3"):
        paired_difference(Mean.of(first), Mean.of(first[:3]), counts)


def test_p_values_of_equal_models_are_uniform() -> None:
    rng = np.random.default_rng(0)
    counts = resample_counts(50, seed=0, resamples=200)
    p_values = [
        paired_difference(Mean.of(rng.normal(size=50)), Mean.of(rng.normal(size=50)), counts).p_value
        for _ in range(300)
    ]
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.06)


def test_statistics_survive_the_file(tmp_path: Path) -> None:
    save_statistics(tmp_path, {"pose-diff": StoredTask(["a", "b", "c", "d"], STATISTICS)})
    loaded = load_statistics(tmp_path)["pose-diff"]
    assert list(loaded.keys) == ["a", "b", "c", "d"]
    for name, statistic in STATISTICS.items():
        assert loaded.statistics[name].score() == statistic.score()
    with pytest.raises(FileNotFoundError, match="holds no finished evaluation"):
        load_statistics(tmp_path / "missing")


def test_comparisons_pair_rows_by_their_inputs(tmp_path: Path) -> None:
    """In another order, and with rows that only one of both has."""
    values = np.random.default_rng(0).normal(100.0, 20.0, 40)
    keys = [f"row {row}" for row in range(40)]
    save_statistics(tmp_path / "a", {"text-to-pose": StoredTask(keys, {"mpjpe_mm": Mean.of(values)})})
    order = np.random.default_rng(1).permutation(40)[:30]
    faster = StoredTask([keys[row] for row in order], {"mpjpe_mm": Mean.of(values[order] - 3.0)})
    save_statistics(tmp_path / "b", {"text-to-pose": faster, "pose-edit": faster})
    comparison = compare_evaluations(tmp_path / "a", tmp_path / "b")
    assert comparison == compare_evaluations(tmp_path / "a", tmp_path / "b"), "the seed decides"
    found = comparison["text-to-pose"]["mpjpe_mm"]
    assert (found.rows, list(comparison)) == (30, ["text-to-pose"])
    assert found.difference == pytest.approx(-3.0)
    assert found.high == pytest.approx(-3.0)
    assert "| text-to-pose | MPJPE (mm) | 30 |" in comparison_markdown(comparison, "a", "b")
    assert "-3.0 [-3.0, -3.0]" in comparison_markdown(comparison, "a", "b")
    other = StoredTask(["else"], {"mpjpe_mm": Mean.of([1.0])})
    save_statistics(tmp_path / "c", {"text-to-pose": other})
    with pytest.raises(ValueError, match="have no rows of a task in common"):
        compare_evaluations(tmp_path / "a", tmp_path / "c")
