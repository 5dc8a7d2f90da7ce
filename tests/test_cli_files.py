"""Files that the `unipose` command writes: what an edit keeps, betas, and edits as motion."""

import json
from pathlib import Path

import bvhio
import numpy as np
import pytest
import torch
from command_line import feed
from glb_reader import Glb
from own_rows import upright_rotvecs
from smpl_files import person_arrays, write_model

from unipose.processing.body_model import load_body_model
from unipose.processing.pose_features import load_pose, load_poses
from unipose.processing.pose_formats import pose_mesh


@pytest.fixture
def smplx(command_folder: Path) -> dict[str, np.ndarray]:
    """A frame as AMASS' SMPL-X files have it, in smplx.npz."""
    rng = np.random.default_rng(0)
    poses = rng.normal(scale=0.3, size=(1, 165))
    poses[0, :66] = upright_rotvecs(1)[0].flatten()
    entries = {"poses": poses, "trans": rng.normal(size=(1, 3)), "betas": rng.normal(size=16)}
    entries |= {"gender": np.array("female"), "mocap_frame_rate": np.array(120.0)}
    np.savez(command_folder / "smplx.npz", **entries)
    return entries


@pytest.mark.parametrize("ending", [".smplx.npz", ".npz", ".json"])
def test_an_edit_keeps_hands_face_shape_and_translation(run_command, smplx: dict, tmp_path: Path, ending: str) -> None:
    plain, kept = tmp_path / "plain.npy", tmp_path / f"kept{ending}"
    words = ("Bend.", "--pose", "smplx.npz")
    assert run_command(*words, "--out", str(plain))[0] == 0
    assert run_command(*words, "--out", str(kept))[0] == 0
    torch.testing.assert_close(load_pose(kept), load_pose(plain), atol=1e-5, rtol=0)
    read = json.loads(kept.read_text()) if ending == ".json" else np.load(kept)
    np.testing.assert_allclose(np.ravel(read["poses"])[66:], smplx["poses"][0, 66:], atol=1e-6)
    for key in ("trans", "betas"):
        np.testing.assert_allclose(read[key], smplx[key], atol=1e-6)
    assert str(np.asarray(read["gender"])) == "female"


def test_the_frame_of_a_kept_file_is_its_own(run_command, smplx: dict, command_folder: Path, tmp_path: Path) -> None:
    """Stated, so that it reads back; another one cannot have its translation, which is said."""
    turned = dict(smplx) | {"poses": smplx["poses"].copy()}
    turned["poses"][0, :3] = 0.0
    np.savez(command_folder / "y_up.npz", **turned)
    words = ("Bend.", "--pose", "y_up.npz", "--frame", "y_up", "--out", str(tmp_path / "a.smplx.npz"))
    assert run_command(*words)[0] == 0
    read = np.load(tmp_path / "a.smplx.npz")
    assert str(read["frame"]) == "y_up"
    np.testing.assert_allclose(read["trans"], turned["trans"], atol=1e-6)
    own = load_pose(tmp_path / "a.smplx.npz")
    _, _, err = run_command(*words, "--output-frame", "z_up")
    assert "hands, face, shape and translation of --pose are not written: they are in the frame y_up" in err
    torch.testing.assert_close(load_pose(tmp_path / "a.smplx.npz"), own, atol=1e-5, rtol=0)
    assert not np.load(tmp_path / "a.smplx.npz")["poses"][0, 66:].any()


