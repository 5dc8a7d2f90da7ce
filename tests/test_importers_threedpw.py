"""3DPW: camera poses, crops and errors, on small files in the exact format."""

import pickle

import numpy as np
import pytest
from dataset_files import FACING, decode, random_poses, threedpw_sequence, to_rotmats, write_3dpw
from PIL import Image

from unipose.processing.pose_features import to_y_up
from unipose.training.datasets.importers import DatasetError, ThreeDPWImages


INTRINSICS = np.array([[200.0, 0, 160], [0, 200.0, 120], [0, 0, 1]])


def joints_in_camera(x: float, y: float, z: float) -> np.ndarray:
    """(24, 3) meters in the camera's frame: the corners of an upright square of one metre around a point."""
    corners = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    return np.tile(corners, (6, 1)) + (x, y, z)


@pytest.fixture
def threedpw(tmp_path):
    """Two persons in three images, the camera turning; the square of person 0 covers 50 pixels around (160, 120)."""
    turns = to_rotmats(random_poses(3, 8)[:, 0]).numpy()
    cameras = np.tile(np.eye(4), (3, 1, 1))
    cameras[:, :3, :3], cameras[:, :3, 3] = turns, [0.1, -0.2, 0.3]
    in_camera = np.stack([np.stack([joints_in_camera(0, 0, 4)] * 3), np.stack([joints_in_camera(1, 0, 4)] * 3)])
    joints = (in_camera - cameras[:, None, :3, 3]) @ turns  # the world's
    poses = np.stack([random_poses(3, 6), random_poses(3, 7)])
    images = [Image.new("RGB", (320, 240)) for _ in range(3)]
    for image in images:
        image.paste((255, 0, 0), (135, 95, 185, 145))
    content = threedpw_sequence(poses, joints, cameras, INTRINSICS)
    content["campose_valid"] = [np.array([True, True, True]), np.array([True, False, True])]
    return tmp_path, content, images, poses, turns


def threedpw_records(root, **options):
    return list(ThreeDPWImages(root, pickles_may_run_code=True, **options))


def test_3dpw_gives_poses_as_the_camera_sees_them(threedpw):
    root, content, images, poses, turns = threedpw
    write_3dpw(root, "courtyard_00", "train", content, images)
    records = threedpw_records(root)
    expected = [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)]
    names = [f"courtyard_00/image_{row:05d}.jpg#{person}" for row, person in expected]
    assert [record.name for record in records] == names
    for (row, person), record in zip(expected, records):
        seen = turns[row] @ to_rotmats(poses[person, row, 0]).numpy()
        world = FACING @ seen  # right, up, towards the camera: the y-up world before it
        np.testing.assert_allclose(to_y_up(to_rotmats(record.rotvecs))[0], world, atol=1e-5)
        np.testing.assert_array_equal(record.rotvecs[1:], poses[person, row, 1:].astype(np.float32))


def test_3dpw_crops_around_the_projected_joints(threedpw):
    root, content, images, _, _ = threedpw
    write_3dpw(root, "courtyard_00", "train", content, images)
    square = decode(threedpw_records(root)[0].image)
    assert square.shape[0] == square.shape[1] == pytest.approx(62.5, abs=0.6)  # 50 pixels and a quarter
    red = square[..., 0] > 128
    assert red.sum() == pytest.approx(50 * 50, rel=0.05)
    rows, columns = np.nonzero(red)
    np.testing.assert_allclose([rows.mean(), columns.mean()], 31, atol=1)


def test_3dpw_leaves_out_persons_outside_the_image(threedpw):
    root, content, images, _, turns = threedpw
    in_camera = np.stack([joints_in_camera(9, 0, 4), joints_in_camera(0, 0, -4), joints_in_camera(0, 0, 4)])
    joints = (in_camera - content["cam_poses"][:, None, :3, 3]) @ turns
    content["jointPositions"] = [joints.reshape(3, 72)] * 2
    write_3dpw(root, "s", "test", content, images)
    assert [record.name for record in threedpw_records(root, split="test")] == [
        f"s/image_00002.jpg#{i}" for i in (0, 1)
    ]


