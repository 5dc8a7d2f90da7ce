"""Poses as files: every ending, read back by whoever reads it."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roma
import torch
import trimesh
from PIL import Image

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import FRAMES, Frame, pose_to_rotmats, to_frame, to_z_up
from unipose.processing.pose_io import (
    FORMATS,
    POSE_ENDINGS,
    load_pose,
    save_animation,
    save_pose,
    save_poses,
    write_atomically,
)


def random_poses(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return roma.rotvec_to_rotmat(torch.randn(count, 22, 3, generator=generator) * 0.5)


@pytest.mark.parametrize("ending", [".npz", ".npy", ".json"])
def test_numbers_round_trip(tmp_path: Path, ending: str) -> None:
    pose = random_poses(1)[0]
    path = save_pose(tmp_path / f"pose{ending}", pose)
    torch.testing.assert_close(load_pose(path), pose, atol=1e-5, rtol=0)


@pytest.mark.parametrize("ending", [".npz", ".json"])
def test_axis_angle_and_matrices_agree(tmp_path: Path, ending: str) -> None:
    pose = random_poses(1)[0]
    path = save_pose(tmp_path / f"pose{ending}", pose)
    content = dict(np.load(path)) if ending == ".npz" else json.loads(path.read_text())
    arrays = {key: np.asarray(value) for key, value in content.items()}
    assert {key: array.shape for key, array in arrays.items()} == {
        "rotmats": (22, 3, 3),
        "global_orient": (3,),
        "body_pose": (63,),
        "poses": (66,),
        "frame": (),
    }
    torch.testing.assert_close(pose_to_rotmats(arrays["poses"]), pose, atol=1e-5, rtol=0)
    split = {key: arrays[key] for key in ("global_orient", "body_pose")}
    torch.testing.assert_close(pose_to_rotmats(split), pose, atol=1e-5, rtol=0)


@pytest.mark.parametrize("ending", [".glb", ".obj"])
def test_meshes_load_through_trimesh(tmp_path: Path, body: BodyModel, ending: str) -> None:
    rest = to_z_up(torch.eye(3).repeat(1, 22, 1, 1))[0]
    mesh = trimesh.load_mesh(save_pose(tmp_path / f"body{ending}", rest, body), process=False)
    assert mesh.vertices.shape == (1229, 3)
    assert mesh.faces.shape == (2454, 3)
    low, high = mesh.bounds
    np.testing.assert_allclose(high[1] - low[1], 1.70, atol=1e-4)
    np.testing.assert_allclose(mesh.vertices, body.v_template.numpy(), atol=1e-5)
    if ending == ".obj":  # trimesh drops the colors of a mesh with a material: see test_skinned_glb
        assert len(np.unique(mesh.visual.vertex_colors, axis=0)) >= 5


def test_image(tmp_path: Path, body: BodyModel) -> None:
    with Image.open(save_pose(tmp_path / "pose.PNG", random_poses(1)[0], body)) as image:
        assert image.size == (512, 512)
        assert image.format == "PNG"


def test_same_pose_same_bytes(tmp_path: Path, body: BodyModel) -> None:
    pose = random_poses(1)[0]
    for ending in POSE_ENDINGS:
        first = save_pose(tmp_path / f"a{ending}", pose, body).read_bytes()
        assert save_pose(tmp_path / f"b{ending}", pose.numpy(), body).read_bytes() == first


def test_several_poses_are_numbered(tmp_path: Path) -> None:
    poses = random_poses(3)
    assert save_poses(tmp_path / "one.npy", poses[:1]) == [tmp_path / "one.npy"]
    paths = save_poses(tmp_path / "many.npz", poses)
    assert [path.name for path in paths] == ["many_1.npz", "many_2.npz", "many_3.npz"]
    for path, pose in zip(paths, poses):
        torch.testing.assert_close(load_pose(path), pose, atol=1e-5, rtol=0)
    assert save_poses(tmp_path / "none.npz", []) == []
    keypoints = save_poses(tmp_path / "two.OpenPose.json", poses[:2])
    assert [path.name for path in keypoints] == ["two_1.OpenPose.json", "two_2.OpenPose.json"]


def test_unknown_ending_and_wrong_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"'\.fbx'; accepted: {re.escape(', '.join(POSE_ENDINGS))}"):
        save_pose(tmp_path / "pose.fbx", random_poses(1)[0])
    with pytest.raises(ValueError, match=r"shape \(2, 22, 3, 3\)"):
        save_pose(tmp_path / "pose.npz", random_poses(2))
    with pytest.raises(
        ValueError, match=r"\.openpose\.png file holds one pose; accepted for an animation: .*\.glb, \.bvh"
    ):
        save_animation(tmp_path / "pose.openpose.PNG", random_poses(2))
    with pytest.raises(ValueError, match="at least 2 poses, got 1; save_pose"):
        save_animation(tmp_path / "pose.glb", random_poses(1))
    with pytest.raises(ValueError, match=r"ends in ''"):
        save_pose(tmp_path / ".npz", random_poses(1)[0])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "pose.npy"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("ending", [".npz", ".NPY", ".json", ".NpZ"])
@pytest.mark.parametrize("frame", FRAMES)
def test_what_is_written_is_read_back_in_every_frame(tmp_path: Path, ending: str, frame: Frame) -> None:
    pose = random_poses(1)[0]
    path = save_pose(tmp_path / f"pose{ending}", pose, frame=frame)
    torch.testing.assert_close(load_pose(path, frame=frame), pose, atol=1e-5, rtol=0)
    if ending != ".NPY":
        torch.testing.assert_close(load_pose(path), pose, atol=1e-5, rtol=0)
    given = to_frame(pose, frame)
    again = save_pose(tmp_path / f"again{ending}", given, frame=frame, input_frame=frame)
    torch.testing.assert_close(load_pose(again, frame=frame, output_frame=frame), given, atol=1e-5, rtol=0)


@pytest.mark.parametrize("ending", POSE_ENDINGS)
def test_only_poses_are_written(tmp_path: Path, ending: str) -> None:
    pose = random_poses(1)[0]
    broken = {
        "NaN": pose * float("nan"),
        "not a rotation": pose * 1.1,
        "reflection": -pose,
        "not a rotation: it": torch.zeros(22, 3, 3),
    }
    for message, wrong in broken.items():
        with pytest.raises(ValueError, match=message):
            save_pose(tmp_path / f"pose{ending}", wrong)
        with pytest.raises(ValueError, match=f"rotmats of pose 2: .*{message}"):
            save_poses(tmp_path / f"pose{ending}", [pose, wrong])
        with pytest.raises(ValueError, match=f"rotmats of pose 2: .*{message}|holds one pose"):
            save_animation(tmp_path / f"pose{ending}", [pose, wrong])
    with pytest.raises(ValueError, match="frame is 'up'"):
        save_pose(tmp_path / f"pose{ending}", pose, frame="up")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_pose_of_ragged_lists_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"rotmats is no array; expected one pose, \(22, 3, 3\)"):
        save_pose(tmp_path / "pose.npz", [1.0, [2.0]])


def test_flipped_bits_of_a_torch_file_are_found(tmp_path: Path) -> None:
    """torch reads other numbers, and where an entry's header is damaged, whatever the memory held."""
    path = tmp_path / "pose.pt"
    torch.save({"poses": torch.zeros(66, dtype=torch.float64)}, path)
    whole = path.read_bytes()
    assert torch.equal(load_pose(path), torch.eye(3).repeat(22, 1, 1))
    with zipfile.ZipFile(path) as archive:
        entry = next(each for each in archive.infolist() if each.filename.endswith("data/0"))
    for place in (entry.header_offset + 30, whole.index(bytes(500)) + 250):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"pose.pt' could not be read"):
            load_pose(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fps": 0.0}, "fps is 0.0; expected a number above 0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"seconds": float("inf")}, "seconds is inf"),
        ({"seconds": 0.001}, r"2 poses, 0.001 seconds apart, at 30.0 frames a second are 1 frames"),
        ({"fps": 1e9}, "frames; expected at least 1 from pose to pose and at most 36000 in all"),
        ({"betas": [1.0]}, "betas need an SMPL body"),
        ({"betas": [float("nan")]}, "betas"),
        ({"betas": [[1.0]]}, r"betas have shape \(1, 1\)"),
    ],
)
def test_wrong_animations_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        save_animation(tmp_path / "pose.glb", random_poses(2), **arguments)
    assert list(tmp_path.iterdir()) == []


def test_the_docs_have_the_table_of_endings() -> None:
    page = (Path(__file__).parents[1] / "docs" / "poses.md").read_text("utf-8")
    section = page.partition("## Files\n")[2]
    rows = re.findall(r"^\| `(.+?)` \| (.+) \| (1|motion) \|$", section, re.MULTILINE)
    assert rows == [(each.ending, each.content, "motion" if each.animated else "1") for each in FORMATS]
