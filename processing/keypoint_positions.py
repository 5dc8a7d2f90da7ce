"""The keypoints that a tool gives for a pose: the inverse of `inverse_kinematics`."""

import torch

from .body_model import forward_kinematics
from .keypoint_skeletons import MIDDLES, REST_POINTS, SKELETONS
from .pose_frames import JOINT_NAMES, Y_UP_TO_Z_UP, to_y_up


# The joint that carries each point of the surface.
_CARRIERS = {"hand": "wrist", "heel": "ankle", "toe": "ankle", "ear": "head", "nose": "head", "head_top": "head"}


def place_keypoints(rotmats: torch.Tensor, joints: torch.Tensor, skeleton: str) -> torch.Tensor:
    """The positions of a tool's keypoints.

    Args:
        rotmats: (n, 22, 3, 3) in the stored z-up frame.
        joints: (22, 3) joints of the body at rest in meters, as `BodyModel.joints[:22]`.
        skeleton: A key of `SKELETONS`.

    Returns:
        (n, keypoints, 3) meters in the z-up frame; NaN for those that `inverse_kinematics` does not use.
    """
    rotations, places = forward_kinematics(to_y_up(rotmats), joints)
    by_name = dict(zip(JOINT_NAMES, places.unbind(1)))
    for point, rest in REST_POINTS.items():
        part = point.removeprefix("left_").removeprefix("right_")
        if part in _CARRIERS and point not in by_name:
            carrier = "head" if _CARRIERS[part] == "head" else point.removesuffix(part) + _CARRIERS[part]
            offset = rotmats.new_tensor(rest) - rotmats.new_tensor(REST_POINTS[carrier])
            by_name[point] = by_name[carrier] + rotations[:, JOINT_NAMES.index(carrier)] @ offset
    for point, pair in {**MIDDLES, "mid_spine": ("spine1", "spine3")}.items():
        by_name[point] = (by_name[pair[0]] + by_name[pair[1]]) / 2
    unused = torch.full_like(places[:, 0], torch.nan)
    points = torch.stack([by_name[name] if name else unused for name in SKELETONS[skeleton].names], dim=1)
    return points @ points.new_tensor(Y_UP_TO_Z_UP).mT
