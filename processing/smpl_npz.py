"""Motion files of SMPL, SMPL-H and SMPL-X as AMASS and the add-ons of Blender have them."""

from io import BytesIO
from typing import Any

import numpy as np
import roma
import torch

from .body_model import BodyModel
from .pose_frames import NUM_JOINTS, Frame, to_frame
from .pose_motion import lowest_points


# Joints of each model and the coefficients of its shape that AMASS stores.
MODEL_JOINTS = {"smpl": 24, "smplh": 52, "smplx": 55}
NUM_BETAS = {"smpl": 10, "smplh": 16, "smplx": 16}
NUM_DMPLS = 8
# SMPL-X's parts of `poses`: first and end joint.
SMPLX_PARTS = {
    "root_orient": (0, 1),
    "pose_body": (1, 22),
    "pose_jaw": (22, 23),
    "pose_eye": (23, 25),
    "pose_hand": (25, 55),
}
UP: dict[Frame, tuple[float, float, float]] = {"z_up": (0, 0, 1), "y_up": (0, 1, 0), "camera": (0, -1, 0)}


def encode_smpl(
    model: str,
    rotmats: torch.Tensor,
    body: BodyModel,
    heights: torch.Tensor,
    fps: float,
    betas: np.ndarray | None = None,
    frame: Frame = "z_up",
) -> bytes:
    """The content of a motion file: `poses`, `trans`, `betas`, `gender`, the frame rate in both spellings and `frame`.

    Hands are flat and the face is at rest. `trans` places the body's lowest point on the floor through the origin.

    Args:
        model: "smpl", "smplh" or "smplx".
        rotmats: (frames, 22, 3, 3) in the stored z-up frame.
        body: The body that stands on the floor.
        heights: (frames,) meters by which the pelvis is above that of the first frame.
        fps: Frames per second.
        betas: (n,) shape coefficients. Default: zeros, the mean shape.
        frame: Frame of `poses` and `trans`.
    """
    count = len(rotmats)
    poses = np.zeros((count, MODEL_JOINTS[model], 3), dtype=np.float32)
    poses[:, :NUM_JOINTS] = roma.rotmat_to_rotvec(to_frame(rotmats, frame)).cpu().numpy()
    pelvis = (heights.cpu() - lowest_points(rotmats[:1], body).cpu()).numpy()[:, None] * np.array(UP[frame])
    arrays: dict[str, Any] = {
        "poses": poses.reshape(count, -1),
        "trans": (pelvis - body.rest_pelvis().cpu().numpy()).astype(np.float32),
        "betas": np.zeros(NUM_BETAS[model], dtype=np.float32) if betas is None else betas,
        "gender": np.array("neutral"),
        "mocap_framerate": np.array(fps),
        "mocap_frame_rate": np.array(fps),
        "frame": np.array(frame),
    }
    if model == "smplh":
        arrays["dmpls"] = np.zeros((count, NUM_DMPLS), dtype=np.float32)
    if model == "smplx":
        arrays["surface_model_type"] = np.array(model)
        arrays |= {key: poses[:, first:end].reshape(count, -1) for key, (first, end) in SMPLX_PARTS.items()}
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
