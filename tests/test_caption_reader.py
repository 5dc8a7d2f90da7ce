"""Captions are read back to exactly the codes they state, and scored against poses."""

import re

import numpy as np
import pytest
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.captions.archetype_codes import archetype_codes
from unipose.training.captions.caption_reader import read_caption, whole_sentences
from unipose.training.captions.describe import describe
from unipose.training.captions.lexicon import both_forms, facts, forms
from unipose.training.captions.posecode_precision import CaptionScore, score_captions
from unipose.training.captions.posecodes import CODES, Posecode, extract_posecodes
from unipose.training.captions.text import Reading
from unipose.training.geometry import swap_sides
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses, archetype_sentences
from unipose.training.sampling.poses import held_out_poses, sample_training_poses
from unipose.training.tools.check_captions import caption_all, mean_scores


NUM_POSES = 1000
STRAIGHT = Posecode("bend", "left_knee", "straight")


@pytest.fixture(scope="module")
def poses() -> torch.Tensor:
    """Sampled poses (motion, mixed, archetypes), every archetype and held-out motion."""
    exact = archetype_poses([*ARCHETYPES, *map(swap_sides, ARCHETYPES)])
    return torch.cat([sample_training_poses(NUM_POSES, 0, BodyModel.builtin())[0], exact, held_out_poses()[::2]])


@pytest.fixture(scope="module")
def joints(poses: torch.Tensor) -> np.ndarray:
    return BodyModel.builtin().forward_joints(poses).numpy()


@pytest.fixture(scope="module")
def codes(joints: np.ndarray, poses: torch.Tensor) -> list[tuple[Posecode, ...]]:
    return extract_posecodes(joints, rotmats=poses.numpy())


@pytest.mark.parametrize(
    ("drop", "max_words", "variety"), [(0.15, 55, 1.0), (0.0, 500, 1.0), (0.15, 20, 1.0), (0, 60, 0)]
)
def test_reads_the_captions_of_describe(
    codes: list[tuple[Posecode, ...]], drop: float, max_words: int, variety: float
) -> None:
    rng = np.random.default_rng(0)
    for pose_codes in codes:
        caption = describe(pose_codes, rng, drop=drop, max_words=max_words, variety=variety)
        sentences = len(re.findall(r"\.(?: |$)", caption.text))
        assert read_caption(caption.text) == Reading(caption.codes, sentences, ())


def test_reads_any_mix_of_codes() -> None:
    """Also of codes that no pose shows together."""
    rng = np.random.default_rng(0)
    for _ in range(1000):
        mixed = [CODES[index] for index in rng.choice(len(CODES), 12, replace=False)]
        by_group = {code.group: code for code in mixed}
        caption = describe(tuple(by_group.values()), rng, drop=0.0, max_words=500)
        assert read_caption(caption.text).codes == caption.codes
        assert read_caption(caption.text).unparsable == ()


def test_reads_every_phrase_of_every_code() -> None:
    for code in CODES:
        for form in forms(code) + both_forms(code):
            side, _, noun = form.subject.partition("_")
            part = {"both": "both", "left": "the left", "right": "the right"}.get(side)
            nouns = {"foot": "feet", "thigh": "thighs"}
            if part is None or noun == "line":
                continue
            name = f"{part} {(nouns.get(noun, noun + 's') if side == 'both' else noun).replace('_', ' ')}"
            for phrase in form.states:
                assert read_caption(f"They keep {name} {phrase}.") == Reading(form.codes, 1, ())
            for phrase in form.verbs:
                assert read_caption(f"{name.capitalize()} {phrase}.") == Reading(form.codes, 1, ())


def test_a_wording_has_one_meaning() -> None:
    stated = {code for codes in facts().values() for code in codes}
    assert stated == {code for code in CODES if code.kind != "posture"}


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        (
            "A person kicks with the left leg and has both arms hanging down.",
            (Posecode("posture", "body", "kicks_left"), Posecode("arms", "arms", "down")),
        ),
        (
            "Someone is kneeling on the right knee with both arms raised overhead.",
            (Posecode("posture", "body", "kneels_right"), Posecode("arms", "arms", "overhead")),
        ),
        ("The left knee is bent a little and on the ground.", (
            Posecode("bend", "left_knee", "slightly_bent"), Posecode("ground", "left_knee", "on")
        )),
        ("Both hands are near the opposite shoulders.", (
            Posecode("near", "left_hand", "right_shoulder"), Posecode("near", "right_hand", "left_shoulder")
        )),
        ("The hands are wide apart.", (Posecode("distance", "hands", "wide"),)),
        ("The torso is leaning forward and turned to the right.", (
            Posecode("torso", "torso", "forward"), Posecode("twist", "torso", "right")
        )),
        ("The left foot is in front. The head is bent down.", (
            Posecode("order_depth", "left_foot", "ahead"), Posecode("head", "head", "down")
        )),
        ("The hips are on the ground.", (Posecode("ground", "hips", "on"),)),
        ("The left knee is straight while the other one is bent.", (STRAIGHT, Posecode("bend", "right_knee", "bent"))),
        ("They keep their left knee and their right elbow straight.", (
            STRAIGHT, Posecode("bend", "right_elbow", "straight")
        )),
        ("The right hand is behind the left hand, and it is above the head.", (
            Posecode("order_depth", "left_hand", "ahead"), Posecode("height", "right_hand", "above_head")
        )),
    ],
)  # fmt: skip
def test_sentences_old_and_new(text: str, stated: tuple[Posecode, ...]) -> None:
    assert read_caption(text).codes == stated
    assert read_caption(text).unparsable == ()


