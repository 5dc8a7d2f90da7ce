"""Records, the form of all data before it becomes rows: poses, pose pairs, images and image pairs with their texts.

`generation` and the importers yield records; `rows` turns them into training rows. Poses are (22, 3) rotation vectors
in radians, float32, in the stored z-up frame.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


Rotvecs = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PoseRecord:
    """A pose and its captions.

    Args:
        name: unique in its dataset, such as "CMU/01/01_01_poses.npz:120".
        rotvecs: (22, 3).
        captions: any number of descriptions, or answers to the question in `prompt`.
        prompt: the template of its rows, with the placeholders of the task; drawn where empty.
    """

    name: str
    rotvecs: Rotvecs
    captions: tuple[str, ...] = ()
    prompt: str = ""


@dataclass(frozen=True)
class PosePairRecord:
    """Two poses and texts about how the second differs from the first.

    Args:
        name: unique in its dataset.
        first, second: (22, 3).
        texts: any number of instructions or differences.
        same_sequence: both are frames of one motion, so that a change of heading is meaningful.
        prompt: the template of its rows, with the placeholders of the task; drawn where empty.
    """

    name: str
    first: Rotvecs
    second: Rotvecs
    texts: tuple[str, ...] = ()
    same_sequence: bool = False
    prompt: str = ""


@dataclass(frozen=True)
class ChainRecord:
    """A chat about one body: every turn of the user is answered with a pose.

    Args:
        name: unique in its dataset.
        poses: (22, 3) each, in the order of their placeholders and answers.
        turns: what the user says; only the first may have the placeholder {pose}.
    """

    name: str
    poses: tuple[Rotvecs, ...]
    turns: tuple[str, ...]


@dataclass(frozen=True)
class ImageRecord:
    """An image of one person, the pose, and its captions.

    Args:
        name: unique in its dataset.
        image: an encoded image, cropped around the person.
        rotvecs: (22, 3), the heading relative to the camera.
        captions: any number of descriptions.
    """

    name: str
    image: bytes
    rotvecs: Rotvecs
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageAnswerRecord:
    """An image, with or without a person, and an answer about it.

    Args:
        name: unique in its dataset.
        image: an encoded image.
        answer: one or more sentences.
        prompt: the question with the placeholder {image}; drawn from the templates of image-to-text where empty.
    """

    name: str
    image: bytes
    answer: str
    prompt: str = ""


@dataclass(frozen=True)
class ImagePairRecord:
    """Two images of single persons and texts about how the second pose differs from the first.

    Args:
        name: unique in its dataset.
        first, second: the images.
        texts: any number of differences.
        same_sequence: both are frames of one motion.
    """

    name: str
    first: ImageRecord
    second: ImageRecord
    texts: tuple[str, ...] = ()
    same_sequence: bool = False
