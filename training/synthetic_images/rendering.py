"""Pictures of rendered people for training: one pose, everything else at random.

The label is the pose as the camera sees it: yaw is part of the pose, and the body stays upright by gravity however the
camera is tilted. Nothing that is drawn at random touches the pose.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from unipose.processing.body_model import BodyModel
from unipose.processing.clothing import Landmarks, materials, thickness
from unipose.processing.pose_features import JOINT_NAMES
from unipose.processing.rasterising import Fragments, Projection, vertex_normals
from unipose.processing.rendering import Size, darken_ground, material_colours, paste_lit, see
from unipose.training.synthetic_images.backgrounds import (
    apply_sensor_noise,
    occluder_cover,
    paint_background,
    paint_occluder,
)
from unipose.training.synthetic_images.body_shapes import BodyShape, shape_body
from unipose.training.synthetic_images.style import (
    CROPS,
    Clothes,
    Bystander,
    Framing,
    Occluder,
    ImageStyle,
    random_style,
)


SUPERSAMPLE = 1.5
# Joints that the framing keeps inside the picture, and that occluders leave in sight.
MIN_JOINTS_INSIDE = 15
MIN_JOINTS_VISIBLE = 13
# Share of the person's pixels that one occluder may hide.
MAX_HIDDEN_SHARE = 0.3
MIN_DISTANCE = 0.3  # metres between the camera and the nearest point of a body
MAX_SHADOW_OFFSET = 1.2  # metres by which a shadow is shifted for each metre of height


@dataclass(frozen=True)
class Picture:
    """A picture and where its person is.

    Args:
        image: RGB.
        joints_2d: (22, 2) pixels, x to the right and y downwards, also outside the picture.
        visible: (22,) bool: in the picture and neither behind an occluder nor behind another person. A joint behind
            the person's own body counts as visible.
        style: what it was drawn with.
    """

    image: Image.Image
    joints_2d: np.ndarray
    visible: np.ndarray
    style: ImageStyle

    @property
    def visible_share(self) -> float:
        """The share of the 22 joints that are visible."""
        return float(self.visible.mean())

    def encode(self) -> bytes:
        """A JPEG of the style's quality, or a PNG where it names none."""
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
    """A picture of a pose in a random style; the plain look of `render_pose` is among them.

    Args:
        rotmat: (22, 3, 3) in the stored z-up frame, turned as the camera sees it.
        body: the body to pose and reshape.
        size: pixels of a square, or (width, height).
        rng: decides everything; the same state gives the same bytes.
        others: poses, each (22, 3, 3), one of which another person beside may take.

    Returns:
        What a `datasets.Image` column stores: {"bytes": JPEG or PNG, "path": None}.

    Raises:
        ValueError: a wrong shape, or a size below 1.
    """
    style = random_style(rng, allow_bystander=others is not None and len(others) > 0)
    other = None if others is None or style.bystander is None else others[int(rng.integers(len(others)))]
    return {"bytes": render_image(rotmat, style, size, body, other).encode(), "path": None}


def draw_picture(
    rotmat: torch.Tensor, style: ImageStyle, size: Size, body: BodyModel, other: torch.Tensor | None = None
) -> Image.Image:
    """The image of `render_image`."""
    return render_image(rotmat, style, size, body, other).image


def render_image(
    rotmat: torch.Tensor, style: ImageStyle, size: Size, body: BodyModel, other: torch.Tensor | None = None
) -> Picture:
    """Draws a pose in a style.

    The framing gives way where fewer than `MIN_JOINTS_INSIDE` joints would be in the picture, and an occluder shrinks until
    it hides at most `MAX_HIDDEN_SHARE` of the person and leaves `MIN_JOINTS_VISIBLE` joints in sight.

    Args:
        rotmat: (22, 3, 3) in the stored z-up frame, turned as the camera sees it.
        style: everything else.
        size: pixels of a square, or (width, height).
        body: the body to pose and reshape.
        other: (22, 3, 3), the pose of the style's bystander.

    Raises:
        ValueError: a wrong shape, a size below 1, or a bystander without a pose or the other way round.
    """
    width, height = (size, size) if isinstance(size, int) else size
    if min(width, height) < 1:
        raise ValueError(f"size is {(width, height)}; it must be at least 1.")
    if (other is None) != (style.bystander is None):
        raise ValueError(
            "The style has another person beside; give that one's pose as `other`."
            if other is None
            else "`other` is the pose of another person, and the style has none; give it a `bystander`."
        )
    person = pose_person(rotmat, style.clothes, style.shape, body)
    projection = frame(person, style, width, height)
    people = [person]
    if style.bystander is not None and other is not None:
        people.append(place_bystander(other, style.bystander, body, person, projection))
    image = _backdrop(people, style, projection, (width, height))
    own = _draw_people(image, people, style, projection)
    joints = projection.to_screen(projection.to_camera(person.joints))
    visible = _joints_on(own, joints)
    for occluder in style.occluders:
        cover = shrink_occluder(occluder, own, joints, visible)
        if cover is not None:
            paint_occluder(image, cover, occluder)
            own &= cover < 0.5
            visible = _joints_on(own, joints)
    return Picture(image=apply_sensor_noise(image, style.sensor), joints_2d=joints, visible=visible, style=style)


