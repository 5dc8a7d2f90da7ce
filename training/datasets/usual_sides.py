"""Poses whose text names no side are shown on the same side: "a man waves" has one answer, not two mirror images.

With both, the likeliest codes of the two mix: both legs half bent for "tree pose". The side is the right one, since
most people are right-handed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, mirror_pose
from unipose.training.datasets.generation import to_rotvecs
from unipose.training.datasets.records import PosePairRecord, PoseRecord
from unipose.training.datasets.rows import Record
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
    unsided = [index for index, record in enumerate(records) if _is_unsided(record)]
    if not unsided:
        return changed
    answers = torch.stack([_rotmats(records[index], -1) for index in unsided])
    questions = torch.stack([_rotmats(records[index], 0) for index in unsided])
    is_single = torch.tensor([isinstance(records[index], PoseRecord) for index in unsided])
    mirrored = (right_side_lead(answers, body) < 0) & (is_single | is_symmetric(questions, body))
    for index, flip in zip(unsided, mirrored.tolist()):
        if flip:
            changed[index] = _mirror(records[index])
    return changed


def _joints(poses: torch.Tensor, body: BodyModel) -> torch.Tensor:
    joints = body.forward_joints(remove_heading(poses.double()).float())
    return joints - joints[:, :1]


def _is_unsided(record: Record) -> bool:
    if isinstance(record, PoseRecord):
        return not any(map(names_side, record.captions))
    return isinstance(record, PosePairRecord) and not any(map(names_side, record.texts))


def _rotmats(record: Record, index: int) -> torch.Tensor:
    rotvecs = [record.rotvecs] if isinstance(record, PoseRecord) else [*_pair(record)]
    return roma.rotvec_to_rotmat(torch.as_tensor(rotvecs[index]).float())


def _pair(record: Record) -> tuple:
    pair = cast(PosePairRecord, record)
    return pair.first, pair.second


def _mirror(record: Record) -> Record:
    if isinstance(record, PoseRecord):
        return replace(record, rotvecs=to_rotvecs(mirror_pose(_rotmats(record, 0))))
    first, second = (to_rotvecs(mirror_pose(_rotmats(record, index))) for index in (0, 1))
    return replace(cast(PosePairRecord, record), first=first, second=second)
