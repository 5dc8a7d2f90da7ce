"""Motions where poses are accepted: BVH files, frames and ranges of files."""

import json
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from motion_files import bvh_text, joint_names, save
from skeleton_files import noisy_poses, play

from unipose import UniPoseProcessor
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import load_pose, load_poses, pose_to_rotmats
from unipose.processing.rest_joints import REST_JOINTS


@pytest.fixture(scope="module")
def poses() -> torch.Tensor:
    return noisy_poses().float()


def random_motion(frames: int, joints: int = 52) -> np.ndarray:
    """(frames, 3 joints) axis-angle vectors."""
    return np.random.default_rng(0).normal(scale=0.3, size=(frames, 3 * joints))


def plain(motion: np.ndarray) -> torch.Tensor:
    return roma.rotvec_to_rotmat(torch.from_numpy(motion[:, :66]).reshape(-1, 22, 3)).float()


def test_rest_joints_are_those_of_the_builtin_body() -> None:
    torch.testing.assert_close(torch.tensor(REST_JOINTS), BodyModel.builtin().joints[:22], atol=1e-6, rtol=0)


@pytest.mark.parametrize("z_up", [False, True])
def test_a_bvh_file_is_read_wherever_a_pose_is(z_up: bool, poses: torch.Tensor, tmp_path: Path) -> None:
    """In meters or centimeters, y up or z up, without a frame or with its own; a range gives several poses."""
    path = save(tmp_path / "walk.BVH", bvh_text(play(poses, z_up=z_up), joint_names("mixamo")))
    for frame in (None, "z_up" if z_up else "y_up"):
        torch.testing.assert_close(load_poses(path, frame=frame), poses, atol=2e-3, rtol=0)
        torch.testing.assert_close(load_pose(f"{path}:3", frame=frame), poses[3], atol=2e-3, rtol=0)
    torch.testing.assert_close(load_poses(f"{path}:1:6:2"), load_poses(path)[1:6:2], atol=0, rtol=0)
    second = UniPoseProcessor.read_pose(f"{path}:2", frame="z_up" if z_up else "y_up")
    torch.testing.assert_close(second, load_pose(f"{path}:2"), atol=0, rtol=0)
    with pytest.raises(ValueError, match=r"pose 1 \('.*walk.BVH'\).*: it holds 6 frames"):
        pose_to_rotmats(str(path))
    with pytest.raises(ValueError, match=r"the trunk of the reference pose is [89][0-9] degrees from the vertical"):
        load_pose(f"{path}:0", frame="y_up" if z_up else "z_up")
    with pytest.raises(ValueError, match="got frame='camera'; expected y_up, z_up or none"):
        load_pose(f"{path}:0", frame="camera")


def test_damaged_bvh_files_are_named(poses: torch.Tensor, tmp_path: Path) -> None:
    text = bvh_text(play(poses), joint_names("mixamo"))
    for content, message in (
        (text.replace("OFFSET", "Offset", 1), r"walk.bvh' could not be read: .*line 4: got Offset"),
        (text.replace("mixamorig:Hips", "tail").replace("mixamorig:LeftUpLeg", "fin"), "no bone was found for"),
        ("HIERARCHY\nROOT a\n" + "{\nOFFSET 0 0 0\nJOINT a\n" * 2000, "got 101 joints in a chain"),
        ("", "ends after line 0"),
    ):
        path = save(tmp_path / "walk.bvh", content)
        with pytest.raises(ValueError, match=message):
            load_poses(path)


@pytest.mark.parametrize(
    ("range_of_frames", "expected"),
    [
        ("", slice(None)),
        (":2:8:3", slice(2, 8, 3)),
        ("::4", slice(0, 4)),
        (":7:", slice(7, None)),
        (":::5", slice(None, None, 5)),
        (":8:400", slice(8, None)),
        (":9", slice(9, 10)),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".npy", ".json", ".pt"])
def test_ranges_of_frames(suffix: str, range_of_frames: str, expected: slice, tmp_path: Path) -> None:
    motion = random_motion(10)
    path = tmp_path / f"clip{suffix}"
    if suffix == ".npz":
        np.savez(path, root_orient=motion[:, :3], pose_body=motion[:, 3:66], trans=np.zeros((10, 3)))
    elif suffix == ".npy":
        np.save(path, motion)
    elif suffix == ".json":
        path.write_text(json.dumps({"pose": motion.tolist()}))
    else:
        parts = {"global_orient": torch.tensor(motion[:, :3]), "body_pose": torch.tensor(motion[:, 3:66])}
        torch.save({"smpl_params_global": parts, "frame": 0}, path)
    got = load_poses(f"{path}{range_of_frames}", frame="y_up" if suffix == ".pt" else None, output_frame="y_up")
    frame = "y_up" if suffix == ".pt" else "z_up"
    want = torch.stack([pose_to_rotmats(pose, frame=frame) for pose in plain(motion)[expected]])
    torch.testing.assert_close(got[:, 1:], want[:, 1:], atol=1e-6, rtol=0)
    singles = torch.stack([load_pose(f"{path}:{frame}", output_frame="y_up") for frame in range(10)[expected]])
    torch.testing.assert_close(got, singles, atol=1e-6, rtol=0)


def test_what_no_range_is(tmp_path: Path) -> None:
    motion = random_motion(10)
    np.save(tmp_path / "clip.npy", motion)
    np.save(tmp_path / "single.npy", motion[0])
    path, single = f"{tmp_path}/clip.npy", f"{tmp_path}/single.npy"
    assert load_poses(single).shape == (1, 22, 3, 3)
    with pytest.raises(ValueError, match="got the frame 0:1, but it holds one pose"):
        load_poses(f"{single}:0:1")
    with pytest.raises(ValueError, match="none of its 10 frames is in the range 12:20"):
        load_poses(f"{path}:12:20")
    with pytest.raises(ValueError, match="the step of its range of frames is 0"):
        load_poses(f"{path}:::0")
    with pytest.raises(ValueError, match="got the frames 0:1, but a pose is one: pick a frame"):
        load_pose(f"{path}:0:1")
    motion[4] = np.nan
    np.save(path, motion)
    assert load_poses(f"{path}:0:4").shape == (4, 22, 3, 3)
    with pytest.raises(ValueError, match="NaN or infinite"):
        load_poses(path)
    motion[4] = 30.0
    np.save(path, motion)
    with pytest.raises(ValueError, match=r"clip.npy'\), frame 4: .*Is it in degrees"):
        load_poses(f"{path}:::2")
    matrices = plain(motion[:3]).numpy()
    matrices[1] *= 1.1
    np.save(path, matrices)
    with pytest.raises(ValueError, match=r"clip.npy'\), frame 1: the matrix of joint "):
        load_poses(path)


def test_three_frames_of_vectors_are_no_matrix(tmp_path: Path) -> None:
    """Global orientations of three frames have the shape of one matrix."""
    motion = random_motion(3)
    np.savez(tmp_path / "clip.npz", global_orient=motion[:, :3], body_pose=motion[:, 3:66])
    torch.testing.assert_close(load_poses(tmp_path / "clip.npz"), plain(motion), atol=1e-6, rtol=0)
    np.savez(tmp_path / "clip.npz", global_orient=motion[:2, :3], body_pose=motion[:, 3:66])
    with pytest.raises(ValueError, match="'global_orient' has 2 frames, 'body_pose' has 3"):
        load_poses(tmp_path / "clip.npz")
