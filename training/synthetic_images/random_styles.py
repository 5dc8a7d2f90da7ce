"""Random styles of synthetic images. Every probability is a constant at the top."""

from dataclasses import replace

import numpy as np

from unipose.processing.clothing import PRINTS, Clothes, Color, Outfit, Palette, hsv_color
from unipose.processing.rasterizing import Camera
from unipose.processing.rendering import Light
from unipose.training.synthetic_images.body_shapes import BodyShape
from unipose.training.synthetic_images.props import Prop
from unipose.training.synthetic_images.shading import Fabric
from unipose.training.synthetic_images.skirts import Skirt
from unipose.training.synthetic_images.style import (
    CROPS,
    FLOOR_PATTERNS,
    OCCLUDERS,
    PATTERNS,
    Background,
    Bystander,
    Framing,
    ImageStyle,
    Occluder,
    Pattern,
    Sensor,
)


# Probability of each feature.
PLAIN_SHARE = 0.15
CROP_SHARES = (0.7, 0.18, 0.12)
FLOOR_SHARE = 0.5
SHADOW_SHARE = 0.7
OCCLUDER_SHARE = 0.2
OUTDOOR_SHARE = 0.25
PROPS_SHARE = 0.5
SELF_SHADOW_SHARE = 0.6
FOLDS_SHARE = 0.6
SKIRT_SHARE = 0.1
# Of no bystander, one, two and three, where they are allowed.
BYSTANDER_SHARES = (0.78, 0.12, 0.06, 0.04)
BLUR_SHARE = 0.25
NOISE_SHARE = 0.35
PNG_SHARE = 0.1
NEUTRAL_CLOTHES_SHARE = 0.4
# Near black, white, grays, denim, khaki: (hue, saturation, value).
NEUTRALS = ((0.0, 0.0, 0.12), (0.0, 0.0, 0.92), (0.6, 0.05, 0.5), (0.6, 0.45, 0.4), (0.1, 0.3, 0.6), (0.62, 0.5, 0.22))
# Grass, earth, asphalt, sand, snow.
GROUNDS = ((0.28, 0.5, 0.45), (0.08, 0.4, 0.4), (0.6, 0.04, 0.45), (0.11, 0.3, 0.8), (0.6, 0.03, 0.9))
GROUND_PATTERNS = ("solid", "clouds", "blobs", "grain")
INDOOR_PROPS = ("crate", "frame", "pole", "ball")
OUTDOOR_PROPS = ("tree", "hill", "pole", "crate", "ball")
# Of each kind of prop: typical (width, height), and (highest, lowest) place of its lower edge, as shares of the image.
PROP_SIZES = {
    "crate": (0.3, 0.25),
    "frame": (0.25, 0.25),
    "pole": (0.1, 0.6),
    "ball": (0.12, 0.12),
    "tree": (0.3, 0.55),
    "hill": (0.8, 0.2),
}
PROP_PLACES = {
    "crate": (0.6, 0.95),
    "frame": (0.15, 0.6),
    "pole": (0.55, 0.9),
    "ball": (0.65, 0.95),
    "tree": (0.55, 0.8),
    "hill": (0.4, 0.6),
}