@dataclass(frozen=True)
class Person:
    """A posed and dressed body.

    `vertices`, `normals` (V, 3) and `joints` (22, 3) are in the y-up world, `template` (V, 3) is the resting built-in
    shape, on which `clothes` are cut by `landmarks`, `faces` (F, 3) and `parts` (V,) the joint that moves each vertex.
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
        """(P, 3) RGB in 0..255 of what is seen, where `template` are places that the fragments' corners index."""
        worn = materials(fragments.blend(template), self.landmarks, self.clothes.outfit)
        return material_colours(self.clothes.palette).take(worn, axis=0)


def pose_person(rotmat: torch.Tensor, clothes: Clothes, shape: BodyShape, body: BodyModel) -> Person:
    """Poses `body` in another shape and dresses it.

    Raises:
        ValueError: `rotmat` is not (22, 3, 3).
    """
    rotmat = torch.as_tensor(rotmat)
    if rotmat.shape != (len(JOINT_NAMES), 3, 3):
        raise ValueError(f"rotmat has shape {tuple(rotmat.shape)}; a picture shows one pose, (22, 3, 3).")
    with torch.no_grad():
        posed = shape_body(body, shape)(rotmat[None].to(body.v_template))
    faces, template = body.faces.cpu().numpy(), body.v_template.float().cpu().numpy()
    landmarks = Landmarks.of(body)
    vertices = posed.vertices[0].float().cpu().numpy()
    normals = vertex_normals(vertices, faces)
    outfit = clothes.outfit
    if outfit.looseness > 0 or outfit.hair_volume > 0:
        vertices = vertices + thickness(materials(template, landmarks, outfit), outfit)[:, None] * normals
    return Person(
        vertices=vertices,
        normals=normals,
        joints=posed.joints[0].float().cpu().numpy(),
        template=template,
        faces=faces,
        parts=body.vertex_joints().cpu().numpy(),
        clothes=clothes,
        landmarks=landmarks,
    )


def frame(person: Person, style: ImageStyle, width: int, height: int) -> Projection:
    """Places the style's camera; a framing that loses too much of the person gives way to a wider one."""
    framing = style.framing
    if style.bystander is not None:
        # Moved towards the other one, the main person stays nearest the middle.
        right, down = framing.shift
        framing = replace(framing, shift=(0.5 * style.bystander.side * abs(right), down))
    centred = replace(framing, fill=min(framing.fill, Framing.fill), shift=(0.0, 0.0))
    for attempt in (framing, centred, replace(centred, crop="full")):
        projection = _project(person, style, attempt, width, height)
        seen = projection.to_camera(person.vertices)
        joints = projection.to_screen(projection.to_camera(person.joints))
        inside = ((joints >= 0) & (joints < (width, height))).all(axis=1).sum()
        if seen[:, 2].min() > MIN_DISTANCE and inside >= MIN_JOINTS_INSIDE:
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
    return replace(projection, centre=projection.centre + (size - low - high) / 2 + slack * np.array(framing.shift))


