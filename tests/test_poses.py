"""Pose sources: whole-clip split, heading removal, plausibility, reproducibility."""

from functools import partial, reduce

import numpy as np
import pytest
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, NUM_JOINTS, to_y_up, to_z_up
from unipose.training.captions.archetype_codes import archetype_codes
from unipose.training.captions.posecodes import holding
from unipose.training.geometry import heading, jitter_orientation, remove_heading, rotate_heading, swap_sides
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses
from unipose.training.sampling import mixing
from unipose.training.sampling import poses as pose_sources
from unipose.training.sampling.mixing import LIMBS, add_noise, blend_poses, mix_limbs
from unipose.training.sampling.poses import (
    HELD_OUT_CLIPS,
    SPLIT_CLIPS,
    MotionClip,
    MotionPoses,
    PoseSampler,
    SourceShares,
    held_out_poses,
    is_plausible,
    keeps_balance,
    load_motion_clips,
    sample_training_poses,
    training_clips,
    training_motion_poses,
)
from unipose.training.sampling.rejection import reject_until_accepted
from unipose.training.sampling.variety import variety_weights


@pytest.fixture(scope="module")
def sampled(body: BodyModel) -> tuple[torch.Tensor, list[str | None]]:
    return sample_training_poses(900, 0, body)


def test_clips_are_split_whole() -> None:
    clips = {clip.name: clip for clip in load_motion_clips()}
    held_out = [name for names in SPLIT_CLIPS.values() for name in names]
    assert set(held_out) < set(clips)
    assert len(set(held_out)) == len(held_out)
    trained = sum(len(clip.subsample()) for name, clip in clips.items() if name not in held_out)
    assert len(training_motion_poses()) == trained
    assert len(held_out_poses()) == sum(len(clips[name].subsample()) for name in HELD_OUT_CLIPS)


def test_held_out_poses_are_not_trained_on(sampled: tuple[torch.Tensor, list[str | None]]) -> None:
    """No frame of a held-out clip is among the training frames or within a degree of a drawn pose."""
    held = held_out_poses()
    distinct = held[torch.cdist(held.flatten(1), training_motion_poses().flatten(1)).amin(dim=1) > 1e-3]
    assert len(distinct) > 0.9 * len(held)
    assert torch.cdist(distinct.flatten(1), sampled[0].flatten(1)).amin() > 0.02


def test_subsampling_follows_a_regular_clock() -> None:
    clip = max(load_motion_clips(), key=lambda clip: len(clip.rotvecs))
    seconds = float(clip.seconds[-1])
    assert len(clip.subsample(10.0)) == pytest.approx(10 * seconds, abs=2)
    assert len(clip.subsample(5.0)) == pytest.approx(5 * seconds, abs=2)


def test_remove_heading(body: BodyModel) -> None:
    poses = torch.cat([held_out_poses(), archetype_poses(list(ARCHETYPES))]).double()
    level = remove_heading(poses)
    torch.testing.assert_close(remove_heading(level), level)
    yaw = torch.linspace(-3.1, 3.1, len(poses), dtype=torch.float64)
    torch.testing.assert_close(remove_heading(rotate_heading(poses, yaw)), level)
    np.testing.assert_allclose(heading(to_y_up(level)[:, 0].numpy()), 0.0, atol=1e-6)
    torch.testing.assert_close(level[:, 1:], poses[:, 1:])
    heights = [body.forward_joints(each)[..., 1] for each in (poses, level)]
    torch.testing.assert_close(heights[0], heights[1], atol=1e-6, rtol=0.0)


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("degrees", [-90.0, -60.0, 60.0, 90.0])
def test_lying_or_bending_bodies_have_no_heading(axis: tuple[float, float, float], degrees: float) -> None:
    pose = torch.eye(3).repeat(1, NUM_JOINTS, 1, 1)
    pose[:, 0] = roma.rotvec_to_rotmat(torch.tensor(axis) * np.radians(degrees))
    torch.testing.assert_close(remove_heading(to_z_up(pose)), to_z_up(pose))


def test_positive_yaw_rotates_to_the_left(body: BodyModel) -> None:
    pose = archetype_poses(["arms_forward"])
    wrists = body.forward_joints(rotate_heading(pose, torch.tensor([np.pi / 2])))[0, 20:22]
    assert (wrists[:, 0] > 0.4).all()


