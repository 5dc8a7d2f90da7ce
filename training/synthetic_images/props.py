"""Things behind the person: furniture, frames on the wall, poles, balls, trees and hills."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw

from unipose.processing.clothing import Color


Part = tuple[Literal["rectangle", "ellipse"], Literal["color", "second"], tuple[float, float, float, float]]

# The parts of each kind: shape, color, and (left, top, right, bottom) as shares of the prop's width and height.
PARTS: dict[str, tuple[Part, ...]] = {
    "crate": (("rectangle", "color", (0.0, 0.2, 1.0, 1.0)), ("rectangle", "second", (0.0, 0.0, 1.0, 0.2))),
    "frame": (("rectangle", "second", (0.0, 0.0, 1.0, 1.0)), ("rectangle", "color", (0.1, 0.1, 0.9, 0.9))),
    "pole": (("rectangle", "color", (0.4, 0.05, 0.6, 1.0)), ("ellipse", "second", (0.1, 0.0, 0.9, 0.12))),
    "ball": (("ellipse", "color", (0.0, 0.0, 1.0, 1.0)), ("ellipse", "second", (0.2, 0.15, 0.5, 0.4))),
    "tree": (("rectangle", "second", (0.42, 0.5, 0.58, 1.0)), ("ellipse", "color", (0.0, 0.0, 1.0, 0.7))),
    "hill": (("ellipse", "color", (0.0, 0.0, 1.0, 2.0)),),
}
PROPS = tuple(PARTS)


@dataclass(frozen=True)
class Prop:
    """A thing behind the person, drawn flat.

    Args:
        kind: one of `PROPS`.
        place: (right, down) of the middle of its lower edge, as shares of the image's width and height.
        size: (width, height), as shares of the image's width and height.
        color, second: RGB in 0..255 of its two parts.

    Raises:
        ValueError: an unknown kind.
    """

    kind: str
    place: tuple[float, float]
    size: tuple[float, float]
    color: Color
    second: Color

    def __post_init__(self) -> None:
        if self.kind not in PROPS:
            raise ValueError(f"kind is {self.kind!r}; expected one of {', '.join(PROPS)}")


def paint_props(image: Image.Image, props: Sequence[Prop]) -> None:
    """Draws props, the first farthest.

    Args:
        image: RGB; changed in place.
        props: what to draw.
    """
    draw = ImageDraw.Draw(image)
    for prop in props:
        width, height = prop.size[0] * image.width, prop.size[1] * image.height
        left, bottom = prop.place[0] * image.width - width / 2, prop.place[1] * image.height
        for shape, color, box in PARTS[prop.kind]:
            across = (left + box[0] * width, left + box[2] * width)
            down = (bottom + (box[1] - 1.0) * height, bottom + (box[3] - 1.0) * height)
            draw_shape = draw.rectangle if shape == "rectangle" else draw.ellipse
            fill = prop.color if color == "color" else prop.second
            draw_shape((across[0], down[0], across[1], down[1]), fill=fill)
