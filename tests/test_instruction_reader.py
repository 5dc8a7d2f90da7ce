"""Instructions and differences are read back to exactly the codes they state, and scored against a pair."""

import math

import numpy as np
import pytest
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.captions.instruct import STYLES, Style, instruct
from unipose.training.captions.instruction_reader import names_changed_part, read_instruction
from unipose.training.captions.paircode_phrases import topics
from unipose.training.captions.paircode_precision import InstructionScore, score_instructions
from unipose.training.captions.paircode_rules import parts_of
from unipose.training.captions.paircodes import CODES, NONE, Paircode, extract_paircodes
from unipose.training.captions.text import Reading
from unipose.training.geometry import swap_sides
from unipose.training.named_poses.archetypes import archetype_poses
from unipose.training.sampling.poses import sample_training_poses


NUM_PAIRS = 500


@pytest.fixture(scope="module")
def rotmats(body: BodyModel) -> torch.Tensor:
    return sample_training_poses(2 * NUM_PAIRS, 0, body)[0]


@pytest.fixture(scope="module")
def joints(body: BodyModel, rotmats: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    both = body.forward_joints(rotmats).numpy()
    return both[:NUM_PAIRS], both[NUM_PAIRS:]


@pytest.fixture(scope="module")
def codes(joints: tuple[np.ndarray, np.ndarray], rotmats: torch.Tensor) -> list[tuple[Paircode, ...]]:
    both = rotmats.numpy()
    return extract_paircodes(*joints, rotmats=(both[:NUM_PAIRS], both[NUM_PAIRS:]))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("drop", "max_words"), [(0.15, 40), (0.0, 500), (0.5, 12)])
def test_reads_the_texts_of_instruct(codes, style: Style, drop: float, max_words: int) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        for given in codes:
            written = instruct(given, rng, style=style, drop=drop, max_words=max_words)
            reading = read_instruction(written.text)
            assert reading.codes == written.codes, written.text
            assert reading.unparsable == ()


@pytest.mark.parametrize("style", STYLES)
def test_reads_any_codes_in_any_company(style: Style) -> None:
    """Codes that no pair has together, so that every clause follows every other."""
    rng = np.random.default_rng(0)
    for _ in range(1500):
        drawn = [CODES[index] for index in rng.choice(len(CODES) - 1, 4, replace=False)]
        written = instruct(drawn, rng, style=style, drop=0.0, max_words=200)
        assert read_instruction(written.text).codes == written.codes, written.text


def test_reads_every_wording_of_every_code() -> None:
    for codes, topic in topics().items():
        for noun in topic.nouns or ("",):
            named = noun if noun.startswith("both") else f"the {noun}"
            be = "are" if topic.plural else "is"
            commands = [wording.replace("{p}", named) for wording in topic.imperatives]
            states = [f"{named} {be} {wording}" for wording in topic.states]
            for clause in (*commands, *states, *topic.sentences):
                assert read_instruction(f"{clause[0].upper()}{clause[1:]}.") == Reading(codes, 1, ())


def test_a_wording_has_one_meaning() -> None:
    meanings: dict[tuple[str, str, bool], set] = {}
    for codes, topic in topics().items():
        for wording in (*topic.imperatives, *topic.states, *topic.sentences):
            nouns = topic.nouns if "{p}" in wording or wording in topic.states else ("",)
            for noun in nouns:
                meanings.setdefault((noun, wording, topic.is_goal), set()).add(codes)
    assert all(len(meant) == 1 for meant in meanings.values())


def test_what_leans_on_the_clause_before() -> None:
    up = Paircode("move", "left_hand", "up", "slight")
    forward = Paircode("move", "left_hand", "forward", "some")
    for text in (
        "Raise your left hand a little and bring it forward.",
        "raise the left hand a bit, then move it forward!",
        "Move the left hand up slightly and forward.",
        "The left hand is a little higher and further forward.",
        "The left hand is a little higher, and it is further forward.",
        "First, raise left hand a little while moving it forward",
    ):
        assert read_instruction(text) == Reading((up, forward), 1, ())
    straight = Paircode("bend", "left_knee", "straighten", "some")
    for text in (
        "Straighten your left knee and your right elbow.",
        "The left knee is straighter, as is the right elbow.",
    ):
        assert read_instruction(text).codes == (straight, Paircode("bend", "right_elbow", "straighten", "some"))
    assert read_instruction("Bring it forward. Further forward.").codes == ()


def test_unknown_words_are_unparsable_and_known_ones_still_count() -> None:
    text = "Raise your left hand and your ears. Straighten your left knee. Wiggle. The left hand is purple."
    reading = read_instruction(text)
    assert reading.codes == (
        Paircode("move", "left_hand", "up", "some"),
        Paircode("bend", "left_knee", "straighten", "some"),
    )
    assert reading.sentences == 4
    assert reading.unparsable == ("Raise your left hand and your ears.", "Wiggle.", "The left hand is purple.")
    assert read_instruction("") == Reading((), 0, ())


def test_never_raises(codes) -> None:
    rng = np.random.default_rng(0)
    for given in codes[:200]:
        words = instruct(given, rng, style=STYLES[rng.integers(2)]).text.split()
        read_instruction(" ".join(rng.permutation(words)))
        read_instruction(" ".join(words)[: rng.integers(60)])
    for text in (
        ".",
        " . , and then",
        "it is",
        "is",
        "The",
        "while",
        "and so is",
        "{p}",
        "İß\x00 is are it",
        "the the",
    ):
        assert read_instruction(text).codes == ()


