"""Atomic writes, JSON, YAML and Markdown tables: shared by every folder of training."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml


PARTIAL = ".partial"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Writes a file or a new folder atomically: yields a path next to `path`, and renames it if the block succeeds.

    The block creates the file itself, so that it has the usual mode (the umask decides), not that of a private
    temporary file.

    Args:
        path: the file to write, or a folder that does not exist. Missing parents are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL)
    _remove(partial)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file atomically.

    Args:
        path: the file to write.
        text: its content.
    """
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def read_yaml(path: Path) -> Any:
    """The content of a YAML file. Without the C parser, which wheels of PyYAML have, the word banks take a second.

    Args:
        path: the file to read.
    """
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    return yaml.load(path.read_text("utf-8"), loader)


def write_json(path: Path, content: Any) -> None:
    """Writes indented JSON atomically.

    Args:
        path: the file to write.
        content: a value that `json.dumps` accepts.
    """
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """The content of a UTF-8 JSON file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}; expected JSON") from error


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table.

    Args:
        header: the column names.
        rows: one cell per column, formatted with `str`.
    """
    cells = [f"| {' | '.join(map(str, row))} |" for row in (header, *rows)]
    return "\n".join([cells[0], "|" + "---|" * len(header), *cells[1:]])
