"""BVH files, read back by an independent reader (bvhio)."""

from pathlib import Path

import bvhio
import numpy as np
import pytest
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES
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
