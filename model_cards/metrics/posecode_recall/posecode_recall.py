"""posecode recall, as a module of `evaluate`: `evaluate.load("model_cards/metrics/posecode_recall")`."""

from typing import Any

import evaluate
from datasets import Features, Value

from unipose.training.captions.caption_reader import read_caption
from unipose.training.evaluation.posecode_metrics import posecode_recall


INPUTS = """
predictions: texts; references: a reference text of each.
"""


class PosecodeRecall(evaluate.Metric):
    """Share of the statements of reference texts that generated texts make too."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=INPUTS,
            features=Features({"predictions": Value("string"), "references": Value("string")}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, Any]:
        stated, expected = ([read_caption(text).codes for text in texts] for texts in (predictions, references))
        return {
            "posecode_recall": posecode_recall(stated, expected),
            "definition": "posecodes of the reference text that the text states, as the caption reader finds them",
        }
