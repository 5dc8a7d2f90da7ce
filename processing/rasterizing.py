"""A camera and a z-buffer in numpy: the visible face of each pixel, for a whole mesh at once.

Everything here lives in the y-up world of `BodyOutput`: +x is the left of a body that faces the camera at azimuth 0.
"""

from dataclasses import dataclass

import numpy as np


# Pixels by which a face's rows reach past its edges, so that rounding leaves no gap between neighbors.
EDGE_OVERLAP = 1e-4


@dataclass(frozen=True)
class Camera:
    """A perspective camera that faces the middle of the body from a distance at which all of it is visible.

    Args:
        azimuth: Degrees around the vertical; 0 is at +z, 90 at the left (+x) of a body that faces +z.
        elevation: Degrees above the horizon.
        field_of_view: Degrees across the shorter side of the image.
        zoom: 1 fills the image up to a margin; less leaves a wider margin.
        roll: Degrees by which the camera leans to its right, which rotates the image to the left.
    """

    azimuth: float = 0.0
    elevation: float = 10.0
    field_of_view: float = 28.0
    zoom: float = 1.0
    roll: float = 0.0

    def axes(self) -> np.ndarray:
        """(3, 3): the camera's right, up and backward directions as rows."""
        azimuth, tilt, roll = np.radians((self.azimuth, self.elevation, self.roll))
        backward = np.array([np.sin(azimuth) * np.cos(tilt), np.sin(tilt), np.cos(azimuth) * np.cos(tilt)])
        level = np.array([np.cos(azimuth), 0.0, -np.sin(azimuth)])
        upright = np.cross(backward, level)
        right = np.cos(roll) * level - np.sin(roll) * upright
        return np.stack([right, np.cross(backward, right), backward])


@dataclass(frozen=True)
class Projection:
    """A camera placed so that a mesh fills the image.

    Args:
        axes: (3, 3) right, up and backward directions as rows.
        position: (3,) meters.
        focal: Focal length in pixels.
        center: (2,) principal point in pixels.
    """

    axes: np.ndarray
    position: np.ndarray
    focal: float
    center: np.ndarray

    @classmethod
    def fit(cls, vertices: np.ndarray, camera: Camera, width: int, height: int) -> "Projection":
        """Places a camera so that a mesh is visible, with a margin of 8 % of the image.

        Args:
            vertices: (V, 3) meters, y up.
            camera: Direction and field of view.
            width: Pixels.
            height: Pixels.
        """
        axes = camera.axes()
        around = vertices @ axes.T
        middle = (around.min(axis=0) + around.max(axis=0)) / 2
        half_widths = np.abs(around[:, :2] - middle[:2])
        focal = min(width, height) / 2 / np.tan(np.radians(camera.field_of_view / 2))
        slopes = 0.92 * camera.zoom * np.array([width, height]) / 2 / focal
        distance = (half_widths / slopes + (around[:, 2] - middle[2])[:, None]).max()
        position = (middle + np.array([0.0, 0.0, distance])) @ axes
        return cls(axes=axes, position=position, focal=focal, center=np.array([width, height]) / 2)

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) world -> (n, 3): meters to the right, up, and away from the camera."""
        return ((points - self.position) @ self.axes.T * np.array([1.0, 1.0, -1.0])).astype(np.float32)

    def to_screen(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) in camera space -> (n, 2) pixels, x to the right and y downward."""
        return (self.center + points[:, :2] / points[:, 2:] * np.array([self.focal, -self.focal])).astype(np.float32)

    def ground_points(self, rows: np.ndarray, columns: np.ndarray, ground: float) -> np.ndarray:
        """The place on the ground behind each pixel.

        Args:
            rows: (R,) pixels.
            columns: (C,) pixels.
            ground: Height in meters.

        Returns:
            (2, R, C): x and z in meters; NaN above the horizon.
        """
        right = ((columns + 0.5 - self.center[0]) / self.focal)[None, :]
        up = ((self.center[1] - rows - 0.5) / self.focal)[:, None]
        x, y, z = (
            (right * self.axes[0, axis]).astype(np.float32)
            + (up * self.axes[1, axis] - self.axes[2, axis]).astype(np.float32)
            for axis in range(3)
        )
        drop = np.float32(ground - self.position[1])
        reach = drop / np.where(y * drop > 0, y, np.float32(np.nan))
        return np.stack([x * reach + np.float32(self.position[0]), z * reach + np.float32(self.position[2])])


@dataclass(frozen=True)
class Fragments:
    """The visible surface of a mesh, pixel by pixel.

    Args:
        pixels: (P,) flat indices of the covered pixels, in order.
        hit: (P,) index of the visible face.
        corners: (P, 3) vertices of that face.
        shares: (P, 3) barycentric coordinates of the pixel.
    """

    pixels: np.ndarray
    hit: np.ndarray
    corners: np.ndarray
    shares: np.ndarray

    def take(self, chosen: np.ndarray) -> "Fragments":
        """The fragments with these indices."""
        return Fragments(*(array.take(chosen, axis=0) for array in (self.pixels, self.hit, self.corners, self.shares)))

    def blend(self, values: np.ndarray) -> np.ndarray:
        """(V, C) values of the vertices -> (P, C) values of the pixels."""
        values = values.astype(np.float32, copy=False)
        first, second, third = (
            values.take(self.corners[:, corner], axis=0) * self.shares[:, corner, None] for corner in range(3)
        )
        first += second
        first += third
        return first


