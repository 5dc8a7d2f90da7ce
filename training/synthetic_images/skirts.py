"""Skirts: a ring of cloth around the hips and thighs that moves with the pelvis and both legs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES


RINGS, COLUMNS = 7, 24
GAP = 0.02  # meters between body and cloth
BAND = 0.03  # meters above and below a ring in which the body decides its width
WAIST = 0.03  # meters of the waist above the pelvis
HIP_DEPTH = 0.16  # meters below the pelvis from which on cloth moves like the thighs
# Places that hems and waists refer to end here: a skirt has one color, that of trousers just below the waist.
PAINTED_DEPTH = 0.06

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Skirt:
    """The cut of a skirt.

    Args:
        length: meters below the pelvis.
        flare: width of the hem relative to that of the hips.

    Raises:
        ValueError: a length or a flare out of range.
    """

    length: float = 0.4
    flare: float = 1.3

    def __post_init__(self) -> None:
        if not 0.1 <= self.length <= 0.7 or not 0.8 <= self.flare <= 2.0:
            raise ValueError(
                f"length is {self.length} and flare {self.flare}; expected 0.1 to 0.7 meters and a factor of 0.8 to 2"
            )


def add_skirt(body: BodyModel, skirt: Skirt) -> BodyModel:
    """Adds a skirt to the mesh of a body.

    Args:
        body: left unchanged.
        skirt: the cut.

    Returns:
        A plain `BodyModel` whose last RINGS * COLUMNS vertices are the skirt. Both sides of the cloth have faces.
    """
    vertices, weights = skirt_mesh(body, skirt)
    joints, num_vertices = body.joints, len(body.v_template)
    return BodyModel(
        torch.cat([body.v_template, torch.from_numpy(vertices).to(body.v_template)]),
        torch.cat([body.faces, torch.from_numpy(skirt_faces() + num_vertices).to(body.faces)]),
        joints,
        torch.cat([body.weights, torch.from_numpy(weights).to(body.weights)]),
    )


def skirt_mesh(body: BodyModel, skirt: Skirt) -> tuple[Array, Array]:
    """The vertices of a skirt on the resting body, and the joints that move them.

    Args:
        body: the body.
        skirt: the cut.

    Returns:
        (RINGS * COLUMNS, 3) meters, ring by ring from the waist down, and (RINGS * COLUMNS, 24) skinning weights.
    """
    template = body.v_template.float().cpu().numpy()
    # Arms of the T-pose are as high as the shoulders, far above the waist.
    legs_and_hips = template[template[:, 1] < WAIST + BAND]
    turn = 2 * np.pi * np.arange(COLUMNS) / COLUMNS
    around = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    heights = np.linspace(WAIST, -skirt.length, RINGS)
    vertices = np.empty((RINGS, COLUMNS, 3))
    widest = np.zeros(2)
    for ring, height in enumerate(heights):
        near = legs_and_hips[np.abs(legs_and_hips[:, 1] - height) < BAND][:, [0, 2]]
        low, high = near.min(axis=0), near.max(axis=0)
        widest = np.maximum(widest, (high - low) / 2 + GAP)
        share = ring / (RINGS - 1)
        center = (1.0 - share) * (low + high) / 2
        places = center + (1.0 + share * (skirt.flare - 1.0)) * widest * around
        vertices[ring] = np.stack([places[:, 0], np.full(COLUMNS, height), places[:, 1]], axis=1)
    weights = np.zeros((RINGS, COLUMNS, len(body.joints)))
    legs = _smooth_step(0.3 - heights / HIP_DEPTH)[:, None]
    left = _smooth_step(0.5 + 0.7 * np.sin(turn))[None]
    weights[..., JOINT_NAMES.index("left_hip")] = legs * left
    weights[..., JOINT_NAMES.index("right_hip")] = legs * (1.0 - left)
    weights[..., JOINT_NAMES.index("pelvis")] = 1.0 - legs
    return vertices.reshape(-1, 3).astype(np.float32), weights.reshape(-1, len(body.joints)).astype(np.float32)


def skirt_faces() -> npt.NDArray[np.int64]:
    """(F, 3) indices of a skirt's vertices: the outer side, then the inner one."""
    ring, column = np.divmod(np.arange((RINGS - 1) * COLUMNS), COLUMNS)
    upper, upper_next = ring * COLUMNS + column, ring * COLUMNS + (column + 1) % COLUMNS
    lower, lower_next = upper + COLUMNS, upper_next + COLUMNS
    outer = np.concatenate([np.stack([upper, lower, lower_next], 1), np.stack([upper, lower_next, upper_next], 1)])
    return np.concatenate([outer, outer[:, ::-1]])


def painted_places(template: Array, waist: float) -> Array:
    """The places of the rest pose whose color a dressed body with a skirt has.

    Args:
        template: (V, 3) vertices of the rest pose, the skirt's last.
        waist: meters of the waist of shirt and trousers above the pelvis.
    """
    places = template.copy()
    skirt = places[-RINGS * COLUMNS :]
    skirt[:, 0] *= 0.5
    skirt[:, 1] = np.minimum(skirt[:, 1], waist - PAINTED_DEPTH).clip(min=waist - PAINTED_DEPTH)
    skirt[:, 2] = 0.0
    return places


def _smooth_step(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    values = np.clip(values, 0.0, 1.0)
    return values * values * (3.0 - 2.0 * values)
