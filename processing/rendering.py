"""Pictures of poses, with numpy and pillow only: smooth Lambert shading, clothes and a soft shadow on the ground.

Everything here lives in the y-up world of `BodyOutput`: +x is the left of a body that faces the camera at azimuth 0.
"""

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from .body_model import BodyModel
from .clothing import MATERIALS, Landmarks, Outfit, materials
from .pose_features import JOINT_NAMES
from .rasterising import Camera, Fragments, Projection, rasterise, vertex_normals


Colour = tuple[int, int, int]
Size = int | tuple[int, int]

VIEWS = {"front": 0.0, "three-quarter": 35.0, "left": 90.0, "back": 180.0, "right": -90.0}
BACKGROUND: Colour = (243, 244, 247)
TEXT_COLOUR: Colour = (40, 44, 52)

SHADOW_CELLS = 48
SHADOW_MARGIN = 0.35  # metres of ground around the body
SHADOW_BLUR = 0.07  # metres
SHADOW_STRENGTH = 0.38
SHADOW_HEIGHT = 0.45  # metres above the ground over which a part stops to shade it

HEM_SHARPNESS = 6  # power of the skinning weights that blends two clothes
JOINT_MATERIALS = {
    "pelvis": "trousers",
    "hip": "trousers",
    "knee": "shins",
    "ankle": "shoes",
    "foot": "shoes",
    "spine1": "shirt",
    "spine2": "shirt",
    "spine3": "shirt",
    "collar": "shirt",
    "shoulder": "shirt",
    "elbow": "forearms",
    "wrist": "skin",
    "hand": "skin",
    "neck": "skin",
    "head": "skin",
}


