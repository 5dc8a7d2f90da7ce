"""Motion of any humanoid skeleton on the joints of SMPL.

A skeleton's reference pose, upright with arms at any height, is compared with the T-pose of SMPL. Bones of arms and
legs get the least rotation that aligns both: after it, and so in every frame, their direction is the source's. Trunk,
neck, head, collars and feet are taken as at rest in both, hands as in line with the forearm. A joint's rotation is
that of its bone since the reference pose, after this alignment.

A skeleton of SMPL's own joints that rests in the T-pose, as `save_pose` writes it, needs no alignment: its rotations
are SMPL's, whatever the proportions of its body.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import numpy as np
import torch

from .pose_frames import JOINT_NAMES, NUM_JOINTS, PARENTS, to_z_up
from .rest_joints import REST_JOINTS
from .rotations import rotmat_to_rotvec, rotvec_to_rotmat
from .skeletons import SPINE, BoneMap, Matrices, Skeleton, map_bones, plain_name, spine_bones
from .text_lines import MotionError


UpAxis = Literal["x", "y", "z"]

# Rotations of a world with this axis up to one with y up.
TO_Y_UP = {
    "x": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    "y": np.eye(3),
    "z": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
}
# Joints whose bone gets the source's direction, with the joint at the bone's end.
LIMBS = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}
# In a reference pose the trunk is this near the up axis, and legs this near its opposite (degrees).
MAX_LEAN, MAX_SPREAD = 40.0, 60.0
# Limbs of SMPL's bodies in the T-pose differ by less than this from the built-in body's (degrees).
MAX_FROM_T_POSE = 20.0


def retarget(
    skeleton: Skeleton,
    rotations: Matrices,
    where: str,
    bone_map: BoneMap | None = None,
    up_axis: UpAxis | None = None,
) -> torch.Tensor:
    """Poses of SMPL's 22 joints from the bones' global rotations.

    Args:
        skeleton: the bones in their reference pose.
        rotations: (frames, bones, 3, 3) rotations since the reference pose, in the world of the skeleton.
        where: names the file in errors.
        bone_map: names of bones by joint; the others are found by their names.
        up_axis: the world's vertical; default: the axis nearest to the trunk of the reference pose.

    Returns:
        (frames, 22, 3, 3) float64 in the stored frame.

    Raises:
        MotionError: a required joint has no bone, or the reference pose is not upright.
    """
    bones = map_bones(skeleton, bone_map or {}, where)
    world = TO_Y_UP[up_axis or find_up_axis(skeleton, bones)]
    upright = Skeleton(skeleton.names, skeleton.parents, skeleton.positions @ world.T, skeleton.ends @ world.T)
    turned = world @ rotations @ world.T
    own = smpl_joints(skeleton) if not bone_map else None
    facing = None if own is None else t_pose_facing(upright, bones, where)
    if own is not None and facing is not None:
        return local_rotmats(turned[:, own] @ facing)
    aligned = alignments(upright, bones, where)
    sources = joint_rotations(upright, turned, bones)
    return local_rotmats(np.stack([sources[name] @ aligned[name] for name in JOINT_NAMES], axis=1))


def smpl_joints(skeleton: Skeleton) -> list[int] | None:
    """The bones with the names of SMPL's 22 joints ("left_hip", "L_Hip") and its tree, in its order; None: others."""
    plain = [plain_name(name) for name in skeleton.names]
    wanted = [plain_name(name) for name in JOINT_NAMES]
    if not set(wanted) <= set(plain):
        return None
    own = [plain.index(name) for name in wanted]
    above = [skeleton.parents[bone] for bone in own[1:]]
    return own if above == [own[parent] for parent in PARENTS[1:NUM_JOINTS]] else None


def t_pose_facing(skeleton: Skeleton, bones: Mapping[str, int], where: str) -> Matrices | None:
    """(3, 3): the quarter turn about the vertical from SMPL's T-pose to the reference pose; None: it is another pose.

    Args:
        skeleton: the bones in a y-up world.
        bones: result of `map_bones`.
        where: names the file in errors.

    Raises:
        MotionError: the reference pose is not upright.
    """
    facing = find_facing(skeleton, bones, where)
    # The hips of a body need not be at the same depth.
    cosine, sine = np.round([facing[0, 0], facing[0, 2]])
    if abs(cosine) + abs(sine) != 1:
        return None
    facing = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
    rest = np.array(REST_JOINTS)
    for side in ("left", "right"):
        for part, following in LIMBS.items():
            name, end = f"{side}_{part}", f"{side}_{following}"
            own = rest[JOINT_NAMES.index(end)] - rest[JOINT_NAMES.index(name)]
            direction = facing.T @ bone_direction(skeleton, bones[name], bones.get(end))
            if not _degrees(own, direction) <= MAX_FROM_T_POSE:
                return None
    return facing


