"""HMR2's npz and tars, and 3DPW: the camera's frame, crops and errors, on small files in the exact format."""

import io
import pickle

import numpy as np
import pytest
import roma
import torch
from dataset_files import (
    FACING,
    RunsCode,
    decode,
    encode_image,
    gradient,
    hmr_person,
    random_poses,
    to_rotmats,
    write_hmr_npz,
    write_tar,
)
from PIL import Image

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import to_y_up, to_z_up
from unipose.processing.rendering import Camera, render_pose
from unipose.training.datasets.importers import Crop, DatasetError, HmrImages, HmrTarImages, ThreeDPWImages
from unipose.training.datasets.importers.orientation import camera_to_stored
from unipose.training.geometry import heading, remove_heading


POSES = random_poses(4, 5)


def pose_with_pelvis(matrix) -> np.ndarray:
    """(1, 22, 3): the first of the random poses with another pelvis (3, 3)."""
    pose = POSES[:1].astype(np.float32)
    pose[0, 0] = roma.rotmat_to_rotvec(torch.as_tensor(matrix)).numpy()
    return pose


# --- The camera's frame ---


def test_an_upright_person_facing_the_camera_has_heading_zero():
    stored = to_rotmats(camera_to_stored(pose_with_pelvis(FACING)))
    torch.testing.assert_close(to_y_up(stored)[0, 0], torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(remove_heading(stored), stored, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("left", "up", "forward", "expected"),
    [
        ((0, 0, 1), (0, -1, 0), (1, 0, 0), 90),  # looks to the image's right: turned to its own left
        ((0, 0, -1), (0, -1, 0), (-1, 0, 0), -90),
        ((-1, 0, 0), (0, -1, 0), (0, 0, 1), 180),  # looks away
    ],
)
def test_headings_relative_to_the_camera(left, up, forward, expected):
    """The body's axes as columns in the camera's frame: x right, y down, z away."""
    pelvis = np.array([left, up, forward], dtype=np.float64).T
    assert np.linalg.det(pelvis) == 1
    got = np.degrees(heading(to_y_up(to_rotmats(camera_to_stored(pose_with_pelvis(pelvis))))[:, 0].numpy()))[0]
    assert (got - expected + 180) % 360 - 180 == pytest.approx(0, abs=1e-3)


def test_joints_project_to_where_the_camera_has_them():
    """Posed in the camera's frame, then seen: the same as the loaded pose before our level camera."""
    body = BodyModel.builtin()
    poses = POSES.astype(np.float32)
    rotmats = to_rotmats(poses).float()
    still = rotmats.clone()
    still[:, 0] = torch.eye(3)
    upright = body.forward_joints(to_z_up(still))
    seen = (upright - upright[:, :1]) @ rotmats[:, 0].mT  # right, down, away
    joints = body.forward_joints(to_rotmats(camera_to_stored(poses)).float())
    axes = torch.from_numpy(Camera(elevation=0).axes()).float()
    right, up, backward = ((joints - joints[:, :1]) @ axes.mT).unbind(-1)
    torch.testing.assert_close(torch.stack([right, -up, -backward], dim=-1), seen, atol=1e-5, rtol=0)


def test_a_rendered_person_is_imported_as_rendered(tmp_path):
    """Rendered from a stored pose, written with its camera-frame orientation, loaded: the same pose and image."""
    stored = remove_heading(to_rotmats(POSES[:1]))
    stored[:, 0] = roma.euler_to_rotmat("z", torch.tensor([35.0], dtype=torch.float64), degrees=True) @ stored[:, 0]
    image = render_pose(stored[0].float(), size=128, elevation=0)
    pelvis = torch.from_numpy(FACING) @ to_y_up(stored)[0, 0]  # y-up world (right, up, towards) -> right, down, away
    (tmp_path / "person.png").write_bytes(encode_image(image))
    boxes = {"center": np.array([[64.0, 64.0]]), "scale": np.array([128.0])}
    poses = pose_with_pelvis(pelvis)
    path = write_hmr_npz(tmp_path / "train.npz", ["person.png"], poses, **boxes)
    (record,) = HmrImages(path, tmp_path, crop=Crop(quality=100))
    rotmats = to_rotmats(record.rotvecs)
    torch.testing.assert_close(rotmats, stored[0], atol=1e-5, rtol=0)
    assert np.abs(decode(record.image) - np.asarray(image)).mean() < 1.5
    again = np.asarray(render_pose(rotmats.float(), size=128, elevation=0)).astype(int)
    assert np.abs(again - np.asarray(image)).mean() < 0.05


# --- Crops: red is the column, green the row, blue is 255 inside of the image ---


def test_crop_is_the_square_around_the_center():
    square = decode(Crop(quality=100).cut(gradient(200, 100), (100, 50), 41, "here"))
    assert square.shape == (41, 41, 3)
    np.testing.assert_allclose(square[20, 20], [100, 50, 255], atol=6)
    np.testing.assert_allclose(square[0, 0], [80, 30, 255], atol=6)
    assert Image.open(io.BytesIO(Crop(max_size=32).cut(gradient(200, 100), (100, 50), 80, "here"))).size == (32, 32)
    assert decode(Crop(expand=1.2).cut(gradient(200, 100), (100, 50), 50, "here")).shape == (60, 60, 3)


def test_crop_beyond_the_border_is_black():
    square = decode(Crop(quality=100).cut(gradient(200, 100), (0, 0), 64, "here"))
    assert square[:28, :28].max() < 8
    np.testing.assert_allclose(square[50, 50], [18, 18, 255], atol=8)


@pytest.mark.parametrize(
    ("center", "side"), [((50, 50), 0.3), ((50, 50), np.nan), ((np.nan, 5), 40), ((500, 5), 40), ((50, 50), 99999)]
)
def test_invalid_boxes(center, side):
    with pytest.raises(DatasetError, match=r"there, row 3: got a box of .* in an image of 200 x 100"):
        Crop().cut(gradient(200, 100), center, side, "there, row 3")


@pytest.mark.parametrize("wrong", [{"expand": 0}, {"max_size": 3}, {"quality": 0}])
def test_crop_options(wrong):
    with pytest.raises(ValueError, match="expected"):
        Crop(**wrong)


# --- npz ---


@pytest.fixture
def hmr(tmp_path):
    """Three persons in two images; the second has no pose."""
    for name in ("S1/a.png", "S1/b.png"):
        place = tmp_path / "images" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encode_image(gradient(100, 80)))
    names = ["S1/a.png", "S1/a.png", "S1/b.png"]
    path = write_hmr_npz(tmp_path / "train.npz", names, POSES[:3], has_body_pose=np.array([1.0, 0.0, 1.0]))
    return path, tmp_path / "images"


