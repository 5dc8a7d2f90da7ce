"""The losses of the pose tokenizer on a body, beside its own two (paper, section 3.1)."""

import torch

from unipose.processing.body_model import BodyModel


JOINT_LOSS_WEIGHT = 100.0
VERTEX_LOSS_WEIGHT = 100.0


def body_loss(body: BodyModel, rotmats: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    """Distance of two batches of poses on a body.

    Args:
        body: body whose joints and vertices are compared.
        rotmats: (poses, 22, 3, 3), predicted.
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
