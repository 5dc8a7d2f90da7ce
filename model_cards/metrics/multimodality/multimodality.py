"""multimodality, as a module of `evaluate`: `evaluate.load("model_cards/metrics/multimodality")`."""

from typing import Any

import evaluate
from datasets import Features, List, Value

from unipose.training.evaluation.diversity import multimodality


INPUTS = """
predictions: (texts, samples, dim) vectors: embeddings, or joints in meters.
"""


class Multimodality(evaluate.Metric):
    """Mean distance between poses generated from the same text."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=INPUTS,
            features=Features({"predictions": List(List(Value("float64")))}),
        )

    def _compute(self, predictions: Any) -> dict[str, Any]:
        samples = len(predictions[0])
        return {
            "multimodality": multimodality(predictions),
            "definition": f"mean over all pairs of {samples} samples of each of {len(predictions)} texts",
        }
