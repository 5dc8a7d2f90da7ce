"""An edited body goes back into any form: it is read back, and nothing but the body has changed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roma
import torch
from test_pose_features import accepted_forms

from unipose.processing.body_replacing import replace_body
from unipose.processing.pose_features import FRAMES, load_poses, pose_to_rotmats, to_frame


AT_REST = np.eye(3)[None].repeat(22, 0)


def random_poses(count: int, seed: int = 5) -> torch.Tensor:
    rotvecs = np.random.default_rng(seed).normal(scale=0.4, size=(count, 22, 3))
    return roma.rotvec_to_rotmat(torch.from_numpy(rotvecs)).float()


def numbers_beyond_the_body(value: Any) -> list[np.ndarray]:
    """What an edit must leave alone: the joints after the 22, and other keys."""
    if isinstance(value, dict):
        return [numbers for key in sorted(value) for numbers in numbers_beyond_the_body({"": value[key]}[""])]
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        return [array]
    flat = array.reshape(-1)
    body = {24 * 9: 198, 72: 66, 144: 132, 156: 66, 165: 66, 23 * 9: 189, 69: 63}.get(flat.size, 0)
    return [flat[body:]] if body else [] if flat.size in (3, 9, 63, 66, 132, 189, 198) else [flat]


@pytest.mark.parametrize("frame", [None, *FRAMES])
@pytest.mark.parametrize("form", accepted_forms())
def test_every_form_takes_the_body_and_keeps_the_rest(form: str, frame: Any) -> None:
    original, (new,) = accepted_forms()[form], random_poses(1)
    replaced = replace_body(original, new, frame)
    assert type(replaced) is type(original)
    torch.testing.assert_close(pose_to_rotmats(replaced, frame=frame), new, atol=2e-6, rtol=0)
    for before, after in zip(numbers_beyond_the_body(original), numbers_beyond_the_body(replaced), strict=True):
        np.testing.assert_array_equal(before, after)
    both = [original.values(), replaced.values()] if isinstance(original, dict) else [[original], [replaced]]
    for before, after in zip(*both, strict=True):
        assert type(before) is type(after)
        assert np.shape(before) == np.shape(after)
        if hasattr(before, "dtype"):
            assert before.dtype == after.dtype
    # The same body changes nothing.
    same = replace_body(original, pose_to_rotmats(original, frame=frame), frame)
    torch.testing.assert_close(pose_to_rotmats(same), pose_to_rotmats(original), atol=2e-6, rtol=0)
    # The original is not written to.
    torch.testing.assert_close(pose_to_rotmats(original), pose_to_rotmats(accepted_forms()[form]), atol=0, rtol=0)


def smplx_motion(frames: int = 7) -> dict[str, np.ndarray]:
    """As AMASS' SMPL-X files: hands, jaw, eyes, shape and translation."""
    rng = np.random.default_rng(2)
    sizes = {"root_orient": 3, "pose_body": 63, "pose_hand": 90, "pose_jaw": 3, "pose_eye": 6, "trans": 3}
    motion = {key: rng.normal(scale=0.3, size=(frames, size)) for key, size in sizes.items()}
    motion["poses"] = np.concatenate([motion[key] for key in list(sizes)[:5]], axis=1)
    return motion | {
        "betas": rng.normal(size=frames),
        "gender": np.array("female"),
        "mocap_frame_rate": np.array(120.0),
    }


def test_hands_and_face_of_a_frame_of_a_motion_are_kept(tmp_path: Path) -> None:
    motion, (new,) = smplx_motion(), random_poses(1)
    np.savez(tmp_path / "clip.npz", **motion, labels=np.array([{"a": 1}], dtype=object))
    replaced = replace_body(f"{tmp_path}/clip.npz:4", new)
    assert replaced.keys() == motion.keys()
    for key in ("pose_hand", "pose_jaw", "pose_eye", "trans"):
        np.testing.assert_array_equal(replaced[key], motion[key][4])
    for key in ("betas", "gender", "mocap_frame_rate"):
        np.testing.assert_array_equal(replaced[key], motion[key])
    np.testing.assert_array_equal(replaced["poses"][66:], motion["poses"][4, 66:])
    np.testing.assert_allclose(
        replaced["poses"][:66], np.r_[replaced["root_orient"], replaced["pose_body"]], atol=1e-6
    )
    torch.testing.assert_close(pose_to_rotmats(replaced), new, atol=2e-6, rtol=0)
    several = replace_body(f"{tmp_path}/clip.npz:1:7:2", random_poses(3))
    np.testing.assert_array_equal(several["pose_hand"], motion["pose_hand"][1:7:2])
    whole = replace_body(tmp_path / "clip.npz", random_poses(7))
    np.savez(tmp_path / "edited.npz", **whole)
    torch.testing.assert_close(load_poses(tmp_path / "edited.npz"), random_poses(7), atol=2e-6, rtol=0)
    with pytest.raises(ValueError, match="it holds 7 poses, rotmats 1; expected as many"):
        replace_body(tmp_path / "clip.npz", new)


