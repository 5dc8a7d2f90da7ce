"""Body shapes: the parts of one body are scaled in length and girth around their joints.

Only the rest pose changes; a pose's rotations mean the same on every shape, so labels stay correct.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch

from unipose.processing.body_model import PARENTS, BodyModel
from unipose.processing.pose_features import JOINT_NAMES


@dataclass(frozen=True)
class BodyShape:
    """Scale factors of a body's measures; 1 leaves them unchanged.

    Args:
        height: scale of the whole body.
        trunk, legs, arms: lengths.
        hips, waist, chest: girths of the trunk; the hip and shoulder joints move with them.
        limbs: girth of arms and legs.
        head: size of the head.

    Raises:
        ValueError: a factor is not in 0.2..5.
    """

    height: float = 1.0
    trunk: float = 1.0
    legs: float = 1.0
    arms: float = 1.0
    hips: float = 1.0
    waist: float = 1.0
    chest: float = 1.0
    limbs: float = 1.0
    head: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0.2 <= getattr(self, field.name) <= 5.0:
                raise ValueError(f"{field.name} is {getattr(self, field.name)}; expected a factor of 0.2 to 5")

    @classmethod
    def random(cls, rng: np.random.Generator) -> "BodyShape":
        """A random plausible adult: girths are correlated, with independent noise for each part."""
        girth = float(np.clip(rng.normal(1.0, 0.1), 0.84, 1.3))
        part = 1.0 + 0.06 * np.clip(rng.standard_normal(8), -2.0, 2.0)
        return cls(
            height=float(rng.uniform(0.9, 1.1)),
            trunk=float(1.0 + 0.6 * (part[0] - 1.0)),
            legs=float(part[1]),
            arms=float(1.0 + 0.6 * (part[2] - 1.0)),
            hips=float(girth * part[3]),
            waist=float(girth**1.5 * part[4]),
            chest=float(girth * part[5]),
            limbs=float(girth * part[6]),
            head=float(1.0 + 0.7 * (part[7] - 1.0)),
        )


# The measures that scale a joint's part of the body along x, y and z of the rest pose (T-pose).
STRETCHES: dict[str, tuple[str, str, str]] = {
    "pelvis": ("hips", "trunk", "hips"),
    "hip": ("limbs", "legs", "limbs"),
    "knee": ("limbs", "legs", "limbs"),
    "spine1": ("waist", "trunk", "waist"),
    "spine2": ("waist", "trunk", "waist"),
    "spine3": ("chest", "trunk", "chest"),
    "collar": ("chest", "trunk", "chest"),
    "shoulder": ("arms", "limbs", "limbs"),
    "elbow": ("arms", "limbs", "limbs"),
    "head": ("head", "head", "head"),
}


def shape_body(body: BodyModel, shape: BodyShape) -> BodyModel:
    """Applies a shape to a body.

    Args:
        body: left unchanged.
        shape: scale factors.

    Returns:
        A plain `BodyModel`: of a user's SMPL body it keeps the mean shape, without pose-dependent blend shapes.
    """
    if shape == BodyShape():
        return body
    factors = np.array([_stretch(name, shape) for name in (*JOINT_NAMES, "left_hand", "right_hand")])
    rest = body.joints.cpu().numpy()
    joints = np.zeros_like(rest)
    for joint, parent in enumerate(PARENTS[1:], start=1):
        joints[joint] = joints[parent] + factors[parent] * (rest[joint] - rest[parent])
    stretch, shift = (
        body.weights @ torch.from_numpy(values).to(body.weights) for values in (factors, joints - factors * rest)
    )
    return BodyModel(
        stretch * body.v_template + shift, body.faces, torch.from_numpy(joints).to(body.joints), body.weights
    )


def _stretch(joint: str, shape: BodyShape) -> list[float]:
    measures = STRETCHES.get(joint.rpartition("_")[2], ("", "", ""))
    return [shape.height * (getattr(shape, measure) if measure else 1.0) for measure in measures]