def alignments(skeleton: Skeleton, bones: Mapping[str, int], where: str) -> dict[str, Matrices]:
    """By joint, (3, 3): the rotation in a y-up world from SMPL's T-pose to the reference pose.

    Args:
        skeleton: the bones in a y-up world.
        bones: result of `map_bones`.
        where: names the file in errors.

    Raises:
        MotionError: the reference pose is not upright, or a limb has no length.
    """
    facing = find_facing(skeleton, bones, where)
    rest = np.array(REST_JOINTS)
    aligned = dict.fromkeys(JOINT_NAMES, facing)
    for side in ("left", "right"):
        for part, following in LIMBS.items():
            name, end = f"{side}_{part}", f"{side}_{following}"
            own = rest[JOINT_NAMES.index(end)] - rest[JOINT_NAMES.index(name)]
            goal = facing.T @ bone_direction(skeleton, bones[name], bones.get(end))
            aligned[name] = facing @ least_rotation(own, goal, f"{where}: {skeleton.names[bones[name]]}")
            if part == "knee":
                aligned |= dict.fromkeys((f"{side}_ankle", f"{side}_foot"), facing @ lean_between(own, goal))
        aligned[f"{side}_wrist"] = aligned[f"{side}_elbow"]
    return aligned


def local_rotmats(world_rotations: Matrices) -> torch.Tensor:
    """(frames, 22, 3, 3) rotations in a y-up world -> (frames, 22, 3, 3) poses in the stored frame."""
    local = world_rotations.copy()
    for joint, parent in enumerate(PARENTS[:NUM_JOINTS]):
        if parent >= 0:
            local[:, joint] = np.swapaxes(world_rotations[:, parent], -1, -2) @ world_rotations[:, joint]
    return to_z_up(torch.from_numpy(local))


def find_up_axis(skeleton: Skeleton, bones: Mapping[str, int]) -> UpAxis:
    """The axis nearest to the direction from the feet to the shoulders; y where bones have no extent.

    Args:
        skeleton: the bones.
        bones: result of `map_bones`.
    """
    trunk = _middle(skeleton, bones, "shoulder") - _middle(skeleton, bones, "ankle")
    return ("x", "y", "z")[int(np.abs(trunk).argmax())] if np.abs(trunk).max() > 0 else "y"


def find_facing(skeleton: Skeleton, bones: Mapping[str, int], where: str) -> Matrices:
    """(3, 3): the rotation about the vertical from SMPL's rest pose, which faces +z, to the reference pose.

    Args:
        skeleton: the bones in a y-up world.
        bones: result of `map_bones`.
        where: names the file in errors.

    Raises:
        MotionError: the reference pose is not upright.
    """
    hips, shoulders, knees = (_middle(skeleton, bones, part) for part in ("hip", "shoulder", "knee"))
    left = skeleton.positions[bones["left_hip"]] - skeleton.positions[bones["right_hip"]]
    up = np.array([0.0, 1.0, 0.0])
    lean, spread = _degrees(shoulders - hips, up), _degrees(knees - hips, -up)
    across = np.hypot(left[0], left[2])
    if not (lean <= MAX_LEAN and spread <= MAX_SPREAD and across > 0):
        raise MotionError(
            f"{where}: the trunk of the reference pose is {lean:.0f} degrees from the vertical, its legs are "
            f"{spread:.0f} degrees from hanging, its hips {across:.3g} apart; expected a body that stands. Give "
            "up_axis (x, y or z) or reference_frame, the number of a frame in which it stands"
        )
    yaw = np.arctan2(-left[2], left[0])
    return np.array([[np.cos(yaw), 0.0, np.sin(yaw)], [0.0, 1.0, 0.0], [-np.sin(yaw), 0.0, np.cos(yaw)]])