def test_three_frames_of_vectors_are_no_matrix() -> None:
    motion = {key: value[:3] for key, value in smplx_motion().items() if key in ("root_orient", "pose_body")}
    replaced = replace_body(motion, random_poses(3))
    assert replaced["root_orient"].shape == (3, 3)
    np.testing.assert_allclose(replaced["root_orient"], roma.rotmat_to_rotvec(random_poses(3)[:, 0]), atol=1e-5)


@pytest.mark.parametrize("frame", [None, "camera"])
def test_the_camera_stays_between_two_frames(frame: Any) -> None:
    """GVHMR: what was seen from the camera is seen from it after an edit, whichever part was read."""
    world, camera = random_poses(4, 1), random_poses(4, 2)
    dtype = torch.float64

    def part(poses: torch.Tensor) -> dict[str, torch.Tensor]:
        vectors = roma.rotmat_to_rotvec(poses.to(dtype))
        return {"global_orient": vectors[:, 0], "body_pose": vectors[:, 1:].flatten(1), "betas": torch.ones(4, 10)}

    camera[:, 1:] = world[:, 1:]
    original = {"smpl_params_global": part(world), "smpl_params_incam": part(camera), "K_fullimg": torch.eye(3)}
    new = random_poses(4, 3)
    replaced = replace_body(original, new, frame)
    for number in range(4):
        one = {key: {name: value[number] for name, value in replaced[key].items()} for key in list(original)[:2]}
        read = pose_to_rotmats(one, frame=frame)
        torch.testing.assert_close(read, new[number], atol=3e-6, rtol=0)
    orients = [
        [roma.rotvec_to_rotmat(each[key]["global_orient"]) for key in list(original)[:2]]
        for each in (original, replaced)
    ]
    torch.testing.assert_close(orients[0][1] @ orients[0][0].mT, orients[1][1] @ orients[1][0].mT, atol=1e-5, rtol=0)
    torch.testing.assert_close(replaced["smpl_params_incam"]["body_pose"], replaced["smpl_params_global"]["body_pose"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64])
def test_dtypes(dtype: torch.dtype) -> None:
    replaced = replace_body({"poses": torch.zeros(156, dtype=dtype)}, random_poses(1)[0])["poses"]
    assert replaced.dtype == (torch.float32 if dtype == torch.int64 else dtype)
    vectors = roma.rotmat_to_rotvec(random_poses(1)[0]).flatten()
    torch.testing.assert_close(replaced[:66].float(), vectors, atol=2e-2 if dtype.itemsize == 2 else 1e-5, rtol=0)


def test_json_and_frames_of_the_answer(tmp_path: Path) -> None:
    (new,) = random_poses(1)
    original = {"pose": [0.0] * 72, "frame": "y_up", "note": "mine"}
    (tmp_path / "pose.json").write_text(json.dumps(original))
    replaced = replace_body(tmp_path / "pose.json", to_frame(new, "camera"), input_frame="camera")
    assert replaced["note"] == "mine"
    torch.testing.assert_close(pose_to_rotmats(json.loads(json.dumps(replaced))), new, atol=2e-6, rtol=0)


@pytest.mark.parametrize(
    ("original", "rotmats", "message"),
    [
        ("walk.bvh", AT_REST, "a BVH file has the joints of its own skeleton"),
        ({"keypoints_3d": np.ones((17, 3)), "skeleton": "coco"}, AT_REST, "no rotations to replace"),
        ({"betas": np.zeros(10)}, AT_REST, "no pose is under the keys"),
        (np.zeros(65), AT_REST, r"no pose has the shape \(65,\)"),
        (np.zeros(66), np.zeros((21, 3, 3)), r"rotmats has shape \(21, 3, 3\)"),
        (np.zeros(66), np.full((22, 3, 3), np.nan), "rotmats of pose 0: the matrix of joint 0"),
    ],
)  # fmt: skip
def test_refused(original: Any, rotmats: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace_body(original, rotmats)
