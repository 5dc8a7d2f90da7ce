"""Rows in people's words: named poses with wordings of the bank, questions with measured answers."""

import re
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.datasets.build_corpus import Recipe, build_corpus
from unipose.training.datasets.human_words import HumanWords, share_of
from unipose.training.datasets.pose_facts import pose_facts
from unipose.training.datasets.questions import DOING, ask_questions, load_questions
from unipose.training.datasets.records import PoseRecord
from unipose.training.datasets.rows import rows_from_records
from unipose.training.datasets.shards import load_corpus
from unipose.training.geometry import remove_heading, swap_sides
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses
from unipose.training.sampling.named import sample_named_poses


SAMPLES = 300


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.builtin()


@pytest.fixture(scope="module")
def asked(body: BodyModel) -> list[PoseRecord]:
    return HumanWords(body).questions(SAMPLES, np.random.default_rng(0), "train/q")


def joints_of(records: list[PoseRecord], body: BodyModel) -> dict[str, np.ndarray]:
    """Joint name -> (n, 3) positions, meters, y up."""
    rotmats = roma.rotvec_to_rotmat(torch.from_numpy(np.stack([record.rotvecs for record in records])))
    joints = body.forward_joints(rotmats).numpy()
    return {name: joints[:, index] for index, name in enumerate(JOINT_NAMES)}


def test_named_poses_are_near_the_tables_and_all_are_drawn(body: BodyModel) -> None:
    poses, names = sample_named_poses(2000, np.random.default_rng(0), body)
    exact = remove_heading(archetype_poses(names))
    joints, expected = (body.forward_joints(each) for each in (poses, exact))
    error = ((joints - joints[:, :1]) - (expected - expected[:, :1])).norm(dim=-1).mean(dim=1)
    assert float(error.quantile(0.95)) < 0.027
    table = {name if name in ARCHETYPES else swap_sides(name) for name in names}
    assert len(table) > 0.98 * len(ARCHETYPES)
    assert max(Counter(names).values()) < 25


def test_named_records_say_their_pose_and_whose_words_they_have(body: BodyModel) -> None:
    records = HumanWords(body).named(60, 0.5, np.random.default_rng(1), "train/a")
    human = [record for record in records if ":human:" in record.name]
    assert 15 <= len(human) <= 45
    assert len({record.name for record in records}) == 60
    assert {record.prompt for record in human} == {"{caption}"}
    assert {record.prompt for record in records if record not in human} == {""}
    for record in records:
        pose = record.name.split(":")[1]
        assert pose in ARCHETYPES or swap_sides(pose) in ARCHETYPES
    row = next(iter(rows_from_records(human[:1], ["text-to-pose"], np.random.default_rng(0))))
    assert row["messages"][0]["content"] == [{"type": "text", "text": human[0].captions[0]}]


def test_every_kind_of_question_has_phrasings_and_answers(body: BodyModel) -> None:
    questions = load_questions()
    assert len(questions) >= 15
    facts = pose_facts(sample_named_poses(1500, np.random.default_rng(0), body)[0], body)
    assert questions.keys() == {DOING, *facts}
    for kind, entry in questions.items():
        assert len(set(entry["questions"])) >= 8, kind
        if kind != DOING:
            assert set(facts[kind]) - {None} == set(entry["answers"]), kind


def test_answers_of_both_polarities_are_balanced(body: BodyModel) -> None:
    poses, names = sample_named_poses(1000, np.random.default_rng(0), body)
    answers = defaultdict(Counter)
    for question in ask_questions(4000, poses, list(names), np.random.default_rng(1), body):
        answers[question.kind][question.answer.split()[0].strip(",.")] += 1
    for kind in ("standing", "sitting", "hands_together", "arms_crossed", "upside_down", "balance", "lying"):
        yes, no = answers[kind]["Yes"], answers[kind]["No"]
        assert 0.3 < yes / (yes + no) < 0.7, kind


