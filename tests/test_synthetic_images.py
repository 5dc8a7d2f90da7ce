"""Synthetic images: styles change the image, never the label; limits hold; the same seed gives the same bytes."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unipose.processing.body_model import BodyModel
from unipose.processing.clothing import MATERIALS, PRINTS, Clothes, Landmarks, Outfit, Palette, materials
from unipose.processing.pose_features import JOINT_NAMES
from unipose.processing.rasterizing import Camera
from unipose.processing.rendering import Light, render_pose
from unipose.training.sampling.poses import sample_training_poses
from unipose.training.synthetic_images.body_shapes import BodyShape, shape_body
from unipose.training.synthetic_images.rendering import (
    MAX_HIDDEN_SHARE,
    MIN_JOINTS_INSIDE,
    MIN_JOINTS_VISIBLE,
    random_image,
    render_image,
)
from unipose.training.synthetic_images.style import (
    CROPS,
    PATTERNS,
    Background,
    Bystander,
    Framing,
    ImageStyle,
    Occluder,
    Pattern,
    Sensor,
    plain_style,
    random_style,
)


SIZE = 64
RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)
DARK = Background(wall=Pattern(color=BLACK), shadow=0.0)
BRIGHT = Light(ambient=1.0)
BOX = Occluder(kind="box", place=(0.5, 0.4), size=(0.3, 0.2), angle=0.0, color=(0, 255, 0))


def one_color(color: tuple[int, int, int]) -> Clothes:
    return Clothes(palette=Palette(color, color, color, color, color, lips=color, eyes=color))


FRIEND = Bystander(side=1, overlap=0.2, depth=0.5, clothes=one_color(BLUE), shape=BodyShape(height=0.9))
PAIR = ImageStyle(bystander=FRIEND)
WALL = Pattern(kind="checks", color=RED, second=BLUE)


@pytest.fixture(scope="module")
def poses(body: BodyModel) -> torch.Tensor:
    return sample_training_poses(24, 0, body)[0]


def silhouette(pose: torch.Tensor, style: ImageStyle, body: BodyModel) -> np.ndarray:
    """(height, width) bool: where the person of a style would be with nothing in front."""
    plain = replace(style, clothes=replace(one_color(RED), outfit=style.clothes.outfit), background=DARK, light=BRIGHT)
    plain = replace(plain, occluders=(), sensor=Sensor())
    return np.asarray(render_image(pose, plain, SIZE, body).image)[..., 0] > 100


def test_same_seed_same_bytes(body: BodyModel, poses: torch.Tensor) -> None:
    def draw(seed: int) -> list[bytes | None]:
        rng = np.random.default_rng(seed)
        return [random_image(pose, body, SIZE, rng, poses)["bytes"] for pose in poses[:8]]

    first = draw(0)
    assert draw(0) == first
    assert draw(1) != first
    assert len(set(first)) == 8


def test_default_style_is_that_of_render_pose(body: BodyModel, poses: torch.Tensor) -> None:
    for pose in poses[:3]:
        plain = render_pose(pose, body, size=SIZE, supersample=1.5)
        assert render_image(pose, ImageStyle(), SIZE, body).image.tobytes() == plain.tobytes()


def test_plain_styles_differ_from_the_default_in_clothes_and_elevation_only() -> None:
    style = plain_style(np.random.default_rng(0))
    assert style.clothes.palette != Palette()
    elevation = style.camera.elevation
    assert style == ImageStyle(clothes=Clothes(palette=style.clothes.palette), camera=Camera(elevation=elevation))


CHANGES: dict[str, tuple[ImageStyle, dict[str, Any]]] = {
    **{
        f"palette {name}": (ImageStyle(), {"clothes": Clothes(palette=replace(Palette(), **{name: RED}))})
        for name in ("skin", "hair", "shirt", "trousers", "shoes", "forearms", "shins", "lips", "eyes")
    },
    **{
        f"outfit {name}": (
            ImageStyle(clothes=Clothes(palette=Palette(shins=RED))),
            {"clothes": Clothes(palette=Palette(shins=RED), outfit=replace(Outfit(), **{name: value}))},
        )
        for name, value in {
            "sleeve": 0.1,
            "leg": 0.8,
            "waist": -0.05,
            "neckline": 0.15,
            "shoe": 0.2,
            "hairline": 1.0,
            "hair_length": 0.1,
            "hair_volume": 0.04,
            "looseness": 0.03,
        }.items()
    },
    **{
        f"print {name}": (
            ImageStyle(clothes=Clothes(palette=Palette(print=RED))),
            {"clothes": Clothes(palette=Palette(print=RED), outfit=Outfit(print=name))},
        )
        for name in PRINTS[1:]
    },
    **{
        f"shape {name}": (ImageStyle(), {"shape": replace(BodyShape(), **{name: 1.15})})
        for name in ("height", "trunk", "legs", "arms", "hips", "waist", "chest", "limbs", "head")
    },
    **{
        f"camera {name}": (ImageStyle(), {"camera": replace(Camera(), **{name: value})})
        for name, value in {"elevation": 30.0, "field_of_view": 50.0, "roll": 6.0, "zoom": 0.8}.items()
    },
    **{f"crop {name}": (ImageStyle(), {"framing": Framing(crop=name)}) for name in list(CROPS)[1:]},
    "fill": (ImageStyle(), {"framing": Framing(fill=0.6)}),
    "shift": (ImageStyle(), {"framing": Framing(shift=(0.5, 0.0))}),
    **{
        f"light {name}": (ImageStyle(), {"light": replace(Light(), **{name: value})})
        for name, value in {
            "direction": (0.9, 0.1, 0.1),
            "strength": 0.3,
            "sky": 0.1,
            "ambient": 0.1,
            "color": (1.0, 0.8, 0.6),
        }.items()
    },
    "floor": (ImageStyle(), {"background": Background(floor=WALL)}),
    "floor's depth": (
        ImageStyle(background=Background(floor=WALL)),
        {"background": Background(floor=WALL, depth=0.5)},
    ),
    "shadow": (ImageStyle(), {"background": Background(shadow=0.0)}),
    "slant": (ImageStyle(), {"background": Background(slant=1.0)}),
    **{
        f"pattern's {name}": (
            ImageStyle(background=Background(wall=WALL)),
            {"background": Background(wall=replace(WALL, **{name: value}))},
        )
        for name, value in {"repeats": 9.0, "angle": 30.0, "second": BLACK}.items()
    },
    **{
        f"occluding {kind}": (ImageStyle(), {"occluders": (replace(BOX, kind=kind),)})
        for kind in ("box", "bar", "disc")
    },
    **{
        f"occluder's {name}": (
            ImageStyle(occluders=(BOX,)),
            {"occluders": (replace(BOX, **{name: value}),)},
        )
        for name, value in {"place": (0.3, 0.8), "size": (0.1, 0.1), "angle": 40.0, "color": RED}.items()
    },
    **{
        f"bystander's {name}": (PAIR, {"bystander": replace(FRIEND, **{name: value})})
        for name, value in {
            "side": -1,
            "overlap": -0.2,
            "depth": 1.5,
            "clothes": one_color(RED),
            "shape": BodyShape(),
        }.items()
    },
    "blur": (ImageStyle(), {"sensor": Sensor(blur=4.0)}),
    "noise": (ImageStyle(), {"sensor": Sensor(noise=5.0)}),
    "noise's seed": (ImageStyle(sensor=Sensor(noise=5.0)), {"sensor": Sensor(noise=5.0, seed=1)}),
    "jpeg quality": (ImageStyle(), {"sensor": Sensor(jpeg_quality=60)}),
}


THICK = ("outfit hair_volume", "outfit looseness")


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_of_a_style_changes_the_image(name: str, body: BodyModel, poses: torch.Tensor) -> None:
    style, change = CHANGES[name]
    other = poses[1] if style.bystander is not None else None
    # A face is seen only from the front, at a size at which it has pixels.
    size = 192 if name in ("palette lips", "palette eyes") else SIZE
    standing = facing_pose(body)
    before = render_image(standing, style, size, body, other)
    after = render_image(standing, replace(style, **change), size, body, other)
    assert before.encode() != after.encode()
    # The camera keeps all of a person in the image, thick clothes and hair included.
    if not {"shape", "camera", "framing", "bystander"} & set(change) and name not in THICK:
        np.testing.assert_array_equal(before.joints_2d, after.joints_2d)


def facing_pose(body: BodyModel) -> torch.Tensor:
    """A standing pose that faces the camera."""
    pose = torch.eye(3).repeat(22, 1, 1)
    pose[0] = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return pose


def test_every_pattern_differs(body: BodyModel, poses: torch.Tensor) -> None:
    images = {
        render_image(poses[0], ImageStyle(background=Background(wall=replace(WALL, kind=kind))), SIZE, body).encode()
        for kind in PATTERNS
    }
    assert len(images) == len(PATTERNS)


def test_joints_are_those_of_the_pose_from_the_front(body: BodyModel, poses: torch.Tensor) -> None:
    """Through a long lens at eye level, joints are the pose's x and y, moved and scaled."""
    style = ImageStyle(camera=Camera(elevation=0.0, field_of_view=1.0))
    for pose in poses[:6]:
        got = render_image(pose, style, SIZE, body).joints_2d
        flat = body.forward_joints(pose[None])[0, :, :2].numpy() * (1.0, -1.0)
        scale = np.ptp(got, axis=0).max() / np.ptp(flat, axis=0).max()
        np.testing.assert_allclose(got - got[0], scale * (flat - flat[0]), atol=0.7)


