"""Captions: true of their pose, fluent, varied, of a bounded length, and the same for the same seed."""

import re

import numpy as np
import pytest
import torch

import unipose.training.captions.posecode_phrases as phrases
from unipose.processing.body_model import BodyModel
from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.describe import describe
from unipose.training.captions.lexicon import both_forms, facts, forms, posture_phrases
from unipose.training.captions.merge import merge
from unipose.training.captions.posecodes import CODES, RULES, Posecode, extract_posecodes, holding
from unipose.training.captions.text import BufferedChooser, Caption, expand
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses
from unipose.training.sampling.poses import sample_training_poses


NUM_POSES = 300
STRAIGHT_LEFT, STRAIGHT_RIGHT = (Posecode("bend", f"{side}_knee", "straight") for side in ("left", "right"))


@pytest.fixture(scope="module")
def rotmats() -> torch.Tensor:
    return sample_training_poses(NUM_POSES, 0, BodyModel.builtin())[0]


@pytest.fixture(scope="module")
def joints(rotmats: torch.Tensor) -> np.ndarray:
    return BodyModel.builtin().forward_joints(rotmats).numpy()


def captions(joints: np.ndarray, seed: int = 0, **options) -> list[Caption]:
    rng = np.random.default_rng(seed)
    return [describe(codes, rng, **options) for codes in extract_posecodes(joints)]


def say(*codes: Posecode, seed: int = 0, **options) -> str:
    return describe(codes, np.random.default_rng(seed), drop=0.0, **options).text


def wordings(*codes: Posecode, seeds: int = 300) -> set[str]:
    return {say(*codes, seed=seed) for seed in range(seeds)}


def test_every_statement_holds(joints: np.ndarray, rotmats: torch.Tensor) -> None:
    """Exactly, or within the tolerance where the measurements were noisy."""
    for caption, pose in zip(captions(joints), joints):
        assert caption.text
        assert holding(caption.codes, pose[None], tolerance=0.0).all()
    rng = np.random.default_rng(1)
    rotations = rotmats.numpy()
    for index, codes in enumerate(extract_posecodes(joints, rng, rotations)):
        caption = describe(codes, rng)
        assert holding(caption.codes, joints[index, None], rotmats=rotations[index, None]).all()


def test_statements_of_another_pose_are_seldom_true(joints: np.ndarray) -> None:
    made = captions(joints)
    crossed = [holding(caption.codes, pose[None]).mean() for caption, pose in zip(made, np.roll(joints, 1, axis=0))]
    assert np.mean(crossed) < 0.4


def test_same_seed_same_text(joints: np.ndarray) -> None:
    assert captions(joints, 1) == captions(joints, 1)
    first, second = captions(joints, 1), captions(joints, 2)
    assert sum(one.text == other.text for one, other in zip(first, second)) < NUM_POSES / 20


def test_length_and_vocabulary(joints: np.ndarray) -> None:
    for limit in (20, 55):
        assert max(len(caption.text.split()) for caption in captions(joints, max_words=limit)) <= limit
    everything = " ".join(caption.text for seed in range(4) for caption in captions(joints, seed))
    assert len(set(re.findall(r"[a-z0-9'-]+", everything.lower()))) > 300
    plain = " ".join(caption.text for seed in range(4) for caption in captions(joints, seed, variety=0.0))
    assert len(set(re.findall(r"[a-z0-9'-]+", plain.lower()))) < 200


def test_sentences_are_well_formed(joints: np.ndarray) -> None:
    for seed in range(3):
        for caption in captions(joints, seed):
            for sentence in re.split(r"(?<=\.) ", caption.text):
                assert re.fullmatch(r"[A-Z][A-Za-z0-9 ,;'\-]+\.", sentence)
                assert not re.search(r"\b(\w+) \1\b|,,| ,|\bthe their\b", sentence)
                assert not re.search(
                    r"(?<!between the )\b(knees|hands|feet|they|elbows) (is|stays|remains)\b", sentence
                )
                assert not re.search(
                    r"\b(left|right) (knee|hand|foot|elbow) are\b", re.sub(r".* and .*", "", sentence)
                )


