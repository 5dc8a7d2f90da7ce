"""The `unipose` command on a random model, in-process; its help and version in a process of their own."""

import json
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from command_line import feed

from unipose import cli, cli_poses, embedded_checkpoint, photo_poses
from unipose.cli import infer_task, main, parse_arguments
from unipose.demo import EXAMPLES, load_frames
from unipose.pipeline_unipose import UniPosePipeline
from unipose.processing.pose_features import load_pose, pose_to_rotmats
from unipose.tasks_unipose import TASKS


def test_text_answer_is_on_stdout(run_command) -> None:
    status, out, _ = run_command("Describe the pose <pose>.", "--pose", "squat.npy", "--max-new-tokens", "6")
    assert status == 0
    assert out.strip()
    status, again, _ = run_command("Describe the pose <pose>.", "--pose", "squat.npy", "--max-new-tokens", "6")
    assert (status, again) == (0, out)


@pytest.mark.parametrize("ending", ["glb", "npz", "png", "obj", "json"])
def test_pose_is_written(run_command, tmp_path: Path, ending: str) -> None:
    path = tmp_path / "new" / f"kneel.{ending}"
    status, out, err = run_command("A person kneels.", "--out", str(path))
    assert (status, out) == (0, "")
    assert path.stat().st_size > 0
    assert str(path) in err
    if ending in ("npz", "json"):
        assert load_pose(path).shape == (22, 3, 3)


def test_frames_of_files(run_command, command_folder: Path, tmp_path: Path) -> None:
    """The same pose as a frame of a motion in AMASS's frame, and alone in SMPL's: the same answer, in each frame."""
    body = np.random.default_rng(0).normal(0, 0.3, 63)
    upright = np.concatenate([[np.pi / 2, 0, 0], body, np.zeros(90)])
    np.savez(command_folder / "amass.npz", poses=np.stack([upright * 0, upright]), trans=np.zeros((2, 3)))
    np.savez(command_folder / "smplx.npz", global_orient=np.zeros(3), body_pose=body)
    words = ("Bend.", "--out", str(tmp_path / "out.npz"))
    assert run_command(*words, "--pose", "amass.npz:1")[0] == 0
    z_up = load_pose(tmp_path / "out.npz")
    assert run_command(*words, "--pose", "smplx.npz", "--frame", "y_up", "--output-frame", "y_up")[0] == 0
    np.testing.assert_allclose(load_pose(tmp_path / "out.npz", frame="y_up"), z_up, atol=1e-4)
    status, _, err = run_command(*words, "--pose", "amass.npz")
    assert status == 2
    assert "it holds 2 frames" in err


