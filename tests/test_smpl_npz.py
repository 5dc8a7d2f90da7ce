"""Motion files of SMPL's family: keys that AMASS's readers take, and a body that smplx puts on the floor."""

from pathlib import Path

import numpy as np
import pytest
import torch
from smpl_files import model_arrays, model_parents, write_model

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import FRAMES, Frame, load_pose
from unipose.processing.pose_io import save_animation, save_pose, save_poses
from unipose.processing.pose_motion import interpolate_poses
from unipose.training.named_poses.archetypes import archetype_poses


NUM_JOINTS = {"smpl": 24, "smplh": 52, "smplx": 55}
UP = {"z_up": (2, 1), "y_up": (1, 1), "camera": (1, -1)}


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize("model", NUM_JOINTS)
@pytest.mark.parametrize("frame", FRAMES)
def test_frames_are_read_back(tmp_path: Path, model: str, frame: Frame) -> None:
    poses = archetype_poses(["stand", "crouch", "crawl"])
    path = save_animation(tmp_path / f"motion.{model}.npz", poses, fps=10, seconds=0.2, frame=frame)
    frames = interpolate_poses(poses, 10, 0.2)
    for number in (0, 3, 4):
        torch.testing.assert_close(load_pose(f"{path}:{number}"), frames[number], atol=1e-5, rtol=0)
    single = save_pose(tmp_path / f"pose.{model}.NPZ", poses[1], frame=frame)
    torch.testing.assert_close(load_pose(single), poses[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("model", "num_joints"), NUM_JOINTS.items())
def test_keys_of_the_blender_add_ons(tmp_path: Path, model: str, num_joints: int) -> None:
    """They read trans, gender, betas, poses and one of the two spellings of the frame rate."""
    poses = archetype_poses(["stand", "crouch"])
    arrays = read(save_animation(tmp_path / f"motion.{model}.npz", poses, betas=[1.0, -0.5]))
    assert arrays["poses"].shape == (31, 3 * num_joints)
    assert arrays["trans"].shape == (31, 3)
    assert arrays["betas"].tolist() == [1.0, -0.5]
    assert str(arrays["gender"]) == "neutral"
    assert int(arrays["mocap_frame_rate"]) == int(arrays["mocap_framerate"]) == 30
    assert not arrays["poses"][:, 66:].any(), "flat hands, a face at rest"
    if model == "smplx":
        assert str(arrays["surface_model_type"]) == "smplx"
        keys = ("root_orient", "pose_body", "pose_jaw", "pose_eye", "pose_hand")
        assert np.array_equal(np.concatenate([arrays[key] for key in keys], axis=1), arrays["poses"])
    (same,) = save_poses(tmp_path / f"one.{model}.npz", poses[:1], betas=[1.0, -0.5])
    assert read(same)["betas"].tolist() == [1.0, -0.5]
    default = read(save_pose(tmp_path / f"pose.{model}.npz", poses[0]))
    assert not default["betas"].any()
    assert default["betas"].shape == ((10,) if model == "smpl" else (16,))


@pytest.mark.parametrize("frame", FRAMES)
def test_the_lowest_point_is_on_the_floor(tmp_path: Path, frame: Frame) -> None:
    """Posed by smplx with the numbers of the file alone."""
    smplx = pytest.importorskip("smplx", reason="the reference implementation, extra `smpl`")
    arrays = model_arrays(55, 20)
    model = write_model(tmp_path / "model.npz", arrays)
    poses = archetype_poses(["stand", "crouch", "lie_back"])
    path = save_animation(
        tmp_path / "m.smplx.npz", poses, fps=4, body=model, frame=frame, betas=torch.linspace(-2, 2, 10)
    )
    written = {key: torch.as_tensor(value) for key, value in read(path).items() if value.dtype.kind == "f"}
    floats = {key: torch.as_tensor(array.astype(np.float32)) for key, array in arrays.items()}
    vertices, joints = smplx.lbs.lbs(
        written["betas"].expand(9, -1),
        written["poses"],
        floats["v_template"],
        floats["shapedirs"][..., :10],
        floats["posedirs"].flatten(0, 1).T,
        floats["J_regressor"],
        torch.tensor(model_parents(55)),
        floats["weights"],
    )
    axis, sign = UP[frame]
    placed = vertices + written["trans"][:, None]
    lowest = (sign * placed[..., axis]).amin(dim=1)
    torch.testing.assert_close(lowest, torch.zeros(9), atol=1e-5, rtol=0)
    pelvis = joints[:, 0] + written["trans"]
    others = [each for each in range(3) if each != axis]
    torch.testing.assert_close(pelvis[:, others], torch.zeros(9, 2), atol=1e-5, rtol=0)


def test_without_a_body_the_builtin_one_stands_on_the_floor(tmp_path: Path, body: BodyModel) -> None:
    pose = archetype_poses(["stand"])[0]
    trans = read(save_pose(tmp_path / "pose.smplx.npz", pose))["trans"]
    lowest = body(pose[None]).vertices[..., 1].min().item()
    np.testing.assert_allclose(trans, [[0.0, 0.0, -lowest]], atol=1e-6)
