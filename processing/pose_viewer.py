"""Poses in an interactive 3D view: pages and notebook cells that hold all they need, without a server.

The script is built from `viewer/` by `npm ci && npm run build`; docs/viewer.md describes its options and methods.
"""

import base64
import html
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
import roma
import torch

from .body_model import Betas, Body, to_body_model
from .joint_limits import viewer_limits
from .pose_checks import to_values
from .pose_features import pose_to_rotmats
from .pose_frames import NUM_JOINTS, Frame, to_z_up
from .skinned_glb import encode_glb, joint_quaternions


HEIGHT = 480
# Decimals of quaternions in pages: no joint moves by more than a few micrometers.
DECIMALS = 7
NORM_TOLERANCE = 1e-2

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>html, body {{ margin: 0; height: 100%; }} #view {{ height: 100%; }}</style>
</head>
<body>
<main id="view"></main>
<script>{script}</script>
<script>UniPoseViewer.create(document.getElementById("view"), {options});</script>
</body>
</html>
"""


def pose_to_quaternions(rotmats: Any) -> list[list[float]]:
    """A pose as the viewer takes it.

    Args:
        rotmats: (22, 3, 3) in the stored z-up frame.

    Returns:
        22 unit quaternions x, y, z, w in the y-up world, relative to the parents.

    Raises:
        ValueError: What is not a pose.
    """
    checked = pose_to_rotmats(rotmats, "rotmats", "z_up")
    return joint_quaternions(checked[None])[0].astype(np.float64).round(DECIMALS).tolist()


def quaternions_to_pose(quaternions: Any) -> torch.Tensor:
    """A pose of the viewer as rotation matrices.

    Args:
        quaternions: (22, 4) x, y, z, w in the y-up world, relative to the parents.

    Returns:
        (22, 3, 3) float32 in the stored z-up frame.

    Raises:
        ValueError: A wrong shape, a NaN or an infinity, or a quaternion whose norm is not 1 within 1e-2.
    """
    values = to_values(quaternions, "quaternions")
    if tuple(values.shape) != (NUM_JOINTS, 4):
        raise ValueError(f"quaternions have the shape {tuple(values.shape)}; expected ({NUM_JOINTS}, 4)")
    norms = values.norm(dim=1)
    if not (norms - 1).abs().le(NORM_TOLERANCE).all():
        worst = int((norms - 1).abs().nan_to_num(torch.inf).argmax())
        raise ValueError(f"quaternion {worst} has the norm {norms[worst]:.3g}; expected 1")
    return to_z_up(roma.unitquat_to_rotmat(values.double() / norms[:, None].double())).float()


def viewer_script() -> str:
    """The script that defines `UniPoseViewer`; it may stand in a `<script>` element."""
    return resources.files(__package__).joinpath("assets", "viewer.js").read_text(encoding="utf-8")


def viewer_rig(body: Body | None = None, betas: Betas | None = None) -> str:
    """The skinned body that the viewer poses, as a GLB file in base64.

    Args:
        body: The body, or the path of an SMPL, SMPL-H or SMPL-X file. Default: the built-in one.
        betas: (n,) shape coefficients of `body`.
    """
    rest = to_z_up(torch.eye(3).repeat(1, NUM_JOINTS, 1, 1))
    content = encode_glb(rest, to_body_model(body, betas), torch.zeros(1), fps=1.0)
    return base64.b64encode(content).decode("ascii")


def viewer_options(
    poses: Sequence[Any],
    captions: Sequence[str] = (),
    labels: Sequence[str] = (),
    body: Body | None = None,
    betas: Betas | None = None,
    editable: bool = True,
    frame: Frame | None = None,
) -> dict[str, Any]:
    """The options of `UniPoseViewer.create`, which JSON can hold.

    Args:
        poses: One pose or several, each in a form that `pose_to_rotmats` takes.
        captions: Descriptions of the poses, also for people who do not see them.
        labels: Names of the poses, such as "before" and "after".
        body: The body, as in `viewer_rig`.
        betas: (n,) shape coefficients of `body`.
        editable: Whether joints can be turned by hand, within their limits.
        frame: Frame of `poses`. Default: what a file or dict says, otherwise "z_up".

    Raises:
        ValueError: There is no pose, what is not a pose, or more captions or labels than poses.
    """
    checked = [pose_to_rotmats(pose, f"pose {number}", frame) for number, pose in enumerate(poses, 1)]
    if not checked:
        raise ValueError("poses is empty; expected one pose or several")
    for name, texts in (("captions", captions), ("labels", labels)):
        if isinstance(texts, str) or len(texts) > len(checked):
            raise ValueError(
                f"{name} is {texts!r}; expected a list of at most {len(checked)} texts, one for each pose"
            )
    return {
        "rig": viewer_rig(body, betas),
        "poses": [pose_to_quaternions(pose) for pose in checked],
        "captions": list(captions),
        "labels": list(labels),
        "editable": editable,
        "limits": viewer_limits(),
    }


def viewer_html(
    poses: Sequence[Any],
    captions: Sequence[str] = (),
    labels: Sequence[str] = (),
    body: Body | None = None,
    betas: Betas | None = None,
    editable: bool = True,
    frame: Frame | None = None,
) -> str:
    """A page that shows poses side by side; it loads nothing else.

    Args:
        poses: As in `viewer_options`.
        captions: As in `viewer_options`.
        labels: As in `viewer_options`.
        body: As in `viewer_rig`.
        betas: As in `viewer_rig`.
        editable: As in `viewer_options`.
        frame: As in `viewer_options`.

    Raises:
        ValueError: As `viewer_options`.
    """
    options = viewer_options(poses, captions, labels, body, betas, editable, frame)
    # A caption must not end the script.
    text = json.dumps(options).replace("<", "\\u003c")
    title = html.escape(" / ".join(filter(None, captions)) or "UniPose")
    return PAGE.format(title=title, script=viewer_script(), options=text)


class PoseView:
    """Poses in a 3D view; a notebook shows it where it is the value of a cell.

    Args:
        page: A page of `viewer_html`.
        height: Height of the cell in pixels.
    """

    def __init__(self, page: str, height: int = HEIGHT):
        self.page = page
        self.height = height

    def _repr_html_(self) -> str:
        frame = f'style="width: 100%; height: {self.height}px; border: 0" title="3D view of poses"'
        return f'<iframe srcdoc="{html.escape(self.page)}" {frame}></iframe>'


def show(
    poses: Any,
    captions: Sequence[str] | str = (),
    labels: Sequence[str] = (),
    body: Body | None = None,
    betas: Betas | None = None,
    editable: bool = True,
    frame: Frame | None = None,
    height: int = HEIGHT,
) -> PoseView:
    """Poses in a 3D view of a notebook, side by side.

    Args:
        poses: (22, 3, 3) one pose, or several, such as the `poses` of an answer.
        captions: Descriptions of the poses; a text describes a single one.
        labels: Names of the poses, such as "before" and "after".
        body: The body, or the path of an SMPL, SMPL-H or SMPL-X file. Default: the built-in one.
        betas: (n,) shape coefficients of `body`.
        editable: Whether joints can be turned by hand, within their limits.
        frame: As in `viewer_options`.
        height: Height of the cell in pixels.

    Raises:
        ValueError: There is no pose, what is not a pose, or more captions or labels than poses.
    """
    several = poses if isinstance(poses, (list, tuple)) or np.ndim(poses) == 4 else [poses]
    texts = [captions] if isinstance(captions, str) else captions
    return PoseView(viewer_html(several, texts, labels, body, betas, editable, frame), height)
