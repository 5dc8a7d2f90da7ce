"""Rewrites of captions: faithful ones pass, any that swaps sides, changes, loses or invents a fact does not."""

import re

import numpy as np
import pytest
from refine_examples import DIFFERENCES, REWRITES

from unipose.processing.body_model import BodyModel
from unipose.training.archetypes import archetype_poses
from unipose.training.captions.describe import describe
from unipose.training.captions.posecodes import CODES, Posecode, extract_posecodes, swap_sides
from unipose.training.captions.read import Reading, read_caption
from unipose.training.poses import sample_training_poses
from unipose.training.refine.checks import Limits, check_caption, check_difference
from unipose.training.refine.free_text import change_lexicon, pose_lexicon
from unipose.training.refine.synonyms import POSE_PHRASES


INVENTIONS = (
    "The torso twists to the right.",
    "Their right hand touches the left shoulder.",
    "Both arms are crossed.",
    "The left hand is on the ground.",
)
CHANGES = (
    ("slightly bent", "sharply bent"),
    ("half bent", "straight"),
    ("straight", "half bent"),
    ("in front of", "behind"),
    ("hip height", "shoulder height"),
    ("chest height", "hip height"),
    ("apart", "together"),
    ("horizontal", "vertical"),
    ("forward", "backward"),
)


@pytest.fixture(scope="module")
def joints() -> np.ndarray:
    body = BodyModel.builtin()
    return body.forward_joints(sample_training_poses(100, 0, body)[0]).numpy()


def codes_of(text: str) -> set[Posecode]:
    """The codes that a text states beyond doubt."""
    return {code for said in pose_lexicon().read(text) for code in said.codes if len(said.codes) == 1}


@pytest.mark.parametrize(("caption", "rewrite"), REWRITES)
def test_faithful_rewrites_pass(caption: str, rewrite: str) -> None:
    verdict = check_caption(caption, rewrite)
    assert verdict.accepted, verdict.reasons
    assert verdict.invented == ()
    assert verdict.reasons == ()


@pytest.mark.parametrize(("caption", "rewrite"), REWRITES)
def test_a_swapped_side_does_not(caption: str, rewrite: str) -> None:
    assert not check_caption(caption, swap_sides(rewrite)).accepted
    for side in re.finditer(r"\b(left|right)\b(?! angle)", rewrite):
        swapped = rewrite[: side.start()] + swap_sides(side[0]) + rewrite[side.end() :]
        verdict = check_caption(caption, swapped)
        assert not verdict.accepted, swapped
        assert verdict.invented or verdict.lost


@pytest.mark.parametrize(("caption", "rewrite"), REWRITES)
def test_an_invented_or_changed_fact_does_not(caption: str, rewrite: str) -> None:
    for invention in INVENTIONS:
        assert not check_caption(caption, f"{rewrite} {invention}").accepted, invention
    for before, after in CHANGES:
        if before in rewrite:
            assert not check_caption(caption, rewrite.replace(before, after, 1)).accepted, (before, after)


def test_a_few_facts_may_be_lost() -> None:
    caption = "The left knee is straight. The right knee is half bent. The torso is upright. The head is lowered."
    rewrite = "The torso is upright, the left knee is straight and the head is lowered."
    strict, lenient = check_caption(caption, rewrite), check_caption(caption, rewrite, limits=Limits(kept=0.7))
    assert strict.lost == lenient.lost == ("The right knee is half bent.",)
    assert (strict.accepted, lenient.accepted) == (False, True)
    assert strict.reasons == ("This is missing, or not in plain words: 'The right knee is half bent.'.",)


def test_the_pose_decides_where_it_is_known(joints: np.ndarray) -> None:
    kneel = BodyModel.builtin().forward_joints(archetype_poses(["kneel"]))[0].numpy()
    caption, rewrite = "The torso is upright.", "The torso is upright, and both knees are on the ground."
    assert check_caption(caption, rewrite, kneel).accepted
    stand = BodyModel.builtin().forward_joints(archetype_poses(["arms_forward"]))[0].numpy()
    assert check_caption(caption, rewrite, stand).invented == ("both knees: on the ground",)
    assert not check_caption(caption, rewrite).accepted


def test_what_follows_from_the_caption_is_not_invented() -> None:
    caption = "A person squats with both arms raised overhead."
    assert check_caption(caption, "The person squats with bent knees and both arms raised overhead.").accepted
    assert not check_caption(caption, "The person squats with straight knees and both arms raised overhead.").accepted


def test_captions_say_what_other_wordings_of_them_say(joints: np.ndarray) -> None:
    """The same codes in other words and another order pass; the mirrored caption of an asymmetric pose does not."""
    rng = np.random.default_rng(0)
    for pose, codes in zip(joints, extract_posecodes(joints)):
        first, second = (describe(codes, rng, drop=0.0, max_words=500).text for _ in range(2))
        limits = Limits(shortest=0.1)
        assert check_caption(first, second, pose, limits).accepted, (first, second)
        if {code.mirrored() for code in codes} != set(codes):
            assert not check_caption(first, swap_sides(second), None, limits).accepted