def rewrite(hmr, **changes):
    names = changes.pop("imgname", np.array(["S1/a.png", "S1/a.png", "S1/b.png"]))
    write_hmr_npz(hmr[0], names, POSES[:3], **{"imgname": names, **changes})


def test_npz_gives_rows_with_a_pose(hmr):
    loader = HmrImages(*hmr)
    records = list(loader)
    assert len(loader) == 2
    assert [record.name for record in records] == ["S1/a.png#0", "S1/b.png#2"]
    np.testing.assert_array_equal(records[1].rotvecs, camera_to_stored(POSES[2:3].astype(np.float32))[0])
    assert records[0].rotvecs.dtype == np.float32
    square = decode(records[0].image)
    assert square.shape == (40, 40, 3)
    np.testing.assert_allclose(square[20, 20], [50, 40, 255], atol=8)


@pytest.mark.parametrize(
    "changes",
    [
        {"imgname": np.array([b"S1/a.png", b"S1/a.png", b"S1/b.png"])},
        {"scale": np.full((3, 1), 40.0)},
        {"scale": np.array([[20.0, 40.0]] * 3)},
        {"has_body_pose": np.ones((3, 1)), "gender": np.array([None, "m", "f"])},
    ],
)
def test_npz_varieties(hmr, changes):
    rewrite(hmr, **changes)
    records = list(HmrImages(*hmr))
    assert [record.name for record in records] == ["S1/a.png#0", "S1/a.png#1", "S1/b.png#2"]
    assert decode(records[0].image).shape == (40, 40, 3)


