"""Captions are read back to the codes they state."""

import numpy as np
import pytest

from unipose.processing.body_model import BodyModel
from unipose.training.archetypes import ARCHETYPES, archetype_codes, archetype_sentences
from unipose.training.captions.describe import describe
from unipose.training.captions.posecodes import CODES, Posecode, extract_posecodes, swap_sides
from unipose.training.captions.read import Reading, facts_of_parts, read_caption, whole_sentences
from unipose.training.poses import sample_training_poses


NUM_POSES = 400


@pytest.fixture(scope="module")
def codes() -> list[tuple[Posecode, ...]]:
    body = BodyModel.builtin()
    return extract_posecodes(body.forward_joints(sample_training_poses(NUM_POSES, 0, body)[0]).numpy())


@pytest.mark.parametrize(("drop", "max_words"), [(0.15, 55), (0.0, 500)])
def test_reads_what_describe_says(codes: list[tuple[Posecode, ...]], drop: float, max_words: int) -> None:
    rng = np.random.default_rng(0)
    for pose_codes in codes:
        caption = describe(pose_codes, rng, drop=drop, max_words=max_words)
        reading = read_caption(caption.text)
        assert set(reading.codes) == set(caption.codes)
        assert len(reading.codes) == len(caption.codes)
        assert reading.unread == ()


def test_reads_every_code_in_every_wording() -> None:
    for seed in range(8):
        for code in CODES:
            rng = np.random.default_rng(seed)
            assert read_caption(describe((code,), rng, drop=0.0).text).codes == (code,)
            both = {code, code.mirrored()}
            if code.kind not in ("posture", "arms") and code.subject != swap_sides(code.subject):
                assert set(read_caption(describe(tuple(both), rng, drop=0.0).text).codes) == both


def test_a_wording_has_one_meaning() -> None:
    """Facts that two codes share would be read as the last of them."""
    meant = [code for codes in facts_of_parts().values() for code in codes]
    assert set(meant) == {code for code in CODES if code.kind not in ("posture", "arms")}
    for (subject, _), codes in facts_of_parts().items():
        assert subject.startswith("Both") == (len(codes) == 2)


def test_lead_and_arms() -> None:
    stated = (Posecode("posture", "body", "squats"), Posecode("arms", "arms", "forward"))
    caption = describe(stated, np.random.default_rng(0), lead="A person squats.")
    assert read_caption(caption.text) == Reading(stated, 2, ())


def test_archetype_sentences_state_their_posture_and_arms() -> None:
    assert read_caption("Someone is waving the right hand.").codes == (
        Posecode("posture", "body", "stands"),
        Posecode("arms", "arms", "right_up"),
    )
    for name, archetype in ARCHETYPES.items():
        for sentence in archetype_sentences(swap_sides(name)):
            reading = read_caption(sentence)
            assert (reading.unread == ()) == bool(archetype.posture or archetype.arms)
            assert set(reading.codes) <= set(CODES)
    codeless = [name for name in ARCHETYPES if not archetype_codes(name)]
    sides = {swap_sides(sentence) for name in codeless for sentence in archetype_sentences(name)}
    spoken = sides | {swap_sides(sentence) for sentence in sides}
    assert {sentence for sentence, codes in whole_sentences().items() if not codes} == spoken


def test_unknown_words_are_unread_and_known_ones_still_count() -> None:
    reading = read_caption("The left knee is straight and purple. The left knee is straight. Hello there. Both")
    assert reading.codes == (Posecode("bend", "left_knee", "straight"),)
    assert reading.sentences == 4
    assert reading.unread == ("The left knee is straight and purple.", "Hello there.", "Both")
    assert read_caption("") == Reading((), 0, ())
