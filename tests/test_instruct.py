"""Instructions and differences: fluent, true of their pair, short, and the same for the same seed."""

import re

import numpy as np
import pytest

from unipose.processing.body_model import BodyModel
from unipose.training.captions.instruct import STYLES, Style, instruct
from unipose.training.captions.paircode_phrases import AMOUNT_WORDS, GERUNDS, topics
from unipose.training.captions.paircode_rules import ABSOLUTE, CODES, NONE, Paircode, changed_parts
from unipose.training.captions.paircodes import extract_paircodes, paircodes_hold
from unipose.training.captions.posecodes import holding
from unipose.training.captions.text import Caption
from unipose.training.sampling.poses import sample_training_poses


NUM_PAIRS = 300
RAISE_LEFT = Paircode("move", "left_hand", "up", "slight")
STRAIGHTEN = Paircode("bend", "left_knee", "straighten", "some")


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    body = BodyModel.builtin()
    joints = body.forward_joints(sample_training_poses(2 * NUM_PAIRS, 3, body)[0]).numpy()
    return joints[:NUM_PAIRS], joints[NUM_PAIRS:]


def texts(pairs: tuple[np.ndarray, np.ndarray], style: Style, seed: int = 0, **options) -> list[Caption[Paircode]]:
    rng = np.random.default_rng(seed)
    return [instruct(codes, rng, style=style, **options) for codes in extract_paircodes(*pairs)]


def wordings(*codes: Paircode, style: Style = "instruction") -> set[str]:
    """Every text of some codes, addressed as "the", goals included."""
    made = (instruct(codes, np.random.default_rng(seed), style=style, drop=0.0) for seed in range(800))
    return {re.sub(r"\byour\b", "the", text.text).replace("Your", "The") for text in made}


@pytest.mark.parametrize("style", STYLES)
def test_every_statement_is_true_of_the_pair(pairs, style: Style) -> None:
    for index, text in enumerate(texts(pairs, style)):
        pair = (joints[index : index + 1] for joints in pairs)
        assert paircodes_hold(text.codes, *pair, 0.0).all()
        assert len(set(text.codes)) == len(text.codes) > 0


def test_same_seed_same_text(pairs) -> None:
    assert texts(pairs, "instruction", 1) == texts(pairs, "instruction", 1)
    different = zip(texts(pairs, "instruction", 1), texts(pairs, "instruction", 2))
    assert np.mean([first != second for first, second in different]) > 0.95


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("max_words", [15, 40])
def test_length(pairs, style: Style, max_words: int) -> None:
    lengths = [len(text.text.split()) for text in texts(pairs, style, max_words=max_words)]
    assert max(lengths) <= max_words
    assert np.mean(lengths) > 0.6 * max_words


@pytest.mark.parametrize("style", STYLES)
def test_sentences_are_well_formed(pairs, style: Style) -> None:
    for text in texts(pairs, style):
        assert not re.search(r"\b(\w+) \1\b|  | ,|[{}_]", text.text)
        for sentence in re.split(r"(?<=\.) ", text.text):
            assert re.fullmatch(r"[A-Z][a-z0-9 ,-]+\.", sentence)
        assert bool(re.search(r"\b(is|are|has)\b", text.text)) or style == "instruction"


def test_the_example_of_both_styles() -> None:
    commands = wordings(RAISE_LEFT, STRAIGHTEN)
    assert "Raise the left hand a little and straighten the left knee." in commands
    assert "Lift the left hand slightly while extending the left knee." in commands
    assert len(commands) > 50
    comparisons = wordings(RAISE_LEFT, STRAIGHTEN, style="difference")
    assert "The left hand is a little higher and the left knee is straighter." in comparisons
    assert (
        "Compared with the first pose, the left knee is less bent. Also, the left hand is a bit higher." in comparisons
    )


def test_amounts_have_different_words() -> None:
    for amount, words in (
        ("slight", "slightly|a little|a bit|somewhat"),
        ("much", "a lot|considerably|much|a good deal"),
    ):
        for style in STYLES:
            for text in wordings(Paircode("bend", "left_knee", "bend", amount), style=style):
                assert re.search(rf"\b({words})\b", text)
    for style in STYLES:
        for text in wordings(STRAIGHTEN, style=style):
            assert not re.search(r"slightly|little|bit|somewhat|lot|deal|considerably|much|far|well|completely", text)
    full = wordings(Paircode("bend", "left_knee", "straighten", "full"))
    assert full == {
        f"{verb} the left knee {much}." for verb in ("Straighten", "Extend") for much in ("completely", "all the way")
    }


