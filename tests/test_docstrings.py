"""Docstrings of public functions have the sections that a reader looks for: arguments, and what is raised."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("modeling_unipose", "processing", "training", "serving", "benchmarks")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, Function]]:
    """Functions, and methods of public classes, with their names; without those inside functions."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body, f"{owner}{node.name}.")
        if isinstance(node, Function) and not node.name.startswith("_") and node.name != "main":
            yield f"{owner}{node.name}", node


def argument_names(function: Function) -> list[str]:
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    if arguments.vararg is not None:
        names.append(arguments.vararg.arg)
    return [name for name in names if name not in ("self", "cls")]


def raises_itself(function: Function) -> bool:
    """Whether the body has a raise statement with an exception, outside nested functions and classes."""
    nodes: list[ast.AST] = list(function.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            return True
        nodes += ast.iter_child_nodes(node)
    return False


def missing_sections(source: str) -> list[str]:
    """The function's name, line and what its docstring lacks, for each incomplete one."""
    missing = []
    for name, function in public_functions(ast.parse(source).body):
        docstring = ast.get_docstring(function)
        # A method without one overrides a library's, or implements what its class describes.
        if docstring is None and "." in name:
            continue
        lacks = [] if docstring else ["a docstring"]
        if len(argument_names(function)) >= 2 and "Args:" not in (docstring or ""):
            lacks.append("Args:")
        if raises_itself(function) and "Raises:" not in (docstring or ""):
            lacks.append("Raises:")
        if lacks:
            missing.append(f"{name} in line {function.lineno} lacks {', '.join(lacks)}")
    return missing


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_are_complete(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    missing = [
        f"{path.relative_to(ROOT)}: {each}"
        for path in files
        for each in missing_sections(path.read_text(encoding="utf-8"))
    ]
    assert missing == [], "\n".join(missing)


def test_incomplete_docstrings_are_named() -> None:
    source = '''
def add(first, second):
    """Adds."""
    raise ValueError("no")

class Model:
    def forward(self, x, y): ...

    def read(self, path):
        """Reads."""
        def inner():
            raise OSError(path)

def bare(): ...

def _private(first, second): ...
'''
    assert missing_sections(source) == [
        "add in line 2 lacks Args:, Raises:",
        "bare in line 14 lacks a docstring",
    ]
