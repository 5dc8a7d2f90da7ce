"""The `unipose` command on a random model, in-process; its help and version in a process of their own."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageShow
from tiny_checkpoint import save_tiny_checkpoint

import unipose
from unipose import cli, cli_poses, embedded_checkpoint
from unipose.cli import infer_task, main, parse_arguments
from unipose.cli_arguments import FRAME_NAMES, TASK_NAMES, generate_parser
from unipose.demo import EXAMPLES, load_frames
from unipose.pipeline_unipose import UniPosePipeline
from unipose.processing.pose_features import load_pose, pose_to_rotmats
from unipose.processing.pose_frames import FRAMES
from unipose.processing.pose_io import POSE_ENDINGS
from unipose.tasks_unipose import TASKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    save_tiny_checkpoint(path / "model")
    np.save(path / "squat.npy", np.zeros((22, 3), dtype=np.float32))
    Image.new("RGB", (40, 50), "red").save(path / "image.png")
    return path


@pytest.fixture(autouse=True)
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")


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
        (["-", "--pose", "-"], "only one input can be -"),
        (["batch", "missing.jsonl"], "missing.jsonl"),
        (["batch", "squat.npy"], "not UTF-8"),
        (["batch", "squat.npy", "--batch-size", "0"], "batch_size must be an integer of at least 1"),
        (["Hello?", "--max-new-tokens", "2", "--show"], "at least"),
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


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


@pytest.mark.parametrize("out", [[], ["--out", "-"]])
def test_a_pose_without_a_file_is_json_on_stdout(
    run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, out: list[str]
) -> None:
    """It is the pose that a file would hold, and another command reads it."""
    assert run("Run.", "--out", str(tmp_path / "run.npz"))[0] == 0
    status, printed, err = run("Run.", "--output-frame", "y_up", *out)
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
    assert run("--pose", "-", "--max-new-tokens", "4")[0] == 0
    assert asked == [json.loads(line)] * 2


def test_text_and_image_on_stdin(run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, "Läuft.\n".encode())
    assert run("-")[:2] == run("Läuft.")[:2]
    feed(monkeypatch, (folder / "image.png").read_bytes())
    words = ("--max-new-tokens", "4")
    assert run("--image", "-", *words) == run("--image", "image.png", *words)
    for content, name in ((b"no image", "--image"), (b"no pose", "--pose")):
        feed(monkeypatch, content)
        status, out, err = run(name, "-")
        assert (status, out) == (2, "")
        assert err.startswith(f"unipose: {name} -: standard input is not")


def test_json_holds_every_answer(run) -> None:
    status, out, err = run("Run.", "--json", "--num", "3", "--seed", "1", "-q")
    assert (status, err) == (0, "")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [set(answer) for answer in answers] == [{"text", "poses", "confidence"}] * 3
    assert len({str(answer["poses"]) for answer in answers}) == 3
    assert run("Run.", "--json", "--num", "3", "--seed", "1", "-q")[1] == out


def test_quiet_and_verbose(run, tmp_path: Path) -> None:
    words = ("Run.", "--out", str(tmp_path / "a.npz"))
    assert run(*words, "-q") == (0, "", "")
    # A pose at rest in the stored frame: a warning of the library.
    assert run("--pose", "squat.npy", "-q", "--max-new-tokens", "4")[2] == ""
    assert "text-to-pose" in run(*words, "-v")[2]
    assert "Traceback" in run("--pose", "none.npy", "-v")[2]


def test_show_prints_the_path_of_an_image_without_a_screen(run) -> None:
    for words in (["Run."], ["--pose", "squat.npy", "--max-new-tokens", "4"]):
        status, out, _ = run(*words, "--show")
        path = Path(out.splitlines()[-1])
        assert status == 0
        with Image.open(path) as image:
            assert image.size == (512, 512)
            assert len(image.getcolors(2**20)) > 100
        path.unlink()
    status, _, err = run("Hello?", "--task", "text-to-pose", "--num", "2", "--show", "-q")
    assert (status, err) == (0, "")


def test_show_opens_an_image_where_there_is_a_screen(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    opened: list = []
    monkeypatch.setattr(ImageShow, "show", lambda image, title: opened.append(image) or True)
    assert run("Run.", "--show", "-q") == (0, "", "")
    assert [image.size for image in opened] == [(512, 512)]
    monkeypatch.setattr(ImageShow, "show", lambda image, title: False)
    path = Path(run("Run.", "--show")[1].strip())
    assert path.is_file()
    path.unlink()


def test_show_needs_a_pose(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "infer_task", lambda arguments: "image-to-text")
    status, out, err = run("--image", "image.png", "--show", "--max-new-tokens", "4")
    assert status == 2
    assert out
    assert "neither the answer nor the inputs have a pose" in err


@pytest.mark.parametrize("words", [["--out", "a.png"], ["--show"]])
def test_body_of_images(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body, words: list[str]) -> None:
    """A body from a file, here the built-in one at half its height, is drawn in place of the built-in one."""
    child = type(body)(body.v_template / 2, body.faces, body.joints / 2, body.weights)
    monkeypatch.setattr("unipose.processing.body_model.load_body_model", lambda path: {Path("child.npz"): child}[path])
    drawn: list = []
    forward = type(body).forward
    monkeypatch.setattr(type(body), "forward", lambda self, rotmats: drawn.append(self) or forward(self, rotmats))
    assert run("Run.", *words, "--body", "child.npz")[0] == 0
    assert drawn == [child]


REQUESTS = [
    {"text": "Run.", "id": "first"},
    {"poses": ["squat.npy"], "frame": "y_up"},
    {"text": "Bend.", "poses": [[0.1] * 66], "task": "pose-edit"},
    {"images": "image.png"},
    {"poses": ["missing.npy"]},
    {"messages": [{"role": "user", "content": "Run."}], "task": "text-to-pose"},
    {"text": "Run.", "mood": "happy"},
    {"text": "Jump."},
    ["Run."],
    {"text": "Lie.", "poses": [[[0, 0]]]},
]
FAILED = {5: "missing.npy", 7: "mood", 9: "got list", 10: "no pose has the shape"}
SHORT = ("--max-new-tokens", "64")


@pytest.fixture
def requests(folder: Path) -> Path:
    """The requests, then an empty line and one that is not JSON."""
    path = folder / "requests.jsonl"
    path.write_text("".join(f"{json.dumps(request)}\n" for request in REQUESTS) + "\n{text}\n", encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def assert_same_answer(one: dict, other: dict) -> None:
    assert one["text"] == other["text"]
    assert len(one["poses"]) == len(other["poses"])
    for pose, twin in zip(one["poses"], other["poses"]):
        np.testing.assert_allclose(pose_to_rotmats(pose), pose_to_rotmats(twin), atol=1e-3)


def test_batch_answers_as_single_requests(run, requests: Path, tmp_path: Path) -> None:
    """Each good line as by a command of its own; each bad line is an error with its number, and the status says so."""
    status, out, err = run("batch", "requests.jsonl", "--out", str(tmp_path / "new" / "answers.jsonl"), *SHORT)
    assert (status, out) == (1, "")
    assert "11 requests" in err
    answers = read_lines(tmp_path / "new" / "answers.jsonl")
    assert [answer["line"] for answer in answers] == [*range(1, 11), 12]
    assert answers[0]["id"] == "first"
    errors = {answer["line"]: answer["error"] for answer in answers if "error" in answer}
    assert set(errors) == {*FAILED, 12}
    assert all(words in errors[line] for line, words in FAILED.items())
    assert "not JSON" in errors[12]
    singles = {
        1: ("Run.",),
        2: ("--pose", "squat.npy", "--frame", "y_up"),
        4: ("--image", "image.png"),
        6: ("Run.",),
        8: ("Jump.",),
    }
    for line, words in singles.items():
        assert_same_answer(json.loads(run(*words, "--json", *SHORT)[1]), answers[line - 1])


def test_batch_from_stdin_to_stdout(run, requests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("batch", "requests.jsonl", "--out", str(tmp_path / "a.jsonl"), *SHORT)
    feed(monkeypatch, requests.read_bytes())
    status, out, err = run("batch", "-", "-q", *SHORT)
    assert (status, err) == (1, "")
    assert out == (tmp_path / "a.jsonl").read_text(encoding="utf-8")


def test_batch_uses_batches(run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of one task share a forward, also where others lie between them."""
    lines = [{"text": "Run."}, {"poses": ["squat.npy"]}] * 3
    (folder / "mixed.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    sizes: list[int] = []
    original = UniPosePipeline._forward

    def forward(self, inputs, **kwargs):
        sizes.append(len(inputs["input_ids"]))
        return original(self, inputs, **kwargs)

    monkeypatch.setattr(UniPosePipeline, "_forward", forward)
    assert run("batch", "mixed.jsonl", "--batch-size", "2", *SHORT)[0] == 0
    assert sorted(sizes) == [1, 1, 2, 2]


def test_an_interrupted_batch_continues(run, requests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that are there are kept, a broken last line and errors are answered again, in the order of lines."""
    path = tmp_path / "answers.jsonl"
    run("batch", "requests.jsonl", "--out", str(path), *SHORT)
    whole = read_lines(path)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    marked = json.loads(lines[0]) | {"text": "as it was"}
    path.write_text(json.dumps(marked) + "\n" + "".join(lines[1:6]) + lines[6][:20], encoding="utf-8")
    asked: list = []
    original = UniPosePipeline.__call__

    def ask(self, **kwargs):
        asked.extend(kwargs["text"])
        return original(self, **kwargs)

    monkeypatch.setattr(UniPosePipeline, "__call__", ask)
    assert run("batch", "requests.jsonl", "--out", str(path), *SHORT)[0] == 1
    assert "Jump." in asked
    assert "Run." not in asked
    again = read_lines(path)
    assert [answer["line"] for answer in again] == [answer["line"] for answer in whole]
    assert again[0]["text"] == "as it was"
    for one, other in zip(again[1:], whole[1:]):
        assert one.get("error") == other.get("error")
        if "error" not in one:
            assert_same_answer(one, other)
    assert sorted(path.parent.iterdir()) == [path]


def test_answers_to_other_requests_are_kept_from_harm(run, requests: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    run("batch", "requests.jsonl", "--out", str(path), *SHORT)
    before = path.read_bytes()
    for words in (("batch", "requests.jsonl", "--output-frame", "y_up", *SHORT), ("batch", "requests.jsonl")):
        status, _, err = run(*words, "--out", str(path))
        assert status == 2
        assert "line 1 of" in err
        assert path.read_bytes() == before


def test_an_interruption_keeps_the_answers(
    run, requests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answers.jsonl"
    original = UniPosePipeline.__call__

    def interrupt(self, **kwargs):
        if "Jump." in kwargs["text"]:
            raise KeyboardInterrupt
        return original(self, **kwargs)

    with monkeypatch.context() as context:
        context.setattr(UniPosePipeline, "__call__", interrupt)
        context.setattr("unipose.cli_batch.WINDOW", 1)
        assert run("batch", "requests.jsonl", "--out", str(path), "--batch-size", "2", *SHORT)[0] == 130
    assert [answer["line"] for answer in read_lines(path)] == [1, 2, 3, 4, 5, 6]
    assert run("batch", "requests.jsonl", "--out", str(path), *SHORT)[0] == 1
    assert [answer["line"] for answer in read_lines(path)] == [*range(1, 11), 12]


def test_a_seed_gives_each_line_the_samples_of_a_command(run, folder: Path) -> None:
    (folder / "two.jsonl").write_text('{"text": "Run."}\n{"text": "Jump."}\n', encoding="utf-8")
    words = ("--num", "2", "--seed", "3", "--temperature", "2.0")
    answers = [json.loads(line)["answers"] for line in run("batch", "two.jsonl", *words)[1].splitlines()]
    for text, group in zip(("Run.", "Jump."), answers):
        singles = [json.loads(line) for line in run(text, *words, "--json")[1].splitlines()]
        assert len(group) == len(singles) == 2
        for one, other in zip(group, singles):
            assert_same_answer(one, other)


def command(*words: str, code: str = "") -> subprocess.CompletedProcess:
    """The command's entry point in a process of its own; `code` runs at its end."""
    script = (
        f"import atexit, sys\ndef end():\n    {code or 'pass'}\natexit.register(end)\n"
        f"import unipose_command\nsys.argv = ['unipose', *{list(words)!r}]\nsys.exit(unipose_command.main())"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["batch", "--help"], ["demo", "--help"], ["--helpp"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    heavy = {"torch", "transformers", "numpy", "PIL", "tqdm", "unipose"}
    done = command(*words, code=f"print('imported:', sorted({heavy!r} & sys.modules.keys()))")
    assert done.returncode == (2 if words == ["--helpp"] else 0)
    assert done.stdout.splitlines()[-1] == "imported: []"
    assert "usage: unipose" in done.stdout + done.stderr or words == ["--version"]


def test_version_is_that_of_the_package() -> None:
    setup = (Path(__file__).parents[1] / "setup.py").read_text(encoding="utf-8")
    assert command("--version").stdout == f"unipose {unipose.__version__}\n"
    assert re.findall(r'version="(.+)"', setup) == [unipose.__version__]


def test_entry_point_runs_commands(folder: Path) -> None:
    done = command("Run.", "--model", str(folder / "model"))
    assert (done.returncode, set(json.loads(done.stdout))) == (0, {"global_orient", "body_pose", "frame"})


def test_arguments_name_what_the_code_has() -> None:
    """`cli_arguments` imports nothing of the package, and so repeats these."""
    assert set(TASK_NAMES) == set(TASKS)
    assert set(FRAME_NAMES) == set(FRAMES)
    help_text = generate_parser().format_help()
    # Python 3.13 may break a line within an ending.
    assert all(ending in help_text.replace("\n", "") for ending in POSE_ENDINGS)
    assert all(f"unipose {name}" in help_text for name in ("batch", "demo", "evaluate", "train-own"))


def test_commands_of_modules_get_their_words(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list = []
    monkeypatch.setattr(cli.runpy, "run_module", lambda module, **_: started.append((module, sys.argv[1:])))
    monkeypatch.setattr(sys, "argv", ["unipose"])
    assert main(["evaluate", "--model", "x", "--help"]) == 0
    assert started == [("unipose.training.evaluation.evaluate", ["--model", "x", "--help"])]


def test_train_own_is_the_stage_of_fine_tuning() -> None:
    words = ["train-own", "rows.jsonl", "--output", "mine", "--method", "lora"]
    arguments = parse_arguments(words)
    assert arguments.module == "unipose.training.stages.finetune"
    assert arguments.words == ["--data", "rows.jsonl", "--output_dir", "mine", "--method", "lora"]
    with pytest.raises(SystemExit):
        parse_arguments(["train-own"])


def test_commands_of_modules_name_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(module: str, **_: object) -> None:
        raise ModuleNotFoundError("No module named 'trl'", name="trl")

    monkeypatch.setattr(cli.runpy, "run_module", fail)
    monkeypatch.setattr(sys, "argv", ["unipose"])
    assert main(["evaluate"]) == 2
    assert capsys.readouterr().err == "unipose: unipose evaluate needs trl: pip install 'unipose[training]'\n"


def test_screens(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not cli_poses.has_screen()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert cli_poses.has_screen()


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
