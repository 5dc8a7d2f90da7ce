"""Every accepted form gives the same pose; everything else is refused with a message that names it."""

import json
import re

import numpy as np
import pytest
import roma
import torch

from unipose.processing import pose_files
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import (
    ACCEPTED_FORMS,
    FRAMES,
    MIRRORED_JOINTS,
    FramedPose,
    from_frame,
    group_poses,
    load_pose,
    mirror_pose,
    pose_to_rotmats,
    poses_to_pose_values,
    rotation_6d_to_rotmat,
    rotmat_to_rotation_6d,
    to_frame,
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
        "6D of SMPL": rotmat_to_rotation_6d(rotmat[:24]),
        "144": rotmat_to_rotation_6d(rotmat[:24]).flatten(),
        "6D rows by name": {"rotation_6d": rotation_6d},
        "6D columns by name": {"rotation_6d_columns": rotmat[:22, :, :2].mT.flatten(-2)},
        "6D interleaved by name": {"rotation_6d_interleaved": rotmat[:24, :, :2].flatten()},
        "132": rotation_6d.flatten(),
        "dict rotmats": {"global_orient": rotmat[:1], "body_pose": rotmat[1:24], "betas": np.zeros(10)},
        "dict rotmats batch of one": {"global_orient": rotmat[None, :1], "body_pose": rotmat[None, 1:22]},
        "dict axis-angle": {"global_orient": vector[:3], "body_pose": vector[3:72]},
        "dict axis-angle (21, 3)": {"global_orient": hands[:1], "body_pose": hands[1:22]},
        "dict mixed": {"global_orient": rotmat[0], "body_pose": vector[3:66]},
        "AMASS": {"poses": vector[:156], "trans": np.zeros(3), "gender": "neutral"},
        "AMASS SMPL-X": {"root_orient": vector[None, :3], "pose_body": vector[None, 3:66]},
        "dict of rotmats": {"rotmats": rotmat[:22]},
        "SMPL-X full_pose": {"full_pose": vector[None]},
        "pose": {"pose": vector[:72], "trans": np.zeros(3)},
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
    rotmats = torch.eye(3, dtype=matrix.dtype).repeat(22, 1, 1)
    rotmats[joint] = matrix
    return rotmats


REFUSED = {
    "shape": (torch.zeros(65), f"pose 1: no pose has the shape (65,); accepted: {ACCEPTED_FORMS}"),
    "frames": (
        np.zeros((7, 156)),
        "pose 1: it holds 7 frames (shape (7, 156)), but a pose is one: pick a frame, such as "
        "poses[120] of an array or clip.npz:120 of a file",
    ),
    "dict frames": (
        {"root_orient": np.zeros((3, 3)), "pose_body": np.zeros((3, 63))},
        "pose 1, 'pose_body': it holds 3 frames (shape (3, 63)), but a pose is one: pick a frame, such as "
        "poses[120] of an array or clip.npz:120 of a file",
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
        "pose 1: the 6 numbers of joint 0 (pelvis) are not the first two rows of a rotation: they deviate from "
        "orthogonal unit rows by 1, at most 0.01 is accepted",
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
    "degrees": (
        [[0.0, 0.0, 90.0]] + [[0.0, 0.0, 0.0]] * 21,
        "pose 1: the axis-angle vector of joint 0 (pelvis) is 90 long; expected radians, at most 6.5 (about 2 pi). Is "
        "it in degrees?",
    ),
    "huge": (
        off_rotation(3, torch.full((3, 3), 1e160, dtype=torch.float64)),
        "pose 1: the matrix of joint 3 (spine1) is not a rotation: it deviates from an orthogonal one by inf, at most "
        "0.01 is accepted",
    ),
    "interleaved 6D": (
        torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(22, 1),
        "pose 1: the 6 numbers of joint 0 (pelvis) are not the first two rows of a rotation: they deviate from "
        "orthogonal unit rows by 1, at most 0.01 is accepted. They are the first two columns, interleaved: pass "
        "{'rotation_6d_interleaved': ...}",
    ),
    "frame": (
        {"rotmats": np.eye(3)[None].repeat(22, 0), "frame": "up"},
        "pose 1: its frame is 'up'; accepted: 'z_up', 'y_up', 'camera'",
    ),
    "missing": ("nowhere.npy", "pose 1: there is no file 'nowhere.npy'"),
    "ending": ("pose.txt", "pose 1: 'pose.txt' is not a pose file; accepted: .npz, .npy, .json, .pt, .pth, .bvh"),
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


FROM_Y_UP = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
FROM_CAMERA = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


@pytest.mark.parametrize(("frame", "rotation"), [("z_up", torch.eye(3)), ("y_up", FROM_Y_UP), ("camera", FROM_CAMERA)])
def test_frames(frame, rotation, tmp_path):
    """An upright body that faces the front, in each frame, is the same pose; files and dicts state their own."""
    stored = roma.rotvec_to_rotmat(random_rotvecs()).float()
    given = to_frame(stored, frame)
    torch.testing.assert_close(rotation @ given[0], stored[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(given[1:], stored[1:])
    torch.testing.assert_close(from_frame(given, frame), stored, atol=1e-6, rtol=0)
    framed = {"rotmats": given.numpy(), "frame": frame}
    np.savez(tmp_path / "pose.NPZ.npz", **framed)
    readings = [
        pose_to_rotmats(given, frame=frame),
        pose_to_rotmats(framed),
        pose_to_rotmats(FramedPose(given, frame), frame="z_up"),
    ]
    readings += [pose_to_rotmats(framed, frame=frame), load_pose(tmp_path / "pose.NPZ.npz")]
    for reading in readings:
        torch.testing.assert_close(reading, stored, atol=1e-5, rtol=0)
    torch.testing.assert_close(load_pose(tmp_path / "pose.NPZ.npz", output_frame=frame), given, atol=1e-5, rtol=0)
    other = "camera" if frame == "y_up" else "y_up"
    with pytest.raises(ValueError, match=f"pose 1: its own frame is '{frame}', got frame='{other}'"):
        pose_to_rotmats(framed, frame=other)


def test_bodies_that_stand_in_their_frame_stand_in_the_stored_one():
    """OpenCV's camera looks along +z with y down: a person who faces it is turned by pi about x."""
    upright = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    for frame, vector in (("y_up", (0.0, 0, 0)), ("camera", (np.pi, 0, 0)), ("z_up", (np.pi / 2, 0, 0))):
        pose = np.zeros((22, 3))
        pose[0] = vector
        torch.testing.assert_close(pose_to_rotmats(pose, frame=frame)[0], upright, atol=1e-6, rtol=0)


def test_poses_of_gvhmr_and_wham_know_their_frames(tmp_path):
    rotvecs = random_rotvecs().float()
    stored = roma.rotvec_to_rotmat(rotvecs)
    params = {}
    for key, frame in (("smpl_params_global", "y_up"), ("smpl_params_incam", "camera")):
        orient = roma.rotmat_to_rotvec(to_frame(stored, frame)[0])
        params[key] = {"global_orient": orient.repeat(4, 1), "body_pose": rotvecs[1:].flatten().repeat(4, 1)}
    torch.save({**params, "K_fullimg": torch.eye(3).repeat(4, 1, 1)}, tmp_path / "hmr4d_results.pt")
    path = f"{tmp_path}/hmr4d_results.pt:3"
    flat = {
        key: torch.cat([part["global_orient"], part["body_pose"], torch.zeros(4, 6)], 1)
        for key, part in params.items()
    }
    wham = {"pose_world": flat["smpl_params_global"][0], "pose": flat["smpl_params_incam"][0]}
    for pose in (path, wham):
        for frame in (None, "y_up", "camera"):
            torch.testing.assert_close(pose_to_rotmats(pose, frame=frame), stored, atol=1e-5, rtol=0)
        with pytest.raises(ValueError, match="its own frame is 'y_up'"):
            pose_to_rotmats(pose, frame="z_up")


def test_a_zero_orientation_without_a_frame_is_warned_of(caplog):
    pose_to_rotmats(np.zeros((22, 3)))
    assert "Pass frame='y_up' if it stands" in caplog.text
    caplog.clear()
    pose_to_rotmats(np.array([[np.pi, 0, 0], *[[0, 0, 0]] * 21]))
    assert "Pass frame='camera' if it stands" in caplog.text
    caplog.clear()
    for frame in FRAMES:
        pose_to_rotmats(np.zeros((22, 3)), frame=frame)
    assert not caplog.records


def test_transposed_matrices_are_warned_of(caplog):
    rotvecs = np.zeros((22, 3))
    rotvecs[[0, 4, 5], 0] = np.pi / 2, 1.0, 0.8
    rotmats = roma.rotvec_to_rotmat(torch.tensor(rotvecs))
    pose_to_rotmats(rotmats)
    assert not caplog.records
    for transposed in (rotmats.mT, rotmat_to_rotation_6d(rotmats.mT)):
        caplog.clear()
        pose_to_rotmats(transposed)
        assert "left_knee bends backward by 57 degrees" in caplog.text


def test_a_pose_that_was_read_is_not_read_again(caplog):
    rotvecs = np.zeros((22, 3))
    rotvecs[[0, 4, 5], 0] = np.pi / 2, 1.0, 0.8
    rotmats = roma.rotvec_to_rotmat(torch.tensor(rotvecs)).mT.float()
    again = pose_to_rotmats(FramedPose(rotmats, "z_up", is_read=True), frame="y_up")
    assert torch.equal(again, rotmats)
    assert not caplog.records


@pytest.mark.parametrize("scale", [1.0, 100.0, 1000.0])
def test_positions_are_no_rotations(scale):
    posed = BodyModel.builtin().forward_joints(roma.rotvec_to_rotmat(random_rotvecs() * 0.3)[None].float())[0]
    for positions in (posed, posed - posed[:1] + torch.tensor([1.0, 2.0, 3.0])):
        with pytest.raises(
            ValueError, match=r"pose 1: these are joint positions .* expected rotations, not positions"
        ):
            pose_to_rotmats(positions * scale)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".json", ".pt", ".PTH", ".NPZ"])
def test_a_frame_of_a_motion(tmp_path, suffix):
    motion = torch.stack([random_rotvecs(52, seed).flatten() * 0.3 for seed in range(5)])
    path = tmp_path / f"clip{suffix}"
    if suffix.lower() == ".npz":
        with path.open("wb") as stream:
            np.savez(stream, poses=motion.numpy(), trans=np.zeros((5, 3)), mocap_framerate=120.0)
    elif suffix == ".npy":
        np.save(path, motion.numpy())
    elif suffix == ".json":
        path.write_text(json.dumps({"pose": motion.tolist()}))
    else:
        torch.save({"full_pose": motion}, path)
    expected = roma.rotvec_to_rotmat(motion[3].reshape(-1, 3)[:22]).float()
    torch.testing.assert_close(load_pose(f"{path}:3"), expected, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="there is no frame 5; it holds 5, from 0 to 4"):
        load_pose(f"{path}:5")
    with pytest.raises(ValueError, match="it holds 5 frames"):
        load_pose(path)
    np.save(tmp_path / "single.npy", motion[0].numpy())
    with pytest.raises(ValueError, match="got the frame 0, but it holds one pose"):
        load_pose(f"{tmp_path}/single.npy:0")


def test_large_files_are_refused_before_they_are_read(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", poses=np.zeros((4000, 156)))
    monkeypatch.setattr(pose_files, "DEFAULT_MAX_BYTES", 100_000)
    monkeypatch.setattr(np, "load", None)
    with pytest.raises(ValueError, match="it takes 4992128 bytes, at most 100000 are read"):
        load_pose(tmp_path / "bomb.npz")
