"""MediaPipe's landmarks of one person -> places of keypoints.

The landmarks of the image are more exact in its plane than those of the world, whose depth alone is used. A small
network, `photo_correction`, then takes away the errors that they have in the mean, depth above all. Landmarks outside
the image are guesses, and are left out; hidden ones inside are better than a limb at rest.
"""

import base64
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .photo_correction import HIDDEN, HIDDEN_SCALE, OUTPUT, OUTPUT_SCALE


# Those that `inverse_kinematics` uses: nose, ears, arms, legs, heels and toes.
USED = (0, 7, 8, 11, 12, 13, 14, 15, 16, *range(23, 33))
HIPS = (23, 24)
# Estimated where they are outside, too: without them there is no pose.
TRUNK = (11, 12, *HIPS)
# By landmark: that of the other side.
OTHER_SIDES = (0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(row for left in range(11, 33, 2) for row in (left + 1, left)))

Array = npt.NDArray[np.float64]


class FoundLandmarks(NamedTuple):
    """What MediaPipe finds of a person.

    Args:
        world: (33, 3) meters: x to the right of the image, y down, z away from the camera.
        image: (33, 2) shares of the image's width and height.
        visibility: (33,) from 0 to 1.
    """

    world: Array
    image: Array
    visibility: Array


def merge_mirrored(found: FoundLandmarks | None, mirrored: FoundLandmarks | None) -> FoundLandmarks | None:
    """The mean of what is found in an image and in its mirror image, which is more exact than one of them.

    Args:
        found: in the image; None: nobody.
        mirrored: in the mirror image.

    Returns:
        The landmarks in the image; None where neither shows somebody.
    """
    if mirrored is None:
        return found
    world, image, visibility = (values[list(OTHER_SIDES)] for values in mirrored)
    turned = FoundLandmarks(world * (-1, 1, 1), np.column_stack([1 - image[:, 0], image[:, 1]]), visibility)
    if found is None:
        return turned
    return FoundLandmarks(*((one + other) / 2 for one, other in zip(found, turned)))


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
    places[used] = correct(places[used])
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


def correct(places: Array) -> Array:
    """(19, 3): corrected places of the used keypoints, in the unit of the given ones.

    Args:
        places: (19, 3) from the middle of the hips.
    """
    size = np.linalg.norm(places, axis=-1).mean()
    hidden, output = correction()
    given = np.append(places / size, 1.0)
    seen = np.concatenate([np.maximum(given @ hidden, 0.0), given])
    return places + size * (seen @ output).reshape(places.shape)


@cache
def correction() -> tuple[Array, Array]:
    """The network's (58, h) and (h + 58, 57) weights: from the 19 used places (x, y and z of each, and 1) to h hidden
    units, and from both to what is added to the places."""
    columns = 3 * len(USED)
    hidden, output = (
        scale * np.frombuffer(base64.b64decode(data), dtype=np.int8).astype(np.float64)
        for scale, data in ((HIDDEN_SCALE, HIDDEN), (OUTPUT_SCALE, OUTPUT))
    )
    return hidden.reshape(columns + 1, -1), output.reshape(-1, columns)
