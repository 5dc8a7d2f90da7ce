"""The entry point of the `unipose` command: help, version, arguments, and commands that are modules."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import unipose
from unipose import cli
from unipose.cli import main, parse_arguments
from unipose.cli_arguments import FRAME_NAMES, TASK_NAMES, generate_parser
from unipose.processing.pose_frames import FRAMES
from unipose.processing.pose_io import POSE_ENDINGS
from unipose.tasks_unipose import TASKS


def command(*words: str, code: str = "") -> subprocess.CompletedProcess:
    """The command's entry point in a process of its own; `code` runs at its end."""
    script = (
        f"import atexit, sys\ndef end():\n    {code or 'pass'}\natexit.register(end)\n"
        "from unipose.cli_entry import main\n"
        f"sys.argv = ['unipose', *{list(words)!r}]\nsys.exit(main())"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["batch", "--help"], ["demo", "--help"], ["--helpp"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    heavy = {"torch", "transformers", "numpy", "PIL", "tqdm", "unipose.cli"}
    done = command(*words, code=f"print('imported:', sorted({heavy!r} & sys.modules.keys()))")
    assert done.returncode == (2 if words == ["--helpp"] else 0)
    assert done.stdout.splitlines()[-1] == "imported: []"
    assert "usage: unipose" in done.stdout + done.stderr or words == ["--version"]


def test_version_is_that_of_the_package() -> None:
    setup = (Path(__file__).parents[1] / "setup.py").read_text(encoding="utf-8")
    assert command("--version").stdout == f"unipose {unipose.__version__}\n"
    assert re.findall(r'version="(.+)"', setup) == [unipose.__version__]


def test_entry_point_runs_commands(command_folder: Path) -> None:
    done = command("Run.", "--model", str(command_folder / "model"))
    assert (done.returncode, set(json.loads(done.stdout))) == (0, {"global_orient", "body_pose", "frame"})


def test_a_pose_needs_no_optional_package(command_folder: Path, tmp_path: Path) -> None:
    optional = {"trimesh", "networkx", "scipy", "sklearn", "pandas", "datasets", "peft", "trl", "smplx", "mediapipe"}
    end = f"import gc; print(gc.isenabled(), sorted({optional!r} & sys.modules.keys()))"
    words = ("Run.", "--model", str(command_folder / "model"), "--out", str(tmp_path / "run.glb"))
    done = command(*words, code=end)
    assert (done.returncode, done.stdout) == (0, "True []\n")
    assert (tmp_path / "run.glb").stat().st_size > 0


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