def place_bystander(
    rotmat: torch.Tensor, bystander: Bystander, body: BodyModel, main: Person, projection: Projection
) -> Person:
    """Poses the other person beside the main one, so that they overlap in the picture as the style says."""
    person = pose_person(rotmat, bystander.clothes, bystander.shape, body)
    middle, other_middle = (0.5 * (who.vertices.min(axis=0) + who.vertices.max(axis=0)) for who in (main, person))
    move = middle - other_middle
    move[1] = main.vertices[:, 1].min() - person.vertices[:, 1].min()
    move[2] -= bystander.depth
    move[2] -= max(0.0, MIN_DISTANCE - float(projection.to_camera(person.vertices + move)[:, 2].min())) * 1.5

    seen, other_seen = projection.to_camera(main.vertices), projection.to_camera(person.vertices + move)
    slopes = seen[:, 0] / seen[:, 2]
    half = (slopes.max() - slopes.min()) / 2
    side = bystander.side
    edge = (side * slopes).max() - bystander.overlap * half
    # The least step aside that keeps every vertex beyond that edge.
    move[0] += side * float((edge * other_seen[:, 2] - side * other_seen[:, 0]).max())
    return replace(person, vertices=person.vertices + move.astype(np.float32), joints=person.joints + move)


def _backdrop(
    people: Sequence[Person], style: ImageStyle, projection: Projection, size: tuple[int, int]
) -> Image.Image:
    """The picture without people: background and shadows."""
    ground = float(people[0].vertices[:, 1].min())
    canvas = paint_background(style.background, projection, size, ground)
    if style.background.shadow > 0:
        x, y, z = style.light.towards(projection.axes)
        slant = -style.background.slant * np.array([x, z]) / max(y, 0.1)
        slant *= min(1.0, MAX_SHADOW_OFFSET / max(float(np.linalg.norm(slant)), 1e-6))
        for person in people:
            darken_ground(canvas, person.vertices, projection, style.background.shadow, (slant[0], slant[1]))
    return Image.fromarray((canvas + 0.5).astype(np.uint8))


def _draw_people(
    image: Image.Image, people: Sequence[Person], style: ImageStyle, projection: Projection
) -> np.ndarray:
    """Draws all people in one z-buffer on `image`; gives (height, width) bool: where the first one is."""
    width, height = image.size
    shape = (round(height * SUPERSAMPLE), round(width * SUPERSAMPLE))
    starts = np.cumsum([0, *(len(person.vertices) for person in people)])
    vertices, template, normals = (
        np.concatenate([getattr(person, name) for person in people]) for name in ("vertices", "template", "normals")
    )
    faces = np.concatenate([person.faces + start for person, start in zip(people, starts)])
    fragments = see(vertices, faces, projection, image.size, shape)
    owner = np.searchsorted(starts[1:], fragments.corners[:, 0], side="right")
    colours = np.empty((len(owner), 3), dtype=np.float32)
    for index, person in enumerate(people):
        own = np.flatnonzero(owner == index)
        colours[own] = person.paint(fragments.take(own) if len(people) > 1 else fragments, template)
    paste_lit(image, fragments, colours, style.light.on(normals, projection.axes), shape)
    covered = np.zeros(shape[0] * shape[1], dtype=bool)
    covered[fragments.pixels[owner == 0]] = True
    rows, columns = (
        ((np.arange(count) + 0.5) * finer / count).astype(np.int64) for count, finer in zip((height, width), shape)
    )
    return covered.reshape(shape)[rows[:, None], columns]


def _joints_on(own: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(22,) bool: whether the pixel of each joint is one of `own` (height, width)."""
    height, width = own.shape
    column, row = np.floor(joints).astype(np.int64).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return inside & own[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]


def shrink_occluder(occluder: Occluder, own: np.ndarray, joints: np.ndarray, visible: np.ndarray) -> np.ndarray | None:
    """How much of each pixel (height, width) an occluder covers once it is small enough, or None where none is.

    Args:
        occluder: as large as the style wants it.
        own: (height, width) bool, the person's pixels.
        joints: (22, 2) pixels.
        visible: (22,) bool, the joints that are visible without it.
    """
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    if not len(rows):
        return None
    box = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], dtype=np.float64)
    least = min(MIN_JOINTS_VISIBLE, int(visible.sum()))
    scale = 1.0
    while scale > 0.1:
        cover = occluder_cover(occluder, box, scale, (own.shape[1], own.shape[0]))
        left = own & (cover < 0.5)
        if left.sum() >= (1.0 - MAX_HIDDEN_SHARE) * own.sum() and _joints_on(left, joints).sum() >= least:
            return cover
        scale *= 0.75
    return None
