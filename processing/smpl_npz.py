"""Motion files of SMPL, SMPL-H and SMPL-X as AMASS and the add-ons of Blender have them."""

from io import BytesIO
from typing import Any

import numpy as np
import roma
import torch

from .body_model import BodyModel
from .edited_poses import NUM_FACE, PART_KEYS, Original, as_array
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
    original: Original | None = None,
) -> bytes:
    """The content of a motion file: `poses`, `trans`, `betas`, `gender`, the frame rate in both spellings and `frame`.

    Without an original, hands are flat, the face is at rest, and `trans` places the body's lowest point on the floor.

    Args:
        model: "smpl", "smplh" or "smplx".
        rotmats: (frames, 22, 3, 3) in the stored z-up frame.
        body: The body that stands on the floor.
        heights: (frames,) meters by which the pelvis is above that of the first frame.
        fps: Frames per second.
        betas: (n,) shape coefficients. Default: zeros, the mean shape.
        frame: Frame of `poses` and `trans`.
        original: What the poses were edited from: its hands, face, shape, translation and other entries are kept.

    Raises:
        ValueError: Hands, face or another entry of the original in a form that is not known.
    """
    count = len(rotmats)
    poses = np.zeros((count, MODEL_JOINTS[model], 3), dtype=np.float32)
    poses[:, :NUM_JOINTS] = roma.rotmat_to_rotvec(to_frame(rotmats, frame)).cpu().numpy()
    if original is not None:
        fingers, hands = original.other_joints()
        poses[:, NUM_JOINTS:] = {"smpl": hands, "smplh": fingers[NUM_FACE:], "smplx": fingers}[model]
    rises = heights.cpu().numpy()[:, None] * np.array(UP[frame])
    floor = -lowest_points(rotmats[:1], body).cpu().numpy() * np.array(UP[frame])
    arrays: dict[str, Any] = {
        "poses": poses.reshape(count, -1),
        "trans": (rises + floor - body.rest_pelvis().cpu().numpy()).astype(np.float32),
        "betas": np.zeros(NUM_BETAS[model], dtype=np.float32),
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
    if original is not None:
        arrays |= kept_arrays(arrays, rises, original)
    if betas is not None:
        arrays["betas"] = betas
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def kept_arrays(arrays: dict[str, Any], rises: np.ndarray, original: Original) -> dict[str, np.ndarray]:
    """The entries of an original, in the file's own shapes where it has them.

    Args:
        arrays: Arrays of the file.
        rises: (frames, 3) by which the pelvis is above that of the first frame.
        original: What the poses were edited from.

    Raises:
        ValueError: A translation or a shape of another form.
    """
    entries = {
        {"transl": "trans"}.get(key, key): as_array(value, key)
        for key, value in original.entries().items()
        if key not in PART_KEYS
    }
    kept = {key: value for key, value in entries.items() if key not in arrays}
    if "trans" in entries:
        if entries["trans"].size != 3:
            raise ValueError(f"like, 'trans': it has the shape {entries['trans'].shape}; expected (3,)")
        kept["trans"] = (entries["trans"].reshape(1, 3) + rises).astype(entries["trans"].dtype)
    if "betas" in entries:
        kept["betas"] = entries["betas"].reshape(-1)
    if "gender" in entries:
        kept["gender"] = entries["gender"]
    if entries.get("dmpls", np.zeros(0)).size == NUM_DMPLS and "dmpls" in arrays:
        kept["dmpls"] = np.repeat(entries["dmpls"].reshape(1, -1), len(rises), axis=0)
    return kept
