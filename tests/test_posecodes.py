"""Posecodes: each value on a body built for it, and what has to hold for every pose."""

import numpy as np
import pytest
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, MIRRORED_JOINTS, mirror_pose
from unipose.training.archetypes import ARCHETYPES, archetype_poses
from unipose.training.captions.measures import HAND_REACH, heading, measure
from unipose.training.captions.posecodes import (
    BENDS,
    CODES,
    RULES,
    Posecode,
    extract_posecodes,
    holding,
    holds,
    swap_sides,
)
from unipose.training.poses import held_out_poses, turn


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.builtin()


@pytest.fixture(scope="module")
def rest(body: BodyModel) -> np.ndarray:
    return body.joints[:22].double().numpy()


@pytest.fixture(scope="module")
def poses() -> torch.Tensor:
    return torch.cat([held_out_poses()[::4], archetype_poses(list(ARCHETYPES))]).double()


@pytest.fixture(scope="module")
def joints(body: BodyModel, poses: torch.Tensor) -> np.ndarray:
    return body.forward_joints(poses).numpy()


def place(rest: np.ndarray, **positions: tuple[float, float, float]) -> np.ndarray:
    """(1, 22, 3): the rest joints with some of them put elsewhere."""
    joints = rest.copy()
    for name, position in positions.items():
        joints[JOINT_NAMES.index(name)] = position
    return joints[None]


def hand_at(rest: np.ndarray, point: np.ndarray) -> np.ndarray:
    """(1, 22, 3): the left hand at `point`, the forearm above it."""
    wrist = point + (0.0, HAND_REACH, 0.0)
    return place(rest, left_wrist=tuple(wrist), left_elbow=tuple(wrist + (0.0, 0.24, 0.0)))


@pytest.mark.parametrize("degrees", [30, 60, 90, 120, 150, 175])
@pytest.mark.parametrize("limb", ["knee", "elbow"])
def test_every_bend(rest: np.ndarray, limb: str, degrees: int) -> None:
    upper, middle, end = ("hip", "knee", "ankle") if limb == "knee" else ("shoulder", "elbow", "wrist")
    start, corner = (rest[JOINT_NAMES.index(f"left_{part}")] for part in (upper, middle))
    along = (start - corner) / np.linalg.norm(start - corner)
    aside = np.cross(along, (0.0, 0.0, 1.0))
    tip = corner + 0.3 * (np.cos(np.radians(degrees)) * along + np.sin(np.radians(degrees)) * aside)
    built = place(rest, **{f"left_{end}": tuple(tip)})
    expected = next(value for value, low, high in BENDS if low <= degrees < high)
    fitting = [value for value, _, _ in BENDS if holds(Posecode("bend", f"left_{limb}", value), built, 0.0)[0]]
    assert fitting == [expected]


@pytest.mark.parametrize(
    ("value", "height"),
    [("above_head", 0.9), ("head", 0.65), ("shoulders", 0.45), ("chest", 0.23), ("hips", 0.0), ("below_hips", -0.3)],
)
def test_every_hand_height(rest: np.ndarray, value: str, height: float) -> None:
    codes = extract_posecodes(hand_at(rest, np.array([0.4, height, 0.1])))[0]
    postures_aside = {code.value for code in codes if code.group == ("height", "left_hand")}
    raised = Posecode("arms", "arms", "left_up") in codes
    assert postures_aside == {value} or (value == "above_head" and raised)


@pytest.mark.parametrize(
    ("code", "point"),
    [
        (Posecode("depth", "left_hand", "front"), (0.2, 0.2, 0.3)),
        (Posecode("depth", "left_hand", "far_front"), (0.2, 0.2, 0.6)),
        (Posecode("depth", "left_hand", "behind"), (0.2, 0.2, -0.3)),
        (Posecode("side", "left_hand", "outward"), (0.6, 0.2, 0.0)),
        (Posecode("side", "left_hand", "across"), (-0.2, 0.2, 0.2)),
        (Posecode("near", "left_hand", "left_hip"), (0.18, 0.0, 0.05)),
        (Posecode("near", "left_hand", "right_shoulder"), (-0.17, 0.4, 0.1)),
        (Posecode("ground", "left_hand", "on"), (0.3, -0.88, 0.3)),
    ],
)
def test_relative_positions(
    body: BodyModel, rest: np.ndarray, code: Posecode, point: tuple[float, float, float]
) -> None:
    built = hand_at(rest, np.array(point))
    assert holds(code, built, 0.0)[0]
    assert not holds(code, body.forward_joints(archetype_poses(["stand"])))[0]


