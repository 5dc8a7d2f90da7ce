"""Square crops of one person, encoded as JPEG."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image

from unipose.training.datasets.importers.errors import DatasetError, Source, damaged_error, missing_error


# A box larger than this many times the image's longer side is an error (such as another unit than pixels).
MAX_BOX_RATIO = 8.0
# Errors of pillow for files that are truncated, damaged or decompression bombs.
IMAGE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Crop:
    """Options of a crop.

    Args:
        expand: factor of the box's side; HMR2's boxes have a margin already. HMR2 itself uses 4/3 of a square box, so
            that a wide person fits into the 3/4 of the width that a 256 x 192 pose encoder receives.
        max_size: larger squares are resized to this many pixels.
        quality: quality of the JPEG.

    Raises:
        ValueError: a number is out of range.
    """

    expand: float = 1.0
    max_size: int = 336
    quality: int = 92

    def __post_init__(self) -> None:
        if not 0.5 <= self.expand <= 4:
            raise ValueError(f"expand is {self.expand}; expected 0.5 to 4")
        if self.max_size < 16 or not 1 <= self.quality <= 100:
            raise ValueError(f"max_size is {self.max_size}, quality {self.quality}; expected 16 or more, 1 to 100")

    def cut(self, image: Image.Image, center: npt.ArrayLike, side: float, where: str) -> bytes:
        """Crops a square, black beyond the image's border, and encodes it as JPEG.

        Args:
            image: the whole image.
            center: (x, y) of the box in pixels.
            side: side of the box in pixels, before `expand`.
            where: names the row in errors.

        Raises:
            DatasetError: the box is empty, entirely outside the image or far larger than it.
        """
        x, y = (float(value) for value in np.asarray(center, dtype=np.float64))
        side = float(side) * self.expand
        width, height = image.size
        half = side / 2
        intersects = -half < x < width + half and -half < y < height + half
        if not (intersects and 1 <= side <= MAX_BOX_RATIO * max(width, height)):
            raise DatasetError(
                f"{where}: got a box of {side:.6g} pixels around ({x:.6g}, {y:.6g}) in an image of {width} x "
                f"{height}; expected one that intersects the image, at most {MAX_BOX_RATIO:g} times as large"
            )
        # Whole pixels, so that a box of the image's size gives the image itself.
        length = max(1, round(side))
        left, top = round(x - length / 2), round(y - length / 2)
        square = image.convert("RGB").crop((left, top, left + length, top + length))
        if length > self.max_size:
            square = square.resize((self.max_size, self.max_size), Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        square.save(stream, "JPEG", quality=self.quality)
        return stream.getvalue()


def open_image(path: Path, source: Source, hint: str = "") -> Image.Image:
    """Opens an image with its pixels as stored: boxes refer to them, not to the EXIF orientation.

    Args:
        path: path of the image.
        source: where to get the dataset, for errors.
        hint: why the file is needed.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    if not path.is_file():
        raise missing_error(path, source, hint)
    try:
        return _decode(path.open("rb"))
    except IMAGE_ERRORS as error:
        raise damaged_error(path, error, source) from error


def decode_image(content: bytes, where: str, source: Source) -> Image.Image:
    """Opens an encoded image in memory, as `open_image`.

    Args:
        content: its bytes.
        where: names it in errors.
        source: where to get the dataset, for errors.

    Raises:
        DatasetError: it is damaged.
    """
    try:
        return _decode(io.BytesIO(content))
    except IMAGE_ERRORS as error:
        raise DatasetError(f"{where} cannot be read as an image: {error}. {source}.") from error


def _decode(stream: IO[bytes]) -> Image.Image:
    with stream, Image.open(stream) as image:
        image.load()
        return image.copy()
