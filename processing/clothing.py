"""Clothes, hair and face of a body: colors, cut, and which material covers which place of the rest pose.

Images color every pixel, so that hems are sharp; meshes color their vertices. Places are in the rest pose of
`BodyModel`: meters, T-pose, y up, facing +z, the pelvis at the origin.
"""

import colorsys
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from .body_model import BodyModel
from .pose_features import JOINT_NAMES


Color: TypeAlias = tuple[int, int, int]

MATERIALS = ("skin", "hair", "shirt", "print", "forearms", "trousers", "shins", "shoes", "eyes", "lips")
PRINTS = ("plain", "rings", "stripes", "checks", "chest")

NECK_WIDTH = 0.085  # meters from the middle to where a neckline starts
BACK_NECKLINE = 0.03  # meters from the neck's joint down to a shirt's edge behind, at most

FACE_STEPS = 6  # samples of a mesh's face along each edge, for the colors of its vertices

# Parts of the human face in units of the head's height and half width: center and half sizes.
EYE = (0.40, 0.540, 0.15, 0.026)
BROW = (0.42, 0.615, 0.20, 0.016)
MOUTH = (0.0, 0.235, 0.26, 0.022)


def hsv_color(hue: float, saturation: float, value: float) -> Color:
    """RGB in 0..255.

    Args:
        hue: 0..1.
        saturation: 0..1.
        value: 0..1.
    """
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


@dataclass(frozen=True)
class Palette:
    """RGB colors (0..255) of the `MATERIALS`.

    By default `forearms` are bare, `shins` covered, shirts have no `print` and `lips` are slightly redder than skin.
    """

    skin: Color = (224, 172, 138)
    hair: Color = (74, 52, 42)
    shirt: Color = (66, 122, 184)
    trousers: Color = (62, 68, 92)
    shoes: Color = (226, 226, 230)
    forearms: Color | None = None
    shins: Color | None = None
    print: Color | None = None
    lips: Color | None = None
    eyes: Color = (38, 30, 28)

    def color_of(self, material: str) -> Color:
        """The color of one of the `MATERIALS`."""
        red, green, blue = self.skin
        colors = {
            "skin": self.skin,
            "hair": self.hair,
            "eyes": self.eyes,
            "lips": (round(0.88 * red), round(0.66 * green), round(0.66 * blue)) if self.lips is None else self.lips,
            "print": self.shirt if self.print is None else self.print,
            "shirt": self.shirt,
            "trousers": self.trousers,
            "shoes": self.shoes,
            "forearms": self.skin if self.forearms is None else self.forearms,
            "shins": self.trousers if self.shins is None else self.shins,
        }
        return colors[material]

    def colors(self) -> np.ndarray:
        """(materials, 3) RGB in 0..255 of `MATERIALS`, float32."""
        return np.array([self.color_of(name) for name in MATERIALS], dtype=np.float32)

    @classmethod
    def random(cls, generator: np.random.Generator) -> "Palette":
        """Random clothes, skin and hair; sleeves and trousers are long or short."""
        tone, age = generator.random(), generator.random()
        skin = hsv_color(0.055 + 0.02 * tone, 0.32 + 0.26 * tone, 0.97 - 0.5 * tone)
        hair = hsv_color(0.07, 0.55 * generator.random(), 0.12 + 0.55 * age * age)
        shirt, trousers, shoes = (
            hsv_color(generator.random(), 0.75 * generator.random(), 0.25 + 0.7 * generator.random()) for _ in range(3)
        )
        return cls(
            skin=skin,
            hair=hair,
            shirt=shirt,
            trousers=trousers,
            shoes=shoes,
            forearms=shirt if generator.random() < 0.5 else None,
            shins=skin if generator.random() < 0.3 else None,
        )


@dataclass(frozen=True)
class Outfit:
    """The cut of clothes and hair; `Palette` has their colors.

    Args:
        sleeve: End of the sleeves: 0 at the shoulder, 1 at the wrist. `forearms` follow.
        leg: End of the trousers: 0 at the hip, 1 at the ankle. `shins` follow, which a `Palette` may cover.
        waist: End of the shirt: meters above the pelvis.
        neckline: Meters from the neck's joint down to the shirt's edge in front; negative is a high collar.
        shoe: Meters of a shoe above the ankle.
        hairline: Front of the hair: 0 low on the forehead, 1 no hair.
        hair_length: Meters of hair below the nape.
        hair_volume: Meters of hair above the scalp.
        looseness: Meters between body and clothes.
        print: One of `PRINTS`, on the shirt.
        repeats: Stripes per meter.
    """

    sleeve: float = 0.52
    leg: float = 0.5
    waist: float = 0.05
    neckline: float = 0.06
    shoe: float = 0.03
    hairline: float = 0.3
    hair_length: float = 0.0
    hair_volume: float = 0.0
    looseness: float = 0.0
    print: str = "plain"
    repeats: float = 12.0


