"""MediaPipe's landmarks of one person -> places of keypoints.

The landmarks of the image are more exact in its plane than those of the world, whose depth alone is used. A linear
map, `photo_correction`, then takes away the errors that they have in the mean, depth above all. Landmarks outside the
image are guesses, and are left out; hidden ones inside are better than a limb at rest.
"""

import base64
from functools import cache

import numpy as np
import numpy.typing as npt

from .photo_correction import CORRECTION, SCALE


# Those that `inverse_kinematics` uses: nose, ears, arms, legs, heels and toes.
USED = (0, 7, 8, 11, 12, 13, 14, 15, 16, *range(23, 33))
HIPS = (23, 24)
# Estimated where they are outside, too: without them there is no pose.
TRUNK = (11, 12, *HIPS)

Array = npt.NDArray[np.float64]


def place_landmarks(world: npt.ArrayLike, image: npt.ArrayLike, size: tuple[int, int]) -> Array:
    """The keypoints of a person.

    Args:
        world: (33, 3) landmarks in meters: x to the right of the image, y down, z away from the camera.
        image: (33, 2) landmarks as shares of the image's width and height.
        size: width and height of the image in pixels.

    Returns:
        (33, 4): places from the middle of the hips in the same axes, and 1 where a landmark counts, otherwise 0.
    """
    places, shares = join_landmarks(world, image, size), np.asarray(image)
    used = list(USED)
    places[used] += (places[used].ravel() @ correction()).reshape(-1, 3)
    counts: npt.NDArray[np.bool_] = np.asarray(((shares >= 0) & (shares <= 1)).all(axis=1))
    counts[list(TRUNK)] = True
    return np.column_stack([places, counts])


def join_landmarks(world: npt.ArrayLike, image: npt.ArrayLike, size: tuple[int, int]) -> Array:
    """(33, 3): the landmarks of the image, in meters, with the depths of the world's, from the middle of the hips.

    Args:
        world: As in `place_landmarks`, as the others.
        image: (33, 2).
        size: width and height.
    """
    places, flat = np.array(world, dtype=np.float64), np.asarray(image, dtype=np.float64) * size
    used = list(USED)
    given, wanted = (each[used] - each[used].mean(axis=0) for each in (flat, places[:, :2]))
    places[:, :2] = flat * (given * wanted).sum() / (given * given).sum()
    return places - places[list(HIPS)].mean(axis=0)


@cache
def correction() -> Array:
    """(57, 57): what is added to the 19 used places, from them all; rows and columns are x, y and z of each."""
    numbers = np.frombuffer(base64.b64decode(CORRECTION), dtype=np.int8)
    return SCALE * numbers.astype(np.float64).reshape(3 * len(USED), 3 * len(USED))
