"""The order of a run's rows."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


# Batches per bucket of rows that are sorted by length: more reduces padding, fewer mixes rows better.
BUCKET_BATCHES = 50


class SeededSampler(Sampler[int]):
    """Random order that follows from the seed and the epoch alone.

    A resumed run gets the order of an uninterrupted one, and several processes share one order.

    Args:
        num_rows: number of rows of the dataset.
        seed: seed of the order.
    """

    def __init__(self, num_rows: int, seed: int):
        self.num_rows = num_rows
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.num_rows

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next order."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        yield from self.random().permutation(self.num_rows).tolist()

    def random(self) -> np.random.Generator:
        """The generator of this epoch's order."""
        return np.random.default_rng([self.seed, self.epoch])


class GroupedSampler(SeededSampler):
    """Random order, but rows of one batch are of similar length, and either all of them or none have images.

    Only the rows left over at the end of an epoch are mixed.

    Args:
        lengths: length of each row, in tokens.
        has_image: whether each row has an image.
        batch_size: number of rows per step, in all processes together.
        seed: seed of the order.
    """

    def __init__(self, lengths: Sequence[int], has_image: Sequence[bool], batch_size: int, seed: int):
        super().__init__(len(lengths), seed)
        self.lengths = np.asarray(lengths)
        self.has_image = np.asarray(has_image, dtype=bool)
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[int]:
        rng = self.random()
        chosen = self.rows_of_epoch()
        groups = (chosen[~self.has_image[chosen]], chosen[self.has_image[chosen]])
        batches = [batch for rows in groups for batch in self.batches(rows, rng)]
        short = [batch for batch in batches if len(batch) < self.batch_size]
        whole = [batch for batch in batches if len(batch) == self.batch_size]
        for batch in [whole[index] for index in rng.permutation(len(whole))] + short:
            yield from batch.tolist()

    def rows_of_epoch(self) -> np.ndarray:
        """Indices of this epoch's rows, in ascending order."""
        return np.arange(self.num_rows)

    def batches(self, rows: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Batches of similar length; the last may be short.

        Args:
            rows: indices of rows.
            rng: random generator of their order.
        """
        order = rng.permutation(rows)
        bucket_size = BUCKET_BATCHES * self.batch_size
        for start in range(0, len(order), bucket_size):
            bucket = order[start : start + bucket_size]
            bucket = bucket[np.argsort(self.lengths[bucket], kind="stable")]
            yield from (bucket[first : first + self.batch_size] for first in range(0, len(bucket), self.batch_size))
