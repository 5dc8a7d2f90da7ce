"""BVH files: a skeleton and its motion, y up, centimeters, Euler angles in degrees.

Joints have SMPL's names and order of the tree; the rest pose is the T-pose. A joint's channels are Zrotation Xrotation
Yrotation, so that its rotation is Rz Rx Ry; the root has Xposition Yposition Zposition before them.
"""

from collections.abc import Iterator

import numpy as np
import roma
import torch

from .body_model import BodyModel
from .pose_frames import JOINT_NAMES, NUM_JOINTS, PARENTS, to_y_up


EULER_ORDER = "ZXY"
CENTIMETERS = 100.0
INDENT = "  "


def encode_bvh(rotmats: torch.Tensor, body: BodyModel, heights: torch.Tensor, fps: float) -> bytes:
    """The content of a BVH file.

    Args:
        rotmats: (frames, 22, 3, 3) in the stored z-up frame.
        body: The body whose joints are the skeleton.
        heights: (frames,) meters by which the pelvis is above that of the rest pose.
        fps: Frames per second.
    """
    joints = CENTIMETERS * body.joints.double().cpu().numpy()
    ends = CENTIMETERS * bone_ends(body)
    order: list[int] = []
    lines = ["HIERARCHY", *joint_lines(0, joints, ends, order)]
    root = np.tile(joints[0], (len(rotmats), 1))
    root[:, 1] += CENTIMETERS * heights.double().cpu().numpy()
    angles = euler_angles(rotmats)[:, order].reshape(len(rotmats), -1)
    lines += ["MOTION", f"Frames: {len(rotmats)}", f"Frame Time: {1.0 / fps:.8f}"]
    lines += [" ".join(map(number, row)) for row in np.concatenate([root, angles], axis=1)]
    return ("\n".join(lines) + "\n").encode("ascii")


def joint_lines(joint: int, joints: np.ndarray, ends: np.ndarray, order: list[int]) -> Iterator[str]:
    """The lines of a joint and all below it.

    Args:
        joint: Index of the joint.
        joints: (24, 3) rest positions in centimeters.
        ends: (22, 3) ends of the bones without children, in centimeters.
        order: The joints of the lines; appended to.
    """
    order.append(joint)
    parent = PARENTS[joint]
    offset = np.zeros(3) if parent < 0 else joints[joint] - joints[parent]
    positions = "" if parent >= 0 else "Xposition Yposition Zposition "
    yield f"{'ROOT' if parent < 0 else 'JOINT'} {JOINT_NAMES[joint]}"
    yield "{"
    yield f"{INDENT}OFFSET {' '.join(map(number, offset))}"
    yield f"{INDENT}CHANNELS {6 if positions else 3} {positions}Zrotation Xrotation Yrotation"
    children = [child for child in range(NUM_JOINTS) if PARENTS[child] == joint]
    for child in children:
        yield from (INDENT + line for line in joint_lines(child, joints, ends, order))
    if not children:
        end = " ".join(map(number, ends[joint] - joints[joint]))
        yield from (INDENT + line for line in ("End Site", "{", f"{INDENT}OFFSET {end}", "}"))
    yield "}"


def number(value: float) -> str:
    """A number with six decimals, without a negative zero."""
    return f"{round(float(value), 6) + 0.0:.6f}"


def bone_ends(body: BodyModel) -> np.ndarray:
    """Where the bones without children end in the rest pose: the crown, the tips of the toes, the hands.

    Args:
        body: The body.

    Returns:
        (22, 3) meters; other joints have their own position.
    """
    ends = body.joints[:NUM_JOINTS].double().cpu().numpy().copy()
    vertices, owners = body.v_template.double().cpu().numpy(), body.vertex_joints().cpu().numpy()
    for name, axis in (("head", 1), ("left_foot", 2), ("right_foot", 2)):
        joint = JOINT_NAMES.index(name)
        ends[joint, axis] = vertices[owners == joint, axis].max(initial=ends[joint, axis])
    for hand in range(NUM_JOINTS, len(PARENTS)):
        ends[PARENTS[hand]] = body.joints[hand].double().cpu().numpy()
    return ends


def euler_angles(rotmats: torch.Tensor) -> np.ndarray:
    """Angles about z, x and y without jumps of a whole turn from frame to frame.

    Args:
        rotmats: (frames, 22, 3, 3) in the stored z-up frame.

    Returns:
        (frames, 22, 3) degrees.
    """
    angles = roma.rotmat_to_euler(EULER_ORDER, to_y_up(rotmats.double()), degrees=True)
    return np.unwrap(angles.cpu().numpy(), period=360.0, axis=0)