def test_a_pose_on_stdin_keeps_its_hands_and_several_answers_too(
    run_command, smplx: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(monkeypatch, json.dumps({"pose": smplx["poses"][0].tolist(), "note": 7}).encode())
    words = ("Bend.", "--pose", "-", "--num", "2", "--seed", "0", "--out", str(tmp_path / "a.npz"))
    assert run_command(*words)[0] == 0
    for number in (1, 2):
        read = np.load(tmp_path / f"a_{number}.npz")
        assert read["note"] == 7
        np.testing.assert_allclose(read["pose"][66:], smplx["poses"][0, 66:], atol=1e-6)


def test_files_without_more_than_a_body_are_written_as_ever(run_command, command_folder: Path, tmp_path: Path) -> None:
    np.savez(command_folder / "body.npz", global_orient=np.zeros(3), body_pose=np.full(63, 0.1))
    words = ("Bend.", "--pose", "body.npz", "--frame", "y_up", "--out", str(tmp_path / "a.npz"))
    assert run_command(*words)[0] == 0
    read = np.load(tmp_path / "a.npz")
    assert set(read.files) == {"rotmats", "global_orient", "body_pose", "poses", "frame"}
    assert str(read["frame"]) == "z_up"


@pytest.mark.parametrize("answers", [1, 2])
def test_an_edit_as_motion_goes_from_the_input_to_the_answer(
    run_command, command_folder: Path, tmp_path: Path, answers: int
) -> None:
    np.save(command_folder / "upright.npy", upright_rotvecs(1)[0])
    words = ("Bend.", "--pose", "upright.npy", "--num", str(answers), "--seed", "1")
    assert run_command(*words, "--out", str(tmp_path / "pose.npz"))[0] == 0
    status, _, err = run_command(*words, "--out", str(tmp_path / "motion.bvh"), "--animate")
    assert status == 0
    names = ["motion.bvh"] if answers == 1 else ["motion_1.bvh", "motion_2.bvh"]
    assert [str(tmp_path / name) in err for name in names] == [True] * answers
    for name in names:
        motion = load_poses(tmp_path / name)
        assert len(motion) == bvhio.readAsBvh(str(tmp_path / name)).FrameCount == 31
        torch.testing.assert_close(motion[0], load_pose(command_folder / "upright.npy"), atol=1e-4, rtol=0)
        single = tmp_path / name.replace("motion", "pose").replace("bvh", "npz")
        torch.testing.assert_close(motion[-1], load_pose(single), atol=1e-4, rtol=0)
    assert run_command(*words, "--out", str(tmp_path / "motion.glb"), "--animate")[0] == 0
    assert Glb.read(tmp_path / names[0].replace("bvh", "glb")).content["animations"]


@pytest.mark.parametrize("source", ["numbers", "npz", "npy", "json"])
def test_betas_shape_the_body(run_command, command_folder: Path, tmp_path: Path, source: str) -> None:
    pytest.importorskip("smplx", reason="the user's SMPL files are posed by smplx, extra `smpl`")
    write_model(command_folder / "SMPL_NEUTRAL.npz", person_arrays())
    betas = np.array([-2.0, 1.5])
    np.savez(command_folder / "betas.npz", betas=betas[None], poses=np.zeros(66))
    np.save(command_folder / "betas.npy", betas)
    (command_folder / "betas.json").write_text(json.dumps({"betas": betas.tolist()}))
    given = "-2,1.5" if source == "numbers" else f"betas.{source}"
    words = ("Run.", "--body", "SMPL_NEUTRAL.npz")
    assert run_command(*words, "--out", str(tmp_path / "mean.obj"))[0] == 0
    assert run_command(*words, "--out", str(tmp_path / "own.obj"), f"--betas={given}")[0] == 0
    assert run_command("Run.", "--out", str(tmp_path / "pose.npz"))[0] == 0
    shaped = load_body_model(command_folder / "SMPL_NEUTRAL.npz").with_betas(betas)
    for name, body in (("mean", load_body_model(command_folder / "SMPL_NEUTRAL.npz")), ("own", shaped)):
        expected = pose_mesh(load_pose(tmp_path / "pose.npz"), body).vertices
        lines = (tmp_path / f"{name}.obj").read_text().splitlines()
        found = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], dtype=float)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_files_of_smpl_state_betas_without_a_body(run_command, tmp_path: Path) -> None:
    assert run_command("Run.", "--out", str(tmp_path / "a.smplh.npz"), "--betas=-1,0.5")[0] == 0
    np.testing.assert_allclose(np.load(tmp_path / "a.smplh.npz")["betas"], [-1.0, 0.5])