def test_3dpw_options(threedpw):
    root, content, images, _, _ = threedpw
    for name in ("a", "b", "c"):
        write_3dpw(root, name, "validation", content, images)
    assert [record.name[:1] for record in threedpw_records(root, split="validation", stride=3)] == list("aabbcc")
    orders = {tuple(ThreeDPWImages(root, True, "validation", seed=seed).files()) for seed in range(8)}
    assert len(orders) > 1
    with pytest.raises(ValueError, match="split is 'val'; expected one of train, validation, test"):
        ThreeDPWImages(root, True, "val")
    with pytest.raises(ValueError, match="stride is 0"):
        ThreeDPWImages(root, True, stride=0)
    with pytest.raises(DatasetError, match=r"no .*sequenceFiles/train. Get 3DPW from"):
        threedpw_records(root)


def test_invalid_rows_are_not_checked(threedpw):
    root, content, images, _, _ = threedpw
    before = write_3dpw(root, "s", "train", content, images) and threedpw_records(root)
    content["poses"][1][1] = np.nan
    write_3dpw(root, "s", "train", content, images)
    for first, second in zip(before, threedpw_records(root), strict=True):
        np.testing.assert_array_equal(first.rotvecs, second.rotvecs)


def lost(cameras: np.ndarray) -> np.ndarray:
    """Cameras of which the last has no place."""
    cameras = cameras.copy()
    cameras[2, 0, 3] = np.nan
    return cameras


SPOILT = {
    "pickle": (lambda content: None, "cannot be read"),
    "list": (lambda content: [1], "holds a list; expected a dict"),
    "no cameras": (lambda content: {"poses": content["poses"]}, "lacks cam_poses, cam_intrinsics, campose_valid"),
    "no persons": (lambda content: content | {"poses": []}, "invalid or empty poses"),
    "no list": (lambda content: content | {"poses": 3}, "invalid or empty poses"),
    "one person": (lambda content: content | {"poses": content["poses"][:1]}, "expected equal ones"),
    "SMPL-H": (
        lambda content: content | {"poses": [np.zeros((3, 156))] * 2},
        r"person 0, poses: got the shape \(3, 156\)",
    ),
    "camera shape": (
        lambda content: content | {"cam_poses": np.zeros((3, 3, 4))},
        r"cam_poses: got the shape \(3, 3, 4\)",
    ),
    "no rotation": (lambda content: content | {"cam_poses": np.ones((3, 4, 4))}, "camera pose of frame 0 is valid"),
    "NaN camera": (lambda content: content | {"cam_poses": np.full((3, 4, 4), np.nan)}, "camera pose of frame 0"),
    "NaN pose": (lambda content: content | {"poses": [np.full((3, 72), np.nan)] * 2}, "person 0: the pose of frame 0"),
    "NaN place": (
        lambda content: content | {"cam_poses": lost(content["cam_poses"])},
        "person 0: the pose of frame 2",
    ),
    "NaN joints": (lambda content: content | {"jointPositions": [np.full((3, 72), np.nan)] * 2}, "person 0: .* NaN"),
}


@pytest.mark.parametrize("damage", SPOILT)
def test_damaged_sequence_is_named(threedpw, damage):
    root, content, images, _, _ = threedpw
    path = write_3dpw(root, "s", "train", content, images)
    spoil, words = SPOILT[damage]
    spoilt = spoil(content)
    path.write_bytes(pickle.dumps(spoilt, protocol=2) if spoilt else path.read_bytes()[:300])
    with pytest.raises(DatasetError, match=words) as caught:
        threedpw_records(root)
    assert str(path) in str(caught.value)


def test_a_missing_frame_is_named(threedpw):
    root, content, images, _, _ = threedpw
    write_3dpw(root, "s", "train", content, images[:2])
    with pytest.raises(DatasetError, match=r"no .*imageFiles/s/image_00002.jpg; .*s.pkl refers to it. Get 3DPW"):
        threedpw_records(root)
