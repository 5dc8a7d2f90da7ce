"""The `unipose` command, run in-process on a random model."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_checkpoint import save_tiny_checkpoint

from unipose import embedded_checkpoint
from unipose.cli import infer_task, main, parse_arguments
from unipose.demo import EXAMPLES, load_frames
from unipose.processing.pose_features import load_pose
from unipose.tasks_unipose import TASKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    save_tiny_checkpoint(path / "model")
    np.save(path / "squat.npy", np.zeros((22, 3), dtype=np.float32))
    Image.new("RGB", (40, 50), "red").save(path / "image.png")
    return path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Runs the command in the folder -> (status, stdout, stderr)."""
    monkeypatch.chdir(folder)

    def call(*words: str) -> tuple[int, str, str]:
        status = main([*words, "--model", "model"])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_text_answer_is_on_stdout(run) -> None:
    status, out, _ = run("Describe the pose <pose>.", "--pose", "squat.npy", "--max-new-tokens", "6")
    assert status == 0
    assert out.strip()
    status, again, _ = run("Describe the pose <pose>.", "--pose", "squat.npy", "--max-new-tokens", "6")
    assert (status, again) == (0, out)


@pytest.mark.parametrize("ending", ["glb", "npz", "png", "obj", "json"])
def test_pose_is_written(run, tmp_path: Path, ending: str) -> None:
    path = tmp_path / "new" / f"kneel.{ending}"
    status, out, err = run("A person kneels.", "--out", str(path))
    assert (status, out) == (0, "")
    assert path.stat().st_size > 0
    assert str(path) in err
    if ending in ("npz", "json"):
        assert load_pose(path).shape == (22, 3, 3)


def test_frames_of_files(run, folder: Path, tmp_path: Path) -> None:
    """The same pose as a frame of a motion in AMASS's frame, and alone in SMPL's: the same answer, in each frame."""
    body = np.random.default_rng(0).normal(0, 0.3, 63)
    upright = np.concatenate([[np.pi / 2, 0, 0], body, np.zeros(90)])
    np.savez(folder / "amass.npz", poses=np.stack([upright * 0, upright]), trans=np.zeros((2, 3)))
    np.savez(folder / "smplx.npz", global_orient=np.zeros(3), body_pose=body)
    words = ("Bend.", "--out", str(tmp_path / "out.npz"))
    assert run(*words, "--pose", "amass.npz:1")[0] == 0
    z_up = load_pose(tmp_path / "out.npz")
    assert run(*words, "--pose", "smplx.npz", "--frame", "y_up", "--output-frame", "y_up")[0] == 0
    np.testing.assert_allclose(load_pose(tmp_path / "out.npz", frame="y_up"), z_up, atol=1e-4)
    status, _, err = run(*words, "--pose", "amass.npz")
    assert status == 2
    assert "it holds 2 frames" in err


def test_image_and_edit(run, tmp_path: Path) -> None:
    assert run("--image", "image.png", "--out", str(tmp_path / "a.npz"))[0] == 0
    assert run("Bend.", "--pose", "squat.npy", "--out", str(tmp_path / "b.npz"))[0] == 0
    assert run("--image", "image.png", "--max-new-tokens", "4")[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.npz", "b.npz"}


def test_sampling_follows_the_seed(run, tmp_path: Path) -> None:
    poses = []
    for number, seed in enumerate(("1", "1", "2")):
        path = tmp_path / f"{number}.npz"
        assert run("Run.", "--out", str(path), "--temperature", "3", "--seed", seed)[0] == 0
        poses.append(load_pose(path).numpy())
    np.testing.assert_array_equal(poses[0], poses[1])
    assert np.abs(poses[0] - poses[2]).max() > 1e-3


@pytest.mark.parametrize(
    ("words", "task"),
    [
        (["Run.", "--out", "a.glb"], "text-to-pose"),
        (["--pose", "a"], "pose-to-text"),
        (["--pose", "a", "--pose", "b"], "pose-diff"),
        (["--image", "a"], "image-to-text"),
        (["--image", "a", "--image", "b"], "image-diff"),
        (["--image", "a", "--out", "b.npz"], "image-to-pose"),
        (["Bend.", "--pose", "a", "--out", "b.npz"], "pose-edit"),
        (["Bend.", "--pose", "a", "--task", "pose-to-text"], "pose-to-text"),
        (["Hello?"], None),
        (["Same?", "--pose", "a", "--image", "b"], None),
    ],
)
def test_infer_task(words: list[str], task: str | None) -> None:
    assert infer_task(parse_arguments(words)) == task


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to do"),
        (["Run.", "--out", "a.xyz"], "'.xyz'"),
        (["Run.", "--task", "dance"], "unknown task 'dance'"),
        (["Hi <pose>", "--pose", "missing.npy"], "missing.npy"),
        (["--pose", "squat.npy", "--task", "pose-to-text", "--out", "a.npz"], "answers with text"),
        (["--pose", "squat.npy", "--task", "pose-diff"], "takes 2 poses per row, got 1"),
    ],
)
def test_user_errors_are_one_line(run, words: list[str], message: str) -> None:
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert err.startswith("unipose: ")
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_missing_models(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert main(["Run.", "--model", str(tmp_path / "none")]) == 2
    assert "there is no model folder" in capsys.readouterr().err
    monkeypatch.setattr(embedded_checkpoint, "EMBEDDED_CHECKPOINT", tmp_path)
    assert main(["Run."]) == 2
    assert "config.json" in capsys.readouterr().err


def test_demo(run, tmp_path: Path) -> None:
    status, out, _ = run("demo", "--out", str(tmp_path), "--tasks", *TASKS)
    assert status == 0
    for example in EXAMPLES:
        assert example.task in out
        assert (tmp_path / f"{example.task}.png").stat().st_size > 0
        assert list(tmp_path.glob(f"{example.task}*.glb"))
    assert (tmp_path / "contact_sheet.png").is_file()
    assert {example.task for example in EXAMPLES} == set(TASKS)


def test_demo_frames_face_the_front() -> None:
    for frame in load_frames().values():
        x, y, _ = frame[0, :, 2].tolist()
        assert abs(x) < 1e-5
        assert y < 0