@pytest.mark.parametrize(
    ("rewrite", "reason"),
    [
        ("The woman squats with the left knee bent at a right angle.", "who it is ('woman')"),
        ("The person squats in a red shirt, the left knee bent at a right angle.", "clothes ('shirt')"),
        ("In the picture, the person squats, the left knee bent at a right angle.", "the picture ('picture')"),
        ("The person isn't standing but squats, the left knee bent at a right angle.", "what is not so"),
        ("**Squat**: the person squats, the left knee bent at a right angle.", "plain, complete sentences"),
        ("The person squats.\n\nThe left knee is bent at a right angle.", "plain, complete sentences"),
        ("The person squats, the left knee bent at a right angle and", "plain, complete sentences"),
        ("The person squats, the left knee bent at a right angle. " * 5, "words; 5 to 32 are wanted"),
        ("Squats.", "words; 5 to 32 are wanted"),
    ],
)
def test_form(rewrite: str, reason: str) -> None:
    caption = "A person squats. The left knee is bent at 90 degrees."
    assert check_caption(caption, "The person squats, the left knee bent at a right angle.").accepted
    reasons = check_caption(caption, rewrite.strip()).reasons
    assert any(reason in each for each in reasons), reasons


def test_an_unreadable_caption_cannot_be_rewritten() -> None:
    verdict = check_caption("Someone throws a punch.", "Someone throws a punch at the air.")
    assert not verdict.accepted
    assert "can be read" in verdict.reasons[0]


@pytest.mark.parametrize(("text", "rewrite"), DIFFERENCES)
def test_differences(text: str, rewrite: str) -> None:
    assert check_difference(text, rewrite).accepted, check_difference(text, rewrite).reasons
    assert any("Left and right" in reason for reason in check_difference(text, swap_sides(rewrite)).reasons)
    for before, after in (("raise", "lower"), ("lift", "lower"), ("further back", "further forward")):
        if before in rewrite:
            assert check_difference(text, rewrite.replace(before, after)).lost
    assert check_difference(text, f"{rewrite} The left elbow is more bent.").invented


def test_differences_through_a_reader_of_their_inventory() -> None:
    """`read_caption` stands in for the reader of instructions."""
    text = "The left knee is straight. The right knee is half bent."
    faithful, swapped = "The right knee is partly bent. The left knee is straight.", swap_sides(text)
    assert check_difference(text, faithful, read_caption).accepted
    assert not check_difference(text, swapped, read_caption).accepted

    def reads_nothing(words: str) -> Reading:
        return Reading((), 1, (words,))

    raised = "Raise the left hand. Bend the right knee more."
    assert check_difference(raised, "Bend the right knee more and raise the left hand.", reads_nothing).accepted


def test_the_synonyms_know_the_whole_inventory() -> None:
    """Every code is read back from its sentence, and no synonym stands for a value that no code has."""
    for code in CODES:
        sentence = describe((code,), np.random.default_rng(0), drop=0.0).text
        assert any(code in said.codes for said in pose_lexicon().read(sentence)), sentence
    known = {(code.kind, code.value) for code in CODES}
    listed = {
        (kind, value.replace("{side}", "left"))
        for _, meaning in POSE_PHRASES
        for kind, _, values in (entry.partition("=") for entry in meaning.split())
        for value in values.split(",")
    }
    assert listed - known == {("near", "{target}")}


def test_who_is_meant() -> None:
    """The other side, a part of the side that was named last, adjectives before and facts after a noun."""
    assert codes_of("The left elbow is straight, the other is bent at a right angle.") == {
        Posecode("bend", "left_elbow", "straight"),
        Posecode("bend", "right_elbow", "bent_90"),
    }
    assert codes_of("The right arm hangs, the elbow slightly bent.") >= {
        Posecode("bend", "right_elbow", "slightly_bent")
    }
    assert codes_of("With a straight left knee and a half bent right knee.") == {
        Posecode("bend", "left_knee", "straight"),
        Posecode("bend", "right_knee", "half_bent"),
    }
    assert codes_of("The left elbow and right knee are straight.") == {
        Posecode("bend", "left_elbow", "straight"),
        Posecode("bend", "right_knee", "straight"),
    }
    assert codes_of("The left hand is near the opposite shoulder.") == {
        Posecode("near", "left_hand", "right_shoulder")
    }
    assert codes_of("The person twists their torso to the left.") == {Posecode("twist", "torso", "left")}


def test_the_mirror_image_reads_mirrored() -> None:
    for _, rewrite in REWRITES:
        said = {each.codes for each in pose_lexicon().read(rewrite)}
        mirrored = {each.codes for each in pose_lexicon().read(swap_sides(rewrite))}
        assert mirrored == {frozenset(code.mirrored() for code in codes) for codes in said}
    changes = change_lexicon().read("Turn the torso to the right.")
    assert [each.codes for each in changes] == [frozenset({Posecode("turn", "torso", "right")})]
