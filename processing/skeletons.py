"""Which bones of a skeleton are the joints of SMPL: by name, and by their place in the tree.

Names are compared without case, separators, namespaces and prefixes ("mixamorig:LeftUpLeg", "Bip01 L Thigh",
"thigh.L", "lfemur"). Known are the names of CMU's motion capture (BVH and ASF), MotionBuilder (HumanIK), Mixamo, Daz
and Poser, 3ds Max' Biped, Blender's Rigify, Unreal, VRM and SMPL. The spine is whatever lies between the pelvis and
the shoulders.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .pose_frames import JOINT_NAMES
from .text_lines import MotionError


Matrices = npt.NDArray[np.float64]
BoneMap = Mapping[str, str | None]

# Names of the joints on the middle of the body and of those with a side, the surest first.
MIDDLE_NAMES: dict[str, tuple[str, ...]] = {
    "pelvis": ("hips", "pelvis", "hip"),
    "neck": ("neck", "neck1", "lowerneck", "neck01", "spine004"),
    "head": ("head", "spine006"),
}
SIDE_NAMES: dict[str, tuple[str, ...]] = {
    "hip": ("upleg", "upperleg", "thigh", "femur", "hip"),
    "knee": ("lowleg", "lowerleg", "shin", "calf", "tibia", "knee", "leg"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toes", "toe", "toe0", "ball", "foot"),
    "collar": ("collar", "clavicle", "shoulder"),
    "shoulder": ("upperarm", "uparm", "shldr", "humerus", "arm", "shoulder"),
    "elbow": ("forearm", "lowerarm", "lowarm", "elbow", "radius"),
    "wrist": ("wrist", "hand"),
}
# Joints without which a body has no pose.
REQUIRED = (
    "pelvis",
    *(f"{side}_{part}" for part in ("hip", "knee", "ankle", "shoulder", "elbow") for side in ("left", "right")),
)
SPINE = ("spine1", "spine2", "spine3")

_PREFIX = re.compile(
    r"^(mixamorig\d*|character\d+|bip\d+|valvebiped|def|org|mch|j ?bip(?: c)?|cc base|rig|genesis\d*\w*)[ _.-]+"
)
_SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}


@dataclass(frozen=True)
class Skeleton:
    """A tree of bones in its reference pose, in which no bone is rotated.

    Args:
        names: of the bones.
        parents: index of the parent of each, before it; -1 of the root.
        positions: (bones, 3) where each begins.
        ends: (bones, 3) where those without children end; otherwise unused.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    positions: Matrices
    ends: Matrices

    def posed(self, rotations: Matrices, frame: int) -> tuple["Skeleton", Matrices]:
        """The skeleton with one frame as its reference pose, and the rotations since then.

        Args:
            rotations: (frames, bones, 3, 3) global rotations since this skeleton's reference pose.
            frame: number of the frame.
        """
        pose = rotations[frame]
        positions, ends = np.zeros_like(self.positions), np.zeros_like(self.ends)
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                step = self.positions[bone] - self.positions[parent]
                positions[bone] = positions[parent] + pose[parent] @ step
            ends[bone] = positions[bone] + pose[bone] @ (self.ends[bone] - self.positions[bone])
        return Skeleton(self.names, self.parents, positions, ends), rotations @ np.swapaxes(pose, -1, -2)

    def path(self, bone: int) -> list[int]:
        """The bones from the root to this one."""
        path = [bone]
        while self.parents[path[0]] >= 0:
            path.insert(0, self.parents[path[0]])
        return path


@dataclass(frozen=True)
class Recording:
    """The content of a motion file.

    Args:
        skeleton: the bones in their rest pose.
        rotations: (frames, bones, 3, 3) global rotations since the rest pose.
        frames_per_second: of the motion.
    """

    skeleton: Skeleton
    rotations: Matrices
    frames_per_second: float


