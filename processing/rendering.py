"""Pictures of poses, with numpy and pillow only: a z-buffer, smooth Lambert shading, clothes and a soft ground shadow.

Everything here lives in the y-up world of `BodyOutput`: +x is the left of a body that faces the camera at azimuth 0.
"""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from .body_model import BodyModel
from .pose_features import JOINT_NAMES


Colour = tuple[int, int, int]
Size = int | tuple[int, int]

VIEWS = {"front": 0.0, "three-quarter": 35.0, "left": 90.0, "back": 180.0, "right": -90.0}
BACKGROUND: Colour = (243, 244, 247)
TEXT_COLOUR: Colour = (40, 44, 52)

# Lights hang at the camera: (right, up, towards the viewer), and the strength of each.
KEY_LIGHT = (-0.45, 0.65, 0.75)
KEY_STRENGTH = 0.62
SKY_STRENGTH = 0.30
AMBIENT_STRENGTH = 0.26

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
class Camera:
    """A perspective camera that looks at the middle of the body from as far as it takes to see all of it.

    Args:
        azimuth: degrees around the vertical; 0 stands on +z, 90 on the left (+x) of a body that faces +z.
        elevation: degrees above the horizon.
        field_of_view: degrees across the shorter side of the picture.
        zoom: 1 fills the picture up to a margin, less leaves more room.
    """

    azimuth: float = 0.0
    elevation: float = 10.0
    field_of_view: float = 28.0
    zoom: float = 1.0

    def axes(self) -> np.ndarray:
        """(3, 3): the camera's right, up and backward directions as rows."""
        turn, tilt = np.radians(self.azimuth), np.radians(self.elevation)
        backward = np.array([np.sin(turn) * np.cos(tilt), np.sin(tilt), np.cos(turn) * np.cos(tilt)])
        right = np.array([np.cos(turn), 0.0, -np.sin(turn)])
        return np.stack([right, np.cross(backward, right), backward])


