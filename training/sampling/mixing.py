"""New poses from given ones: swapped limbs, random limbs, interpolated poses, rotation noise.

Results may be implausible; `poses` rejects those. All poses are (n, 22, 3, 3) in the stored frame.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import roma
import torch

from unipose.processing.joint_limits import RANGES, Span
from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.named_poses.joint_angles import mirror_joint, part_of


Deviations = tuple[float, float, float]


# Joints that are swapped together. Legs do not include the pelvis: the trunk's orientation stays.
LIMBS: dict[str, tuple[str, ...]] = {
    "torso": ("spine1", "spine2", "spine3"),
    "head": ("neck", "head"),
    "left_arm": ("left_collar", "left_shoulder", "left_elbow", "left_wrist"),
    "right_arm": ("right_collar", "right_shoulder", "right_elbow", "right_wrist"),
    "left_leg": ("left_hip", "left_knee", "left_ankle", "left_foot"),
    "right_leg": ("right_hip", "right_knee", "right_ankle", "right_foot"),
}
# Probability that a limb of a mixed pose is replaced, and that its replacement is random instead of a donor's.
SWAP_PROBABILITY = {"torso": 0.5, "head": 0.5, "left_arm": 0.8, "right_arm": 0.8, "left_leg": 0.2, "right_leg": 0.2}
RANDOM_PROBABILITY = {"torso": 0.2, "head": 0.5, "left_arm": 0.3, "right_arm": 0.3, "left_leg": 0.2, "right_leg": 0.2}
# What the joints of a random limb are drawn from: degrees of the angles of `RANGES`, within these ranges.
RANDOM_ANGLES: dict[str, tuple[Span, Span, Span]] = {
    "hip": ((-105, 10), (-14, 38), (-27, 37)),
    "knee": ((-15, 15), (0, 150), (-15, 15)),
    "ankle": ((-25, 45), (-20, 30), (-20, 20)),
    "foot": ((-35, 30), (-15, 15), (-15, 15)),
    "spine1": ((-5, 26), (-10, 10), (-10, 10)),
    "spine2": ((-5, 26), (-10, 10), (-10, 10)),
    "spine3": ((-5, 26), (-10, 10), (-10, 10)),
    "neck": ((-24, 24), (-35, 35), (-21, 21)),
    "head": ((-24, 24), (-35, 35), (-21, 21)),
    "collar": ((-10, 10), (-20, 20), (-20, 30)),
    "shoulder": ((-85, 85), (-120, 40), (-80, 80)),
    "elbow": ((-40, 40), (-150, 0), (-40, 40)),
    "wrist": ((-60, 45), (-20, 20), (-45, 45)),
}
# Interpolation weight of the second pose in a blend.
BLEND_RANGE = (0.2, 0.8)
# Standard deviations of the rotation noise about x, y and z in degrees, by joint without its side. Knees and elbows
# rotate about their hinge.
NOISE: dict[str, Deviations] = {
    "pelvis": (3.0, 3.0, 3.0),
    "hip": (5.0, 5.0, 5.0),
    "knee": (5.0, 1.0, 1.0),
    "ankle": (6.0, 6.0, 6.0),
    "foot": (8.0, 6.0, 6.0),
    "spine1": (3.0, 3.0, 3.0),
    "spine2": (3.0, 3.0, 3.0),
    "spine3": (3.0, 3.0, 3.0),
    "neck": (4.0, 4.0, 4.0),
    "head": (4.0, 4.0, 4.0),
    "collar": (3.0, 3.0, 3.0),
    "shoulder": (7.0, 7.0, 7.0),
    "elbow": (1.0, 6.0, 1.0),
    "wrist": (12.0, 8.0, 12.0),
}
# Standard deviations of the rotations that a joint takes over from the next one, which keeps its own orientation:
# skeletons and subjects divide the same pose in their own ways among the joints of the trunk, collar and shoulder, or
# along a twisted limb, which tilts the hinges of elbows and knees.
SHARED_NOISE: dict[tuple[str, str], Deviations] = {
    ("spine1", "spine2"): (7.0, 5.0, 5.0),
    ("spine2", "spine3"): (7.0, 5.0, 5.0),
    ("neck", "head"): (8.0, 6.0, 6.0),
    ("collar", "shoulder"): (8.0, 12.0, 12.0),
    ("shoulder", "elbow"): (15.0, 0.0, 0.0),
    ("elbow", "wrist"): (20.0, 0.0, 0.0),
    ("hip", "knee"): (0.0, 8.0, 0.0),
    ("knee", "ankle"): (0.0, 8.0, 0.0),
    ("ankle", "foot"): (8.0, 6.0, 6.0),
}


def mix_limbs(poses: torch.Tensor, donors: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Replaces limbs of each pose by those of donors or by random ones; the pelvis stays.

    Args:
        poses: (n, 22, 3, 3), left unchanged.
        donors: (m, 22, 3, 3).
        rng: source of all randomness.

    Returns:
        (n, 22, 3, 3).
    """
    mixed = poses.clone()
    count = len(poses)
    for limb, joints in LIMBS.items():
        indices = [JOINT_NAMES.index(joint) for joint in joints]
        other = donors[torch.from_numpy(rng.integers(len(donors), size=count))][:, indices]
        drawn = torch.from_numpy(rng.random(count) < RANDOM_PROBABILITY[limb])
        other[drawn] = random_limb(limb, int(drawn.sum()), rng)
        swapped = torch.from_numpy(rng.random(count) < SWAP_PROBABILITY[limb])
        mixed[:, indices] = torch.where(swapped[:, None, None, None], other, mixed[:, indices])
    return mixed