def test_sides_are_merged() -> None:
    both = (Paircode("move", "left_arm", "up", "much"), Paircode("move", "right_arm", "up", "much"))
    assert "Raise both arms a lot." in wordings(*both)
    assert "Both arms are much higher." in wordings(*both, style="difference")
    outward = (Paircode("move", "left_hand", "left", "some"), Paircode("move", "right_hand", "right", "some"))
    assert "Both hands are further out." in wordings(*outward, style="difference")
    same_way = (Paircode("move", "left_hand", "left", "some"), Paircode("move", "right_hand", "left", "some"))
    assert "Move both hands to the left." in wordings(*same_way)
    near = (
        Paircode("reach", "left_hand", "to_right_knee", "some"),
        Paircode("reach", "right_hand", "to_left_knee", "some"),
    )
    assert "Bring both hands closer to the opposite knees." in wordings(*near)
    unequal = (Paircode("move", "left_arm", "up", "much"), Paircode("move", "right_arm", "up", "slight"))
    assert not any("both" in text.lower() for text in wordings(*unequal))


def test_a_part_is_not_named_twice_in_a_row() -> None:
    codes = (RAISE_LEFT, Paircode("move", "left_hand", "forward", "some"))
    commands, comparisons = wordings(*codes), wordings(*codes, style="difference")
    assert "Raise the left hand slightly and bring it forward." in commands
    assert "Move the left hand up a bit and forward." in commands
    assert "The left hand is a bit higher and further forward." in comparisons


def test_parts_that_change_alike_share_their_words() -> None:
    codes = (STRAIGHTEN, Paircode("bend", "right_elbow", "straighten", "some"))
    assert "Straighten the left knee and the right elbow." in wordings(*codes)
    assert "The left knee is straighter and so is the right elbow." in wordings(*codes, style="difference")


def test_goals_say_where_to_stop() -> None:
    bend = Paircode("bend", "left_elbow", "bend", "some")
    codes = (bend, Paircode("goal", "left_elbow", "bend.bent_90"))
    commands = wordings(*codes)
    assert "Bend the left elbow until it is at a right angle." in commands
    assert wordings(bend) <= commands, "a goal is stated sometimes"
    assert "The left elbow is more bent and now at a right angle." in wordings(*codes, style="difference")


@pytest.mark.parametrize(
    ("change", "goal"),
    [
        ("bend left_knee straighten slight", "goal left_knee bend.straight"),
        ("bend left_elbow bend slight", "goal left_elbow bend.bent_90"),
        ("move left_hand up slight", "goal left_hand height.chest"),
        ("reach left_hand to_head much", "goal left_hand near.head"),
        ("distance feet apart some", "goal feet distance.wide"),
    ],
)
def test_a_goal_replaces_the_change_it_implies(change: str, goal: str) -> None:
    code, end = Paircode(*change.split()), Paircode(*goal.split())
    for style in STYLES:
        written = {instruct((code, end), np.random.default_rng(seed), style=style).codes for seed in range(100)}
        assert written == {(code,), (end,)}


def test_a_goal_adds_to_a_change_it_does_not_imply() -> None:
    bend = Paircode("bend", "left_elbow", "bend", "some")
    for goal in ("goal left_elbow bend.bent_90", "goal left_hand near.head", "goal right_elbow bend.bent_90"):
        code = Paircode(*goal.split())
        written = {instruct((bend, code), np.random.default_rng(seed)).codes for seed in range(100)}
        assert (bend,) in written
        assert any(set(codes) == {bend, code} for codes in written)


def test_a_list_ends_before_another_part_is_named() -> None:
    """Not "the left hand is higher, further forward and the left knee is straighter"."""
    codes = (RAISE_LEFT, Paircode("move", "left_hand", "forward", "some"), STRAIGHTEN)
    comparisons = "\n".join(wordings(*codes, style="difference")).lower()
    assert re.search(r"the left hand is [a-z ]+ and further [a-z ]+, and the left knee is", comparisons)
    assert not re.search(r"(?<!pose), (?!(and )?the |in addition)", comparisons)
    commands = "\n".join(wordings(*codes)).lower()
    assert re.search(r"move the left hand up [a-z]+ [a-z ]+ and forward, then [a-z]+ the left knee", commands)
    assert not re.search(r", (up|forward)|\band forward and", commands)


@pytest.mark.parametrize("style", STYLES)
def test_openings_follow_each_other(pairs, style: Style) -> None:
    for text in texts(pairs, style):
        leads = re.findall(r"(?:^|\. )(First|Then|Next|After that|Also|In addition|Besides)\b", text.text)
        assert len(leads) == len(set(leads))
        assert not re.search(r"Then [^.]*, then |^First, [^.]*\. Also, ", text.text)
        assert "First" not in leads or len(leads) > 1


@pytest.mark.parametrize("style", STYLES)
def test_no_adverb_prevails(pairs, style: Style) -> None:
    joined = " ".join(text.text for seed in range(3) for text in texts(pairs, style, seed))
    large = re.findall(r"\b(a lot|a good deal|considerably|much|far|well(?! ahead))\b", joined)
    small = re.findall(r"\b(slightly|a little|a bit|somewhat)\b", joined)
    for got, most in ((large, 0.4), (small, 0.35)):
        counts = np.unique(got, return_counts=True)[1]
        assert len(counts) >= 4
        assert counts.max() / len(got) < most


