"""Light on dressed bodies: folds of cloth, and shadows that bodies cast on themselves and on each other."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unipose.processing.clothing import MATERIALS


Array = npt.NDArray[np.float32]

CLOTH = tuple(MATERIALS.index(name) for name in ("shirt", "print", "trousers"))
NUM_WAVES = 5
WAVE_LENGTHS = (0.08, 0.26)  # meters between two folds
CELL = 0.04  # meters between the rays of a lamp
SHADOW_DISTANCE = 0.11  # meters: what is nearer to the lamp than this does not cast a shadow on a place


@dataclass(frozen=True)
class Fabric:
    """The folds of a person's clothes.

    Args:
        folds: depth: 0 is smooth, 1 strongly folded.
        seed: seed of the folds' places.
    """

    folds: float = 0.0
    seed: int = 0


def fold_normals(normals: Array, places: Array, worn: npt.NDArray[np.uint8], fabric: Fabric) -> Array:
    """Tilts the normals of cloth as folds do.

    Args:
        normals: (V, 3) unit normals of the posed body.
        places: (V, 3) the same vertices of the rest pose, in meters.
        worn: (V,) indices of `MATERIALS`.
        fabric: depth and places of the folds.

    Returns:
        (V, 3) unit normals; those of skin, hair and shoes are unchanged.
    """
    if fabric.folds <= 0:
        return normals
    rng = np.random.default_rng(fabric.seed)
    directions = rng.standard_normal((NUM_WAVES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    numbers = 2 * np.pi / rng.uniform(*WAVE_LENGTHS, (NUM_WAVES, 1))
    slopes = np.cos(places @ (numbers * directions).T + rng.uniform(0.0, 2 * np.pi, NUM_WAVES))
    cloth = np.isin(worn, CLOTH)
    tilted = normals + fabric.folds * cloth[:, None] * (slopes @ directions)
    return (tilted / np.linalg.norm(tilted, axis=1, keepdims=True).clip(1e-6)).astype(np.float32)


def lit_share(vertices: Array, lamp: npt.NDArray[np.float64]) -> Array:
    """Which vertices the light of a distant lamp reaches.

    Args:
        vertices: (V, 3) of all bodies, in meters.
        lamp: (3,) unit vector toward the lamp.

    Returns:
        (V,) 1 where nothing is between a vertex and the lamp, 0 in shadow.
    """
    side = np.cross(lamp, (0.0, 1.0, 0.0) if abs(lamp[1]) < 0.9 else (1.0, 0.0, 0.0))
    side /= np.linalg.norm(side)
    plane = vertices @ np.stack([side, np.cross(lamp, side)], axis=1)
    cells = np.floor((plane - plane.min(axis=0)) / CELL).astype(np.int64) + 1
    shape = cells.max(axis=0) + 2
    nearness = (vertices @ lamp).astype(np.float32)
    nearest = np.full(tuple(shape), -np.inf, dtype=np.float32)
    np.maximum.at(nearest, (cells[:, 0], cells[:, 1]), nearness)
    # Vertices are about as far apart as rays: the eight rays around count too, else light would leak through.
    for axis in (0, 1):
        nearest = np.maximum(nearest, np.maximum(np.roll(nearest, 1, axis), np.roll(nearest, -1, axis)))
    return (nearest[cells[:, 0], cells[:, 1]] < nearness + SHADOW_DISTANCE).astype(np.float32)
