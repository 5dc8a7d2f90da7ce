"""A soft shadow on the ground below a mesh."""

import numpy as np

from .rasterizing import Projection


SHADOW_CELLS = 48
SHADOW_MARGIN = 0.35  # meters of ground around the body
SHADOW_BLUR = 0.07  # meters
SHADOW_STRENGTH = 0.38
SHADOW_HEIGHT = 0.45  # meters above the ground at which a part casts 1/e of its shadow


def darken_ground(
    canvas: np.ndarray,
    vertices: np.ndarray,
    projection: Projection,
    strength: float = SHADOW_STRENGTH,
    slant: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Darkens an image by the soft shadow of a mesh on the ground.

    Args:
        canvas: (height, width, 3); changed in place.
        vertices: (V, 3) meters, y up; the lowest one touches the ground.
        projection: The image's projection.
        strength: Darkness in 0..1.
        slant: X and z by which the shadow of a point one meter above the ground is shifted.
    """
    height, width, _ = canvas.shape
    ground = float(vertices[:, 1].min())
    above = vertices[:, 1:2] - ground
    flat = vertices[:, [0, 2]] + above * np.array(slant)
    low = flat.min(axis=0) - SHADOW_MARGIN
    high = flat.max(axis=0) + SHADOW_MARGIN
    edges = np.array([[x, ground, z] for x in (low[0], high[0]) for z in (low[1], high[1])])
    corners = projection.to_camera(edges)
    if projection.position[1] <= ground or corners[:, 2].min() <= 0:
        return
    bounds = projection.to_screen(corners)
    first = np.maximum(bounds.min(axis=0).astype(np.int64), 0)
    end = np.minimum(bounds.max(axis=0).astype(np.int64) + 1, (width, height))
    if (first >= end).any():
        return
    points = projection.ground_points(np.arange(first[1], end[1]), np.arange(first[0], end[0]), ground)
    per_meter, low = (SHADOW_CELLS / (high - low)).astype(np.float32)[:, None, None], low[:, None, None]
    density = shadow_density(flat, above[:, 0], low.ravel(), high)
    shade = sample_bilinear(density, np.nan_to_num((points - low) * per_meter - 0.5, nan=-1.0))
    canvas[first[1] : end[1], first[0] : end[0]] *= (1.0 - np.float32(strength) * shade)[..., None]


def shadow_density(flat: np.ndarray, above: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Darkness of a square grid on the ground.

    Args:
        flat: (V, 2) x and z of the points' shadows.
        above: (V,) meters of the points above the ground.
        low: (2,) least x and z of the grid.
        high: (2,) largest x and z.

    Returns:
        (cells, cells) in 0..1.
    """
    cell = ((flat - low) / (high - low) * SHADOW_CELLS).astype(np.int64)
    weights = np.exp(-above / SHADOW_HEIGHT)
    counts = np.bincount(cell[:, 0] * SHADOW_CELLS + cell[:, 1], weights, SHADOW_CELLS**2)
    spread = counts.reshape(SHADOW_CELLS, SHADOW_CELLS)
    steps = np.subtract.outer(np.arange(SHADOW_CELLS), np.arange(SHADOW_CELLS)) / SHADOW_CELLS
    blur_x, blur_z = (np.exp(-((steps * side / SHADOW_BLUR) ** 2) / 2) for side in high - low)
    spread = blur_x @ spread @ blur_z.T
    return np.tanh(2.5 * spread / spread.max())


def sample_bilinear(grid: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Bilinear interpolation, 0 outside of the grid.

    Args:
        grid: (n, n).
        places: (2, ...) in cells.

    Returns:
        (...) values.
    """
    cells = len(grid)
    padded = np.zeros((cells + 2, cells + 2), dtype=np.float32)
    padded[1:-1, 1:-1] = grid
    places = np.clip(places + 1.0, 0.0, cells + 0.999).astype(np.float32)
    corner = places.astype(np.int32)
    across, along = places - corner
    index = corner[0] * (cells + 2) + corner[1]
    flat = padded.ravel()
    near = flat[index] * (1 - along) + flat[index + 1] * along
    far = flat[index + cells + 2] * (1 - along) + flat[index + cells + 3] * along
    return near * (1 - across) + far * across