def test_jitter_orientation_changes_the_pelvis_only() -> None:
    poses = held_out_poses()
    jittered = jitter_orientation(poses, np.random.default_rng(0).uniform(-1, 1, (len(poses), 3)))
    torch.testing.assert_close(jittered[:, 1:], poses[:, 1:])
    turns = roma.rotmat_to_rotvec(jittered[:, 0] @ poses[:, 0].mT).norm(dim=-1).rad2deg()
    assert 10.0 < turns.mean() < 35.0
    assert turns.max() < 60.0


def test_sampling_is_reproducible(body: BodyModel, sampled: tuple[torch.Tensor, list[str | None]]) -> None:
    again, labels = sample_training_poses(900, 0, body)
    torch.testing.assert_close(again, sampled[0], atol=0.0, rtol=0.0)
    assert labels == sampled[1]
    assert not torch.equal(sample_training_poses(900, 1, body)[0], again)


def test_samples_are_plausible_rotations(body: BodyModel, sampled: tuple[torch.Tensor, list[str | None]]) -> None:
    rotmats, labels = sampled
    assert rotmats.shape == (900, NUM_JOINTS, 3, 3)
    assert rotmats.dtype == torch.float32
    identity = torch.eye(3).expand_as(rotmats)
    torch.testing.assert_close(rotmats @ rotmats.mT, identity, atol=1e-4, rtol=0.0)
    torch.testing.assert_close(torch.linalg.det(rotmats), torch.ones(rotmats.shape[:2]), atol=1e-4, rtol=0.0)
    assert is_plausible(rotmats, body).float().mean() > 0.99
    assert sum(label is not None for label in labels) == 225


def test_labels_are_archetypes(body: BodyModel) -> None:
    only_named = SourceShares(motion=0, mixed=0, blended=0, archetype=1)
    names = set(sample_training_poses(1500, 0, body, only_named)[1])
    assert {swap_sides(name) if name not in ARCHETYPES else name for name in names} <= set(ARCHETYPES)
    assert len(names) > len(ARCHETYPES)
    assert any(name not in ARCHETYPES for name in names)


def test_labelled_poses_match_their_sentences(body: BodyModel, sampled: tuple[torch.Tensor, list[str | None]]) -> None:
    joints = body.forward_joints(sampled[0]).numpy()
    checked = 0
    for label, pose in zip(sampled[1], joints):
        codes = archetype_codes(label) if label is not None else ()
        if codes:
            assert holding(codes, pose[None]).all(), label
            checked += 1
    assert checked > 100


def test_shares_decide_where_poses_come_from(body: BodyModel) -> None:
    only_named = SourceShares(motion=0, mixed=0, blended=0, archetype=2)
    assert all(sample_training_poses(40, 0, body, only_named)[1])
    without = SourceShares(motion=1, mixed=1, blended=1, archetype=0)
    rotmats, labels = sample_training_poses(40, 0, body, without)
    assert rotmats.shape[0] == 40
    assert labels == [None] * 40


