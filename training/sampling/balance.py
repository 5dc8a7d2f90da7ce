"""Static balance: whether the center of mass lies over the base of support.

Moving bodies rightly fail this test (a jump, a stride, a kick), so recorded frames are not tested. It rejects mixed
poses, in which legs and trunk may belong to different movements.
"""

import math

import torch

from unipose.processing.body_model import BodyModel
from unipose.training.sampling.collisions import Capsules, capsule_ends


# Fraction of the body's mass of each capsule, by the joint that moves it, without its side: the usual table of segment
# masses (Winter, "Biomechanics and Motor Control of Human Movement"), the trunk's 49.7 % divided by volume.
MASSES = {
    "pelvis": 0.142,
    "spine1": 0.1,
    "spine2": 0.085,
    "spine3": 0.17,
    "head": 0.081,
    "shoulder": 0.028,
    "elbow": 0.016,
    "wrist": 0.006,
    "hip": 0.1,
    "knee": 0.0465,
    "ankle": 0.0145,
}
# Points this close to the lowest one touch the ground (meters): poses are seldom exactly level.
CONTACT = 0.1
# Horizontal directions in which the edge of the base of support is measured.
NUM_DIRECTIONS = 24


def off_balance(rotmats: torch.Tensor, body: BodyModel, capsules: Capsules) -> torch.Tensor:
    """How far the center of mass lies outside the base of support, the convex hull of all ground contacts.

    Args:
        rotmats: (n, 22, 3, 3) in the stored z-up frame.
        body: the body to pose.
        capsules: result of `body_capsules` of the same body.

    Returns:
        (n,) meters; negative inside, by the distance from the nearest edge.
    """
    ends = capsule_ends(rotmats, body, capsules)
    masses = torch.tensor([MASSES[name] for name in capsules.parts()]).to(ends)
    center = (ends.mean(dim=2) * (masses / masses.sum())[:, None]).sum(dim=1)
    heights = ends[..., 1] - capsules.radii.to(ends)[:, None]
    touching = heights <= heights.amin(dim=(1, 2), keepdim=True) + CONTACT
    angles = torch.arange(NUM_DIRECTIONS).to(ends) * (2 * math.pi / NUM_DIRECTIONS)
    directions = torch.stack([angles.cos(), angles.sin()])
    edges = ends[..., [0, 2]] @ directions + capsules.radii.to(ends)[:, None, None]
    reach = edges.masked_fill(~touching[..., None], -math.inf).amax(dim=(1, 2))
    return (center[:, [0, 2]] @ directions - reach).amax(dim=1)
