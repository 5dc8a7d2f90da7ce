"""Where training poses come from: motion capture, limbs of different frames put together, and named poses.

All poses are (n, 22, 3, 3) rotations in the stored z-up frame. Clips are split whole: frames of one clip are alike.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, mirror_pose, to_y_up
from unipose.training.archetypes import ARCHETYPES, archetype_poses
from unipose.training.captions.measures import heading
from unipose.training.captions.posecodes import swap_sides


MOTION_FILE = Path(__file__).parent / "assets" / "motion.npz"
HELD_OUT_CLIPS = ("dance_b", "getup_facedown", "spinkick")
VALIDATION_CLIPS = ("jump",)
# Clips that training never sees.
SPLIT_CLIPS = {"validation": VALIDATION_CLIPS, "test": HELD_OUT_CLIPS}
FRAMES_PER_SECOND = 30.0
# Shares of the sources in `sample_training_poses`.
SHARES = {"motion": 0.4, "mixed": 0.35, "archetype": 0.25}

LIMBS: dict[str, tuple[str, ...]] = {
    "torso": ("spine1", "spine2", "spine3", "neck", "head"),
    "left_arm": ("left_collar", "left_shoulder", "left_elbow", "left_wrist"),
    "right_arm": ("right_collar", "right_shoulder", "right_elbow", "right_wrist"),
}
# Chance that a mixed pose takes a limb from another pose; an arm may also be drawn from its whole range.
SWAP_LIMB = {"torso": 0.5, "left_arm": 0.8, "right_arm": 0.8}
RANDOM_ARM = 0.3
# Standard deviation of the rotation noise and largest rotation, by joint without its side (degrees).
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
# Named poses are moved less, so that they keep their name.
ARCHETYPE_NOISE = 0.7
LARGEST = {
    "pelvis": 180.0,
    "hip": 140.0,
    "knee": 155.0,
    "ankle": 65.0,
    "foot": 40.0,
    "spine1": 60.0,
    "spine2": 60.0,
    "spine3": 60.0,
    "neck": 60.0,
    "head": 60.0,
    "collar": 50.0,
    "shoulder": 150.0,
    "elbow": 155.0,
    "wrist": 90.0,
}
# A knee bends about +x, an elbow about -y (left) or +y (right); this much the other way is still plausible (degrees).
OVERSTRETCH = 15.0
# Hands and elbows closer than this to the spine would be inside the body (metres).
BODY_RADIUS = 0.09


@dataclass(frozen=True)
class MotionClip:
    """A recording: its name, (n, 22, 3) rotation vectors in the stored frame, and (n,) seconds since its start."""

    name: str
    rotvecs: torch.Tensor
    seconds: torch.Tensor

    def subsample(self, frames_per_second: float = FRAMES_PER_SECOND) -> torch.Tensor:
        """(m, 22, 3): the frames that follow the ticks of a regular clock of `frames_per_second`."""
        ticks = torch.arange(0.0, float(self.seconds[-1]) + 1e-6, 1.0 / frames_per_second)
        return self.rotvecs[torch.searchsorted(self.seconds, ticks).clamp(max=len(self.seconds) - 1).unique()]


def load_motion_clips(path: Path = MOTION_FILE) -> list[MotionClip]:
    """The packaged motion clips (see `bake_motion` for their source and licence)."""
    with np.load(path) as stored:
        poses, clip = torch.from_numpy(stored["poses"]), torch.from_numpy(stored["clip"])
        seconds, names = torch.from_numpy(stored["frame_seconds"]), stored["clip_names"].tolist()
    return [MotionClip(name, poses[clip == index], seconds[clip == index]) for index, name in enumerate(names)]


def motion_poses(clips: Iterable[MotionClip]) -> torch.Tensor:
    """The distinct frames of clips, facing the default way: (n, 22, 3, 3) in the stored frame."""
    rotvecs = torch.cat([clip.subsample() for clip in clips])
    return remove_heading(roma.rotvec_to_rotmat(rotvecs))


def training_motion_poses() -> torch.Tensor:
    """`motion_poses` of every clip that is neither held out nor for validation."""
    unseen = {*HELD_OUT_CLIPS, *VALIDATION_CLIPS}
    return motion_poses(clip for clip in load_motion_clips() if clip.name not in unseen)


def held_out_poses() -> torch.Tensor:
    """`motion_poses` of `HELD_OUT_CLIPS`: for evaluation only."""
    return motion_poses(clip for clip in load_motion_clips() if clip.name in HELD_OUT_CLIPS)


def remove_heading(rotmats: torch.Tensor) -> torch.Tensor:
    """Turns each pose about the vertical until it faces the default way (+z of the y-up world, -y of the stored one).

    Unlike setting an Euler angle to zero this is defined for bodies that lie, bend or hang upside down (see
    `measures.heading`), and nothing but the heading changes.

    Args:
        rotmats: (n, 22, 3, 3) in the stored z-up frame.

    Returns:
        (n, 22, 3, 3) in the stored z-up frame.
    """
    yaw = torch.from_numpy(heading(to_y_up(rotmats)[:, 0].double().numpy()))
    return turn(rotmats, -yaw)


def turn(rotmats: torch.Tensor, yaw: torch.Tensor) -> torch.Tensor:
    """Turns (n, 22, 3, 3) stored poses to their left about the vertical, by (n,) radians."""
    axis = torch.zeros(len(yaw), 3, dtype=rotmats.dtype)
    axis[:, 2] = yaw.to(rotmats.dtype)
    return _turn_global(rotmats, roma.rotvec_to_rotmat(axis))


def jitter_orientation(rotmats: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The tokenizer's augmentation of the global orientation: z within 45 degrees, x and y within 20 (paper, stage 1).

    Args:
        rotmats: (n, 22, 3, 3) in the stored z-up frame.
        rng: decides the angles.
    """
    angles = torch.from_numpy(rng.uniform(-1.0, 1.0, (len(rotmats), 3)) * (45.0, 20.0, 20.0))
    return _turn_global(rotmats, roma.euler_to_rotmat("zyx", angles.to(rotmats.dtype), degrees=True))


