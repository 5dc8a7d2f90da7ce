"""Rotations from joint positions: the keypoints come back, in any unit, frame and order; unknown ones are left out."""

import json
import logging

import numpy as np
import pytest
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.inverse_kinematics import fit_rotations
from unipose.processing.keypoint_positions import place_keypoints
from unipose.processing.keypoint_skeletons import REST_POINTS, SKELETONS
from unipose.processing.pose_features import JOINT_NAMES, load_poses, pose_to_rotmats, to_frame
from unipose.training.named_poses.archetypes import archetype_poses


POSES = ["stand", "crouch", "hands_up", "kneel", "sit", "lunge_left"]
# Mean millimeters between the joints of the true and the fitted pose. With all joints only the twists are open.
LIMITS = {"smpl": 4.0} | dict.fromkeys(set(SKELETONS) - {"smpl"}, 45.0)


@pytest.fixture(scope="module")
def poses() -> torch.Tensor:
    return archetype_poses(POSES).float()


def keypoints(poses: torch.Tensor, skeleton: str) -> torch.Tensor:
    return place_keypoints(poses, BodyModel.builtin().joints[:22], skeleton)


def mpjpe(first: torch.Tensor, second: torch.Tensor) -> float:
    body = BodyModel.builtin()
    return 1000.0 * float((body.forward_joints(first) - body.forward_joints(second)).norm(dim=-1).mean())


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_poses_come_back(skeleton: str, poses: torch.Tensor) -> None:
    points = keypoints(poses, skeleton)
    fitted = fit_rotations(points, skeleton, frame="z_up")
    assert fitted.rotmats.dtype == torch.float32
    assert mpjpe(fitted.rotmats, poses) < LIMITS[skeleton]
    known = ~fitted.errors.isnan()
    assert (known.any(dim=0) == torch.tensor([name in JOINT_NAMES for name in SKELETONS[skeleton].names])).all()
    assert fitted.errors.nanmean() < LIMITS[skeleton]
    single = fit_rotations(points[2], skeleton, frame="z_up")
    torch.testing.assert_close(single.rotmats, fitted.rotmats[2], atol=1e-5, rtol=0)
    assert single.errors.shape == (len(SKELETONS[skeleton].names),)


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_unit_place_and_frame_do_not_matter(skeleton: str, poses: torch.Tensor) -> None:
    points = keypoints(poses, skeleton)
    expected = fit_rotations(points, skeleton, frame="z_up")
    moved = fit_rotations(1000.0 * points.double() + torch.tensor([3.0, 400.0, -5e3]), skeleton, frame="z_up")
    torch.testing.assert_close(moved.rotmats, expected.rotmats, atol=1e-3, rtol=0)
    torch.testing.assert_close(moved.errors, expected.errors, atol=1.0, rtol=0, equal_nan=True)
    # The rows of `to_frame` turn the world's axes into those of the frame.
    turn = to_frame(torch.eye(3).repeat(1, 22, 1, 1), "camera")[0, 0]
    camera = fit_rotations(points @ turn.T, skeleton, frame="camera")
    torch.testing.assert_close(camera.rotmats, expected.rotmats, atol=1e-3, rtol=0)
    if SKELETONS[skeleton].frame == "camera":
        torch.testing.assert_close(fit_rotations(points @ turn.T, skeleton).rotmats, camera.rotmats)


def test_sides_and_facing_are_kept(poses: torch.Tensor) -> None:
    """A raised left arm is the left one, seen from any side."""
    points = keypoints(poses, "mediapipe")
    fitted = fit_rotations(points, "mediapipe", frame="z_up").rotmats
    for joint in ("pelvis", "spine3"):
        turned = [BodyModel.builtin().forward_joints(each)[:, [1, 2, 16, 17]] for each in (fitted, poses)]
        assert (turned[0] - turned[1]).norm(dim=-1).max() < 0.08, joint


def test_bent_limbs_have_their_twist(poses: torch.Tensor) -> None:
    """With bent elbows and knees the rotations of upper arms and thighs come back, not the direction alone."""
    squats = archetype_poses(["crouch", "sit"]).float()
    fitted = fit_rotations(keypoints(squats, "smpl"), "smpl", frame="z_up").rotmats
    hips = [JOINT_NAMES.index(f"{side}_hip") for side in ("left", "right")]
    angles = torch.linalg.matrix_norm(fitted[:, hips] - squats[:, hips]) / 2**0.5
    assert angles.max() < np.radians(6)


