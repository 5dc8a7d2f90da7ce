"""What a body wears, and where: hems, sleeves, hair and face, found on the resting body so that they are sharp lines.

Places are those of the rest pose of `BodyModel`: metres, T-pose, y up, facing +z, the pelvis at the origin.
"""

from dataclasses import dataclass

import numpy as np

from .body_model import BodyModel
from .pose_features import JOINT_NAMES


MATERIALS = ("skin", "hair", "shirt", "print", "forearms", "trousers", "shins", "shoes", "eyes", "lips")
PRINTS = ("plain", "rings", "stripes", "checks", "chest")

NECK_WIDTH = 0.085  # metres from the middle to where a neckline starts
BACK_NECKLINE = 0.03  # metres from the neck's joint down to a shirt's edge behind, at most

# The face, in parts of the head's height and of its half width: centre and half sizes of an eye and of the mouth.
EYE = (0.40, 0.540, 0.15, 0.026)
BROW = (0.42, 0.615, 0.20, 0.016)
MOUTH = (0.0, 0.235, 0.26, 0.022)


@dataclass(frozen=True)
class Outfit:
    """The cut of clothes and hair; `Palette` has their colours.

    Args:
        sleeve: where sleeves end: 0 at the shoulder, 1 at the wrist. What follows are the `forearms`.
        leg: where trousers end: 0 at the hip, 1 at the ankle. What follows are the `shins`, which a `Palette` may
            cover.
        waist: where the shirt ends: metres above the pelvis.
        neckline: metres from the neck's joint down to the shirt's edge in front; negative is a high collar.
        shoe: metres of a shoe above the ankle.
        hairline: how far back hair begins: 0 low on the forehead, 1 none at all.
        hair_length: metres of hair below the nape.
        hair_volume: metres of hair above the scalp.
        looseness: metres between body and clothes.
        print: one of `PRINTS`, drawn on the shirt.
        repeats: stripes a metre.
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
class Landmarks:
    """Measures of a resting body that clothes hang on; heights (y), distances to the middle (x), all in metres."""

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
    """(P,) index in `MATERIALS` of what covers each of (P, 3) places of the resting body.

    Raises:
        ValueError: the outfit's print is unknown.
    """
    x, y, z = np.ascontiguousarray(places.T)
    aside = np.abs(x)
    arm = (aside > landmarks.shoulder) & (y > landmarks.armpit)
    number = {name: np.uint8(index) for index, name in enumerate(MATERIALS)}
    worn = np.full(len(places), number["skin"])

    # From the feet up; what comes later lies over what came before.
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
        worn[shirt & printed(x, y, z, arm, outfit)] = number["print"]
    worn[arm & (aside >= cuff) & (aside < landmarks.wrist)] = number["forearms"]

    high = np.flatnonzero(y > landmarks.neck - outfit.hair_length)
    high = high[~arm[high]]
    worn[high] = head_materials(x[high], y[high], z[high], worn[high], landmarks, outfit)
    return worn


def printed(x: np.ndarray, y: np.ndarray, z: np.ndarray, arm: np.ndarray, outfit: Outfit) -> np.ndarray:
    """(P,) bool: where the shirt's print has its second colour."""
    if outfit.print not in PRINTS:
        raise ValueError(f"print is {outfit.print!r}; accepted are {', '.join(PRINTS)}.")
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
    """(P,) materials of the head and nape, where `worn` (P,) lies below the hair."""
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
    """(V,) metres by which clothes and hair stand off the body, for the `materials` of its vertices."""
    layers = {
        "hair": outfit.hair_volume,
        "shirt": outfit.looseness,
        "print": outfit.looseness,
        "trousers": 0.6 * outfit.looseness,
        "shoes": 0.4 * outfit.looseness,
    }
    return np.array([layers.get(name, 0.0) for name in MATERIALS], dtype=np.float32).take(worn)
