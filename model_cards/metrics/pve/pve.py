"""PVE, as a module of `evaluate`: `evaluate.load("model_cards/metrics/pve")`."""

from typing import Any

import evaluate
import torch
from datasets import Features, List, Value

from unipose.training.evaluation.metrics import pve


INPUTS = """
predictions, references: (poses, vertices, 3) in meters. pelvis, pelvis_references: (poses, 3), to
align the pelvises.
"""


class PVE(evaluate.Metric):
    """Per-vertex error in millimeters."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=INPUTS,
            features=Features(
                {"predictions": List(List(Value("float64"))), "references": List(List(Value("float64")))}
            ),
        )

    def _compute(
        self, predictions: Any, references: Any, pelvis: Any = None, pelvis_references: Any = None
    ) -> dict[str, Any]:
        roots = [
            None if each is None else torch.as_tensor(each, dtype=torch.float64)
            for each in (pelvis, pelvis_references)
        ]
        errors = pve(
            torch.tensor(predictions, dtype=torch.float64), torch.tensor(references, dtype=torch.float64), *roots
        )
        return {
            "pve_mm": errors.mean().item(),
            "definition": f"PVE, alignment: {'none' if pelvis is None else 'pelvis'}",
        }
