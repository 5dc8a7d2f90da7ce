"""A person cut out of a picture, as an encoded square."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image

from unipose.training.datasets.importers.errors import DatasetError, Source, damaged, missing


# A box this many times as long as the picture's longer side is a mistake (pixels taken for metres, or the like).
LARGEST_BOX = 8.0
# What pillow raises for a file that is cut off, garbage or a bomb.
BROKEN_PICTURE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Crop:
    """How a person is cut out.

    Args:
        expand: the box's side, times this; HMR2's boxes have a margin already. HMR2 itself takes 4/3 of a square box,
            so that a wide person fits into the 3/4 of the width that a 256 x 192 pose tower sees.
        max_size: larger squares are shrunk to this many pixels.
        quality: of the JPEG.

    Raises:
        ValueError: a number is out of range.
    """

    expand: float = 1.0
    max_size: int = 336
    quality: int = 92

    def __post_init__(self) -> None:
        if not 0.5 <= self.expand <= 4:
            raise ValueError(f"expand is {self.expand}; accepted: 0.5 to 4")
        if self.max_size < 16 or not 1 <= self.quality <= 100:
            raise ValueError(f"max_size is {self.max_size}, quality {self.quality}; accepted: from 16, and 1 to 100")

    def cut(self, picture: Image.Image, center: npt.ArrayLike, side: float, where: str) -> bytes:
        """A JPEG of the square around `center` (x, y) with `side`, in pixels; black beyond the picture's border.

        Raises:
            DatasetError: the box is no box, lies wholly beside the picture or is far larger than it.
        """
        x, y = (float(value) for value in np.asarray(center, dtype=np.float64))
        side = float(side) * self.expand
        width, height = picture.size
        reach = side / 2
        inside = -reach < x < width + reach and -reach < y < height + reach
        if not (inside and 1 <= side <= LARGEST_BOX * max(width, height)):
            raise DatasetError(
                f"{where}: a box of {side:.6g} pixels around ({x:.6g}, {y:.6g}) is no part of a picture of {width} x "
                f"{height}; accepted: a box that meets the picture, at most {LARGEST_BOX:g} times as long as it"
            )
        # Whole pixels, so that a box as large as the picture is the picture itself.
        length = max(1, round(side))
        left, top = round(x - length / 2), round(y - length / 2)
        square = picture.convert("RGB").crop((left, top, left + length, top + length))
        if length > self.max_size:
            square = square.resize((self.max_size, self.max_size), Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        square.save(stream, "JPEG", quality=self.quality)
        return stream.getvalue()


def open_picture(path: Path, source: Source, hint: str = "") -> Image.Image:
    """A picture, its pixels as stored: boxes are measured before any turn that its EXIF data asks for.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    if not path.is_file():
        raise missing(path, source, hint)
    try:
        return _decode(path.open("rb"))
    except BROKEN_PICTURE as error:
        raise damaged(path, error, source) from error


def decode_picture(content: bytes, where: str, source: Source) -> Image.Image:
    """As `open_picture`, from memory.

    Raises:
        DatasetError: it is damaged; the message names `where`.
    """
    try:
        return _decode(io.BytesIO(content))
    except BROKEN_PICTURE as error:
        raise DatasetError(f"{where} cannot be read as a picture: {error}. {source}.") from error


def _decode(stream: IO[bytes]) -> Image.Image:
    with stream, Image.open(stream) as picture:
        picture.load()
        return picture.copy()