def test_every_code_has_words() -> None:
    for code in CODES:
        if code.kind != "posture":
            assert any(form.states for form in forms(code))
            assert len(wordings(code, seeds=60)) >= 3
    assert set(posture_phrases().values()) == {code for code in CODES if code.kind == "posture"}


def test_phrases_never_start_like_a_clause() -> None:
    """Else a reader could not tell a further fact from a further subject."""
    starts = tuple(f"{each} " for each in ("it", "they", *phrases.DETERMINERS, *phrases.BOTH, *phrases.PEOPLE))
    separators = re.compile(r"[,;]|\band (?:the|their|both)\b")
    for _, phrase in facts():
        assert not phrase.startswith(starts)
        assert not separators.search(phrase)


def test_right_hand_words_mirror_left_hand_words() -> None:
    for code in CODES:
        if code.kind == "posture" or not code.subject.startswith("left_"):
            continue
        for form, twin in zip(forms(code), forms(code.mirrored())):
            assert form.subject.startswith("left_") == twin.subject.startswith("right_")
            assert len(form.states) == len(twin.states)
            for one, other in zip(form.states + form.verbs, twin.states + twin.verbs):
                named = [
                    re.findall(r"\b(left|right) (?:hip|shoulder|knee|foot|hand|elbow)", text) for text in (one, other)
                ]
                assert ["right" if side == "left" else "left" for side in named[0]] == named[1]


def test_verbs_agree_with_their_subject() -> None:
    for code in CODES:
        for form in forms(code) + both_forms(code):
            for phrase in form.verbs:
                plural = form.subject.startswith("both_") or form.subject == "hips"
                assert phrase.split()[0].endswith("s") != plural, (form.subject, phrase)


def test_hips_take_a_plural_verb() -> None:
    texts = " ".join(wordings(Posecode("ground", "hips", "on")))
    assert re.search(r"hips (touch|rest) ", texts)
    assert re.search(r"(pelvis|bottom) (touches|rests) ", texts)
    assert not re.search(r"hips (touches|rests)|(pelvis|bottom) (touch|rest) ", texts)


def test_templates_are_expanded() -> None:
    assert list(expand("[a|b] c [d|e]")) == ["a c d", "a c e", "b c d", "b c e"]
    assert not any(set("[]<>|{}~") & set(subject + phrase) for subject, phrase in facts())


def test_sides_are_merged() -> None:
    both = wordings(STRAIGHT_LEFT, STRAIGHT_RIGHT)
    assert "Both knees are straight." in both
    assert "Their legs are fully straight." in both or "The legs are straight." in both
    merged = sum("left" not in text for text in (say(STRAIGHT_LEFT, STRAIGHT_RIGHT, seed=seed) for seed in range(300)))
    assert 0.9 < merged / 300 < 1.0
    assert "The left knee is straight." in wordings(STRAIGHT_LEFT)
    near = wordings(Posecode("near", "left_hand", "right_shoulder"), Posecode("near", "right_hand", "left_shoulder"))
    assert "Both hands are near the opposite shoulders." in near


def test_facts_of_a_part_are_joined() -> None:
    texts = wordings(Posecode("side", "left_hand", "far_outward"), Posecode("depth", "left_hand", "front"))
    assert "The left hand is far out to the side and in front of the body." in texts
    assert any(", and it is in front of the body." in text for text in texts)


def test_one_fact_of_several_parts() -> None:
    texts = wordings(STRAIGHT_LEFT, Posecode("bend", "right_elbow", "straight"))
    assert "The left knee and the right elbow are straight." in texts
    assert any(
        re.search("(keep|hold)s? (the|their) left leg and (the|their) right arm straight", text) for text in texts
    )


def test_contrasts() -> None:
    texts = wordings(STRAIGHT_LEFT, Posecode("bend", "right_knee", "bent_90"), seeds=600)
    assert any(
        re.search(r"left knee \w+ straight, (while|but|whereas) the (other|right one) is", text) for text in texts
    )


