"""geodesic joint rotation error, as a module of `evaluate`: `evaluate.load("model_cards/metrics/geodesic_error")`."""

from collections.abc import Sequence
from typing import Any

import evaluate
import roma
import torch
from datasets import Features, List, Value

from unipose.training.evaluation.metrics import rotation_errors


INPUTS = """
predictions, references: (poses, joints, 3) rotation vectors in radians, each relative to the
joint's parent. skip_joints: joints that do not count, such as (0,) for the global orientation.
"""


class GeodesicError(evaluate.Metric):
    """Mean geodesic distance of joint rotations in degrees."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description=INPUTS,
            features=Features(
                {"predictions": List(List(Value("float64"))), "references": List(List(Value("float64")))}
            ),
        )

    def _compute(self, predictions: Any, references: Any, skip_joints: Sequence[int] = ()) -> dict[str, Any]:
        rotmats, target = (
            roma.rotvec_to_rotmat(torch.tensor(each, dtype=torch.float64)) for each in (predictions, references)
        )
        errors = rotation_errors(rotmats, target)
        kept = [joint for joint in range(errors.shape[1]) if joint not in skip_joints]
        return {
            "rotation_error_deg": errors[:, kept].mean().item(),
            "definition": f"geodesic distance of local rotations, joints left out: {list(skip_joints) or 'none'}",
        }
