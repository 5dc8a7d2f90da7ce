"""What tests of several files share: the body, small saved models and corpora. No test may change them."""

import os
import sys
from collections.abc import Callable
from pathlib import Path


# Before the imports below: the Hub's library reads it once.
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch
from fake_endpoint import KEY
from golden import load
from PIL import Image
from stage_corpus import write_tiny_corpus
from tiny_checkpoint import save_tiny_checkpoint

from unipose.cli import main
from unipose.processing.body_model import BodyModel
from unipose.tasks_unipose import TASKS


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return BodyModel.builtin()


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model of all parts, its processor and its code."""
    folder = tmp_path_factory.mktemp("tiny_checkpoint")
    save_tiny_checkpoint(folder)
    return folder


@pytest.fixture(scope="session")
def text_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without vision encoders."""
    folder = tmp_path_factory.mktemp("text_checkpoint")
    save_tiny_checkpoint(folder, vision=False)
    return folder


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five rows of each task in each of the splits train and validation."""
    folder = tmp_path_factory.mktemp("tiny_corpus")
    write_tiny_corpus(folder, TASKS, images=True)
    return folder


@pytest.fixture(scope="session")
def text_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five rows of each task that needs no images, in each of the splits train and validation."""
    folder = tmp_path_factory.mktemp("text_corpus")
    write_tiny_corpus(folder, TASKS)
    return folder


@pytest.fixture(scope="session")
def recorded_metrics() -> dict[str, torch.Tensor]:
    """Inputs and results of the authors' metrics and retrieval model."""
    return load("metrics")


@pytest.fixture
def endpoint_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of `fake_endpoint`, in the environment variable that clients read."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def command_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the `unipose` command runs: a random model, a pose and an image."""
    path = tmp_path_factory.mktemp("command")
    save_tiny_checkpoint(path / "model")
    np.save(path / "squat.npy", np.zeros((22, 3), dtype=np.float32))
    Image.new("RGB", (40, 50), "red").save(path / "image.png")
    return path


@pytest.fixture
def run_command(
    command_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in its folder, where there is no screen -> (status, stdout, stderr)."""
    monkeypatch.chdir(command_folder)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")

    def call(*words: str) -> tuple[int, str, str]:
        status = main([*words, "--model", "model"])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call
