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
from unipose.processing.rasterizing import Camera, vertex_normals
from unipose.processing.rendering import Light, render_pose
from unipose.training.sampling.poses import sample_training_poses
from unipose.training.synthetic_images import scenes
from unipose.training.synthetic_images.body_shapes import BodyShape, shape_body
from unipose.training.synthetic_images.props import PROPS, Prop
from unipose.training.synthetic_images.random_styles import plain_style, random_style
from unipose.training.synthetic_images.rendering import (
    MAX_HIDDEN_SHARE,
    MIN_JOINTS_INSIDE,
    MIN_JOINTS_VISIBLE,
    random_image,
    render_image,
)
from unipose.training.synthetic_images.scenes import empty_image, empty_scene
from unipose.training.synthetic_images.shading import Fabric, fold_normals, lit_share
from unipose.training.synthetic_images.skirts import Skirt, add_skirt
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
)


SIZE = 64
RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)
DARK = Background(wall=Pattern(color=BLACK), shadow=0.0)
BRIGHT = Light(ambient=1.0)
BOX = Occluder(kind="box", place=(0.5, 0.4), size=(0.3, 0.2), angle=0.0, color=(0, 255, 0))


def one_color(color: tuple[int, int, int]) -> Clothes:
    return Clothes(palette=Palette(color, color, color, color, color, lips=color, eyes=color))


STEEP = Light(direction=(0.2, 1.0, 0.2))
CRATE = Prop("crate", place=(0.3, 0.7), size=(0.4, 0.4), color=BLACK, second=RED)
FRIEND = Bystander(side=1, overlap=0.2, depth=0.5, clothes=one_color(BLUE), shape=BodyShape(height=0.9))
PAIR = ImageStyle(bystanders=(FRIEND,))
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
        f"bystander's {name}": (PAIR, {"bystanders": (replace(FRIEND, **{name: value}),)})
        for name, value in {
            "side": -1,
            "overlap": -0.2,
            "depth": 1.5,
            "clothes": one_color(RED),
            "shape": BodyShape(),
            "skirt": Skirt(),
        }.items()
    },
    "another bystander": (PAIR, {"bystanders": (FRIEND, replace(FRIEND, side=-1))}),
    "skirt": (ImageStyle(), {"skirt": Skirt()}),
    "skirt's length": (ImageStyle(skirt=Skirt()), {"skirt": Skirt(length=0.6)}),
    "skirt's flare": (ImageStyle(skirt=Skirt()), {"skirt": Skirt(flare=1.8)}),
    "folds": (ImageStyle(), {"fabric": Fabric(folds=0.5)}),
    "folds' seed": (ImageStyle(fabric=Fabric(folds=0.5)), {"fabric": Fabric(folds=0.5, seed=1)}),
    "self-shadow": (ImageStyle(light=STEEP), {"self_shadow": 1.0}),
    **{
        f"prop {kind}": (ImageStyle(), {"background": Background(props=(replace(CRATE, kind=kind),))})
        for kind in PROPS
    },
    **{
        f"prop's {name}": (
            ImageStyle(background=Background(props=(CRATE,))),
            {"background": Background(props=(replace(CRATE, **{name: value}),))},
        )
        for name, value in {"place": (0.8, 0.6), "size": (0.1, 0.1), "color": RED, "second": BLUE}.items()
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
    changed = replace(style, **change)
    # A face is seen only from the front, at a size at which it has pixels.
    size = 192 if name in ("palette lips", "palette eyes") else SIZE
    standing = facing_pose(body)
    before, after = (
        render_image(standing, each, size, body, poses[1 : 1 + len(each.bystanders)]) for each in (style, changed)
    )
    assert before.encode() != after.encode()
    # The camera keeps all of a person in the image, thick clothes and hair included.
    if not {"shape", "camera", "framing", "bystanders", "skirt"} & set(change) and name not in THICK:
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
            bystanders=(replace(FRIEND, side=1 - 2 * (index % 2), overlap=0.35, depth=rng.uniform(-0.2, 1.5)),),
        )
        rendered = render_image(pose, style, SIZE, body, [poses[index - 1]])
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
    styles = [random_style(rng, allow_bystanders=True) for _ in range(400)]
    assert {style.background.wall.kind for style in styles} == set(PATTERNS)
    assert {style.framing.crop for style in styles} == set(CROPS)
    assert {occluder.kind for style in styles for occluder in style.occluders} == {"box", "bar", "disc"}
    assert {style.clothes.outfit.print for style in styles} == set(PRINTS)
    assert {len(style.bystanders) for style in styles} == {0, 1, 2, 3}
    assert {prop.kind for style in styles for prop in style.background.props} == set(PROPS)
    assert 0.05 < np.mean([bool(style.bystanders) for style in styles]) < 0.5
    for present in ("skirt", "self_shadow"):
        assert 0.03 < np.mean([bool(getattr(style, present)) for style in styles]) < 0.8
    assert 0.3 < np.mean([style.fabric.folds > 0 for style in styles]) < 0.8
    elevations = np.array([style.camera.elevation for style in styles])
    assert elevations.min() >= -10
    assert elevations.max() <= 35
    assert all(random_style(rng).bystanders == () for _ in range(100))


