"""Posecodes: each value on a body built for it, and what has to hold for every pose."""

import numpy as np
import pytest
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, MIRRORED_JOINTS, mirror_pose, to_z_up
from unipose.training.captions.elementary_posecodes import BENDS, DISTANCES
from unipose.training.captions.implications import IMPLICATIONS_FILE, drop_implied, implied_by_one, implied_by_order
from unipose.training.captions.measures import HAND_REACH, body_points, measure
from unipose.training.captions.posecodes import CODES, RULES, Posecode, extract_posecodes, holding
from unipose.training.geometry import heading, rotate_heading, swap_sides
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses
from unipose.training.sampling.poses import held_out_poses
from unipose.training.tools.mine_implications import mine


def holds_on(
    code: Posecode, joints: np.ndarray, tolerance: float = 1.0, rotmats: np.ndarray | None = None
) -> np.ndarray:
    return holding((code,), joints, tolerance, rotmats)[0]


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
    fitting = [value for value, _, _ in BENDS if holds_on(Posecode("bend", f"left_{limb}", value), built, 0.0)[0]]
    assert fitting == [expected] + ["bent"] * (degrees < 135)


@pytest.mark.parametrize("meters", [0.1, 0.3, 0.6, 0.9])
def test_every_distance(rest: np.ndarray, meters: float) -> None:
    ankles = {f"{side}_ankle": (sign * meters / 2, -0.8, 0.0) for side, sign in (("left", 1), ("right", -1))}
    built = place(rest, **ankles)
    expected = next(value for value, low, high in DISTANCES if low <= meters < high)
    fitting = [value for value, _, _ in DISTANCES if holds_on(Posecode("distance", "feet", value), built, 0.0)[0]]
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
        (Posecode("order_height", "left_hand", "higher"), (0.3, 0.7, 0.1)),
        (Posecode("order_height", "right_hand", "higher"), (0.3, 0.1, 0.3)),
        (Posecode("order_depth", "left_hand", "ahead"), (0.3, 0.1, 0.3)),
        (Posecode("order_depth", "right_hand", "ahead"), (0.3, 0.1, -0.3)),
        (Posecode("height_to_shoulder", "left_hand", "above"), (0.3, 0.65, 0.1)),
        (Posecode("height_to_shoulder", "left_hand", "level"), (0.3, 0.44, 0.3)),
        (Posecode("height_to_neck", "left_hand", "above"), (0.3, 0.75, 0.1)),
        (Posecode("height_to_hip", "left_hand", "above"), (0.3, 0.3, 0.3)),
        (Posecode("side_to_shoulder", "left_hand", "in_line"), (0.17, 0.2, 0.4)),
        (Posecode("side_to_shoulder", "left_hand", "inside"), (0.0, 0.2, 0.4)),
        (Posecode("crossing", "hands", "crossed"), (-0.9, 0.4, 0.2)),
        (Posecode("near", "left_hand", "head"), (0.12, 0.64, 0.08)),
        (Posecode("near", "left_hand", "right_foot"), (-0.1, -0.85, 0.15)),
    ],
)
def test_relative_positions(
    body: BodyModel, rest: np.ndarray, code: Posecode, point: tuple[float, float, float]
) -> None:
    built = hand_at(rest, np.array(point))
    assert holds_on(code, built, 0.0)[0]
    assert not holds_on(code, body.forward_joints(archetype_poses(["stand"])))[0]


def test_feet_ahead_and_off_the_ground(rest: np.ndarray) -> None:
    ankle, toes = rest[JOINT_NAMES.index("left_ankle")], rest[JOINT_NAMES.index("left_foot")]
    shift = np.array([0.0, 0.3, 0.3])
    lifted = place(rest, left_ankle=tuple(ankle + shift), left_foot=tuple(toes + shift))
    for kind, value in (
        ("order_depth", "ahead"),
        ("order_height", "higher"),
        ("ground", "off"),
        ("depth_to_hip", "front"),
    ):
        assert holds_on(Posecode(kind, "left_foot", value), lifted)[0]
        assert not holds_on(Posecode(kind, "right_foot", value), lifted)[0]