@dataclass(frozen=True)
class Clothes:
    """A person's colors and the cut of clothes and hair."""

    palette: Palette = field(default_factory=Palette)
    outfit: Outfit = field(default_factory=Outfit)


@dataclass(frozen=True)
class Landmarks:
    """Measures of a body at rest that place its clothes: heights (y), distances to the middle (x), in meters."""

    shoulder: float
    wrist: float
    armpit: float
    neck: float
    hip: float
    ankle: float
    head_low: np.ndarray
    head_high: np.ndarray

    @classmethod
    def of(cls, body: BodyModel) -> "Landmarks":
        """Measures `body`."""
        joints = dict(zip(JOINT_NAMES, body.joints.float().cpu().numpy()))
        head = body.v_template.float().cpu().numpy()[body.vertex_joints().cpu().numpy() == JOINT_NAMES.index("head")]
        return cls(
            shoulder=float(joints["left_shoulder"][0]),
            wrist=float(joints["left_wrist"][0]),
            armpit=float(joints["spine3"][1]),
            neck=float(joints["neck"][1]),
            hip=float(joints["left_hip"][1]),
            ankle=float(joints["left_ankle"][1]),
            head_low=head.min(axis=0),
            head_high=head.max(axis=0),
        )


def materials(places: np.ndarray, landmarks: Landmarks, outfit: Outfit) -> np.ndarray:
    """The material that covers each place.

    Args:
        places: (P, 3) meters, on the surface of the rest pose.
        landmarks: The body's landmarks.
        outfit: Cut of clothes and hair.

    Returns:
        (P,) indices of `MATERIALS`.

    Raises:
        ValueError: The outfit's print is unknown.
    """
    x, y, z = np.ascontiguousarray(places.T)
    aside = np.abs(x)
    arm = (aside > landmarks.shoulder) & (y > landmarks.armpit)
    number = {name: np.uint8(index) for index, name in enumerate(MATERIALS)}
    worn = np.full(len(places), number["skin"])

    # From the feet up: later materials cover earlier ones.
    hem = landmarks.hip - outfit.leg * (landmarks.hip - landmarks.ankle)
    waist = outfit.waist + 0.05 * z
    worn[y < waist] = number["trousers"]
    worn[y < hem] = number["shins"]
    worn[y < landmarks.ankle + outfit.shoe + 0.25 * np.maximum(-z, 0.0)] = number["shoes"]
    bare = y > landmarks.neck - min(outfit.neckline, 0.0)
    if outfit.neckline > 0:
        depth = np.where(z > 0.01, outfit.neckline, min(outfit.neckline, BACK_NECKLINE))
        bare |= (aside / NECK_WIDTH) ** 2 + ((landmarks.neck - y) / depth) ** 2 < 1.0
    shirt = (y >= waist) & ~arm & ~bare
    cuff = landmarks.shoulder + outfit.sleeve * (landmarks.wrist - landmarks.shoulder)
    shirt |= arm & (aside < cuff)
    worn[shirt] = number["shirt"]
    if outfit.print != "plain":
        worn[shirt & print_mask(x, y, z, arm, outfit)] = number["print"]
    worn[arm & (aside >= cuff) & (aside < landmarks.wrist)] = number["forearms"]

    high = np.flatnonzero(y > landmarks.neck - outfit.hair_length)
    high = high[~arm[high]]
    worn[high] = head_materials(x[high], y[high], z[high], worn[high], landmarks, outfit)
    return worn