def test_answers_are_true(asked: list[PoseRecord], body: BodyModel) -> None:
    """By measures of the test's own, on the joints."""
    joints = joints_of(asked, body)
    lowest = np.stack(list(joints.values()))[..., 1].min(axis=0)
    checked = Counter()
    for index, record in enumerate(asked):
        at = {name: joints[name][index] for name in joints}
        kind, answer = record.name.split(":")[1], record.captions[0]
        trunk = at["neck"] - at["pelvis"]
        if kind in ("standing", "posture") and answer.endswith(("standing.", "feet.")) and not answer.startswith("No"):
            checked[kind] += 1
            assert at["pelvis"][1] - lowest[index] > 0.6
            assert trunk[1] > 0.2
        if kind in ("sitting", "lying") and answer.startswith("Yes"):
            checked[kind] += 1
            assert at["pelvis"][1] - lowest[index] < 0.75
            assert (trunk[1] > 0.3) == (kind == "sitting")
        if kind == "higher_hand" and ("left" in answer or "right" in answer):
            checked[kind] += 1
            higher = at["left_wrist"][1] > at["right_wrist"][1]
            assert ("left" in answer) == higher
        if kind == "raised_arm":
            checked[kind] += 1
            up = {side: at[f"{side}_wrist"][1] > at[f"{side}_shoulder"][1] for side in ("left", "right")}
            word = re.search(r"left|right|[Bb]oth arms are down|[Bb]oth|Neither|No ", answer)[0]
            expected = {"left": (True, False), "right": (False, True), "both": (True, True)}
            assert (up["left"], up["right"]) == expected.get(word.lower(), (False, False))
        if kind == "upside_down":
            checked[kind] += 1
            assert (trunk[1] < 0) == answer.startswith("Yes")
        if kind == "feet_apart":
            checked[kind] += 1
            distance = np.linalg.norm(at["left_ankle"] - at["right_ankle"])
            assert (distance > 0.35) == ("are apart" in answer)
        if kind == "front_foot" and "either" not in answer:
            checked[kind] += 1
            forward = np.cross(at["left_hip"] - at["right_hip"], (0.0, 1.0, 0.0))
            assert ("left" in answer) == (forward @ (at["left_ankle"] - at["right_ankle"]) > 0)
    assert len(checked) >= 7
    assert sum(checked.values()) > 40


def test_records_depend_on_the_seed_only(body: BodyModel) -> None:
    words = HumanWords(body)
    for make in (partial(words.questions, 20), partial(words.named, 20, 0.5)):
        first, again, other = (make(np.random.default_rng(seed), "a") for seed in (0, 0, 1))
        assert [record.captions for record in first] == [record.captions for record in again]
        assert [record.captions for record in first] != [record.captions for record in other]
        assert all((one.rotvecs == two.rotvecs).all() for one, two in zip(first, again))


def test_a_part_is_spread_over_the_shards() -> None:
    assert sum(share_of((start, start + 7), 70, 23) for start in range(0, 70, 7)) == 23


def test_a_corpus_with_and_without_human_words(tmp_path: Path) -> None:
    """The new rows do not change the others."""
    plain = Recipe(6, 0, 0, 0, 10, 0, 0, shard_size=5, seed=2)
    human = Recipe(6, 0, 0, 0, 10, 0, 0, shard_size=5, seed=2, questions=4, named_poses=0.4, human_wordings=0.5)
    build_corpus(plain, tmp_path / "plain")
    build_corpus(human, tmp_path / "human")
    rows = load_corpus(tmp_path / "human", cache_dir=tmp_path / "cache").to_list()
    asked = [row for row in rows if row["task"] == "pose-to-text" and ":human:" in row["source"]]
    assert len(asked) == 4
    assert len([row for row in rows if row["task"] == "pose-to-text"]) == 10
    for row in asked:
        assert [block["type"] for block in row["messages"][0]["content"]].count("pose") == 1
        assert row["messages"][1]["content"][0]["text"] == row["text"]
    assert len([row for row in rows if row["source"].count(":") > 1 and row["task"] == "text-to-pose"]) == 4
    with pytest.raises(ValueError, match=r"named_poses is 1\.5"):
        Recipe(named_poses=1.5).shards()
