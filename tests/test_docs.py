"""README and docs/ are true: samples run, commands parse, links resolve, tables and folders are those of the code."""

import argparse
import fnmatch
import importlib.util
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import roma
import torch
import yaml
from original import converted
from PIL import Image
from transformers import HfArgumentParser, pipeline
from trl import TrlParser

from unipose import cli
from unipose.cli_arguments import PARSERS
from unipose.processing.body_model import BodyModel
from unipose.processing.pose_io import save_animation, save_pose
from unipose.processing.rendering import render_pose
from unipose.training.tools import document_options


ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [README, *DOCS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]

BLOCK = re.compile(r"(?P<mark><!-- not run: .+ -->\n)?```(?P<language>\w*)\n(?P<text>.*?)```", re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")
# Commands that parse their options themselves, without a parser of Python's.
UNPARSED = ("blender", "curl", "make", "pip", "pytest", "ruff")


class Block(NamedTuple):
    """A fenced block of a page: its language, its text, and whether its page says that it cannot run here."""

    language: str
    text: str
    runs: bool


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    got = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(block["language"], block["text"], block["mark"] is None) for block in got]


def commands_of(block: Block) -> list[str]:
    """The lines of a block of commands, without their comments."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [shlex.join(words) for line in lines if (words := shlex.split(line, comments=True))]


def prose_of(page: Path) -> str:
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def upright_pose() -> torch.Tensor:
    rotmats = roma.rotvec_to_rotmat(torch.zeros(22, 3))
    rotmats[0] = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return rotmats


def prepare_conversion(folder: Path) -> None:
    """The recorded tiny release, in place of the 7B one, and a pose."""
    (folder / "unipose-7b").symlink_to(converted())
    save_pose(folder / "pose.npy", upright_pose())


# What a page takes as given; all others run in an empty folder.
PREPARE: dict[str, Callable[[Path], None]] = {"docs/models/convert.md": prepare_conversion}
RUNNING = [page for page in PAGES if any(block.language in ("python", "bash") for block in blocks_of(page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNING, ids=name_of)
def test_samples_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python samples share one namespace, `unipose ...` commands follow in their place; all see one folder."""
    if name_of(page) in PREPARE:
        PREPARE[name_of(page)](tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "__main__"}
    for block in blocks_of(page):
        if block.language == "python":
            code = compile(block.text, name_of(page), "exec")
            if block.runs:
                exec(code, names)
        elif block.language == "bash" and block.runs:
            for command in commands_of(block):
                words = shlex.split(command)
                if words[0] == "unipose":
                    assert cli.main(words[1:]) == 0, command


def test_the_readme_has_samples_and_commands_that_run() -> None:
    blocks = blocks_of(README)
    commands = [command for block in blocks if block.language == "bash" for command in commands_of(block)]
    assert sum(block.language == "python" for block in blocks) >= 1
    assert sum(command.startswith("unipose ") for command in commands) >= 4
    assert all(block.runs for block in blocks)


METHODS = (
    (TrlParser, "parse_args_and_config"),
    (HfArgumentParser, "parse_args_into_dataclasses"),
    (argparse.ArgumentParser, "parse_args"),
)
UNCHANGED = {method: getattr(*method) for method in METHODS}


class Parsed(Exception):
    """A command has accepted its options."""


def stop_after(monkeypatch: pytest.MonkeyPatch, parser: type, name: str) -> None:
    """Lets the outermost call of a parser's method end in `Parsed`."""
    original = getattr(parser, name)

    def parse(self, *args, **kwargs):
        with monkeypatch.context() as inner:
            for method, unchanged in UNCHANGED.items():
                inner.setattr(*method, unchanged)
            original(self, *args, **kwargs)
        raise Parsed

    monkeypatch.setattr(parser, name, parse)