def _middle(skeleton: Skeleton, bones: Mapping[str, int], part: str) -> np.ndarray:
    return (skeleton.positions[bones[f"left_{part}"]] + skeleton.positions[bones[f"right_{part}"]]) / 2


def _degrees(first: np.ndarray, second: np.ndarray) -> float:
    """Angle between two vectors; NaN if one has no length."""
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def bone_direction(skeleton: Skeleton, bone: int, end: int | None) -> np.ndarray:
    """The direction of a bone toward another one that follows it, or to its own end.

    Args:
        skeleton: the bones.
        bone: the bone.
        end: the other bone, or None.
    """
    start = skeleton.positions[bone]
    following = skeleton.path(end)[len(skeleton.path(bone)) :] if end is not None else []
    for place in [*(skeleton.positions[each] for each in following), skeleton.ends[bone]]:
        if np.linalg.norm(place - start) > 1e-6 * np.abs(skeleton.positions).max():
            return place - start
    return np.zeros(3)


def least_rotation(first: np.ndarray, second: np.ndarray, where: str) -> Matrices:
    """(3, 3): the smallest rotation from one direction to another.

    Args:
        first, second: (3,) of any length.
        where: names the bone in errors.

    Raises:
        MotionError: the bone has no length, or the directions are opposite.
    """
    lengths = np.linalg.norm(first), np.linalg.norm(second)
    if not min(lengths) > 0:
        raise MotionError(f"{where} has no length in the reference pose; expected a bone with a direction")
    axis = np.cross(first / lengths[0], second / lengths[1])
    sine, cosine = np.linalg.norm(axis), float(first @ second / lengths[0] / lengths[1])
    if cosine < -0.99:
        raise MotionError(f"{where} points the other way than SMPL's in the reference pose; give reference_frame")
    if sine < 1e-12:
        return np.eye(3)
    rotvec = torch.from_numpy(axis / sine * np.arctan2(sine, cosine))
    return rotvec_to_rotmat(rotvec).numpy()


def lean_between(first: np.ndarray, second: np.ndarray) -> Matrices:
    """(3, 3): the rotation about the forward axis by which a leg leans sideways more than another.

    Skeletons at rest with legs apart have feet that lean with them: CMU's by 20 degrees. Legs that lean to the front
    stand on level feet.

    Args:
        first, second: (3,) directions of the lower leg of bodies that face +z.
    """
    rotvec = torch.tensor([0.0, 0.0, np.arctan2(second[0], -second[1]) - np.arctan2(first[0], -first[1])])
    return rotvec_to_rotmat(rotvec.double()).numpy()


def joint_rotations(skeleton: Skeleton, rotations: Matrices, bones: Mapping[str, int]) -> dict[str, Matrices]:
    """By joint, (frames, 3, 3): global rotations since the reference pose. A joint without a bone follows its parent.

    Args:
        skeleton: the bones.
        rotations: (frames, bones, 3, 3).
        bones: result of `map_bones`.
    """
    known = {joint: rotations[:, bone] for joint, bone in bones.items()}
    trunk = [known["pelvis"], *(rotations[:, bone] for bone in spine_bones(skeleton, bones))]
    for share, joint in enumerate(SPINE, start=1):
        known.setdefault(joint, along(trunk, share / len(SPINE)))
    if "neck" not in known and "head" in known:
        known["neck"] = between(known["spine3"], known["head"], 0.5)
    for name, parent in zip(JOINT_NAMES, PARENTS):
        if name not in known:
            known[name] = known[JOINT_NAMES[parent]]
    return known


def along(rotations: list[Matrices], share: float) -> Matrices:
    """The rotation at this share, 0..1, of a chain of rotations.

    Args:
        rotations: the chain, each (frames, 3, 3).
        share: 0 is the first, 1 the last.
    """
    place = share * (len(rotations) - 1)
    for index, (first, second) in enumerate(pairwise(rotations)):
        if place <= index + 1 + 1e-9:
            return between(first, second, place - index)
    return rotations[-1]


def between(first: Matrices, second: Matrices, share: float) -> Matrices:
    """Interpolates between rotations.

    Args:
        first, second: (frames, 3, 3).
        share: weight of the second.
    """
    step = rotmat_to_rotvec(torch.from_numpy(np.swapaxes(first, -1, -2) @ second))
    return first @ rotvec_to_rotmat(step * share).numpy()
