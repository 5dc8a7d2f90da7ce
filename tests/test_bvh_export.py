"""BVH files, read back by an independent reader (bvhio)."""

import re
from pathlib import Path

import bvhio
import numpy as np
import pytest
import roma
import torch
from skeleton_files import noisy_poses
from smpl_files import person_arrays, write_model

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, load_pose, load_poses
from unipose.processing.pose_io import save_animation, save_pose
from unipose.processing.pose_motion import interpolate_poses
from unipose.training.named_poses.archetypes import archetype_poses


POSES = ["stand", "crouch", "kneel", "hands_up", "lie_back", "crawl"]


def read_joints(path: Path) -> dict[str, np.ndarray]:
    """(frames, 3) centimeters of each joint in the world."""
    root = bvhio.readAsHierarchy(str(path))
    frames = bvhio.readAsBvh(str(path)).FrameCount
    joints: dict[str, list[list[float]]] = {name: [] for name in JOINT_NAMES}
    for frame in range(frames):
        root.loadPose(frame)
        for joint, _, _ in root.layout():
            joints[joint.Name].append(list(joint.PositionWorld))
    return {name: np.array(places) for name, places in joints.items()}


@pytest.mark.parametrize("name", POSES)
def test_joints_are_where_the_body_has_them(tmp_path: Path, body: BodyModel, name: str) -> None:
    pose = archetype_poses([name])[0]
    joints = read_joints(save_pose(tmp_path / "pose.bvh", pose))
    expected = 100 * body.forward_joints(pose[None])[0].numpy()
    found = np.stack([joints[joint][0] for joint in JOINT_NAMES])
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("tilt", [90.0, -90.0, 89.9999])
def test_gimbal_lock(tmp_path: Path, body: BodyModel, tilt: float) -> None:
    """At 90 degrees about x, the middle axis, the other two angles are not unique."""
    pose = archetype_poses(["stand"])[0].double()
    angles = torch.tensor([[30.0, tilt, 50.0], [-170.0, tilt, 120.0]], dtype=torch.float64)
    pose[[1, 17]] = roma.euler_to_rotmat("ZXY", angles, degrees=True)
    joints = read_joints(save_pose(tmp_path / "pose.bvh", pose))
    expected = 100 * body.forward_joints(pose[None])[0].numpy()
    found = np.stack([joints[joint][0] for joint in JOINT_NAMES])
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_a_motion_has_its_frames_rate_and_floor(tmp_path: Path, body: BodyModel) -> None:
    poses = archetype_poses(POSES)
    path = save_animation(tmp_path / "motion.bvh", poses, fps=12, seconds=0.5)
    read = bvhio.readAsBvh(str(path))
    assert read.FrameCount == 6 * 5 + 1
    assert read.FrameTime == pytest.approx(1 / 12, abs=1e-6)
    frames = interpolate_poses(poses, 12, 0.5)
    posed = body(frames)
    lowest = posed.vertices[..., 1].amin(dim=1)
    expected = posed.joints.clone()
    expected[..., 1] += (lowest[0] - lowest)[:, None]
    joints = read_joints(path)
    found = np.stack([joints[name] for name in JOINT_NAMES], axis=1)
    np.testing.assert_allclose(found, 100 * expected.numpy(), atol=2e-3)


def test_angles_do_not_jump(tmp_path: Path) -> None:
    """A heading that passes 180 degrees goes on to more."""
    stand = archetype_poses(["stand"])
    rotations = roma.rotvec_to_rotmat(
        torch.deg2rad(torch.arange(0.0, 400.0, 20.0))[:, None] * torch.tensor([0, 0, 1.0])
    )
    turning = stand.repeat(len(rotations), 1, 1, 1)
    turning[:, 0] = rotations @ turning[:, 0]
    lines = save_animation(tmp_path / "turn.bvh", turning, fps=30, seconds=1 / 30).read_text().splitlines()
    values = np.array([[float(word) for word in line.split()] for line in lines[lines.index("MOTION") + 3 :]])
    assert values.shape == (20, 3 + 22 * 3)
    assert np.abs(np.diff(values[:, 3:6], axis=0)).max() < 21.0


def test_the_skeleton_rests_in_the_t_pose(tmp_path: Path, body: BodyModel) -> None:
    root = bvhio.readAsBvh(str(save_pose(tmp_path / "pose.bvh", archetype_poses(["crawl"])[0]))).Root
    places = {}

    def visit(joint: bvhio.BvhJoint, above: np.ndarray) -> None:
        places[joint.Name] = above + np.array(list(joint.Offset))
        if not joint.Children:
            assert joint.EndSite is not None
        for child in joint.Children:
            visit(child, places[joint.Name])

    visit(root, np.zeros(3))
    found = np.stack([places[name] for name in JOINT_NAMES])
    np.testing.assert_allclose(found, 100 * body.joints[:22].numpy(), atol=1e-3)
    assert root.Channels == ["Xposition", "Yposition", "Zposition", "Zrotation", "Xrotation", "Yrotation"]


def degrees_between(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(roma.rotmat_geodesic_distance(first.double(), second.double()).max().rad2deg())


@pytest.fixture(params=["built-in", "smpl", "smplx, with betas"])
def any_body(request: pytest.FixtureRequest, tmp_path: Path) -> dict:
    """Arguments of `save_pose`."""
    if request.param == "built-in":
        return {}
    pytest.importorskip("smplx", reason="the user's SMPL files are posed by smplx, extra `smpl`")
    if request.param == "smpl":
        return {"body": write_model(tmp_path / "SMPL_NEUTRAL.npz", person_arrays(24))}
    return {"body": write_model(tmp_path / "SMPLX_NEUTRAL.npz", person_arrays(55)), "betas": [3.0, -2.0, 1.0]}


def test_what_is_written_reads_back(tmp_path: Path, any_body: dict) -> None:
    """Whatever the proportions of the body: its rest pose is SMPL's, so its rotations are."""
    poses = noisy_poses().float()
    for number, pose in enumerate(poses):
        path = save_pose(tmp_path / f"{number}.bvh", pose, **any_body)
        assert degrees_between(load_pose(path), pose) < 0.1
    path = save_animation(tmp_path / "motion.bvh", poses, fps=30, seconds=1 / 30, **any_body)
    assert degrees_between(load_poses(path), poses) < 0.1


def rewrite(path: Path, change: dict[str, str]) -> Path:
    """The file with other words."""
    text = path.read_text()
    for old, new in change.items():
        text = re.sub(old, new, text)
    path.write_text(text)
    return path


def test_the_arms_of_another_rest_pose_are_aligned(tmp_path: Path) -> None:
    """SMPL's names alone do not make the T-pose: with arms that rest 45 degrees lower, an arm at rest hangs so."""
    pose = archetype_poses(["hands_up"])[0]
    plain = save_pose(tmp_path / "plain.bvh", pose)
    offset = r"(JOINT left_elbow\n *\{\n *OFFSET) ([\d.]+) \S+ (\S+)"
    leaning = rewrite(save_pose(tmp_path / "leaning.bvh", pose), {offset: r"\1 \2 -\2 \3"})
    names = [name for name in JOINT_NAMES if name not in ("left_shoulder", "left_elbow", "left_wrist")]
    places = [JOINT_NAMES.index(name) for name in names]
    assert degrees_between(load_pose(plain), pose) < 0.1
    turned = load_pose(leaning)
    assert degrees_between(turned[places], pose[places]) < 10
    assert 35 < degrees_between(turned[JOINT_NAMES.index("left_shoulder")], pose[16]) < 55
