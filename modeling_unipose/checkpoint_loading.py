"""Loading that never fills in weights: a checkpoint is complete and fits its config, or it is an error."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import GenerationConfig, PreTrainedModel
from transformers.configuration_utils import PreTrainedConfig
from transformers.utils import GENERATION_CONFIG_NAME

from .generation_arguments import check_generation_arguments


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
# Arguments that say where the files are.
PLACES = ("cache_dir", "local_files_only", "revision", "subfolder", "token")
NAMED = 5


class CompleteLoadingMixin:
    """`from_pretrained` that raises an error where the library would draw random weights, or leave some out."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, allow_incomplete: bool = False, **kwargs):
        """Loads a model like the library, but only a complete checkpoint that fits its config.

        Errors of wrong arguments are the library's own.

        Args:
            pretrained_model_name_or_path: Folder or Hub id; None with the library's `config` and `state_dict`. An
                empty state dict asks for new weights.
            args: The library's.
            allow_incomplete: Whether missing and misshapen weights are drawn anew and others are left out, as for a
                model that grows. The library's `ignore_mismatched_sizes=True` means the same. With the library's
                `output_loading_info=True` the caller gets the names of missing and of unexpected weights instead of
                an error.
            kwargs: The library's.

        Raises:
            OSError: Weights are missing, unexpected, misshapen, damaged or truncated, or config.json describes no
                model; the message names them.
            ValueError: An argument is wrong.
        """
        name = pretrained_model_name_or_path
        growing = allow_incomplete or kwargs.get("ignore_mismatched_sizes") or kwargs.get("state_dict") == {}
        reported = bool(kwargs.get("output_loading_info"))
        kwargs["ignore_mismatched_sizes"] = bool(growing or reported)
        if name is not None:
            check_generation_config(Path(name))
        try:
            loaded = super().from_pretrained(name, *args, **kwargs)  # type: ignore[misc]
        except torch.OutOfMemoryError:
            raise
        except (SafetensorError, *BUILD_ERRORS) as error:
            damage = find_damage(cls, name, kwargs)
            if damage is None:
                raise
            raise OSError(damage) from error
        if reported and not growing:
            check_shapes(name, *loaded)
        return loaded

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
        name: Folder or Hub id, for the error message; None: a state dict.
        loading_info: The library's account of the loading.

    Raises:
        OSError: It had not; the message names the weights.
    """
    info = dataclasses.replace(loading_info)
    model._adjust_missing_and_unexpected_keys(info)
    tied = model.all_tied_weights_keys
    # Either end of a tie is enough.
    sources = {source for tie, source in tied.items() if tie not in info.missing_keys}
    refuse(
        model,
        name,
        {
            "missing": sorted(info.missing_keys - tied.keys() - sources),
            "unexpected": sorted(info.unexpected_keys),
            "of another shape": describe_shapes(info.mismatched_keys),
            "not convertible": sorted(info.conversion_errors),
        },
    )


def check_shapes(name: Any, model: Any, loading_info: dict[str, Any]) -> None:
    """Checks that the weights of a checkpoint had the model's shapes; the caller gets the names of all others.

    Args:
        name: Folder or Hub id, for the error message.
        model: The model.
        loading_info: The library's account of the loading, as the caller gets it.

    Raises:
        OSError: They had not; the message names the weights.
    """
    refuse(model, name, {"of another shape": describe_shapes(loading_info["mismatched_keys"])})


def describe_shapes(mismatched: Iterable[tuple[str, Any, Any]]) -> list[str]:
    """Names of weights, with the shape of each and the expected one."""
    return [f"{key} {tuple(got)}, expected {tuple(expected)}" for key, got, expected in sorted(mismatched)]


def refuse(model: Any, name: Any, problems: dict[str, list[str]]) -> None:
    """Raises the error of weights that do not fit a model.

    Args:
        model: The model.
        name: Folder or Hub id; None: a state dict.
        problems: Names of weights, by what is wrong with them.

    Raises:
        OSError: There are such weights.
    """
    found = [f"{len(keys)} {kind} ({shorten(keys)})" for kind, keys in problems.items() if keys]
    if found:
        place = "the state dict" if name is None else name
        raise OSError(
            f"the weights of {place} do not fit its config and {type(model).__name__}: {'; '.join(found)}. Fetch "
            "the checkpoint again; a model that grows is loaded with allow_incomplete=True"
        )


def shorten(names: Iterable[str]) -> str:
    """The first names, and the number of the others."""
    listed = list(names)
    others = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + others


def check_generation_config(folder: Path) -> None:
    """Checks that a folder's generation_config.json can be read and used: the library ignores a damaged one.

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
    # Some files say by an empty list that there are none.
    given = {name: value for name, value in content.items() if value != [] or name.endswith("_token_id")}
    try:
        check_generation_arguments(given, f"{file} is damaged: ")
    except ValueError as error:
        raise OSError(f"{error}; fetch it again") from error


def find_damage(model_class: Any, name: Any, kwargs: dict[str, Any]) -> str | None:
    """What is wrong with the files of a checkpoint that did not load; None: nothing, so that an argument is.

    Args:
        model_class: The class that was to be loaded.
        name: Folder or Hub id; None: there are no files.
        kwargs: The arguments of the loading.
    """
    if name is None:
        return None
    files = damaged_files(Path(name))
    if files:
        return f"the weights of {name} are damaged or truncated: fetch {', '.join(map(str, files))} again"
    places = {key: kwargs[key] for key in PLACES if key in kwargs}
    try:
        config = kwargs.get("config")
        if not isinstance(config, PreTrainedConfig):
            config = model_class.config_class.from_pretrained(config or name, **places)
        with torch.device("meta"):
            model_class._from_config(config)
    except BUILD_ERRORS as error:
        return f"config.json of {name} describes no model ({type(error).__name__}: {error}): fetch it again"
    try:
        GenerationConfig.from_pretrained(name, **places)
    except OSError:  # It has none.
        return None
    except BUILD_ERRORS as error:
        return f"{GENERATION_CONFIG_NAME} of {name} is damaged ({type(error).__name__}: {error}): fetch it again"
    return None


def damaged_files(folder: Path) -> list[Path]:
    """The damaged or truncated .safetensors files of a folder, and their damaged indices."""
    damaged = []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except SafetensorError:
            damaged.append(path)
    for path in sorted(folder.glob("*.index.json")):
        try:
            files = json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()
            complete = all((folder / file).is_file() for file in files)
        except (AttributeError, KeyError, TypeError, ValueError):
            complete = False
        if not complete:
            damaged.append(path)
    return damaged


__all__ = ["TRAINING_BUFFERS", "CompleteLoadingMixin"]
