"""Confidence intervals and paired tests by the bootstrap: rows are drawn with replacement, and the metric is repeated.

A `Statistic` holds what a metric needs of each row, so that a resample is a count for each row: (resamples, rows).
Intervals are those of the rows; they do not include the randomness of training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from unipose.training.evaluation.diversity import pair_distances
from unipose.training.evaluation.retrieval_metrics import fid
from unipose.training.evaluation.text_metrics import BleuCounts


Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int32]

RESAMPLES = 1000
# The Frechet distance is slow to repeat, and only its spread is taken from the resamples.
FRECHET_RESAMPLES = 100
CONFIDENCE = 0.95
_NORMAL_QUANTILE = 1.959964


class Statistic(Protocol):
    """A metric of a set of rows that can be computed again for resampled rows."""

    def __len__(self) -> int: ...

    def score(self) -> float:
        """The metric of all rows."""
        ...

    def resampled(self, counts: Counts) -> Array:
        """(resamples, rows) counts -> (resamples,) values; fewer where the metric is slow."""
        ...

    def select(self, rows: Sequence[int]) -> "Statistic":
        """The statistic of some rows, in this order."""
        ...


@dataclass(frozen=True)
class Mean:
    """A mean over rows, or over their parts: sum of `numerators` / sum of `denominators`; 0 where nothing counts.

    Args:
        numerators: (n,).
        denominators: (n,) number of parts of each row, such as the statements of a text; 1 in a plain mean.
    """

    numerators: Array
    denominators: Array

    @classmethod
    def of(cls, values: npt.ArrayLike) -> "Mean":
        """The plain mean of (n,) values; a NaN does not count."""
        numbers = np.asarray(values, dtype=np.float64)
        counted = ~np.isnan(numbers)
        return cls(np.where(counted, numbers, 0.0), counted.astype(np.float64))

    @classmethod
    def ratio(cls, numerators: npt.ArrayLike, denominators: npt.ArrayLike) -> "Mean":
        """A mean over the parts of rows.

        Args:
            numerators: (n,).
            denominators: (n,) number of parts of each row.
        """
        return cls(np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64))

    def __len__(self) -> int:
        return len(self.numerators)

    def score(self) -> float:
        total = self.denominators.sum()
        return float(self.numerators.sum() / total) if total else 0.0

    def resampled(self, counts: Counts) -> Array:
        totals = counts @ self.denominators
        return np.divide(counts @ self.numerators, totals, out=np.zeros(len(counts)), where=totals > 0)

    def select(self, rows: Sequence[int]) -> "Mean":
        return Mean(self.numerators[rows], self.denominators[rows])

    def values(self) -> Array:
        """(n,) the metric of each row; NaN where nothing of it counts."""
        unknown = np.full(len(self), np.nan)
        return np.divide(self.numerators, self.denominators, out=unknown, where=self.denominators > 0)


@dataclass(frozen=True)
class Bleu:
    """Corpus BLEU-4."""

    counts: BleuCounts

    def __len__(self) -> int:
        return len(self.counts.lengths)

    def score(self) -> float:
        return self.counts.score()

    def resampled(self, counts: Counts) -> Array:
        return np.array([self.counts.score(row.astype(np.float64)) for row in counts])

    def select(self, rows: Sequence[int]) -> "Bleu":
        own = self.counts
        arrays = (own.matches[rows], own.totals[rows], own.lengths[rows], own.reference_lengths[rows])
        return Bleu(BleuCounts(*arrays, own.definition))


@dataclass(frozen=True)
class Frechet:
    """FID of embeddings against those of the targets.

    Args:
        embeds: (n, dim).
        targets: (n, dim).
    """

    embeds: Array
    targets: Array

    def __len__(self) -> int:
        return len(self.embeds)

    def score(self) -> float:
        return fid(torch.from_numpy(self.embeds), torch.from_numpy(self.targets))

    def resampled(self, counts: Counts) -> Array:
        draws = (np.repeat(np.arange(len(self)), row) for row in counts[:FRECHET_RESAMPLES])
        return np.array([self.select(rows).score() for rows in draws])

    def select(self, rows: Sequence[int]) -> "Frechet":
        return Frechet(self.embeds[rows], self.targets[rows])


@dataclass(frozen=True)
class Diversity:
    """Mean distance between two different rows.

    Args:
        vectors: (n, dim).
    """

    vectors: Array

    def __len__(self) -> int:
        return len(self.vectors)

    def score(self) -> float:
        return float(self.resampled(np.ones((1, len(self)), dtype=np.int32))[0])

    def resampled(self, counts: Counts) -> Array:
        weights = counts.astype(np.float64)
        sums = ((weights @ pair_distances(self.vectors)) * weights).sum(axis=1)
        # Pairs of a row with itself do not count.
        return sums / np.maximum(weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1), 1.0)

    def select(self, rows: Sequence[int]) -> "Diversity":
        return Diversity(self.vectors[rows])


def resample_counts(rows: int, seed: int, resamples: int = RESAMPLES) -> Counts:
    """How often each row is drawn in each resample.

    Args:
        rows: number of rows; so many are drawn, with replacement.
        seed: seed of the draws; the same seed draws the same rows.
        resamples: number of resamples.

    Returns:
        (resamples, rows).
    """
    rng = np.random.default_rng(seed)
    counts = np.zeros((resamples, rows), dtype=np.int32)
    for row in counts:
        row += np.bincount(rng.integers(rows, size=rows), minlength=rows).astype(np.int32)
    return counts


def interval(statistic: Statistic, counts: Counts) -> tuple[float, float]:
    """The 95 % interval of a statistic.

    Percentiles of the resamples; that of the Frechet distance is the value and 1.96 standard deviations, because
    resamples with repeated rows have larger distances.

    Args:
        statistic: of n rows.
        counts: (resamples, n), from `resample_counts`.
    """
    values = statistic.resampled(counts)
    if isinstance(statistic, Frechet):
        value, reach = statistic.score(), _NORMAL_QUANTILE * float(values.std(ddof=1))
        return max(0.0, value - reach), value + reach
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return float(low), float(high)


class Difference(NamedTuple):
    """A paired comparison of two models on the same rows.

    Args:
        first: metric of the first.
        second: metric of the second.
        difference: second - first.
        low, high: 95 % interval of the difference.
        p_value: probability of a difference at least as large if both models were equally good.
        rows: number of rows.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    rows: int


