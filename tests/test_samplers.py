"""The order of a run's rows: all of them, the same for the same seed, similar within a batch."""

import numpy as np
import pytest

from unipose.training.trainer.samplers import BUCKET_BATCHES, GroupedSampler, SeededSampler


BATCH = 8


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Lengths of 1003 rows, and whether they have images; both kinds leave rows over from whole batches."""
    rng = np.random.default_rng(0)
    has_image = rng.integers(0, 3, 1003) * (rng.random(1003) < 0.3) > 0
    return rng.integers(10, 200, 1003), has_image


def sampler(rows: tuple[np.ndarray, np.ndarray], seed: int = 0, epoch: int = 0, batch: int = BATCH) -> GroupedSampler:
    made = GroupedSampler(*rows, batch, seed)
    made.set_epoch(epoch)
    return made


def in_batches(order: list[int]) -> list[list[int]]:
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]


def padding(order: list[int], lengths: np.ndarray) -> int:
    """Places in the batches that no token fills."""
    return sum(int(max(lengths[batch]) * len(batch) - lengths[batch].sum()) for batch in in_batches(order))


@pytest.mark.parametrize("epoch", [0, 1])
def test_every_row_comes_once_an_epoch(rows, epoch: int) -> None:
    assert sorted(sampler(rows, epoch=epoch)) == list(range(1003))
    assert len(sampler(rows)) == 1003
    plain = SeededSampler(1003, 0)
    plain.set_epoch(epoch)
    assert sorted(plain) == list(range(1003))


def test_order_follows_from_seed_and_epoch_alone(rows) -> None:
    used = sampler(rows)
    list(used)
    used.set_epoch(3)
    assert list(used) == list(sampler(rows, epoch=3))
    others = [list(sampler(rows, seed, epoch)) for seed, epoch in [(0, 3), (0, 4), (1, 3)]]
    assert others[0] != others[1] != others[2] != others[0]


def test_rows_with_images_are_kept_apart(rows) -> None:
    has_image = rows[1]
    kinds = [set(has_image[batch]) for batch in in_batches(list(sampler(rows)))]
    assert all(len(kind) == 1 for kind in kinds[:-2]), "only what is left over is mixed"
    changes = np.count_nonzero(np.diff([kind == {True} for kind in kinds[:-2]]))
    assert changes > len(kinds) / 5, "batches of both kinds alternate"


def test_like_lengths_save_padding(rows) -> None:
    lengths = rows[0]
    shuffled = np.random.default_rng(0).permutation(1003).tolist()
    assert padding(list(sampler(rows)), lengths) < 0.15 * padding(shuffled, lengths)


def test_batches_are_not_sorted_by_length(rows) -> None:
    """An epoch that goes from short to long would teach the short rows first."""
    lengths = rows[0]
    means = [lengths[batch].mean() for batch in in_batches(list(sampler(rows)))[:-2]]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_fewer_rows_than_a_batch(rows) -> None:
    few = tuple(values[:5] for values in rows)
    assert sorted(sampler(few)) == list(range(5))
    assert sorted(sampler(rows, batch=BUCKET_BATCHES * 1003)) == list(range(1003))
