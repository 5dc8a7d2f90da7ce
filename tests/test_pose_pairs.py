"""Pairs of poses: what changes changes, what does not stays, frames of one motion are of one training clip."""

from functools import partial

import numpy as np
import pytest
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, mirror_pose, to_y_up, to_z_up
from unipose.training.geometry import heading, remove_heading
from unipose.training.named_poses.archetypes import archetype_poses
from unipose.training.sampling import pose_pairs
from unipose.training.sampling.anatomy import limit_excess
from unipose.training.sampling.pose_pairs import CHANGES, MIN_JOINT_MOTION, PairShares, PosePairs, sample_pose_pairs
from unipose.training.sampling.poses import HELD_OUT_CLIPS, MotionClip, MotionPoses, is_plausible, load_motion_clips
from unipose.training.sampling.rejection import reject_until_accepted


NUM_PAIRS = 240


@pytest.fixture(scope="module")
def pairs(body: BodyModel) -> PosePairs:
    return sample_pose_pairs(NUM_PAIRS, 0, body)


def of_kind(pairs: PosePairs, kind: str) -> PosePairs:
    return pairs.select([row for row, this in enumerate(pairs.kind) if this == kind])


def moved_parts(pairs: PosePairs) -> list[set[str]]:
    """For each pair the joints that are rotated by more than 1 degree."""
    angles = roma.rotmat_geodesic_distance(pairs.first, pairs.second).rad2deg()
    return [{JOINT_NAMES[index] for index in row.nonzero()[:, 0].tolist()} for row in angles > 1.0]


def joints_of(parts: tuple[str, ...]) -> set[str]:
    return {joint for part in parts for change in CHANGES[part] for joint in change.joints}


def clip_frames(held_out: bool) -> torch.Tensor:
    """(n, 22, 3, 3) every frame of the clips, and its mirror image, heading removed."""
    clips = [clip for clip in load_motion_clips() if (clip.name in HELD_OUT_CLIPS) == held_out]
    frames = remove_heading(roma.rotvec_to_rotmat(torch.cat([clip.rotvecs for clip in clips])))
    return torch.cat([frames, mirror_pose(frames)])