@pytest.mark.parametrize(
    ("code", "point"),
    [
        (Posecode("height_to_hip", "left_knee", "above"), (0.12, 0.3, 0.3)),
        (Posecode("height_to_hip", "left_knee", "level"), (0.12, 0.0, 0.43)),
        (Posecode("depth_to_hip", "left_knee", "front"), (0.12, -0.2, 0.35)),
        (Posecode("depth_to_hip", "left_knee", "behind"), (0.12, -0.3, -0.3)),
        (Posecode("side_to_hip", "left_knee", "outside"), (0.4, -0.3, 0.1)),
        (Posecode("side_to_hip", "left_knee", "inside"), (-0.1, -0.4, 0.1)),
        (Posecode("near", "left_knee", "chest"), (0.1, 0.2, 0.2)),
        (Posecode("segment", "left_thigh", "level"), (0.1, 0.0, 0.43)),
    ],
)
def test_places_of_a_knee(rest: np.ndarray, code: Posecode, point: tuple[float, float, float]) -> None:
    assert holds_on(code, place(rest, left_knee=point), 0.0)[0]
    assert not holds_on(code, rest[None])[0]


@pytest.mark.parametrize(
    ("code", "axis", "degrees"),
    [
        (Posecode("torso", "torso", "forward"), 0, 35),
        (Posecode("torso", "torso", "far_forward"), 0, 65),
        (Posecode("torso", "torso", "level"), 0, 90),
        (Posecode("torso", "torso", "upside_down"), 0, 170),
        (Posecode("torso", "torso", "back"), 0, -30),
        (Posecode("lean", "torso", "left"), 2, -20),
        (Posecode("lean", "torso", "far_right"), 2, 40),
    ],
)
def test_torso_against_gravity(body: BodyModel, code: Posecode, axis: int, degrees: float) -> None:
    """The whole body is turned about its left or forward axis."""
    rotmats = torch.eye(3).repeat(1, 22, 1, 1)
    rotvec = torch.zeros(3)
    rotvec[axis] = np.radians(degrees)
    rotmats[:, 0] = roma.rotvec_to_rotmat(rotvec)
    joints = body.forward_joints(to_z_up(rotmats)).numpy()
    assert holds_on(code, joints, 0.0)[0]
    assert not holds_on(code, body.joints[None, :22].numpy())[0]


@pytest.mark.parametrize(
    ("code", "axis", "degrees"),
    [
        (Posecode("head_rotation", "head", "left"), 1, 15),
        (Posecode("head_rotation", "head", "far_right"), 1, -30),
        (Posecode("head_tilt", "head", "left"), 2, -20),
        (Posecode("head", "head", "down"), 0, 30),
        (Posecode("head", "head", "up"), 0, -25),
    ],
)
def test_head(body: BodyModel, code: Posecode, axis: int, degrees: float) -> None:
    """Neck and head are turned by the same angle; only a turn needs rotations to be seen."""
    rotvecs = torch.zeros(1, 22, 3)
    rotvecs[:, [JOINT_NAMES.index("neck"), JOINT_NAMES.index("head")], axis] = np.radians(degrees)
    rotmats = to_z_up(roma.rotvec_to_rotmat(rotvecs))
    joints = body.forward_joints(rotmats).numpy()
    assert code in extract_posecodes(joints, rotmats=rotmats.numpy())[0]
    assert (code in extract_posecodes(joints)[0]) == (code.kind != "head_rotation")
    assert holds_on(code, joints, rotmats=rotmats)[0]
    assert not holds_on(code.mirrored() if axis else Posecode("head", "head", "far_down"), joints, rotmats=rotmats)[0]


def test_twist(body: BodyModel) -> None:
    rotvecs = torch.zeros(1, 22, 3)
    rotvecs[:, [JOINT_NAMES.index(f"spine{number}") for number in (1, 2, 3)], 1] = np.radians(12.0)
    codes = extract_posecodes(body.forward_joints(to_z_up(roma.rotvec_to_rotmat(rotvecs))).numpy())[0]
    assert Posecode("twist", "torso", "left") in codes


