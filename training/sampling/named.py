"""Named poses with little noise, as many of each, so that even the rarest name is met often; poses near named ones."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch

from unipose.processing.body_model import BodyModel, forward_kinematics
from unipose.processing.pose_features import JOINT_NAMES, NUM_JOINTS
from unipose.training.geometry import remove_heading, swap_sides
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses
from unipose.training.sampling.collisions import body_capsules
from unipose.training.sampling.mixing import add_noise
from unipose.training.sampling.poses import is_plausible, match_archetypes
from unipose.training.sampling.rejection import reject_until_accepted


# Factor of the rotation noise. Of these poses 95 % lie within 25 mm of the table's, as the mean over the joints.
NAMED_NOISE = 0.28
# A pose is near a named one if no joint is further away than this, relative to the pelvis (meters).
NEAR = 0.08
# The nose, in the frame of the head (meters): far enough out that 25 degrees of rotation are more than `NEAR`.
NOSE = (0.0, 0.05, 0.2)


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


def near_named(rotmats: torch.Tensor, body: BodyModel) -> list[str | None]:
    """The named pose that each pose is near to, whatever its heading.

    Args:
        rotmats: (n, 22, 3, 3) in the stored frame.
        body: the body that is measured.

    Returns:
        For each pose a name of `ARCHETYPES`, or of the mirror image of one, whose statements hold; otherwise None.
    """
    if not len(rotmats):
        return []
    named, exact = named_poses()
    placed = [_points(poses, body) for poses in (remove_heading(rotmats), exact)]
    nearest = torch.cdist(placed[0].flatten(1), placed[1].flatten(1)).argmin(dim=1)
    close = (placed[0] - placed[1][nearest]).norm(dim=-1).amax(dim=1) < NEAR
    names = [named[index] for index in nearest.tolist()]
    return _where(close & match_archetypes(rotmats, names, body), names)


def _points(rotmats: torch.Tensor, body: BodyModel) -> torch.Tensor:
    """(n, 23, 3) meters from the pelvis: the joints and the nose, which shows where the head looks."""
    rotations, joints = forward_kinematics(rotmats, body.joints[:NUM_JOINTS].to(rotmats))
    head = JOINT_NAMES.index("head")
    nose = joints[:, head] + rotations[:, head] @ rotmats.new_tensor(NOSE)
    return torch.cat([joints, nose[:, None]], dim=1) - joints[:, :1]


def _where(flags: torch.Tensor, names: Sequence[str]) -> list[str | None]:
    return [name if flag else None for flag, name in zip(flags.tolist(), names)]


@cache
def named_poses() -> tuple[tuple[str, ...], torch.Tensor]:
    """The names of all named poses, mirrored ones included, and (k, 22, 3, 3) the poses, heading removed."""
    names = tuple(dict.fromkeys(side for name in ARCHETYPES for side in (name, swap_sides(name))))
    return names, remove_heading(archetype_poses(list(names)))
