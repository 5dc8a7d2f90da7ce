"""Loading that never fills in weights: a checkpoint is complete and fits its config, or it is an error."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel
from transformers.utils import GENERATION_CONFIG_NAME


# Averages of the codebook, which only its training reads.
TRAINING_BUFFERS = r"quantizer\.(ema_sum|ema_count|initialized)$"
# What the library, torch and the parts raise while they build a model of a config that describes none.
BUILD_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    RuntimeError,
    StrictDataclassError,
    TypeError,
)
NAMED = 5


class CompleteLoadingMixin:
    """`from_pretrained` that raises an error where the library would draw random weights, or leave some out."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, allow_incomplete: bool = False, **kwargs):
        """Loads a model like the library, but only a complete checkpoint that fits its config.

        Args:
            pretrained_model_name_or_path: Folder or Hub id.
            args: The library's.
            allow_incomplete: Whether missing and misshapen weights are drawn anew and others are left out, as for a
                model that grows. The library's `ignore_mismatched_sizes=True` means the same.
            kwargs: The library's.

        Raises:
            OSError: Weights are missing, unexpected, misshapen, damaged or truncated, or config.json describes no
                model; the message names them.
            ValueError: An argument is wrong.
        """
        if allow_incomplete:
            kwargs["ignore_mismatched_sizes"] = True
        name = str(pretrained_model_name_or_path)
        check_generation_config(Path(name))
        try:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)  # type: ignore[misc]
        except SafetensorError as error:
            files = damaged_files(Path(name))
            raise OSError(
                f"the weights of {name} are damaged or truncated ({error}): fetch "
                f"{', '.join(map(str, files)) or 'its .safetensors files'} again"
            ) from error
        except torch.OutOfMemoryError:
            raise
        except BUILD_ERRORS as error:
            raise OSError(
                f"{name} does not load ({type(error).__name__}: {error}): expected a config.json and arguments that "
                "describe a model"
            ) from error

    @staticmethod
    def _finalize_model_loading(model, load_config, loading_info):
        # Before the library allocates what is missing.
        if not load_config.ignore_mismatched_sizes:
            check_complete(model, load_config.pretrained_model_name_or_path, loading_info)
        return PreTrainedModel._finalize_model_loading(model, load_config, loading_info)


def check_complete(model: Any, name: Any, loading_info: Any) -> None:
    """Checks that a checkpoint had all weights of a model, in their shapes, and no others.

    Args:
        model: The model, whose missing weights are not allocated yet.
        name: Folder or Hub id, for the error message.
        loading_info: The library's account of the loading.

    Raises:
        OSError: It had not; the message names the weights.
    """
    info = dataclasses.replace(loading_info)
    model._adjust_missing_and_unexpected_keys(info)
    tied = model.all_tied_weights_keys
    # Either end of a tie is enough.
    sources = {source for tie, source in tied.items() if tie not in info.missing_keys}
    missing = info.missing_keys - tied.keys() - sources
    misshapen = [
        f"{key} {tuple(got)}, expected {tuple(expected)}" for key, got, expected in sorted(info.mismatched_keys)
    ]
    problems = [
        f"{len(keys)} {kind} ({shorten(keys)})"
        for kind, keys in (
            ("missing", sorted(missing)),
            ("unexpected", sorted(info.unexpected_keys)),
            ("of another shape", misshapen),
            ("not convertible", sorted(info.conversion_errors)),
        )
        if keys
    ]
    if problems:
        raise OSError(
            f"the weights of {name} do not fit its config and {type(model).__name__}: {'; '.join(problems)}. Fetch "
            "the checkpoint again; a model that grows is loaded with allow_incomplete=True"
        )


def shorten(names: Iterable[str]) -> str:
    """The first names, and the number of the others."""
    listed = list(names)
    others = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + others


def check_generation_config(folder: Path) -> None:
    """Checks that a folder's generation_config.json can be read: the library ignores a damaged one.

    Raises:
        OSError: It is damaged.
    """
    file = folder / GENERATION_CONFIG_NAME
    if not file.is_file():
        return
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OSError(f"{file} is damaged ({error}): expected JSON; fetch it again") from error
    if not isinstance(content, dict):
        raise OSError(f"{file} is damaged: got a JSON {type(content).__name__}, expected an object; fetch it again")
    for name, value in content.items():
        ids = value if isinstance(value, list) else [value]
        if name.endswith("_token_id") and not all(token is None or type(token) is int for token in ids):
            raise OSError(f"{file} is damaged: {name} is {value!r}, expected an integer or several; fetch it again")


def damaged_files(folder: Path) -> list[Path]:
    """The damaged or truncated .safetensors files of a folder."""
    damaged = []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except SafetensorError:
            damaged.append(path)
    return damaged


__all__ = ["TRAINING_BUFFERS", "CompleteLoadingMixin"]
