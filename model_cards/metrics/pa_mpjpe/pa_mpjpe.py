"""PA-MPJPE, as a module of `evaluate`: `evaluate.load("model_cards/metrics/pa_mpjpe")`."""

from typing import Any

import evaluate
import torch
from datasets import Features, List, Value

from unipose.training.evaluation.metrics import pa_mpjpe


INPUTS = """
predictions, references: (poses, joints, 3) in meters.
"""


class PAMPJPE(evaluate.Metric):
    """MPJPE after Procrustes alignment, in millimeters."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=INPUTS,
            features=Features(
                {"predictions": List(List(Value("float64"))), "references": List(List(Value("float64")))}
            ),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, Any]:
        joints, target = (torch.tensor(each, dtype=torch.float64) for each in (predictions, references))
        return {
            "pa_mpjpe_mm": pa_mpjpe(joints, target).mean().item(),
            "definition": "PA-MPJPE, alignment: similarity (rotation, translation, scale)",
        }
