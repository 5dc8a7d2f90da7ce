"""Poses whose text names no side are shown on the same side."""

import numpy as np
import pytest
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import mirror_pose
from unipose.training.datasets.generation import to_rotvecs
from unipose.training.datasets.records import ChainRecord, PosePairRecord, PoseRecord
from unipose.training.datasets.usual_sides import is_symmetric, right_side_lead, with_usual_sides
from unipose.training.named_poses.archetypes import archetype_poses


STAND, HAND_UP, SQUAT = (to_rotvecs(archetype_poses([name]))[0] for name in ("stand", "hand_up_left", "squat"))
MIRRORED = to_rotvecs(mirror_pose(archetype_poses(["hand_up_left"])))[0]


def test_the_right_side_leads_where_its_limbs_moved_further(body: BodyModel) -> None:
    poses = archetype_poses(["hand_up_left", "kick_left", "squat"]).float()
    leads = right_side_lead(poses, body)
    assert (leads[:2] < -0.3).all()
    assert abs(float(leads[2])) < 0.02
    assert right_side_lead(mirror_pose(poses), body) == pytest.approx(-leads, abs=1e-4)
    assert is_symmetric(poses, body).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [("hand up", True), ("LEFT hand up", False), ("Someone raises the left hand.", False), ("one arm lifted", True)],
)
def test_poses_are_mirrored_only_where_no_side_is_named(text: str, mirrored: bool, body: BodyModel) -> None:
    (record,) = with_usual_sides([PoseRecord("a", HAND_UP, (text,))], body)
    assert np.allclose(record.rotvecs, MIRRORED if mirrored else HAND_UP, atol=1e-5)
    (again,) = with_usual_sides([record], body)
    assert np.array_equal(again.rotvecs, record.rotvecs), "the right side leads already"


def test_edits_of_symmetric_poses_are_mirrored_as_a_whole(body: BodyModel) -> None:
    chain = ChainRecord("c", (STAND, HAND_UP), ("{pose} lift a hand",))
    records = [
        PosePairRecord("a", STAND, HAND_UP, ("raise a hand",)),
        PosePairRecord("b", HAND_UP, SQUAT, ("squat",)),
        PosePairRecord("d", STAND, HAND_UP, ("raise the left hand",)),
        chain,
    ]
    changed = with_usual_sides(records, body)
    assert np.allclose(changed[0].second, MIRRORED, atol=1e-5)
    assert torch.tensor(changed[0].first).shape == (22, 3)
    assert changed[1:] == records[1:], "the side of an asymmetric first pose is known"
