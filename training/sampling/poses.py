"""Where training poses come from: motion capture, named poses, and what is mixed and blended from both.

All poses are (n, 22, 3, 3) rotations in the stored z-up frame. Clips are split whole: frames of one clip are alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import mirror_pose
from unipose.training.captions.archetype_codes import archetype_codes
from unipose.training.captions.posecodes import holding
from unipose.training.geometry import remove_heading, swap_sides
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses
from unipose.training.sampling.anatomy import within_limits
from unipose.training.sampling.balance import off_balance
from unipose.training.sampling.collisions import Capsules, body_capsules, passes_through_itself
from unipose.training.sampling.mixing import add_noise, blend_poses, mix_limbs


Labels = list[str | None]

MOTION_FILE = Path(__file__).parent.parent / "assets" / "motion.npz"
HELD_OUT_CLIPS = ("dance_b", "getup_facedown", "spinkick")
VALIDATION_CLIPS = ("jump",)
# Clips that training never sees.
SPLIT_CLIPS = {"validation": VALIDATION_CLIPS, "test": HELD_OUT_CLIPS}
FRAMES_PER_SECOND = 30.0
# Named poses are moved less than others, so that they keep their name.
ARCHETYPE_NOISE = 0.7
# A put-together pose may be off balance by this much, or by as much as the pose that it has its legs from (metres).
BALANCE_MARGIN = 0.1


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


def training_clips() -> list[MotionClip]:
    """Every clip that is neither held out nor for validation."""
    unseen = {name for names in SPLIT_CLIPS.values() for name in names}
    return [clip for clip in load_motion_clips() if clip.name not in unseen]


def training_motion_poses() -> torch.Tensor:
    """`motion_poses` of `training_clips`."""
    return motion_poses(training_clips())


def held_out_poses() -> torch.Tensor:
    """`motion_poses` of `HELD_OUT_CLIPS`: for evaluation only."""
    return motion_poses(clip for clip in load_motion_clips() if clip.name in HELD_OUT_CLIPS)


def validation_poses() -> torch.Tensor:
    """`motion_poses` of `VALIDATION_CLIPS`: to look at while training."""
    return motion_poses(clip for clip in load_motion_clips() if clip.name in VALIDATION_CLIPS)


@dataclass(frozen=True)
class Shares:
    """How many of what is drawn come from each source; only the proportions matter.

    Raises:
        ValueError: a share is negative, or all are zero.
    """

    def __post_init__(self) -> None:
        if min(astuple(self)) < 0 or sum(astuple(self)) <= 0:
            raise ValueError(f"Shares are at least 0 and not all 0; found {self}.")

    def counts(self, n: int) -> dict[str, int]:
        """`n` shared out among the sources."""
        ends = np.round(np.cumsum(astuple(self)) / sum(astuple(self)) * n).astype(int)
        return dict(zip((field.name for field in fields(self)), np.diff(ends, prepend=0).tolist()))


@dataclass(frozen=True)
class SamplerShares(Shares):
    """The sources of `sample_training_poses`.

    Args:
        motion: recorded frames, with a little noise.
        mixed: frames and named poses with limbs of other ones.
        blended: poses between two frames or named poses.
        archetype: named poses, with a little noise.
    """

    motion: float = 0.25
    mixed: float = 0.35
    blended: float = 0.15
    archetype: float = 0.25


def sample_training_poses(
    n: int, seed: int, body: BodyModel, shares: SamplerShares | None = None
) -> tuple[torch.Tensor, list[str | None]]:
    """Draws plausible, varied poses from all sources, in random order; the same seed draws the same poses.

    Args:
        n: number of poses.
        seed: of every random choice.
        body: tells whether a pose passes through itself and could stand.
        shares: of the sources; the usual ones where left out.

    Returns:
        (n, 22, 3, 3) rotations in the stored frame, heading removed, and for each pose the name of its archetype
        (`archetype_sentences` knows it) or None.
    """
    sampler = PoseSampler.load(body, seed)
    drawn = [sampler.draw(source, count) for source, count in (shares or SamplerShares()).counts(n).items()]
    order = sampler.rng.permutation(n)
    names = [label for _, labels in drawn for label in labels]
    return torch.cat([poses for poses, _ in drawn])[torch.from_numpy(order)], [names[index] for index in order]


@dataclass(frozen=True)
class PoseSampler:
    """What the sources draw from.

    Args:
        frames: (m, 22, 3, 3) recorded poses.
        names: of the named poses, those of both sides among them.
        named: (k, 22, 3, 3) their poses.
        body: that the poses have to suit.
        capsules: of that body.
        rng: makes every choice.
    """

    frames: torch.Tensor
    names: tuple[str, ...]
    named: torch.Tensor
    body: BodyModel
    capsules: Capsules
    rng: np.random.Generator

    @classmethod
    def load(cls, body: BodyModel, seed: int) -> "PoseSampler":
        """The training clips and all named poses, mirrored too."""
        frames = training_motion_poses()
        names = tuple(dict.fromkeys(side for name in ARCHETYPES for side in (name, swap_sides(name))))
        return cls(
            frames=torch.cat([frames, mirror_pose(frames)]),
            names=names,
            named=remove_heading(archetype_poses(list(names))),
            body=body,
            capsules=body_capsules(body),
            rng=np.random.default_rng(seed),
        )

    def draw(self, source: str, count: int) -> tuple[torch.Tensor, Labels]:
        """`count` plausible poses of a source, with their labels; what is not plausible is drawn again."""
        draw = {"motion": self._motion, "mixed": self._mixed, "blended": self._blended, "archetype": self._archetypes}
        which = torch.from_numpy(self.rng.integers(len(self.names), size=count))
        poses = self.frames.new_empty(count, *self.frames.shape[1:])
        pending = torch.arange(count)
        while len(pending):
            drawn, good = draw[source](which[pending])
            good = good & plausible(drawn, self.body, self.capsules)
            poses[pending[good]] = drawn[good]
            pending = pending[~good]
        return poses, [self.names[index] for index in which.tolist()] if source == "archetype" else [None] * count

    def _motion(self, which: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        poses = self.frames[torch.from_numpy(self.rng.integers(len(self.frames), size=len(which)))]
        return remove_heading(add_noise(poses, self.rng)), torch.ones(len(which), dtype=torch.bool)

    def _archetypes(self, which: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        poses = remove_heading(add_noise(self.named[which], self.rng, ARCHETYPE_NOISE))
        return poses, _show_what_they_are(poses, [self.names[index] for index in which.tolist()], self.body)

    def _mixed(self, which: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bases, donors = self._any(len(which)), self._any(2 * len(which))
        poses = remove_heading(add_noise(mix_limbs(bases, donors, self.rng), self.rng))
        return poses, self._balanced(poses, bases)

    def _blended(self, which: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first, second = self._any(len(which)), self._any(len(which))
        poses = remove_heading(add_noise(blend_poses(first, second, self.rng), self.rng, ARCHETYPE_NOISE))
        return poses, self._balanced(poses, first) | self._balanced(poses, second)

    def _any(self, count: int) -> torch.Tensor:
        """Frames and named poses, half each."""
        frames = self.frames[torch.from_numpy(self.rng.integers(len(self.frames), size=count))]
        named = self.named[torch.from_numpy(self.rng.integers(len(self.named), size=count))]
        return torch.where(torch.from_numpy(self.rng.random(count) < 0.5)[:, None, None, None], frames, named)

    def _balanced(self, poses: torch.Tensor, bases: torch.Tensor) -> torch.Tensor:
        return keeps_balance(poses, bases, self.body, self.capsules)


def _show_what_they_are(poses: torch.Tensor, names: Sequence[str], body: BodyModel) -> torch.Tensor:
    """Whether each named pose still shows the posture and the arms that its sentences state; (n,)."""
    stated = [archetype_codes(name) for name in names]
    codes = sorted({code for each in stated for code in each})
    true = dict(zip(codes, holding(codes, body.forward_joints(poses).numpy())))
    return torch.tensor([all(true[code][index] for code in each) for index, each in enumerate(stated)])


def plausible(rotmats: torch.Tensor, body: BodyModel, capsules: Capsules | None = None) -> torch.Tensor:
    """Whether each of (n, 22, 3, 3) poses stays inside the joints' ranges and does not pass through itself; (n,).

    `capsules` are those of `body_capsules`: they are made anew where left out.
    """
    capsules = body_capsules(body) if capsules is None else capsules
    return within_limits(rotmats) & ~passes_through_itself(rotmats, body, capsules)


def keeps_balance(poses: torch.Tensor, bases: torch.Tensor, body: BodyModel, capsules: Capsules) -> torch.Tensor:
    """Whether poses are about as well balanced as their bases, of which one in a jump or on a chair is not; (n,)."""
    allowed = off_balance(bases, body, capsules).clamp(min=BALANCE_MARGIN)
    return off_balance(poses, body, capsules) <= allowed
