"""Starts the Space: `python app.py`. UNIPOSE_MODEL names another model, a folder or a Hub id."""

import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr
from answering import load_assistant
from limits import Limits
from page import CSS, Page
from photos import MEDIAPIPE, photo_routes


def build_app(
    model: str | None = None, limits: Limits | None = None, mediapipe: Path = MEDIAPIPE
) -> tuple[gr.Blocks, dict[str, Any]]:
    """The page, and the arguments of its `launch`.

    Args:
        model: Folder or Hub id of a model; None or "": the embedded one.
        limits: Limits of the Space.
        mediapipe: Folder of the files that find people in photos; it may be missing.
    """
    limits = limits or Limits()
    page = Page(*load_assistant(model, limits), mediapipe)
    page.blocks.queue(max_size=limits.queue_size, default_concurrency_limit=1)
    return page.blocks, {
        "css": CSS,
        "app_kwargs": {"routes": photo_routes(mediapipe)},
        "theme": gr.themes.Soft(),
        "max_file_size": limits.upload_bytes,
        "state_session_capacity": limits.sessions,
        "mcp_server": find_spec("mcp") is not None,
        "footer_links": ["api"],
        "run_history": False,
        "ssr_mode": False,
        "enable_monitoring": False,
    }


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    app, options = build_app(os.environ.get("UNIPOSE_MODEL"))
    app.launch(**options)
