"""Paircodes: true of their pair, reversed on the way back, mirrored in a mirror, blind to the heading of the pair."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, MIRRORED_JOINTS, mirror_pose
from unipose.training.captions.codes import TOLERANCE_METERS, tolerance_of
from unipose.training.captions.pair_measures import measure_pairs, opposite
from unipose.training.captions.paircode_rules import (
    ABSOLUTE,
    AMOUNTS,
    CODES,
    NONE,
    RULES,
    Paircode,
    changed_parts,
    parts_of,
)
from unipose.training.captions.paircodes import extract_paircodes, paircodes_hold
from unipose.training.captions.posecodes import CODES as POSECODES
from unipose.training.captions.posecodes import Posecode, holding
from unipose.training.geometry import rotate_heading
from unipose.training.named_poses.archetypes import archetype_poses
from unipose.training.sampling.poses import load_motion_clips, sample_training_poses


NUM_PAIRS = 600
HALF_A_SECOND = 0.5
HEAD = {"head", "head_rotation", "head_tilt"}
KINDS = {"heading", "bend", "move", "distance", "reach", "torso", "twist", "lean"} | HEAD


@pytest.fixture(scope="module")
def rotmats(body: BodyModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Random pairs, and as many frames of one motion half a second apart, as they are turned."""
    poses = sample_training_poses(2 * NUM_PAIRS, 0, body)[0]
    first, second = [poses[:NUM_PAIRS]], [poses[NUM_PAIRS:]]
    for clip in load_motion_clips():
        later = torch.searchsorted(clip.seconds, clip.seconds + HALF_A_SECOND)
        starts = torch.nonzero(later < len(clip.seconds))[::4, 0]
        first.append(roma.rotvec_to_rotmat(clip.rotvecs[starts]))
        second.append(roma.rotvec_to_rotmat(clip.rotvecs[later[starts]]))
    return torch.cat(first), torch.cat(second)


