"""Joint and vertex losses of the pose tokenizer, in addition to its own two losses (paper, section 3.1)."""

import torch

from unipose.processing.body_model import BodyModel


JOINT_LOSS_WEIGHT = 100.0
VERTEX_LOSS_WEIGHT = 100.0


def body_loss(body: BodyModel, rotmats: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    """Mean squared errors of joints and vertices.

    Args:
        body: body whose joints and vertices are compared.
        rotmats: (poses, 22, 3, 3) predictions.
        target: (poses, 22, 3, 3).

    Returns:
        joint_loss: mean squared error of the joint positions, m^2.
        vertex_loss: the same for the vertices, each weighted with its share of the surface.
    """
    predicted_body, target_body = body(rotmats), body(target)
    areas = body.vertex_areas()
    vertex_error = (predicted_body.vertices - target_body.vertices).square().mean(dim=-1)
    return {
        "joint_loss": torch.nn.functional.mse_loss(predicted_body.joints, target_body.joints),
        "vertex_loss": (vertex_error * (areas / areas.sum())).sum(dim=-1).mean(),
    }