def print_mask(x: np.ndarray, y: np.ndarray, z: np.ndarray, arm: np.ndarray, outfit: Outfit) -> np.ndarray:
    """Where the shirt's print has its second color.

    Args:
        x: (P,) meters.
        y: (P,) meters.
        z: (P,) meters.
        arm: (P,) bool, the places on the arms.
        outfit: Outfit with the print.

    Returns:
        (P,) bool.

    Raises:
        ValueError: The print is unknown.
    """
    if outfit.print not in PRINTS:
        raise ValueError(f"print is {outfit.print!r}; accepted: {', '.join(PRINTS)}")
    along = np.where(arm, np.abs(x), y) * outfit.repeats % 1.0 < 0.5
    around = np.where(arm, y, x) * outfit.repeats % 1.0 < 0.5
    return {
        "rings": along,
        "stripes": around,
        "checks": along ^ around,
        "chest": ~arm & (y > 0.25) & (y < 0.36) & (np.abs(x) < 0.085) & (z > 0.0),
    }[outfit.print]


def head_materials(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, worn: np.ndarray, landmarks: Landmarks, outfit: Outfit
) -> np.ndarray:
    """Adds hair and face to the materials of the head and nape.

    Args:
        x: (P,) meters.
        y: (P,) meters.
        z: (P,) meters.
        worn: (P,) materials below the hair.
        landmarks: The body's landmarks.
        outfit: Cut of the hair.

    Returns:
        (P,) indices of `MATERIALS`.
    """
    size = landmarks.head_high - landmarks.head_low
    height = (y - landmarks.head_low[1]) / size[1]
    depth = (z - landmarks.head_low[2]) / size[2]
    aside = np.abs(x) / (size[0] / 2)
    worn = worn.copy()
    face = depth > 0.6
    for name, (right, up, half_width, half_height) in (("eyes", EYE), ("hair", BROW), ("lips", MOUTH)):
        inside = ((aside - right) / half_width) ** 2 + ((height - up) / half_height) ** 2 < 1.0
        worn[inside & face] = MATERIALS.index(name)
    if outfit.hairline < 1.0:
        scalp = height > 0.45 + 0.36 * depth + 0.24 * outfit.hairline
        nape = (depth < 0.42) & (height > 0.30 - outfit.hair_length / size[1]) & (aside < 1.2)
        worn[scalp | (nape if outfit.hair_length > 0 else False)] = MATERIALS.index("hair")
    return worn


def thickness(worn: np.ndarray, outfit: Outfit) -> np.ndarray:
    """Distance of clothes and hair from the body.

    Args:
        worn: (V,) materials of the vertices.
        outfit: Cut of clothes and hair.

    Returns:
        (V,) meters.
    """
    layers = {
        "hair": outfit.hair_volume,
        "shirt": outfit.looseness,
        "print": outfit.looseness,
        "trousers": 0.6 * outfit.looseness,
        "shoes": 0.4 * outfit.looseness,
    }
    return np.array([layers.get(name, 0.0) for name in MATERIALS], dtype=np.float32).take(worn)


def surface_colors(places: np.ndarray, landmarks: Landmarks, clothes: Clothes) -> np.ndarray:
    """Colors of the resting body.

    Args:
        places: (P, 3) meters, on the surface of the rest pose.
        landmarks: The body's landmarks.
        clothes: Colors and cut of the clothes.

    Returns:
        (P, 3) RGB in 0..255, float32.
    """
    return clothes.palette.colors().take(materials(places, landmarks, clothes.outfit), axis=0)


def vertex_colors(body: BodyModel, clothes: Clothes) -> np.ndarray:
    """Colors of a mesh's vertices: the mean of the surface around each, so that hems do not follow the triangles.

    Args:
        body: Body whose rest pose is colored.
        clothes: Colors and cut of the clothes.

    Returns:
        (V, 3) RGB in 0..255, uint8.
    """
    template, faces = body.v_template.float().cpu().numpy(), body.faces.cpu().numpy()
    corners = template[faces]
    steps = range(FACE_STEPS + 1)
    samples = np.array([(a, b, FACE_STEPS - a - b) for a in steps for b in steps if a + b <= FACE_STEPS], np.float32)
    samples /= FACE_STEPS
    places = np.einsum("sc,fcx->fsx", samples, corners)
    colors = surface_colors(places.reshape(-1, 3), Landmarks.of(body), clothes).reshape(places.shape)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    weights = areas[:, None, None] * samples
    totals, shares = np.zeros_like(template), np.zeros((len(template), 1), dtype=template.dtype)
    np.add.at(totals, faces, np.einsum("fsc,fsx->fcx", weights, colors))
    np.add.at(shares, faces, weights.sum(axis=1)[..., None])
    return (totals / shares + 0.5).astype(np.uint8)
