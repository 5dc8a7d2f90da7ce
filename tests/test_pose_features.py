"""Every accepted form gives the same pose; everything else is refused with a message that names it."""

import json
import re

import numpy as np
import pytest
import roma
import torch

from unipose.processing.pose_features import (
    ACCEPTED_FORMS,
    MIRRORED_JOINTS,
    group_poses,
    load_pose,
    mirror_pose,
    pose_to_rotmats,
    poses_to_pose_values,
    rotation_6d_to_rotmat,
    rotmat_to_rotation_6d,
    to_y_up,
    to_z_up,
)


DTYPES = [torch.float32, torch.float64]


def random_rotvecs(joints: int = 22, seed: int = 0) -> torch.Tensor:
    return torch.randn(joints, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def accepted_forms() -> dict[str, object]:
    """The same pose in every form; joints beyond the 22 are set, to see that they are cut."""
    rotvec = random_rotvecs()
    hands = torch.cat([rotvec, random_rotvecs(33, seed=1)])
    rotmat = roma.rotvec_to_rotmat(hands)
    vector = hands.flatten().numpy()
    rotation_6d = rotmat_to_rotation_6d(rotmat[:22])
    return {
        "rotmats": rotmat[:22],
        "rotmats numpy": rotmat[:22].numpy(),
        "rotmats list": rotmat[:22].tolist(),
        "SMPL rotmats": rotmat[:24],
        "float32": rotmat[:22].float(),
        "axis-angle": rotvec,
        "SMPL axis-angle": hands[:24],
        "66": vector[:66],
        "66 list": vector[:66].tolist(),
        "72": vector[:72],
        "156": vector[:156],
        "165": vector,
        "one frame of 156": vector[None, :156],
        "6D": rotation_6d,
        "6D scaled": rotation_6d * 3,
        "132": rotation_6d.flatten(),
        "dict rotmats": {"global_orient": rotmat[:1], "body_pose": rotmat[1:24], "betas": np.zeros(10)},
        "dict rotmats batch of one": {"global_orient": rotmat[None, :1], "body_pose": rotmat[None, 1:22]},
        "dict axis-angle": {"global_orient": vector[:3], "body_pose": vector[3:72]},
        "dict axis-angle (21, 3)": {"global_orient": hands[:1], "body_pose": hands[1:22]},
        "dict mixed": {"global_orient": rotmat[0], "body_pose": vector[3:66]},
        "AMASS": {"poses": vector[:156], "trans": np.zeros(3), "gender": "neutral"},
        "AMASS SMPL-X": {"root_orient": vector[None, :3], "pose_body": vector[None, 3:66]},
        "dict of rotmats": {"rotmats": rotmat[:22]},
    }


@pytest.mark.parametrize("form", accepted_forms())
def test_every_form_gives_the_same_pose(form):
    expected = rotmat_to_rotation_6d(roma.rotvec_to_rotmat(random_rotvecs())).float()
    values = poses_to_pose_values([accepted_forms()[form]])
    assert values.dtype == torch.float32
    assert values.shape == (1, 22, 6)
    torch.testing.assert_close(values[0], expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".json"])
def test_files_round_trip(tmp_path, suffix):
    rotmats = roma.rotvec_to_rotmat(random_rotvecs())
    path = tmp_path / f"pose{suffix}"
    if suffix == ".npy":
        np.save(path, rotmats.numpy())
    elif suffix == ".npz":
        gender = np.array(["neutral"], dtype=object)  # a pickle in the same file must not be read
        np.savez(path, poses=random_rotvecs(52).numpy()[None] * 0 + 0.1, gender=gender)
        rotmats = roma.rotvec_to_rotmat(torch.full((22, 3), 0.1, dtype=torch.float64))
    else:
        path.write_text(json.dumps({"rotmats": rotmats.tolist()}))
    torch.testing.assert_close(load_pose(path), rotmats.float(), atol=1e-6, rtol=0)
    torch.testing.assert_close(pose_to_rotmats(str(path)), load_pose(path), atol=0, rtol=0)