def random_style(rng: np.random.Generator, *, allow_bystanders: bool = False) -> ImageStyle:
    """Draws a random style.

    Args:
        rng: source of all randomness.
        allow_bystanders: lets some styles have bystanders; `render_image` needs a pose for each.
    """
    if rng.random() < PLAIN_SHARE:
        return plain_style(rng)
    clothes, fabric, skirt = _dress(rng)
    return ImageStyle(
        clothes=clothes,
        shape=BodyShape.random(rng),
        fabric=fabric,
        skirt=skirt,
        camera=Camera(
            elevation=float(rng.triangular(-10.0, 6.0, 35.0)),
            field_of_view=float(rng.uniform(18.0, 60.0)),
            roll=float(rng.normal(0.0, 2.5)) if rng.random() < 0.5 else 0.0,
        ),
        framing=_framing(rng),
        light=_light(rng),
        self_shadow=float(rng.uniform(0.4, 1.0)) if rng.random() < SELF_SHADOW_SHARE else 0.0,
        background=_background(rng),
        occluders=tuple(_occluder(rng) for _ in range(rng.random() < OCCLUDER_SHARE)),
        bystanders=_bystanders(rng) if allow_bystanders else (),
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


def _dress(rng: np.random.Generator) -> tuple[Clothes, Fabric, Skirt | None]:
    clothes = _clothes(rng)
    folds = float(rng.uniform(0.15, 0.6)) if rng.random() < FOLDS_SHARE else 0.0
    fabric = Fabric(folds, seed=int(rng.integers(2**31)))
    if rng.random() >= SKIRT_SHARE:
        return clothes, fabric, None
    # Below a skirt legs are bare, or in tights.
    palette, outfit = clothes.palette, clothes.outfit
    tights = _cloth_color(rng) if rng.random() < 0.3 else palette.skin
    outfit = replace(outfit, leg=0.1, looseness=min(outfit.looseness, 0.01))
    clothes = Clothes(replace(palette, shins=tights), outfit)
    return clothes, fabric, Skirt(length=float(rng.uniform(0.25, 0.5)), flare=float(rng.uniform(1.0, 1.7)))


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
    shadow = float(rng.uniform(0.2, 0.55)) if rng.random() < SHADOW_SHARE else 0.0
    slant = float(rng.random() < 0.7)
    if rng.random() < OUTDOOR_SHARE:
        sky, ground = _sky(rng), _ground(rng)
        props = tuple(_prop(rng, OUTDOOR_PROPS) for _ in range(int(rng.integers(0, 5))))
        return Background(wall=sky, floor=ground, depth=40.0, props=props, shadow=shadow, slant=slant)
    count = int(rng.integers(1, 6)) if rng.random() < PROPS_SHARE else 0
    return Background(
        wall=_pattern(rng, PATTERNS, (2.0, 14.0)),
        floor=_pattern(rng, FLOOR_PATTERNS, (0.8, 4.0)) if rng.random() < FLOOR_SHARE else None,
        depth=float(rng.uniform(0.8, 4.0)),
        props=tuple(_prop(rng, INDOOR_PROPS) for _ in range(count)),
        shadow=shadow,
        slant=slant,
    )


def _sky(rng: np.random.Generator) -> Pattern:
    top = hsv_color(float(rng.normal(0.58, 0.03)), float(rng.uniform(0.05, 0.7)), float(rng.uniform(0.55, 1.0)))
    horizon = hsv_color(float(rng.normal(0.57, 0.04)), float(rng.uniform(0.0, 0.25)), float(rng.uniform(0.8, 1.0)))
    kind = "gradient" if rng.random() < 0.6 else "clouds"
    return Pattern(kind, top, horizon, repeats=float(rng.uniform(1.5, 4.0)), angle=90.0, seed=int(rng.integers(2**31)))


def _ground(rng: np.random.Generator) -> Pattern:
    """Grass, earth, asphalt or sand; of any color now and then."""
    ground = _pattern(rng, GROUND_PATTERNS, (0.3, 2.0))
    if rng.random() < 0.25:
        return ground
    hue, saturation, value = GROUNDS[int(rng.integers(len(GROUNDS)))]
    values = np.clip(value + rng.normal(0.0, 0.1, 2), 0.15, 0.95)
    color, second = (hsv_color(hue + float(rng.normal(0.0, 0.015)), saturation, float(each)) for each in values)
    return replace(ground, color=color, second=second)


def _prop(rng: np.random.Generator, kinds: tuple[str, ...]) -> Prop:
    kind = kinds[int(rng.integers(len(kinds)))]
    (width, height), (high, low) = PROP_SIZES[kind], PROP_PLACES[kind]
    scale = rng.uniform(0.6, 1.5)
    size = (float(scale * width * rng.uniform(0.7, 1.4)), float(scale * height * rng.uniform(0.7, 1.4)))
    place = (float(rng.uniform(-0.05, 1.05)), float(rng.uniform(high, low)))
    return Prop(kind, place, size, _surface_color(rng), _surface_color(rng))


def _occluder(rng: np.random.Generator) -> Occluder:
    return Occluder(
        kind=OCCLUDERS[int(rng.integers(len(OCCLUDERS)))],
        place=(float(rng.uniform(0.0, 1.0)), float(rng.uniform(0.1, 1.0))),
        size=(float(rng.uniform(0.15, 0.45)), float(rng.uniform(0.05, 0.3))),
        angle=float(rng.choice((0.0, 90.0, rng.uniform(-90.0, 90.0)))),
        color=_surface_color(rng),
    )


def _bystanders(rng: np.random.Generator) -> tuple[Bystander, ...]:
    count = int(rng.choice(len(BYSTANDER_SHARES), p=BYSTANDER_SHARES))
    first_side = int(rng.choice((-1, 1)))
    return tuple(_bystander(rng, first_side * (-1) ** index, index) for index in range(count))


def _bystander(rng: np.random.Generator, side: int, index: int) -> Bystander:
    """The first one is near and may overlap the main person; the others are farther behind."""
    clothes, fabric, skirt = _dress(rng)
    return Bystander(
        side=side,
        overlap=float(rng.uniform(-0.3, 0.35)),
        depth=float(rng.uniform(-0.2, 2.5) + 1.5 * index),
        clothes=clothes,
        shape=BodyShape.random(rng),
        fabric=fabric,
        skirt=skirt,
    )


def _sensor(rng: np.random.Generator) -> Sensor:
    return Sensor(
        blur=float(rng.uniform(0.3, 1.1)) if rng.random() < BLUR_SHARE else 0.0,
        noise=float(rng.uniform(2.0, 10.0)) if rng.random() < NOISE_SHARE else 0.0,
        jpeg_quality=None if rng.random() < PNG_SHARE else int(rng.integers(45, 96)),
        seed=int(rng.integers(2**31)),
    )
