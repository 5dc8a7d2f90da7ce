"""The README is true: its samples run, its error table is what a user sees, its tree is the tree."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from original import converted
from PIL import Image
from transformers import pipeline

from unipose.cli import main
from unipose.processing.rendering import render_pose


ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FOLDERS = ("modeling_unipose", "processing", "training", "model_cards", "benchmarks")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def table(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its two head lines."""
    below = README.split(f"## {heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE).group().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.fixture(scope="module")
def pipe():
    return pipeline("unipose")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the samples and the error table name as given: a pose, a picture, a converted model, damaged files."""
    path = tmp_path_factory.mktemp("readme")
    rotmats = roma.rotvec_to_rotmat(torch.zeros(22, 3))
    rotmats[0] = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    np.save(path / "pose.npy", rotmats)
    render_pose(rotmats).save(path / "person.png")
    (path / "broken.png").write_bytes((path / "person.png").read_bytes()[:200])
    (path / "damaged").mkdir()
    embedded = ROOT / "modeling_unipose" / "embedded"
    for file in embedded.iterdir():
        data = file.read_bytes()
        (path / "damaged" / file.name).write_bytes(data[:1000] if file.suffix == ".safetensors" else data)
    (path / "incomplete").mkdir()
    for file in embedded.glob("*.json"):
        (path / "incomplete" / file.name).write_bytes(file.read_bytes())
    # The recorded tiny release, in place of the 7B one.
    (path / "unipose-7b").symlink_to(converted())
    return path


def test_python_samples_run_in_order(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    names: dict = {}
    assert len(blocks("python")) >= 4
    for sample in blocks("python"):
        exec(compile(sample, "README.md", "exec"), names)
    assert names["pose"].shape == (22, 3, 3)


def test_commands_run(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("unipose ")]
    assert len(commands) >= 4
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    assert (folder / "squat.glb").stat().st_size > 10_000


@pytest.mark.parametrize(("mistake", "call", "answer"), table("Bad input"))
def test_error_table(mistake, call, answer, pipe, folder, monkeypatch):
    """Each row: the call raises, and its message holds the words of the table."""
    monkeypatch.chdir(folder)
    pose = np.load("pose.npy")
    names = {"pipe": pipe, "pose": pose, "np": np, "Image": Image, "pipeline": pipeline}
    with pytest.raises((ValueError, OSError)) as caught:
        eval(call.strip("`"), names)
    assert answer.strip("`") in str(caught.value), f"{mistake}: {caught.value}"


def test_tree_names_every_file_and_no_other():
    tree = README.split("## The tree\n", 1)[1].split("```")[1]
    named, folder = set(), ""
    for line in tree.splitlines():
        entry = line.split("#")[0].strip()
        if not entry:
            continue
        if not line.startswith(" "):
            folder = entry if entry.endswith("/") else ""
        named |= {f"{folder}{name}" if name != folder else folder for name in entry.split()}
    for top in FOLDERS:
        files = {str(path.relative_to(ROOT)) for path in (ROOT / top).rglob("*.py") if path.name != "__init__.py"}
        assert {name for name in named if name.startswith(top) and name.endswith(".py")} == files, top
