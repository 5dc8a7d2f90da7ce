"""In which order a run sees its rows."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


# Batches that are sorted by length together: more waste less padding, fewer mix better.
BATCHES_SORTED_TOGETHER = 50


class GroupedSampler(Sampler[int]):
    """Random order, but rows of one batch are of like length, and have pictures or have none.

    The order follows from the seed and the epoch alone: a resumed run sees what an uninterrupted one would have.

    Args:
        lengths: of each row, in tokens.
        pictures: of each row, how many it has.
        batch_size: rows of one step, of all processes together.
        seed: of the order.
    """

    def __init__(self, lengths: Sequence[int], pictures: Sequence[int], batch_size: int, seed: int):
        self.lengths = np.asarray(lengths)
        self.pictures = np.asarray(pictures)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(len(self.lengths))
        batches: list[np.ndarray] = []
        for start in range(0, len(order), BATCHES_SORTED_TOGETHER * self.batch_size):
            rows = order[start : start + BATCHES_SORTED_TOGETHER * self.batch_size]
            rows = rows[np.lexsort((self.lengths[rows], self.pictures[rows] > 0))]
            batches += [rows[first : first + self.batch_size] for first in range(0, len(rows), self.batch_size)]
        # Only the last batch may be short.
        short = [batch for batch in batches if len(batch) < self.batch_size]
        whole = [batch for batch in batches if len(batch) == self.batch_size]
        ordered = [whole[index] for index in rng.permutation(len(whole))] + short
        yield from np.concatenate(ordered).tolist()