@dataclass(frozen=True)
class Palette:
    """RGB colours (0..255) of the body's parts. Bare `forearms` and covered `shins` follow from skin and trousers."""

    skin: Colour = (224, 172, 138)
    hair: Colour = (74, 52, 42)
    shirt: Colour = (66, 122, 184)
    trousers: Colour = (62, 68, 92)
    shoes: Colour = (226, 226, 230)
    forearms: Colour | None = None
    shins: Colour | None = None

    def colour_of(self, material: str) -> Colour:
        """The colour of one of the materials in `JOINT_MATERIALS`."""
        colours = {
            "skin": self.skin,
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
    supersample: int = 2,
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
        supersample: samples per pixel and axis; 1 is fastest, 2 smooths the edges.
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
    return render_mesh(
        vertices.cpu().numpy(),
        body.faces.cpu().numpy(),
        vertex_colours(body, palette or Palette()),
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


def render_mesh(
    vertices: np.ndarray,
    faces: np.ndarray,
    colours: np.ndarray,
    camera: Camera | None = None,
    size: Size = 256,
    supersample: int = 2,
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
    width, height = (size, size) if isinstance(size, int) else size
    if min(width, height, supersample) < 1:
        raise ValueError(f"size is {(width, height)} and supersample {supersample}; both must be at least 1.")
    projection = Projection.fit(vertices, camera or Camera(), width, height)
    canvas = np.empty((height, width, 3), dtype=np.float32)
    canvas[:] = background
    if shadow:
        darken_ground(canvas, vertices, projection)
    if supersample > 1:
        canvas = canvas.repeat(supersample, axis=0).repeat(supersample, axis=1)
    seen = projection.to_camera(vertices)
    screen = projection.to_screen(seen) * np.float32(supersample)
    pixels, hit, shares = rasterise(screen, 1.0 / seen[:, 2], faces, canvas.shape[:2])
    surface = np.concatenate([vertex_normals(seen, faces), colours.astype(np.float32)], axis=1)
    corners = faces[hit]
    blend = sum(shares[:, corner, None] * surface[corners[:, corner]] for corner in range(3))
    shaded = blend[:, 3:] * light(blend[:, :3], projection.axes)[:, None]
    canvas.reshape(-1, 3)[pixels] = np.minimum(shaded, 255.0)
    return Image.fromarray((shrink(canvas, supersample) + 0.5).astype(np.uint8))


def shrink(canvas: np.ndarray, factor: int) -> np.ndarray:
    """(height, width, 3) -> the mean of each block of `factor` x `factor` pixels."""
    if factor == 1:
        return canvas
    height, width, channels = canvas.shape
    rows = canvas.reshape(height // factor, factor, width, channels).sum(axis=1)
    blocks = rows.reshape(height // factor, width // factor, factor, channels).sum(axis=2)
    return blocks / np.float32(factor * factor)


@dataclass(frozen=True)
class Projection:
    """A camera placed so that a mesh fills the picture.

    `axes` (3, 3) are its right, up and backward directions, `position` (3,) metres, `focal` pixels and `centre` (2,)
    the pixel at which it looks.
    """

    axes: np.ndarray
    position: np.ndarray
    focal: float
    centre: np.ndarray

    @classmethod
    def fit(cls, vertices: np.ndarray, camera: Camera, width: int, height: int) -> "Projection":
        """Places `camera` to see all `vertices` (V, 3), with a margin of 8 % of the picture."""
        axes = camera.axes()
        around = vertices @ axes.T
        middle = (around.min(axis=0) + around.max(axis=0)) / 2
        half_widths = np.abs(around[:, :2] - middle[:2])
        focal = min(width, height) / 2 / np.tan(np.radians(camera.field_of_view / 2))
        slopes = 0.92 * camera.zoom * np.array([width, height]) / 2 / focal
        distance = (half_widths / slopes + (around[:, 2] - middle[2])[:, None]).max()
        position = (middle + np.array([0.0, 0.0, distance])) @ axes
        return cls(axes=axes, position=position, focal=focal, centre=np.array([width, height]) / 2)

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) world -> (n, 3): metres to the right, up, and away from the camera."""
        return ((points - self.position) @ self.axes.T * np.array([1.0, 1.0, -1.0])).astype(np.float32)

    def to_screen(self, seen: np.ndarray) -> np.ndarray:
        """(n, 3) in camera space -> (n, 2) pixels, x to the right and y downwards."""
        return (self.centre + seen[:, :2] / seen[:, 2:] * np.array([self.focal, -self.focal])).astype(np.float32)

    def ground_points(self, rows: np.ndarray, width: int, ground: float) -> np.ndarray:
        """(rows, width, 2): the x and z of the ground (at height `ground`) seen through each pixel of `rows`."""
        right = (np.arange(width) + 0.5 - self.centre[0]) / self.focal
        up = (self.centre[1] - rows - 0.5) / self.focal
        downward = up * self.axes[1, 1] - self.axes[2, 1]
        reach = ((ground - self.position[1]) / downward)[:, None, None]
        along = up[:, None, None] * self.axes[1, [0, 2]] - self.axes[2, [0, 2]]
        sideways = (right[:, None] * self.axes[0, [0, 2]]).astype(np.float32)
        start = (self.position[[0, 2]] + reach * along).astype(np.float32)
        return start + reach.astype(np.float32) * sideways


def rasterise(
    screen: np.ndarray, nearness: np.ndarray, faces: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nearest front face behind every pixel, for all faces at once.

    Args:
        screen: (V, 2) pixels. nearness: (V,) one over the distance. faces: (F, 3). shape: (height, width).

    Returns:
        (P,) flat pixel index, (P,) index of the face, (P, 3) shares of its corners, for each pixel that is covered.
    """
    height, width = shape
    corners = screen[faces]
    x, y = corners[..., 0], corners[..., 1]
    doubled_area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    front = np.flatnonzero(doubled_area < 0)
    x, y, doubled_area = x[front], y[front], doubled_area[front]

    left = np.clip(np.ceil(x.min(axis=1) - 0.5), 0, width).astype(np.int32)
    top = np.clip(np.ceil(y.min(axis=1) - 0.5), 0, height).astype(np.int32)
    columns = np.clip(np.floor(x.max(axis=1) - 0.5), -1, width - 1).astype(np.int32) - left + 1
    rows = np.clip(np.floor(y.max(axis=1) - 0.5), -1, height - 1).astype(np.int32) - top + 1
    counts = np.maximum(columns, 0) * np.maximum(rows, 0)

    face = np.repeat(np.arange(len(front)), counts)
    place = np.arange(len(face), dtype=np.int32) - np.repeat(np.cumsum(counts, dtype=np.int32) - counts, counts)
    box_columns = np.repeat(columns, counts)
    row = place // box_columns
    column = place - row * box_columns

    # A corner's share is affine in the pixel, counted here from the first pixel of the face's box.
    slopes = np.stack([y[:, 1] - y[:, 2], x[:, 2] - x[:, 1], y[:, 2] - y[:, 0], x[:, 0] - x[:, 2]]) / doubled_area
    from_x, from_y = left + 0.5 - x[:, 2], top + 0.5 - y[:, 2]
    starts = np.stack([slopes[0] * from_x + slopes[1] * from_y, slopes[2] * from_x + slopes[3] * from_y])
    first_x, first_y, second_x, second_y = np.repeat(slopes, counts, axis=1)
    first, second = np.repeat(starts.astype(np.float32), counts, axis=1)
    across, down = column.astype(np.float32), row.astype(np.float32)
    first += first_x * across + first_y * down
    second += second_x * across + second_y * down
    third = 1.0 - first - second
    inside = np.flatnonzero(np.minimum(np.minimum(first, second), third) >= 0)

    shares = np.stack([first[inside], second[inside], third[inside]], axis=1)
    face = face[inside]
    hit = front[face]
    far_to_near = np.argsort(np.einsum("pk,pk->p", shares, nearness[faces[front]][face]))
    winner = np.full(height * width, -1, dtype=np.int64)
    place = (row[inside] + top[face]) * width + column[inside] + left[face]
    winner[place[far_to_near]] = far_to_near
    pixels = np.flatnonzero(winner >= 0)
    return pixels, hit[winner[pixels]], shares[winner[pixels]]


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals in the frame of `vertices` (V, 3), which is the camera's (z away from it)."""
    corners = vertices[faces]
    # Camera space is left-handed, so the outward normal is the reversed cross product.
    outward = np.cross(corners[:, 2] - corners[:, 0], corners[:, 1] - corners[:, 0])
    sums = [np.bincount(faces.ravel(), np.repeat(outward[:, axis], 3), len(vertices)) for axis in range(3)]
    normals = np.stack(sums, axis=1)
    return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def light(normals: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """(P,) brightness of (P, 3) normals in camera space: a light at the camera, the sky, and some from all over."""
    lengths = np.sqrt(np.einsum("pc,pc->p", normals, normals))
    normals = normals / np.maximum(lengths, 1e-6)[:, None]
    key = np.array(KEY_LIGHT, dtype=np.float32)
    towards_key = key / np.linalg.norm(key) * np.array([1.0, 1.0, -1.0], dtype=np.float32)
    sky = (axes[:, 1] * np.array([1.0, 1.0, -1.0])).astype(np.float32)
    lambert = np.maximum(normals @ towards_key, 0.0)
    return AMBIENT_STRENGTH + SKY_STRENGTH * (0.5 + 0.5 * (normals @ sky)) + KEY_STRENGTH * lambert


def darken_ground(canvas: np.ndarray, vertices: np.ndarray, projection: Projection) -> None:
    """Multiplies the soft shadow of `vertices` (V, 3) on the ground into `canvas` (height, width, 3)."""
    height, width, _ = canvas.shape
    ground = float(vertices[:, 1].min())
    flat = vertices[:, [0, 2]]
    low = flat.min(axis=0) - SHADOW_MARGIN
    high = flat.max(axis=0) + SHADOW_MARGIN
    edges = np.array([[x, ground, z] for x in (low[0], high[0]) for z in (low[1], high[1])])
    seen = projection.to_camera(edges)
    if projection.position[1] <= ground or seen[:, 2].min() <= 0:
        return
    bounds = projection.to_screen(seen)
    rows = np.arange(max(0, int(bounds[:, 1].min())), min(height, int(bounds[:, 1].max()) + 1))
    first, end = max(0, int(bounds[:, 0].min())), min(width, int(bounds[:, 0].max()) + 1)
    density = shadow_density(vertices, ground, low, high)
    per_metre = (SHADOW_CELLS / (high - low)).astype(np.float32)
    points = projection.ground_points(rows, width, ground)[:, first:end]
    cells = (points - low.astype(np.float32)) * per_metre - np.float32(0.5)
    canvas[rows[0] : rows[-1] + 1, first:end] *= (1.0 - SHADOW_STRENGTH * sample(density, cells))[..., None]


def shadow_density(vertices: np.ndarray, ground: float, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(cells, cells) darkness, in 0..1, of the ground between the corners `low` and `high` (x, z)."""
    cell = ((vertices[:, [0, 2]] - low) / (high - low) * SHADOW_CELLS).astype(np.int64)
    weights = np.exp((ground - vertices[:, 1]) / SHADOW_HEIGHT)
    counts = np.bincount(cell[:, 0] * SHADOW_CELLS + cell[:, 1], weights, SHADOW_CELLS**2)
    spread = counts.reshape(SHADOW_CELLS, SHADOW_CELLS)
    steps = np.subtract.outer(np.arange(SHADOW_CELLS), np.arange(SHADOW_CELLS)) / SHADOW_CELLS
    blur_x, blur_z = (np.exp(-((steps * side / SHADOW_BLUR) ** 2) / 2) for side in high - low)
    spread = blur_x @ spread @ blur_z.T
    return np.tanh(2.5 * spread / spread.max())


def sample(grid: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Bilinear values of `grid` (n, n) at `places` (..., 2) in cells; 0 outside."""
    cells = len(grid)
    padded = np.zeros((cells + 2, cells + 2), dtype=np.float32)
    padded[1:-1, 1:-1] = grid
    places = np.clip(places + 1.0, 0.0, cells + 0.999).astype(np.float32)
    corner = places.astype(np.int32)
    across, along = np.moveaxis(places - corner, -1, 0)
    index = corner[..., 0] * (cells + 2) + corner[..., 1]
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