def rasterize(screen: np.ndarray, nearness: np.ndarray, faces: np.ndarray, shape: tuple[int, int]) -> Fragments:
    """The nearest front face of every pixel, for all faces at once.

    Each face becomes runs of covered pixels, one per row; the runs of all faces share one z-buffer.

    Args:
        screen: (V, 2) pixels.
        nearness: (V,) one over the distance, positive.
        faces: (F, 3) vertex indices.
        shape: (height, width).
    """
    height, width = shape
    x, y = screen.astype(np.float64).take(faces, axis=0).transpose(2, 1, 0)
    doubled_area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    front = np.flatnonzero(doubled_area < 0)
    x, y, doubled_area = x[:, front], y[:, front], doubled_area[front]

    # A corner's share is `across` * x + `down` * y + `start`; the nearness is linear too.
    across = (y[[1, 2, 0]] - y[[2, 0, 1]]) / doubled_area
    down = (x[[2, 0, 1]] - x[[1, 2, 0]]) / doubled_area
    start = -(across * x[[2, 0, 1]] + down * y[[2, 0, 1]])
    corners = faces[front]
    near = nearness.astype(np.float64)[corners.T]
    near_across, near_down, near_start = ((plane * near).sum(axis=0) for plane in (across, down, start))

    top = np.clip(np.ceil(y.min(axis=0) - 0.5), 0, height).astype(np.int64)
    bottom = np.clip(np.floor(y.max(axis=0) - 0.5), -1, height - 1).astype(np.int64)
    face, row = expand(top, np.maximum(bottom - top + 1, 0))
    left, right = row_ends(across, down, start, face, row + 0.5)
    first = np.clip(np.ceil(left - 0.5 - EDGE_OVERLAP), 0, width).astype(np.int64)
    end = np.clip(np.floor(right + 0.5 + EDGE_OVERLAP), 0, width).astype(np.int64)
    near_first = near_across.take(face) * (first + 0.5) + near_down.take(face) * (row + 0.5) + near_start.take(face)

    first += row * width
    run, pixel = expand(first, np.maximum(end + row * width - first, 0))
    steps = (pixel - first.take(run)).astype(np.float32)
    steps *= near_across.astype(np.float32).take(face).take(run)
    depth = near_first.astype(np.float32).take(run) + steps
    nearest = np.zeros(height * width, dtype=np.float32)
    np.maximum.at(nearest, pixel, depth)
    visible = np.flatnonzero(depth == nearest.take(pixel))
    winner = np.empty(height * width, dtype=np.int32)
    winner[pixel.take(visible)] = face.take(run.take(visible))

    pixels = np.flatnonzero(nearest > 0)
    hit = winner.take(pixels)
    place_y, place_x = np.divmod(pixels, width)
    shares = [
        across[corner].take(hit) * (place_x + 0.5) + down[corner].take(hit) * (place_y + 0.5) + start[corner].take(hit)
        for corner in range(2)
    ]
    weights = np.stack([*shares, 1.0 - shares[0] - shares[1]], axis=1).astype(np.float32)
    return Fragments(pixels=pixels, hit=front.take(hit), corners=corners.take(hit, axis=0), shares=weights)


def row_ends(
    across: np.ndarray, down: np.ndarray, start: np.ndarray, face: np.ndarray, height: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the runs: the least and the largest x at which no corner's share is negative.

    Args:
        across: (3, F) share gained per pixel in x.
        down: (3, F) share gained per pixel in y.
        start: (3, F) share at the origin.
        face: (R,) face of each run.
        height: (R,) y of each run in pixels.

    Returns:
        (R,) left and (R,) right ends in pixels.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        slope, zero = -down / across, -start / across
    level = across == 0
    slope[level] = 0.0
    left = np.full(len(face), -np.inf)
    right = np.full(len(face), np.inf)
    for corner in range(3):
        crossing = slope[corner].take(face) * height
        rising = across[corner] > 0
        np.maximum(left, crossing + np.where(rising, zero[corner], -np.inf).take(face), out=left)
        falling = across[corner] < 0
        np.minimum(right, crossing + np.where(falling, zero[corner], np.inf).take(face), out=right)
    return left, right


def expand(starts: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Concatenates the ranges start .. start + count - 1.

    Args:
        starts: (n,) integers.
        counts: (n,) integers, not negative.

    Returns:
        The index of the range, and the number, of each element.
    """
    index = np.repeat(np.arange(len(counts)), counts)
    return index, np.arange(len(index)) + (starts - np.cumsum(counts) + counts).take(index)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals that point out of a closed mesh.

    Args:
        vertices: (V, 3) meters.
        faces: (F, 3) vertex indices, counter-clockwise from outside.

    Returns:
        (V, 3) in the frame of `vertices`.
    """
    first, second, third = (vertices.take(faces[:, corner], axis=0).T for corner in range(3))
    ahead, aside = second - first, third - first
    outward = [
        ahead[1] * aside[2] - ahead[2] * aside[1],
        ahead[2] * aside[0] - ahead[0] * aside[2],
        ahead[0] * aside[1] - ahead[1] * aside[0],
    ]
    corners = faces.ravel()
    normals = np.stack([np.bincount(corners, np.repeat(axis, 3), len(vertices)) for axis in outward], axis=1)
    return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)).astype(np.float32)
