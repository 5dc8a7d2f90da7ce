"""The style of a synthetic image: everything but the pose, as data (body, camera, light, background, occluders).

`ImageStyle()` is the plain style of `render_pose`; `random_styles` draws others.
"""

from dataclasses import dataclass, field

from unipose.processing.clothing import Clothes, Color
from unipose.processing.rasterizing import Camera
from unipose.processing.rendering import BACKGROUND, Light
from unipose.training.synthetic_images.body_shapes import BodyShape
from unipose.training.synthetic_images.props import Prop
from unipose.training.synthetic_images.shading import Fabric
from unipose.training.synthetic_images.skirts import Skirt


PATTERNS = ("solid", "gradient", "glow", "stripes", "checks", "blobs", "clouds", "grain")
FLOOR_PATTERNS = ("solid", "stripes", "checks", "blobs")
# Joints that a crop leaves out of the frame; they may still be inside the image where the pose brings them there.
CROPS: dict[str, tuple[str, ...]] = {
    "full": (),
    "three-quarter": ("knee", "ankle", "foot"),
    "upper": ("hip", "knee", "ankle", "foot"),
}
OCCLUDERS = ("box", "bar", "disc")


@dataclass(frozen=True)
class Framing:
    """Crop, size and place of the person in the image.

    Args:
        crop: a key of `CROPS`.
        fill: fraction of the image that the person, or the part that the crop keeps, takes in the longer direction.
        shift: (right, down): 0 is centered, 1 touches the border.

    Raises:
        ValueError: an unknown crop, or `fill` out of range.
    """

    crop: str = "full"
    fill: float = 0.92
    shift: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise ValueError(f"crop is {self.crop!r}; expected one of {', '.join(CROPS)}")
        if not 0.1 <= self.fill <= 1.3:
            raise ValueError(f"fill is {self.fill}; expected 0.1 to 1.3")


@dataclass(frozen=True)
class Pattern:
    """A pattern of two colors.

    Args:
        kind: one of `PATTERNS`.
        color, second: RGB in 0..255.
        repeats: number of stripes, checks and blobs, across the image or a meter of floor.
        angle: rotation in degrees.
        seed: seed of blobs, clouds and grain.

    Raises:
        ValueError: an unknown kind.
    """

    kind: str = "solid"
    color: Color = BACKGROUND
    second: Color = BACKGROUND
    repeats: float = 4.0
    angle: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in PATTERNS:
            raise ValueError(f"kind is {self.kind!r}; expected one of {', '.join(PATTERNS)}")


@dataclass(frozen=True)
class Background:
    """Wall or sky, floor, things behind the person, and shadow.

    Args:
        wall: fills the image.
        floor: lies on the ground up to the wall, or None.
        depth: meters from the person to the wall; outdoors, far away, the floor ends near the horizon.
        props: things between wall and person, the first farthest.
        shadow: darkness of the shadow on the ground, 0..1.
        slant: direction of the shadow: 0 is straight down, 1 follows the light.
    """

    wall: Pattern = field(default_factory=Pattern)
    floor: Pattern | None = None
    depth: float = 2.0
    props: tuple[Prop, ...] = ()
    shadow: float = 0.38
    slant: float = 0.0


@dataclass(frozen=True)
class Occluder:
    """An object in front of the person; it shrinks where it would hide too much.

    Args:
        kind: one of `OCCLUDERS`; a bar spans the whole image.
        place: (right, down) of its center, in fractions of the person's bounding box.
        size: (width, height) in fractions of that box's larger side; a disc uses the first, a bar the second.
        angle: degrees.
        color: RGB in 0..255.

    Raises:
        ValueError: an unknown kind.
    """

    kind: str
    place: tuple[float, float]
    size: tuple[float, float]
    angle: float
    color: Color

    def __post_init__(self) -> None:
        if self.kind not in OCCLUDERS:
            raise ValueError(f"kind is {self.kind!r}; expected one of {', '.join(OCCLUDERS)}")


@dataclass(frozen=True)
class Bystander:
    """Another person, on the same ground and farther from the image's center than the main person.

    Args:
        side: 1 to the right of the main person as the camera sees it, -1 to the left.
        overlap: fraction of the main person's half width that the bystander overlaps, to 0.5; negative is a gap.
        depth: meters behind the main person.
        clothes, shape, fabric, skirt: as of the main person.

    Raises:
        ValueError: another side, or an overlap above 0.5.
    """

    side: int
    overlap: float
    depth: float
    clothes: Clothes
    shape: BodyShape
    fabric: Fabric = field(default_factory=Fabric)
    skirt: Skirt | None = None

    def __post_init__(self) -> None:
        if self.side not in (-1, 1) or self.overlap > 0.5:
            raise ValueError(
                f"side is {self.side} and overlap {self.overlap}; expected 1 (right) or -1 (left), and at most 0.5"
            )


@dataclass(frozen=True)
class Sensor:
    """Blur, noise and compression of the image.

    Args:
        blur: radius in 1/224 of the image's width.
        noise: standard deviation in 1/255.
        jpeg_quality: 1..95, or None for PNG.
        seed: seed of the noise.
    """

    blur: float = 0.0
    noise: float = 0.0
    jpeg_quality: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class ImageStyle:
    """Everything in an image but the pose. The pose has the heading, so the camera's azimuth is 0.

    Args:
        clothes, shape, fabric, skirt: of the person; no skirt by default.
        camera, framing: where the person is seen from, and in the image.
        light: the lamps.
        self_shadow: share of the lamp's light that people take from themselves and from each other, 0..1.
        background: everything behind the person.
        occluders: things in front of the person.
        bystanders: other people.
        sensor: blur, noise and compression.

    Raises:
        ValueError: the camera's azimuth is not 0.
    """

    clothes: Clothes = field(default_factory=Clothes)
    shape: BodyShape = field(default_factory=BodyShape)
    fabric: Fabric = field(default_factory=Fabric)
    skirt: Skirt | None = None
    camera: Camera = field(default_factory=Camera)
    framing: Framing = field(default_factory=Framing)
    light: Light = field(default_factory=Light)
    self_shadow: float = 0.0
    background: Background = field(default_factory=Background)
    occluders: tuple[Occluder, ...] = ()
    bystanders: tuple[Bystander, ...] = ()
    sensor: Sensor = field(default_factory=Sensor)

    def __post_init__(self) -> None:
        if self.camera.azimuth != 0.0:
            raise ValueError(
                f"the camera's azimuth is {self.camera.azimuth}; expected 0: rotate the pose instead, its heading is "
                "relative to the camera"
            )
