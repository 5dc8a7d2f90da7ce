"""Writes the motion of a body in the formats of motion capture, for any rest pose, names and axes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch

from unipose.processing.body_model import PARENTS, BodyModel, forward_kinematics
from unipose.processing.pose_features import JOINT_NAMES, NUM_JOINTS, to_y_up


SIDES = {"left": ("Left", "L", "l"), "right": ("Right", "R", "r")}
# By convention: names of the joints, "{0}" is "Left" or "Right", "{1}" "L" or "R", "{2}" "l" or "r".
CONVENTIONS = {
    "smpl": {name.split("_")[-1]: "{1}_" + name.split("_")[-1].title() for name in JOINT_NAMES},
    "mixamo": {
        "pelvis": "mixamorig:Hips", "spine1": "mixamorig:Spine", "spine2": "mixamorig:Spine1",
        "spine3": "mixamorig:Spine2", "neck": "mixamorig:Neck", "head": "mixamorig:Head", "hip": "mixamorig:{0}UpLeg",
        "knee": "mixamorig:{0}Leg", "ankle": "mixamorig:{0}Foot", "foot": "mixamorig:{0}ToeBase",
        "collar": "mixamorig:{0}Shoulder", "shoulder": "mixamorig:{0}Arm", "elbow": "mixamorig:{0}ForeArm",
        "wrist": "mixamorig:{0}Hand",
    },
    "daz": {
        "pelvis": "hip", "spine1": "abdomen", "spine2": "abdomen2", "spine3": "chest", "neck": "neck", "head": "head",
        "hip": "{2}Thigh", "knee": "{2}Shin", "ankle": "{2}Foot", "foot": "{2}Toe", "collar": "{2}Collar",
        "shoulder": "{2}Shldr", "elbow": "{2}ForeArm", "wrist": "{2}Hand",
    },
    "rigify": {
        "pelvis": "DEF-spine", "spine1": "DEF-spine.001", "spine2": "DEF-spine.002", "spine3": "DEF-spine.003",
        "neck": "DEF-spine.004", "head": "DEF-spine.006", "hip": "DEF-thigh.{1}", "knee": "DEF-shin.{1}",
        "ankle": "DEF-foot.{1}", "foot": "DEF-toe.{1}", "collar": "DEF-shoulder.{1}", "shoulder": "DEF-upper_arm.{1}",
        "elbow": "DEF-forearm.{1}", "wrist": "DEF-hand.{1}",
    },
    "biped": {
        "pelvis": "Bip01 Pelvis", "spine1": "Bip01 Spine", "spine2": "Bip01 Spine1", "spine3": "Bip01 Spine2",
        "neck": "Bip01 Neck", "head": "Bip01 Head", "hip": "Bip01 {1} Thigh", "knee": "Bip01 {1} Calf",
        "ankle": "Bip01 {1} Foot", "foot": "Bip01 {1} Toe0", "collar": "Bip01 {1} Clavicle",
        "shoulder": "Bip01 {1} UpperArm", "elbow": "Bip01 {1} Forearm", "wrist": "Bip01 {1} Hand",
    },
    "cmu_asf": {
        "pelvis": "root", "spine1": "lowerback", "spine2": "upperback", "spine3": "thorax", "neck": "lowerneck",
        "head": "head", "hip": "{2}femur", "knee": "{2}tibia", "ankle": "{2}foot", "foot": "{2}toes",
        "collar": "{2}clavicle", "shoulder": "{2}humerus", "elbow": "{2}radius", "wrist": "{2}hand",
    },
}  # fmt: skip


def joint_names(convention: str) -> list[str]:
    """The names of the 22 joints in a convention."""
    names = []
    for joint in JOINT_NAMES:
        side, _, part = joint.rpartition("_")
        name = CONVENTIONS[convention][part].format(*SIDES.get(side, ("", "", "")))
        names.append(name.strip("_"))
    return names


@dataclass(frozen=True)
class Performance:
    """Poses of the built-in body as another skeleton has them.

    Args:
        positions: (22, 3) joints of its rest pose.
        ends: (22, 3) ends of the bones without children.
        rotations: (frames, 22, 3, 3) of each joint since the rest pose, relative to its parent.
    """

    positions: np.ndarray
    ends: np.ndarray
    rotations: np.ndarray


def perform(poses: torch.Tensor, rest: torch.Tensor, world: torch.Tensor, size: float = 1.0) -> Performance:
    """Poses on a skeleton whose rest pose is another pose of the body.

    Args:
        poses: (n, 22, 3, 3) in the stored frame.
        rest: (22, 3, 3) in the stored frame.
        world: (3, 3) rotation from the y-up world to the skeleton's.
        size: length of a meter.
    """
    joints = BodyModel.builtin().joints[:NUM_JOINTS].double()
    (own,), (positions,) = forward_kinematics(to_y_up(rest[None].double()), joints)
    turned, _ = forward_kinematics(to_y_up(poses.double()), joints)
    since = world @ turned @ own.mT @ world.mT
    local = torch.stack(
        [since[:, j] if p < 0 else since[:, p].mT @ since[:, j] for j, p in enumerate(PARENTS[:NUM_JOINTS])], dim=1
    )
    ends = positions + 0.1 * own @ torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    for name, direction in (("left_wrist", 1.0), ("right_wrist", -1.0)):
        index = JOINT_NAMES.index(name)
        ends[index] = positions[index] + own[index] @ torch.tensor([0.1 * direction, 0.0, 0.0], dtype=torch.float64)
    places = [(each @ world.double().T * size).numpy() for each in (positions, ends)]
    return Performance(*places, local.numpy())


def bvh_text(performance: Performance, names: list[str], order: str = "ZXY", rate: float = 30.0) -> str:
    """A BVH file.

    Args:
        performance: its motion.
        names: of the joints.
        order: of the rotation channels.
        rate: frames per second.
    """
    lines, walked = ["HIERARCHY"], []

    def add(joint: int, depth: int) -> None:
        walked.append(joint)
        pad = "  " * depth
        parent = PARENTS[joint]
        start = performance.positions[parent] if parent >= 0 else np.zeros(3)
        lines.append(f"{pad}{'JOINT' if parent >= 0 else 'ROOT'} {names[joint]}")
        lines.extend([f"{pad}{{", f"{pad}  OFFSET {_row(performance.positions[joint] - start)}"])
        places = "" if parent >= 0 else "Xposition Yposition Zposition "
        turns = " ".join(f"{axis}rotation" for axis in order)
        lines.append(f"{pad}  CHANNELS {3 if parent >= 0 else 6} {places}{turns}")
        children = [child for child in range(NUM_JOINTS) if PARENTS[child] == joint]
        for child in children:
            add(child, depth + 1)
        if not children:
            end = performance.ends[joint] - performance.positions[joint]
            lines.extend([f"{pad}  End Site", f"{pad}  {{", f"{pad}    OFFSET {_row(end)}", f"{pad}  }}"])
        lines.append(f"{pad}}}")

    add(0, 0)
    angles = roma.rotmat_to_euler(order, torch.from_numpy(performance.rotations), degrees=True).numpy()
    lines.extend(["MOTION", f"Frames: {len(angles)}", f"Frame Time: {1.0 / rate:.6f}"])
    lines.extend("0 0 0 " + " ".join(_row(frame[joint]) for joint in walked) for frame in angles)
    return "\n".join(lines) + "\n"


def asf_text(performance: Performance, names: list[str], axes: np.ndarray) -> str:
    """An ASF file: the skeleton of a performance, its bones' axes rotated.

    Args:
        performance: its motion.
        names: of the bones.
        axes: (22, 3) degrees, about x, then y, then z.
    """
    lines = [":version 1.10", ":name test", ":units", "  mass 1.0", "  angle deg", ":root"]
    lines += ["  order TX TY TZ RX RY RZ", "  axis XYZ", "  position 0 0 0", "  orientation 0 0 0", ":bonedata"]
    starts = performance.positions
    for joint in range(NUM_JOINTS):
        for child in [each for each in range(NUM_JOINTS) if PARENTS[each] == joint]:
            # A helper bone without freedoms from each joint to the next, as hips and collars have in CMU's files.
            lines += _asf_bone(f"to_{names[child]}", starts[child] - starts[joint], None)
    for joint in range(1, NUM_JOINTS):
        lines += _asf_bone(names[joint], np.zeros(3), axes[joint])
    lines += [":hierarchy", "  begin"]
    for joint in range(NUM_JOINTS):
        children = [each for each in range(NUM_JOINTS) if PARENTS[each] == joint]
        if children:
            lines.append(" ".join(["   ", names[joint], *(f"to_{names[child]}" for child in children)]))
            lines += [f"    to_{names[child]} {names[child]}" for child in children]
    return "\n".join([*lines, "  end"]) + "\n"


def _asf_bone(name: str, offset: np.ndarray, axes: np.ndarray | None) -> list[str]:
    length = np.linalg.norm(offset)
    direction = offset / length if length else np.array([0.0, 1.0, 0.0])
    lines = ["  begin", f"    name {name}", f"    direction {_row(direction)}", f"    length {length:.8f}"]
    lines.append(f"    axis {_row(axes if axes is not None else np.zeros(3))} XYZ")
    return [*lines, *(["    dof rx ry rz"] if axes is not None else []), "  end"]


def amc_text(performance: Performance, names: list[str], axes: np.ndarray) -> str:
    """An AMC file for `asf_text` with the same arguments."""
    own = roma.euler_to_rotmat("xyz", torch.from_numpy(axes), degrees=True)
    local = own.mT @ torch.from_numpy(performance.rotations) @ own
    local[:, 0] = torch.from_numpy(performance.rotations[:, 0])
    angles = roma.rotmat_to_euler("xyz", local, degrees=True).numpy()
    lines = ["#!OML:ASF test", ":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(angles, 1):
        lines += [str(number), f"root 0 0 0 {_row(frame[0])}"]
        lines += [f"{names[joint]} {_row(frame[joint])}" for joint in range(1, NUM_JOINTS)]
    return "\n".join(lines) + "\n"


def _row(values: np.ndarray) -> str:
    return " ".join(f"{value:.8f}" for value in values)


def save(path: Path, text: str) -> Path:
    """Writes a text file."""
    path.write_text(text, encoding="utf-8")
    return path
