"""OpenPose and COCO keypoints: on the body that `render_pose` renders, in the formats of others."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from unipose.processing.body_model import BodyModel
from unipose.processing.openpose import (
    BODY_18,
    BONES,
    COCO_17,
    COLORS,
    FACE_VERTICES,
    draw_openpose,
    face_vertices,
    pose_keypoints,
)
from unipose.processing.pose_features import JOINT_NAMES, mirror_pose
from unipose.processing.pose_io import save_pose
from unipose.processing.rendering import VIEWS, render_pose
from unipose.training.named_poses.archetypes import archetype_poses


POSES = ["stand", "crouch", "kneel", "hands_up", "lie_back", "crawl"]
# The format's own order.
NAMES = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear",
)  # fmt: skip


def test_keypoints_are_those_of_the_format() -> None:
    assert tuple(JOINT_NAMES[at] if isinstance(at, int) else at for at in BODY_18) == NAMES
    assert [NAMES[at] for at in COCO_17] == [
        "nose",
        *(f"{side}_{part}" for part in ("eye", "ear", "shoulder") for side in ("left", "right")),
        *(f"{side}_{part}" for part in ("elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")),
    ]


@pytest.mark.parametrize("name", POSES)
@pytest.mark.parametrize("view", [*VIEWS, 200.0])
def test_keypoints_lie_on_the_rendered_body(body: BodyModel, name: str, view: str | float) -> None:
    pose = archetype_poses([name])[0]
    size = (300, 200)
    image = render_pose(pose, body, size=size, view=view, elevation=5.0, background=(0, 0, 0), shadow=False)
    # A pixel more on each side: ears and noses are on the outline.
    covered = (
        np.asarray(image.convert("L").point(lambda value: 255 * (value > 0)).filter(ImageFilter.MaxFilter(3))) > 0
    )
    keypoints = pose_keypoints(pose, body, size, view, 5.0)
    seen = keypoints[keypoints[:, 2] > 0]
    assert len(seen) >= 13
    assert covered[seen[:, 1].astype(int), seen[:, 0].astype(int)].all()


def test_the_head_hides_the_far_side_of_the_face(body: BodyModel) -> None:
    pose = archetype_poses(["stand"])[0]
    missing = {
        view: {name for name, point in zip(NAMES, pose_keypoints(pose, body, view=view)) if not point.any()}
        for view in VIEWS
    }
    assert missing == {
        "front": set(),
        "three-quarter": {"right_ear"},
        "left": {"right_eye", "right_ear"},
        "right": {"left_eye", "left_ear"},
        "back": {"nose", "right_eye", "left_eye"},
    }


def test_a_mirrored_pose_has_mirrored_keypoints(body: BodyModel) -> None:
    pose = archetype_poses(["crouch"])[0]
    swapped = [NAMES.index(name.replace("left", "L").replace("right", "left").replace("L", "right")) for name in NAMES]
    first, second = pose_keypoints(pose, body, 400), pose_keypoints(mirror_pose(pose[None])[0], body, 400)
    np.testing.assert_allclose(second[swapped, 0], 400 - first[:, 0], atol=1.5)
    np.testing.assert_allclose(second[swapped, 1], first[:, 1], atol=1.5)


def test_face_of_the_builtin_body(body: BodyModel) -> None:
    nose, right_eye, left_eye, right_ear, left_ear = body.v_template[list(face_vertices(body))].numpy()
    assert abs(nose[0]) < 0.003
    assert nose[2] > max(left_eye[2], right_eye[2]) > left_ear[2]
    np.testing.assert_allclose(left_eye, right_eye * (-1, 1, 1), atol=0.003)
    np.testing.assert_allclose(left_ear, right_ear * (-1, 1, 1), atol=0.003)
    assert 0.02 < left_eye[0] < left_ear[0]
    assert nose[1] < left_eye[1]


def test_face_vertices_of_smpl_are_those_of_smplx() -> None:
    smplx = pytest.importorskip("smplx", reason="the vertices' source, extra `smpl`")
    names = ("nose", "reye", "leye", "rear", "lear")
    for size, family in ((6890, "smplh"), (10475, "smplx")):
        known = smplx.vertex_ids.vertex_ids[family]
        assert FACE_VERTICES[size] == tuple(known[name] for name in names)


def test_json_and_png_agree(tmp_path: Path, body: BodyModel) -> None:
    pose = archetype_poses(["hands_up"])[0]
    written = json.loads(save_pose(tmp_path / "pose.openpose.json", pose).read_text())
    assert (written["canvas_width"], written["canvas_height"]) == (512, 512)
    (person,) = written["people"]
    keypoints = np.array(person["pose_keypoints_2d"]).reshape(18, 3)
    np.testing.assert_allclose(keypoints, pose_keypoints(pose, body), atol=1e-3)
    coco = json.loads(save_pose(tmp_path / "pose.coco.json", pose).read_text())["people"][0]["pose_keypoints_2d"]
    assert np.array_equal(np.array(coco).reshape(17, 3), keypoints[list(COCO_17)])
    with Image.open(save_pose(tmp_path / "pose.openpose.png", pose)) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape == (512, 512, 3)
    hidden = 0
    for (x, y, _), color in zip(keypoints, COLORS):
        hidden += tuple(pixels[round(y), round(x)]) != color
    assert hidden <= 1, "another keypoint may cover one"


def test_bones_have_the_colors_of_openpose() -> None:
    """Far-apart keypoints: the middle of each bone has the dimmed color of its number; no confidence, no bone."""
    angles = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    for number, (first, second) in enumerate(BONES):
        keypoints = np.zeros((18, 3))
        keypoints[[first, second]] = [[20, 30, 1], [80, 60, 1]]
        image = draw_openpose(keypoints, 100)
        assert image.getpixel((50, 45)) == tuple(int(0.6 * value) for value in COLORS[number])
        assert image.getpixel((20, 30)) == COLORS[first]
    alone = np.stack([50 + 40 * np.cos(angles), 50 + 40 * np.sin(angles), np.zeros(18)], axis=1)
    assert not np.asarray(draw_openpose(alone, 100)).any()


def test_other_proportions_move_the_keypoints(body: BodyModel) -> None:
    wide = BodyModel(body.v_template * torch.tensor([2.0, 1.0, 1.0]), body.faces, body.joints, body.weights)
    pose = archetype_poses(["stand"])[0]
    assert not np.allclose(pose_keypoints(pose, wide), pose_keypoints(pose, body), atol=1.0)
