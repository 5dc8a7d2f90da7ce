"""The Space as its tests start it: on loopback, with small limits for uploads."""

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


UPLOAD_BYTES = 400_000


def need(name: str) -> None:
    """Skips where a package of the extra `space` is missing; CI must have it."""
    if not os.environ.get("CI"):
        pytest.importorskip(name, reason="needs the extra `space`")
    importlib.import_module(name)


def need_chromium() -> str:
    """The path of the browser; skips where it is missing, CI must have it."""
    need("playwright")
    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("CI"):
            raise FileNotFoundError("the tests in a browser need chromium")
        pytest.skip("needs chromium")
    return path


def module(name: str) -> Any:
    """A module of the Space."""
    need("gradio")
    return importlib.import_module(name)


@contextmanager
def running_space(mediapipe: Path | None = None) -> Iterator[str]:
    """Starts the Space; gives its address.

    Args:
        mediapipe: Folder of the files that find people in photos; None: as the Space has them.
    """
    app, limits = module("app"), module("limits")
    folder = mediapipe or module("photos").MEDIAPIPE
    blocks, options = app.build_app(limits=limits.Limits(upload_bytes=UPLOAD_BYTES), mediapipe=folder)
    _, url, _ = blocks.launch(
        **options, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", inbrowser=False, share=False
    )
    try:
        yield url.rstrip("/")
    finally:
        blocks.close(verbose=False)
