"""Joint positions -> rotations, by the directions of the body's segments.

Each joint gets the rotation that best turns its segments at rest into the given ones (Procrustes), with a weak pull
toward the rotation that it has by its parent. Bent elbows and knees give the twist of upper arms and thighs. Positions
do not say the twist of straight limbs and of forearms, the wrists without hands, and how a trunk without keypoints
bends: there the pull decides.
"""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .keypoint_skeletons import MIDDLES, REQUIRED_POINTS, REST_POINTS, SEGMENTS, SKELETONS, KeypointSkeleton
from .pose_checks import to_values
from .pose_frames import JOINT_NAMES, NUM_JOINTS, PARENTS, Frame, check_frame, from_frame
from .rest_joints import REST_JOINTS
from .rotations import nearest_rotation, rotmat_to_rotvec, rotvec_to_rotmat


logger = logging.getLogger(__name__)

# Weights beside the segments' own of about 1.
PULL, HINGE = 0.005, 0.1
# Keypoints below this confidence are unknown.
MIN_CONFIDENCE = 0.3
# Mean error of a pose, in millimeters of a body 1.70 m tall, from which on the user is warned.
LARGE_ERROR = 60.0
# Axis about which the second segment of a limb bends, on the T-posed body.
_HINGES = {"left_elbow": (0.0, -1.0, 0.0), "right_elbow": (0.0, 1.0, 0.0)}
_HINGES |= dict.fromkeys(("left_knee", "right_knee"), (1.0, 0.0, 0.0))
# Arms that are not seen hang.
_HANGING = {"left_shoulder": -1.3, "right_shoulder": 1.3}


class FittedPoses(NamedTuple):
    """Rotations of joint positions.

    Args:
        rotmats: (22, 3, 3) or (n, 22, 3, 3) float32 in the stored z-up frame.
        errors: (keypoints,) or (n, keypoints) distances in millimeters, of a body 1.70 m tall, between the keypoints
            and those of the pose, whose limbs have the given lengths. NaN where a keypoint is unknown or not used.
    """

    rotmats: Tensor
    errors: Tensor


def fit_rotations(
    positions: Any,
    skeleton: str = "mediapipe",
    confidence: Any = None,
    frame: Frame | None = None,
    min_confidence: float = MIN_CONFIDENCE,
) -> FittedPoses:
    """Finds the rotations of joint positions.

    Args:
        positions: (keypoints, 3) or (n, keypoints, 3) in any unit; with a fourth number, its confidence. NaN is an
            unknown keypoint. Hips and shoulders must be known.
        skeleton: The keypoints' order: "mediapipe" (33 world landmarks), "smpl" (22 or 24 joints), "coco" (17),
            "openpose_25", "openpose_18" or "h36m" (17, MotionBERT).
        confidence: (keypoints,) or (n, keypoints) from 0 to 1: the visibility of MediaPipe.
        frame: Frame of the positions. Default: "camera" for mediapipe and h36m, otherwise "z_up".
        min_confidence: Keypoints below it are unknown; arms without keypoints hang, legs are straight.

    Returns:
        The poses and the errors of the keypoints.

    Raises:
        ValueError: An unknown skeleton or frame, a wrong shape, no numbers, or hips or shoulders that are unknown.
    """
    found = find_skeleton(skeleton, "skeleton")
    values, weights = read_keypoints(positions, confidence, found, min_confidence, "positions")
    rotmats, errors = fit_keypoints(values, weights, found, "positions")
    rotmats = from_frame(rotmats, check_frame(frame) if frame is not None else found.frame or "z_up").float()
    single = np.ndim(positions) == 2
    return FittedPoses(rotmats[0], errors[0]) if single else FittedPoses(rotmats, errors)