def test_nan_in_a_row_without_pose_does_not_matter(hmr):
    poses = np.zeros((3, 72))
    poses[1] = np.nan
    rewrite(hmr, body_pose=poses, has_body_pose=np.array([1, 0, 1]))
    assert len(HmrImages(*hmr)) == 2
    rewrite(hmr, body_pose=poses)
    with pytest.raises(DatasetError, match=r"train.npz: the pose of row 1 holds NaN"):
        list(HmrImages(*hmr))


def test_npz_without_any_pose_is_empty(hmr):
    rewrite(hmr, has_body_pose=np.zeros(3))
    assert list(HmrImages(*hmr)) == []


def test_rows_are_shuffled_by_seed(hmr):
    rewrite(hmr)
    orders = {tuple(record.name for record in HmrImages(*hmr, seed=seed)) for seed in range(8)}
    assert len(orders) > 1
    assert [r.name for r in HmrImages(*hmr, seed=1)] == [r.name for r in HmrImages(*hmr, seed=1)]


def test_images_are_opened_lazily(hmr):
    HmrImages("nowhere.npz", "nowhere")
    (hmr[1] / "S1" / "b.png").unlink()
    records = iter(HmrImages(*hmr, dataset="human36m"))
    assert next(records).name == "S1/a.png#0"
    with pytest.raises(DatasetError, match=r"no .*S1/b.png; .*train.npz, row 2 refers to it. Get Human3.6M from"):
        next(records)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"center": None}, "lacks center; it holds imgname"),
        ({"has_body_pose": None}, "lacks has_body_pose: it has keypoints, but no poses|no poses to train on"),
        ({"body_pose": np.zeros((3, 69))}, r"body_pose: got the shape \(3, 69\); expected \(3, 72\)"),
        ({"center": np.zeros((2, 2))}, r"center: got the shape \(2, 2\)"),
        ({"scale": np.zeros((3, 3))}, r"scale: got the shape \(3, 3\); expected \(3,\) or \(3, 1\) or \(3, 2\)"),
        ({"imgname": np.array([1, 2, 3])}, "imgname is int64"),
        ({"imgname": np.array(["a", None, "b"])}, "allow_pickle=False"),
        ({"scale": np.array([0.2, 40, 40])}, r"train.npz, row 0: got a box of 0.2 pixels"),
    ],
)
def test_damaged_npz_is_named(hmr, changes, words):
    rewrite(hmr, **changes)
    with pytest.raises(DatasetError, match=words) as caught:
        list(HmrImages(*hmr))
    assert str(hmr[0]) in str(caught.value)


def test_damaged_rows_can_be_skipped(hmr, caplog):
    rewrite(hmr, scale=np.array([40.0, 0.2, 40.0]))
    (hmr[1] / "S1" / "b.png").write_bytes(b"broken")
    assert [record.name for record in HmrImages(*hmr, skip_damaged=True)] == ["S1/a.png#0"]
    assert [words in caplog.text for words in ("row 1: got a box of 0.2", "S1/b.png cannot be read")] == [True, True]


