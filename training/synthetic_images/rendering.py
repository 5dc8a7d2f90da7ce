"""Renders synthetic training images: one pose in a given or random style.

The label is the pose as the camera sees it: the heading relative to the camera is part of the pose, and the body stays
upright by gravity however the camera is tilted. Styles never change the pose.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from unipose.processing.body_model import BodyModel
from unipose.processing.clothing import Clothes, Landmarks, materials, surface_colors, thickness
from unipose.processing.pose_features import JOINT_NAMES
from unipose.processing.rasterizing import Fragments, Projection, vertex_normals
from unipose.processing.rendering import Size, composite, rasterize_mesh
from unipose.processing.shadow import darken_ground
from unipose.training.synthetic_images.backgrounds import (
    apply_sensor_noise,
    occluder_cover,
    paint_background,
    paint_occluder,
)
from unipose.training.synthetic_images.body_shapes import shape_body
from unipose.training.synthetic_images.props import paint_props
from unipose.training.synthetic_images.random_styles import random_style
from unipose.training.synthetic_images.shading import fold_normals, lit_share
from unipose.training.synthetic_images.skirts import add_skirt, painted_places, skirt_faces
from unipose.training.synthetic_images.style import (
    CROPS,
    Bystander,
    Framing,
    ImageStyle,
    Occluder,
)


SUPERSAMPLE = 1.5
# Joints that the framing keeps inside the image, and that occluders leave visible.
MIN_JOINTS_INSIDE = 15
MIN_JOINTS_VISIBLE = 13
# Fraction of the person's pixels that one occluder may hide.
MAX_HIDDEN_SHARE = 0.3
MIN_DISTANCE = 0.3  # meters between the camera and the nearest point of a body
MAX_SHADOW_OFFSET = 1.2  # horizontal meters for each meter of height


@dataclass(frozen=True)
class RenderedImage:
    """A synthetic image with the 2D joints of its person.

    Args:
        image: RGB.
        joints_2d: (22, 2) pixels, x to the right and y downward, also outside the image.
        visible: (22,) bool: in the image and neither behind an occluder nor behind another person. A joint behind the
            person's own body counts as visible.
        style: the style it was rendered in.
    """

    image: Image.Image
    joints_2d: np.ndarray
    visible: np.ndarray
    style: ImageStyle

    def encode(self) -> bytes:
        """The image as JPEG in the style's quality, or as PNG where the style has none."""
        stream = io.BytesIO()
        if self.style.sensor.jpeg_quality is None:
            self.image.save(stream, "PNG", compress_level=1)
        else:
            self.image.save(stream, "JPEG", quality=self.style.sensor.jpeg_quality)
        return stream.getvalue()


def random_image(
    rotmat: torch.Tensor,
    body: BodyModel,
    size: Size,
    rng: np.random.Generator,
    others: Sequence[torch.Tensor] | torch.Tensor | None = None,
) -> dict[str, bytes | None]:
    """Renders a pose in a random style; the plain style of `render_pose` is among them.

    Args:
        rotmat: (22, 3, 3) in the stored z-up frame; its heading is relative to the camera.
        body: the body to pose and reshape.
        size: pixels of a square, or (width, height).
        rng: source of all randomness; the same state gives the same bytes.
        others: poses, each (22, 3, 3), for bystanders; without them there are none.

    Returns:
        A value of a `datasets.Image` column: {"bytes": JPEG or PNG, "path": None}.

    Raises:
        ValueError: a wrong shape, or a size below 1.
    """
    style = random_style(rng, allow_bystanders=others is not None and len(others) > 0)
    beside = [] if others is None else [others[int(rng.integers(len(others)))] for _ in style.bystanders]
    return {"bytes": render_image(rotmat, style, size, body, beside).encode(), "path": None}