def random_limb(limb: str, count: int, rng: np.random.Generator) -> torch.Tensor:
    """Limbs with the angles of every joint uniform in `RANDOM_ANGLES`.

    Args:
        limb: a key of `LIMBS`.
        count: number of limbs.
        rng: source of all randomness.

    Returns:
        (count, joints of the limb, 3, 3).
    """
    rotations = [_random_joint(part_of(joint), count, rng) for joint in LIMBS[limb]]
    limbs = torch.stack(rotations, dim=1)
    return mirror_joint(limbs) if limb.startswith("right_") else limbs


def _random_joint(part: str, count: int, rng: np.random.Generator) -> torch.Tensor:
    low, high = np.array(RANDOM_ANGLES[part]).T
    angles = torch.from_numpy(rng.uniform(low, high, (count, 3))).float()
    return roma.euler_to_rotmat(RANGES[part].order, angles, degrees=True)


def blend_poses(first: torch.Tensor, second: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Interpolates between two poses, each joint along its geodesic.

    Args:
        first, second: (n, 22, 3, 3), best without heading.
        rng: source of the interpolation weights.

    Returns:
        (n, 22, 3, 3).
    """
    weight = torch.from_numpy(rng.uniform(*BLEND_RANGE, len(first))).to(first)[:, None, None]
    return first @ roma.rotvec_to_rotmat(weight * roma.rotmat_to_rotvec(first.mT @ second))


def add_noise(rotmats: torch.Tensor, rng: np.random.Generator, amount: float = 1.0) -> torch.Tensor:
    """Adds Gaussian rotation noise to every joint, and divides rotations differently among neighboring joints.

    Args:
        rotmats: (n, 22, 3, 3).
        rng: source of all randomness.
        amount: factor of the standard deviations in `NOISE` and `SHARED_NOISE`.

    Returns:
        (n, 22, 3, 3).
    """
    noisy = rotmats @ _random_rotations(len(rotmats), [NOISE[part_of(name)] for name in JOINT_NAMES], rng, amount)
    pairs = [
        (first, second, deviations)
        for (first, second), deviations in SHARED_NOISE.items()
        for first, second in _sides(first, second)
    ]
    shared = _random_rotations(len(rotmats), [deviations for _, _, deviations in pairs], rng, amount)
    for column, (first, second, _) in enumerate(pairs):
        joint, other = JOINT_NAMES.index(first), JOINT_NAMES.index(second)
        noisy[:, joint] = noisy[:, joint] @ shared[:, column]
        noisy[:, other] = shared[:, column].mT @ noisy[:, other]
    return noisy


def _random_rotations(
    count: int, deviations: Sequence[Deviations], rng: np.random.Generator, amount: float
) -> torch.Tensor:
    """(count, joints, 3, 3): Gaussian rotation vectors, at most twice the standard deviations (degrees) long."""
    noise = torch.from_numpy(rng.standard_normal((count, len(deviations), 3))).float().clamp(-2.0, 2.0)
    return roma.rotvec_to_rotmat(noise * amount * torch.tensor(deviations).deg2rad())


def _sides(*parts: str) -> Iterator[tuple[str, ...]]:
    """Joints of the same side: the parts themselves if they have none."""
    if parts[0] in JOINT_NAMES:
        yield parts
    else:
        yield from (tuple(f"{side}_{part}" for part in parts) for side in ("left", "right"))
