"""The 3D viewer as a component of the page."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
import torch

from unipose.processing.joint_limits import viewer_limits
from unipose.processing.pose_frames import JOINT_NAMES
from unipose.processing.pose_viewer import pose_to_quaternions, quaternions_to_pose, viewer_rig, viewer_script


HTML = '<div class="stage"></div>'
CSS = ".stage { height: 100%; }"
# The page gets the script and the rig once, in its head; a value is 2 kB a pose. An answer that comes after the
# visitor has turned a joint again is not shown: the next one is on its way.
ON_LOAD = """
const {rig, limits} = window.uniPoseBody;
let viewer = null;
let edits = 0;
const show = () => {
  const scene = props.value;
  if (!scene || scene.edit < edits) return;
  const {poses, captions, labels} = scene;
  if (viewer) return viewer.setPoses(poses, {captions, labels});
  const stage = element.querySelector('.stage');
  viewer = window.UniPoseViewer.create(stage, {rig, limits, poses, captions, labels, editable: true});
  viewer.onEdit((pose, index, joint) => trigger('edit', {pose, joint, edit: ++edits}));
};
watch('value', show);
show();
"""


@dataclass(frozen=True, eq=False)
class Scene:
    """What the viewer shows.

    Args:
        poses: (22, 3, 3) poses side by side, z up.
        captions: Words of each, also for those who cannot see it.
        labels: Short names, such as "before".
        edit: Number of the edit by hand that this answers.
    """

    poses: Sequence[np.ndarray]
    captions: Sequence[str] = ()
    labels: Sequence[str] = ()
    edit: int | float = float("inf")


class PoseViewer(gr.HTML):
    """The viewer; its event `edit` brings the pose that a visitor turned by hand."""

    def __init__(self, **options: Any):
        body = json.dumps({"rig": viewer_rig(), "limits": viewer_limits()})
        super().__init__(
            html_template=HTML,
            css_template=CSS,
            js_on_load=ON_LOAD,
            head=f"<script>{viewer_script()}</script><script>window.uniPoseBody = {body};</script>",
            **options,
        )

    def preprocess(self, payload: Any) -> None:
        """Nothing: poses come with the event."""
        return None

    def postprocess(self, value: Any) -> Any:
        """A `Scene` as JSON."""
        if value is None:
            return None
        return {
            "poses": [pose_to_quaternions(pose) for pose in value.poses],
            "captions": list(value.captions),
            "labels": list(value.labels),
            "edit": min(value.edit, 2**53),
        }

    def api_info(self) -> dict[str, Any]:
        """Its value is an object."""
        return {"type": "object"}


def read_edit(data: Any) -> tuple[torch.Tensor, str, int]:
    """The event of a visitor's browser, which may send anything.

    Args:
        data: The event's data.

    Returns:
        (22, 3, 3) rotation matrices, z up, the name of the joint, and the number of the edit.

    Raises:
        ValueError: It has another form.
    """
    if not isinstance(data, dict) or data.get("joint") not in JOINT_NAMES or not isinstance(data.get("edit"), int):
        raise ValueError("the page sent an edit that is not known here; reload it")
    return quaternions_to_pose(data.get("pose")), data["joint"], data["edit"]