def render_image(
    rotmat: torch.Tensor, style: ImageStyle, size: Size, body: BodyModel, others: Sequence[torch.Tensor] = ()
) -> RenderedImage:
    """Renders a pose in a style.

    The framing widens where fewer than `MIN_JOINTS_INSIDE` joints would be inside the image. Occluders shrink until
    each hides at most `MAX_HIDDEN_SHARE` of the person and `MIN_JOINTS_VISIBLE` joints stay visible.

    Args:
        rotmat: (22, 3, 3) in the stored z-up frame; its heading is relative to the camera.
        style: everything else.
        size: pixels of a square, or (width, height).
        body: the body to pose and reshape.
        others: (22, 3, 3) each, the poses of the style's bystanders.

    Raises:
        ValueError: a wrong shape, a size below 1, or other numbers of bystanders and of their poses.
    """
    width, height = image_size(size)
    if len(others) != len(style.bystanders):
        raise ValueError(
            f"got a style with {len(style.bystanders)} bystanders and {len(others)} poses for them; expected one each"
        )
    person = pose_person(rotmat, style, body)
    projection = fit_camera(person, style, width, height)
    people = [person]
    for bystander, other in zip(style.bystanders, others):
        people.append(place_bystander(other, bystander, body, person, projection))
    ground = float(person.vertices[:, 1].min())
    image = render_background(style, projection, (width, height), ground, people)
    mask = _render_people(image, people, style, projection)
    joints = projection.to_screen(projection.to_camera(person.joints))
    visible = _joints_inside(mask, joints)
    for occluder in style.occluders:
        cover = shrink_occluder(occluder, mask, joints, visible)
        if cover is not None:
            paint_occluder(image, cover, occluder)
            mask &= cover < 0.5
            visible = _joints_inside(mask, joints)
    image = apply_sensor_noise(image, style.sensor)
    return RenderedImage(image=image, joints_2d=joints, visible=visible, style=style)


def image_size(size: Size) -> tuple[int, int]:
    """Width and height in pixels.

    Raises:
        ValueError: one of them is below 1.
    """
    width, height = (size, size) if isinstance(size, int) else size
    if min(width, height) < 1:
        raise ValueError(f"size is {(width, height)}; expected at least 1")
    return width, height


@dataclass(frozen=True)
class Person:
    """A posed and dressed body.

    Args:
        vertices: (V, 3) in the y-up world.
        normals: (V, 3), as light sees them: with the folds of clothes.
        joints: (22, 3) in the y-up world.
        template: (V, 3) the place on the rest pose that each vertex has its color from.
        faces: (F, 3).
        parts: (V,) the joint that moves each vertex most.
        clothes: colors and cut.
        landmarks: measures of the rest pose that the cut refers to.
    """

    vertices: np.ndarray
    normals: np.ndarray
    joints: np.ndarray
    template: np.ndarray
    faces: np.ndarray
    parts: np.ndarray
    clothes: Clothes
    landmarks: Landmarks

    def paint(self, fragments: Fragments, template: np.ndarray) -> np.ndarray:
        """The colors of visible fragments.

        Args:
            fragments: P rasterized samples.
            template: (V', 3) rest positions that the fragments' corners index.

        Returns:
            (P, 3) RGB in 0..255.
        """
        return surface_colors(fragments.blend(template), self.landmarks, self.clothes)


