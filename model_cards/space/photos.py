"""Photos and the webcam: landmarks are found in the visitor's browser, and poses alone come here."""

from pathlib import Path
from typing import Any

import gradio as gr
import torch
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from unipose.processing.pose_viewer import quaternions_to_pose


# Written by `unipose get-mediapipe` before the Space is published.
MEDIAPIPE = Path(__file__).with_name("mediapipe")
ROUTE = "mediapipe"
NOT_HERE = (
    "Photos of real people need a second model, which runs in your browser. This Space was built without its files. "
    "The model itself knows rendered people only."
)
NOTE = (
    "MediaPipe finds landmarks in your browser, and a fit makes a pose of them. **Your image stays on your device.** "
    "Joints are about 95 mm off in front views of rendered people, and 135 mm in views of backs. This is not the "
    "model's own estimate: for that, add an image to a message. The embedded model knows rendered people only."
)
SOURCES = {"photo": "a photo", "webcam": "the webcam"}
HTML = """
<p class="row">
  <button type="button" data-part="choose">Choose a photo</button>
  <input type="file" accept="image/*" data-part="file" hidden>
  <button type="button" data-part="start">Start the webcam</button>
  <button type="button" data-part="take" hidden>Take this pose</button>
  <button type="button" data-part="stop" hidden>Stop</button>
</p>
<video data-part="video" aria-label="Your webcam" hidden></video>
<p role="status" data-part="status"></p>
"""
# People expect a mirror.
CSS = """
.row { display: flex; flex-wrap: wrap; gap: 8px; }
button { padding: 6px 12px; border: 1px solid currentColor; border-radius: 8px; }
button:disabled { opacity: 0.4; }
video { width: 100%; max-height: 240px; margin-top: 8px; transform: scaleX(-1); }
[hidden] { display: none; }
"""


class PhotoPicker(gr.HTML):
    """Buttons for a photo and the webcam; the event `submit` brings a pose."""

    def __init__(self, **options: Any):
        script = Path(__file__).with_name("photos.js").read_text(encoding="utf-8")
        super().__init__(html_template=HTML, css_template=CSS, js_on_load=script, folder=f"{ROUTE}/", **options)


def photo_routes(folder: Path) -> list[BaseRoute]:
    """The address of MediaPipe's files on the Space, if they are there.

    Args:
        folder: Where `unipose get-mediapipe` wrote them.
    """
    return [Mount(f"/{ROUTE}", StaticFiles(directory=folder))] if folder.is_dir() else []


def build_photos(folder: Path) -> PhotoPicker | None:
    """Adds what there is for photos to the page.

    Args:
        folder: Where `unipose get-mediapipe` wrote MediaPipe's files.

    Returns:
        The buttons; None without the files.
    """
    with gr.Accordion("Photo or webcam", open=False, elem_id="photos"):
        here = folder.is_dir()
        gr.Markdown(NOTE if here else NOT_HERE, elem_id="photos-note")
        return PhotoPicker(elem_id="photo-picker") if here else None


def read_photo(data: Any) -> tuple[torch.Tensor, str]:
    """The event of a visitor's browser, which may send anything.

    Args:
        data: The event's data.

    Returns:
        (22, 3, 3) rotation matrices, z up, and what the conversation says about where they come from.

    Raises:
        ValueError: It has another form.
    """
    if not isinstance(data, dict) or data.get("source") not in tuple(SOURCES):
        raise ValueError("the page sent a pose that is not known here; reload it")
    origin = (
        f"Pose of {SOURCES[data['source']]}, found by landmarks in your browser "
        "(front views: joints are about 95 mm off; not the model's own estimate)."
    )
    return quaternions_to_pose(data.get("pose")), origin
