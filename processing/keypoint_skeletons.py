"""The keypoints of tools that give joint positions, and where they are on the built-in body at rest."""

from typing import NamedTuple

from .pose_frames import JOINT_NAMES, Frame
from .rest_joints import REST_JOINTS


class KeypointSkeleton(NamedTuple):
    """A tool's keypoints.

    Args:
        names: Of the keypoints in their order; None where the fit has no use for one. Several with one name are
            averaged.
        frame: The frame in which the tool gives them; None: it depends.
    """

    names: tuple[str | None, ...]
    frame: Frame | None = None


def _sides(*parts: str | None, first: str = "left") -> tuple[str | None, ...]:
    """Both sides of each part, one after the other."""
    order = (first, "right" if first == "left" else "left")
    return tuple(f"{side}_{part}" if part else None for part in parts for side in order)


def _limb(side: str, *parts: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for part in parts)


_ARM, _LEG = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")
_COCO = ("nose", None, None, "left_ear", "right_ear", *_sides(*_ARM, *_LEG))
_OPENPOSE_ARMS = ("nose", "mid_shoulder", *_limb("right", *_ARM), *_limb("left", *_ARM))

SKELETONS: dict[str, KeypointSkeleton] = {
    "smpl": KeypointSkeleton((*JOINT_NAMES, "left_hand", "right_hand")),
    # x to the right of the image, y down, z away from the camera.
    "mediapipe": KeypointSkeleton(
        (
            *("nose", *(None,) * 6, "left_ear", "right_ear", None, None),
            *_sides(*_ARM),
            *(None,) * 6,
            *_sides(*_LEG, "heel", "toe"),
        ),
        "camera",
    ),
    "coco": KeypointSkeleton(_COCO),
    "openpose_25": KeypointSkeleton(
        (
            *_OPENPOSE_ARMS,
            "mid_hip",
            *(*_limb("right", *_LEG), *_limb("left", *_LEG)),
            *(None, None, "right_ear", "left_ear"),
            *("left_toe", "left_toe", "left_heel", "right_toe", "right_toe", "right_heel"),
        )
    ),
    "openpose_18": KeypointSkeleton(
        (*_OPENPOSE_ARMS, *_limb("right", *_LEG), *_limb("left", *_LEG), None, None, "right_ear", "left_ear")
    ),
    # MotionBERT gives them in the camera's axes.
    "h36m": KeypointSkeleton(
        (
            *("mid_hip", *_limb("right", *_LEG), *_limb("left", *_LEG), "mid_spine", "mid_shoulder", None, "head_top"),
            *(*_limb("left", *_ARM), *_limb("right", *_ARM)),
        ),
        "camera",
    ),
}


def _middle(first: str, second: str) -> tuple[float, ...]:
    pair = [REST_JOINTS[JOINT_NAMES.index(name)] for name in (first, second)]
    return tuple((one + other) / 2 for one, other in zip(*pair))


def _beside(joint: str, *offset: float) -> tuple[float, ...]:
    return tuple(place + step for place, step in zip(REST_JOINTS[JOINT_NAMES.index(joint)], offset))


# Meters on the built-in body in T-pose: its joints, and points of its surface.
REST_POINTS: dict[str, tuple[float, ...]] = {
    **dict(zip(JOINT_NAMES, REST_JOINTS)),
    "left_hand": _beside("left_wrist", 0.1, 0.0, 0.0),
    "right_hand": _beside("right_wrist", -0.1, 0.0, 0.0),
    "mid_hip": _middle("left_hip", "right_hip"),
    "mid_shoulder": _middle("left_shoulder", "right_shoulder"),
    "mid_spine": _middle("spine1", "spine3"),
    "nose": _beside("head", 0.0, 0.0, 0.12),
    "head_top": _beside("head", 0.0, 0.14, 0.02),
    "left_ear": _beside("head", 0.08, 0.03, -0.01),
    "right_ear": _beside("head", -0.08, 0.03, -0.01),
    **{f"{side}_heel": _beside(f"{side}_ankle", 0.0, -0.06, -0.05) for side in ("left", "right")},
    **{f"{side}_toe": _beside(f"{side}_ankle", 0.0, -0.06, 0.2) for side in ("left", "right")},
}
REST_POINTS["mid_ear"] = tuple(
    (one + other) / 2 for one, other in zip(REST_POINTS["left_ear"], REST_POINTS["right_ear"])
)
# The middle of two keypoints, for tools that do not give it.
MIDDLES = {
    "mid_hip": ("left_hip", "right_hip"),
    "mid_shoulder": ("left_shoulder", "right_shoulder"),
    "mid_ear": ("left_ear", "right_ear"),
}
# Without these there is no trunk to begin with.
REQUIRED_POINTS = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")

# By joint: the pairs of points that turn with it, and the weight of their direction.
SEGMENTS: dict[str, tuple[tuple[str, str, float], ...]] = {
    "pelvis": (("right_hip", "left_hip", 2.0),),
    "spine1": (("spine1", "spine2", 1.0),),
    "spine2": (("spine2", "spine3", 1.0),),
    "spine3": (("right_shoulder", "left_shoulder", 1.0), ("spine3", "neck", 2.0)),
    "neck": (("neck", "head", 1.0),),
    "head": (("right_ear", "left_ear", 1.0), ("mid_ear", "nose", 1.0)),
}
for _side in ("left", "right"):
    SEGMENTS |= {
        f"{_side}_collar": ((f"{_side}_collar", f"{_side}_shoulder", 1.0),),
        f"{_side}_shoulder": ((f"{_side}_shoulder", f"{_side}_elbow", 1.0),),
        f"{_side}_elbow": ((f"{_side}_elbow", f"{_side}_wrist", 1.0),),
        f"{_side}_wrist": ((f"{_side}_wrist", f"{_side}_hand", 1.0),),
        f"{_side}_hip": ((f"{_side}_hip", f"{_side}_knee", 1.0),),
        f"{_side}_knee": ((f"{_side}_knee", f"{_side}_ankle", 1.0),),
        f"{_side}_ankle": ((f"{_side}_heel", f"{_side}_toe", 1.0), (f"{_side}_ankle", f"{_side}_foot", 1.0)),
    }