def plain_name(name: str) -> tuple[str, str]:
    """Side ("left", "right" or "") and name without it: "mixamorig:LeftUpLeg" -> ("left", "upleg")."""
    name = name.split(":")[-1].split("|")[-1]
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).lower()
    words = re.split(r"[ _.\-]+", _PREFIX.sub("", re.sub(r"[_.\-]", " ", spaced)).strip())
    sides = [word for word in words if word in _SIDES]
    if sides:
        words.remove(sides[0])
        return _SIDES[sides[0]], "".join(words)
    whole = "".join(words)
    known = {other for names in SIDE_NAMES.values() for other in names}
    if whole[:1] in _SIDES and whole[1:] in known:
        return _SIDES[whole[0]], whole[1:]
    return "", whole


def map_bones(skeleton: Skeleton, given: BoneMap, where: str) -> dict[str, int]:
    """The bone of each joint of SMPL that the skeleton has; without the spine, see `spine_bones`.

    Args:
        skeleton: the bones.
        given: names of bones by joint, which come before automatic ones; None leaves a joint out.
        where: names the file in errors.

    Raises:
        MotionError: a given joint or bone does not exist, or a required joint has no bone.
    """
    unknown = [joint for joint in given if joint not in JOINT_NAMES]
    missing = [bone for bone in given.values() if bone is not None and bone not in skeleton.names]
    if unknown or missing:
        raise MotionError(
            f"{where}: the bone map names the joints {unknown} and the bones {missing}, which do not exist; expected "
            f"joints of {', '.join(JOINT_NAMES)} and bones of {', '.join(skeleton.names)}"
        )
    found = _find_bones(skeleton.names) | {
        joint: skeleton.names.index(bone) for joint, bone in given.items() if bone is not None
    }
    bones = {joint: bone for joint, bone in found.items() if given.get(joint, "") is not None}
    if "pelvis" not in bones and {"left_hip", "right_hip"} <= set(bones):
        bones["pelvis"] = _shared_path(skeleton, bones["left_hip"], bones["right_hip"])[-1]
    lacking = [joint for joint in REQUIRED if joint not in bones]
    if lacking:
        raise MotionError(
            f"{where}: no bone was found for {', '.join(lacking)}; the bones are {', '.join(skeleton.names)}. Give "
            "bone_map, a JSON file such as "
            f'{{"{lacking[0]}": "{skeleton.names[0]}"}}'
        )
    return bones


def _find_bones(names: Sequence[str]) -> dict[str, int]:
    """Joints by the surest of their names; a bone is one joint, and the names that come first choose first."""
    plain: dict[tuple[str, str], int] = {}
    for index, name in enumerate(names):
        plain.setdefault(plain_name(name), index)
    bones = {}
    for joint, known in MIDDLE_NAMES.items():
        present = [name for name in known if ("", name) in plain]
        if present:
            bones[joint] = plain["", present[0]]
    for side in ("left", "right"):
        own = {}
        for part, known in SIDE_NAMES.items():
            present = [name for name in known if (side, name) in plain]
            if present:
                own[part] = present[0]
        # "Shoulder" is the collar where there is an arm beyond it, and "foot" the toes where there is an ankle.
        if own.get("collar") == own.get("shoulder"):
            own.pop("collar", None)
        if own.get("foot") == own.get("ankle"):
            own.pop("foot", None)
        bones |= {f"{side}_{part}": plain[side, name] for part, name in own.items()}
    return bones


def spine_bones(skeleton: Skeleton, bones: Mapping[str, int]) -> list[int]:
    """The bones between the pelvis and both arms, from below.

    Args:
        skeleton: the bones.
        bones: result of `map_bones`.
    """
    arms = [bones.get(f"{side}_collar", bones[f"{side}_shoulder"]) for side in ("left", "right")]
    shared = _shared_path(skeleton, *arms)
    pelvis = skeleton.path(bones["pelvis"])
    legs = set(skeleton.path(bones["left_hip"])) | set(skeleton.path(bones["right_hip"]))
    return [bone for bone in shared if bone not in pelvis and bone not in legs]


def _shared_path(skeleton: Skeleton, first: int, second: int) -> list[int]:
    """The bones from the root to the last one that two bones have in common."""
    return [one for one, other in zip(skeleton.path(first), skeleton.path(second)) if one == other]
