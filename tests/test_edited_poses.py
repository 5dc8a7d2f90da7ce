"""`save_pose(..., like=)`: the file has the new body, and hands, face, shape and translation of what was edited."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_body_replacing import random_poses
from test_pose_features import accepted_forms

from unipose.processing.edited_poses import PART_KEYS, find_original
from unipose.processing.pose_features import load_pose, load_poses, pose_to_rotmats
from unipose.processing.pose_io import FORMATS, save_animation, save_pose, save_poses


SMPL_ENDINGS = (".smpl.npz", ".smplh.npz", ".smplx.npz")


def whole_body(frames: int | None = None) -> dict[str, np.ndarray]:
    """A body as the package smplx takes it, of one pose or of a motion."""
    rng = np.random.default_rng(3)
    sizes = {"global_orient": 3, "body_pose": 63, "left_hand_pose": 45, "right_hand_pose": 45, "jaw_pose": 3}
    sizes |= {"leye_pose": 3, "reye_pose": 3, "transl": 3, "expression": 10}
    shape = () if frames is None else (frames,)
    entries = {key: rng.normal(scale=0.3, size=(*shape, size)) for key, size in sizes.items()}
    return entries | {"betas": rng.normal(size=10), "gender": np.array("male")}


def beyond(entries: dict[str, np.ndarray]) -> np.ndarray:
    """(99,): jaw, eyes and hands in SMPL-X's order."""
    keys = ("jaw_pose", "leye_pose", "reye_pose", "left_hand_pose", "right_hand_pose")
    return np.concatenate([entries[key] for key in keys])


@pytest.mark.parametrize("form", accepted_forms())
def test_every_form_can_be_kept(form: str, tmp_path: Path) -> None:
    original, (new,) = accepted_forms()[form], random_poses(1)
    for ending in (".npz", ".json", ".smplx.npz"):
        path = save_pose(tmp_path / f"a{ending}", new, like=original)
        torch.testing.assert_close(load_pose(path), new, atol=3e-6, rtol=0)


@pytest.mark.parametrize("ending", SMPL_ENDINGS)
def test_files_of_smpl_have_the_hands_and_face_of_any_keys(ending: str, tmp_path: Path) -> None:
    original, (new,) = whole_body(), random_poses(1)
    path = save_pose(tmp_path / f"a{ending}", new, like=original)
    read = np.load(path)
    torch.testing.assert_close(load_pose(path), new, atol=1e-6, rtol=0)
    expected = {".smpl.npz": np.zeros(6), ".smplh.npz": beyond(original)[9:], ".smplx.npz": beyond(original)}[ending]
    np.testing.assert_allclose(read["poses"][0, 66:], expected, atol=1e-6)
    np.testing.assert_allclose(read["trans"], original["transl"][None], atol=1e-6)
    for key in ("betas", "expression"):
        np.testing.assert_array_equal(read[key], original[key])
    assert read["gender"] == "male"
    assert not set(read.files) & ({"transl", "global_orient", "left_hand_pose"})
    # What was written can be edited again, and loses nothing.
    (other,) = random_poses(1, 9)
    again = np.load(save_pose(tmp_path / f"b{ending}", other, like=path))
    np.testing.assert_allclose(again["poses"][:, 66:], read["poses"][:, 66:], atol=1e-6)
    assert {key: again[key].shape for key in again.files} == {key: read[key].shape for key in read.files}


