"""Outputs of the authors' code, recorded at tiny sizes with random weights: read from the shared folder beside the
repository, or, for the few that a clone carries, from `tests/golden_original`."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file


SHARED = Path(__file__).parents[2] / "shared" / "golden" / "original"
CARRIED = Path(__file__).parent / "golden_original"


def find(name: str) -> Path:
    """A recorded file or folder; a test that needs one that is not here is skipped."""
    for folder in (SHARED, CARRIED):
        if (folder / name).exists():
            return folder / name
    pytest.skip(f"the recording {name} is only in shared/golden/original, which is not beside this clone")


def load(name: str) -> dict[str, torch.Tensor]:
    """The arrays of `name`.safetensors."""
    return load_file(find(f"{name}.safetensors"))


def load_json(name: str) -> Any:
    return json.loads(find(f"{name}.json").read_text(encoding="utf-8"))
