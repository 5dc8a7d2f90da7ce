"""Motion archives: clips by pattern, frames that differ, damaged files named."""

from pathlib import Path

import numpy as np
import pytest

from unipose.training.datasets.importers import DatasetError, MotionArchives


def write_archive(path: Path, **changes: np.ndarray) -> None:
    poses = np.zeros((6, 22, 3), dtype=np.float16)
    poses[:, 4, 0] = [0.0, 0.0, 1.0, 0.5, 0.51, 1.5]
    arrays = {
        "poses": poses,
        "clip": np.array([0, 0, 0, 1, 1, 1], dtype=np.int32),
        "clip_names": np.array(["01_01", "02_01"]),
        "clip_labels": np.array(["walk", "cartwheel"]),
    }
    np.savez(path, **(arrays | changes))


def test_frames_come_with_the_label_of_their_clip(tmp_path: Path) -> None:
    write_archive(tmp_path / "cmu.npz")
    records = list(MotionArchives(tmp_path))
    assert [record.name for record in records] == [f"cmu/{clip}:{i}" for clip in ("01_01", "02_01") for i in range(3)]
    assert records[-1].captions == ("cartwheel",)
    assert records[-1].rotvecs.dtype == np.float32
    assert records[-1].rotvecs[4].tolist() == [1.5, 0.0, 0.0]


def test_clips_are_chosen_by_pattern(tmp_path: Path) -> None:
    write_archive(tmp_path / "cmu.npz")
    assert {record.name[:9] for record in MotionArchives(tmp_path, clips=["cmu/01_*"])} == {"cmu/01_01"}
    assert {record.name[:9] for record in MotionArchives(tmp_path, skip_clips=["*/01_*"])} == {"cmu/02_01"}
    with pytest.raises(DatasetError, match="no clip"):
        list(MotionArchives(tmp_path, clips=["other/*"]))


def test_frames_alike_are_left_out(tmp_path: Path) -> None:
    write_archive(tmp_path / "cmu.npz")
    # One joint by one radian is 57.3 / 22 = 2.6 degrees on average.
    names = [record.name for record in MotionArchives(tmp_path, min_change=2.0)]
    assert names == ["cmu/01_01:0", "cmu/01_01:2", "cmu/02_01:0", "cmu/02_01:2"]


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no motion archives"):
        list(MotionArchives(tmp_path))
    write_archive(tmp_path / "short.npz", clip=np.array([0, 1], dtype=np.int32))
    with pytest.raises(DatasetError, match=r"short.npz: got poses \(6, 22, 3\), clip \(2,\)"):
        list(MotionArchives(tmp_path))
    write_archive(tmp_path / "short.npz", poses=np.full((6, 22, 3), np.nan, dtype=np.float16))
    with pytest.raises(DatasetError, match=r"short.npz"):
        list(MotionArchives(tmp_path))
    nothing = {"poses": np.zeros((0, 22, 3), dtype=np.float16), "clip": np.zeros(0, dtype=np.int32)}
    write_archive(tmp_path / "short.npz", **nothing)
    with pytest.raises(DatasetError, match=r"short.npz: got no frames"):
        list(MotionArchives(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip": np.array([0, 0, 0, -1, 1, 1])}, r"clip \(6,\) from -1 to 1"),
        ({"clip": np.zeros(6)}, "clip of type float64"),
        ({"clip_labels": np.array(["walk"])}, r"clip_labels \(1,\)"),
        ({"clip_names": np.array([1, 2])}, "clip_names of type int64"),
    ],
)
def test_frames_without_a_clip_are_not_left_out(tmp_path: Path, changes: dict, message: str) -> None:
    write_archive(tmp_path / "a.npz", **changes)
    with pytest.raises(DatasetError, match=rf"a.npz: got .*{message}"):
        list(MotionArchives(tmp_path))