def test_hands_of_whole_poses_go_from_model_to_model(tmp_path: Path) -> None:
    rng, (new,) = np.random.default_rng(0), random_poses(1)
    smplx, smplh, smpl = (rng.normal(scale=0.3, size=size) for size in (165, 156, 72))
    for original, ending, expected in (
        (smplx, ".smplh.npz", smplx[75:]),
        (smplh, ".smplx.npz", np.r_[np.zeros(9), smplh[66:]]),
        (smpl, ".smpl.npz", smpl[66:]),
        (smpl, ".smplh.npz", np.zeros(90)),
    ):
        read = np.load(save_pose(tmp_path / f"a{ending}", new, like={"full_pose": original}))
        np.testing.assert_allclose(read["poses"][0, 66:], expected, atol=1e-6)
    pair = {"global_orient": smpl[:3], "body_pose": smpl[3:]}
    read = np.load(save_pose(tmp_path / "b.smpl.npz", new, like=pair))
    np.testing.assert_allclose(read["poses"][0, 66:], smpl[66:], atol=1e-6)


def test_files_of_numbers_have_their_own_keys_and_those_of_the_original(tmp_path: Path) -> None:
    original, (new,) = whole_body(), random_poses(1)
    read = np.load(save_pose(tmp_path / "a.npz", new, like=original))
    assert set(read.files) == {"rotmats", "poses", "frame", *original}
    for key in set(original) - {"global_orient", "body_pose"}:
        np.testing.assert_array_equal(read[key], original[key])
    array = np.random.default_rng(0).normal(scale=0.3, size=156)
    read = np.load(save_pose(tmp_path / "b.npz", new, like=array))
    np.testing.assert_array_equal(read["poses"][66:], array[66:])


def test_the_frame_is_that_of_the_original(tmp_path: Path) -> None:
    original, (new,) = whole_body(), random_poses(1)
    for frame in ("y_up", "camera"):
        for ending in (".npz", ".json", ".smplx.npz"):
            path = save_pose(tmp_path / f"a{ending}", new, like=original | {"frame": frame})
            torch.testing.assert_close(load_pose(path), new, atol=2e-6, rtol=0)
            torch.testing.assert_close(
                load_pose(save_pose(path, new, frame=frame, like=original)), new, atol=2e-6, rtol=0
            )
    with pytest.raises(ValueError, match="like: its own frame is 'camera', got frame='y_up'"):
        save_pose(tmp_path / "a.npz", new, frame="y_up", like=original | {"frame": "camera"})


def test_a_frame_of_a_motion_and_parts_in_two_frames(tmp_path: Path) -> None:
    motion, (new,) = whole_body(5), random_poses(1)
    np.savez(tmp_path / "clip.npz", **motion)
    read = np.load(save_pose(tmp_path / "a.smplx.npz", new, like=f"{tmp_path}/clip.npz:3"))
    np.testing.assert_allclose(read["poses"][0, 75:120], motion["left_hand_pose"][3], atol=1e-6)
    np.testing.assert_allclose(read["trans"][0], motion["transl"][3], atol=1e-6)
    with pytest.raises(ValueError, match="it holds 5 frames"):
        save_pose(tmp_path / "b.npz", new, like=tmp_path / "clip.npz")
    part = {key: torch.from_numpy(value) for key, value in whole_body().items() if key != "gender"}
    camera = part | {"transl": torch.full((3,), 7.0)}
    gvhmr = {"smpl_params_global": part, "smpl_params_incam": camera, "K_fullimg": torch.eye(3)}
    for frame, expected in ((None, part["transl"]), ("camera", camera["transl"])):
        path = save_pose(tmp_path / "c.npz", new, frame=frame, like=gvhmr)
        read = np.load(path)
        np.testing.assert_array_equal(read["transl"], expected)
        np.testing.assert_array_equal(read["K_fullimg"], np.eye(3))
        torch.testing.assert_close(load_pose(path), new, atol=2e-6, rtol=0)


def test_betas_of_the_call_come_first_and_several_poses_keep_the_same(tmp_path: Path) -> None:
    poses = random_poses(2)
    paths = save_poses(tmp_path / "a.smplh.npz", poses, like=whole_body(), betas=[1.0, 2.0])
    for path, pose in zip(paths, poses, strict=True):
        np.testing.assert_array_equal(np.load(path)["betas"], [1.0, 2.0])
        np.testing.assert_allclose(np.load(path)["poses"][0, 66:], beyond(whole_body())[9:], atol=1e-6)
        torch.testing.assert_close(load_pose(path), pose, atol=1e-6, rtol=0)


