"""R-precision, as a module of `evaluate`: `evaluate.load("model_cards/metrics/r_precision")`."""

from collections.abc import Sequence
from typing import Any

import evaluate
import torch
from datasets import Features, List, Value

from unipose.training.evaluation.retrieval_metrics import GROUP_SIZE, r_precision_of_rows


INPUTS = """
predictions: (samples, dim) embeddings of texts; references: (samples, dim) embeddings of their
poses. shuffles: 1 divides the samples into groups once, as the paper; more average over divisions.
seed: of the divisions.
"""


class RPrecision(evaluate.Metric):
    """R-precision in groups, by the cosine of embeddings."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=INPUTS,
            features=Features({"predictions": List(Value("float64")), "references": List(Value("float64"))}),
        )

    def _compute(
        self,
        predictions: Any,
        references: Any,
        top_k: Sequence[int] = (1, 2, 3),
        group_size: int = GROUP_SIZE,
        shuffles: int = 1,
        seed: int = 0,
    ) -> dict[str, Any]:
        texts, poses = (torch.tensor(each, dtype=torch.float64) for each in (predictions, references))
        result: dict[str, Any] = {
            f"r_precision_top{k}": r_precision_of_rows(texts, poses, k, shuffles, seed, group_size).nanmean().item()
            for k in top_k
        }
        divided = "once" if shuffles == 1 else f"{shuffles} times, averaged"
        return result | {"definition": f"R-precision in groups of {group_size}, divided {divided}, seed {seed}"}
