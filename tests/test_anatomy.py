"""What is plausible: joint ranges, self-penetration, balance; real motion passes, hand-made mistakes do not."""

import numpy as np
import pytest
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.joint_limits import RANGES
from unipose.processing.pose_features import JOINT_NAMES, mirror_pose, to_z_up
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses
from unipose.training.named_poses.joint_angles import Angles, euler_candidates, part_of, pose_from_angles
from unipose.training.sampling.anatomy import joints_outside, limit_excess, limited_joints, within_limits
from unipose.training.sampling.balance import off_balance
from unipose.training.sampling.collisions import (
    Capsules,
    body_capsules,
    penetration_depths,
    segment_distances,
    self_intersects,
)
from unipose.training.sampling.mixing import LIMBS, RANDOM_ANGLES, random_limb
from unipose.training.sampling.poses import held_out_poses, is_plausible, training_motion_poses


ARMS_DOWN: Angles = {"shoulder": (-75, 0, 0)}


@pytest.fixture(scope="module")
def capsules(body: BodyModel) -> Capsules:
    return body_capsules(body)


def pose(angles: Angles) -> torch.Tensor:
    return to_z_up(pose_from_angles(angles))[None]


@pytest.mark.parametrize("frames", [training_motion_poses, held_out_poses])
def test_real_motion_passes(frames, body: BodyModel, capsules: Capsules) -> None:
    poses = frames()
    assert within_limits(poses).float().mean() >= 0.97
    assert (~self_intersects(poses, body, capsules)).float().mean() >= 0.95


@pytest.mark.parametrize(
    ("angles", "outside"),
    [
        ({"left_knee": (-25, 0, 0)}, ("left_knee",)),
        ({"right_knee": (-25, 0, 0)}, ("right_knee",)),
        ({"left_elbow": (0, 30, 0)}, ("left_elbow",)),
        ({"right_elbow": (0, -170, 0)}, ("right_elbow",)),
        ({"hip": (0, 60, 0)}, ("left_hip", "right_hip")),
        ({"hip": (90, 0, 0)}, ("left_hip", "right_hip")),
        ({"neck": (0, 48, 0), "head": (0, 48, 0)}, ("neck_and_head",)),
        ({"spine1": (0, 24, 0), "spine2": (0, 24, 0), "spine3": (0, 24, 0)}, ("trunk",)),
        ({"neck": (0, 60, 0), "head": (0, 60, 0)}, ("neck_and_head",)),
        ({"left_knee": (-40, 0, 0)}, ("left_knee",)),
        ({"right_elbow": (0, 40, 0)}, ("right_elbow",)),
        ({"left_elbow": (0, 0, 50)}, ("left_elbow",)),
        ({"wrist": (0, 85, 0)}, ("left_wrist", "right_wrist")),
        ({"foot": (90, 0, 0)}, ("left_foot", "right_foot")),
        ({"pelvis": (0, 0, 170)}, ()),
    ],
)
def test_joints_outside_their_range_are_named(angles: Angles, outside: tuple[str, ...]) -> None:
    assert joints_outside(pose(angles)) == [outside]
    assert within_limits(pose(angles)).tolist() == [not outside]


def test_excess_is_the_angle_beyond_the_range() -> None:
    names = limited_joints()
    for knee, excess in ((155, 0.0), (165, 10.0), (-25, 20.0)):
        got = limit_excess(pose({"left_knee": (knee, 0, 0)}))[0, names.index("left_knee")]
        assert got == pytest.approx(excess, abs=0.1)
    assert not within_limits(pose({"knee": (160, 0, 0)}), margin=4.0)
    assert within_limits(pose({"knee": (160, 0, 0)}), margin=6.0)


def test_a_hinge_may_be_tilted_and_its_limb_twisted() -> None:
    """An elbow that bends about an axis tilted by 28 degrees, as CMU's do, is in range as far as it bends."""
    for flexion, inside in ((0, True), (60, True), (90, True), (150, True), (-40, False), (180, False)):
        bent = pose({})
        for joint, sign in (("left_elbow", -1.0), ("right_elbow", 1.0)):
            axis = torch.tensor([0.0, np.cos(np.radians(28)), sign * np.sin(np.radians(28))]) * sign
            bent[:, JOINT_NAMES.index(joint)] = roma.rotvec_to_rotmat(axis.float() * np.radians(flexion))
        assert within_limits(bent).item() == inside
    assert within_limits(pose({"wrist": (-120, 0, 0), "elbow": (40, -90, 0)}))


def test_limits_are_mirror_symmetric() -> None:
    poses = held_out_poses()[::5]
    names = limited_joints()
    swapped = [names.index(name.replace("left", "*").replace("right", "left").replace("*", "right")) for name in names]
    torch.testing.assert_close(limit_excess(mirror_pose(poses))[:, swapped], limit_excess(poses), atol=0.1, rtol=0.0)


@pytest.mark.parametrize("flexion", [-85.0, -89.9, -90.0, -90.1, -95.0])
def test_excess_is_continuous_near_gimbal_lock(flexion: float) -> None:
    """An arm stretched straight forward, a little rolled or lifted, is in range on both sides of the right angle."""
    for roll in (-8.0, 0.0, 8.0):
        arm = pose({"shoulder": (0, flexion, roll)})
        arm[:, 16] = arm[:, 16] @ roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, 0.05]))
        assert limit_excess(arm).max() < 5.0