def test_visible_joints_lie_on_the_person(body: BodyModel, poses: torch.Tensor) -> None:
    rng = np.random.default_rng(3)
    for pose in poses:
        style = replace(random_style(rng), occluders=())
        rendered = render_image(pose, style, SIZE, body)
        covered = silhouette(pose, style, body)
        columns, rows = np.floor(rendered.joints_2d[rendered.visible]).astype(int).T
        # The image's edges are smooth and the mask's are not: a pixel's width of doubt.
        grown = np.pad(covered, 1)
        near = np.any([grown[y : y + SIZE, x : x + SIZE] for x in range(3) for y in range(3)], axis=0)
        assert near[rows, columns].all()
        assert covered[rows, columns].mean() > 0.9
        assert rendered.visible.mean() >= MIN_JOINTS_INSIDE / 22 - 0.1


def test_hidden_joints_are_not_visible(body: BodyModel) -> None:
    standing = facing_pose(body)
    free = render_image(standing, ImageStyle(), SIZE, body)
    assert free.visible.all()
    hidden = render_image(standing, ImageStyle(occluders=(replace(BOX, place=(0.5, 0.1)),)), SIZE, body)
    assert not hidden.visible[JOINT_NAMES.index("head")]
    assert hidden.visible[JOINT_NAMES.index("left_foot")]
    upper = render_image(standing, ImageStyle(framing=Framing(crop="upper")), SIZE, body)
    assert not upper.visible[JOINT_NAMES.index("left_foot")]
    assert upper.visible[JOINT_NAMES.index("head")]