@pytest.mark.parametrize("name", ARCHETYPES)
def test_archetypes_show_their_postures(body: BodyModel, name: str) -> None:
    """Also that each mirrored archetype shows the mirrored codes."""
    for variant, flip in ((name, str), (swap_sides(name), swap_sides)):
        codes = extract_posecodes(body.forward_joints(archetype_poses([variant])))[0]
        archetype = ARCHETYPES[name]
        for kind, subject, value in (("posture", "body", archetype.posture), ("arms", "arms", archetype.arms)):
            if value and (variant == name or swap_sides(name) != name):
                assert Posecode(kind, subject, flip(value)) in codes


def test_extracted_codes_hold_and_exclude_each_other(joints: np.ndarray) -> None:
    truth = dict(zip(CODES, holding(CODES, joints, 0.0)))
    for index, codes in enumerate(extract_posecodes(joints)):
        assert all(truth[code][index] for code in codes)
        assert len({code.group for code in codes}) == len(codes)


def test_codes_replaced_by_a_posture_are_dropped(joints: np.ndarray) -> None:
    for codes in extract_posecodes(joints):
        superfluous = {group for code in codes for group in RULES[code].replaces}
        assert superfluous.isdisjoint(code.group for code in codes)


def test_jittered_codes_hold_within_tolerance(joints: np.ndarray) -> None:
    truth = dict(zip(CODES, holding(CODES, joints, 1.0)))
    jittered = extract_posecodes(joints, np.random.default_rng(0))
    assert all(truth[code][index] for index, codes in enumerate(jittered) for code in codes)
    assert jittered != extract_posecodes(joints)


def test_a_mirrored_pose_has_mirrored_codes(joints: np.ndarray, poses: torch.Tensor) -> None:
    mirrored = joints[:, MIRRORED_JOINTS] * (-1.0, 1.0, 1.0)
    first = extract_posecodes(joints, rotmats=poses.numpy())
    for codes, twins in zip(first, extract_posecodes(mirrored, rotmats=mirror_pose(poses).numpy())):
        assert {code.mirrored() for code in codes} == set(twins)
    assert any(code.kind == "head_rotation" for codes in first for code in codes)


def test_rules_are_mirrored() -> None:
    for code, rule in RULES.items():
        twin = RULES[code.mirrored()]
        assert twin.eligibility == rule.eligibility
        assert set(twin.replaces) == {(kind, swap_sides(subject)) for kind, subject in rule.replaces} or twin is rule
        assert {group for group in rule.replaces if group not in {each.group for each in CODES}} == set()


def test_eligibility_decides_what_is_extracted(joints: np.ndarray) -> None:
    for codes in extract_posecodes(joints):
        eligibility = [RULES[code].eligibility for code in codes]
        assert "support" not in eligibility
        if "ignored" in eligibility:
            assert len([each for each in eligibility if each != "ignored"]) < 6


def test_order_is_transitive() -> None:
    """The left hand is above the neck and the neck above the right hand: that one is higher is implied."""
    above, below = Posecode("height_to_neck", "left_hand", "above"), Posecode("height_to_neck", "right_hand", "below")
    higher = Posecode("order_height", "left_hand", "higher")
    assert (below, above) in implied_by_order()[higher]
    assert drop_implied((above, below, higher)) == [above, below]
    assert drop_implied((above, higher)) == [above, higher]


def test_order_never_implies_what_is_false(joints: np.ndarray) -> None:
    truth = dict(zip(CODES, holding(CODES, joints, 0.0)))
    checked = 0
    for code, pairs in implied_by_order().items():
        for first, second in pairs:
            both = truth[first] & truth[second]
            checked += int(both.sum())
            assert (truth[code] >= both).all()
    assert checked > 20


