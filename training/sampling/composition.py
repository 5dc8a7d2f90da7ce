"""Composed poses: legs and torso of one named pose, each arm and the head of others.

A pose is kept if every state that it is made of can be measured in it, and if it is plausible.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, mirror_pose
from unipose.training.captions.measures import measure
from unipose.training.geometry import remove_heading
from unipose.training.named_poses.limb_grammar import Composition
from unipose.training.named_poses.limbs import LimbState, donor_poses, load_limbs
from unipose.training.sampling.balance import off_balance
from unipose.training.sampling.collisions import Capsules, body_capsules
from unipose.training.sampling.mixing import LIMBS, add_noise
from unipose.training.sampling.named import NAMED_NOISE
from unipose.training.sampling.poses import BALANCE_MARGIN, is_plausible
from unipose.training.sampling.rejection import reject_until_accepted


# How often an arm hangs, both arms do the same, the head is straight, and the body just stands.
HANGING, BOTH, STRAIGHT, STANDING = 0.3, 0.35, 0.55, 0.3
# Columns of the states of a composition: legs with torso, left arm, right arm, head.
PARTS = ("base", "left", "right", "head")

_INDICES = {limb: [JOINT_NAMES.index(joint) for joint in joints] for limb, joints in LIMBS.items()}


@dataclass(frozen=True)
class Composer:
    """Composes poses.

    Args:
        body: the body for which poses must be plausible.
        capsules: from `body_capsules` of that body.
        bases, arms, heads: the states.
        base_poses, arm_poses, head_poses: (k, 22, 3, 3) their donors.
        off_balance: (k,) meters that a pose on each base may be off balance.
    """

    body: BodyModel
    capsules: Capsules
    bases: tuple[LimbState, ...]
    arms: tuple[LimbState, ...]
    heads: tuple[LimbState, ...]
    base_poses: torch.Tensor
    arm_poses: torch.Tensor
    head_poses: torch.Tensor
    off_balance: torch.Tensor

    @classmethod
    def load(cls, body: BodyModel) -> "Composer":
        """A composer of all states of `load_limbs`."""
        states = [load_limbs(kind) for kind in ("bases", "arms", "heads")]
        capsules = body_capsules(body)
        bases, arms, heads = (donor_poses(each) for each in states)
        allowed = off_balance(bases, body, capsules).clamp(min=BALANCE_MARGIN)
        return cls(body, capsules, *states, bases, arms, heads, allowed)

    def composition(self, states: Sequence[int]) -> Composition:
        """The states of a row of `draw_states`."""
        base, left, right, head = states
        return Composition(self.bases[base], self.arms[left], self.arms[right], self.heads[head])

    def draw_states(self, count: int, rng: np.random.Generator) -> np.typing.NDArray[np.int64]:
        """(count, 4) indices of states in the order of `PARTS`; they may not go together.

        Args:
            count: number of rows.
            rng: source of all randomness.
        """
        left, right = rng.integers(len(self.arms), size=(2, count))
        left[rng.random(count) < HANGING] = 0
        right[rng.random(count) < HANGING] = 0
        right = np.where(rng.random(count) < BOTH, left, right)
        head, base = rng.integers(len(self.heads), size=count), rng.integers(len(self.bases), size=count)
        head[rng.random(count) < STRAIGHT] = 0
        base[rng.random(count) < STANDING] = 0
        return np.stack([base, left, right, head], axis=1)

    def assemble(self, states: np.typing.NDArray[np.int64]) -> torch.Tensor:
        """(n, 22, 3, 3) poses of (n, 4) states, unchecked and exact."""
        base, left, right, head = torch.from_numpy(states).T
        poses = self.base_poses[base].clone()
        poses[:, _INDICES["left_arm"]] = self.arm_poses[left][:, _INDICES["left_arm"]]
        poses[:, _INDICES["right_arm"]] = mirror_pose(self.arm_poses[right])[:, _INDICES["right_arm"]]
        poses[:, _INDICES["head"]] = self.head_poses[head][:, _INDICES["head"]]
        return poses

    def holds(self, poses: torch.Tensor, states: np.typing.NDArray[np.int64]) -> torch.Tensor:
        """Whether each pose is plausible and in balance, and every one of its states can be measured.

        Args:
            poses: (n, 22, 3, 3) in the stored frame.
            states: (n, 4).

        Returns:
            (n,) booleans.
        """
        measures = measure(self.body.forward_joints(poses).numpy(), poses)
        true = np.ones(len(poses), dtype=bool)
        options = ((self.bases, ""), (self.arms, "left"), (self.arms, "right"), (self.heads, ""))
        for column, (choices, side) in enumerate(options):
            for index in np.unique(states[:, column]).tolist():
                true &= (states[:, column] != index) | choices[index].holds(measures, side)
        balanced = off_balance(poses, self.body, self.capsules) <= self.off_balance[torch.from_numpy(states[:, 0])]
        return torch.from_numpy(true) & balanced & is_plausible(poses, self.body, self.capsules)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, np.typing.NDArray[np.int64]]:
        """Composes poses with little noise.

        Args:
            count: number of poses.
            rng: source of all randomness.

        Returns:
            (count, 22, 3, 3) poses in the stored frame, heading removed, and their (count, 4) states.

        Raises:
            RuntimeError: a pose was rejected too often.
        """
        poses, states = torch.zeros(count, len(JOINT_NAMES), 3, 3), np.zeros((count, len(PARTS)), dtype=np.int64)

        def accept(pending: torch.Tensor) -> torch.Tensor:
            rows = pending.numpy()
            states[rows] = self.draw_states(len(rows), rng)
            poses[pending] = remove_heading(add_noise(self.assemble(states[rows]), rng, NAMED_NOISE))
            return self.holds(poses[pending], states[rows])

        reject_until_accepted(torch.arange(count), accept, lambda pending: f"They are compositions of {PARTS}.")
        return poses, states