def test_image_and_edit(run_command, tmp_path: Path) -> None:
    assert run_command("--image", "image.png", "--out", str(tmp_path / "a.npz"))[0] == 0
    assert run_command("Bend.", "--pose", "squat.npy", "--out", str(tmp_path / "b.npz"))[0] == 0
    assert run_command("--image", "image.png", "--max-new-tokens", "4")[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.npz", "b.npz"}


def test_an_estimator_finds_poses_in_photos(run_command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In place of the model: for the pose, for texts about it, and for a file of requests, whose poses stay."""
    pose = load_pose("squat.npy")
    monkeypatch.setattr(photo_poses, "MediapipeEstimator", lambda: lambda images: [(pose, 0.75)] * len(images))
    photo = ("--image", "image.png", "--estimator", "mediapipe")
    status, _, err = run_command(*photo, "--out", str(tmp_path / "a.npy"))
    assert status == 0
    np.testing.assert_allclose(load_pose(tmp_path / "a.npy"), pose, atol=1e-6)
    assert "confidence 0.75" in err
    few = ("--max-new-tokens", "6")
    assert run_command(*photo, *few)[1] == run_command("--pose", "squat.npy", *few)[1] != ""
    requests = [{"images": "image.png", "task": "image-to-pose"}, {"poses": "squat.npy"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, requests)), encoding="utf-8")
    status, out, _ = run_command("batch", str(tmp_path / "a.jsonl"), "--estimator", "mediapipe", *few)
    answers = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    np.testing.assert_allclose(pose_to_rotmats(answers[0]["poses"][0]), pose, atol=1e-5)
    assert answers[1]["text"]
    status, out, _ = run_command(
        "batch", str(tmp_path / "a.jsonl"), "--estimator", "mediapipe", *few, "--num", "2", "--seed", "0"
    )
    answers = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert "num_return_sequences is 2, but an estimator finds exactly one pose" in answers[0]["error"]
    assert len(answers[1]["answers"]) == 2


def test_sampling_follows_the_seed(run_command, tmp_path: Path) -> None:
    poses = []
    for number, seed in enumerate(("1", "1", "2")):
        path = tmp_path / f"{number}.npz"
        assert run_command("Run.", "--out", str(path), "--temperature", "3", "--seed", seed)[0] == 0
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
        (["Run."], "text-to-pose"),
        (["Hello?"], None),
        (["Hello?", "--out", "a.glb"], "text-to-pose"),
        (["Run.", "--show"], "text-to-pose"),
        (["--pose", "a", "--show"], "pose-to-text"),
        (["Bend.", "--pose", "a", "--show"], "pose-edit"),
        (["--image", "a", "--show"], "image-to-pose"),
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
        (["Run.", "--out", "a.glb", "--body", "missing.npz"], "missing.npz"),
        (["Run.", "--out", "a.glb", "--betas", "1,2"], "betas"),
        (["Run.", "--betas", "1,2", "--show"], "betas"),
        (["Run.", "--out", "a.smpl.npz", "--betas", "1,nan"], "betas have shape (2,); expected (n,) finite numbers"),
        (["Run.", "--out", "a.smpl.npz", "--betas", "squat.npy"], "has no vector of betas"),
        (["Run.", "--animate"], "--animate writes a file"),
        (["Bend.", "--pose", "squat.npy", "--animate", "--out", "a.npz"], "accepted for an animation: .smpl.npz"),
        (["Run.", "--animate", "--out", "a.bvh"], "--animate begins with an input pose"),
        (["-", "--pose", "-"], "only one input can be -"),
        (["batch", "missing.jsonl"], "missing.jsonl"),
        (["batch", "squat.npy"], "not UTF-8"),
        (["batch", "squat.npy", "--batch-size", "0"], "batch_size must be an integer of at least 1"),
        (["Run.", "--estimator", "mediapipe"], "expected --image"),
        (
            ["--image", "image.png", "--task", "image-to-pose", "--estimator", "mediapipe", "--num", "3"],
            "--num is 3, but an estimator finds exactly one pose in an image; accepted: 1",
        ),
        (
            ["--image", "image.png", "--out", "a.npz", "--estimator", "mediapipe", "--best-of", "2"],
            "--best-of is 2, but an estimator",
        ),
        (["Hello?", "--max-new-tokens", "2", "--show"], "at least"),
    ],
)
def test_user_errors_are_one_line(run_command, words: list[str], message: str) -> None:
    status, out, err = run_command(*words)
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


@pytest.mark.parametrize("out", [[], ["--out", "-"]])
def test_a_pose_without_a_file_is_json_on_stdout(
    run_command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, out: list[str]
) -> None:
    """It is the pose that a file would hold, and another command reads it."""
    assert run_command("Run.", "--out", str(tmp_path / "run.npz"))[0] == 0
    status, printed, err = run_command("Run.", "--output-frame", "y_up", *out)
    assert status == 0
    assert ("--out" in err) == (not out)
    (line,) = printed.splitlines()
    expected = load_pose(tmp_path / "run.npz")
    np.testing.assert_allclose(pose_to_rotmats(json.loads(line)), expected, atol=1e-5)
    asked: list = []
    original = UniPosePipeline.__call__

    def ask(self, **kwargs):
        asked.extend(kwargs["poses"][0])
        return original(self, **kwargs)

    monkeypatch.setattr(UniPosePipeline, "__call__", ask)
    feed(monkeypatch, printed.encode() * 2)
    assert run_command("--pose", "-", "--max-new-tokens", "4")[0] == 0
    assert asked == [json.loads(line)] * 2


def test_text_and_image_on_stdin(run_command, command_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, "Läuft.\n".encode())
    assert run_command("-")[:2] == run_command("Läuft.")[:2]
    feed(monkeypatch, (command_folder / "image.png").read_bytes())
    words = ("--max-new-tokens", "4")
    assert run_command("--image", "-", *words) == run_command("--image", "image.png", *words)
    for content, name in ((b"no image", "--image"), (b"no pose", "--pose")):
        feed(monkeypatch, content)
        status, out, err = run_command(name, "-")
        assert (status, out) == (2, "")
        assert err.startswith(f"unipose: {name} -: standard input is not")


def test_json_holds_every_answer(run_command) -> None:
    status, out, err = run_command("Run.", "--json", "--num", "3", "--seed", "1", "-q")
    assert (status, err) == (0, "")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [set(answer) for answer in answers] == [{"text", "poses", "confidence"}] * 3
    assert len({str(answer["poses"]) for answer in answers}) == 3
    assert run_command("Run.", "--json", "--num", "3", "--seed", "1", "-q")[1] == out


def test_quiet_and_verbose(run_command, tmp_path: Path) -> None:
    words = ("Run.", "--out", str(tmp_path / "a.npz"))
    assert run_command(*words, "-q") == (0, "", "")
    # A pose at rest in the stored frame: a warning of the library.
    assert run_command("--pose", "squat.npy", "-q", "--max-new-tokens", "4")[2] == ""
    assert "text-to-pose" in run_command(*words, "-v")[2]
    assert "Traceback" in run_command("--pose", "none.npy", "-v")[2]


def test_show_prints_the_path_of_a_page_without_a_screen(run_command) -> None:
    for words in (["Run."], ["--pose", "squat.npy", "--max-new-tokens", "4"]):
        status, out, _ = run_command(*words, "--show")
        path = Path(out.splitlines()[-1])
        assert status == 0
        assert "UniPoseViewer.create" in path.read_text(encoding="utf-8")
        path.unlink()
    status, _, err = run_command("Hello?", "--task", "text-to-pose", "--num", "2", "--show", "-q")
    assert (status, err) == (0, "")


def test_show_opens_a_page_where_there_is_a_screen(run_command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    opened: list = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    assert run_command("Run.", "--show", "-q") == (0, "", "")
    assert [address.rpartition("/")[2] for address in opened] == ["pose.html"]
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    path = Path(run_command("Run.", "--show")[1].strip())
    assert path.is_file()
    path.unlink()


def test_show_needs_a_pose(run_command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "infer_task", lambda arguments: "image-to-text")
    status, out, err = run_command("--image", "image.png", "--show", "--max-new-tokens", "4")
    assert status == 2
    assert out
    assert "neither the answer nor the inputs have a pose" in err


@pytest.mark.parametrize("words", [["--out", "a.png"], ["--show"]])
def test_body_of_images(run_command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body, words: list[str]) -> None:
    """A body from a file, here the built-in one at half its height, is drawn in place of the built-in one."""
    child = type(body)(body.v_template / 2, body.faces, body.joints / 2, body.weights)
    monkeypatch.setattr("unipose.cli_files.load_body_model", lambda path: {Path("child.npz"): child}[path])
    drawn: list = []
    forward = type(body).forward
    monkeypatch.setattr(type(body), "forward", lambda self, rotmats: drawn.append(self) or forward(self, rotmats))
    # The page of --show holds a rig, which the browser poses.
    page = cli_poses.viewer_html
    monkeypatch.setattr(cli_poses, "viewer_html", lambda *a, **kw: drawn.append(kw["body"]) or page(*a, **kw))
    assert run_command("Run.", *words, "--body", "child.npz")[0] == 0
    assert drawn == [child]


def test_screens(run_command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not cli_poses.has_screen()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert cli_poses.has_screen()


def test_demo(run_command, tmp_path: Path) -> None:
    status, out, _ = run_command("demo", "--out", str(tmp_path), "--tasks", *TASKS)
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
