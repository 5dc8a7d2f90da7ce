"""Poses whose text names no side are shown on the same side: "a man waves" has one answer, not two mirror images.

With both, the likeliest codes of the two mix: both legs half bent for "tree pose". The side is the right one, since
most people are right-handed.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, mirror_pose
from unipose.training.datasets.generation import to_rotvecs
from unipose.training.datasets.records import PosePairRecord, PoseRecord, Rotvecs
from unipose.training.datasets.rows import Record, record_content
from unipose.training.geometry import remove_heading
from unipose.training.named_poses.archetypes import archetype_poses
from unipose.training.named_poses.wordings import names_side


LIMBS = ("elbow", "wrist", "knee", "ankle")
LEFT, RIGHT = ([JOINT_NAMES.index(f"{side}_{joint}") for joint in LIMBS] for side in ("left", "right"))
# Of poses that are nearly their own mirror image: mean distance of the joints from the mirrored ones, in meters.
SYMMETRIC = 0.04


def right_side_lead(poses: torch.Tensor, body: BodyModel) -> torch.Tensor:
    """How much further the right limbs are from where they are in a person who stands than the left limbs, in meters.

    Args:
        poses: (n, 22, 3, 3) in the stored frame.
        body: the body to measure.

    Returns:
        (n,); a mirrored pose has the negative.
    """
    standing = _joints(archetype_poses(["stand"]).float(), body)
    distances = (_joints(poses, body) - standing).norm(dim=-1)
    return (distances[:, RIGHT] - distances[:, LEFT]).sum(dim=1)


def is_symmetric(poses: torch.Tensor, body: BodyModel) -> torch.Tensor:
    """Whether poses are nearly their own mirror image: (n,) booleans.

    Args:
        poses: (n, 22, 3, 3) in the stored frame.
        body: the body to measure.
    """
    distances = (_joints(poses, body) - _joints(mirror_pose(poses), body)).norm(dim=-1)
    return distances.mean(dim=1) < SYMMETRIC


def with_usual_sides(records: Sequence[Record], body: BodyModel) -> list[Record]:
    """Mirrors the poses of records without a side in their text, so that the right limbs lead.

    Poses of text-to-pose, and pairs of pose-edit whose first pose is symmetric; other records stay as they are.

    Args:
        records: of one task, either of text-to-pose or of pose-edit.
        body: the body to measure.
    """
    changed = list(records)
    unsided = [
        (index, record)
        for index, record in enumerate(records)
        if isinstance(record, PoseRecord | PosePairRecord) and not any(map(names_side, record_content(record).texts))
    ]
    if not unsided:
        return changed
    poses = [
        roma.rotvec_to_rotmat(torch.from_numpy(np.stack(record_content(record).poses)).float())
        for _, record in unsided
    ]
    questions, answers = (torch.stack([own[place] for own in poses]) for place in (0, -1))
    is_single = torch.tensor([len(own) == 1 for own in poses])
    mirrored = (right_side_lead(answers, body) < 0) & (is_single | is_symmetric(questions, body))
    for (index, record), own, flip in zip(unsided, poses, mirrored.tolist()):
        if flip:
            changed[index] = _with_poses(record, to_rotvecs(mirror_pose(own)))
    return changed


def _with_poses(record: PoseRecord | PosePairRecord, rotvecs: Rotvecs) -> Record:
    if isinstance(record, PoseRecord):
        return replace(record, rotvecs=rotvecs[0])
    return replace(record, first=rotvecs[0], second=rotvecs[1])


def _joints(poses: torch.Tensor, body: BodyModel) -> torch.Tensor:
    joints = body.forward_joints(remove_heading(poses.double()).float())
    return joints - joints[:, :1]
