"""Mixes several sources of records by weight.

The images of stages 3 and 4, with the tars of each dataset in its own folder:

    images = {name: HmrTarImages(root / name, True, dataset=name, seed=0) for name in POSE_ESTIMATION_WEIGHTS}
    mix = WeightedMix(images, POSE_ESTIMATION_WEIGHTS, length=100_000, seed=0)

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
    """Draws the source of each record by weight; records of a source keep their order.

    A source that ends starts again, so a small one with a large weight repeats. Give importers a seed where a mix does
    not read them to the end: otherwise only their first files are used.

    Args:
        sources: importers by name; each must be iterable several times (a list or an importer, not a generator).
        weights: the weight of each source by the same names; they need not sum to 1.
        length: number of records.
        seed: seed of the choice of sources.

    Raises:
        ValueError: the names differ, or a weight or the length is not positive.
    """

    sources: Mapping[str, Iterable[Record]]
    weights: Mapping[str, float]
    length: int
    seed: int

    def __post_init__(self) -> None:
        if not self.sources or set(self.sources) != set(self.weights):
            got = f"got the sources {sorted(self.sources)} and the weights {sorted(self.weights)}"
            raise ValueError(f"{got}; expected at least one source, and a weight for each")
        wrong = {name: weight for name, weight in self.weights.items() if not 0 < weight < np.inf}
        if wrong or self.length < 1:
            raise ValueError(f"got {wrong or self.length}; expected positive weights and length")
        generators = [name for name, source in self.sources.items() if isinstance(source, Iterator)]
        if generators:
            raise ValueError(f"the sources {generators} can be read only once; expected lists or importers")

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