def python_command(words: list[str]) -> list[str] | None:
    """`-m MODULE ...` or `FILE ...` of a command that starts Python, directly or by accelerate; None for others."""
    if words[0].startswith("PYTHONPATH="):
        words = words[1:]
    if words[:2] == ["accelerate", "launch"]:
        assert (ROOT / words[words.index("--config_file") + 1]).is_file()
        return words[words.index("-m") :]
    return words[1:] if words[0] == "python" else None


def check_options(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a Python command until its own parser has accepted its options; a command without options must exist."""
    module = words[1] if words[0] == "-m" else None
    options = words[2:] if module else words[1:]
    if not options:
        assert importlib.util.find_spec(module) if module else (ROOT / words[0]).is_file()
        return
    if module and module.startswith(("unipose.training.stages", "unipose.training.ablations")):
        options = [*options, "--use_cpu", "true"]
    monkeypatch.setattr(sys, "argv", [words[0], *options])
    monkeypatch.setattr(sys, "path", [str(ROOT / "tests"), str(ROOT / "benchmarks"), str(ROOT / "viewer"), *sys.path])
    for method in METHODS:
        stop_after(monkeypatch, *method)
    try:
        if module:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(str(ROOT / words[0]), run_name="__main__")
    except Parsed:
        return
    raise AssertionError("the command parsed no options")


def all_commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in blocks_of(page):
            if block.language == "bash":
                yield from ((name_of(page), command) for command in commands_of(block))


COMMANDS = sorted({command for _, command in all_commands() if python_command(shlex.split(command)) is not None})


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("command", COMMANDS)
def test_options_of_commands_exist(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = python_command(shlex.split(command))
    assert words is not None
    check_options(words, monkeypatch)


def test_an_unknown_option_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above could not fail."""
    monkeypatch.chdir(ROOT)
    command = ["-m", "unipose.training.stages.align", "--config", "training/recipes/tiny/align.yaml"]
    with pytest.raises(ValueError, match="learning_speed"):
        check_options([*command, "--learning_speed", "1"], monkeypatch)
    with pytest.raises(SystemExit):
        check_options(["benchmarks/speed.py", "--repetitions", "1"], monkeypatch)


def test_other_commands_name_what_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    for page, command in all_commands():
        words = shlex.split(command)
        if python_command(words) is not None or words[0] == "unipose":
            continue
        assert words[0] in UNPARSED, f"{page}: {command}"
        targets = [word for word in words[1:] if not word.startswith("-")]
        if words[0] == "make":
            assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets), command
        for extra in re.findall(r"\.\[(\w+)\]", command):
            assert f'"{extra}": [' in setup, command
        if words[0] == "pytest":
            files = [target for target in targets if target.startswith("tests/")]
            assert all(any(ROOT.glob(file)) for file in files), command


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page: Path) -> None:
    for target in LINK.findall(prose_of(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors_of(linked), target


def anchors_of(page: Path) -> set[str]:
    """The headings of a page as GitHub writes them in addresses."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target).resolve() for target in LINK.findall(prose_of(index))}
    assert linked == {page.resolve() for page in DOCS if page != index}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_modules_and_paths_exist(page: Path) -> None:
    """Inline code that names a module of ours, or a path inside one of our folders."""
    folders = tuple(f"{folder}/" for folder in folders_of(ROOT))
    for name in INLINE.findall(prose_of(page)):
        if re.fullmatch(r"unipose(\.\w+)+", name):
            assert_importable(name)
        elif name.startswith(folders) and " " not in name:
            assert (ROOT / name).exists(), name


def assert_importable(name: str) -> None:
    """`name` is a module, or an attribute of one."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_size_of_the_readme() -> None:
    content = README.read_bytes()
    assert len(content) <= 8_000
    assert content.count(b"\n") <= 150


def folders_of(path: Path) -> set[str]:
    """The folders in `path` that belong to the repository."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()]
    folders = {folder.name for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith((".", "_"))}
    return {folder for folder in folders if not any(fnmatch.fnmatch(folder, pattern) for pattern in ignored)}


@pytest.mark.parametrize(
    ("page", "top"),
    [(README, ROOT), (ROOT / "docs" / "development.md", ROOT / "training")],
    ids=["README", "training"],
)
def test_tree_names_every_folder_and_no_other(page: Path, top: Path) -> None:
    tree = page.read_text(encoding="utf-8").split("## Folders\n", 1)[1].split("```")[1]
    named = [line.split("#")[0].strip() for line in tree.splitlines() if line.strip()]
    assert all(name.endswith("/") for name in named)
    assert {ROOT / name for name in named} - {top} == {top / folder for folder in folders_of(top)}


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_option_tables_are_those_of_the_code(page: Path) -> None:
    """`python -m unipose.training.tools.document_options` writes them."""
    text = page.read_text(encoding="utf-8")
    assert text == document_options.fill_page(text)


def test_every_command_has_its_option_table() -> None:
    written = {block[2] for page in DOCS for block in document_options.BLOCK.finditer(page.read_text("utf-8"))}
    assert written == set(document_options.OPTIONS)


def test_options_of_the_command_line_are_documented() -> None:
    documented = set(
        re.findall(r"^\| `(?:-\w`, `)?(--[\w-]+)", (ROOT / "docs" / "cli.md").read_text("utf-8"), re.MULTILINE)
    )
    options = {
        name
        for parser in PARSERS.values()
        for action in parser()._actions
        for name in action.option_strings
        if name.startswith("--")
    }
    assert documented == options - {"--help"}


def test_results_of_the_embedded_model_are_those_of_its_card() -> None:
    """The same figures in the same order; the card is written by the evaluation."""
    card = (ROOT / "modeling_unipose" / "embedded" / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "models" / "embedded.md").read_text(encoding="utf-8")
    tables = [
        re.search(r"^\| pose tokenizer \| MPJPE \(mm\) .+\n(?:\|.+\n)+", text, re.MULTILINE) for text in (card, page)
    ]
    figures = [re.findall(r"\d+\.\d", table.group()) for table in tables if table]
    assert len(figures[0]) > 20
    assert figures[0] == figures[1]


def test_citation_is_complete() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["preferred-citation"]["url"] in README.read_text(encoding="utf-8")


# The table of errors.


def table(page: Path) -> list[list[str]]:
    """The cells of the first table of a page, without its two head lines."""
    lines = re.search(r"(?:^\|.*\n)+", page.read_text(encoding="utf-8"), re.MULTILINE).group().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.fixture(scope="module")
def pipe():
    return pipeline("unipose")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the error table names as given: a truncated image, an incomplete and a damaged model."""
    path = tmp_path_factory.mktemp("errors")
    render_pose(upright_pose()).save(path / "whole.png")
    (path / "broken.png").write_bytes((path / "whole.png").read_bytes()[:200])
    (path / "damaged").mkdir()
    embedded = ROOT / "modeling_unipose" / "embedded"
    for file in embedded.iterdir():
        data = file.read_bytes()
        (path / "damaged" / file.name).write_bytes(data[:1000] if file.suffix == ".safetensors" else data)
    (path / "incomplete").mkdir()
    for file in embedded.glob("*.json"):
        (path / "incomplete" / file.name).write_bytes(file.read_bytes())
    return path


@pytest.mark.parametrize(("mistake", "call", "answer"), table(ROOT / "docs" / "errors.md"))
def test_error_table(mistake, call, answer, pipe, folder, monkeypatch) -> None:
    """Each row: the call raises, and its message holds the words of the table."""
    monkeypatch.chdir(folder)
    names = {"pipe": pipe, "pose": upright_pose().numpy(), "np": np, "Image": Image, "pipeline": pipeline}
    names |= {"BodyModel": BodyModel, "save_pose": save_pose, "save_animation": save_animation}
    with pytest.raises((ValueError, OSError)) as caught:
        eval(call.strip("`"), names)
    assert answer.strip("`") in str(caught.value), f"{mistake}: {caught.value}"