def find_skeleton(skeleton: Any, name: str) -> KeypointSkeleton:
    """The keypoints of a tool.

    Args:
        skeleton: Its name, a key of `SKELETONS`.
        name: Name of this argument in the error message.

    Raises:
        ValueError: There is no such skeleton.
    """
    if isinstance(skeleton, np.ndarray) and skeleton.ndim == 0:
        skeleton = skeleton.item()
    if not isinstance(skeleton, str) or skeleton not in SKELETONS:
        raise ValueError(f"{name} is {skeleton!r}; accepted: {', '.join(map(repr, SKELETONS))}")
    return SKELETONS[skeleton]


def read_keypoints(
    positions: Any, confidence: Any, skeleton: KeypointSkeleton, min_confidence: float, name: str
) -> tuple[Tensor, Tensor]:
    """Positions in any container and their weights, 0 where they are unknown.

    Args:
        positions: As in `fit_rotations`.
        confidence: As in `fit_rotations`.
        skeleton: The keypoints.
        min_confidence: As in `fit_rotations`.
        name: Name of the positions in error messages.

    Returns:
        (n, keypoints, 3) and (n, keypoints).

    Raises:
        ValueError: A wrong shape or no numbers.
    """
    values = to_values(positions, name)
    counts = (NUM_JOINTS, 24) if skeleton is SKELETONS["smpl"] else (len(skeleton.names),)
    if values.ndim not in (2, 3) or values.shape[-2] not in counts or values.shape[-1] not in (3, 4):
        expected = " or ".join(f"({count}, 3)" for count in counts)
        raise ValueError(
            f"{name}: got the shape {tuple(values.shape)}; the keypoints of this skeleton are {expected}, with a "
            "leading dimension of frames, and with a fourth number for a confidence"
        )
    values = values.reshape(-1, *values.shape[-2:])
    weights = values[..., 3] if values.shape[-1] == 4 else torch.ones_like(values[..., 0])
    if confidence is not None:
        given = to_values(confidence, f"the confidence of {name}")
        if given.numel() != weights.numel():
            raise ValueError(
                f"the confidence of {name} has the shape {tuple(given.shape)}; expected {tuple(weights.shape)}"
            )
        weights = given.reshape(weights.shape)
    values = values[..., :3]
    known = values.isfinite().all(dim=-1) & (weights >= min_confidence)
    return values.nan_to_num(posinf=0.0, neginf=0.0), torch.where(known, weights.clamp(max=1.0), 0.0)


def fit_keypoints(values: Tensor, weights: Tensor, skeleton: KeypointSkeleton, name: str) -> tuple[Tensor, Tensor]:
    """The poses of keypoints in the frame of their numbers, and the errors in millimeters.

    Args:
        values: (n, keypoints, 3).
        weights: (n, keypoints), 0 where a keypoint is unknown.
        skeleton: The keypoints.
        name: Name of this input in messages.

    Returns:
        (n, 22, 3, 3) float64 and (n, keypoints).

    Raises:
        ValueError: Hips or shoulders are unknown, or have no distance.
    """
    points = _Points(values, weights, skeleton)
    for point in REQUIRED_POINTS:
        bad = points.weights[point] <= 0
        if bad.any():
            raise ValueError(
                f"{name}: the {point.replace('_', ' ')} of pose {int(bad.double().argmax())} is unknown; expected "
                "both hips and both shoulders"
            )
    for first, second in (("right_hip", "left_hip"), ("right_shoulder", "left_shoulder"), ("mid_hip", "mid_shoulder")):
        if not (points.vector(first, second).norm(dim=-1) > 0).all():
            raise ValueError(f"{name}: {first} and {second} are at one place; expected positions of a body's joints")
    rotations = _world_rotations(points)
    rotmats = torch.stack(
        [own if parent < 0 else rotations[JOINT_NAMES[parent]].mT @ own
         for own, parent in zip(rotations.values(), PARENTS)], dim=1
    )  # fmt: skip
    errors = _errors(points, rotations, skeleton)
    worst = errors.nanmean(dim=1).max()
    if worst > LARGE_ERROR:
        logger.warning(
            f"{name}: the fitted pose is {worst:.0f} mm from the keypoints in the mean: are they those of the stated "
            "skeleton, and of one body?"
        )
    return rotmats, errors


