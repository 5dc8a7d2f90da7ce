"""In which order a run sees its rows."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


# Batches that are sorted by length together: more waste less padding, fewer mix better.
BATCHES_SORTED_TOGETHER = 50


class SeededSampler(Sampler[int]):
    """Random order that follows from the seed and the epoch alone.

    A resumed run sees what an uninterrupted one would have, and several processes share one order.
    """

    def __init__(self, num_rows: int, seed: int):
        self.num_rows = num_rows
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.num_rows

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        yield from self.random().permutation(self.num_rows).tolist()

    def random(self) -> np.random.Generator:
        """What decides the order of this epoch."""
        return np.random.default_rng([self.seed, self.epoch])


class GroupedSampler(SeededSampler):
    """Random order, but rows of one batch are of like length, and have pictures or have none.

    Only what is left over at the end of an epoch is mixed.

    Args:
        lengths: of each row, in tokens.
        pictures: of each row, how many it has.
        batch_size: rows of one step, of all processes together.
        seed: of the order.
    """

    def __init__(self, lengths: Sequence[int], pictures: Sequence[int], batch_size: int, seed: int):
        super().__init__(len(lengths), seed)
        self.lengths = np.asarray(lengths)
        self.shown = np.asarray(pictures) > 0
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[int]:
        rng = self.random()
        groups = (np.flatnonzero(~self.shown), np.flatnonzero(self.shown))
        batches = [batch for rows in groups for batch in self.batches(rows, rng)]
        short = [batch for batch in batches if len(batch) < self.batch_size]
        whole = [batch for batch in batches if len(batch) == self.batch_size]
        for batch in [whole[index] for index in rng.permutation(len(whole))] + short:
            yield from batch.tolist()

    def batches(self, rows: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Some rows, in batches of like length; the last may be short."""
        order = rng.permutation(rows)
        together = BATCHES_SORTED_TOGETHER * self.batch_size
        for start in range(0, len(order), together):
            some = order[start : start + together]
            some = some[np.argsort(self.lengths[some], kind="stable")]
            yield from (some[first : first + self.batch_size] for first in range(0, len(some), self.batch_size))
