"""What tests of several files share: the body, small saved models and corpora. No test may change them."""

import os
from pathlib import Path


# Before the imports below: the Hub's library reads it once.
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from fake_endpoint import KEY
from golden import load
from stage_corpus import write_tiny_corpus
from tiny_checkpoint import save_tiny_checkpoint

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
