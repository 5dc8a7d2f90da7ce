"""Joint limits: a table of ranges of motion.

The ranges hold for the body's joints, on SMPL's axes, as intrinsic Euler angles; the global orientation is free. They
come from recorded motion: the 0.2 and 99.8 % quantiles of 35 minutes of public capture (CMU's subjects, DeepMimic,
Mesh2Motion), rounded outwards, with room for dancers and gymnasts. Collars and feet hardly move in that capture: their
ranges leave room for capture that is fitted to a body's surface (AMASS), which divides rotations among neighboring
joints in its own way. Wrists may twist freely, since skeletons differ in where the forearm's rotation is zero. Spine
and neck also have ranges for the whole chain, since several joints that each bend a little add up.

Hips are measured as clinics do, flexion first and rotation about the thigh last (XZY): in the order of `joint_angles`
(YXZ) a hip bent by 90 degrees and rotated, as in a cross-legged seat, is near gimbal lock. Elbows and knees are hinges
whose axis need not be the body's: skeletons tilt it about the limb (CMU's elbows by 28 degrees). Their angles are that
tilt, the flexion, and the rotation about the lower bone.
"""

from dataclasses import dataclass

import torch

from .pose_frames import JOINT_NAMES


Span = tuple[float, float]


@dataclass(frozen=True)
class JointRange:
    """The range of motion of a joint, or of a chain of joints by their composed rotation.

    Args:
        chain: joints without their side, from the parent outwards.
        order: intrinsic order of the Euler angles.
        first, middle, last: lowest and highest of each angle in degrees, as on the left side.
    """

    chain: tuple[str, ...]
    order: str
    first: Span
    middle: Span
    last: Span

    def bounds(self) -> torch.Tensor:
        """(2, 3): lowest and highest angles."""
        return torch.tensor([self.first, self.middle, self.last]).T


# A name without a side stands for both sides.
RANGES: dict[str, JointRange] = {
    "hip": JointRange(("hip",), "XZY", (-140, 45), (-40, 85), (-60, 70)),
    "knee": JointRange(("knee",), "YXY", (-50, 50), (-5, 155), (-50, 50)),
    "ankle": JointRange(("ankle",), "XYZ", (-85, 70), (-50, 55), (-55, 50)),
    "foot": JointRange(("foot",), "XYZ", (-60, 60), (-45, 45), (-45, 45)),
    "spine1": JointRange(("spine1",), "XYZ", (-35, 65), (-30, 30), (-25, 25)),
    "spine2": JointRange(("spine2",), "XYZ", (-35, 45), (-30, 30), (-25, 25)),
    "spine3": JointRange(("spine3",), "XYZ", (-35, 45), (-30, 30), (-25, 25)),
    "trunk": JointRange(("spine1", "spine2", "spine3"), "XYZ", (-50, 100), (-50, 50), (-45, 45)),
    "neck": JointRange(("neck",), "XYZ", (-50, 50), (-50, 50), (-45, 45)),
    "head": JointRange(("head",), "XYZ", (-60, 70), (-50, 50), (-60, 60)),
    "neck_and_head": JointRange(("neck", "head"), "XYZ", (-65, 75), (-80, 80), (-65, 65)),
    "collar": JointRange(("collar",), "XYZ", (-45, 45), (-60, 55), (-55, 60)),
    "shoulder": JointRange(("shoulder",), "ZYX", (-120, 105), (-155, 65), (-130, 130)),
    "elbow": JointRange(("elbow",), "XYX", (-75, 75), (-155, 10), (-100, 90)),
    "wrist": JointRange(("wrist",), "XYZ", (-180, 180), (-60, 60), (-90, 95)),
}


def viewer_limits() -> list[dict]:
    """The ranges as the viewer takes them: for each joint, or chain of joints, of both sides.

    Returns:
        Dicts of `chain` (numbers of joints, from the parent outwards), `order`, `low` and `high` (degrees, as on the
        left side), and `mirrored`, whether the joint is on the right.
    """
    rows = []
    for limit in RANGES.values():
        low, high = limit.bounds().tolist()
        for side in ("",) if limit.chain[0] in JOINT_NAMES else ("left_", "right_"):
            chain = [JOINT_NAMES.index(side + joint) for joint in limit.chain]
            rows.append({"chain": chain, "order": limit.order, "low": low, "high": high, "mirrored": side == "right_"})
    return rows
