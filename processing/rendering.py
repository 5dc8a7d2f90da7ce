"""Images of poses, with numpy and pillow only: smooth Lambert shading, clothes and a soft shadow on the ground.

Everything here lives in the y-up world of `BodyOutput`: +x is the left of a body that faces the camera at azimuth 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from .body_model import Betas, Body, to_body_model
from .clothing import Clothes, Color, Landmarks, surface_colors
from .pose_features import JOINT_NAMES
from .rasterizing import Camera, Fragments, Projection, rasterize, vertex_normals
from .shadow import darken_ground


Size = int | tuple[int, int]

VIEWS = {"front": 0.0, "three-quarter": 35.0, "left": 90.0, "back": 180.0, "right": -90.0}
BACKGROUND: Color = (243, 244, 247)
TEXT_COLOR: Color = (40, 44, 52)


@dataclass(frozen=True)
class Light:
    """A lamp that moves with the camera, a sky above, and ambient light.

    Args:
        direction: Direction from the body to the lamp: (right, up, toward the viewer).
        strength: Strength of the lamp.
        sky: Strength of the light from above.
        ambient: Strength of the light from everywhere.
        color: The lamp's red, green and blue, about 1 each.
    """

    direction: tuple[float, float, float] = (-0.45, 0.65, 0.75)
    strength: float = 0.62
    sky: float = 0.30
    ambient: float = 0.26
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def world_direction(self, axes: np.ndarray) -> np.ndarray:
        """(3,) the unit vector toward the lamp in the world, for a camera with `axes` (3, 3)."""
        direction = np.array(self.direction) @ axes
        return direction / np.linalg.norm(direction)

    def on(self, normals: np.ndarray, axes: np.ndarray) -> np.ndarray:
        """Brightness of a surface.

        Args:
            normals: (V, 3) unit normals in the world.
            axes: (3, 3) axes of the camera.

        Returns:
            (V, 3) factors of red, green and blue.
        """
        lamp = self.strength * np.maximum(normals @ self.world_direction(axes), 0.0)
        rest = self.ambient + self.sky * (0.5 + 0.5 * normals[:, 1])
        return (rest[:, None] + lamp[:, None] * np.array(self.color)).astype(np.float32)


def render_pose(
    rotmats: torch.Tensor | np.ndarray,
    body: Body | None = None,
    size: Size = 256,
    view: str | float = "front",
    elevation: float = 10.0,
    supersample: float = 2,
    background: Color = BACKGROUND,
    clothes: Clothes | None = None,
    shadow: bool = True,
    betas: Betas | None = None,
) -> Image.Image:
    """Renders one pose.

    Args:
        rotmats: (22, 3, 3) in the stored z-up frame.
        body: The body to pose, or the path of an SMPL, SMPL-H or SMPL-X file. Default: the built-in one. Pass a body
            when rendering many, as it is read from a file.
        size: Pixels of a square, or (width, height).
        view: A name of `VIEWS` or the camera's azimuth in degrees; "front" faces a pose without heading.
        elevation: Degrees of the camera above the horizon.
        supersample: Samples per pixel and axis, at least 1; 1 is fastest, 2 smooths the edges.
        background: RGB in 0..255.
        clothes: Clothes, skin and hair.
        shadow: Whether to render the soft shadow on the ground.
        betas: (n,) shape coefficients of an SMPL body. Default: the shape that it has.

    Raises:
        ValueError: An unknown view, a wrong shape, betas without an SMPL body, or a size or supersample below 1.
    """
    body = to_body_model(body, betas)
    rotmats = torch.as_tensor(rotmats)
    if rotmats.shape != (len(JOINT_NAMES), 3, 3):
        raise ValueError(f"rotmats has shape {tuple(rotmats.shape)}; expected one pose, (22, 3, 3)")
    with torch.no_grad():
        vertices = body(rotmats[None].to(body.v_template)).vertices[0]
    template, landmarks = body.v_template.float().cpu().numpy(), Landmarks.of(body)
    clothes = clothes or Clothes()
    return render_scene(
        vertices.cpu().numpy(),
        body.faces.cpu().numpy(),
        lambda fragments: surface_colors(fragments.blend(template), landmarks, clothes),
        camera=Camera(azimuth=to_azimuth(view), elevation=elevation),
        size=size,
        supersample=supersample,
        background=background,
        shadow=shadow,
    )


def to_azimuth(view: str | float) -> float:
    """Degrees of a named view, or the number itself.

    Raises:
        ValueError: An unknown name.
    """
    if not isinstance(view, str):
        return float(view)
    if view not in VIEWS:
        raise ValueError(f"view is {view!r}; accepted: {', '.join(VIEWS)} or degrees")
    return VIEWS[view]


def render_mesh(
    vertices: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray,
    camera: Camera | None = None,
    size: Size = 256,
    supersample: float = 2,
    background: Color = BACKGROUND,
    shadow: bool = True,
) -> Image.Image:
    """Renders a closed mesh.

    Args:
        vertices: (V, 3) meters, y up.
        faces: (F, 3) vertex indices, counter-clockwise from outside.
        colors: (V, 3) RGB in 0..255.
        camera: Direction and field of view. Default: the front.
        size: Pixels of a square, or (width, height).
        supersample: Samples per pixel and axis.
        background: RGB in 0..255.
        shadow: Whether to render the soft shadow on the ground.

    Raises:
        ValueError: A size or supersample below 1.
    """

    def paint(fragments: Fragments) -> np.ndarray:
        return fragments.blend(colors)

    return render_scene(vertices, faces, paint, camera or Camera(), size, supersample, background, shadow)


def render_scene(
    vertices: np.ndarray,
    faces: np.ndarray,
    paint: Callable[[Fragments], np.ndarray],
    camera: Camera,
    size: Size,
    supersample: float,
    background: Color,
    shadow: bool,
) -> Image.Image:
    """`render_mesh` with a color per pixel.

    Args:
        vertices: (V, 3) meters, y up.
        faces: (F, 3) vertex indices, counter-clockwise from outside.
        paint: Visible surface -> (P, 3) RGB in 0..255.
        camera: Direction and field of view.
        size: Pixels of a square, or (width, height).
        supersample: Samples per pixel and axis.
        background: RGB in 0..255.
        shadow: Whether to render the soft shadow on the ground.

    Raises:
        ValueError: A size or supersample below 1.
    """
    width, height = (size, size) if isinstance(size, int) else size
    if min(width, height, supersample) < 1:
        raise ValueError(f"size is {(width, height)} and supersample {supersample}; both must be at least 1")
    projection = Projection.fit(vertices, camera, width, height)
    canvas = np.empty((height, width, 3), dtype=np.float32)
    canvas[:] = background
    if shadow:
        darken_ground(canvas, vertices, projection)
    image = Image.fromarray((canvas + 0.5).astype(np.uint8))
    shape = (round(height * supersample), round(width * supersample))
    fragments = rasterize_mesh(vertices, faces, projection, (width, height), shape)
    lighting = Light().on(vertex_normals(vertices, faces), projection.axes)
    composite(image, fragments, paint(fragments), lighting, shape)
    return image


def rasterize_mesh(
    vertices: np.ndarray, faces: np.ndarray, projection: Projection, size: tuple[int, int], shape: tuple[int, int]
) -> Fragments:
    """The visible surface of a mesh.

    Args:
        vertices: (V, 3) meters, y up.
        faces: (F, 3) vertex indices.
        projection: Projection to an image of `size`.
        size: (width, height) in pixels.
        shape: (rows, columns) of samples, at least as many as pixels.
    """
    points = projection.to_camera(vertices)
    finer = np.array([shape[1] / size[0], shape[0] / size[1]], dtype=np.float32)
    return rasterize(projection.to_screen(points) * finer, 1.0 / points[:, 2], faces, shape)


def composite(
    image: Image.Image, fragments: Fragments, colors: np.ndarray, lighting: np.ndarray, shape: tuple[int, int]
) -> None:
    """Draws a lit mesh, with smooth edges, over an image.

    Args:
        image: RGB; changed in place.
        fragments: Visible surface of the mesh.
        colors: (P, 3) RGB in 0..255 of the fragments.
        lighting: (V, 3) brightness of the vertices.
        shape: (rows, columns) of samples, at least as many as pixels.
    """
    if not len(fragments.pixels):
        return
    shaded = fragments.blend(lighting)
    shaded *= colors
    rgba = np.full((len(shaded), 4), 255, dtype=np.uint8)
    rgba[:, :3] = np.minimum(shaded + 0.5, 255.0)
    layer = np.zeros((shape[0] * shape[1], 4), dtype=np.uint8)
    layer[fragments.pixels] = rgba

    rows, columns = np.divmod(fragments.pixels, shape[1])
    finer = np.array([shape[1] / image.width, shape[0] / image.height])
    low = np.floor(np.array([columns.min(), rows[0]]) / finer).astype(np.int64)
    high = np.ceil(np.array([columns.max() + 1, rows[-1] + 1]) / finer).astype(np.int64)
    # Uncovered samples are black and fully transparent, so the layer is premultiplied already.
    samples = Image.frombuffer("RGBa", (shape[1], shape[0]), layer.tobytes(), "raw", "RGBa", 0, 1)
    width, height = high - low
    box = (*(low * finer).tolist(), *(high * finer).tolist())
    smooth = samples.resize((int(width), int(height)), Image.Resampling.BOX, box=box).convert("RGBA")
    image.paste(smooth, (int(low[0]), int(low[1])), mask=smooth)


def contact_sheet(
    images: Sequence[Image.Image],
    captions: Sequence[str] | None = None,
    columns: int = 4,
    font_size: int = 14,
    background: Color = (255, 255, 255),
) -> Image.Image:
    """Places images in a grid, each with its wrapped caption below.

    Args:
        images: The images; cells have the size of the largest.
        captions: One per image, or none.
        columns: Number of images per row.
        font_size: Pixels.
        background: RGB in 0..255.

    Raises:
        ValueError: No image, no column, or different numbers of captions and images.
    """
    if not images or columns < 1:
        raise ValueError(f"a contact sheet takes at least 1 image and 1 column; got {len(images)} and {columns}")
    if captions is not None and len(captions) != len(images):
        raise ValueError(
            f"there are {len(images)} images and {len(captions)} captions; expected one caption per image"
        )
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
            draw.text(place, line, fill=TEXT_COLOR, font=font)
    return sheet


def wrap_text(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Breaks a text at its spaces; a word that is too long has its own line.

    Args:
        text: One paragraph.
        width: Pixels.
        font: Font of the text.

    Returns:
        The lines.
    """
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
