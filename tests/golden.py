"""Outputs recorded from the original release, which lie beside the repository on the developers' machines only."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file


GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "original"

skip_without_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no outputs of the original in {GOLDEN}")


def load(name: str) -> dict[str, torch.Tensor]:
    """The tensors of `GOLDEN / {name}.safetensors`."""
    return load_file(GOLDEN / f"{name}.safetensors")
