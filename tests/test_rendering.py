"""Rendered poses: what the images show, and that they are deterministic."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roma
import torch
from PIL import Image
from smpl_files import model_arrays, write_model

from unipose.processing.body_model import BodyModel
from unipose.processing.clothing import Clothes, Palette
from unipose.processing.pose_features import mirror_pose, to_z_up
from unipose.processing.rasterizing import Camera, Projection, rasterize
from unipose.processing.rendering import contact_sheet, render_mesh, render_pose


BLACK = (0, 0, 0)


def rest_pose() -> torch.Tensor:
    return to_z_up(torch.eye(3).repeat(1, 22, 1, 1))[0]


def random_pose() -> torch.Tensor:
    rotvecs = torch.randn(22, 3, generator=torch.Generator().manual_seed(3)) * 0.4
    rotvecs[0] = 0
    return to_z_up(roma.rotvec_to_rotmat(rotvecs)[None])[0]


def silhouette(image: Image.Image) -> np.ndarray:
    return np.asarray(image).max(axis=2) > 0


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


def draw(body: BodyModel | Path, pose: torch.Tensor | np.ndarray, **options: Any) -> Image.Image:
    defaults: dict[str, Any] = {"size": 96, "background": BLACK, "shadow": False}
    return render_pose(pose, body, **(defaults | options))


def test_body_fills_the_image_and_touches_no_border(body: BodyModel) -> None:
    for size in (96, (160, 80), (60, 140)):
        covered = silhouette(draw(body, random_pose(), size=size))
        assert not covered[[0, -1]].any()
        assert not covered[:, [0, -1]].any()
        rows, columns = covered.any(axis=1).mean(), covered.any(axis=0).mean()
        assert max(rows, columns) > 0.8


def test_same_input_same_image(body: BodyModel) -> None:
    first, second = (draw(body, random_pose(), shadow=True) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert draw(body, random_pose().numpy(), shadow=True).tobytes() == first.tobytes()


def test_mirrored_pose_gives_mirrored_image(body: BodyModel) -> None:
    covered = silhouette(draw(body, random_pose()))
    mirrored = silhouette(draw(body, mirror_pose(random_pose())))
    assert overlap(mirrored, covered[:, ::-1]) > 0.95
    assert overlap(mirrored, covered) < 0.8


def test_views_turn_around_the_body(body: BodyModel) -> None:
    front, back = (silhouette(draw(body, rest_pose(), view=view, elevation=0.0)) for view in ("front", "back"))
    side = silhouette(draw(body, rest_pose(), view="left", elevation=0.0))
    assert overlap(front, back[:, ::-1]) > 0.8
    assert front.any(axis=0).sum() > 2 * side.any(axis=0).sum()
    assert draw(body, rest_pose(), view=90.0).tobytes() == draw(body, rest_pose(), view="left").tobytes()


def test_left_hand_is_on_the_right_of_a_front_view(body: BodyModel) -> None:
    pose = rest_pose()
    pose[16] = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, torch.pi / 2]))
    raised = silhouette(draw(body, pose))
    top = raised[:12]
    assert np.flatnonzero(top.any(axis=0)).mean() > 96 / 2


def test_palette_colors_show(body: BodyModel) -> None:
    palette = Palette(shirt=(255, 0, 0), trousers=(0, 0, 255), skin=(0, 255, 0), hair=(0, 255, 0), shoes=(0, 255, 0))
    red, green, blue = (np.asarray(draw(body, rest_pose(), clothes=Clothes(palette))) > 60).transpose(2, 0, 1)
    heights = [np.flatnonzero(mask.any(axis=1)).mean() for mask in (red, blue)]
    assert heights[0] < heights[1]
    assert green.any()


def test_random_palettes_follow_their_generator() -> None:
    draws = [Palette.random(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_shadow_only_darkens_the_background(body: BodyModel) -> None:
    white = (255, 255, 255)
    plain = np.asarray(draw(body, rest_pose(), background=white)).astype(int)
    shaded = np.asarray(draw(body, rest_pose(), background=white, shadow=True)).astype(int)
    assert (shaded <= plain).all()
    changed = (shaded != plain).any(axis=2)
    assert changed[60:].any()
    assert not changed[:40].any()


def test_supersampling_smooths_but_does_not_move(body: BodyModel) -> None:
    coarse, fine = (np.asarray(draw(body, rest_pose(), supersample=n)).astype(float) for n in (1, 3))
    assert np.abs(coarse - fine).mean() < 6
    assert len(np.unique(fine.reshape(-1, 3), axis=0)) > len(np.unique(coarse.reshape(-1, 3), axis=0))


def test_nearer_triangle_hides_the_farther_one() -> None:
    triangle = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    vertices = np.concatenate([triangle, triangle + [0, 0, 0.5]])
    colors = np.repeat(np.array([[255, 0, 0], [0, 255, 0]], dtype=np.uint8), 3, axis=0)
    for faces in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]):
        image = render_mesh(vertices, np.array(faces), colors, Camera(elevation=0.0), size=64, shadow=False)
        assert np.asarray(image)[40, 20, 1] > np.asarray(image)[40, 20, 0]


def test_rasterizer_equals_a_loop_over_pixels() -> None:
    rng = np.random.default_rng(0)
    screen = rng.uniform(-4, 24, (30, 2)).astype(np.float32)
    nearness = rng.uniform(0.1, 1, 30).astype(np.float32)
    faces = rng.permuted(np.tile(np.arange(30), (40, 1)), axis=1)[:, :3]
    fragments = rasterize(screen, nearness, faces, (20, 22))
    np.testing.assert_allclose(fragments.shares.sum(axis=1), 1.0, atol=1e-4)
    got = np.full(20 * 22, -1)
    got[fragments.pixels] = fragments.hit
    expected = np.full(20 * 22, -1)
    for pixel in range(20 * 22):
        point = np.array([pixel % 22 + 0.5, pixel // 22 + 0.5])
        best = 0.0
        for number, face in enumerate(faces):
            a, b, c = screen[face].astype(float)
            area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
            weights = np.linalg.solve(np.stack([np.append(corner, 1) for corner in (a, b, c)], axis=1), [*point, 1])
            near = float(weights @ nearness[face])
            if area < 0 and (weights >= 0).all() and near > best:
                expected[pixel], best = number, near
    assert (got == expected).mean() > 0.995


def test_bodies_have_no_pinholes(body: BodyModel) -> None:
    """Where a body drawn eight times finer covers a whole pixel, that pixel is covered."""
    for size in (61, 128):
        coarse, fine = (silhouette(draw(body, random_pose(), size=n, supersample=1)) for n in (size, 8 * size))
        assert coarse[fine.reshape(size, 8, size, 8).all(axis=(1, 3))].all()


def test_ground_points_project_to_their_pixels() -> None:
    corners = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    for camera in (Camera(elevation=25.0, roll=8.0), Camera(azimuth=70.0, elevation=5.0)):
        projection = Projection.fit(corners, camera, 40, 30)
        rows, columns = np.arange(25, 30), np.arange(40)
        x, z = projection.ground_points(rows, columns, -1.0)
        points = np.stack([x, np.full_like(x, -1.0), z], axis=-1)
        got = projection.to_screen(projection.to_camera(points.reshape(-1, 3))).reshape(5, 40, 2)
        np.testing.assert_allclose(got[..., 0], np.broadcast_to(columns + 0.5, (5, 40)), atol=1e-2)
        np.testing.assert_allclose(got[..., 1], np.broadcast_to(rows[:, None] + 0.5, (5, 40)), atol=1e-2)
    assert np.isnan(projection.ground_points(np.array([0]), np.array([20]), -1.0)).all()


def test_camera_roll_rotates_the_image() -> None:
    corners = np.array([[x, y, z] for x in (-0.1, 0.1) for y in (-1.0, 1.0) for z in (-0.1, 0.1)])
    projection = Projection.fit(corners, Camera(elevation=0.0, roll=20.0), 100, 100)
    (top, bottom) = projection.to_screen(projection.to_camera(np.array([[0.0, 1, 0], [0, -1, 0]])))
    assert top[0] < 40 < 60 < bottom[0]
    np.testing.assert_allclose(
        (top - bottom) @ (top - bottom) * np.sin(np.radians(20)) ** 2, (top - bottom)[0] ** 2, rtol=1e-4
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [({"view": "behind"}, "view is 'behind'"), ({"size": 0}, "at least 1"), ({"supersample": 0}, "at least 1")],
)
def test_bad_options_are_named(body: BodyModel, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(body, rest_pose(), **options)


def test_wrong_pose_shape_is_refused(body: BodyModel) -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 22, 3, 3\)"):
        draw(body, rest_pose()[None])


def test_contact_sheet_wraps_captions_in_a_grid() -> None:
    images = [Image.new("RGB", (100, 80), (number * 40, 0, 0)) for number in range(5)]
    captions = ["short", "a caption that is far too long to fit on one line of a hundred pixels", "", "x", "y"]
    bare = contact_sheet(images, columns=2)
    assert bare.size == (8 + 2 * 108, 8 + 3 * 88)
    sheet = contact_sheet(images, captions, columns=2)
    assert sheet.width == bare.width
    assert sheet.height > bare.height + 3 * 14
    assert sheet.getpixel((8 + 108 + 50, 8 + 40)) == (40, 0, 0)
    assert contact_sheet(images[:1], columns=4).width == 116


def test_contact_sheet_refuses_unequal_lists() -> None:
    image = Image.new("RGB", (10, 10))
    with pytest.raises(ValueError, match="1 images and 2 captions"):
        contact_sheet([image], ["a", "b"])
    with pytest.raises(ValueError, match="at least 1 image"):
        contact_sheet([])


def test_the_users_body_is_rendered_in_its_shape(tmp_path: Path, body: BodyModel) -> None:
    """The built-in body as an SMPL file whose only shape direction makes it wide."""
    pytest.importorskip("smplx", reason="extra `smpl`")
    template, faces = body.v_template.numpy(), body.faces.numpy()
    nearest = np.linalg.norm(body.joints.numpy()[:, None] - template, axis=2)
    regressor = np.exp(-((nearest / 0.1) ** 2))
    arrays = model_arrays(24, 1, len(template)) | {
        "v_template": template,
        "f": faces,
        "weights": body.weights.numpy(),
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "posedirs": np.zeros((len(template), 3, 207)),
        "shapedirs": (template * (0.3, 0.0, 0.0))[..., None],
    }
    path = write_model(tmp_path / "SMPL_NEUTRAL.npz", arrays)
    options = {"elevation": 0.0, "supersample": 1}
    plain, wide = (silhouette(draw(path, rest_pose(), betas=betas, **options)) for betas in (None, [1.0]))
    assert overlap(plain, silhouette(draw(body, rest_pose(), **options))) > 0.95

    def height_to_width(covered: np.ndarray) -> float:
        return covered.any(axis=1).sum() / covered.any(axis=0).sum()

    assert height_to_width(wide) == pytest.approx(height_to_width(plain) / 1.3, rel=0.06)
    with pytest.raises(ValueError, match="betas need an SMPL body"):
        render_pose(rest_pose(), betas=[1.0])
