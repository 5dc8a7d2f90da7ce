"""Damaged copies of a saved model: each a folder, and what was done to it."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


WEIGHTS = "model.safetensors"
JSON_FILES = ("config.json", "processor_config.json", "tokenizer_config.json", "generation_config.json")
HTML = "<!DOCTYPE html><html><body>Not found</body></html>\n"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123456789abcdef\nsize 1581\n"


def copy_model(source: Path, folder: Path) -> Path:
    """A copy without the code; the weights are linked, and `change_weights` writes new ones."""
    folder.mkdir(parents=True)
    for file in source.iterdir():
        if file.name == WEIGHTS:
            (folder / file.name).symlink_to(file)
        elif file.is_file() and file.suffix != ".py":
            shutil.copy(file, folder / file.name)
    return folder


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> Path:
    """Lets a function change the tensors of a folder's weights in place."""
    weights = load_file(folder / WEIGHTS)
    change(weights)
    (folder / WEIGHTS).unlink()
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    return folder


def change_json(folder: Path, name: str, change: Callable[[Any], Any]) -> Path:
    """Lets a function change the content of a JSON file in place."""
    content = json.loads((folder / name).read_text("utf-8"))
    change(content)
    (folder / name).write_text(json.dumps(content), "utf-8")
    return folder


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in nested objects and lists, but not of the entries of long lists."""
    items: Any = ()
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list) and len(content) < 20:
        items = enumerate(content)
    for key, value in items:
        yield (*path, key)
        yield from leaves(value, (*path, key))


def set_leaf(content: Any, path: tuple[Any, ...], value: Any, remove: bool = False) -> None:
    """Sets or removes the value at a path.

    Args:
        content: Nested objects and lists; changed in place.
        path: One of `leaves`.
        value: The new value.
        remove: Whether to remove the entry instead.
    """
    for key in path[:-1]:
        content = content[key]
    if remove:
        del content[path[-1]]
    else:
        content[path[-1]] = value
