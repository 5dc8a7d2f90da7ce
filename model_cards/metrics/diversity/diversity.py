"""diversity, as a module of `evaluate`: `evaluate.load("model_cards/metrics/diversity")`."""

from typing import Any

import evaluate
from datasets import Features, List, Value

from unipose.training.evaluation.diversity import diversity


INPUTS = """
predictions: (samples, dim) vectors: embeddings, or joints in meters.
"""


class Diversity(evaluate.Metric):
    """Mean distance between generated poses."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=INPUTS,
            features=Features({"predictions": List(Value("float64"))}),
        )

    def _compute(self, predictions: Any) -> dict[str, Any]:
        return {
            "diversity": diversity(predictions),
            "definition": f"mean over all pairs of {len(predictions)} samples",
        }