def test_damaged_images_are_named(hmr):
    path, folder = hmr
    image = folder / "S1" / "a.png"
    image.write_bytes(image.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"S1/a.png cannot be read"):
        list(HmrImages(path, folder))
    image.write_bytes(b"<html>login</html>")
    with pytest.raises(DatasetError, match=r"S1/a.png cannot be read: it is a web page"):
        list(HmrImages(path, folder))
    with pytest.raises(DatasetError, match=r"no .*nowhere; .*train.npz refers to images in it. Get COCO from"):
        list(HmrImages(path, folder / "nowhere", dataset="coco"))
    with pytest.raises(DatasetError, match=r"no .*none.npz. Get TokenHMR from .*registration"):
        list(HmrImages(path.with_name("none.npz"), folder, dataset="tokenhmr"))
    with pytest.raises(ValueError, match=r"unknown dataset 'imagenet'; expected one of amass"):
        HmrImages(path, folder, dataset="imagenet")


# --- tars ---


def persons_bytes(*persons) -> bytes:
    return pickle.dumps(list(persons))


@pytest.fixture
def members():
    image = encode_image(gradient(100, 80), "JPEG")
    return {
        "./coco/0001.jpg": image,
        "./coco/0001.data.pyd": persons_bytes(hmr_person(POSES[0]), hmr_person(POSES[1], has_body_pose=np.array(0.0))),
        "./coco/0001.detection.npz": b"masks",
        "./coco/0002.data.pyd": persons_bytes(hmr_person(POSES[2]), hmr_person(POSES[3])),
        "./coco/0002.jpg": image,
        "./coco/0003.jpg": image,
        "./coco/0003.data.pyd": persons_bytes(hmr_person(POSES[0], has_body_pose=0)),
    }


def tar_records(path, **options):
    return list(HmrTarImages(path, pickles_may_run_code=True, **options))


def test_tar_gives_persons_with_a_pose(tmp_path, members):
    records = tar_records(write_tar(tmp_path / "000000.tar", members))
    assert [record.name for record in records] == ["./coco/0001#0", "./coco/0002#0", "./coco/0002#1"]
    np.testing.assert_array_equal(records[2].rotvecs, camera_to_stored(POSES[3:].astype(np.float32))[0])
    square = decode(records[0].image)
    assert square.shape == (40, 40, 3)  # the longer side: 0.2 x 200 pixels
    np.testing.assert_allclose(square[20, 20], [50, 40, 255], atol=8)


def test_tars_and_npz_agree(tmp_path, members, hmr):
    write_hmr_npz(hmr[0], ["S1/a.png"], POSES[:1])
    from_npz, from_tar = next(iter(HmrImages(*hmr))), tar_records(write_tar(tmp_path / "0.tar", members))[0]
    np.testing.assert_array_equal(from_npz.rotvecs, from_tar.rotvecs)
    assert np.abs(decode(from_npz.image) - decode(from_tar.image)).mean() < 3


def test_folders_and_lists_of_tars(tmp_path, members):
    paths = [write_tar(tmp_path / f"{number:06d}.tar", members) for number in range(3)]
    assert len(tar_records(tmp_path)) == 9
    assert len(tar_records([paths[2], paths[0]])) == 6
    loader = HmrTarImages(tmp_path, pickles_may_run_code=True, seed=2)
    assert sorted(loader.files()) == paths
    assert loader.files() == loader.files()
    assert len({tuple(HmrTarImages(tmp_path, True, seed=seed).files()) for seed in range(8)}) > 1
    for missing in (tmp_path / "none.tar", [tmp_path / "none.tar"]):
        with pytest.raises(DatasetError, match=r"no .*none.tar. Get HMR2's training data from"):
            tar_records(missing)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no .*empty/\*.tar"):
        tar_records(tmp_path / "empty")