def test_unknown_keypoints(poses: torch.Tensor) -> None:
    """By confidence or NaN: unknown arms hang, unknown legs are straight, the others are as before."""
    points, names = keypoints(poses[2:3], "coco"), SKELETONS["coco"].names
    whole = fit_rotations(points, "coco", frame="z_up")
    confidence = torch.ones(1, 17)
    hidden = [names.index(name) for name in ("left_elbow", "left_wrist", "right_knee", "right_ankle")]
    confidence[:, hidden] = 0.1
    missing = points.clone()
    missing[:, hidden] = torch.nan
    answers = [
        fit_rotations(points, "coco", confidence, frame="z_up"),
        fit_rotations(torch.cat([points, confidence[..., None]], dim=-1), "coco", frame="z_up"),
        fit_rotations(missing, "coco", frame="z_up"),
    ]
    for answer in answers:
        torch.testing.assert_close(answer.rotmats, answers[0].rotmats, atol=1e-6, rtol=0)
        assert answer.errors[:, hidden].isnan().all()
        for joint in ("pelvis", "spine3", "right_shoulder", "right_elbow", "left_hip", "left_knee"):
            row = JOINT_NAMES.index(joint)
            torch.testing.assert_close(answer.rotmats[:, row], whole.rotmats[:, row], atol=1e-6, rtol=0)
        joints = BodyModel.builtin().forward_joints(answer.rotmats)[0]
        arm = joints[JOINT_NAMES.index("left_wrist")] - joints[JOINT_NAMES.index("left_shoulder")]
        assert arm[1] < -0.4
        torch.testing.assert_close(answer.rotmats[0, JOINT_NAMES.index("right_knee")], torch.eye(3), atol=1e-5, rtol=0)


def test_large_errors_are_warned_of(poses: torch.Tensor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    points = keypoints(poses, "coco")
    fit_rotations(points, "coco", frame="z_up")
    assert not caplog.records
    fit_rotations(points[:, torch.randperm(17, generator=torch.Generator().manual_seed(0))].nan_to_num(), "coco")
    assert "mm from the keypoints in the mean: are they those of the stated skeleton" in caplog.text


@pytest.mark.parametrize(
    ("positions", "options", "message"),
    [
        (np.zeros((33, 3)), {"skeleton": "blazepose"}, "skeleton is 'blazepose'; accepted: 'smpl', 'mediapipe'"),
        (np.zeros((17, 3)), {}, r"got the shape \(17, 3\); the keypoints of this skeleton are \(33, 3\)"),
        (np.zeros((33, 3)), {}, "right_hip and left_hip are at one place"),
        (np.full((33, 3), np.nan), {}, "the left hip of pose 0 is unknown; expected both hips and both shoulders"),
        ("abc", {}, "positions: expected numbers"),
        (np.ones((33, 3)), {"confidence": np.ones(3)}, r"the confidence of positions has the shape \(3,\)"),
        (np.ones((33, 3)), {"frame": "up"}, "frame is 'up'"),
    ],
)
def test_refused(positions: object, options: dict, message: str) -> None:
    if "frame" in options:
        positions = torch.tensor(
            [REST_POINTS[name] if name else (0.0, 0.0, 0.0) for name in SKELETONS["mediapipe"].names]
        )
    with pytest.raises(ValueError, match=message):
        fit_rotations(positions, **options)


def test_keypoints_are_an_entrance_of_poses(poses: torch.Tensor, tmp_path) -> None:
    """A dict or a file states them; nothing else is taken for positions."""
    points = keypoints(poses, "h36m").nan_to_num()
    expected = fit_rotations(points, "h36m").rotmats
    given = {"keypoints_3d": points[1].numpy(), "skeleton": "h36m"}
    torch.testing.assert_close(pose_to_rotmats(given), expected[1], atol=1e-6, rtol=0)
    framed = fit_rotations(points, "h36m", frame="y_up").rotmats
    torch.testing.assert_close(pose_to_rotmats(given, frame="y_up"), framed[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(pose_to_rotmats(given | {"frame": "y_up"}), framed[1], atol=1e-6, rtol=0)
    np.savez(tmp_path / "clip.npz", keypoints_3d=points.numpy(), skeleton="h36m")
    (tmp_path / "clip.json").write_text(json.dumps({"keypoints_3d": points.tolist(), "skeleton": "h36m"}))
    for name in ("clip.npz", "clip.json"):
        torch.testing.assert_close(load_poses(tmp_path / name), expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(load_poses(f"{tmp_path / name}:1:4:2"), expected[1:4:2], atol=1e-6, rtol=0)
        torch.testing.assert_close(pose_to_rotmats(f"{tmp_path / name}:3"), expected[3], atol=1e-6, rtol=0)
    for wrong, message in (
        ({"keypoints_3d": points[1]}, "the skeleton of its keypoints_3d is None; accepted: 'smpl', 'mediapipe'"),
        ({"keypoints_3d": points, "skeleton": "h36m"}, "'keypoints_3d': it holds 6 frames"),
        ({"keypoints_3d": points[1, :3], "skeleton": "h36m"}, r"got the shape \(3, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            pose_to_rotmats(wrong)
