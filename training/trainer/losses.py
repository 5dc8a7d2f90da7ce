"""What the pose tokenizer learns from, beside its own two loss parts (paper, section 3.1)."""

import torch

from unipose.processing.body_model import BodyModel


JOINT_LOSS_WEIGHT = 100.0
VERTEX_LOSS_WEIGHT = 100.0


def body_loss(body: BodyModel, rotmats: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    """Distance of two batches of poses (poses, 22, 3, 3) on a body.

    Returns:
        joint_loss: mean squared error of the joint positions, m^2.
        vertex_loss: the same for the vertices, each weighted with its share of the surface.
    """
    found, wanted = body(rotmats), body(target)
    areas = body.vertex_areas()
    vertex_error = (found.vertices - wanted.vertices).square().mean(dim=-1)
    return {
        "joint_loss": torch.nn.functional.mse_loss(found.joints, wanted.joints),
        "vertex_loss": (vertex_error * (areas / areas.sum())).sum(dim=-1).mean(),
    }