def test_pickles_are_not_read_unless_allowed(tmp_path, members):
    """A pickle that makes a folder when read: refused without the flag, and not run; the flag means what it says."""
    trap = tmp_path / "trap"
    members["./coco/0001.data.pyd"] = pickle.dumps(RunsCode(trap))
    path = write_tar(tmp_path / "0.tar", members)
    sequence = tmp_path / "sequenceFiles" / "train" / "s.pkl"
    sequence.parent.mkdir(parents=True)
    sequence.write_bytes(pickle.dumps(RunsCode(trap)))
    for refused in (lambda: list(HmrTarImages(path)), lambda: list(ThreeDPWImages(tmp_path))):
        with pytest.raises(
            DatasetError, match=r"pickle can run any code .* nothing was read.*pickles_may_run_code=True"
        ):
            refused()
        assert not trap.exists()
    with pytest.raises(DatasetError, match="holds a NoneType; expected a list of dicts"):
        tar_records(path)
    assert trap.exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("./coco/0001.jpg", b"\xff\xd8 no image", r"0.tar, ./coco/0001.jpg cannot be read as an image"),
        ("./coco/0001.data.pyd", b"\x80\x04 no pickle", r"0.tar, ./coco/0001.data.pyd cannot be read: "),
        ("./coco/0001.data.pyd", pickle.dumps([3]), r"0001.data.pyd holds a list; expected a list of dicts"),
        ("./coco/0001.data.pyd", pickle.dumps([{"scale": 1}]), r"0001.data.pyd: person 0 lacks center, body_pose"),
        (
            "./coco/0001.data.pyd",
            persons_bytes(hmr_person(POSES[0], body_pose=np.zeros(69))),
            r"body_pose.* \(69,\)",
        ),
        ("./coco/0001.data.pyd", persons_bytes(hmr_person(POSES[0], scale="big")), r"person 0: scale: got <U3"),
        (
            "./coco/0001.data.pyd",
            persons_bytes(hmr_person(POSES[0], scale=0.001)),
            r"person 0: got a box of 0.2",
        ),
        ("./coco/0001.data.pyd", persons_bytes(hmr_person(POSES[0] * np.nan)), r"person 0: .* holds NaN"),
    ],
)
def test_damaged_members_are_named(tmp_path, members, name, content, words):
    path = write_tar(tmp_path / "0.tar", members | {name: content})
    with pytest.raises(DatasetError, match=words):
        tar_records(path)


def test_damaged_members_can_be_skipped(tmp_path, members, caplog):
    members["./coco/0001.jpg"] = b"broken"
    members["./coco/0002.data.pyd"] = persons_bytes(hmr_person(POSES[2], scale=0.001), hmr_person(POSES[3]))
    path = write_tar(tmp_path / "0.tar", members)
    assert [record.name for record in tar_records(path, skip_damaged=True)] == ["./coco/0002#1"]
    assert [words in caplog.text for words in ("0001.jpg cannot be read", "person 0: got a box of 0.2")] == [
        True,
        True,
    ]
    path.write_bytes(path.read_bytes()[:2048])
    with pytest.raises(DatasetError, match="unexpected end of data"):
        tar_records(path, skip_damaged=True)


@pytest.mark.parametrize(
    ("name", "words"),
    [("./coco/0002.jpg", "has no member .jpg or jpeg or png"), ("./coco/0001.data.pyd", "has no member .data.pyd")],
)
def test_an_incomplete_sample_is_named(tmp_path, members, name, words):
    del members[name]
    with pytest.raises(DatasetError, match=rf"0.tar, ./coco/000\d {words}"):
        tar_records(write_tar(tmp_path / "0.tar", members))


def test_a_tar_that_is_truncated_anywhere_is_named(tmp_path, members):
    """At a block's border, within a header, within a member: tarfile itself sees only some of these."""
    whole = write_tar(tmp_path / "whole.tar", members).read_bytes()
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    path = tmp_path / "cut.tar"
    for size in [0, 100, *range(512, end + 1, 512), *range(700, end, 2048)]:
        path.write_bytes(whole[:size])
        with pytest.raises(DatasetError, match=r"cut.tar.*(cannot be read|has no member)"):
            tar_records(path)


def test_a_damaged_header_is_an_error(tmp_path, members):
    path = write_tar(tmp_path / "0.tar", members)
    content = bytearray(path.read_bytes())
    place = content.index(b"./coco/0003.jpg")
    content[place + 150] ^= 255
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"0.tar cannot be read: it is truncated or damaged after ./coco/0002.jpg"):
        tar_records(path)