@dataclass(frozen=True)
class Palette:
    """RGB colours (0..255) of the body's parts.

    Bare `forearms`, covered `shins`, a shirt without `print` and `lips` a little redder than the skin are the default.
    """

    skin: Colour = (224, 172, 138)
    hair: Colour = (74, 52, 42)
    shirt: Colour = (66, 122, 184)
    trousers: Colour = (62, 68, 92)
    shoes: Colour = (226, 226, 230)
    forearms: Colour | None = None
    shins: Colour | None = None
    print: Colour | None = None
    lips: Colour | None = None
    eyes: Colour = (38, 30, 28)

    def colour_of(self, material: str) -> Colour:
        """The colour of one of the `MATERIALS`."""
        red, green, blue = self.skin
        colours = {
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
        return colours[material]

    @classmethod
    def random(cls, generator: np.random.Generator) -> "Palette":
        """Clothes, skin and hair drawn from `generator`; sleeves and trousers are long or short."""
        tone, age = generator.random(), generator.random()
        skin = hsv_colour(0.055 + 0.02 * tone, 0.32 + 0.26 * tone, 0.97 - 0.5 * tone)
        hair = hsv_colour(0.07, 0.55 * generator.random(), 0.12 + 0.55 * age * age)
        shirt, trousers, shoes = (
            hsv_colour(generator.random(), 0.75 * generator.random(), 0.25 + 0.7 * generator.random())
            for _ in range(3)
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
class Light:
    """A lamp that moves with the camera, the sky above, and light from all over.

    Args:
        direction: where the lamp is, from the body: (right, up, towards the viewer).
        strength: of the lamp.
        sky: strength of what comes from above.
        ambient: strength of what comes from everywhere.
        colour: the lamp's red, green and blue, about 1 each.
    """

    direction: tuple[float, float, float] = (-0.45, 0.65, 0.75)
    strength: float = 0.62
    sky: float = 0.30
    ambient: float = 0.26
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def towards(self, axes: np.ndarray) -> np.ndarray:
        """(3,) the unit vector towards the lamp in the world, for a camera with `axes` (3, 3)."""
        direction = np.array(self.direction) @ axes
        return direction / np.linalg.norm(direction)

    def on(self, normals: np.ndarray, axes: np.ndarray) -> np.ndarray:
        """(V, 3) brightness of a surface with (V, 3) unit normals in the world."""
        lamp = self.strength * np.maximum(normals @ self.towards(axes), 0.0)
        rest = self.ambient + self.sky * (0.5 + 0.5 * normals[:, 1])
        return (rest[:, None] + lamp[:, None] * np.array(self.colour)).astype(np.float32)


def hsv_colour(hue: float, saturation: float, value: float) -> Colour:
    """Hue, saturation and value in 0..1 -> RGB in 0..255."""
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def render_pose(
    rotmats: torch.Tensor | np.ndarray,
    body: BodyModel | None = None,
    size: Size = 256,
    view: str | float = "front",
    elevation: float = 10.0,
    supersample: float = 2,
    background: Colour = BACKGROUND,
    palette: Palette | None = None,
    shadow: bool = True,
) -> Image.Image:
    """Draws one pose.

    Args:
        rotmats: (22, 3, 3) in the stored z-up frame.
        body: the body to pose; the built-in one where left out (pass it when drawing many: it is read from a file).
        size: pixels of a square, or (width, height).
        view: a name of `VIEWS` or the camera's azimuth in degrees; "front" faces a pose without heading.
        elevation: degrees of the camera above the horizon.
        supersample: samples per pixel and axis, at least 1; 1 is fastest, 2 smooths the edges.
        background: RGB in 0..255.
        palette: colours of clothes, skin and hair.
        shadow: whether to draw the soft shadow on the ground.

    Raises:
        ValueError: an unknown view, a wrong shape, or a size or supersample below 1.
    """
    body = BodyModel.builtin() if body is None else body
    rotmats = torch.as_tensor(rotmats)
    if rotmats.shape != (len(JOINT_NAMES), 3, 3):
        raise ValueError(f"rotmats has shape {tuple(rotmats.shape)}; a picture shows one pose, (22, 3, 3).")
    with torch.no_grad():
        vertices = body(rotmats[None].to(body.v_template)).vertices[0]
    template, landmarks = body.v_template.float().cpu().numpy(), Landmarks.of(body)
    colours = material_colours(palette or Palette())
    return render_scene(
        vertices.cpu().numpy(),
        body.faces.cpu().numpy(),
        lambda fragments: colours.take(materials(fragments.blend(template), landmarks, Outfit()), axis=0),
        camera=Camera(azimuth=to_azimuth(view), elevation=elevation),
        size=size,
        supersample=supersample,
        background=background,
        shadow=shadow,
    )


def to_azimuth(view: str | float) -> float:
    """Degrees of a named view, or the number itself.

    Raises:
        ValueError: an unknown name.
    """
    if not isinstance(view, str):
        return float(view)
    if view not in VIEWS:
        raise ValueError(f"view is {view!r}; accepted are {', '.join(VIEWS)} or degrees.")
    return VIEWS[view]


def vertex_colours(body: BodyModel, palette: Palette) -> np.ndarray:
    """(V, 3) RGB in 0..255: a vertex wears what the joint that moves it most wears; the scalp wears hair.

    Where two clothes meet, the smooth skinning weights blend them, so that hems do not follow the triangles.
    """
    joint_names = (*JOINT_NAMES, "left_hand", "right_hand")
    materials = [JOINT_MATERIALS[name.removeprefix("left_").removeprefix("right_")] for name in joint_names]
    kinds = sorted(set(materials))
    worn = np.array([[material == kind for kind in kinds] for material in materials], dtype=np.float32)
    shares = (body.weights.float().cpu().numpy() @ worn) ** HEM_SHARPNESS
    shares /= shares.sum(axis=1, keepdims=True)
    colours = shares @ np.array([palette.colour_of(kind) for kind in kinds], dtype=np.float32)
    colours[scalp(body)] = palette.hair
    return (colours + 0.5).astype(np.uint8)


def scalp(body: BodyModel) -> np.ndarray:
    """(V,) bool: the vertices of the head above a plane that rises from the nape to the forehead."""
    head = body.vertex_joints().cpu().numpy() == JOINT_NAMES.index("head")
    template = body.v_template.cpu().numpy()
    low, high = template[head].min(axis=0), template[head].max(axis=0)
    _, height, depth = ((template - low) / (high - low)).T
    return head & (height > 0.52 + 0.36 * depth)


def material_colours(palette: Palette) -> np.ndarray:
    """(materials, 3) RGB in 0..255 of `MATERIALS`."""
    return np.array([palette.colour_of(name) for name in MATERIALS], dtype=np.float32)


def render_mesh(
    vertices: np.ndarray,
    faces: np.ndarray,
    colours: np.ndarray,
    camera: Camera | None = None,
    size: Size = 256,
    supersample: float = 2,
    background: Colour = BACKGROUND,
    shadow: bool = True,
) -> Image.Image:
    """Draws a closed mesh with outward faces.

    Args:
        vertices: (V, 3) metres, y up.
        faces: (F, 3) vertex indices, counter-clockwise from outside.
        colours: (V, 3) RGB in 0..255.
        camera: where it is seen from; the front by default.
        size: pixels of a square, or (width, height).
        supersample: samples per pixel and axis.
        background: RGB in 0..255.
        shadow: whether to draw the soft shadow on the ground.

    Raises:
        ValueError: a size or supersample below 1.
    """

    def paint(fragments: Fragments) -> np.ndarray:
        return fragments.blend(colours)

    return render_scene(vertices, faces, paint, camera or Camera(), size, supersample, background, shadow)


def render_scene(
    vertices: np.ndarray,
    faces: np.ndarray,
    paint: Callable[[Fragments], np.ndarray],
    camera: Camera,
    size: Size,
    supersample: float,
    background: Colour,
    shadow: bool,
) -> Image.Image:
    """`render_mesh`, where `paint` gives the (P, 3) RGB of what is seen."""
    width, height = (size, size) if isinstance(size, int) else size
    if min(width, height, supersample) < 1:
        raise ValueError(f"size is {(width, height)} and supersample {supersample}; both must be at least 1.")
    projection = Projection.fit(vertices, camera, width, height)
    canvas = np.empty((height, width, 3), dtype=np.float32)
    canvas[:] = background
    if shadow:
        darken_ground(canvas, vertices, projection)
    picture = Image.fromarray((canvas + 0.5).astype(np.uint8))
    shape = (round(height * supersample), round(width * supersample))
    fragments = see(vertices, faces, projection, (width, height), shape)
    lighting = Light().on(vertex_normals(vertices, faces), projection.axes)
    paste_lit(picture, fragments, paint(fragments), lighting, shape)
    return picture


def see(
    vertices: np.ndarray, faces: np.ndarray, projection: Projection, size: tuple[int, int], shape: tuple[int, int]
) -> Fragments:
    """What is seen of a mesh in a picture of `size` (width, height), sampled `shape` (rows, columns) times."""
    seen = projection.to_camera(vertices)
    finer = np.array([shape[1] / size[0], shape[0] / size[1]], dtype=np.float32)
    return rasterise(projection.to_screen(seen) * finer, 1.0 / seen[:, 2], faces, shape)


def paste_lit(
    picture: Image.Image, fragments: Fragments, colours: np.ndarray, lighting: np.ndarray, shape: tuple[int, int]
) -> None:
    """Draws what is seen, with smooth edges, over `picture`.

    Args:
        picture: RGB.
        fragments: of a mesh in a grid of `shape` (rows, columns), at least as fine as the picture.
        colours: (P, 3) RGB in 0..255 of the fragments.
        lighting: (V, 3) brightness of the vertices.
    """
    if not len(fragments.pixels):
        return
    shaded = fragments.blend(lighting)
    shaded *= colours
    rgba = np.full((len(shaded), 4), 255, dtype=np.uint8)
    rgba[:, :3] = np.minimum(shaded + 0.5, 255.0)
    layer = np.zeros((shape[0] * shape[1], 4), dtype=np.uint8)
    layer[fragments.pixels] = rgba

    rows, columns = np.divmod(fragments.pixels, shape[1])
    finer = np.array([shape[1] / picture.width, shape[0] / picture.height])
    low = np.floor(np.array([columns.min(), rows[0]]) / finer).astype(np.int64)
    high = np.ceil(np.array([columns.max() + 1, rows[-1] + 1]) / finer).astype(np.int64)
    # Uncovered samples are black and fully transparent, so the layer is premultiplied as it is.
    samples = Image.frombuffer("RGBa", (shape[1], shape[0]), layer.tobytes(), "raw", "RGBa", 0, 1)
    width, height = high - low
    box = (*(low * finer).tolist(), *(high * finer).tolist())
    smooth = samples.resize((int(width), int(height)), Image.Resampling.BOX, box=box).convert("RGBA")
    picture.paste(smooth, (int(low[0]), int(low[1])), mask=smooth)


def darken_ground(
    canvas: np.ndarray,
    vertices: np.ndarray,
    projection: Projection,
    strength: float = SHADOW_STRENGTH,
    slant: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Multiplies the soft shadow of `vertices` (V, 3) on the ground into `canvas` (height, width, 3).

    `strength` is its darkness in 0..1, `slant` the x and z by which the shadow of a point one metre up is shifted.
    """
    height, width, _ = canvas.shape
    ground = float(vertices[:, 1].min())
    above = vertices[:, 1:2] - ground
    flat = vertices[:, [0, 2]] + above * np.array(slant)
    low = flat.min(axis=0) - SHADOW_MARGIN
    high = flat.max(axis=0) + SHADOW_MARGIN
    edges = np.array([[x, ground, z] for x in (low[0], high[0]) for z in (low[1], high[1])])
    seen = projection.to_camera(edges)
    if projection.position[1] <= ground or seen[:, 2].min() <= 0:
        return
    bounds = projection.to_screen(seen)
    first = np.maximum(bounds.min(axis=0).astype(np.int64), 0)
    end = np.minimum(bounds.max(axis=0).astype(np.int64) + 1, (width, height))
    if (first >= end).any():
        return
    points = projection.ground_points(np.arange(first[1], end[1]), np.arange(first[0], end[0]), ground)
    per_metre, low = (SHADOW_CELLS / (high - low)).astype(np.float32)[:, None, None], low[:, None, None]
    density = shadow_density(flat, above[:, 0], low.ravel(), high)
    shade = sample(density, np.nan_to_num((points - low) * per_metre - 0.5, nan=-1.0))
    canvas[first[1] : end[1], first[0] : end[0]] *= (1.0 - np.float32(strength) * shade)[..., None]


def shadow_density(flat: np.ndarray, above: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(cells, cells) darkness, in 0..1, of the ground between the corners `low` and `high` (x, z).

    `flat` (V, 2) is where the shadows of points that are `above` (V,) metres up fall.
    """
    cell = ((flat - low) / (high - low) * SHADOW_CELLS).astype(np.int64)
    weights = np.exp(-above / SHADOW_HEIGHT)
    counts = np.bincount(cell[:, 0] * SHADOW_CELLS + cell[:, 1], weights, SHADOW_CELLS**2)
    spread = counts.reshape(SHADOW_CELLS, SHADOW_CELLS)
    steps = np.subtract.outer(np.arange(SHADOW_CELLS), np.arange(SHADOW_CELLS)) / SHADOW_CELLS
    blur_x, blur_z = (np.exp(-((steps * side / SHADOW_BLUR) ** 2) / 2) for side in high - low)
    spread = blur_x @ spread @ blur_z.T
    return np.tanh(2.5 * spread / spread.max())


def sample(grid: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Bilinear values (...) of `grid` (n, n) at `places` (2, ...) in cells; 0 outside."""
    cells = len(grid)
    padded = np.zeros((cells + 2, cells + 2), dtype=np.float32)
    padded[1:-1, 1:-1] = grid
    places = np.clip(places + 1.0, 0.0, cells + 0.999).astype(np.float32)
    corner = places.astype(np.int32)
    across, along = places - corner
    index = corner[0] * (cells + 2) + corner[1]
    flat = padded.ravel()
    near = flat[index] * (1 - along) + flat[index + 1] * along
    far = flat[index + cells + 2] * (1 - along) + flat[index + cells + 3] * along
    return near * (1 - across) + far * across


def contact_sheet(
    images: Sequence[Image.Image],
    captions: Sequence[str] | None = None,
    columns: int = 4,
    font_size: int = 14,
    background: Colour = (255, 255, 255),
) -> Image.Image:
    """Sets pictures in a grid, each with its caption, wrapped, under it.

    Args:
        images: the pictures; a cell is as large as the largest of them.
        captions: one text a picture, or none.
        columns: pictures in a row.
        font_size: pixels.
        background: RGB in 0..255.

    Raises:
        ValueError: no picture, no column, or another number of captions than pictures.
    """
    if not images or columns < 1:
        raise ValueError(f"A contact sheet takes at least 1 image and 1 column; found {len(images)} and {columns}.")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"There are {len(images)} images and {len(captions)} captions; give one caption an image.")
    width, height = max(image.width for image in images), max(image.height for image in images)
    font = ImageFont.load_default(size=font_size)
    lines = [wrap_text(caption, width - 12, font) for caption in captions or [""] * len(images)]
    line_height = round(font_size * 1.35)
    gap = 8
    columns = min(columns, len(images))
    row_lines = [max(map(len, lines[start : start + columns])) for start in range(0, len(images), columns)]
    row_heights = [height + count * line_height + (gap if count else 0) for count in row_lines]
    sheet = Image.new(
        "RGB", (gap + columns * (width + gap), gap + sum(row_heights) + gap * len(row_heights)), background
    )
    draw = ImageDraw.Draw(sheet)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        left = gap + column * (width + gap)
        top = gap + sum(row_heights[:row]) + gap * row
        sheet.paste(image, (left + (width - image.width) // 2, top + (height - image.height) // 2))
        for line_number, line in enumerate(lines[number]):
            place = (left + 6, top + height + gap // 2 + line_number * line_height)
            draw.text(place, line, fill=TEXT_COLOUR, font=font)
    return sheet


def wrap_text(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Breaks `text` at its spaces into lines of at most `width` pixels; a longer word keeps a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
