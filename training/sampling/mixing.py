"""New poses from given ones: limbs of other poses, limbs anywhere in their range, poses in between, noise.

Nothing here looks at what comes out: `poses` keeps what is plausible. All poses are (n, 22, 3, 3) in the stored frame.
"""

import numpy as np
import roma
import torch

from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.named_poses.joint_angles import mirror_joint, part_of
from unipose.training.sampling.anatomy import RANGES


# What is exchanged as one. A leg goes without the pelvis: the trunk's direction stays.
LIMBS: dict[str, tuple[str, ...]] = {
    "torso": ("spine1", "spine2", "spine3"),
    "head": ("neck", "head"),
    "left_arm": ("left_collar", "left_shoulder", "left_elbow", "left_wrist"),
    "right_arm": ("right_collar", "right_shoulder", "right_elbow", "right_wrist"),
    "left_leg": ("left_hip", "left_knee", "left_ankle", "left_foot"),
    "right_leg": ("right_hip", "right_knee", "right_ankle", "right_foot"),
}
# Chance that a mixed pose takes a limb from another pose, and that this one is drawn from its whole range instead.
SWAP_LIMB = {"torso": 0.5, "head": 0.5, "left_arm": 0.8, "right_arm": 0.8, "left_leg": 0.2, "right_leg": 0.2}
RANDOM_LIMB = {"torso": 0.2, "head": 0.5, "left_arm": 0.3, "right_arm": 0.3, "left_leg": 0.2, "right_leg": 0.2}
# How much of its range, from the middle, a joint of a random limb uses.
RANGE_USED = {"spine1": 0.5, "spine2": 0.5, "spine3": 0.5, "neck": 0.7, "head": 0.7, "wrist": 0.5, "hip": 0.8}
# How far from the first pose a blend lies, as a share of the way to the second.
BLEND = (0.2, 0.8)
# Standard deviation of the rotation noise, by joint without its side (degrees).
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
# Knees and elbows are turned in the plane they bend in: about x and y.
HINGES = {"knee": 0, "elbow": 1}


def mix_limbs(poses: torch.Tensor, donors: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Gives each pose limbs of other poses, or limbs drawn from their range; the pelvis stays.

    Args:
        poses: (n, 22, 3, 3), changed in a copy.
        donors: (m, 22, 3, 3), the limbs are taken from these.
        rng: decides which.
    """
    mixed = poses.clone()
    count = len(poses)
    for limb, joints in LIMBS.items():
        indices = [JOINT_NAMES.index(joint) for joint in joints]
        other = donors[torch.from_numpy(rng.integers(len(donors), size=count))][:, indices]
        drawn = torch.from_numpy(rng.random(count) < RANDOM_LIMB[limb])
        other[drawn] = random_limb(limb, int(drawn.sum()), rng)
        swapped = torch.from_numpy(rng.random(count) < SWAP_LIMB[limb])
        mixed[:, indices] = torch.where(swapped[:, None, None, None], other, mixed[:, indices])
    return mixed


def random_limb(limb: str, count: int, rng: np.random.Generator) -> torch.Tensor:
    """(count, joints of the limb, 3, 3): every joint anywhere in (the used part of) its range."""
    rotations = [_random_joint(part_of(joint), count, rng) for joint in LIMBS[limb]]
    limbs = torch.stack(rotations, dim=1)
    return mirror_joint(limbs) if limb.startswith("right_") else limbs


def _random_joint(part: str, count: int, rng: np.random.Generator) -> torch.Tensor:
    low, high = (end.numpy() for end in RANGES[part].bounds(widened=False))
    middle, reach = (low + high) / 2, (high - low) / 2 * RANGE_USED.get(part, 1.0)
    angles = rng.uniform(middle - reach, middle + reach, (count, 3))
    if part in HINGES:
        angles[:, [axis for axis in range(3) if axis != HINGES[part]]] = 0.0
    return roma.euler_to_rotmat(RANGES[part].order, torch.from_numpy(angles).float(), degrees=True)


def blend_poses(first: torch.Tensor, second: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A pose somewhere between two, every joint on the shortest way from one to the other.

    Args:
        first, second: (n, 22, 3, 3); their heading is best removed.
        rng: decides where between them.
    """
    share = torch.from_numpy(rng.uniform(*BLEND, len(first))).to(first)[:, None, None]
    return first @ roma.rotvec_to_rotmat(share * roma.rotmat_to_rotvec(first.mT @ second))


def add_noise(rotmats: torch.Tensor, rng: np.random.Generator, amount: float = 1.0) -> torch.Tensor:
    """Turns every joint, `amount` times as far as `NOISE` says; knees and elbows only in the plane they bend in."""
    scale = amount * torch.tensor([NOISE[part_of(name)] for name in JOINT_NAMES]).deg2rad()[:, None].repeat(1, 3)
    for index, name in enumerate(JOINT_NAMES):
        hinge = HINGES.get(part_of(name))
        if hinge is not None:
            scale[index, [axis for axis in range(3) if axis != hinge]] = 0.0
    noise = torch.from_numpy(rng.standard_normal((*rotmats.shape[:2], 3))).float().clamp(-2.0, 2.0)
    return rotmats @ roma.rotvec_to_rotmat(noise * scale)
