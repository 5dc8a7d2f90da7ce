"""AMASS in both layouts, on small files in the exact format; mixing of sources."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from dataset_files import random_poses, write_smplh, write_smplx

from unipose.processing.body_model import BodyModel
from unipose.training.datasets.importers import AMASS_SPLITS, SOURCES, AmassPoses, DatasetError, WeightedMix
from unipose.training.datasets.importers.amass import load_clip, resample
from unipose.training.datasets.importers.errors import RESEARCH


POSES = random_poses(12, 0)


@pytest.fixture
def root(tmp_path):
    """Two sub-datasets, one of them under its old name; shapes lie beside the motions."""
    write_smplh(tmp_path / "CMU" / "01" / "01_01_poses.npz", POSES, rate=120)
    write_smplh(tmp_path / "CMU" / "01" / "01_02_poses.npz", POSES[:5], rate=60)
    np.savez(tmp_path / "CMU" / "01" / "shape.npz", betas=np.zeros(16))
    write_smplx(tmp_path / "MPI_HDM05" / "bd" / "walk_stageii.npz", POSES[:4])
    np.savez(tmp_path / "MPI_HDM05" / "bd" / "neutral_stagei.npz", betas=np.zeros(16))
    return tmp_path


def names(loader) -> list[str]:
    return [record.name for record in loader]


@pytest.mark.parametrize(
    ("write", "changes", "rate"),
    [
        (write_smplh, {}, 120),
        (write_smplx, {}, 60),
        (write_smplx, {"poses": None}, 60),
        (write_smplx, {"mocap_frame_rate": None, "mocap_framerate": np.array(30)}, 30),
        (write_smplh, {"mocap_framerate": None, "mocap_frame_rate": np.array([250.0])}, 250),
        (write_smplh, {"mocap_framerate": None}, None),
        # Some files keep their gender as an object: that is a pickle, and is not touched.
        (write_smplh, {"gender": np.array(b"female", dtype=object)}, 120),
    ],
)
def test_both_layouts_are_read(tmp_path, write, changes, rate):
    clip = load_clip(write(tmp_path / "clip.npz", POSES, **changes))
    np.testing.assert_array_equal(clip.rotvecs, POSES.astype(np.float32))
    assert clip.frames_per_second == rate


def test_folder_is_read_sorted_without_shapes(root):
    records = list(AmassPoses(root))
    assert [record.name for record in records] == [
        *(f"CMU/01/01_01_poses.npz:{frame}" for frame in range(12)),
        *(f"CMU/01/01_02_poses.npz:{frame}" for frame in range(5)),
        *(f"MPI_HDM05/bd/walk_stageii.npz:{frame}" for frame in range(4)),
    ]
    np.testing.assert_array_equal(records[14].rotvecs, POSES[2].astype(np.float32))
    assert records[0].rotvecs.dtype == np.float32
    assert records[0].captions == ()


def test_sub_datasets_by_any_of_their_names(root):
    for name in ("HDM05", "MPI_HDM05"):
        assert len(list(AmassPoses(root, [name]))) == 4
    assert len(list(AmassPoses(root, ["CMU"]))) == 17


def test_official_split_is_disjoint():
    listed = [name for split in AMASS_SPLITS.values() for name in split]
    assert len(listed) == len(set(listed)) == 15


@pytest.mark.parametrize(("rate", "target"), [(120, 30), (100, 30), (59.94, 10), (60, 60), (250, 24), (30, 120)])
def test_resampling_follows_time(rate, target):
    """Each frame is the nearest to a tick; ticks cover the clip; nothing repeats."""
    frames = resample(500, rate, target)
    assert len(frames) == len(set(frames))
    assert frames[0] == 0
    assert frames[-1] <= 499
    if target >= rate:
        np.testing.assert_array_equal(frames, np.arange(500))
    else:
        ticks = np.arange(len(frames)) / target
        assert np.abs(frames / rate - ticks).max() <= 0.5 / rate + 1e-9
        assert len(frames) == int(499 / rate * target + 1e-6) + 1


def test_options_select_frames(root):
    cmu = "CMU/01/01_01_poses.npz"
    assert names(AmassPoses(root, ["CMU"], frames_per_second=30))[:3] == [f"{cmu}:{frame}" for frame in (0, 4, 8)]
    assert names(AmassPoses(root, ["CMU"], stride=5))[:3] == [f"{cmu}:{frame}" for frame in (0, 5, 10)]
    assert names(AmassPoses(root, ["CMU"], trim=0.25))[:6] == [f"{cmu}:{frame}" for frame in range(3, 9)]
    for wrong in ({"frames_per_second": 0}, {"stride": 0}, {"stride": 2, "frames_per_second": 30}, {"trim": 0.5}):
        with pytest.raises(ValueError, match="expected"):
            AmassPoses(root, **wrong)


def test_files_are_opened_lazily(root, monkeypatch):
    opened = []
    load = np.load
    monkeypatch.setattr(np, "load", lambda path, **options: opened.append(path.name) or load(path, **options))
    AmassPoses("nowhere")
    records = iter(AmassPoses(root))
    assert opened == []
    for _ in range(12):
        next(records)
    assert opened == ["01_01_poses.npz"]
    next(records)
    assert opened == ["01_01_poses.npz", "01_02_poses.npz"]


def test_a_seed_shuffles_files_reproducibly(root):
    orders = {seed: names(AmassPoses(root, seed=seed)) for seed in range(6)}
    assert all(sorted(order) == sorted(names(AmassPoses(root))) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) > 1
    assert orders[3] == names(AmassPoses(root, seed=3))


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def corrupt(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50] = bytes(50)
    path.write_bytes(content)


def save_array(path):
    with path.open("wb") as stream:
        np.save(stream, POSES)


def open_header(path: Path) -> None:
    """Writes an array whose header lacks a bracket."""
    buffer = io.BytesIO()
    np.save(buffer, POSES)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("poses.npy", buffer.getvalue().replace(b"), }", b"   }", 1))


DAMAGE = {
    "truncated": (cut, "cannot be read"),
    "bytes changed": (corrupt, "cannot be read"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "login page": (
        lambda path: path.write_text("\n<!DOCTYPE html><html>Sign in</html>"),
        "the download needs a login",
    ),
    "LFS pointer": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "npy in its place": (save_array, "a single array"),
    "no poses": (lambda path: np.savez(path, trans=np.zeros(3)), "holds trans; expected poses"),
    "half of it": (lambda path: write_smplx(path, POSES, poses=None, pose_body=None), "holds gender"),
    "marker data": (lambda path: write_smplh(path, POSES, poses=np.zeros((12, 90))), r"\(12, 90\)"),
    "one frame": (lambda path: write_smplh(path, POSES, poses=np.zeros(156)), r"\(156,\)"),
    "unequal parts": (lambda path: write_smplx(path, POSES, poses=None, root_orient=np.zeros((3, 3))), r"\(3, 3\)"),
    "texts": (lambda path: write_smplh(path, POSES, poses=np.full((2, 156), "a")), "real numbers"),
    "pickled poses": (lambda path: write_smplh(path, POSES, poses=np.array([None, {}])), "allow_pickle=False"),
    "rate": (lambda path: write_smplh(path, POSES, rate=0), "one positive number"),
    "open header": (open_header, "multi-line statement"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_file_is_named(tmp_path, damage):
    spoil, words = DAMAGE[damage]
    path = write_smplh(tmp_path / "CMU" / "01" / "01_01_poses.npz", POSES)
    spoil(path)
    with pytest.raises(DatasetError, match=words) as caught:
        list(AmassPoses(tmp_path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_nan_names_the_frame(tmp_path, value):
    poses = POSES.copy()
    poses[7, 3, 1] = poses[9, 0, 0] = value
    path = write_smplh(tmp_path / "clip.npz", poses)
    with pytest.raises(DatasetError, match=r"frame 7 holds NaN or infinite values \(2 frames do\)"):
        load_clip(path)


def test_missing_data_names_its_source(root, tmp_path):
    with pytest.raises(
        DatasetError, match=f"no {tmp_path}/AMASS.*https://amass.is.tue.mpg.de.*registration.*{RESEARCH}"
    ):
        next(iter(AmassPoses(tmp_path / "AMASS")))
    with pytest.raises(DatasetError, match=r"no such sub-dataset \(nor MPI_mosh.* holds CMU, MPI_HDM05"):
        next(iter(AmassPoses(root, ["MoSh"])))
    with pytest.raises(DatasetError, match=r"https://moyo.is.tue.mpg.de"):
        next(iter(AmassPoses(root, ["MOYO"])))
    (root / "KIT.tar.bz2").write_bytes(b"BZh")
    with pytest.raises(DatasetError, match=r"KIT.tar.bz2 exists: unpack it"):
        next(iter(AmassPoses(root, ["KIT"])))
    (root / "SFU").mkdir()
    with pytest.raises(DatasetError, match=r"no motion files .* are in .*SFU"):
        next(iter(AmassPoses(root, ["SFU"])))


def test_a_frame_rate_is_needed_only_for_frames_per_second(tmp_path):
    write_smplh(tmp_path / "clip.npz", POSES, mocap_framerate=None)
    assert len(list(AmassPoses(tmp_path, stride=2))) == 6
    with pytest.raises(DatasetError, match=r"clip.npz has no frame rate"):
        list(AmassPoses(tmp_path, frames_per_second=30))


def test_every_source_names_address_and_license():
    for source in SOURCES.values():
        assert source.address.startswith("http")
        assert source.license
        assert source.address in str(source)


def test_mix_follows_weights_and_restarts_sources():
    mix = WeightedMix({"a": range(3), "b": range(100, 200)}, {"a": 3.0, "b": 1.0}, length=2000, seed=0)
    drawn = list(mix)
    assert len(drawn) == len(mix) == 2000
    small = [value for value in drawn if value < 100]
    assert len(small) / 2000 == pytest.approx(0.75, abs=0.03)
    assert small[:7] == [0, 1, 2, 0, 1, 2, 0]
    assert [value for value in drawn if value >= 100][:3] == [100, 101, 102]
    assert drawn == list(mix)
    assert drawn != list(WeightedMix(mix.sources, mix.weights, 2000, seed=1))


@pytest.mark.parametrize(
    ("sources", "weights", "words"),
    [
        ({"a": [1]}, {"b": 1.0}, "a weight for each"),
        ({}, {}, "at least one source"),
        ({"a": [1]}, {"a": 0.0}, "expected positive"),
        ({"a": [1]}, {"a": np.nan}, "expected positive"),
        ({"a": iter([1])}, {"a": 1.0}, "only once"),
        ({"a": []}, {"a": 1.0}, "'a' is empty"),
    ],
)
def test_mix_refuses(sources, weights, words):
    with pytest.raises(ValueError, match=words):
        list(WeightedMix(sources, weights, 4, seed=0))


def test_degrees_and_positions_are_refused(tmp_path: Path, body: BodyModel) -> None:
    rotvecs = np.random.default_rng(0).normal(0, 0.3, (3, 22, 3))
    positions = body.forward_joints(roma.rotvec_to_rotmat(torch.from_numpy(rotvecs)).float()).numpy()
    for wrong, message in (
        (np.degrees(rotvecs), "Is it in degrees"),
        (positions, "expected rotations, not positions"),
    ):
        poses = rotvecs.copy()
        poses[1] = wrong[1]
        np.savez(tmp_path / "clip.npz", poses=poses.reshape(3, 66), mocap_framerate=30.0)
        with pytest.raises(DatasetError, match=rf"clip\.npz: the pose of frame 1: .*{message}"):
            load_clip(tmp_path / "clip.npz")
