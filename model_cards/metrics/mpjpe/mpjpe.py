"""MPJPE, as a module of `evaluate`: `evaluate.load("model_cards/metrics/mpjpe")`."""

from collections.abc import Sequence
from typing import Any

import evaluate
import torch
from datasets import Features, List, Value

from unipose.training.evaluation.metrics import mpjpe


INPUTS = """
predictions, references: (poses, joints, 3) in meters. root_joints: joints whose mean is moved to
the origin first: () aligns nothing, (0,) the pelvis.
"""


class MPJPE(evaluate.Metric):
    """Mean per-joint position error in millimeters."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=INPUTS,
            features=Features(
                {"predictions": List(List(Value("float64"))), "references": List(List(Value("float64")))}
            ),
        )

    def _compute(self, predictions: Any, references: Any, root_joints: Sequence[int] = ()) -> dict[str, Any]:
        joints, target = (torch.tensor(each, dtype=torch.float64) for each in (predictions, references))
        alignment = f"root joints {tuple(root_joints)}" if root_joints else "none"
        return {
            "mpjpe_mm": mpjpe(joints, target, root_joints).mean().item(),
            "definition": f"MPJPE, alignment: {alignment}",
        }
