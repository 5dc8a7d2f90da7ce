"""Layers of a synthetic image around the person: patterned walls and floors, occluders, sensor blur and noise."""

import numpy as np
from PIL import Image, ImageFilter

from unipose.processing.rasterizing import Projection
from unipose.training.synthetic_images.style import Background, Occluder, Pattern, Sensor


NOISE_CELLS = 16  # side of the repeating grid of value noise
COLOR_STEPS = 256  # between a pattern's two colors
EDGE = 6.0  # slope of the transition between the colors of stripes and blobs


def paint_background(
    background: Background, projection: Projection, size: tuple[int, int], ground: float
) -> np.ndarray:
    """(height, width, 3) float RGB of wall and floor, without shadows.

    Args:
        background: its patterns.
        projection: projection of the image's camera.
        size: width and height.
        ground: height of the floor in meters.
    """
    width, height = size
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    largest = max(size)
    right, down = np.broadcast_arrays((columns + 0.5) / largest, ((rows + 0.5) / largest)[:, None])
    canvas = paint_pattern(background.wall, right, down)
    if background.floor is not None and projection.position[1] > ground:
        x, z = projection.ground_points(rows, columns, ground)
        # NaN above the horizon compares as false.
        first = int(np.argmax((z > -background.depth).any(axis=1)))
        near = z[first:] > -background.depth
        x, z = (np.where(near, axis[first:], 0.0).astype(np.float32) for axis in (x, z))
        canvas[first:] = np.where(near[..., None], paint_pattern(background.floor, x, z), canvas[first:])
    return canvas


