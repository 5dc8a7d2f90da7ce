"""What tests of the `unipose` command share: standard input, and answers as JSON."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from unipose.processing.pose_features import pose_to_rotmats


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def assert_same_answer(one: dict, other: dict) -> None:
    assert one["text"] == other["text"]
    assert len(one["poses"]) == len(other["poses"])
    for pose, twin in zip(one["poses"], other["poses"]):
        np.testing.assert_allclose(pose_to_rotmats(pose), pose_to_rotmats(twin), atol=1e-3)