def test_crops_and_fills_keep_most_joints_inside(body: BodyModel, poses: torch.Tensor) -> None:
    for crop in CROPS:
        for pose in poses:
            framing = Framing(crop=crop, fill=1.3, shift=(1.0, -1.0))
            joints = render_image(pose, ImageStyle(framing=framing), SIZE, body).joints_2d
            assert ((joints >= 0) & (joints < SIZE)).all(axis=1).sum() >= MIN_JOINTS_INSIDE


@pytest.mark.parametrize("kind", ["box", "bar", "disc"])
def test_occluders_leave_most_of_the_person(kind: str, body: BodyModel, poses: torch.Tensor) -> None:
    for pose in poses[:8]:
        style = ImageStyle(background=DARK, occluders=(replace(BOX, kind=kind, size=(2.0, 2.0)),))
        rendered = render_image(pose, style, SIZE, body)
        covered = silhouette(pose, style, body)
        green = np.asarray(rendered.image).astype(int)
        hidden = covered & (green[..., 1] > 150) & (green[..., 0] < 90) & (green[..., 2] < 90)
        assert hidden.sum() <= (MAX_HIDDEN_SHARE + 0.06) * covered.sum()
        assert rendered.visible.sum() >= MIN_JOINTS_VISIBLE


def test_the_main_person_stays_in_the_middle(body: BodyModel, poses: torch.Tensor) -> None:
    rng = np.random.default_rng(0)
    spine = JOINT_NAMES.index("spine2")
    middle = np.array([SIZE, SIZE]) / 2
    seen = 0
    for index, pose in enumerate(poses):
        style = ImageStyle(
            clothes=one_color(RED),
            background=DARK,
            light=BRIGHT,
            camera=Camera(elevation=rng.uniform(-10, 30), field_of_view=rng.uniform(20, 60)),
            framing=Framing(fill=0.7, shift=(rng.uniform(-1, 1), 0.0)),
            bystander=replace(FRIEND, side=1 - 2 * (index % 2), overlap=0.35, depth=rng.uniform(-0.2, 1.5)),
        )
        rendered = render_image(pose, style, SIZE, body, poses[index - 1])
        red, _, blue = np.asarray(rendered.image).astype(int).transpose(2, 0, 1) > 120
        columns = [np.flatnonzero(mask.any(axis=0)) for mask in (red, blue)]
        assert rendered.visible[spine]
        if len(columns[1]):
            seen += 1
            main, other = (abs((ends[0] + ends[-1] + 1) / 2 - middle[0]) for ends in columns)
            assert main < other
            assert red[:, round((columns[0][0] + columns[0][-1]) / 2)].any()
    assert seen > 12


def test_shapes_keep_directions_and_change_lengths(body: BodyModel, poses: torch.Tensor) -> None:
    plain = body.forward_joints(poses)
    shaped = shape_body(body, BodyShape(arms=1.2, legs=0.9, height=1.1)).forward_joints(poses)
    for start, end, factor in (("left_elbow", "left_wrist", 1.32), ("right_hip", "right_knee", 0.99)):
        first, second = JOINT_NAMES.index(start), JOINT_NAMES.index(end)
        before, after = plain[:, second] - plain[:, first], shaped[:, second] - shaped[:, first]
        assert (torch.nn.functional.cosine_similarity(before, after) > 0.9995).all()
        torch.testing.assert_close(
            after.norm(dim=1) / before.norm(dim=1), torch.full((len(poses),), factor), atol=5e-3, rtol=0
        )
    assert shape_body(body, BodyShape()) is body