@pytest.mark.parametrize("style", STYLES)
def test_scores_own_pairs_high_and_others_low(codes, joints, rotmats: torch.Tensor, style: Style) -> None:
    rng, both = np.random.default_rng(0), rotmats.numpy()
    texts = [instruct(given, rng, style=style).text for given in codes]
    precision, recall = [], []
    for shift in (0, 1):
        before, after = (np.roll(given, shift, axis=0) for given in joints)
        rotations = tuple(np.roll(given, shift, axis=0) for given in (both[:NUM_PAIRS], both[NUM_PAIRS:]))
        scores = score_instructions(texts, before, after, rotmats=rotations)
        assert all(score.unparsable == () for score in scores)
        counts = [score.statements for score in scores]
        precision.append(np.average([score.precision for score in scores], weights=counts))
        recall.append(np.mean([score.recall for score in scores]))
    assert precision[0] >= 0.98
    assert precision[1] < 0.25
    assert recall[0] > 0.6
    assert recall[1] < 0.15


def score_instruction(
    text: str, before: np.ndarray, after: np.ndarray, rotmats: tuple[np.ndarray, np.ndarray] | None = None
) -> InstructionScore:
    rotations = rotmats and (rotmats[0][None], rotmats[1][None])
    return score_instructions([text], before[None], after[None], rotmats=rotations)[0]


def test_scores_of_many_are_those_of_one(codes, joints) -> None:
    rng = np.random.default_rng(0)
    texts = ["Look to the left.", *(instruct(given, rng).text for given in codes[1:6])]
    many = score_instructions(texts, joints[0][:6], joints[1][:6])
    singles = [score_instruction(text, *pair) for text, *pair in zip(texts, *joints)]
    assert many[1:] == singles[1:]
    assert math.isnan(many[0].precision)
    assert many[0].statements == singles[0].statements == 0
    with pytest.raises(ValueError, match="6 texts for 5 pairs"):
        score_instructions(texts, joints[0][:5], joints[1][:5])


def test_score_of_plain_texts(body: BodyModel) -> None:
    stand, up = body.forward_joints(archetype_poses(["stand", "hand_up_left"])).numpy()
    right = score_instruction("Raise your left arm a lot.", stand, up)
    assert (right.precision, right.statements, right.unparsable) == (1.0, 1, ())
    assert 0 < right.recall < 1
    assert score_instruction("Raise your right arm a lot.", stand, up).precision == 0.0
    assert score_instruction("Raise your left arm a lot and lower your right hand.", stand, up).precision == 0.5
    assert score_instruction("Raise your left arm a lot.", up, stand).precision == 0.0
    unknown = score_instruction("Sing a song.", stand, up)
    assert math.isnan(unknown.precision)
    assert (unknown.recall, unknown.statements, unknown.unparsable) == (0.0, 0, ("Sing a song.",))
    same = score_instruction("Keep the pose.", stand, stand)
    assert (same.precision, same.recall) == (1.0, 1.0)
    assert score_instruction("Keep the pose.", stand, up).precision == 0.0
    assert read_instruction("Keep the pose.").codes == (NONE,)


def test_heads_are_scored_with_rotations_only(body: BodyModel) -> None:
    stand = archetype_poses(["stand"])
    turned = stand.clone()
    turned[:, JOINT_NAMES.index("head")] = roma.rotvec_to_rotmat(torch.tensor([[0.0, 0.7, 0.0]]))
    pair = [body.forward_joints(poses)[0].numpy() for poses in (stand, turned)]
    rotmats = (stand[0].numpy(), turned[0].numpy())
    text = "Look to your left."
    assert score_instruction(text, *pair, rotmats=rotmats).precision == 1.0
    assert score_instruction("Look to your right.", *pair, rotmats=rotmats).precision == 0.0
    assert math.isnan(score_instruction(text, *pair).precision)


def test_score_refuses_bad_joints() -> None:
    with pytest.raises(ValueError, match="joints_b has shape"):
        score_instruction("Turn around.", np.zeros((22, 3)), np.zeros((21, 3)))


@pytest.mark.parametrize("joint", ["left_knee", "right_elbow", "left_shoulder", "right_hip"])
def test_texts_name_the_part_that_was_changed(body: BodyModel, rotmats: torch.Tensor, joint: str) -> None:
    before, edited = rotmats[:200], rotmats[:200].clone()
    axis = {"left_knee": (1.0, 0.0, 0.0), "right_elbow": (0.0, 1.0, 0.0)}.get(joint, (0.6, 0.5, 0.62))
    index = JOINT_NAMES.index(joint)
    edited[:, index] = edited[:, index] @ roma.rotvec_to_rotmat(torch.tensor(axis))
    codes = extract_paircodes(body.forward_joints(before).numpy(), body.forward_joints(edited).numpy())
    rng = np.random.default_rng(0)
    named = [names_changed_part(instruct(given, rng, style="difference").text, joint) for given in codes]
    assert np.mean(named) > 0.9
    if "leg" not in next(iter(parts_of(joint))):
        assert np.mean([names_changed_part(instruct(given, rng).text, swap_sides(joint)) for given in codes]) < 0.8