def nearest(poses: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    return torch.cdist(remove_heading(poses).flatten(1), frames.flatten(1)).amin(dim=1)


def test_shape_and_shares(pairs: PosePairs) -> None:
    assert pairs.first.shape == pairs.second.shape == (NUM_PAIRS, 22, 3, 3)
    assert len(pairs) == len(pairs.changed) == len(pairs.same_sequence) == NUM_PAIRS
    kinds = [pairs.kind.count(kind) for kind in ("one_change", "several_changes", "motion_neighbors")]
    assert kinds == [96, 84, 60]
    assert pairs.same_sequence.tolist() == [kind == "motion_neighbors" for kind in pairs.kind]


def test_one_change_rotates_one_part_only(pairs: PosePairs) -> None:
    single = of_kind(pairs, "one_change")
    for parts, moved in zip(single.changed, moved_parts(single)):
        assert len(parts) == 1
        assert moved
        assert moved <= joints_of(parts)
    assert {parts[0] for parts in single.changed} == set(CHANGES)


def test_several_changes_are_two_to_four(pairs: PosePairs) -> None:
    several = of_kind(pairs, "several_changes")
    assert {len(parts) for parts in several.changed} == {2, 3, 4}
    for parts, moved in zip(several.changed, moved_parts(several)):
        assert moved <= joints_of(parts)
        assert all(moved & joints_of((part,)) for part in parts)


def test_changes_are_large_enough(pairs: PosePairs, body: BodyModel) -> None:
    single = of_kind(pairs, "one_change")
    moved = (body.forward_joints(single.first) - body.forward_joints(single.second)).norm(dim=-1).amax(dim=1)
    turned = roma.rotmat_geodesic_distance(single.first, single.second).rad2deg().sum(dim=1)
    assert turned.min() > 14.0
    limbs = torch.tensor([parts != ("head",) for parts in single.changed])
    assert moved[limbs].min() > 0.07


def test_all_poses_are_plausible(pairs: PosePairs, body: BodyModel) -> None:
    assert is_plausible(torch.cat([pairs.first, pairs.second]), body).float().mean() > 0.99
    changed = [row for row, parts in enumerate(pairs.changed) if parts]
    assert (limit_excess(pairs.second[changed]) <= limit_excess(pairs.first[changed]).clamp(min=3.0) + 0.1).all()


def test_first_heading_is_zero_and_second_is_relative_to_it(pairs: PosePairs) -> None:
    facing = heading(to_y_up(pairs.first)[:, 0].double().numpy())
    np.testing.assert_allclose(facing, 0.0, atol=1e-4)
    turned = np.abs(heading(to_y_up(of_kind(pairs, "motion_neighbors").second)[:, 0].double().numpy()))
    assert turned.max() > np.radians(30.0)


def test_motion_neighbors_are_different_frames_of_training_clips(pairs: PosePairs, body: BodyModel) -> None:
    near = of_kind(pairs, "motion_neighbors")
    frames = clip_frames(held_out=False)
    assert nearest(near.first, frames).max() < 0.01
    assert nearest(near.second, frames).max() < 0.01
    moved = (body.forward_joints(near.first) - body.forward_joints(near.second)).norm(dim=-1).amax(dim=1)
    assert moved.min() > MIN_JOINT_MOTION - 0.01


def test_held_out_clips_are_used_only_on_request(pairs: PosePairs, body: BodyModel) -> None:
    held_out = clip_frames(held_out=True)
    unlike = nearest(held_out, clip_frames(held_out=False)) > 0.05
    near = of_kind(pairs, "motion_neighbors")
    assert nearest(near.first, held_out[unlike]).min() > 0.01
    requested = sample_pose_pairs(60, 0, body, clips=HELD_OUT_CLIPS)
    assert nearest(requested.first, held_out).max() < 0.01
    assert nearest(of_kind(requested, "motion_neighbors").second, held_out).max() < 0.01


def test_same_seed_same_pairs(body: BodyModel) -> None:
    shares = PairShares(one_change=1, several_changes=1, motion_neighbors=1)
    again = [sample_pose_pairs(30, seed, body, shares) for seed in (1, 1, 2)]
    torch.testing.assert_close(again[0].second, again[1].second, atol=0.0, rtol=0.0)
    assert again[0].changed == again[1].changed
    assert not torch.equal(again[0].second, again[2].second)


@pytest.mark.parametrize("kind", ["one_change", "several_changes", "motion_neighbors"])
def test_a_single_kind(kind: str, body: BodyModel) -> None:
    none = {"one_change": 0.0, "several_changes": 0.0, "motion_neighbors": 0.0}
    assert set(sample_pose_pairs(12, 0, body, PairShares(**none | {kind: 1.0})).kind) == {kind}


def test_unknown_clips_are_refused(body: BodyModel) -> None:
    with pytest.raises(ValueError, match=r"got clips .*, unknown: \['moonwalk'\]; expected one or more of .*walk"):
        sample_pose_pairs(4, 0, body, clips=("walk", "moonwalk"))
    with pytest.raises(ValueError, match="one or more"):
        sample_pose_pairs(4, 0, body, clips=())


def test_pairs_of_recorded_motion(body: BodyModel) -> None:
    """Frames of one of the given clips that are 0.2 to 0.8 s apart and differ; never across clips."""
    clips = []
    for side in ("left", "right"):
        rotvecs = torch.zeros(20, 22, 3)
        rotvecs[:, JOINT_NAMES.index(f"{side}_shoulder"), 2] = torch.linspace(-1.2, 1.2, 20)
        stored = roma.rotmat_to_rotvec(to_z_up(roma.rotvec_to_rotmat(rotvecs)))
        clips.append(MotionClip(side, stored, torch.arange(20) * 0.1))
    shares = PairShares(one_change=0, several_changes=0, motion_neighbors=1)
    pairs = sample_pose_pairs(60, 0, body, shares, motion=MotionPoses.by_variety(clips, body))
    shoulders = [JOINT_NAMES.index(f"{side}_shoulder") for side in ("left", "right")]
    angles = [roma.rotmat_to_rotvec(each[:, shoulders])[..., 2].abs() for each in (pairs.first, pairs.second)]
    assert ((angles[0] < 1e-3).any(dim=1) & (angles[1] < 1e-3).any(dim=1)).all()
    steps = (roma.rotmat_geodesic_distance(pairs.first, pairs.second).sum(dim=1) / (2.4 / 19)).round()
    assert set(steps.int().tolist()) <= set(range(2, 9))
    assert len(set(steps.int().tolist())) > 3


def test_motion_that_stands_still_is_an_error(body: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pose_pairs, "reject_until_accepted", partial(reject_until_accepted, max_rounds=3))
    clip = MotionClip("still", roma.rotmat_to_rotvec(archetype_poses(["stand"] * 5)), torch.arange(5) * 0.1)
    shares = PairShares(one_change=0, several_changes=0, motion_neighbors=1)
    with pytest.raises(RuntimeError, match=r"two frames, 0\.2 to 0\.8 s apart, that differ"):
        sample_pose_pairs(4, 0, body, shares, motion=MotionPoses.from_clips([clip]))
