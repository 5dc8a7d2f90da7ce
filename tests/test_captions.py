"""Captions: true of their pose, short, from a closed inventory, and the same for the same seed."""

import re

import numpy as np
import pytest

from unipose.processing.body_model import BodyModel
from unipose.training.archetypes import ARCHETYPES, archetype_poses
from unipose.training.captions.describe import Caption, describe, statements_true
from unipose.training.captions.posecodes import CODES, Posecode, extract_posecodes
from unipose.training.poses import sample_training_poses


NUM_POSES = 300


@pytest.fixture(scope="module")
def joints() -> np.ndarray:
    body = BodyModel.builtin()
    return body.forward_joints(sample_training_poses(NUM_POSES, 0, body)[0]).numpy()


def captions(joints: np.ndarray, seed: int = 0, **options) -> list[Caption]:
    rng = np.random.default_rng(seed)
    return [describe(codes, rng, **options) for codes in extract_posecodes(joints)]


def say(*codes: Posecode, seed: int = 0, **options) -> str:
    return describe(codes, np.random.default_rng(seed), drop=0.0, **options).text


def test_every_statement_holds(joints: np.ndarray) -> None:
    for caption, pose in zip(captions(joints), joints):
        assert caption.text
        assert statements_true(caption.codes, pose, tolerance=0.0) == 1.0


def test_statements_of_another_pose_are_seldom_all_true(joints: np.ndarray) -> None:
    made = captions(joints)
    crossed = [statements_true(caption.codes, pose) for caption, pose in zip(made, np.roll(joints, 1, axis=0))]
    assert np.mean(crossed) < 0.6


def test_statements_true_needs_statements(joints: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no codes"):
        statements_true((), joints[0])


def test_same_seed_same_text(joints: np.ndarray) -> None:
    assert captions(joints, 1) == captions(joints, 1)
    assert captions(joints, 1) != captions(joints, 2)


def test_length_and_vocabulary(joints: np.ndarray) -> None:
    lengths = [len(caption.text.split()) for caption in captions(joints)]
    assert max(lengths) <= 55
    assert max(len(caption.text.split()) for caption in captions(joints, max_words=20)) <= 20
    everything = " ".join(say(code, seed=seed) for code in CODES for seed in range(8))
    assert len(set(re.findall(r"[a-z0-9]+", everything.lower()))) < 150


def test_sentences_are_well_formed(joints: np.ndarray) -> None:
    for caption in captions(joints):
        for sentence in caption.text.split(". "):
            assert re.fullmatch(r"[A-Z][a-z0-9 ,\-]+\.?", sentence)
            assert not re.search(r"\b(\w+) \1\b", sentence)


def test_every_code_has_words() -> None:
    texts = {code: {say(code, seed=seed) for seed in range(8)} for code in CODES}
    assert all(1 <= len(phrasings) <= 3 for phrasings in texts.values())


def test_sides_are_merged() -> None:
    both = say(Posecode("bend", "left_knee", "straight"), Posecode("bend", "right_knee", "straight"))
    assert both == "Both knees are straight."
    assert say(Posecode("bend", "left_knee", "straight")) == "The left knee is straight."
    near = say(Posecode("near", "left_hand", "right_shoulder"), Posecode("near", "right_hand", "left_shoulder"))
    assert near == "Both hands are near the opposite shoulders."


def test_facts_of_a_part_are_joined() -> None:
    text = say(Posecode("side", "left_hand", "outward"), Posecode("depth", "left_hand", "front"))
    assert text == "The left hand is out to the side and in front of the body."


def test_posture_opens_the_caption() -> None:
    codes = (Posecode("posture", "body", "kneels_right"), Posecode("arms", "arms", "overhead"))
    texts = {say(*codes, seed=seed) for seed in range(8)}
    assert texts == {
        "A person kneels on the right knee with both arms raised overhead.",
        "Someone is kneeling on the right knee with both arms raised overhead.",
    }


def test_lead_replaces_the_posture() -> None:
    codes = (Posecode("posture", "body", "squats"), Posecode("arms", "arms", "forward"))
    caption = describe(codes, np.random.default_rng(0), lead="A person squats.")
    assert caption.text == "A person squats. Both arms are stretched forward."
    assert caption.codes == (codes[1],)


def test_drop_and_rare() -> None:
    rare, common = Posecode("ground", "left_knee", "on"), Posecode("bend", "left_knee", "bent_90")
    caption = describe((rare, common), np.random.default_rng(0), drop=1.0)
    assert caption.codes == (rare,)


def test_archetypes_are_described_by_their_posture() -> None:
    body = BodyModel.builtin()
    names = ["kneel", "squat", "sit", "lie_back"]
    made = captions(body.forward_joints(archetype_poses(names)).numpy())
    for caption, word in zip(made, ("kneel", "squat", "sit", "l(ies|ying)")):
        assert re.search(word, caption.text.split(".")[0])
    assert set(names) <= set(ARCHETYPES)