class _Points:
    """Named points of n poses: (n, 3) `places` and (n,) `weights`.

    Args:
        values: (n, keypoints, 3).
        weights: (n, keypoints).
        skeleton: The keypoints.
    """

    def __init__(self, values: Tensor, weights: Tensor, skeleton: KeypointSkeleton):
        self.places: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}
        for point in dict.fromkeys(name for name in skeleton.names[: values.shape[1]] if name):
            columns = [column for column, name in enumerate(skeleton.names) if name == point]
            self._add(point, [(values[:, column], weights[:, column]) for column in columns])
        for point, pair in MIDDLES.items():
            if point not in self.places and all(name in self.places for name in pair):
                self._add(point, [(self.places[name], self.weights[name]) for name in pair])

    def _add(self, point: str, parts: list[tuple[Tensor, Tensor]]) -> None:
        self.places[point] = sum((place for place, _ in parts), torch.zeros(3).double()) / len(parts)
        self.weights[point] = torch.stack([weight for _, weight in parts]).amin(dim=0)

    def vector(self, first: str, second: str) -> Tensor:
        """(n, 3) from one point to another."""
        return self.places[second] - self.places[first]

    def weight(self, first: str, second: str) -> Tensor:
        """(n,) of the vector between two points; 0 where one is unknown."""
        if not {first, second} <= self.places.keys():
            return torch.zeros_like(self.weights["left_hip"])
        return torch.minimum(self.weights[first], self.weights[second])


def _rest_vector(first: str, second: str) -> Tensor:
    return torch.tensor(REST_POINTS[second]).double() - torch.tensor(REST_POINTS[first]).double()


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-9)


def _fit(points: _Points, joint: str, pull: Tensor, extra: Tensor | float = 0.0, strength: float = PULL) -> Tensor:
    """The rotation of a joint: Procrustes on its segments and on `strength` times the rotation `pull`."""
    product = strength * pull + extra
    for first, second, weight in SEGMENTS.get(joint, ()):
        given = points.weight(first, second)
        if given.any():
            product = product + _outer(points.vector(first, second), _rest_vector(first, second), weight * given)
    return nearest_rotation(product)


def _outer(given: Tensor, rest: Tensor, weight: Tensor) -> Tensor:
    """(n, 3, 3) sum of Procrustes for directions that (n, 3) and (3,) vectors have."""
    return weight[:, None, None] * _unit(given)[:, :, None] * _unit(rest)


def _world_rotations(points: _Points) -> dict[str, Tensor]:
    """(n, 3, 3) rotations of the joints in the order of `JOINT_NAMES`."""
    none = torch.zeros(len(points.places["left_hip"]), 3, 3).double()
    # Trunks are given by the nearest points above the hips and below the shoulders that a tool has.
    low = next(name for name in ("spine1", "mid_spine", "mid_shoulder") if name in points.places)
    high = next(name for name in ("spine3", "mid_spine", "mid_hip") if name in points.places)
    start = "pelvis" if "pelvis" in points.places else "mid_hip"
    pelvis = _fit(points, "pelvis", none, _trunk(points, start, low))
    chest = _fit(points, "spine3", none, 0.0 if "neck" in points.places else _trunk(points, high, "mid_shoulder"))
    between = rotmat_to_rotvec(pelvis.mT @ chest)
    spines = [pelvis @ rotvec_to_rotmat(between * share) for share in (1 / 3, 2 / 3)]
    found = {
        "pelvis": pelvis,
        "spine1": _fit(points, "spine1", spines[0]),
        "spine2": _fit(points, "spine2", spines[1]),
    }
    found["spine3"] = chest
    # A head without a face follows the line from the shoulders to its top.
    head = _fit(
        points, "head", chest, _trunk(points, "mid_shoulder", "head_top") if "nose" not in points.places else 0
    )
    if "neck" in points.places:
        found["neck"] = _fit(points, "neck", chest)
        found["head"] = found["neck"]
    else:
        found["neck"] = chest @ rotvec_to_rotmat(rotmat_to_rotvec(chest.mT @ head) / 2)
        found["head"] = head
    for side in ("left", "right"):
        found[f"{side}_collar"] = _fit(points, f"{side}_collar", chest)
        hanging = torch.tensor([0.0, 0.0, _HANGING[f"{side}_shoulder"]]).double()
        arm = found[f"{side}_collar"] @ rotvec_to_rotmat(hanging)
        found |= _fit_limb(points, f"{side}_shoulder", f"{side}_elbow", arm)
        found[f"{side}_wrist"] = _fit(points, f"{side}_wrist", found[f"{side}_elbow"])
        found |= _fit_limb(points, f"{side}_hip", f"{side}_knee", pelvis)
        found[f"{side}_ankle"] = _fit(points, f"{side}_ankle", found[f"{side}_knee"])
        found[f"{side}_foot"] = found[f"{side}_ankle"]
    return {name: found[name] for name in JOINT_NAMES}