def test_feet_ahead_and_off_the_ground(rest: np.ndarray) -> None:
    ankle, toes = rest[JOINT_NAMES.index("left_ankle")], rest[JOINT_NAMES.index("left_foot")]
    shift = np.array([0.0, 0.3, 0.3])
    lifted = place(rest, left_ankle=tuple(ankle + shift), left_foot=tuple(toes + shift))
    for kind, value in (("depth", "front"), ("ground", "off")):
        assert holds(Posecode(kind, "left_foot", value), lifted)[0]
        assert not holds(Posecode(kind, "right_foot", value), lifted)[0]


@pytest.mark.parametrize("name", ARCHETYPES)
def test_archetypes_show_their_postures(body: BodyModel, name: str) -> None:
    """Also that each mirrored archetype shows the mirrored codes."""
    for shown, flip in ((name, str), (swap_sides(name), swap_sides)):
        codes = extract_posecodes(body.forward_joints(archetype_poses([shown])))[0]
        archetype = ARCHETYPES[name]
        for kind, subject, value in (("posture", "body", archetype.posture), ("arms", "arms", archetype.arms)):
            if value and (shown == name or swap_sides(name) != name):
                assert Posecode(kind, subject, flip(value)) in codes


def test_extracted_codes_hold_and_exclude_each_other(joints: np.ndarray) -> None:
    truth = dict(zip(CODES, holding(CODES, joints, 0.0)))
    for index, codes in enumerate(extract_posecodes(joints)):
        assert all(truth[code][index] for code in codes)
        assert len({code.group for code in codes}) == len(codes)


def test_codes_replaced_by_a_posture_are_not_said(joints: np.ndarray) -> None:
    for codes in extract_posecodes(joints):
        superfluous = {group for code in codes for group in RULES[code].replaces}
        assert superfluous.isdisjoint(code.group for code in codes)


def test_jittered_codes_hold_within_tolerance(joints: np.ndarray) -> None:
    truth = dict(zip(CODES, holding(CODES, joints, 1.0)))
    jittered = extract_posecodes(joints, np.random.default_rng(0))
    assert all(truth[code][index] for index, codes in enumerate(jittered) for code in codes)
    assert jittered != extract_posecodes(joints)


def test_a_mirrored_pose_has_mirrored_codes(joints: np.ndarray) -> None:
    mirrored = joints[:, MIRRORED_JOINTS] * (-1.0, 1.0, 1.0)
    for codes, twins in zip(extract_posecodes(joints), extract_posecodes(mirrored)):
        assert {code.mirrored() for code in codes} == set(twins)


def test_mirroring_rotations_mirrors_joints(body: BodyModel, poses: torch.Tensor, joints: np.ndarray) -> None:
    """Up to the built-in body's own asymmetry, which is below a millimetre."""
    mirrored = body.forward_joints(mirror_pose(poses)).numpy()
    np.testing.assert_allclose(mirrored, joints[:, MIRRORED_JOINTS] * (-1.0, 1.0, 1.0), atol=1e-3)
    torch.testing.assert_close(mirror_pose(mirror_pose(poses)), poses)


def test_measurements_ignore_the_heading(body: BodyModel, poses: torch.Tensor, joints: np.ndarray) -> None:
    yaw = torch.linspace(-3.0, 3.0, len(poses), dtype=torch.float64)
    turned = measure(body.forward_joints(turn(poses, yaw)).numpy())
    for name, value in measure(joints).items():
        difference = (turned[name] - value + 180.0) % 360.0 - 180.0
        np.testing.assert_allclose(difference, 0.0, atol=1e-3, err_msg=name)


def test_heading_is_the_turn_about_the_vertical() -> None:
    yaw = np.linspace(-3.0, 3.0, 7)
    sin, cos, zero = np.sin(yaw), np.cos(yaw), np.zeros(7)
    axes = np.stack([cos, zero, sin, zero, zero + 1, zero, -sin, zero, cos], axis=-1).reshape(7, 3, 3)
    np.testing.assert_allclose(heading(axes), yaw)


def test_swap_sides_changes_words_only() -> None:
    assert swap_sides("left_knee and upright, right") == "right_knee and upright, left"
