"""Helpers of the tools that draw sheets of images: stacking, headings, and saving."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from unipose.processing.rendering import TEXT_COLOR


HEADING_SIZE = 18  # pixels


def stack(images: Sequence[Image.Image], gap: int = 4, horizontal: bool = False) -> Image.Image:
    """RGB images below each other, or side by side.

    Args:
        images: images from top to bottom, or from left to right.
        gap: white pixels between two images.
        horizontal: side by side.
    """
    widths, heights = [image.width for image in images], [image.height for image in images]
    gaps = gap * (len(images) - 1)
    size = (sum(widths) + gaps, max(heights)) if horizontal else (max(widths), sum(heights) + gaps)
    stacked = Image.new("RGB", size, "white")
    position = 0
    for image in images:
        stacked.paste(image, (position, 0) if horizontal else (0, position))
        position += (image.width if horizontal else image.height) + gap
    return stacked


def stack_with_headings(sheets: dict[str, Image.Image]) -> Image.Image:
    """{heading: sheet} -> one image, each sheet below its heading."""
    return stack([part for text, sheet in sheets.items() for part in (_heading_strip(text, sheet.width), sheet)])


def _heading_strip(text: str, width: int) -> Image.Image:
    strip = Image.new("RGB", (width, 2 * HEADING_SIZE), "white")
    font = ImageFont.load_default(size=HEADING_SIZE)
    ImageDraw.Draw(strip).text((14, HEADING_SIZE // 2), text, fill=TEXT_COLOR, font=font)
    return strip


def save_sheet(sheet: Image.Image, path: str, colors: int | None = None) -> None:
    """Saves an image, and prints its path. Creates missing folders.

    Args:
        sheet: the image.
        path: where it is saved; the ending decides the format.
        colors: number of palette colors, for a smaller PNG; None: full color.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if colors is None:
        sheet.save(path, quality=85)
    else:
        sheet.quantize(colors).save(path, optimize=True)
    print(f"wrote {path}")
