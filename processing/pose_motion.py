"""Motion through several poses: the frames between them, and the height of the pelvis in each."""

import math

import roma
import torch

from .body_model import BodyModel


FPS = 30.0
SECONDS = 1.0
# Clips of 10 minutes at 60 frames a second; each frame poses a whole body.
MAX_FRAMES = 36_000


def interpolate_poses(rotmats: torch.Tensor, fps: float = FPS, seconds: float = SECONDS) -> torch.Tensor:
    """Frames of a motion through poses: each joint rotates at constant speed, on the shortest way.

    Args:
        rotmats: (n, 22, 3, 3).
        fps: Frames per second.
        seconds: Time from one pose to the next, rounded to whole frames.

    Returns:
        (frames, 22, 3, 3): the first is the first pose, the last is the last pose.

    Raises:
        ValueError: A rate or a time that is not positive, no whole frame between two poses, or too many frames.
    """
    for name, value in (("fps", fps), ("seconds", seconds)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} is {value}; expected a number above 0")
    between = round(fps * seconds)
    frames = between * (len(rotmats) - 1) + 1
    if between < 1 or frames > MAX_FRAMES:
        raise ValueError(
            f"{len(rotmats)} poses, {seconds} seconds apart, at {fps} frames a second are {frames} frames; expected "
            f"at least 1 from pose to pose and at most {MAX_FRAMES} in all"
        )
    # The last step of each pair is the first of the next one.
    steps = torch.arange(between, dtype=torch.float64) / between
    pairs = roma.rotmat_slerp(rotmats[:-1].double(), rotmats[1:].double(), steps)
    return torch.cat([pairs.transpose(0, 1).flatten(0, 1).to(rotmats), rotmats[-1:]])


def lowest_points(rotmats: torch.Tensor, body: BodyModel, chunk: int = 64) -> torch.Tensor:
    """Height of the lowest vertex of posed bodies, in meters above the pelvis of the rest pose: negative as a rule.

    Args:
        rotmats: (n, 22, 3, 3) in the stored z-up frame.
        body: The body to pose.
        chunk: Bodies that are posed at a time.

    Returns:
        (n,).
    """
    with torch.no_grad():
        parts = [body(part).vertices[..., 1].amin(dim=1) for part in rotmats.to(body.v_template).split(chunk)]
    return torch.cat(parts)