def paint_pattern(pattern: Pattern, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Evaluates a pattern.

    Args:
        pattern: its colors and kind.
        x, y: (height, width) coordinates.

    Returns:
        (height, width, 3) float RGB.
    """
    color, second = np.array(pattern.color, dtype=np.float32), np.array(pattern.second, dtype=np.float32)
    if pattern.kind == "solid":
        return np.broadcast_to(color, (*x.shape, 3)).copy()
    colors = color + np.linspace(0.0, 1.0, COLOR_STEPS, dtype=np.float32)[:, None] * (second - color)
    weight = pattern_weight(pattern, x, y)
    return colors.take((weight * (COLOR_STEPS - 1) + 0.5).astype(np.int32), axis=0)


def pattern_weight(pattern: Pattern, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The weight of a pattern's second color.

    Args:
        pattern: its kind; any but "solid".
        x, y: (height, width) coordinates.

    Returns:
        (height, width) in 0..1.
    """
    rng = np.random.default_rng(pattern.seed)
    if pattern.kind == "grain":
        return rng.random(x.shape, dtype=np.float32)
    if pattern.kind == "glow":
        center_x, center_y = rng.uniform(0.2, 0.8, 2).astype(np.float32)
        return np.minimum(np.sqrt((x - center_x) ** 2 + (y - center_y) ** 2), 1.0)
    cosine, sine = (np.float32(f(np.radians(pattern.angle))) for f in (np.cos, np.sin))
    along, aside = cosine * x + sine * y, cosine * y - sine * x
    if pattern.kind == "gradient":
        return (along - along.min()) / np.ptp(along)
    repeats = np.float32(pattern.repeats)
    if pattern.kind == "stripes":
        return step(triangle_wave(along * repeats))
    if pattern.kind == "checks":
        return step(triangle_wave(along * repeats) * triangle_wave(aside * repeats))
    grid = rng.random((NOISE_CELLS, NOISE_CELLS), dtype=np.float32)
    if pattern.kind == "blobs":
        return step(2.0 * value_noise(grid, along * repeats, aside * repeats) - 1.0)
    coarse = value_noise(grid, along * repeats / 2, aside * repeats / 2)
    return 0.65 * coarse + 0.35 * value_noise(grid.T, along * repeats * 2, aside * repeats * 2)


def triangle_wave(phase: np.ndarray) -> np.ndarray:
    """A wave of period 1 between -1 and 1."""
    return 4.0 * np.abs(phase - np.floor(phase) - 0.5) - 1.0


def step(values: np.ndarray) -> np.ndarray:
    """A step from 0 (negative values) to 1 (positive values) with a short ramp."""
    return np.clip(EDGE * values + 0.5, 0.0, 1.0)


def value_noise(grid: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Value noise: smooth interpolation of a repeating grid.

    Args:
        grid: (n, n) values.
        x, y: (height, width) coordinates in cells.

    Returns:
        (height, width).
    """
    cells = len(grid)
    left, top = np.floor(x), np.floor(y)
    across, down = x - left, y - top
    across *= across * (3.0 - 2.0 * across)
    down *= down * (3.0 - 2.0 * down)
    padded = np.pad(grid, ((0, 1), (0, 1)), mode="wrap").ravel()
    index = (top.astype(np.int32) % cells) * (cells + 1) + left.astype(np.int32) % cells
    upper, lower = padded.take(index), padded.take(index + cells + 1)
    upper += across * (padded.take(index + 1) - upper)
    lower += across * (padded.take(index + cells + 2) - lower)
    return upper + down * (lower - upper)


def occluder_cover(occluder: Occluder, box: np.ndarray, scale: float, size: tuple[int, int]) -> np.ndarray:
    """The mask of an occluder.

    Args:
        occluder: its shape and place.
        box: (2, 2) the person's bounding box in pixels: (least, largest) of (x, y).
        scale: factor of the occluder's size.
        size: width and height of the image.

    Returns:
        (height, width) in 0..1: coverage of each pixel.
    """
    width, height = size
    middle = box[0] + np.array(occluder.place) * (box[1] - box[0])
    right = (np.arange(width) + 0.5 - middle[0]).astype(np.float32)
    down = (np.arange(height) + 0.5 - middle[1]).astype(np.float32)[:, None]
    half = np.array(occluder.size) * scale * (box[1] - box[0]).max() / 2
    if occluder.kind == "disc":
        return np.clip(half[0] + 0.5 - np.sqrt(right**2 + down**2), 0.0, 1.0)
    cosine, sine = (float(f(np.radians(occluder.angle))) for f in (np.cos, np.sin))
    outside = np.abs(cosine * down - sine * right) - half[1]
    if occluder.kind == "box":
        outside = np.maximum(outside, np.abs(cosine * right + sine * down) - half[0])
    return np.clip(0.5 - outside, 0.0, 1.0)


def paint_occluder(image: Image.Image, cover: np.ndarray, occluder: Occluder) -> None:
    """Draws an occluder, a little darker toward the bottom.

    Args:
        image: RGB, changed in place.
        cover: (height, width) in 0..1: coverage of each pixel.
        occluder: its color.
    """
    shade = np.linspace(1.08, 0.78, image.height, dtype=np.float32)[:, None, None]
    colors = np.minimum(shade * np.array(occluder.color, dtype=np.float32), 255.0).astype(np.uint8)
    layer = Image.fromarray(np.repeat(colors, image.width, axis=1))
    image.paste(layer, mask=Image.fromarray((255.0 * cover).astype(np.uint8)))


def apply_sensor_noise(image: Image.Image, sensor: Sensor) -> Image.Image:
    """Blurs an image and adds noise.

    Args:
        image: RGB, left unchanged.
        sensor: strength of both, and the seed of the noise.
    """
    if sensor.blur > 0:
        image = image.filter(ImageFilter.GaussianBlur(sensor.blur * image.width / 224))
    if sensor.noise > 0:
        rng = np.random.default_rng(sensor.seed)
        grain = rng.standard_normal((image.height, image.width, 1), dtype=np.float32) * np.float32(sensor.noise)
        image = Image.fromarray(np.clip(np.asarray(image) + grain + 0.5, 0.0, 255.0).astype(np.uint8))
    return image