def test_bfloat16_is_projected():
    rotmats = roma.rotvec_to_rotmat(random_rotvecs())
    repaired = pose_to_rotmats(rotmats.bfloat16())
    torch.testing.assert_close(repaired @ repaired.mT, torch.eye(3).expand(22, 3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(repaired, rotmats.float(), atol=1e-2, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rotation_6d_round_trip(dtype):
    rotmats = roma.random_rotmat((5, 22)).to(dtype)
    torch.testing.assert_close(rotation_6d_to_rotmat(rotmat_to_rotation_6d(rotmats)), rotmats, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_mirror(dtype):
    rotvecs = roma.random_rotvec((4, 22)).to(dtype)
    mirrored = mirror_pose(roma.rotvec_to_rotmat(rotvecs))
    expected = rotvecs[:, MIRRORED_JOINTS] * rotvecs.new_tensor((1, -1, -1))
    torch.testing.assert_close(mirrored, roma.rotvec_to_rotmat(expected), atol=1e-5, rtol=0)
    torch.testing.assert_close(mirror_pose(mirrored), roma.rotvec_to_rotmat(rotvecs), atol=1e-6, rtol=0)
    torch.testing.assert_close(to_z_up(mirror_pose(to_y_up(mirrored))), mirror_pose(mirrored), atol=1e-6, rtol=0)


def off_rotation(joint: int, matrix: torch.Tensor) -> torch.Tensor:
    rotmats = torch.eye(3).repeat(22, 1, 1)
    rotmats[joint] = matrix
    return rotmats


REFUSED = {
    "shape": (torch.zeros(65), f"pose 1: no pose has the shape (65,); accepted: {ACCEPTED_FORMS}"),
    "frames": (np.zeros((7, 156)), "pose 1: it holds 7 frames (shape (7, 156)), but a pose is one: pick a frame"),
    "dict frames": (
        {"root_orient": np.zeros((3, 3)), "pose_body": np.zeros((3, 63))},
        "pose 1, 'pose_body': it holds 3 frames (shape (3, 63)), but a pose is one: pick a frame",
    ),
    "NaN": ([float("nan")] + [0.0] * 65, "pose 1: it holds 1 NaN or infinite values"),
    "inf": (torch.full((22, 3), float("inf")), "pose 1: it holds 66 NaN or infinite values"),
    "deviation": (
        off_rotation(4, torch.eye(3) * 1.1),
        "pose 1: the matrix of joint 4 (left_knee) is not a rotation: it deviates from an orthogonal one by 0.21, "
        "at most 0.01 is accepted",
    ),
    "reflection": (
        off_rotation(2, -torch.eye(3)),
        "pose 1: the matrix of joint 2 (right_hip) is a reflection (determinant -1), not a rotation",
    ),
    "flat 6D": (
        torch.zeros(22, 6),
        "pose 1: the 6 numbers of joint 0 (pelvis) are two parallel rows, not a rotation",
    ),
    "keys": ({"thetas": 1, "b": 2}, f"pose 1: no pose is under the keys ['b', 'thetas']; accepted: {ACCEPTED_FORMS}"),
    "body shape": (
        {"global_orient": np.zeros(3), "body_pose": np.zeros(60)},
        "pose 1, 'body_pose': it has the shape (60,); accepted: (63,), (21, 3), (21, 3, 3), (69,), (23, 3), "
        "(23, 3, 3)",
    ),
    "ragged": ([[1.0], [1.0, 2.0]], f"pose 1: this list is not an array of numbers; accepted: {ACCEPTED_FORMS}"),
    "None": (None, f"pose 1: expected numbers, got NoneType; accepted: {ACCEPTED_FORMS}"),
    "complex": (
        torch.zeros(66, dtype=torch.complex64),
        "pose 1: expected real numbers, got torch.complex64",
    ),
    "missing": ("nowhere.npy", "pose 1: there is no file 'nowhere.npy'"),
    "ending": ("pose.txt", "pose 1: 'pose.txt' is not a pose file; accepted: .npy, .npz and .json"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    pose, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pose_to_rotmats(pose)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".json"])
@pytest.mark.parametrize("content", [b"", b"no pose", b"PK\x03\x04rest", b"\x93NUMPY\x01\x00"])
def test_unreadable_file(tmp_path, suffix, content):
    path = tmp_path / f"pose{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^pose 2: the file '.*' could not be read: "):
        pose_to_rotmats(path, name="pose 2")


def test_pickles_are_not_loaded(tmp_path):
    np.save(tmp_path / "pose.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="could not be read: Object arrays cannot be loaded"):
        load_pose(tmp_path / "pose.npy")


def test_second_pose_is_named():
    with pytest.raises(ValueError, match=r"^pose 2: "):
        poses_to_pose_values([torch.zeros(66), torch.zeros(65)])


def test_no_poses():
    assert poses_to_pose_values([]).shape == (0, 22, 6)


@pytest.mark.parametrize(
    ("poses", "lengths", "layout"),
    [
        (torch.zeros(22, 3), [1], "single"),
        (torch.zeros(66).tolist(), [1], "single"),
        (torch.zeros(22, 3, 3).tolist(), [1], "single"),
        (torch.zeros(5, 22, 6), [5], "flat"),
        (torch.zeros(65), [1], "single"),
        ([torch.zeros(66), {"poses": 0}, "a.npy"], [3], "flat"),
        (torch.zeros(2, 66).tolist(), [2], "flat"),
        ([[torch.zeros(66)], []], [1, 0], "nested"),
        (torch.zeros(3, 2, 22, 3).tolist(), [2, 2, 2], "nested"),
        ([["a.npy", "b.npy"], ["c.npy"]], [2, 1], "nested"),
        ([None, ["a.npy"]], [0, 1], "nested"),
        ([], [0], "flat"),
    ],
)
def test_grouping(poses, lengths, layout):
    grouped = group_poses(poses)
    assert [len(row) for row in grouped.rows] == lengths
    assert grouped.layout == layout


@pytest.mark.parametrize("wrap", [lambda pose: pose, lambda pose: [pose], lambda pose: [[pose]]])
def test_a_wrong_shape_is_named(wrap):
    grouped = group_poses(wrap(np.zeros((21, 3))))
    with pytest.raises(ValueError, match=r"no pose has the shape \(21, 3\)"):
        poses_to_pose_values(grouped.items)