def test_mined_implications() -> None:
    assert IMPLICATIONS_FILE.exists()
    known = implied_by_one()
    assert known.keys() <= set(CODES)
    for code, reasons in known.items():
        assert RULES[code].eligibility != "rare"
        assert known[code.mirrored()] == {reason.mirrored() for reason in reasons}
    upper, elbow = (
        Posecode("segment", "left_upper_arm", "level"),
        Posecode("height_to_shoulder", "left_elbow", "level"),
    )
    assert drop_implied((upper, elbow)) == [upper]
    alone = Posecode("side", "left_elbow", "outward")
    assert mine([(upper, elbow)] * 100 + [(elbow, alone)] * 50) == {upper: [elbow]}


def test_mirroring_rotations_mirrors_joints(body: BodyModel, poses: torch.Tensor, joints: np.ndarray) -> None:
    """Up to the built-in body's own asymmetry, which is below a millimetre."""
    mirrored = body.forward_joints(mirror_pose(poses)).numpy()
    np.testing.assert_allclose(mirrored, joints[:, MIRRORED_JOINTS] * (-1.0, 1.0, 1.0), atol=1e-3)
    torch.testing.assert_close(mirror_pose(mirror_pose(poses)), poses)


def test_measurements_against_plain_geometry(joints: np.ndarray) -> None:
    """A naive twin, pose by pose, of measurements of all sorts, for bodies that stand upright and face +z."""
    points, measures = body_points(joints), measure(joints)
    for index in range(0, len(joints), 7):
        at = {name: point[index] for name, point in points.items()}

        def value(name: str, index: int = index) -> float:
            return float(measures[name][index])

        hip, knee, ankle = at["left_hip"], at["left_knee"], at["left_ankle"]
        sides = [np.linalg.norm(first - second) for first, second in ((hip, knee), (knee, ankle), (hip, ankle))]
        law_of_cosines = (sides[0] ** 2 + sides[1] ** 2 - sides[2] ** 2) / (2 * sides[0] * sides[1])
        assert value("left_knee.angle") == pytest.approx(np.degrees(np.arccos(law_of_cosines)), abs=1e-3)
        assert value("hands.distance") == pytest.approx(np.sqrt(((at["left_hand"] - at["right_hand"]) ** 2).sum()))
        assert value("left_hand.higher") == pytest.approx(at["left_hand"][1] - at["right_hand"][1])
        assert value("right_knee.above_hip") == pytest.approx(at["right_knee"][1] - at["right_hip"][1])
        lowest = min(point[1] for point in at.values())
        assert value("right_foot.ground") == pytest.approx(min(at["right_ankle"][1], at["right_foot"][1]) - lowest)
        drop, length = knee[1] - hip[1], np.linalg.norm(knee - hip)
        assert value("left_thigh.tilt") == pytest.approx(np.degrees(np.arccos(-drop / length)), abs=1e-3)


def test_measurements_ignore_the_heading(body: BodyModel, poses: torch.Tensor, joints: np.ndarray) -> None:
    yaw = torch.linspace(-3.0, 3.0, len(poses), dtype=torch.float64)
    turned = measure(body.forward_joints(rotate_heading(poses, yaw)).numpy(), rotate_heading(poses, yaw).numpy())
    for name, value in measure(joints, poses.numpy()).items():
        difference = (turned[name] - value + 180.0) % 360.0 - 180.0
        np.testing.assert_allclose(difference, 0.0, atol=1e-3, err_msg=name)


def test_heading_is_the_turn_about_the_vertical() -> None:
    yaw = np.linspace(-3.0, 3.0, 7)
    sin, cos, zero = np.sin(yaw), np.cos(yaw), np.zeros(7)
    axes = np.stack([cos, zero, sin, zero, zero + 1, zero, -sin, zero, cos], axis=-1).reshape(7, 3, 3)
    np.testing.assert_allclose(heading(axes), yaw)


def test_swap_sides_changes_words_only() -> None:
    assert swap_sides("left_knee and upright, right") == "right_knee and upright, left"