def test_differing_sides_are_sometimes_summed_up() -> None:
    codes = (Posecode("bend", "left_knee", "bent_90"), Posecode("bend", "right_knee", "half_bent"))
    both = tuple(Posecode("bend", f"{side}_knee", "bent") for side in ("left", "right"))
    described = [describe(codes, np.random.default_rng(seed), drop=0.0).codes for seed in range(200)]
    assert 0.1 < sum(own == both for own in described) / 200 < 0.4
    assert all(set(own) in (set(codes), set(both)) for own in described)


def test_merging_keeps_every_code(joints: np.ndarray) -> None:
    chooser = BufferedChooser(np.random.default_rng(0))
    for codes in extract_posecodes(joints):
        spoken = [code for code in codes if code.kind != "posture"]
        merged = [code for clause in merge(spoken, chooser) for code in clause.codes]
        assert len(merged) == len(set(merged)) == len(spoken)
        assert {code.group for code in merged} == {code.group for code in spoken}


def test_posture_opens_the_caption() -> None:
    codes = (Posecode("posture", "body", "kneels_right"), Posecode("arms", "arms", "overhead"))
    texts = wordings(*codes)
    assert "A person kneels on the right knee with both arms raised overhead." in texts
    assert any(re.match(r"Someone is kneeling on the right knee,? with (both|the|their) arms", text) for text in texts)
    assert all("right knee" in text.split(".")[0] for text in texts)
    assert any(text.startswith("There is a person kneeling") for text in texts)


def test_lead_replaces_the_posture() -> None:
    codes = (Posecode("posture", "body", "squats"), Posecode("arms", "arms", "forward"))
    caption = describe(codes, np.random.default_rng(0), lead="A person squats.", variety=0.0)
    assert re.fullmatch(
        r"A person squats\. (Both arms (are stretched|reach)|They keep both arms stretched) forward\.", caption.text
    )
    assert caption.codes == (codes[1],)


def test_drop_and_rare() -> None:
    rare, common = Posecode("ground", "left_knee", "on"), Posecode("bend", "left_knee", "bent_90")
    caption = describe((rare, common), np.random.default_rng(0), drop=1.0)
    assert caption.codes == (rare,)
    assert describe((), np.random.default_rng(0)) == Caption("", ())


def test_rare_codes_come_first(joints: np.ndarray) -> None:
    """Where there is no room for all, what is left out are the others."""
    for codes, caption in zip(extract_posecodes(joints), captions(joints, drop=0.0, max_words=40)):
        rare = [code for code in codes if RULES[code].eligibility == "rare"]
        if len(rare) <= 2:
            assert set(rare) <= set(caption.codes) | {code.mirrored() for code in caption.codes}


def test_archetypes_are_described_by_their_posture() -> None:
    body = BodyModel.builtin()
    names = ["kneel", "squat", "sit", "lie_back"]
    words = ("kneel", "squat", "sit|seat|perch", "l(ies|ying)|face up|back")
    for seed in range(5):
        made = captions(body.forward_joints(archetype_poses(names)).numpy(), seed)
        for caption, word in zip(made, words):
            assert re.search(word, caption.text.split(".")[0])
    assert set(names) <= set(ARCHETYPES)


def test_a_mirrored_pose_has_the_mirrored_caption(joints: np.ndarray) -> None:
    """Same random choices, codes mirrored one by one: what is read in the text is mirrored one by one."""
    for index, codes in enumerate(extract_posecodes(joints)):
        caption = describe(codes, np.random.default_rng(index))
        twin = describe([code.mirrored() for code in codes], np.random.default_rng(index))
        assert {code.mirrored() for code in read_caption(caption.text).codes} == set(read_caption(twin.text).codes)
        assert len(caption.text.split()) == len(twin.text.split())
        assert both_forms(codes[0]) == () or codes[0].subject.startswith("left_")
