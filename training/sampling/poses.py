"""Training poses: motion capture, named poses, and poses that are mixed and blended from both.

All poses are (n, 22, 3, 3) rotations in the stored z-up frame. A clip belongs to one split: its frames are similar.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import mirror_pose
from unipose.training.captions.archetype_codes import archetype_codes
from unipose.training.captions.posecodes import holding
from unipose.training.geometry import remove_heading, swap_sides
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses
from unipose.training.sampling.anatomy import joints_outside, within_limits
from unipose.training.sampling.balance import off_balance
from unipose.training.sampling.collisions import (
    TOLERANCE,
    Capsules,
    body_capsules,
    penetration_depths,
    self_intersects,
)
from unipose.training.sampling.mixing import add_noise, blend_poses, mix_limbs
from unipose.training.sampling.rejection import reject_until_accepted
from unipose.training.sampling.variety import variety_weights


Labels = list[str | None]

MOTION_FILE = Path(__file__).parent.parent / "assets" / "motion.npz"
HELD_OUT_CLIPS = ("dance_b", "getup_facedown", "spinkick")
VALIDATION_CLIPS = ("jump",)
# Clips that are not used in training.
SPLIT_CLIPS = {"validation": VALIDATION_CLIPS, "test": HELD_OUT_CLIPS}
FRAMES_PER_SECOND = 30.0
# Named poses get less noise than others, so that their name still fits.
ARCHETYPE_NOISE = 0.7
# A mixed or blended pose may be off balance by this much, or as much as a source pose (meters).
BALANCE_MARGIN = 0.1
# Reasons that the error of `PoseSampler.draw` names.
NUM_REASONS = 3


@dataclass(frozen=True)
class MotionClip:
    """A motion capture clip.

    Args:
        name: its name, as in `SPLIT_CLIPS`.
        rotvecs: (n, 22, 3) in the stored frame.
        seconds: (n,) seconds since its start.
    """

    name: str
    rotvecs: torch.Tensor
    seconds: torch.Tensor

    def __len__(self) -> int:
        return len(self.seconds)

    def subsample(self, frames_per_second: float = FRAMES_PER_SECOND) -> "MotionClip":
        """The clip of the frames at or after the ticks of a clock of `frames_per_second`, each once."""
        ticks = torch.arange(0.0, float(self.seconds[-1]) + 1e-6, 1.0 / frames_per_second)
        rows = torch.searchsorted(self.seconds, ticks).clamp(max=len(self.seconds) - 1).unique()
        return MotionClip(self.name, self.rotvecs[rows], self.seconds[rows])


def load_motion_clips(path: Path = MOTION_FILE) -> list[MotionClip]:
    """The packaged motion clips (see `bake_motion` for their source and license)."""
    with np.load(path) as stored:
        poses, clip = torch.from_numpy(stored["poses"]), torch.from_numpy(stored["clip"])
        seconds, names = torch.from_numpy(stored["frame_seconds"]), stored["clip_names"].tolist()
    return [MotionClip(name, poses[clip == index], seconds[clip == index]) for index, name in enumerate(names)]


def motion_poses(clips: Iterable[MotionClip]) -> torch.Tensor:
    """(n, 22, 3, 3): the frames of clips at 30 per second, heading removed."""
    rotvecs = torch.cat([clip.subsample().rotvecs for clip in clips])
    return remove_heading(roma.rotvec_to_rotmat(rotvecs))


def training_clips() -> list[MotionClip]:
    """The clips of the training split: neither held out nor for validation."""
    held_out = {name for names in SPLIT_CLIPS.values() for name in names}
    return [clip for clip in load_motion_clips() if clip.name not in held_out]


def training_motion_poses() -> torch.Tensor:
    """`motion_poses` of `training_clips`."""
    return motion_poses(training_clips())


def held_out_poses() -> torch.Tensor:
    """`motion_poses` of `HELD_OUT_CLIPS`: for evaluation only."""
    return motion_poses(clip for clip in load_motion_clips() if clip.name in HELD_OUT_CLIPS)


def validation_poses() -> torch.Tensor:
    """`motion_poses` of `VALIDATION_CLIPS`: for validation while training."""
    return motion_poses(clip for clip in load_motion_clips() if clip.name in VALIDATION_CLIPS)


@dataclass(frozen=True)
class MotionPoses:
    """Recorded poses to sample from. Arrays, not tensors: they are sent to other processes.

    Args:
        rotmats: (n, 22, 3, 3) float32 in the stored frame, with their heading.
        clips: (n,) the clip of each; frames of a clip are neighbors, in order.
        seconds: (n,) seconds since the start of the clip.
        weights: (n,) probabilities that a frame is drawn.
    """

    rotmats: npt.NDArray[np.float32]
    clips: npt.NDArray[np.int64]
    seconds: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]

    @classmethod
    def from_clips(cls, clips: Sequence[MotionClip]) -> "MotionPoses":
        """The frames of clips at 30 per second, each as likely as another."""
        clips = [clip.subsample() for clip in clips]
        count = sum(len(clip) for clip in clips)
        return cls(
            roma.rotvec_to_rotmat(torch.cat([clip.rotvecs for clip in clips])).float().numpy(),
            np.repeat(np.arange(len(clips)), [len(clip) for clip in clips]),
            torch.cat([clip.seconds for clip in clips]).double().numpy(),
            np.full(count, 1.0 / count),
        )

    @classmethod
    def by_variety(cls, clips: Sequence[MotionClip], body: BodyModel) -> "MotionPoses":
        """The plausible frames of clips at 30 per second, the more likely, the fewer are like them.

        Args:
            clips: the clips.
            body: the body for which poses must be plausible.

        Raises:
            ValueError: no frame is plausible.
        """
        frames = cls.from_clips(clips).plausible(body, body_capsules(body))
        weights = variety_weights(torch.from_numpy(frames.rotmats), body).numpy()
        return cls(frames.rotmats, frames.clips, frames.seconds, weights)

    def plausible(self, body: BodyModel, capsules: Capsules) -> "MotionPoses":
        """The frames that are plausible.

        Args:
            body: the body for which poses must be plausible.
            capsules: result of `body_capsules` of that body.

        Raises:
            ValueError: no frame is plausible.
        """
        rows = is_plausible(torch.from_numpy(self.rotmats), body, capsules).numpy()
        if not rows.any():
            raise ValueError(f"none of {len(rows)} recorded poses is plausible; expected some (see `is_plausible`)")
        weights = self.weights[rows] / self.weights[rows].sum()
        return MotionPoses(self.rotmats[rows], self.clips[rows], self.seconds[rows], weights)

    def draw(self, count: int, rng: np.random.Generator) -> torch.Tensor:
        """(count, 22, 3, 3): frames by their weights, heading removed, half of them mirrored.

        Args:
            count: number of poses.
            rng: source of all randomness.
        """
        frames = torch.from_numpy(self.rotmats[self.draw_rows(count, rng)])
        mirrored = torch.from_numpy(rng.random(count) < 0.5)[:, None, None, None]
        return remove_heading(torch.where(mirrored, mirror_pose(frames), frames))

    def draw_rows(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """(count,) indices of frames by their weights.

        Args:
            count: number of frames.
            rng: source of all randomness.
        """
        return rng.choice(len(self.weights), size=count, p=self.weights)


@dataclass(frozen=True)
class Shares:
    """Mixture weights of sources, one field each; only their ratios matter.

    Raises:
        ValueError: a share is negative, or all are zero.
    """

    def __post_init__(self) -> None:
        if min(astuple(self)) < 0 or sum(astuple(self)) <= 0:
            raise ValueError(f"got {self}; expected shares of at least 0, not all 0")

    def counts(self, n: int) -> dict[str, int]:
        """`n` divided among the sources."""
        ends = np.round(np.cumsum(astuple(self)) / sum(astuple(self)) * n).astype(int)
        return dict(zip((field.name for field in fields(self)), np.diff(ends, prepend=0).tolist()))


@dataclass(frozen=True)
class SourceShares(Shares):
    """Mixture weights of the sources of `sample_training_poses`.

    Args:
        motion: recorded frames with rotation noise.
        mixed: frames and named poses with limbs of others.
        blended: interpolations of two frames or named poses.
        archetype: named poses with rotation noise.
    """

    motion: float = 0.25
    mixed: float = 0.35
    blended: float = 0.15
    archetype: float = 0.25


def sample_training_poses(
    n: int, seed: int, body: BodyModel, shares: SourceShares | None = None, motion: MotionPoses | None = None
) -> tuple[torch.Tensor, list[str | None]]:
    """Samples plausible poses from all sources, in random order; reproducible by `seed`.

    Args:
        n: number of poses.
        seed: seed of the random numbers.
        body: the body for which poses must be plausible.
        shares: mixture weights of the sources; default: `SourceShares()`.
        motion: recorded poses; default: those of `training_clips`.

    Returns:
        (n, 22, 3, 3) rotations in the stored frame, heading removed, and the archetype's name of each pose (see
        `archetype_sentences`) or None.

    Raises:
        RuntimeError: see `PoseSampler.draw`.
    """
    sampler = PoseSampler.load(body, seed, motion)
    drawn = [sampler.draw(source, count) for source, count in (shares or SourceShares()).counts(n).items()]
    order = sampler.rng.permutation(n)
    names = [label for _, labels in drawn for label in labels]
    return torch.cat([poses for poses, _ in drawn])[torch.from_numpy(order)], [names[index] for index in order]


@dataclass(frozen=True)
class PoseSampler:
    """Samples poses of each source.

    Args:
        motion: recorded poses.
        names: names of k archetypes, mirrored ones included.
        named: (k, 22, 3, 3) their poses.
        body: the body for which poses must be plausible.
        capsules: result of `body_capsules` of that body.
        rng: source of all randomness.
    """

    motion: MotionPoses
    names: tuple[str, ...]
    named: torch.Tensor
    body: BodyModel
    capsules: Capsules
    rng: np.random.Generator

    @classmethod
    def load(cls, body: BodyModel, seed: int, motion: MotionPoses | None = None) -> "PoseSampler":
        """A sampler of recorded poses and all archetypes, both also mirrored.

        Args:
            body: the body for which poses must be plausible.
            seed: seed of the random numbers.
            motion: recorded poses; default: those of `training_clips`.
        """
        names, named = _all_archetypes()
        return cls(
            motion=MotionPoses.from_clips(training_clips()) if motion is None else motion,
            names=names,
            named=named,
            body=body,
            capsules=body_capsules(body),
            rng=np.random.default_rng(seed),
        )

    def draw(self, source: str, count: int) -> tuple[torch.Tensor, Labels]:
        """Samples plausible poses of one source by rejection.

        Args:
            source: a field of `SourceShares`.
            count: number of poses.

        Returns:
            (count, 22, 3, 3) poses, and the archetype's name of each or None.

        Raises:
            RuntimeError: a pose was rejected too often, as all are for a body that intersects itself at rest.
        """
        propose = {
            "motion": self._propose_motion,
            "mixed": self._propose_mixed,
            "blended": self._propose_blended,
            "archetype": self._propose_archetypes,
        }[source]
        labels = torch.from_numpy(self.rng.integers(len(self.names), size=count))
        poses = self.named.new_empty(count, *self.named.shape[1:])

        def accept(pending: torch.Tensor) -> torch.Tensor:
            poses[pending], accepted = propose(labels[pending])
            return accepted & is_plausible(poses[pending], self.body, self.capsules)

        def explain(pending: torch.Tensor) -> str:
            violations = describe_violations(poses[pending], self.body, self.capsules)
            return f"They are poses of the source {source!r}: {violations}."

        reject_until_accepted(torch.arange(count), accept, explain)
        return poses, [self.names[index] for index in labels.tolist()] if source == "archetype" else [None] * count

    def _propose_motion(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One proposal for each of (n,) labels, which index `names`: (n, 22, 3, 3) poses, and (n,) accepted."""
        poses = self.motion.draw(len(labels), self.rng)
        return remove_heading(add_noise(poses, self.rng)), torch.ones(len(labels), dtype=torch.bool)

    def _propose_archetypes(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        poses = remove_heading(add_noise(self.named[labels], self.rng, ARCHETYPE_NOISE))
        return poses, match_archetypes(poses, [self.names[index] for index in labels.tolist()], self.body)

    def _propose_mixed(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bases, donors = self._draw_bases(len(labels)), self._draw_bases(2 * len(labels))
        poses = remove_heading(add_noise(mix_limbs(bases, donors, self.rng), self.rng))
        return poses, self._balanced(poses, bases)

    def _propose_blended(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first, second = self._draw_bases(len(labels)), self._draw_bases(len(labels))
        poses = remove_heading(add_noise(blend_poses(first, second, self.rng), self.rng, ARCHETYPE_NOISE))
        return poses, self._balanced(poses, first) | self._balanced(poses, second)

    def _draw_bases(self, count: int) -> torch.Tensor:
        """Frames and named poses, half each."""
        frames = self.motion.draw(count, self.rng)
        named = self.named[torch.from_numpy(self.rng.integers(len(self.named), size=count))]
        return torch.where(torch.from_numpy(self.rng.random(count) < 0.5)[:, None, None, None], frames, named)

    def _balanced(self, poses: torch.Tensor, bases: torch.Tensor) -> torch.Tensor:
        return keeps_balance(poses, bases, self.body, self.capsules)


@cache
def _all_archetypes() -> tuple[tuple[str, ...], torch.Tensor]:
    """Names of all archetypes, mirrored ones included, and their (k, 22, 3, 3) poses: reading them takes seconds."""
    names = tuple(dict.fromkeys(side for name in ARCHETYPES for side in (name, swap_sides(name))))
    return names, remove_heading(archetype_poses(list(names)))


def match_archetypes(poses: torch.Tensor, names: Sequence[str], body: BodyModel) -> torch.Tensor:
    """Whether the posecodes that an archetype's sentences state are true of each pose.

    Args:
        poses: (n, 22, 3, 3) in the stored frame.
        names: the archetype of each.
        body: the body that is measured.

    Returns:
        (n,) booleans.
    """
    stated = [archetype_codes(name) for name in names]
    codes = sorted({code for each in stated for code in each})
    true = dict(zip(codes, holding(codes, body.forward_joints(poses).numpy())))
    return torch.tensor([all(true[code][index] for code in each) for index, each in enumerate(stated)])


def is_plausible(rotmats: torch.Tensor, body: BodyModel, capsules: Capsules | None = None) -> torch.Tensor:
    """Whether each pose stays inside the joint limits and does not intersect itself.

    Args:
        rotmats: (n, 22, 3, 3) in the stored frame.
        body: the body to pose.
        capsules: result of `body_capsules` of the same body; default: fitted to the body.

    Returns:
        (n,) booleans.
    """
    capsules = body_capsules(body) if capsules is None else capsules
    return within_limits(rotmats) & ~self_intersects(rotmats, body, capsules)


def describe_violations(rotmats: torch.Tensor, body: BodyModel, capsules: Capsules) -> str:
    """The most frequent reasons why poses are implausible, for an error message.

    Args:
        rotmats: (n, 22, 3, 3) in the stored frame.
        body: the body to pose.
        capsules: result of `body_capsules` of the same body.
    """
    reasons = Counter(f"{joint} is out of its range" for joints in joints_outside(rotmats) for joint in joints)
    counts = (penetration_depths(rotmats, body, capsules) > TOLERANCE).sum(dim=0).tolist()
    reasons |= {f"{one} intersects {other}": n for (one, other), n in zip(capsules.pair_names(), counts) if n}
    named = [f"{reason} ({n} of {len(rotmats)} poses)" for reason, n in reasons.most_common(NUM_REASONS)]
    return ", ".join(named) or "the last ones are plausible, but off balance or no longer the named pose"


def keeps_balance(poses: torch.Tensor, bases: torch.Tensor, body: BodyModel, capsules: Capsules) -> torch.Tensor:
    """Whether poses are about as balanced as their source poses (a jump or a seat is not balanced).

    Args:
        poses: (n, 22, 3, 3) in the stored frame.
        bases: (n, 22, 3, 3) the source of each pose.
        body: the body to pose.
        capsules: result of `body_capsules` of the same body.

    Returns:
        (n,) booleans.
    """
    allowed = off_balance(bases, body, capsules).clamp(min=BALANCE_MARGIN)
    return off_balance(poses, body, capsules) <= allowed