def test_random_limbs_are_in_range() -> None:
    assert set(RANDOM_ANGLES) == {part_of(joint) for joints in LIMBS.values() for joint in joints}
    for limb, joints in LIMBS.items():
        poses = torch.eye(3).repeat(50, len(JOINT_NAMES), 1, 1)
        poses[:, [JOINT_NAMES.index(joint) for joint in joints]] = random_limb(limb, 50, np.random.default_rng(0))
        assert (limit_excess(poses) < 0.1).float().mean() > 0.98
        assert within_limits(poses).float().mean() > 0.8


def test_both_euler_candidates_give_the_rotation() -> None:
    rotations = roma.random_rotmat(100).double()
    for order in {limit.order for limit in RANGES.values()}:
        for angles in euler_candidates(rotations, order):
            torch.testing.assert_close(roma.euler_to_rotmat(order, angles, degrees=True), rotations, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("crossed", "parts"),
    [
        # A forearm straight back through the belly.
        ({"left_shoulder": (-75, -5, 75), "left_elbow": (0, -100, 0)}, {"left_elbow", "left_wrist"}),
        ({"right_shoulder": (-75, -5, 75), "right_elbow": (0, -100, 0)}, {"right_elbow", "right_wrist"}),
        # Each leg through the other.
        (ARMS_DOWN | {"hip": (0, 0, -18)}, {"left_hip", "right_hip", "left_knee", "right_knee"}),
        # A fist in the head.
        (ARMS_DOWN | {"left_shoulder": (20, 0, -90), "left_elbow": (0, -150, 0)}, {"head"}),
    ],
)
def test_crossed_limbs_are_detected(crossed: Angles, parts: set[str], body: BodyModel, capsules: Capsules) -> None:
    poses = pose(crossed)
    assert self_intersects(poses, body, capsules).all()
    deepest = capsules.pair_names()[int(penetration_depths(poses, body, capsules)[0].argmax())]
    assert parts & set(deepest)


def test_penetration_depths_are_mirror_symmetric(body: BodyModel, capsules: Capsules) -> None:
    poses = torch.cat([held_out_poses()[::7], archetype_poses(list(ARCHETYPES))])
    deepest = [penetration_depths(each, body, capsules).amax(dim=1) for each in (poses, mirror_pose(poses))]
    torch.testing.assert_close(*deepest, atol=5e-3, rtol=0.0)


def test_segment_distances_agree_with_a_grid_search() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 2, 3, 40, generator=generator)
    share = torch.linspace(0, 1, 201)[:, None, None]
    points = [ends[0] + share * (ends[1] - ends[0]) for ends in (first, second)]
    searched = (points[0][:, None] - points[1][None]).norm(dim=2).amin(dim=(0, 1))
    torch.testing.assert_close(segment_distances(first, second), searched, atol=0.02, rtol=0.0)
    parallel = torch.tensor([[[0.0], [0.0], [0.0]], [[1.0], [0.0], [0.0]]])
    torch.testing.assert_close(
        segment_distances(parallel, parallel + torch.tensor([[3.0], [4.0], [0.0]])).item(), 20**0.5
    )


def test_capsules_fill_the_body(body: BodyModel, capsules: Capsules) -> None:
    """Every part has a capsule, as thick on the left as on the right, and no pair is of joined parts."""
    radii = dict(zip(capsules.joints.tolist(), capsules.radii.tolist()))
    for left, right in (("left_hip", "right_hip"), ("left_elbow", "right_elbow"), ("left_ankle", "right_ankle")):
        assert radii[JOINT_NAMES.index(left)] == pytest.approx(radii[JOINT_NAMES.index(right)], abs=2e-3)
    pairs = {frozenset(pair) for pair in capsules.pair_names()}
    assert frozenset(("left_hip", "right_hip")) in pairs
    assert frozenset(("left_elbow", "spine2")) in pairs
    assert not pairs & {frozenset(("left_hip", "left_knee")), frozenset(("spine3", "left_shoulder"))}


def test_balance(body: BodyModel, capsules: Capsules) -> None:
    names = ["stand", "crouch", "kneel", "crawl", "lie_back"]
    assert (off_balance(archetype_poses(names), body, capsules) < 0.05).all()
    tilted = pose({"pelvis": (35, 0, 0), **ARMS_DOWN})
    assert off_balance(tilted, body, capsules) > 0.15
    distances = [off_balance(each, body, capsules) for each in (tilted, mirror_pose(tilted))]
    torch.testing.assert_close(*distances, atol=5e-3, rtol=0.0)


def test_implausible_poses_are_detected(body: BodyModel) -> None:
    crossed = pose(ARMS_DOWN | {"hip": (0, 0, -18)})
    overstretched = pose(ARMS_DOWN | {"knee": (-40, 0, 0)})
    poses = torch.cat([archetype_poses(["stand"]), crossed, overstretched])
    assert is_plausible(poses, body).tolist() == [True, False, False]
