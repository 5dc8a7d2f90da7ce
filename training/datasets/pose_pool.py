"""A pool of poses to edit and to ask about: named, composed and sampled ones."""

from dataclasses import dataclass

import numpy as np
import torch

from unipose.training.named_poses.grammar import phrase
from unipose.training.named_poses.limb_grammar import Composition, composed_text
from unipose.training.named_poses.wordings import wordings_of
from unipose.training.sampling.composition import Composer
from unipose.training.sampling.named import sample_named_poses
from unipose.training.sampling.poses import MotionPoses, sample_training_poses


# Shares of named and of composed poses; the others are those of `sample_training_poses`.
NAMED, COMPOSED = 0.35, 0.35


@dataclass(frozen=True)
class PosePool:
    """Poses, and what they were made of.

    Args:
        poses: (n, 22, 3, 3) in the stored frame, heading removed.
        labels: the name of each pose that is a named one, otherwise None.
        compositions: the states of each pose that is composed, otherwise None.
    """

    poses: torch.Tensor
    labels: list[str | None]
    compositions: list[Composition | None]

    @classmethod
    def draw(
        cls, count: int, rng: np.random.Generator, composer: Composer, motion: MotionPoses | None = None
    ) -> "PosePool":
        """Draws a pool.

        Args:
            count: number of poses.
            rng: source of all randomness.
            composer: of the composed poses; has the body.
            motion: recorded poses; default: those of the motion clips.
            motion: recorded poses that others are sampled from; default: those of the motion clips.
        """
        num_named, num_composed = round(count * NAMED), round(count * COMPOSED)
        num_sampled = count - num_named - num_composed
        named, labels = sample_named_poses(num_named, rng, composer.body)
        composed, states = composer.draw(num_composed, rng)
        sampled, sampled_labels = sample_training_poses(
            num_sampled, int(rng.integers(2**31)), composer.body, motion=motion
        )
        return cls(
            torch.cat([named, composed, sampled.float()]),
            [*labels, *[None] * num_composed, *sampled_labels],
            [*[None] * num_named, *map(composer.composition, states), *[None] * num_sampled],
        )

    def text(self, index: int, rng: np.random.Generator) -> str:
        """A text for a pose as a person types it; "" for a sampled pose without a name.

        Args:
            index: of the pose.
            rng: source of randomness.
        """
        composition, label = self.compositions[index], self.labels[index]
        if composition is not None:
            return composed_text(composition, rng)
        return "" if label is None else phrase(wordings_of(label), rng)
