"""Poses and answers as JSON, and poses on the screen."""

import os
import sys
import tempfile
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .processing.body_model import Betas, BodyModel
from .processing.pose_frames import Frame
from .processing.pose_io import pose_arrays, write_atomically
from .processing.pose_viewer import viewer_html


# A millionth of a radian moves no joint by more than a few micrometers.
DECIMALS = 6


def pose_record(rotmats: Any, frame: Frame) -> dict[str, Any]:
    """A pose as JSON: `global_orient` (3,) and `body_pose` (63,), axis-angle in radians, and `frame`.

    Args:
        rotmats: (22, 3, 3) in the stored z-up frame.
        frame: Frame of the result.
    """
    arrays = pose_arrays(torch.as_tensor(rotmats), frame)
    numbers = {
        name: [round(value, DECIMALS) for value in arrays[name].tolist()] for name in ("global_orient", "body_pose")
    }
    return numbers | {"frame": frame}


def answer_record(answer: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
    """An answer of the pipeline as JSON.

    Args:
        answer: Text, poses in the stored z-up frame, and confidence.
        frame: Frame of the result.
    """
    poses = [pose_record(pose, frame) for pose in answer["poses"]]
    return {"text": answer["text"], "poses": poses, "confidence": round(answer["confidence"], 4)}


def show_poses(poses: Sequence[Any], body: BodyModel | None, betas: Betas | None = None) -> None:
    """Opens a page with a 3D view of all poses, and prints its path where no browser opens.

    Args:
        poses: (22, 3, 3) each, in the stored z-up frame.
        body: The body to pose; None: the built-in one.
        betas: (n,) its shape coefficients; None: the mean shape.

    Raises:
        ValueError: There is no pose, or there are betas without an SMPL body.
    """
    if not poses:
        raise ValueError("--show: neither the answer nor the inputs have a pose")
    page = viewer_html(poses, body=body, betas=betas, frame="z_up")
    path = Path(tempfile.mkdtemp(prefix="unipose-")) / "pose.html"
    write_atomically(path, page.encode())
    if not (has_screen() and webbrowser.open(path.as_uri())):
        print(path)


def has_screen() -> bool:
    """Whether a window can be opened."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
