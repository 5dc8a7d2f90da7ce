"""Several sources of records as one, each with its share.

The pictures of stages 3 and 4, where each dataset's tars lie in a folder of its own:

    pictures = {name: HmrTarPictures(root / name, True, dataset=name, seed=0) for name in POSE_ESTIMATION_WEIGHTS}
    mix = WeightedMix(pictures, POSE_ESTIMATION_WEIGHTS, length=100_000, seed=0)

The poses of stage 1, with weights of your own (the paper's are not published):

    mix = WeightedMix({name: AmassPoses(root, [name], seed=0) for name in weights}, weights, length=1_000_000, seed=0)
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np


Record = TypeVar("Record")

# Shares of the pose estimation data of stages 3 and 4 (paper, supplement); only their ratios matter.
POSE_ESTIMATION_WEIGHTS = {"mpi_inf_3dhp": 0.04, "human36m": 0.1, "mpii": 0.1, "coco": 0.1}


@dataclass(frozen=True)
class WeightedMix(Generic[Record]):
    """Draws the source of each record by its weight; records of a source come in its order.

    A source that ends begins anew, so a small one with a large weight repeats. Give loaders a seed where a mix does
    not read them to their end: otherwise only their first files are seen.

    Args:
        sources: loaders by name; each must be iterable more than once (a list or one of our loaders, no generator).
        weights: the share of each source by the same names; they need not sum to 1.
        length: how many records.
        seed: decides the order of the sources; the same seed gives the same records.

    Raises:
        ValueError: the names differ, or a weight or the length is not positive.
    """

    sources: Mapping[str, Iterable[Record]]
    weights: Mapping[str, float]
    length: int
    seed: int

    def __post_init__(self) -> None:
        if not self.sources or set(self.sources) != set(self.weights):
            found = f"the sources are {sorted(self.sources)}, the weights {sorted(self.weights)}"
            raise ValueError(f"{found}; give at least one source, and each a weight")
        wrong = {name: weight for name, weight in self.weights.items() if not 0 < weight < np.inf}
        if wrong or self.length < 1:
            raise ValueError(f"weights and length must be positive, but found {wrong or self.length}")
        generators = [name for name, source in self.sources.items() if isinstance(source, Iterator)]
        if generators:
            raise ValueError(f"the sources {generators} can be read only once; give a list or a loader")

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Record]:
        rng = np.random.default_rng(self.seed)
        names = list(self.sources)
        shares = np.array([self.weights[name] for name in names])
        streams = {name: iter(self.sources[name]) for name in names}
        for index in rng.choice(len(names), size=self.length, p=shares / shares.sum()):
            name = names[index]
            try:
                record = next(streams[name])
            except StopIteration:
                streams[name] = iter(self.sources[name])
                record = self._first(name, streams[name])
            yield record

    @staticmethod
    def _first(name: str, stream: Iterator[Record]) -> Record:
        for record in stream:
            return record
        raise ValueError(f"the source {name!r} is empty")
