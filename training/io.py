"""Files that are there whole or not at all, JSON, and Markdown tables."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


PARTIAL = ".partial"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends without an exception.

    Args:
        path: the file to write. Missing folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file atomically.

    Args:
        path: the file to write.
        text: its content.
    """
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes indented JSON atomically.

    Args:
        path: the file to write.
        content: what `json.dumps` takes.
    """
    write_text(path, json.dumps(content, indent=2) + "\n")


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table.

    Args:
        header: the column names.
        rows: one cell per column, formatted with `str`.
    """
    cells = [f"| {' | '.join(map(str, row))} |" for row in (header, *rows)]
    return "\n".join([cells[0], "|" + "---|" * len(header), *cells[1:]])
