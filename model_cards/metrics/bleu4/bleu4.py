"""BLEU-4, as a module of `evaluate`: `evaluate.load("model_cards/metrics/bleu4")`."""

from typing import Any

import evaluate
from datasets import Features, List, Value

from unipose.training.evaluation.text_metrics import Normalization, bleu4_counts


INPUTS = """
predictions: texts; references: a reference text or several of each. normalization: none, lowercase
or plain.
"""


class BLEU4(evaluate.Metric):
    """Corpus BLEU-4 by sacrebleu."""

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

    def _compute(self, predictions: Any, references: Any, normalization: Normalization = "none") -> dict[str, Any]:
        counts = bleu4_counts(predictions, references, normalization)
        return {"bleu4": counts.score(), "definition": counts.definition}
