"""The base of collators that change batches at random, the same way in a resumed run."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch

from unipose.processing.processing_unipose import UniPoseProcessor
from unipose.training.trainer.collator import Row, UniPoseDataCollator


class RandomCollator:
    """Changes the batches of another collator at random.

    The random numbers follow from the seed, the epoch and the row alone, so that a resumed run gets the same batches.

    Args:
        collator: collator of prepared rows, which carry their index (`ROW_KEY`).
        share: share of the output poses that are changed, from 0 to 1.
        seed: seed of the random numbers.

    Raises:
        ValueError: a share outside of 0 to 1.
    """

    # The option of a stage that sets the share.
    option: ClassVar[str]
    # Keeps the random numbers apart from others of the same seed, epoch and row.
    stream: ClassVar[int]

    def __init__(self, collator: "UniPoseDataCollator | RandomCollator", share: float, seed: int):
        if not 0 <= share <= 1:
            raise ValueError(f"{self.option} is {share}, expected a share of the output poses from 0 to 1")
        self.collator = collator
        self.processor: UniPoseProcessor = collator.processor
        self.pose_attention: str = collator.pose_attention
        self.share = share
        self.seed = seed
        self.epoch = torch.zeros((), dtype=torch.long).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch in this process and in its workers, persistent ones too."""
        self.epoch.fill_(epoch)

    def generator(self, row: int) -> np.random.Generator:
        """The random numbers of a row in this epoch."""
        return np.random.default_rng([self.seed, int(self.epoch), row, self.stream])

    @abstractmethod
    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """The changed batch of some rows."""
