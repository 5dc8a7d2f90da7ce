"""latency, as a module of `evaluate`: `evaluate.load("model_cards/metrics/latency")`."""

from typing import Any

import evaluate
from datasets import Features, Value

from unipose.training.evaluation.timing import latency


INPUTS = """
predictions: seconds of each call, without warm-up. rows: number of rows that all calls together
answered; default: one each.
"""


class Latency(evaluate.Metric):
    """Median, mean and 95th percentile of measured times, and the throughput."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=INPUTS,
            features=Features({"predictions": Value("float64")}),
        )

    def _compute(self, predictions: Any, rows: int | None = None) -> dict[str, Any]:
        return {**latency(predictions, rows), "definition": f"{len(predictions)} calls, wall-clock time"}