def test_a_text_addresses_or_does_not(pairs) -> None:
    owned = r"the (left|right|torso|head|hands|feet)\b(?! side)"
    addressed = [bool(re.search(r"\b[Yy]our\b", text.text)) for text in texts(pairs, "instruction")]
    assert 0.5 < np.mean(addressed) < 0.7
    for text, yours in zip(texts(pairs, "instruction"), addressed):
        assert not (yours and re.search(owned, text.text)), text.text


@pytest.mark.parametrize(
    ("code", "command", "comparison"),
    [
        ("posture body stands", "Stand up.", "The person is now standing."),
        ("posture body kneels_right", "Kneel on the right knee.", "The person is now down on the right knee."),
        ("posture body handstand", "Kick up into a handstand.", "The person is now standing on the hands."),
        ("posture body plank", "Go into a plank.", "The person is now holding a plank."),
        ("posture body bridge", "Push up into a bridge.", "The person is now in a bridge."),
        ("posture body sits_cross_legged", "Sit cross-legged.", "The person is now sitting cross-legged."),
        ("posture body sits_heels", "Sit back on the heels.", "The person is now sitting on the heels."),
        (
            "posture body side_lunges_right",
            "Lunge sideways onto the right leg.",
            "The person is now lunging sideways onto the right leg.",
        ),
        ("posture body stoops", "Bend low over bent legs.", "The person is now bent low over bent legs."),
        (
            "posture body balances_left",
            "Balance on the left foot with the right foot lifted.",
            "The person is now on the left foot with the right foot lifted.",
        ),
        ("heading body around full", "Turn around.", "The whole body is turned around."),
        ("heading body right slight", "Turn slightly to the right.", "The body is turned slightly to the right."),
        ("torso torso forward much", "Bend forward a lot.", "The torso is bent much further forward."),
        ("lean torso left some", "Lean to the left.", "The torso is leaning further to the left."),
        ("twist torso right some", "Twist the torso to the right.", "The torso is turned further to the right."),
        ("head head down slight", "Look down a little.", "The head is slightly lower."),
        ("head_rotation head left some", "Look to the left.", "The head is turned further to the left."),
        ("distance feet apart slight", "Spread the feet apart a little.", "The feet are a bit further apart."),
        ("move hips down some", "Lower the hips.", "The hips are lower."),
        ("none body same", "Keep the pose.", "The pose is the same."),
    ],
)
def test_wordings(code: str, command: str, comparison: str) -> None:
    assert command in wordings(Paircode(*code.split()))
    assert comparison in wordings(Paircode(*code.split()), style="difference")


def test_every_code_has_words_in_both_styles() -> None:
    for topic in topics().values():
        assert topic.imperatives or topic.is_goal
        assert topic.states or topic.sentences
    assert set(CODES) == {code for codes in topics() for code in codes}


def test_joining_words_occur_in_no_wording() -> None:
    """Else a sentence would be cut in the wrong place."""
    joins = r"\b(and|then|while|until|so|as)\b|,"
    for topic in topics().values():
        unchanged = topic.codes == (NONE,)
        for wording in (*topic.imperatives, *topic.states, *topic.shorts, *topic.nouns):
            assert unchanged or not re.search(joins, wording), wording
            assert wording == " ".join(wording.split())
        assert all(wording.split()[0] in GERUNDS for wording in topic.imperatives) or unchanged


def test_goals_and_postures_are_posecodes(pairs) -> None:
    """Their names are those of `posecodes`."""
    assert holding(ABSOLUTE.values(), pairs[0]).shape == (len(ABSOLUTE), NUM_PAIRS)


def test_drop_leaves_what_is_rare_and_the_first() -> None:
    codes = (Paircode("posture", "body", "sits"), STRAIGHTEN, RAISE_LEFT)
    assert instruct(codes, np.random.default_rng(0), drop=1.0).codes == codes[:1]
    assert instruct(codes[1:], np.random.default_rng(0), drop=1.0).codes == (STRAIGHTEN,)
    amounts = {code.amount for code in CODES if code.amount}
    assert set().union(*AMOUNT_WORDS.values()) == amounts - {"some"}


def test_parts() -> None:
    text = instruct((RAISE_LEFT, STRAIGHTEN), np.random.default_rng(0), drop=0.0)
    assert changed_parts(text.codes) == {"left_arm", "left_leg"}


def test_bad_input_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="no codes"):
        instruct((), rng)
    with pytest.raises(ValueError, match="style is 'question'"):
        instruct((NONE,), rng, style="question")
    with pytest.raises(ValueError, match="not a paircode"):
        instruct((Paircode("bend", "left_ear", "bend", "some"),), rng)