@pytest.fixture(scope="module")
def pairs(body: BodyModel, rotmats: tuple[torch.Tensor, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    before, after = (body.forward_joints(poses).double().numpy() for poses in rotmats)
    return before, after


@pytest.fixture(scope="module")
def rotations(rotmats: tuple[torch.Tensor, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    return rotmats[0].numpy(), rotmats[1].numpy()


@pytest.fixture(scope="module")
def codes(
    pairs: tuple[np.ndarray, np.ndarray], rotations: tuple[np.ndarray, np.ndarray]
) -> list[tuple[Paircode, ...]]:
    return extract_paircodes(*pairs, same_sequence=True, rotmats=rotations)


def edit(rotmats: torch.Tensor, joint: str, **degrees: float) -> torch.Tensor:
    """Poses with one joint turned about its x, y or z axis."""
    edited = rotmats.clone()
    angles = torch.tensor([degrees.get(axis, 0.0) for axis in "xyz"])
    index = JOINT_NAMES.index(joint)
    edited[:, index] = edited[:, index] @ roma.rotvec_to_rotmat(torch.deg2rad(angles))
    return edited


def codes_of(body: BodyModel, first: torch.Tensor, second: torch.Tensor, **options) -> tuple[Paircode, ...]:
    joints = (body.forward_joints(poses).numpy() for poses in (first, second))
    return extract_paircodes(*joints, **options)[0]


def keys(codes: tuple[Paircode, ...]) -> set[tuple[str, str, str]]:
    return {code.key for code in codes}


def reverse(code: Paircode) -> Paircode:
    """The same change from B to A."""
    return replace(code, value=opposite(code.value))


def changes_of(codes: tuple[Paircode, ...]) -> list[Paircode]:
    """The codes that are reversed on the way back; postures and goals are about B alone."""
    return [code for code in codes if code.kind not in ("posture", "goal")]


def test_every_kind_occurs(codes: list[tuple[Paircode, ...]]) -> None:
    got = Counter(code.kind for given in codes for code in given)
    assert set(got) == KINDS | {"posture", "goal"}
    assert {code.kind for code in RULES} == KINDS


def test_extracted_codes_hold_on_their_pair(codes, pairs, rotations) -> None:
    truth = dict(zip(CODES, paircodes_hold(CODES, *pairs, 0.0, rotations)))
    for index, given in enumerate(codes):
        assert given
        assert all(truth[code][index] for code in given)
        assert len(keys(given)) == len(given)


def test_jittered_codes_hold_within_tolerance(codes, pairs, rotations) -> None:
    jittered = extract_paircodes(*pairs, same_sequence=True, rotmats=rotations, jitter=np.random.default_rng(0))
    truth = dict(zip(CODES, paircodes_hold(CODES, *pairs, 1.0, rotations)))
    assert all(truth[code][index] for index, given in enumerate(jittered) for code in given)
    assert jittered != codes


def test_codes_of_another_pair_seldom_hold(codes, pairs, rotations) -> None:
    before, after = (np.roll(joints, 7, axis=0) for joints in pairs)
    turned = tuple(np.roll(given, 7, axis=0) for given in rotations)
    truth = dict(zip(CODES, paircodes_hold(CODES, before, after, 1.0, turned)))
    assert np.mean([truth[code][index] for index, given in enumerate(codes) for code in given]) < 0.25


def test_the_way_back_has_the_opposite_codes(codes, pairs, rotations) -> None:
    """What a posture makes superfluous is that of the pose one ends in, so pairs without one are compared whole."""
    backward = extract_paircodes(*pairs[::-1], same_sequence=True, rotmats=rotations[::-1])
    truth = dict(zip(CODES, paircodes_hold(CODES, *pairs[::-1], 0.0, rotations[::-1])))
    compared = 0
    for index, (there, back) in enumerate(zip(codes, backward)):
        relative = changes_of(there)
        assert all(truth[reverse(code)][index] for code in relative if code.amount != "full")
        if not any(code.kind == "posture" for code in (*there, *back)):
            assert {reverse(code).key for code in relative} == keys(changes_of(back))
            compared += 1
    assert compared > 80


def test_a_mirrored_pair_has_mirrored_codes(codes, pairs, rotmats) -> None:
    mirrored = [joints[:, MIRRORED_JOINTS] * (-1.0, 1.0, 1.0) for joints in pairs]
    rotations = tuple(mirror_pose(poses).numpy() for poses in rotmats)
    for given, twins in zip(codes, extract_paircodes(*mirrored, same_sequence=True, rotmats=rotations)):
        assert {code.mirrored() for code in given} == set(twins)


def test_the_heading_of_the_pair_changes_nothing(body, codes, rotmats, rotations) -> None:
    yaw = torch.linspace(-3.0, 3.0, len(rotmats[0]), dtype=torch.float64)
    turned = [body.forward_joints(rotate_heading(poses.double(), yaw)).numpy() for poses in rotmats]
    assert extract_paircodes(*turned, same_sequence=True, rotmats=rotations) == codes


def test_the_heading_changes_within_a_sequence_only(body: BodyModel) -> None:
    stand = archetype_poses(["stand"])
    for degrees, expected in (
        (10, NONE),
        (40, Paircode("heading", "body", "left", "slight")),
        (90, Paircode("heading", "body", "left", "some")),
        (-130, Paircode("heading", "body", "right", "much")),
        (175, Paircode("heading", "body", "around", "full")),
    ):
        turned = rotate_heading(stand, torch.deg2rad(torch.tensor([float(degrees)])))
        assert codes_of(body, stand, turned, same_sequence=True) == (expected,)
        assert codes_of(body, stand, turned) == (NONE,)


def test_identical_poses_have_the_code_for_that_only(pairs, rotations) -> None:
    same = extract_paircodes(pairs[0], pairs[0], same_sequence=True, rotmats=(rotations[0], rotations[0]))
    assert same == [(NONE,)] * len(pairs[0])
    assert paircodes_hold([NONE], pairs[0], pairs[0], 0.0).all()
    assert paircodes_hold([NONE], *pairs, 0.0).mean() < 0.05


@pytest.mark.parametrize(
    ("joint", "degrees", "key"),
    [
        ("left_knee", {"x": 50.0}, ("bend", "left_knee", "bend")),
        ("right_knee", {"x": 50.0}, ("bend", "right_knee", "bend")),
        ("left_elbow", {"y": -60.0}, ("bend", "left_elbow", "bend")),
        ("right_elbow", {"y": 60.0}, ("bend", "right_elbow", "bend")),
        ("left_shoulder", {"z": 70.0}, ("move", "left_arm", "up")),
        ("right_shoulder", {"z": -70.0}, ("move", "right_arm", "up")),
        ("left_hip", {"x": -70.0}, ("move", "left_leg", "forward")),
        ("right_hip", {"x": 65.0}, ("move", "right_leg", "back")),
        ("left_hip", {"z": 30.0}, ("move", "left_leg", "left")),
        ("spine1", {"x": 40.0}, ("torso", "torso", "forward")),
        ("spine1", {"y": 40.0}, ("twist", "torso", "left")),
        ("spine1", {"z": 40.0}, ("lean", "torso", "right")),
        ("neck", {"x": 30.0}, ("head", "head", "down")),
        ("head", {"y": 40.0}, ("head_rotation", "head", "left")),
        ("neck", {"z": 25.0}, ("head_tilt", "head", "right")),
    ],
)
def test_one_joint_gives_a_code_about_it(body: BodyModel, joint: str, degrees, key: tuple[str, str, str]) -> None:
    stand = archetype_poses(["stand"])
    edited = edit(stand, joint, **degrees)
    there = codes_of(body, stand, edited, rotmats=(stand.numpy(), edited.numpy()))
    assert key in keys(there)
    assert parts_of(joint) <= changed_parts(there)
    if joint.endswith(("shoulder", "elbow", "neck", "head")):
        assert all(code.parts & parts_of(joint) for code in there if code.kind not in ("distance", "goal"))


@pytest.mark.parametrize(("kind", "subject"), [("move", "left_hand"), ("move", "right_foot"), ("bend", "left_knee")])
def test_amounts_follow_the_measurement(pairs, kind: str, subject: str) -> None:
    changes = measure_pairs(*pairs)
    for code in RULES:
        if (code.kind, code.subject) == (kind, subject) and code.amount != "full":
            bands = dict(AMOUNTS[kind])
            later = [low for low in bands.values() if low > bands[code.amount]]
            change = changes[code.key]
            expected = (change >= bands[code.amount]) & (change < min(later, default=np.inf))
            np.testing.assert_array_equal(paircodes_hold([code], *pairs, 0.0)[0], expected)
            assert expected.any()


@pytest.mark.parametrize(
    ("first", "second", "posture"),
    [
        ("stand", "kneel", "kneels_both"),
        ("kneel", "stand", "stands"),
        ("stand", "sit", "sits"),
        ("squat", "lie_back", "lies_back"),
        ("stand", "lunge_right", "lunges_right"),
        ("sit", "crawl", "all_fours"),
    ],
)
def test_transitions_of_posture(body: BodyModel, first: str, second: str, posture: str) -> None:
    codes = codes_of(body, archetype_poses([first]), archetype_poses([second]))
    assert codes[0] == Paircode("posture", "body", posture)
    assert not {"left_foot", "left_leg", "hips"} & {code.subject for code in codes if code.kind == "move"}


def test_every_posture_of_captions_is_stated_when_it_begins() -> None:
    stated = {posecode for code, posecode in ABSOLUTE.items() if code.kind == "posture"}
    assert stated == {code for code in POSECODES if code.kind == "posture"}


@pytest.mark.parametrize("posture", ["sits_cross_legged", "stoops", "low", "tips_right", "one_bent_left"])
def test_a_posture_begins_where_a_is_clearly_short_of_it(codes, pairs, posture: str) -> None:
    code = Paircode("posture", "body", posture)
    before, after = (holding([Posecode("posture", "body", posture)], joints, 0.0)[0] for joints in pairs)
    began = np.array([code in given for given in codes])
    assert began.any()
    assert (after & ~before)[began].all()


def test_a_posture_is_stated_with_what_it_does_not_imply(codes) -> None:
    """Bends of knees are superfluous where somebody stands up, not where they bend over."""
    kinds = {"stands": set(), "bends_forward": set(), "one_bent_left": set()}
    for given in codes:
        if given[0].value in kinds:
            kinds[given[0].value] |= {(code.kind, code.subject) for code in changes_of(given)}
    for posture in ("stands", "one_bent_left"):
        assert not {("bend", "left_knee"), ("bend", "right_knee")} & kinds[posture]
    assert ("bend", "left_knee") in kinds["bends_forward"]
    assert ("torso", "torso") not in kinds["bends_forward"] | kinds["stands"]
    assert ("torso", "torso") in kinds["one_bent_left"]


def test_goals_are_new_in_b(codes, pairs) -> None:
    goals = [code for code in ABSOLUTE if code.kind == "goal"]
    holds = [dict(zip(goals, holding([ABSOLUTE[code] for code in goals], joints, 0.0))) for joints in pairs]
    changed = 0
    for index, given in enumerate(codes):
        for code in given:
            if code.kind == "goal":
                assert holds[1][code][index]
                assert not holds[0][code][index]
                changed += 1
    assert changed > len(codes)


def test_the_most_salient_comes_first(codes, pairs, rotations) -> None:
    """Goals last, postures first, and of two changes of one kind the larger one."""
    changes = measure_pairs(*pairs, rotations)
    for index, given in enumerate(codes):
        kinds = [code.kind for code in given]
        assert kinds == sorted(kinds, key=lambda kind: (kind == "goal", kind != "posture"))
        bends = [changes[code.key][index] for code in given if code.kind == "bend"]
        assert bends == sorted(bends, reverse=True)


def test_what_another_code_implies_is_not_stated(codes) -> None:
    for given in codes:
        stated = keys(given)
        for kind, subject, value in stated:
            side, _, part = subject.partition("_")
            if kind == "move" and part in ("arm", "leg"):
                implied = {"arm": ("hand", "elbow"), "leg": ("foot", "knee")}[part]
                assert not {(kind, f"{side}_{member}", value) for member in implied} & stated
        for whole, middle in (("hands", "elbows"), ("feet", "knees")):
            assert not {("distance", whole, "apart"), ("distance", middle, "apart")} <= stated
        assert not {("move", "hips", "down"), ("move", "left_knee", "down")} <= stated
        assert max(Counter(key[:2] for key in stated if key[0] == "reach").values(), default=0) <= 2


def test_every_code_has_a_mirror_image_and_a_way_back() -> None:
    assert {code.mirrored() for code in CODES} == set(CODES)
    for code in RULES:
        assert reverse(reverse(code)) == code
        assert reverse(code) in RULES
    assert {code.kind for code in RULES if tolerance_of(code.key) == TOLERANCE_METERS} == {"move", "distance", "reach"}


def test_parts_of_joints_and_subjects() -> None:
    assert parts_of("left_elbow") == parts_of("left_hand") == parts_of("left_forearm") == {"left_arm"}
    assert parts_of("right_hip") == {"right_leg"}
    assert parts_of("feet") == {"left_leg", "right_leg"}
    assert parts_of("neck") == parts_of("head") == {"head"}
    assert parts_of("spine2") == {"torso"}
    assert Paircode("posture", "body", "sits").parts == {"body", "left_leg", "right_leg"}
    assert {parts_of(code.subject) for code in CODES} <= {parts_of(part) for part in (*JOINT_NAMES, "hands", "feet")}


def test_bad_input_is_refused(pairs, rotations) -> None:
    before, after = pairs
    with pytest.raises(ValueError, match=r"joints_b has shape \(3, 22, 3\); expected \(5, 22, 3\)"):
        extract_paircodes(before[:5], after[:3])
    with pytest.raises(ValueError, match="joints_a holds NaN"):
        extract_paircodes(before[:2] * np.nan, after[:2])
    with pytest.raises(ValueError, match=r"rotmats of b has shape \(2, 22, 3, 3\)"):
        extract_paircodes(before[:3], after[:3], rotmats=(rotations[0][:3], rotations[1][:2]))
    with pytest.raises(ValueError, match="give rotmats"):
        paircodes_hold([Paircode("head_rotation", "head", "left", "some")], before, after)
    with pytest.raises(ValueError, match="not a paircode"):
        paircodes_hold([Paircode("bend", "left_knee", "sideways", "some")], before, after)
