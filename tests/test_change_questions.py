"""Questions about what changed: the answers are true of the rotations."""

from collections import Counter

import numpy as np
import pytest
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.datasets.change_questions import load_change_questions
from unipose.training.datasets.human_words import HumanWords
from unipose.training.datasets.records import PosePairRecord
from unipose.training.datasets.rows import rows_from_records


@pytest.fixture(scope="module")
def asked() -> list[PosePairRecord]:
    return HumanWords(BodyModel.builtin()).change_questions(500, np.random.default_rng(0), "train/q")


def degrees(record: PosePairRecord) -> dict[str, float]:
    poses = [roma.rotvec_to_rotmat(torch.from_numpy(each)) for each in (record.first, record.second)]
    return dict(zip(JOINT_NAMES, roma.rotmat_geodesic_distance(*poses).rad2deg().tolist()))


def test_every_kind_has_phrasings_and_is_asked(asked: list[PosePairRecord]) -> None:
    for kind, entry in load_change_questions().items():
        assert len(set(entry["questions"])) == len(entry["questions"]) >= 8, kind
    assert {record.name.split(":")[1] for record in asked} == set(load_change_questions())


def test_answers_are_true(asked: list[PosePairRecord]) -> None:
    checked = Counter()
    for record in asked:
        kind, answer, moved = record.name.split(":")[1], record.texts[0], degrees(record)
        joints = ("shoulder", "elbow", "wrist", "collar")
        arms = {side: max(moved[f"{side}_{joint}"] for joint in joints) > 1 for side in ("left", "right")}
        if kind == "arm":
            checked[answer] += 1
            expected = {(True, True): "Both arms", (True, False): "The left arm", (False, True): "The right arm"}
            assert answer.startswith(expected.get((arms["left"], arms["right"]), "Neither arm"))
        if kind == "part" and "arm" in answer:
            checked[answer[:3]] += 1
            assert answer.startswith("Yes") == arms["left" if "left" in answer else "right"]
        if kind == "same":
            checked["same"] += 1
            assert answer.startswith("Yes") == (max(moved.values()) < 1)
        if kind == "changed":
            checked[kind] += 1
            assert answer.startswith("No") == (max(moved.values()) < 1)
    assert len(checked) >= 6


def test_rows_have_both_poses_and_a_text(asked: list[PosePairRecord]) -> None:
    for row in rows_from_records(asked[:40], ["pose-diff"], np.random.default_rng(0)):
        assert len(row["poses"]) == 2
        assert row["text"].endswith(".")
        assert "{" not in row["messages"][0]["content"][-1].get("text", "") + row["text"]