def test_skirts_hide_the_thighs_and_keep_the_pose(body: BodyModel, poses: torch.Tensor) -> None:
    standing = facing_pose(body)
    clothes = Clothes(replace(one_color(RED).palette, trousers=BLUE, shins=RED), Outfit(leg=0.1))
    style = ImageStyle(clothes=clothes, background=DARK, light=BRIGHT, skirt=Skirt(length=0.35))
    rendered = render_image(standing, style, SIZE, body)
    left, right = (rendered.joints_2d[JOINT_NAMES.index(f"{side}_knee")] for side in ("left", "right"))
    column, row = ((left + right) / 2).astype(int)
    blue = np.asarray(rendered.image)[..., 2] > 150
    assert blue[row - 6, column], "cloth is between the legs, above the knees"
    assert not blue[row + 3].any(), "and not below them"
    skirted = add_skirt(body, Skirt())
    torch.testing.assert_close(skirted(poses).joints, body(poses).joints)
    torch.testing.assert_close(skirted(poses).vertices[:, : len(body.v_template)], body(poses).vertices)


def test_cloth_moves_with_the_thigh(body: BodyModel) -> None:
    """Of a raised leg, the nearest hem is raised too."""
    bent = torch.eye(3).repeat(1, 22, 1, 1)
    bent[0, JOINT_NAMES.index("left_hip")] = torch.tensor([[1.0, 0, 0], [0, 0.0, 1.0], [0, -1.0, 0.0]])
    bent[0, 0] = facing_pose(body)[0]
    resting = bent.clone()
    resting[0, JOINT_NAMES.index("left_hip")] = torch.eye(3)
    skirted, count = add_skirt(body, Skirt()), len(body.v_template)
    hem = [skirted(pose).vertices[0, count:].numpy()[-24:] for pose in (resting, bent)]
    left = hem[0][:, 0] > 0.1
    assert (hem[1][left, 1] > hem[0][left, 1] + 0.2).all()
    right = hem[0][:, 0] < -0.1
    np.testing.assert_allclose(hem[1][right], hem[0][right], atol=0.05)


def test_folds_tilt_cloth_and_nothing_else(body: BodyModel) -> None:
    template, landmarks = body.v_template.numpy(), Landmarks.of(body)
    worn = materials(template, landmarks, Outfit())
    normals = vertex_normals(template, body.faces.numpy())
    folded = fold_normals(normals, template, worn, Fabric(folds=0.5))
    np.testing.assert_allclose(np.linalg.norm(folded, axis=1), 1.0, atol=1e-5)
    cosines = (folded * normals).sum(axis=1)
    cloth = np.isin(worn, [MATERIALS.index(name) for name in ("shirt", "trousers")])
    assert np.degrees(np.arccos(cosines[cloth].clip(-1, 1))).mean() > 10
    np.testing.assert_allclose(cosines[~cloth], 1.0, atol=1e-5)


def test_a_lamp_from_above_leaves_what_is_below_in_shadow() -> None:
    """A plate half a meter above a floor: the floor below it is dark, the plate and the other floor are not."""
    side = np.linspace(-1.0, 1.0, 51)
    floor = np.stack([*np.meshgrid(side, side), np.zeros((51, 51))], axis=-1).reshape(-1, 3)[:, [0, 2, 1]]
    plate = floor[np.abs(floor).max(axis=1) < 0.4] + (0.0, 0.5, 0.0)
    lit = lit_share(np.concatenate([floor, plate]).astype(np.float32), np.array([0.0, 1.0, 0.0]))
    distance = np.abs(floor).max(axis=1)
    assert (lit[len(floor) :] == 1).all()
    assert (lit[: len(floor)][distance < 0.3] == 0).all()
    assert (lit[: len(floor)][distance > 0.6] == 1).all()


def test_empty_scenes_follow_from_the_seed() -> None:
    first = [empty_scene(np.random.default_rng(seed), SIZE).tobytes() for seed in range(20)]
    assert [empty_scene(np.random.default_rng(seed), SIZE).tobytes() for seed in range(20)] == first
    assert len(set(first)) > 12, "only the plain ones are the same"
    assert empty_image(np.random.default_rng(0), (80, 48)) == empty_image(np.random.default_rng(0), (80, 48))


def test_empty_scenes_show_nobody(body: BodyModel, poses: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person of the same style, in a color of its own, is in the image with one and not in the empty scene."""
    magenta = (255, 0, 255)
    style = ImageStyle(clothes=one_color(magenta), light=BRIGHT, background=replace(DARK, props=(CRATE,)))
    monkeypatch.setattr(scenes, "random_style", lambda rng: style)

    def has_color(image: Image.Image) -> bool:
        pixels = np.asarray(image).astype(int)
        return bool(((pixels[..., 0] > 150) & (pixels[..., 1] < 60) & (pixels[..., 2] > 150)).any())

    scene = empty_scene(np.random.default_rng(0), SIZE)
    assert not has_color(scene)
    assert has_color(render_image(poses[0], style, SIZE, body).image)
    assert (np.asarray(scene)[..., 0] > 150).any(), "the thing behind the person is there"


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
        (lambda: replace(CRATE, kind="cat"), "kind is 'cat'"),
        (lambda: Skirt(length=3.0), "length is 3.0"),
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
        render_image(poses[0], PAIR, SIZE, body, [poses[1, :, 0]])
    with pytest.raises(ValueError, match="expected at least 1"):
        render_image(poses[0], ImageStyle(), 0, body)
    with pytest.raises(ValueError, match="1 bystanders and 0 poses"):
        render_image(poses[0], PAIR, SIZE, body)
    with pytest.raises(ValueError, match="0 bystanders and 1 poses"):
        render_image(poses[0], ImageStyle(), SIZE, body, poses[1:2])
    with pytest.raises(ValueError, match="expected at least 1"):
        empty_scene(np.random.default_rng(0), 0)
    with pytest.raises(ValueError, match="print is 'dots'"):
        render_image(poses[0], ImageStyle(clothes=Clothes(outfit=Outfit(print="dots"))), SIZE, body)