def _turn_global(rotmats: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    return torch.cat([turns[:, None] @ rotmats[:, :1], rotmats[:, 1:]], dim=1)


def sample_training_poses(n: int, seed: int, body: BodyModel) -> tuple[torch.Tensor, list[str | None]]:
    """Draws plausible, varied poses from the three sources, in random order; the same seed draws the same poses.

    Args:
        n: number of poses.
        seed: of every random choice.
        body: tells where hands and elbows are, to leave out poses with an arm inside the body.

    Returns:
        (n, 22, 3, 3) rotations in the stored frame, heading removed, and for each pose the name of its archetype
        (`archetype_sentences` knows it) or None.
    """
    rng = np.random.default_rng(seed)
    frames = training_motion_poses()
    frames = torch.cat([frames, mirror_pose(frames)])
    counts = {name: round(n * share) for name, share in SHARES.items()}
    counts["motion"] += n - sum(counts.values())
    rotmats, labels = zip(*(_draw_plausible(name, count, frames, rng, body) for name, count in counts.items()))
    order = rng.permutation(n)
    names = [label for part in labels for label in part]
    return torch.cat(rotmats)[torch.from_numpy(order)], [names[index] for index in order]


def _draw_plausible(
    source: str, count: int, frames: torch.Tensor, rng: np.random.Generator, body: BodyModel
) -> tuple[torch.Tensor, list[str | None]]:
    kept: list[torch.Tensor] = [frames[:0]]
    labels: list[str | None] = []
    while len(labels) < count:
        poses, names = _draw(source, max(64, count - len(labels)), frames, rng)
        good = plausible(poses, body)
        kept.append(poses[good])
        labels += [name for name, fine in zip(names, good.tolist()) if fine]
    return torch.cat(kept)[:count], labels[:count]


def _draw(
    source: str, count: int, frames: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, list[str | None]]:
    if source == "archetype":
        labels = _archetype_names(count, rng)
        return remove_heading(add_noise(archetype_poses(labels), rng, ARCHETYPE_NOISE)), [*labels]
    poses = frames[torch.from_numpy(rng.integers(len(frames), size=count))]
    if source == "mixed":
        poses = mix_limbs(poses, frames, rng)
    return remove_heading(add_noise(poses, rng)), [None] * count


def _archetype_names(count: int, rng: np.random.Generator) -> list[str]:
    names = list(ARCHETYPES)
    drawn = [names[index] for index in rng.integers(len(names), size=count)]
    return [swap_sides(name) if flip else name for name, flip in zip(drawn, rng.random(count) < 0.5)]


def mix_limbs(poses: torch.Tensor, frames: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Gives each pose the torso and arms of other poses; the legs keep their pelvis, so feet stay where they stood.

    Args:
        poses: (n, 22, 3, 3), changed in a copy.
        frames: (m, 22, 3, 3), limbs are taken from these and from the archetypes.
        rng: decides which.
    """
    mixed = poses.clone()
    count = len(poses)
    donors = torch.cat([frames, archetype_poses(_archetype_names(len(frames) // 2, rng))])
    for limb, joints in LIMBS.items():
        indices = [JOINT_NAMES.index(joint) for joint in joints]
        other = donors[torch.from_numpy(rng.integers(len(donors), size=count))][:, indices]
        if limb.endswith("arm"):
            drawn = torch.from_numpy(rng.random(count) < RANDOM_ARM)
            other = torch.where(drawn[:, None, None, None], _random_arm(limb, count, rng), other)
        swapped = torch.from_numpy(rng.random(count) < SWAP_LIMB[limb])
        mixed[:, indices] = torch.where(swapped[:, None, None, None], other, mixed[:, indices])
    return mixed


def _random_arm(limb: str, count: int, rng: np.random.Generator) -> torch.Tensor:
    """(count, 4, 3, 3): collar, shoulder, elbow and wrist anywhere in their range."""
    signs = np.array((1.0, 1.0, 1.0) if limb.startswith("left") else (-1.0, -1.0, 1.0))
    shoulder = rng.uniform((-85.0, -110.0, -70.0), (80.0, 30.0, 70.0), (count, 3)) * signs
    elbow = np.zeros((count, 3))
    elbow[:, 1] = rng.uniform(-140.0, 0.0, count) * signs[1]
    rotations = torch.eye(3).repeat(count, 4, 1, 1)
    rotations[:, 1] = roma.euler_to_rotmat("ZYX", torch.from_numpy(shoulder).float(), degrees=True)
    rotations[:, 2] = roma.rotvec_to_rotmat(torch.from_numpy(np.radians(elbow)).float())
    return rotations


def _by_joint(table: dict[str, float]) -> torch.Tensor:
    """(22,) values of a table that names joints without their side."""
    return torch.tensor([table[name.rpartition("_")[2]] for name in JOINT_NAMES])


def add_noise(rotmats: torch.Tensor, rng: np.random.Generator, amount: float = 1.0) -> torch.Tensor:
    """Turns every joint, `amount` times as far as `NOISE` says; knees and elbows only in the plane they bend in."""
    scale = amount * torch.deg2rad(_by_joint(NOISE))[:, None].repeat(1, 3)
    for index, name in enumerate(JOINT_NAMES):
        hinge = {"knee": 0, "elbow": 1}.get(name.rpartition("_")[2])
        if hinge is not None:
            scale[index, [axis for axis in range(3) if axis != hinge]] = 0.0
    noise = torch.from_numpy(rng.standard_normal((*rotmats.shape[:2], 3))).float().clamp(-2.0, 2.0)
    return rotmats @ roma.rotvec_to_rotmat(noise * scale)


def plausible(rotmats: torch.Tensor, body: BodyModel) -> torch.Tensor:
    """Whether each of (n, 22, 3, 3) poses stays inside the joints' ranges and keeps its arms out of its body; (n,)."""
    rotvecs = torch.rad2deg(roma.rotmat_to_rotvec(rotmats))
    fine = (rotvecs.norm(dim=-1) <= _by_joint(LARGEST)).all(dim=1)
    for side, elbow_sign in (("left", -1.0), ("right", 1.0)):
        fine &= rotvecs[:, JOINT_NAMES.index(f"{side}_knee"), 0] > -OVERSTRETCH
        fine &= rotvecs[:, JOINT_NAMES.index(f"{side}_elbow"), 1] * elbow_sign > -OVERSTRETCH
    joints = body.forward_joints(rotmats)
    spine = joints[:, [JOINT_NAMES.index(name) for name in ("pelvis", "spine1", "spine2", "spine3")]]
    arms = joints[
        :, [JOINT_NAMES.index(f"{side}_{name}") for side in ("left", "right") for name in ("elbow", "wrist")]
    ]
    return fine & (torch.cdist(arms, spine).flatten(1).amin(dim=1) > BODY_RADIUS)
