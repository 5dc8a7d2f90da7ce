"""The layout shows the architecture: data flows one way, and every module lives in the folder of its kind."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
TRAINING = ROOT / "training"
# A folder imports from those before it only.
FOLDERS = (
    "geometry",
    "io",
    "named_poses",
    "captions",
    "sampling",
    "synthetic_images",
    "datasets",
    "refine",
    "models",
    "evaluation",
    "trainer",
    "stages",
    "ablations",
    "publishing",
    "tools",
)
LEAVES = {"__init__", "geometry", "io"}
# What stays in the installed package; every other file of these folders is saved beside a model's weights.
STAYS = {
    "__init__",
    "cli",
    "cli_arguments",
    "cli_batch",
    "cli_console",
    "cli_entry",
    "cli_files",
    "cli_inputs",
    "cli_poses",
    "convert_unipose_weights_to_hf",
    "demo",
    "embedded_checkpoint",
    "original_tokenizer",
    "original_weights",
    "registration",
}
TRAVELS = [
    path
    for folder in ("modeling_unipose", "processing")
    for path in sorted((ROOT / folder).glob("*.py"))
    # `processing/` has a link to what both folders need.
    if path.stem not in STAYS and not path.is_symlink()
]


def imported_modules(path: Path) -> Iterator[str]:
    """Absolute names of the modules that a file imports, inside functions too; relative ones start with a dot."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def training_folder(module: str) -> str | None:
    parts = module.split(".")
    return parts[2] if parts[:2] == ["unipose", "training"] and len(parts) > 2 else None


@pytest.mark.parametrize("folder", FOLDERS)
def test_training_folders_import_only_from_those_before_them(folder: str) -> None:
    files = (
        [TRAINING / f"{folder}.py"]
        if (TRAINING / f"{folder}.py").exists()
        else sorted((TRAINING / folder).rglob("*.py"))
    )
    assert files
    allowed = set(FOLDERS[: FOLDERS.index(folder) + 1])
    for file in files:
        for module in imported_modules(file):
            target = training_folder(module)
            assert target is None or target in allowed, f"{file.relative_to(ROOT)} imports {module}"


def test_training_has_no_loose_module() -> None:
    assert {path.stem for path in TRAINING.glob("*.py")} == LEAVES
    folders = {path.name for path in TRAINING.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(FOLDERS) - LEAVES | {"recipes", "assets"}


def test_no_circle_between_modules() -> None:
    graph: dict[str, set[str]] = {}
    for path in sorted(TRAINING.rglob("*.py")):
        parts = ("unipose", "training", *path.relative_to(TRAINING).with_suffix("").parts)
        graph[".".join(parts).removesuffix(".__init__")] = {*imported_modules(path)}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail[trail.index(module) :], module))
        if module not in done:
            for target in graph[module] & graph.keys():
                visit(target, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_inference_never_imports_training() -> None:
    for folder in ("modeling_unipose", "processing"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not any(module.startswith("unipose.training") for module in imported_modules(path)), path


@pytest.mark.parametrize("path", TRAVELS, ids=lambda path: path.name)
def test_files_that_travel_are_flat_and_know_no_package(path: Path) -> None:
    for module in imported_modules(path):
        assert not module.startswith("unipose"), module
        if path.parent.name == "modeling_unipose":
            assert not module.startswith(("..", ".processing")), module


def test_names_of_files_that_travel_are_unique() -> None:
    names = [path.name for path in TRAVELS]
    assert len(names) == len(set(names))