def test_rejection_is_bounded(body: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames with a knee bent backwards are never plausible: an error names the source and the joint."""
    monkeypatch.setattr(pose_sources, "reject_until_accepted", partial(reject_until_accepted, max_rounds=3))
    overstretched = archetype_poses(["stand"])
    overstretched[:, JOINT_NAMES.index("left_knee")] = roma.rotvec_to_rotmat(torch.tensor([-1.0, 0.0, 0.0]))
    clip = MotionClip("stand", roma.rotmat_to_rotvec(overstretched), torch.zeros(1))
    sampler = PoseSampler.load(body, 0, MotionPoses.from_clips([clip]))
    with pytest.raises(RuntimeError, match=r"4 items were rejected 3 times.*'motion': left_knee is out of its range"):
        sampler.draw("motion", 4)


def test_rejection_repeats_what_was_not_accepted() -> None:
    attempts: list[list[int]] = []

    def propose(pending: torch.Tensor) -> torch.Tensor:
        attempts.append(pending.tolist())
        return pending < len(attempts)

    reject_until_accepted(torch.arange(3), propose, str)
    assert attempts == [[0, 1, 2], [1, 2], [2]]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 100])
def test_shares_add_up(n: int) -> None:
    counts = SourceShares(motion=1, mixed=3, blended=1, archetype=1).counts(n)
    assert sum(counts.values()) == n
    assert min(counts.values()) >= 0
    assert counts["mixed"] >= n // 2


@pytest.mark.parametrize("shares", [(-0.1, 0.5, 0.3, 0.3), (0, 0, 0, 0)])
def test_impossible_shares_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="not all 0"):
        SourceShares(*shares)


def test_mixed_poses_keep_their_balance(body: BodyModel) -> None:
    """What stands may not fall; what is off balance already, like someone on a chair, may stay so."""
    sampler = PoseSampler.load(body, 0)
    stand, sit = archetype_poses(["stand"]), archetype_poses(["sit"])
    fallen = stand.clone()
    fallen[:, 0] = roma.rotvec_to_rotmat(torch.tensor([0.7, 0.0, 0.0])) @ stand[:, 0]
    balance = [
        keeps_balance(pose, base, body, sampler.capsules).item()
        for pose, base in ((stand, stand), (fallen, stand), (sit, sit), (sit, stand))
    ]
    assert balance == [True, False, True, False]


def test_mixed_poses_take_whole_limbs() -> None:
    """Every limb of a mixed pose is the base's own, a donor's or a drawn one; the pelvis is the base's."""
    bases, donors = held_out_poses()[:80], training_motion_poses()[:300]
    mixed = mix_limbs(bases, donors, np.random.default_rng(0))
    torch.testing.assert_close(mixed[:, 0], bases[:, 0], atol=0.0, rtol=0.0)
    for limb, joints in LIMBS.items():
        indices = [JOINT_NAMES.index(joint) for joint in joints]
        own = (mixed[:, indices] == bases[:, indices]).flatten(1).all(dim=1)
        given = torch.cdist(mixed[:, indices].flatten(1), donors[:, indices].flatten(1)).amin(dim=1) < 1e-3
        assert 0.05 < own.float().mean() < 0.95, limb
        assert given[~own].float().mean() > 0.3, limb


def test_blends_lie_between_their_ends() -> None:
    first, second = held_out_poses()[:50], held_out_poses()[50:100]
    middle = blend_poses(first, second, np.random.default_rng(0))
    whole = roma.rotmat_geodesic_distance(first, second)
    parts = [roma.rotmat_geodesic_distance(first, middle), roma.rotmat_geodesic_distance(middle, second)]
    torch.testing.assert_close(sum(parts), whole, atol=5e-3, rtol=0.0)
    shares = (parts[0] / whole)[whole > 0.2]
    assert shares.min() > 0.15
    assert shares.max() < 0.85


def test_noise_moves_joints_little_and_rotates_each(body: BodyModel) -> None:
    poses = archetype_poses(["stand"] * 300)
    noisy = add_noise(poses, np.random.default_rng(0))
    moved = (body.forward_joints(poses) - body.forward_joints(noisy)).norm(dim=-1)
    assert 0.02 < moved.mean() < 0.08
    angles = roma.rotmat_to_rotvec(poses.mT @ noisy).norm(dim=-1).rad2deg()
    assert angles.mean(dim=0).min() > 4.0
    assert angles[:, [JOINT_NAMES.index(f"left_{part}") for part in ("collar", "wrist", "foot")]].mean() > 12.0
    torch.testing.assert_close(add_noise(poses, np.random.default_rng(0), 0.0), poses)


def test_shared_noise_leaves_what_lies_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the joints' own noise the trunk, the arms and the legs end in the orientation that they had."""
    monkeypatch.setattr(mixing, "NOISE", dict.fromkeys(mixing.NOISE, (0.0, 0.0, 0.0)))
    poses = archetype_poses(["stand", "sit", "crawl"])
    noisy = add_noise(poses, np.random.default_rng(0))
    for chain in (("spine1", "spine2", "spine3"), ("neck", "head"), LIMBS["left_arm"], LIMBS["right_leg"]):
        joints = [[each[:, JOINT_NAMES.index(joint)] for joint in chain] for each in (poses, noisy)]
        torch.testing.assert_close(*(reduce(torch.matmul, each) for each in joints), atol=1e-5, rtol=0.0)
        assert (roma.rotmat_geodesic_distance(joints[0][0], joints[1][0]) > 0.01).all()


@pytest.fixture(scope="module")
def recorded(body: BodyModel) -> MotionPoses:
    """The training clips, a clip that waves one arm, and a broken one, its knees bent backwards."""
    wave = torch.zeros(9, NUM_JOINTS, 3)
    wave[:, JOINT_NAMES.index("left_shoulder"), 2] = torch.linspace(-1.2, 1.2, 9)
    wave[:, JOINT_NAMES.index("spine3"), 1] = 0.3
    broken = torch.zeros(5, NUM_JOINTS, 3)
    broken[:, JOINT_NAMES.index("left_knee"), 0] = -1.0
    stored = [roma.rotmat_to_rotvec(to_z_up(roma.rotvec_to_rotmat(clip))) for clip in (wave, broken)]
    seconds = torch.arange(9) * 0.1
    clips = [MotionClip("wave", stored[0], seconds), MotionClip("broken", stored[1], seconds[:5])]
    return MotionPoses.by_variety([*training_clips(), *clips], body)


def test_recorded_poses_are_drawn_by_variety(body: BodyModel, recorded: MotionPoses) -> None:
    """Implausible frames are left out; a rare pose is more likely than one of many that walk; the sum is one."""
    number = len(training_clips())
    assert (recorded.clips == number).sum() == 9
    assert not (recorded.clips == number + 1).any()
    assert recorded.weights.sum() == pytest.approx(1.0)
    walk = [clip.name for clip in training_clips()].index("walk")
    rare, common = (recorded.weights[recorded.clips == clip].mean() for clip in (number, walk))
    assert rare > 1.5 * common
    drawn = recorded.draw(4000, np.random.default_rng(0))
    waving = (drawn[:, JOINT_NAMES.index("spine3"), 2, 0].abs() - np.sin(0.3)).abs() < 1e-3
    assert waving.float().mean() == pytest.approx(recorded.weights[recorded.clips == number].sum(), abs=0.01)
    np.testing.assert_allclose(heading(to_y_up(drawn)[:, 0].double().numpy()), 0.0, atol=1e-5)


def test_no_plausible_pose_is_an_error(body: BodyModel) -> None:
    broken = torch.zeros(2, NUM_JOINTS, 3)
    broken[:, JOINT_NAMES.index("left_knee"), 0] = -1.0
    with pytest.raises(ValueError, match="none of 2 recorded poses is plausible"):
        MotionPoses.by_variety([MotionClip("broken", broken, torch.tensor([0.0, 0.1]))], body)


def test_every_source_uses_the_recorded_poses(body: BodyModel) -> None:
    """Limbs and blends come from them too: with a single clip whose wrists are bent, wrists are."""
    clip = MotionClip("bent", roma.rotmat_to_rotvec(archetype_poses(["stand"])), torch.zeros(1))
    clip.rotvecs[:, JOINT_NAMES.index("left_wrist"), 2] = 1.2
    motion = MotionPoses.from_clips([clip])
    shares = SourceShares(motion=1, mixed=1, blended=1, archetype=0)
    poses, _ = sample_training_poses(150, 0, body, shares, motion)
    wrists = poses[:, [JOINT_NAMES.index(f"{side}_wrist") for side in ("left", "right")]]
    bent = (roma.rotmat_to_rotvec(wrists).norm(dim=-1).amax(dim=1) > 0.9).float().mean()
    assert bent > 0.4
    assert (
        bent > 2 * (roma.rotmat_to_rotvec(default_wrists(body, shares)).norm(dim=-1).amax(dim=1) > 0.9).float().mean()
    )


def default_wrists(body: BodyModel, shares: SourceShares) -> torch.Tensor:
    poses, _ = sample_training_poses(150, 0, body, shares)
    return poses[:, [JOINT_NAMES.index(f"{side}_wrist") for side in ("left", "right")]]


def test_weights_fall_with_the_number_of_similar_poses(body: BodyModel) -> None:
    """Of nine equal poses and one other, the other weighs three times as much, whatever the headings are."""
    poses = archetype_poses(["stand"] * 9 + ["lie_back"])
    turned = rotate_heading(poses, torch.linspace(0, 3, 10))
    weights = variety_weights(turned, body)
    torch.testing.assert_close(weights[9] / weights[:9], torch.full((9,), 3.0, dtype=torch.float64))
    assert weights.sum() == pytest.approx(1.0)
    assert variety_weights(poses[:0], body).shape == (0,)
