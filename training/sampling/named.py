"""Named poses with little noise: as many of each, so that even the rarest name is met often."""

import numpy as np
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.geometry import remove_heading, swap_sides
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses
from unipose.training.sampling.collisions import body_capsules
from unipose.training.sampling.mixing import add_noise
from unipose.training.sampling.poses import is_plausible, match_archetypes
from unipose.training.sampling.rejection import reject_until_accepted


# Factor of the rotation noise. Of these poses 95 % lie within 25 mm of the table's, as the mean over the joints.
NAMED_NOISE = 0.28


def sample_named_poses(n: int, rng: np.random.Generator, body: BodyModel) -> tuple[torch.Tensor, list[str]]:
    """Samples named poses uniformly over their names; one with a side goes either way.

    Args:
        n: number of poses.
        rng: source of all randomness.
        body: the body for which poses must be plausible.

    Returns:
        (n, 22, 3, 3) rotations in the stored frame, heading removed, and the name of each.

    Raises:
        RuntimeError: a pose was rejected too often.
    """
    table = list(ARCHETYPES)
    names = [table[index] for index in rng.integers(len(table), size=n)]
    names = [swap_sides(name) if other else name for name, other in zip(names, (rng.random(n) < 0.5).tolist())]
    if not names:
        return torch.zeros(0, 22, 3, 3), []
    exact = remove_heading(archetype_poses(names))
    poses = exact.clone()
    capsules = body_capsules(body)

    def accept(pending: torch.Tensor) -> torch.Tensor:
        poses[pending] = remove_heading(add_noise(exact[pending], rng, NAMED_NOISE))
        fits = match_archetypes(poses[pending], [names[index] for index in pending.tolist()], body)
        return fits & is_plausible(poses[pending], body, capsules)

    reject_until_accepted(
        torch.arange(n), accept, lambda pending: f"They are the poses {[names[index] for index in pending.tolist()]}."
    )
    return poses, names