def paired_difference(first: Statistic, second: Statistic, counts: Counts) -> Difference:
    """The difference of a metric between two models, by the paired bootstrap.

    Each resample draws the same rows for both. The p-value is the share of resamples whose difference is as far from
    the observed one as that is from 0 (two-sided, as in sacrebleu).

    Args:
        first: statistic of the first model.
        second: statistic of the second, of the same rows in the same order.
        counts: (resamples, rows), from `resample_counts`.

    Raises:
        ValueError: other numbers of rows.
    """
    if len(first) != len(second):
        raise ValueError(f"a paired comparison needs the same rows, got {len(first)} and {len(second)}")
    differences = second.resampled(counts) - first.resampled(counts)
    scores = first.score(), second.score()
    observed = scores[1] - scores[0]
    # Resamples are centered on their own mean: that of the Frechet distance is biased.
    deviations = differences - differences.mean()
    tail = (1 - CONFIDENCE) / 2
    low, high = observed + np.quantile(deviations, (tail, 1 - tail))
    # Rounding must not make a difference of equal models.
    as_large = np.abs(deviations) >= abs(observed) - 1e-12
    p_value = float((1 + as_large.sum()) / (1 + len(differences)))
    return Difference(*scores, observed, float(low), float(high), p_value, len(first))