def pose_person(rotmat: torch.Tensor, style: ImageStyle | Bystander, body: BodyModel) -> Person:
    """Reshapes, poses and dresses a body.

    Args:
        rotmat: (22, 3, 3) in the stored z-up frame.
        style: shape, clothes, fabric and skirt.
        body: left unchanged.

    Raises:
        ValueError: `rotmat` is not (22, 3, 3).
    """
    rotmat = torch.as_tensor(rotmat)
    if rotmat.shape != (len(JOINT_NAMES), 3, 3):
        raise ValueError(f"rotmat has shape {tuple(rotmat.shape)}; expected one pose, (22, 3, 3)")
    dressed = body if style.skirt is None else add_skirt(body, style.skirt)
    with torch.no_grad():
        posed = shape_body(dressed, style.shape)(rotmat[None].to(body.v_template))
    faces, template = dressed.faces.cpu().numpy(), dressed.v_template.float().cpu().numpy()
    outfit, landmarks = style.clothes.outfit, Landmarks.of(body)
    vertices = posed.vertices[0].float().cpu().numpy()
    outside = faces
    if style.skirt is not None:
        # The faces of both sides of the cloth would cancel out.
        outside = faces[: len(faces) - len(skirt_faces()) // 2]
        template = painted_places(template, outfit.waist)
    normals = vertex_normals(vertices, outside)
    if outfit.looseness > 0 or outfit.hair_volume > 0 or style.fabric.folds > 0:
        worn = materials(template, landmarks, outfit)
        vertices = vertices + thickness(worn, outfit)[:, None] * normals
        rest = dressed.v_template.float().cpu().numpy()
        normals = fold_normals(normals, rest, worn, style.fabric)
    return Person(
        vertices=vertices,
        normals=normals,
        joints=posed.joints[0].float().cpu().numpy(),
        template=template,
        faces=faces,
        parts=dressed.vertex_joints().cpu().numpy(),
        clothes=style.clothes,
        landmarks=landmarks,
    )


def fit_camera(person: Person, style: ImageStyle, width: int, height: int) -> Projection:
    """Places the style's camera; where the framing cuts off too much of the person, a wider one is used.

    Args:
        person: the main person.
        style: style with camera and framing.
        width, height: size of the image in pixels.
    """
    framing = style.framing
    if style.bystanders:
        # Shifted toward the nearest bystander, the main person stays nearest to the image's center.
        right, down = framing.shift
        framing = replace(framing, shift=(0.5 * style.bystanders[0].side * abs(right), down))
    centered = replace(framing, fill=min(framing.fill, Framing.fill), shift=(0.0, 0.0))
    for attempt in (framing, centered, replace(centered, crop="full")):
        projection = _project(person, style, attempt, width, height)
        depths = projection.to_camera(person.vertices)[:, 2]
        joints = projection.to_screen(projection.to_camera(person.joints))
        inside = ((joints >= 0) & (joints < (width, height))).all(axis=1).sum()
        if depths.min() > MIN_DISTANCE and inside >= MIN_JOINTS_INSIDE:
            break
    return projection


def _project(person: Person, style: ImageStyle, framing: Framing, width: int, height: int) -> Projection:
    cropped_joints = [
        index for index, name in enumerate(JOINT_NAMES) if name.rpartition("_")[2] in CROPS[framing.crop]
    ]
    kept = person.vertices[~np.isin(person.parts, cropped_joints)]
    camera = replace(style.camera, zoom=style.camera.zoom * framing.fill / Framing.fill)
    projection = Projection.fit(kept, camera, width, height)
    if framing.shift == (0.0, 0.0):
        return projection
    screen = projection.to_screen(projection.to_camera(kept))
    low, high, size = screen.min(axis=0), screen.max(axis=0), np.array([width, height])
    slack = np.abs(size - (high - low)) / 2
    return replace(projection, center=projection.center + (size - low - high) / 2 + slack * np.array(framing.shift))


def place_bystander(
    rotmat: torch.Tensor, bystander: Bystander, body: BodyModel, main: Person, projection: Projection
) -> Person:
    """Poses a bystander next to the main person, with the style's overlap in the image.

    Args:
        rotmat: (22, 3, 3), the bystander's pose in the stored z-up frame.
        bystander: place, clothes and shape.
        body: left unchanged.
        main: the main person.
        projection: projection of the image's camera.
    """
    person = pose_person(rotmat, bystander, body)
    center, other_center = (0.5 * (each.vertices.min(axis=0) + each.vertices.max(axis=0)) for each in (main, person))
    offset = center - other_center
    offset[1] = main.vertices[:, 1].min() - person.vertices[:, 1].min()
    offset[2] -= bystander.depth
    offset[2] -= max(0.0, MIN_DISTANCE - float(projection.to_camera(person.vertices + offset)[:, 2].min())) * 1.5

    main_points, points = projection.to_camera(main.vertices), projection.to_camera(person.vertices + offset)
    slopes = main_points[:, 0] / main_points[:, 2]
    half = (slopes.max() - slopes.min()) / 2
    side = bystander.side
    edge = (side * slopes).max() - bystander.overlap * half
    # The smallest sideways offset that keeps every vertex beyond that edge.
    offset[0] += side * float((edge * points[:, 2] - side * points[:, 0]).max())
    return replace(person, vertices=person.vertices + offset.astype(np.float32), joints=person.joints + offset)


def render_background(
    style: ImageStyle,
    projection: Projection,
    size: tuple[int, int],
    ground: float,
    people: Sequence[Person] = (),
) -> Image.Image:
    """The image without people, but with their shadows on the ground.

    Args:
        style: style with background and light.
        projection: projection of the image's camera.
        size: width and height in pixels.
        ground: height of the floor in meters.
        people: who casts shadows.
    """
    canvas = paint_background(style.background, projection, size, ground)
    if style.background.props:
        image = Image.fromarray((canvas + 0.5).astype(np.uint8))
        paint_props(image, style.background.props)
        canvas = np.array(image, dtype=np.float32)
    if style.background.shadow > 0:
        x, y, z = style.light.world_direction(projection.axes)
        slant = -style.background.slant * np.array([x, z]) / max(y, 0.1)
        slant *= min(1.0, MAX_SHADOW_OFFSET / max(float(np.linalg.norm(slant)), 1e-6))
        for person in people:
            darken_ground(canvas, person.vertices, projection, style.background.shadow, (slant[0], slant[1]))
    return Image.fromarray((canvas + 0.5).astype(np.uint8))


def light_people(vertices: np.ndarray, normals: np.ndarray, style: ImageStyle, axes: np.ndarray) -> np.ndarray:
    """The brightness of people, with the shadows that they cast on themselves and on each other.

    Args:
        vertices: (V, 3) of all people in the y-up world.
        normals: (V, 3).
        style: style with the light.
        axes: (3, 3) axes of the camera.

    Returns:
        (V, 3) factors of red, green and blue.
    """
    light = style.light
    brightness = light.on(normals, axes)
    if style.self_shadow <= 0:
        return brightness
    lamp = light.world_direction(axes)
    taken = style.self_shadow * light.strength * np.maximum(normals @ lamp, 0.0) * (1.0 - lit_share(vertices, lamp))
    return brightness - taken[:, None].astype(np.float32) * np.array(light.color, dtype=np.float32)


def _render_people(
    image: Image.Image, people: Sequence[Person], style: ImageStyle, projection: Projection
) -> np.ndarray:
    """Renders all people with one z-buffer onto `image`; returns the first person's mask, (height, width) bool."""
    width, height = image.size
    shape = (round(height * SUPERSAMPLE), round(width * SUPERSAMPLE))
    starts = np.cumsum([0, *(len(person.vertices) for person in people)])
    vertices, template, normals = (
        np.concatenate([getattr(person, name) for person in people]) for name in ("vertices", "template", "normals")
    )
    faces = np.concatenate([person.faces + start for person, start in zip(people, starts)])
    fragments = rasterize_mesh(vertices, faces, projection, image.size, shape)
    owner = np.searchsorted(starts[1:], fragments.corners[:, 0], side="right")
    colors = np.empty((len(owner), 3), dtype=np.float32)
    for index, person in enumerate(people):
        rows = np.flatnonzero(owner == index)
        colors[rows] = person.paint(fragments.take(rows) if len(people) > 1 else fragments, template)
    composite(image, fragments, colors, light_people(vertices, normals, style, projection.axes), shape)
    covered = np.zeros(shape[0] * shape[1], dtype=bool)
    covered[fragments.pixels[owner == 0]] = True
    rows, columns = (
        ((np.arange(count) + 0.5) * finer / count).astype(np.int64) for count, finer in zip((height, width), shape)
    )
    return covered.reshape(shape)[rows[:, None], columns]


def _joints_inside(mask: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(22,) bool: whether the pixel of each joint is inside `mask` (height, width)."""
    height, width = mask.shape
    column, row = np.floor(joints).astype(np.int64).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return inside & mask[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]


def shrink_occluder(
    occluder: Occluder, mask: np.ndarray, joints: np.ndarray, visible: np.ndarray
) -> np.ndarray | None:
    """Shrinks an occluder until it hides little enough of the person.

    Args:
        occluder: the occluder in the style's size.
        mask: (height, width) bool, the person's pixels.
        joints: (22, 2) pixels.
        visible: (22,) bool, the joints that are visible without it.

    Returns:
        (height, width) in 0..1: its coverage of each pixel; None where no size is small enough.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    box = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], dtype=np.float64)
    min_visible = min(MIN_JOINTS_VISIBLE, int(visible.sum()))
    scale = 1.0
    while scale > 0.1:
        cover = occluder_cover(occluder, box, scale, (mask.shape[1], mask.shape[0]))
        rest = mask & (cover < 0.5)
        enough = rest.sum() >= (1.0 - MAX_HIDDEN_SHARE) * mask.sum()
        if enough and _joints_inside(rest, joints).sum() >= min_visible:
            return cover
        scale *= 0.75
    return None