def test_thicker_bodies_take_more_room(body: BodyModel) -> None:
    standing = facing_pose(body)
    areas = [
        silhouette(
            standing, ImageStyle(shape=BodyShape(hips=girth, waist=girth, chest=girth, limbs=girth)), body
        ).sum()
        for girth in (0.8, 1.0, 1.3)
    ]
    assert areas[0] < areas[1] < areas[2]


def test_clothes_end_where_the_outfit_says(body: BodyModel) -> None:
    joints = body.joints.numpy()
    places = joints[[JOINT_NAMES.index(name) for name in ("spine2", "left_knee", "right_elbow", "left_wrist", "head")]]
    landmarks = Landmarks.of(body)

    def worn(outfit: Outfit) -> list[str]:
        return [MATERIALS[index] for index in materials(places, landmarks, outfit)]

    assert worn(Outfit(sleeve=0.9, leg=0.9)) == ["shirt", "trousers", "shirt", "skin", "skin"]
    assert worn(Outfit(sleeve=0.2, leg=0.3)) == ["shirt", "shins", "forearms", "skin", "skin"]
    top = body.v_template.numpy()[[body.v_template[:, 1].argmax()]]
    assert MATERIALS[materials(top, landmarks, Outfit(hairline=0.0))[0]] == "hair"
    assert MATERIALS[materials(top, landmarks, Outfit(hairline=1.0))[0]] == "skin"


def test_random_styles_cover_what_there_is() -> None:
    rng = np.random.default_rng(0)
    styles = [random_style(rng, allow_bystander=True) for _ in range(400)]
    assert {style.background.wall.kind for style in styles} == set(PATTERNS)
    assert {style.framing.crop for style in styles} == set(CROPS)
    assert {occluder.kind for style in styles for occluder in style.occluders} == {"box", "bar", "disc"}
    assert {style.clothes.outfit.print for style in styles} == set(PRINTS)
    assert 0.05 < np.mean([style.bystander is not None for style in styles]) < 0.5
    elevations = np.array([style.camera.elevation for style in styles])
    assert elevations.min() >= -10
    assert elevations.max() <= 35
    assert all(random_style(rng).bystander is None for _ in range(100))


def test_images_are_encoded_as_the_style_says(body: BodyModel, poses: torch.Tensor) -> None:
    lossless = render_image(poses[0], ImageStyle(), (80, 48), body)
    decoded = Image.open(io.BytesIO(lossless.encode()))
    assert (decoded.format, decoded.size) == ("PNG", (80, 48))
    assert decoded.tobytes() == lossless.image.tobytes()
    small, large = (
        render_image(poses[0], ImageStyle(sensor=Sensor(jpeg_quality=quality)), SIZE, body).encode()
        for quality in (20, 95)
    )
    assert Image.open(io.BytesIO(small)).format == "JPEG"
    assert len(small) < len(large)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Framing(crop="feet"), "crop is 'feet'"),
        (lambda: Framing(fill=0.0), "fill is 0.0"),
        (lambda: Pattern(kind="tartan"), "kind is 'tartan'"),
        (lambda: replace(BOX, kind="cat"), "kind is 'cat'"),
        (lambda: replace(FRIEND, overlap=0.8), "overlap 0.8"),
        (lambda: BodyShape(legs=0.0), "legs is 0.0"),
        (lambda: ImageStyle(camera=Camera(azimuth=20.0)), "azimuth is 20.0; expected 0: rotate the pose"),
    ],
)
def test_bad_styles_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_arguments_are_named(body: BodyModel, poses: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 22, 3, 3\)"):
        render_image(poses[:2], ImageStyle(), SIZE, body)
    with pytest.raises(ValueError, match=r"shape \(22, 3\)"):
        render_image(poses[0], PAIR, SIZE, body, poses[1, :, 0])
    with pytest.raises(ValueError, match="expected at least 1"):
        render_image(poses[0], ImageStyle(), 0, body)
    with pytest.raises(ValueError, match="expected that pose as `other`"):
        render_image(poses[0], PAIR, SIZE, body)
    with pytest.raises(ValueError, match="a style without a bystander"):
        render_image(poses[0], ImageStyle(), SIZE, body, poses[1])
    with pytest.raises(ValueError, match="print is 'dots'"):
        render_image(poses[0], ImageStyle(clothes=Clothes(outfit=Outfit(print="dots"))), SIZE, body)
