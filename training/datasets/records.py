"""What every source of data gives, ours and everyone's: poses, pairs of poses and pictures with their texts.

Loaders, samplers and captioners make records; `rows` turns them into training rows. Poses are (22, 3) rotation vectors
in radians, float32, in the stored z-up frame.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


Rotvecs = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PoseRecord:
    """A pose and texts that describe it.

    Args:
        name: where it comes from, unique in its source: "CMU/01/01_01_poses.npz:120".
        rotvecs: (22, 3).
        captions: any number of descriptions.
    """

    name: str
    rotvecs: Rotvecs
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class PosePairRecord:
    """Two poses and texts that say what turns the first into the second.

    Args:
        name: unique in its source.
        first, second: (22, 3).
        texts: any number of instructions or differences.
        same_sequence: both are frames of one motion, so that a turn of the whole body means something.
    """

    name: str
    first: Rotvecs
    second: Rotvecs
    texts: tuple[str, ...] = ()
    same_sequence: bool = False


@dataclass(frozen=True)
class PictureRecord:
    """A picture of one person, the pose as the camera sees it, and texts about it.

    Args:
        name: unique in its source.
        image: an encoded picture, cropped around the person.
        rotvecs: (22, 3).
        captions: any number of descriptions.
    """

    name: str
    image: bytes
    rotvecs: Rotvecs
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class PicturePairRecord:
    """Two pictures of single persons and texts that say how the second pose differs from the first."""

    name: str
    first: PictureRecord
    second: PictureRecord
    texts: tuple[str, ...] = ()
    same_sequence: bool = False
