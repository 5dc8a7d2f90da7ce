"""New poses from given ones: swapped limbs, random limbs, interpolated poses, rotation noise.

Results may be implausible; `poses` rejects those. All poses are (n, 22, 3, 3) in the stored frame.
"""

import numpy as np
import roma
import torch

from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.named_poses.joint_angles import mirror_joint, part_of
from unipose.training.sampling.anatomy import RANGES


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
# Central fraction of its range that a joint of a random limb is drawn from.
USED_RANGE = {"spine1": 0.5, "spine2": 0.5, "spine3": 0.5, "neck": 0.7, "head": 0.7, "wrist": 0.5, "hip": 0.8}
# Interpolation weight of the second pose in a blend.
BLEND_RANGE = (0.2, 0.8)
# Standard deviation of the rotation noise in degrees, by joint without its side.
NOISE = {
    "pelvis": 3.0,
    "hip": 5.0,
    "knee": 5.0,
    "ankle": 5.0,
    "foot": 2.0,
    "spine1": 3.0,
    "spine2": 3.0,
    "spine3": 3.0,
    "neck": 4.0,
    "head": 4.0,
    "collar": 3.0,
    "shoulder": 7.0,
    "elbow": 6.0,
    "wrist": 8.0,
}
# Knees and elbows are hinges: axis of rotation (x is 0, y is 1).
HINGES = {"knee": 0, "elbow": 1}


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
    """Limbs with every joint uniform in (the used part of) its range.

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
    low, high = (end.numpy() for end in RANGES[part].bounds(widened=False))
    middle, reach = (low + high) / 2, (high - low) / 2 * USED_RANGE.get(part, 1.0)
    angles = rng.uniform(middle - reach, middle + reach, (count, 3))
    if part in HINGES:
        angles[:, [axis for axis in range(3) if axis != HINGES[part]]] = 0.0
    return roma.euler_to_rotmat(RANGES[part].order, torch.from_numpy(angles).float(), degrees=True)


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
    """Adds Gaussian rotation noise to every joint; knees and elbows rotate about their hinge only.

    Args:
        rotmats: (n, 22, 3, 3).
        rng: source of all randomness.
        amount: factor of the standard deviations in `NOISE`.

    Returns:
        (n, 22, 3, 3).
    """
    scale = amount * torch.tensor([NOISE[part_of(name)] for name in JOINT_NAMES]).deg2rad()[:, None].repeat(1, 3)
    for index, name in enumerate(JOINT_NAMES):
        hinge = HINGES.get(part_of(name))
        if hinge is not None:
            scale[index, [axis for axis in range(3) if axis != hinge]] = 0.0
    noise = torch.from_numpy(rng.standard_normal((*rotmats.shape[:2], 3))).float().clamp(-2.0, 2.0)
    return rotmats @ roma.rotvec_to_rotmat(noise * scale)
