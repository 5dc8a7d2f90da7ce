"""posecode precision, as a module of `evaluate`: `evaluate.load("model_cards/metrics/posecode_precision")`."""

from typing import Any

import evaluate
import roma
import torch
from datasets import Features, List, Value

from unipose.processing.body_model import BodyModel
from unipose.training.captions.caption_reader import read_caption
from unipose.training.evaluation.posecode_metrics import posecode_precision


INPUTS = """
predictions: texts; references: (poses, 22, 3) rotation vectors in radians, z up.
"""


class PosecodePrecision(evaluate.Metric):
    """Share of the statements of texts that are true of their poses."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=INPUTS,
            features=Features({"predictions": Value("string"), "references": List(List(Value("float64")))}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, Any]:
        posecodes = [read_caption(text).codes for text in predictions]
        poses = roma.rotvec_to_rotmat(torch.tensor(references).float())
        return {
            "posecode_precision": posecode_precision(posecodes, poses, BodyModel.builtin()),
            "codes_per_caption": sum(map(len, posecodes)) / len(posecodes),
            "definition": "posecodes that the caption reader finds, measured on the built-in body, usual tolerance",
        }
