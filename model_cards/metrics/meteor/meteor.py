"""METEOR, as a module of `evaluate`: `evaluate.load("model_cards/metrics/meteor")`."""

from typing import Any

import evaluate
from datasets import Features, List, Value

from unipose.training.evaluation.text_metrics import Normalization, meteor


INPUTS = """
predictions: texts; references: a reference text or several of each. synonyms: also matches
WordNet's synonyms (python -m nltk.downloader wordnet). normalization: none, lowercase or plain.
"""


class Meteor(evaluate.Metric):
    """METEOR by nltk, variant named."""

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
        self, predictions: Any, references: Any, synonyms: bool = False, normalization: Normalization = "none"
    ) -> dict[str, Any]:
        scores = meteor(predictions, references, synonyms, normalization)
        return {"meteor": scores.mean, "definition": scores.definition}