def test_hands_rest_in_a_motion_whose_translation_begins_where_it_was(tmp_path: Path) -> None:
    original, poses = whole_body(), random_poses(3)
    path = save_animation(tmp_path / "a.smplx.npz", poses, fps=4, like=original)
    plain = np.load(save_animation(tmp_path / "b.smplx.npz", poses, fps=4))
    read = np.load(path)
    np.testing.assert_allclose(read["poses"][:, 66:], np.tile(beyond(original), (9, 1)), atol=1e-6)
    np.testing.assert_allclose(read["trans"][0], original["transl"], atol=1e-6)
    np.testing.assert_allclose(np.diff(read["trans"], axis=0), np.diff(plain["trans"], axis=0), atol=1e-6)
    assert len(load_poses(path)) == 9


def test_there_is_nothing_to_keep_in_a_body_alone(tmp_path: Path) -> None:
    (new,) = random_poses(1)
    for ending in (".npz", ".json", ".npy"):
        assert find_original(save_pose(tmp_path / f"a{ending}", new)) is None
    assert find_original(str(save_pose(tmp_path / "a.bvh", new))) is None
    assert find_original({"keypoints_3d": np.ones((17, 3)), "skeleton": "coco"}) is None
    assert find_original({"poses": np.zeros(72)}) is None
    for more in ({"poses": np.full(72, 0.1)}, {"poses": np.zeros(66), "betas": np.zeros(10)}):
        assert find_original(more) is not None


@pytest.mark.parametrize(
    ("original", "message"),
    [
        ({"poses": np.full(156, np.nan)}, "like, 'poses': "),
        ({"betas": np.zeros(10)}, "like: no pose is under the keys"),
        (np.zeros(65), r"like: no pose has the shape \(65,\)"),
        ("walk.bvh", "like, 'walk.bvh': a BVH file has the joints of its own skeleton"),
        ({"keypoints_3d": np.ones((17, 3)), "skeleton": "coco"}, "like: joint positions have no rotations"),
        ({"poses": np.zeros(66), "left_hand_pose": np.zeros(12)}, r"like, 'left_hand_pose': .*\(12,\); expected 15"),
        ({"poses": np.zeros(66), "trans": np.zeros((2, 3))}, r"like, 'trans': it has the shape \(2, 3\)"),
        ({"poses": np.zeros(66), "model": object()}, "like, 'model': got object of objects"),
    ],
)  # fmt: skip
def test_refused(original: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        save_pose(tmp_path / "a.smplx.npz", random_poses(1)[0], like=original)
    assert not list(tmp_path.iterdir())


def test_other_files_keep_nothing(tmp_path: Path) -> None:
    keeping = {".npz", ".json", *SMPL_ENDINGS}
    assert {each.ending for each in FORMATS if each.keeps} == keeping
    for ending in {each.ending for each in FORMATS} - keeping:
        with pytest.raises(ValueError, match=f"a {ending} file cannot keep what is in like; accepted: .npz, .json"):
            save_pose(tmp_path / f"a{ending}", random_poses(1)[0], like=whole_body())


def test_keys_of_parts_have_the_joints_of_smplx() -> None:
    widths = {"pose_hand": 90, "pose_eye": 6, "left_hand_pose": 45, "right_hand_pose": 45}
    assert {key: 3 * (end - first) for key, (first, end) in PART_KEYS.items()} == {
        key: widths.get(key, 3) for key in PART_KEYS
    }
    matrices = {**whole_body(), "jaw_pose": np.eye(3)[None]}
    assert find_original(matrices).other_joints()[0].shape == (33, 3)
    torch.testing.assert_close(pose_to_rotmats(matrices), pose_to_rotmats(whole_body()), atol=0, rtol=0)
