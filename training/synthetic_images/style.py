"""The style of a synthetic image: everything but the pose, as data (body, camera, light, background, occluders).

`ImageStyle()` is the plain style of `render_pose`; `random_style` draws others.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from unipose.processing.clothing import PRINTS, Clothes, Color, Outfit, Palette, hsv_color
from unipose.processing.rasterizing import Camera
from unipose.processing.rendering import BACKGROUND, Light
from unipose.training.synthetic_images.body_shapes import BodyShape


PATTERNS = ("solid", "gradient", "glow", "stripes", "checks", "blobs", "clouds", "grain")
FLOOR_PATTERNS = ("solid", "stripes", "checks", "blobs")
# Joints that a crop leaves out of the frame; they may still be inside the image where the pose brings them there.
CROPS: dict[str, tuple[str, ...]] = {
    "full": (),
    "three-quarter": ("knee", "ankle", "foot"),
    "upper": ("hip", "knee", "ankle", "foot"),
}
OCCLUDERS = ("box", "bar", "disc")

# Probability of each feature.
PLAIN_SHARE = 0.15
CROP_SHARES = (0.7, 0.18, 0.12)
FLOOR_SHARE = 0.5
SHADOW_SHARE = 0.7
OCCLUDER_SHARE = 0.2
BYSTANDER_SHARE = 0.2
BLUR_SHARE = 0.25
NOISE_SHARE = 0.35
PNG_SHARE = 0.1
NEUTRAL_CLOTHES_SHARE = 0.4
# Near black, white, grays, denim, khaki: (hue, saturation, value).
NEUTRALS = ((0.0, 0.0, 0.12), (0.0, 0.0, 0.92), (0.6, 0.05, 0.5), (0.6, 0.45, 0.4), (0.1, 0.3, 0.6), (0.62, 0.5, 0.22))


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
    """Wall, floor and shadow.

    Args:
        wall: fills the image.
        floor: lies on the ground up to the wall, or None.
        depth: meters from the person to the wall.
        shadow: darkness of the shadow on the ground, 0..1.
        slant: direction of the shadow: 0 is straight down, 1 follows the light.
    """

    wall: Pattern = field(default_factory=Pattern)
    floor: Pattern | None = None
    depth: float = 2.0
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
        clothes, shape: clothes and body shape, as of the main person.

    Raises:
        ValueError: another side, or an overlap above 0.5.
    """

    side: int
    overlap: float
    depth: float
    clothes: Clothes
    shape: BodyShape

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

    Raises:
        ValueError: the camera's azimuth is not 0.
    """

    clothes: Clothes = field(default_factory=Clothes)
    shape: BodyShape = field(default_factory=BodyShape)
    camera: Camera = field(default_factory=Camera)
    framing: Framing = field(default_factory=Framing)
    light: Light = field(default_factory=Light)
    background: Background = field(default_factory=Background)
    occluders: tuple[Occluder, ...] = ()
    bystander: Bystander | None = None
    sensor: Sensor = field(default_factory=Sensor)

    def __post_init__(self) -> None:
        if self.camera.azimuth != 0.0:
            raise ValueError(
                f"the camera's azimuth is {self.camera.azimuth}; expected 0: rotate the pose instead, its heading is "
                "relative to the camera"
            )


def random_style(rng: np.random.Generator, *, allow_bystander: bool = False) -> ImageStyle:
    """Draws a random style.

    Args:
        rng: source of all randomness.
        allow_bystander: lets some styles have a bystander, so that `render_image` needs a pose for it.
    """
    if rng.random() < PLAIN_SHARE:
        return plain_style(rng)
    has_bystander = allow_bystander and rng.random() < BYSTANDER_SHARE
    return ImageStyle(
        clothes=_clothes(rng),
        shape=BodyShape.random(rng),
        camera=Camera(
            elevation=float(rng.triangular(-10.0, 6.0, 35.0)),
            field_of_view=float(rng.uniform(18.0, 60.0)),
            roll=float(rng.normal(0.0, 2.5)) if rng.random() < 0.5 else 0.0,
        ),
        framing=_framing(rng),
        light=_light(rng),
        background=_background(rng),
        occluders=tuple(_occluder(rng) for _ in range(rng.random() < OCCLUDER_SHARE)),
        bystander=_bystander(rng) if has_bystander else None,
        sensor=_sensor(rng),
    )


def plain_style(rng: np.random.Generator) -> ImageStyle:
    """The style of `render_pose`, in clothes of random colors."""
    return ImageStyle(
        clothes=Clothes(palette=Palette.random(rng)), camera=Camera(elevation=float(rng.uniform(0.0, 12.0)))
    )


def _cloth_color(rng: np.random.Generator) -> Color:
    if rng.random() < NEUTRAL_CLOTHES_SHARE:
        hue, saturation, value = NEUTRALS[int(rng.integers(len(NEUTRALS)))]
        return hsv_color(hue, saturation, float(np.clip(value + rng.normal(0.0, 0.06), 0.04, 1.0)))
    return hsv_color(rng.random(), 0.15 + 0.7 * rng.random(), 0.2 + 0.7 * rng.random())


def _clothes(rng: np.random.Generator) -> Clothes:
    shirt, second, trousers, shoes = (_cloth_color(rng) for _ in range(4))
    one_piece = rng.random() < 0.1
    person = Palette.random(rng)
    palette = replace(
        person,
        shirt=shirt,
        print=second,
        trousers=shirt if one_piece else trousers,
        shoes=shoes,
        forearms=None,
        shins=person.skin,
    )
    outfit = Outfit(
        sleeve=float(rng.choice((0.05, 0.35, 0.55, 0.98), p=(0.15, 0.35, 0.1, 0.4)) + rng.uniform(-0.03, 0.05)),
        leg=float(rng.choice((0.3, 0.5, 0.75, 0.98), p=(0.12, 0.18, 0.1, 0.6)) + rng.uniform(-0.05, 0.05)),
        waist=float(rng.uniform(-0.06, 0.12)),
        neckline=float(rng.choice((-0.04, 0.05, 0.12), p=(0.2, 0.6, 0.2))),
        shoe=float(rng.choice((0.0, 0.03, 0.15), p=(0.3, 0.5, 0.2))),
        hairline=1.0 if rng.random() < 0.06 else float(rng.uniform(0.0, 0.6)),
        hair_length=float(rng.uniform(0.02, 0.14)) if rng.random() < 0.45 else 0.0,
        hair_volume=float(rng.uniform(0.0, 0.035)),
        looseness=float(rng.uniform(0.0, 0.022)),
        print=PRINTS[int(rng.choice(len(PRINTS), p=(0.55, 0.15, 0.1, 0.1, 0.1)))],
        repeats=float(rng.uniform(5.0, 16.0)),
    )
    return Clothes(palette=palette, outfit=outfit)


def _framing(rng: np.random.Generator) -> Framing:
    crop = tuple(CROPS)[int(rng.choice(len(CROPS), p=CROP_SHARES))]
    shift = np.clip(rng.normal(0.0, 0.45, 2), -1.0, 1.0)
    return Framing(crop=crop, fill=float(rng.triangular(0.55, 0.9, 1.08)), shift=(float(shift[0]), float(shift[1])))


def _light(rng: np.random.Generator) -> Light:
    around, up = rng.uniform(-100.0, 100.0), rng.uniform(10.0, 75.0)
    turn, tilt = np.radians((around, up))
    warmth = rng.normal(0.0, 0.07)
    exposure = rng.uniform(0.8, 1.15)
    contrast = rng.uniform(0.35, 0.7)
    return Light(
        direction=(float(np.sin(turn) * np.cos(tilt)), float(np.sin(tilt)), float(np.cos(turn) * np.cos(tilt))),
        strength=float(1.15 * contrast * exposure),
        sky=float(0.45 * (1.0 - contrast) * exposure),
        ambient=float((0.2 + 0.5 * (1.0 - contrast)) * exposure),
        color=(float(1.0 + warmth), 1.0, float(1.0 - warmth)),
    )


def _surface_color(rng: np.random.Generator) -> Color:
    return hsv_color(rng.random(), 0.55 * rng.random() ** 1.5, 0.25 + 0.75 * rng.random())


def _pattern(rng: np.random.Generator, kinds: tuple[str, ...], repeats: tuple[float, float]) -> Pattern:
    color, other = _surface_color(rng), _surface_color(rng)
    contrast = rng.uniform(0.15, 1.0)
    second = tuple(round(a + contrast * (b - a)) for a, b in zip(color, other))
    return Pattern(
        kind=kinds[int(rng.integers(len(kinds)))],
        color=color,
        second=(second[0], second[1], second[2]),
        repeats=float(rng.uniform(*repeats)),
        angle=float(rng.choice((0.0, 90.0, rng.uniform(0.0, 180.0)))),
        seed=int(rng.integers(2**31)),
    )


def _background(rng: np.random.Generator) -> Background:
    return Background(
        wall=_pattern(rng, PATTERNS, (2.0, 14.0)),
        floor=_pattern(rng, FLOOR_PATTERNS, (0.8, 4.0)) if rng.random() < FLOOR_SHARE else None,
        depth=float(rng.uniform(0.8, 4.0)),
        shadow=float(rng.uniform(0.2, 0.55)) if rng.random() < SHADOW_SHARE else 0.0,
        slant=float(rng.random() < 0.7),
    )


def _occluder(rng: np.random.Generator) -> Occluder:
    return Occluder(
        kind=OCCLUDERS[int(rng.integers(len(OCCLUDERS)))],
        place=(float(rng.uniform(0.0, 1.0)), float(rng.uniform(0.1, 1.0))),
        size=(float(rng.uniform(0.15, 0.45)), float(rng.uniform(0.05, 0.3))),
        angle=float(rng.choice((0.0, 90.0, rng.uniform(-90.0, 90.0)))),
        color=_surface_color(rng),
    )


def _bystander(rng: np.random.Generator) -> Bystander:
    return Bystander(
        side=int(rng.choice((-1, 1))),
        overlap=float(rng.uniform(-0.3, 0.35)),
        depth=float(rng.uniform(-0.2, 2.0)),
        clothes=_clothes(rng),
        shape=BodyShape.random(rng),
    )


def _sensor(rng: np.random.Generator) -> Sensor:
    return Sensor(
        blur=float(rng.uniform(0.3, 1.1)) if rng.random() < BLUR_SHARE else 0.0,
        noise=float(rng.uniform(2.0, 10.0)) if rng.random() < NOISE_SHARE else 0.0,
        jpeg_quality=None if rng.random() < PNG_SHARE else int(rng.integers(45, 96)),
        seed=int(rng.integers(2**31)),
    )
