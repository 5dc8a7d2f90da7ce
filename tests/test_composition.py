"""Composed poses: every state can be measured, they are in balance, and the texts are true."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.datasets.human_words import HumanWords
from unipose.training.datasets.rows import record_content
from unipose.training.named_poses.limb_grammar import composed_text
from unipose.training.named_poses.limbs import arm_text, load_limbs
from unipose.training.sampling.balance import off_balance
from unipose.training.sampling.composition import Composer


SAMPLES = 300


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer.load(BodyModel.builtin())


def positions(composer: Composer, poses: torch.Tensor) -> dict[str, np.ndarray]:
    joints = composer.body.forward_joints(poses).numpy()
    return {name: joints[:, index] for index, name in enumerate(JOINT_NAMES)}


@pytest.mark.parametrize("kind", ["arms", "heads", "bases"])
def test_states_have_enough_wordings(kind: str) -> None:
    states = load_limbs(kind)
    assert len({state.name for state in states}) == len(states) >= {"arms": 25, "heads": 8, "bases": 15}[kind]
    for state in states:
        assert len({*state.do, *state.states}) >= 12, state.name


def test_every_state_is_drawn_and_can_be_measured(composer: Composer) -> None:
    _, states = composer.draw(4000, np.random.default_rng(0))
    for column, options in enumerate((composer.bases, composer.arms, composer.arms, composer.heads)):
        assert set(states[:, column]) == set(range(len(options))), column


def test_composed_texts_are_true(composer: Composer) -> None:
    """By the joints, for the states that a text most often names."""
    poses, states = composer.draw(SAMPLES, np.random.default_rng(1))
    tipping = (
        off_balance(poses, composer.body, composer.capsules) > composer.off_balance[torch.from_numpy(states[:, 0])]
    )
    assert not tipping.any()
    at = positions(composer, poses)
    checked = Counter()
    for index, row in enumerate(states):
        composition = composer.composition(row)
        for side, arm in (("left", composition.left), ("right", composition.right)):
            wrist, shoulder = at[f"{side}_wrist"][index], at[f"{side}_shoulder"][index]
            if arm.name in ("raised", "diagonal_up", "hanging", "on_hip"):
                checked[arm.name] += 1
                assert (wrist[1] > shoulder[1]) == (arm.name in ("raised", "diagonal_up"))
            if arm.name in ("on_head", "at_ear", "over_mouth", "saluting"):
                checked["head"] += 1
                assert np.linalg.norm(wrist - at["head"][index]) < 0.35
        if composition.base.name in ("sit_ground", "sit_cross_legged"):
            checked["ground"] += 1
            assert at["pelvis"][index, 1] - min(joint[index, 1] for joint in at.values()) < 0.3
    assert min(checked[name] for name in ("raised", "hanging", "on_hip", "head", "ground")) >= 5


def test_texts_name_the_side_and_have_no_placeholder(composer: Composer) -> None:
    rng = np.random.default_rng(2)
    _, states = composer.draw(SAMPLES, rng)
    for row in states:
        text = composed_text(composer.composition(row), rng)
        assert "{" not in text
        assert text.strip()
    assert {arm_text("put {hand} on the {hip}", "both", rng) for _ in range(30)} == {
        "put the hands on the hips",
        "put {their} hands on the hips",
        "put both hands on the hips",
    }


def test_records_depend_on_the_seed_only(composer: Composer) -> None:
    words = HumanWords(composer.body)
    for make in (partial(words.composed, 20), partial(words.edits, 20), partial(words.change_questions, 20)):
        first, again, other = (make(np.random.default_rng(seed), "a") for seed in (0, 0, 1))
        texts = [[record_content(record).texts for record in each] for each in (first, again, other)]
        assert texts[0] == texts[1]
        assert texts[0] != texts[2]
        assert len({record.name for record in first}) == 20