def test_archetype_sentences_state_their_posture_and_arms() -> None:
    assert read_caption("Someone is waving the right hand.").codes == (
        Posecode("posture", "body", "stands"),
        Posecode("arms", "arms", "right_up"),
    )
    for name, archetype in ARCHETYPES.items():
        for sentence in archetype_sentences(swap_sides(name)):
            reading = read_caption(sentence)
            assert (reading.unparsable == ()) == bool(archetype.posture or archetype.arms)
            assert set(reading.codes) <= set(CODES)
            assert len({code.group for code in reading.codes}) == len(reading.codes)
    codeless = [name for name in ARCHETYPES if not archetype_codes(name)]
    sides = {swap_sides(sentence) for name in codeless for sentence in archetype_sentences(name)}
    spoken = sides | {swap_sides(sentence) for sentence in sides}
    assert {sentence for sentence, codes in whole_sentences().items() if not codes} == spoken


def test_unknown_words_are_unparsable_and_known_ones_still_count() -> None:
    reading = read_caption("The left knee is straight and purple. The left knee is straight. Hello there. Both")
    assert reading.codes == (STRAIGHT,)
    assert reading.sentences == 4
    assert reading.unparsable == ("The left knee is straight and purple.", "Hello there.", "Both")
    assert read_caption("The left knee is straight, the left wing is purple, bent.").codes == (STRAIGHT,)
    assert read_caption("") == Reading((), 0, ())


@pytest.mark.parametrize(
    "text",
    [
        "The left knee is not straight.",
        "The left wing is straight.",
        "The left knee is upright.",
        "Straight.",
        "It is straight.",
        "The other is straight.",
        "A person is purple.",
        "They keep.",
        "is is and and , ; the the left.",
        "The left knee is straight",
        "Les bras sont levés !? <pose> 你好 \x00 \n\t.",
    ],
)
def test_what_cannot_be_read_is_unparsable(text: str) -> None:
    reading = read_caption(text)
    assert reading.unparsable
    assert set(reading.codes) <= ({STRAIGHT} if text == "The left knee is straight" else set())


def test_random_words_never_raise(codes: list[tuple[Posecode, ...]]) -> None:
    rng = np.random.default_rng(0)
    words = " ".join(describe(each, rng).text for each in codes[:50]).split()
    for _ in range(500):
        text = " ".join(words[index] for index in rng.integers(len(words), size=30))
        assert set(read_caption(text).codes) <= set(CODES)


def test_captions_hold_on_their_pose_and_seldom_on_another(joints: np.ndarray, poses: torch.Tensor) -> None:
    rotations = poses.numpy()
    texts = [caption.text for caption in caption_all(joints, rotations, 1, seed=0)[0]]
    own = mean_scores(score_captions(texts, joints, rotations))
    other = mean_scores(score_captions(texts, np.roll(joints, 1, axis=0), np.roll(rotations, 1, axis=0)))
    assert own["precision"] >= 0.98
    assert own["recall"] > 0.7
    assert other["precision"] < 0.4
    assert other["recall"] < 0.2


def score_caption(text: str, joints: np.ndarray, rotmats: np.ndarray | None = None) -> CaptionScore:
    return score_captions((text,), joints[None], None if rotmats is None else rotmats[None])[0]


def test_score_by_hand() -> None:
    t_pose = BodyModel.builtin().joints[:22].numpy()
    text = "A person stands. The left knee is bent at a right angle. Both arms are stretched out to the sides. Ha."
    score = score_caption(text, t_pose)
    assert [code.value for code in score.statements] == ["stands", "bent_90", "t_pose"]
    assert score.precision == pytest.approx(2 / 3)
    assert {code.value for code in score.salient} >= {"stands", "t_pose"}
    assert {code.value for code in score.recalled} == {"stands", "t_pose"}
    assert score.recall == pytest.approx(2 / len(score.salient))
    assert (score.sentences, score.unparsable) == (4, ("Ha.",))
    nothing = score_caption("Hello.", t_pose)
    assert (nothing.precision, nothing.recall) == (0.0, 0.0)


def test_rotations_of_the_head_count_only_where_they_are_measured() -> None:
    t_pose, rotmats = BodyModel.builtin().joints[:22].numpy(), np.tile(np.eye(3), (22, 1, 1))
    text = "The head is turned to the left. The left knee is straight."
    assert score_caption(text, t_pose).precision == 1.0
    assert score_caption(text, t_pose, rotmats).precision == 0.5


def test_texts_and_poses_must_match(joints: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"2 texts and joints of shape \(3, 22, 3\)"):
        score_captions(["a", "b"], joints[:3])