def _trunk(points: _Points, first: str, second: str) -> Tensor | float:
    weight = points.weight(first, second)
    return _outer(points.vector(first, second), _rest_vector(first, second), weight) if weight.any() else 0.0


def _fit_limb(points: _Points, upper: str, lower: str, pull: Tensor) -> dict[str, Tensor]:
    """The rotations of the two joints of a limb, whose bend gives the axis of the lower one."""
    (first, second, _), (_, third, _) = SEGMENTS[upper][0], SEGMENTS[lower][0]
    weight = torch.minimum(points.weight(first, second), points.weight(second, third))
    extra: Tensor | float = 0.0
    if weight.any():
        axis = torch.linalg.cross(_unit(points.vector(first, second)), _unit(points.vector(second, third)), dim=-1)
        extra = _outer(axis, torch.tensor(_HINGES[lower]).double(), HINGE * weight * axis.square().sum(dim=-1))
    rotation = _fit(points, upper, pull, extra)
    return {upper: rotation, lower: _fit(points, lower, rotation, extra)}


def _errors(points: _Points, rotations: Mapping[str, Tensor], skeleton: KeypointSkeleton) -> Tensor:
    """(n, keypoints) millimeters between the keypoints and those of a body with the given lengths of limbs."""
    scale, places = _place_points(points, rotations)
    columns = []
    for point in skeleton.names:
        if point in places and point in points.places:
            distances = (places[point] - points.places[point]).norm(dim=-1) / scale * 1000.0
            columns.append(torch.where(points.weights[point] > 0, distances, torch.nan))
        else:
            columns.append(torch.full_like(scale, torch.nan))
    return torch.stack(columns, dim=1).float()


def _place_points(points: _Points, rotations: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """The unit of a meter of the body of 1.70 m, and (n, 3) places of joints by forward kinematics.

    Limbs have the given lengths; the trunk is that of the body, scaled to the given one.
    """
    rest = torch.tensor(REST_JOINTS).double()
    trunk = points.vector("mid_hip", "mid_shoulder").norm(dim=-1) / _rest_vector("mid_hip", "mid_shoulder").norm()
    places = {"pelvis": torch.zeros_like(points.places["left_hip"])}
    lengths, rest_lengths = trunk * 0.45, torch.full_like(trunk, 0.45)
    for joint, parent in enumerate(PARENTS[:NUM_JOINTS]):
        if parent < 0:
            continue
        name, start = JOINT_NAMES[joint], JOINT_NAMES[parent]
        offset = rest[joint] - rest[parent]
        ratio, weight = trunk, points.weight(start, name)
        if weight.any():
            given = points.vector(start, name).norm(dim=-1)
            ratio = torch.where(weight > 0, given / offset.norm(), trunk)
            lengths = lengths + torch.where(weight > 0, given, 0.0)
            rest_lengths = rest_lengths + torch.where(weight > 0, offset.norm(), 0.0)
        places[name] = places[start] + ratio[:, None] * (rotations[start] @ offset)
    shift = points.places["mid_hip"] - (places["left_hip"] + places["right_hip"]) / 2
    return lengths / rest_lengths, {name: place + shift for name, place in places.items()}
