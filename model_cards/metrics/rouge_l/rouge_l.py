"""ROUGE-L, as a module of `evaluate`: `evaluate.load("model_cards/metrics/rouge_l")`."""

from typing import Any

import evaluate
from datasets import Features, List, Value

from unipose.training.evaluation.text_metrics import Normalization, rouge_l


INPUTS = """
predictions: texts; references: a reference text or several of each. use_stemmer: compares Porter
stems. normalization: none, lowercase or plain.
"""


class RougeL(evaluate.Metric):
    """ROUGE-L F1 by rouge-score."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=INPUTS,
            features=[
                Features({"predictions": Value("string"), "references": Value("string")}),
                Features({"predictions": Value("string"), "references": List(Value("string"))}),
            ],
        )

    def _compute(
        self, predictions: Any, references: Any, use_stemmer: bool = False, normalization: Normalization = "none"
    ) -> dict[str, Any]:
        scores = rouge_l(predictions, references, use_stemmer, normalization)
        return {"rouge_l": scores.mean, "definition": scores.definition}
