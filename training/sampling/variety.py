"""Weights by variety: a pose counts the less, the more poses are like it. Recorded motion mostly walks and stands."""

import torch

from unipose.processing.body_model import BodyModel
from unipose.training.geometry import remove_heading


# Poses whose joints are this near on average (root mean square, meters) are alike.
RADIUS = 0.1
# A pose among n alike weighs n to the power of minus this: at 1, a few minutes of break dance outweigh everything.
EVENNESS = 0.5
# Poses are compared with at most this many, taken at regular steps: time does not grow with their number squared.
MAX_COMPARED = 4000
CHUNK = 2000


def variety_weights(rotmats: torch.Tensor, body: BodyModel) -> torch.Tensor:
    """Probabilities that fall with the square root of the number of similar poses, whatever their heading.

    Args:
        rotmats: (n, 22, 3, 3) in the stored frame.
        body: the body whose joints are compared.

    Returns:
        (n,) float64 probabilities.
    """
    if not len(rotmats):
        return torch.zeros(0, dtype=torch.float64)
    places = torch.cat([_places(chunk, body) for chunk in rotmats.split(CHUNK)])
    step = -(-len(places) // MAX_COMPARED)
    others = places[::step]
    near = torch.cat([(torch.cdist(chunk, others) <= RADIUS).sum(dim=1) for chunk in places.split(CHUNK)])
    weights = (near * step).clamp(min=1).double() ** -EVENNESS
    return weights / weights.sum()


def _places(rotmats: torch.Tensor, body: BodyModel) -> torch.Tensor:
    """(n, 66): joints without heading, from the pelvis, scaled so that distances are root mean squares of joints'."""
    joints = body.forward_joints(remove_heading(rotmats))
    return ((joints - joints[:, :1]) / joints.shape[1] ** 0.5).flatten(1)
