"""Properties of the metrics that need no recorded outputs; those are in test_metrics_parity.py."""

import pytest
import roma
import torch

from unipose.training.evaluation.diversity import diversity, multimodality
from unipose.training.evaluation.metrics import best_similarity, joint_errors, mpjpe, pa_mpjpe, pve, rotation_errors
from unipose.training.evaluation.retrieval_metrics import (
    fid,
    matching_score,
    r_precision,
    r_precision_of_rows,
    recall_at,
    retrieval_metrics,
    retrieval_ranks,
)
from unipose.training.evaluation.timing import latency


def random_joints(poses: int = 3, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(poses, 22, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)


def random_embeds(samples: int, dim: int = 8, noise: float = 0.7, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of texts, and similar ones of their poses, of any length."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(samples, dim, generator=generator)
    return text, 3.0 * text + 3.0 * noise * torch.randn(samples, dim, generator=generator)


# Distances.


def test_mpjpe_by_hand() -> None:
    joints = torch.zeros(2, 2, 3)
    moved = torch.tensor([[[0.3, 0.4, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 0.001], [0.0, -0.003, 0.0]]])
    torch.testing.assert_close(mpjpe(moved, joints), torch.tensor([250.0, 2.0]))


def test_a_perfect_match_is_zero() -> None:
    joints = random_joints()
    valid = torch.rand(3, 22, generator=torch.Generator().manual_seed(0)) < 0.8
    valid[:, 0] = True
    assert joint_errors(joints, joints).max() == 0.0
    assert mpjpe(joints, joints, root_joints=(0,), valid=valid).max() == 0.0
    assert pa_mpjpe(joints, joints, valid=valid).max() < 1e-9


def test_root_alignment_removes_a_shift_of_the_whole_pose() -> None:
    target, moved = random_joints(), random_joints() + torch.tensor([0.3, 0.0, 0.4])
    torch.testing.assert_close(mpjpe(moved, target), torch.full((3,), 500.0, dtype=torch.float64))
    assert mpjpe(moved, target, root_joints=(0,)).max() < 1e-9
    assert mpjpe(moved, target, root_joints=(1, 2)).max() < 1e-9
    moved[:, 5] += 0.1
    errors = joint_errors(moved, target, root_joints=(0,))
    assert errors[:, 5].min() > 100
    assert errors[:, [joint for joint in range(22) if joint != 5]].max() < 1e-9


def test_joints_without_ground_truth_are_ignored() -> None:
    joints, target = random_joints(4), random_joints(5)[1:]
    valid = torch.ones(4, 22, dtype=torch.bool)
    valid[0, 3], valid[2, 10:] = False, False
    incomplete = target.clone()
    incomplete[~valid] = torch.nan
    for error in (mpjpe, pa_mpjpe):
        errors = error(joints, incomplete, valid=valid)
        expected = [error(joints[[row], valid[row]][None], target[[row], valid[row]][None]) for row in range(4)]
        torch.testing.assert_close(errors, torch.cat(expected))
        torch.testing.assert_close(errors[1], error(joints, target)[1])


def test_pa_mpjpe_by_hand() -> None:
    """Four corners of a square; the prediction is stretched along x by 2, which no similarity transform undoes."""
    target = torch.tensor([[[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]]])
    stretched = target * torch.tensor([2.0, 1.0, 1.0])
    # The best scale is (2 + 1) / (4 + 1): x is 1.2 and y is 0.6 of what it should be.
    by_hand = 1000 * (0.2**2 + 0.4**2) ** 0.5
    torch.testing.assert_close(pa_mpjpe(stretched, target), torch.tensor([by_hand]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pa_mpjpe_removes_similarities_but_not_reflections(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    target = random_joints(dtype=dtype)
    moved = 0.7 * target @ roma.random_rotmat(3, dtype=dtype).mT + torch.tensor([0.5, -2.0, 1.0], dtype=dtype)
    assert mpjpe(moved, target).min() > 1000
    assert pa_mpjpe(moved, target).max() < 1e-2
    assert pa_mpjpe(moved, target).dtype == dtype
    mirrored = target * torch.tensor([-1.0, 1.0, 1.0], dtype=dtype)
    assert pa_mpjpe(mirrored, target).min() > 100
    predicted = target + 0.1 * random_joints(4, dtype)[1:]
    rotated = 2.0 * predicted @ roma.random_rotmat(3, dtype=dtype).mT - 1.0
    torch.testing.assert_close(pa_mpjpe(rotated, target), pa_mpjpe(predicted, target), atol=1e-2, rtol=1e-3)
    assert (pa_mpjpe(predicted, target) <= mpjpe(predicted, target)).all()


def test_best_similarity_recovers_the_applied_transform() -> None:
    torch.manual_seed(0)
    joints = random_joints()
    rotation, translation = roma.random_rotmat(3, dtype=torch.float64), torch.randn(3, 3, dtype=torch.float64)
    scale = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    target = scale[:, None, None] * (joints @ rotation.mT) + translation[:, None]
    for estimated, applied in zip(best_similarity(joints, target), (rotation, translation, scale)):
        torch.testing.assert_close(estimated, applied)
    assert torch.det(best_similarity(joints, -target)[0]).min() > 0.99


def test_errors_of_distances() -> None:
    joints = random_joints()
    valid = torch.ones(3, 22, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"joints must have the shape \(poses, joints, 3\), got \(22, 3\)"):
        mpjpe(joints[0], joints[0])
    with pytest.raises(ValueError, match=r"target must have the shape of joints, \(3, 22, 3\), got \(1, 22, 3\)"):
        pa_mpjpe(joints, joints[:1])
    with pytest.raises(ValueError, match=r"root_joints must lie in 0..21, got \[22\]"):
        mpjpe(joints, joints, root_joints=(22,))
    with pytest.raises(ValueError, match=r"valid must be a bool mask .* \(3, 22\), got torch.float32"):
        mpjpe(joints, joints, valid=valid.float())
    valid[1] = False
    with pytest.raises(ValueError, match=r"at least one joint of every pose, got none in the poses \[1\]"):
        pa_mpjpe(joints, joints, valid=valid)
    valid[1, 3] = True
    with pytest.raises(ValueError, match=r"valid leaves out one of root_joints \(0, 3\) in the poses \[1\]"):
        mpjpe(joints, joints, root_joints=(0, 3), valid=valid)


# Retrieval.


def naive_r_precision(
    text: torch.Tensor, pose: torch.Tensor, permutation: list[int], k: int, group_size: int
) -> float:
    hits = total = 0
    while len(permutation) >= group_size:
        group, permutation = permutation[:group_size], permutation[group_size:]
        for query in group:
            similarity = [torch.cosine_similarity(text[query], pose[other], dim=0).item() for other in group]
            nearest = sorted(range(group_size), key=lambda place: -similarity[place])[:k]
            hits += group.index(query) in nearest
            total += 1
    return hits / total


@pytest.mark.parametrize(("samples", "group_size"), [(32, 32), (50, 8), (13, 4)])
def test_r_precision_equals_a_plain_loop(samples: int, group_size: int) -> None:
    text, pose = random_embeds(samples, noise=2.0)
    permutation = torch.randperm(samples, generator=torch.Generator().manual_seed(1))
    precision = r_precision(text, pose, permutation, top_k=(1, 2, 3), group_size=group_size)
    for k, value in precision.items():
        assert value == pytest.approx(naive_r_precision(text, pose, permutation.tolist(), k, group_size))
    assert 0.0 < precision[1] < precision[3] <= 1.0


def test_samples_after_the_last_full_group_are_not_counted() -> None:
    text, pose = random_embeds(40)
    pose[32:] = -text[32:]
    in_order = torch.arange(40)
    assert r_precision(text, pose, in_order) == r_precision(text[:32], pose[:32], torch.arange(32))
    assert matching_score(text, pose, in_order) == matching_score(text[:32], pose[:32], torch.arange(32))
    assert matching_score(text, pose, in_order.flip(0)) < matching_score(text, pose, in_order)


def test_recall_grows_with_k_to_one() -> None:
    text, pose = random_embeds(60)
    for queries, candidates in ((text, pose), (pose, text)):
        recalls = list(recall_at(queries, candidates, range(1, 61)).values())
        assert 0.0 < recalls[0] < 1.0
        assert recalls == sorted(recalls)
        assert recalls[-1] == 1.0


def test_perfect_and_constant_embeddings() -> None:
    """The length of an embedding does not matter; ties are not hits."""
    text, _ = random_embeds(64)
    perfect = retrieval_metrics(text, 5.0 * text, torch.randperm(64))
    assert perfect == pytest.approx(dict.fromkeys(perfect, 1.0))
    constant = torch.eye(8)[:1].expand(64, 8)
    assert retrieval_metrics(constant, constant, torch.randperm(64)) == pytest.approx(
        dict.fromkeys(perfect, 0.0) | {"matching_score": 1.0}
    )


def test_mean_recall_is_over_both_directions() -> None:
    text, pose = random_embeds(64)
    row = retrieval_metrics(text, pose, torch.arange(64), recall_top_k=(1, 2))
    recalls = [*recall_at(text, pose, (1, 2)).values(), *recall_at(pose, text, (1, 2)).values()]
    assert row["mean_recall"] == pytest.approx(sum(recalls) / 4)
    assert [row[f"{name}_top{k}"] for name in ("text_to_pose", "pose_to_text") for k in (1, 2)] == recalls


def test_ranks_by_hand() -> None:
    queries = torch.tensor([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]])
    candidates = torch.tensor([[2.0, 0.1], [0.0, 1.0], [-1.0, 1.0]])
    assert retrieval_ranks(queries, candidates).tolist() == [1, 2, 2]


# FID.


@pytest.mark.parametrize("samples", [200, 10])
def test_fid_of_equal_sets_is_zero_and_grows(samples: int) -> None:
    """10 samples of 16 dimensions have a singular covariance."""
    embeds = torch.randn(samples, 16, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(samples, 16, generator=torch.Generator().manual_seed(1))
    assert fid(embeds, embeds) == pytest.approx(0.0, abs=1e-6)
    assert fid(embeds, embeds.flip(0)) == pytest.approx(0.0, abs=1e-6)
    assert 0.0 < fid(embeds, embeds + 0.1 * noise) < fid(embeds, embeds + 0.5 * noise) < fid(embeds, embeds + noise)
    assert fid(embeds, embeds + noise) == pytest.approx(fid(embeds + noise, embeds), rel=1e-6)


def test_fid_by_hand() -> None:
    """One dimension: (m1 - m2)^2 + (s1 - s2)^2. A shift of every sample adds its square."""
    first, second = torch.tensor([[0.0], [2.0]]), torch.tensor([[5.0], [13.0]])
    assert fid(first, second) == pytest.approx(8.0**2 + (2**0.5 - 32**0.5) ** 2)
    embeds, shift = random_embeds(30)[0], torch.zeros(8)
    shift[2] = 3.0
    assert fid(embeds, embeds + shift) == pytest.approx(9.0, rel=1e-5)


def test_fid_equals_the_trace_of_the_matrix_root() -> None:
    """Against the eigenvalues of the unsymmetric product, as the original defines it."""
    first, second = (embeds.double() for embeds in random_embeds(50))
    product = first.mT.cov() @ second.mT.cov()
    trace = torch.linalg.eigvals(product).sqrt().real.sum()
    expected = (first.mean(0) - second.mean(0)).square().sum() + first.var(0).sum() + second.var(0).sum() - 2 * trace
    assert fid(first, second) == pytest.approx(expected.item())


def test_errors_of_retrieval() -> None:
    text, pose = random_embeds(40)
    order = torch.arange(40)
    with pytest.raises(ValueError, match=r"group_size must lie in 1..20, the number of samples, got 32"):
        r_precision(text[:20], pose[:20], order[:20])
    with pytest.raises(ValueError, match=r"permutation must hold each of 0..39 once"):
        r_precision(text, pose, torch.zeros(40, dtype=torch.long))
    with pytest.raises(ValueError, match=r"top_k must hold numbers in 1..32, got \[1, 33\]"):
        r_precision(text, pose, order, top_k=(1, 33))
    with pytest.raises(ValueError, match=r"pose_embeds must have the shape of text_embeds, \(40, 8\), got \(39, 8\)"):
        matching_score(text, pose[:39], order)
    with pytest.raises(ValueError, match=r"top_k must hold numbers in 1..40, got \[0\]"):
        recall_at(text, pose, (0,))
    with pytest.raises(ValueError, match=r"queries must have the shape \(samples, dim\), got \(8,\)"):
        recall_at(text[0], pose)
    broken = pose.clone()
    broken[7, 3] = torch.nan
    with pytest.raises(ValueError, match=r"candidates must be finite, got NaN or infinity in 1 rows, the first is 7"):
        recall_at(text, broken)
    with pytest.raises(ValueError, match=r"at least 2 samples for a covariance, got 1"):
        fid(text, pose[:1])
    with pytest.raises(ValueError, match=r"embeds and other_embeds must have the same width, got 8 and 7"):
        fid(text, pose[:, :7])


def test_groups_averaged_over_shuffles() -> None:
    """One shuffle is `r_precision`; a mean over many hardly depends on the seed; leftover rows are NaN."""
    text, pose = random_embeds(75, noise=1.5)
    once = r_precision_of_rows(text, pose, k=1, shuffles=1, seed=4)
    order = torch.randperm(75, generator=torch.Generator().manual_seed(4))
    assert once.isnan().sum() == 75 - 64
    assert once.nanmean().item() == pytest.approx(r_precision(text, pose, order, (1,))[1])
    spread = [
        [r_precision_of_rows(text, pose, k=1, shuffles=count, seed=seed).nanmean() for seed in range(4)]
        for count in (1, 60)
    ]
    assert torch.tensor(spread[1]).std() < 0.4 * torch.tensor(spread[0]).std()
    with pytest.raises(ValueError, match="shuffles must be at least 1, got 0"):
        r_precision_of_rows(text, pose, k=1, shuffles=0)


# Vertices and rotations.


def test_pve_by_hand() -> None:
    target = torch.zeros(1, 2, 3)
    vertices = torch.tensor([[[0.3, 0.4, 0.0], [0.3, 0.0, 0.0]]])
    assert pve(vertices, target).tolist() == pytest.approx([400.0])
    aligned = pve(vertices, target, torch.tensor([[0.3, 0.0, 0.0]]), torch.zeros(1, 3))
    assert aligned.tolist() == pytest.approx([200.0])
    with pytest.raises(ValueError, match="belong together"):
        pve(vertices, target, torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"vertices must have the shape \(poses, vertices, 3\), got \(2, 3\)"):
        pve(vertices[0], target[0])


def test_rotation_errors_are_the_angles_between_rotations() -> None:
    """Against the logarithm of the relative rotation; equal under rotation of both sides."""
    generator = torch.Generator().manual_seed(0)
    first, second, third = (roma.random_rotmat(22 * 5, generator=generator).view(5, 22, 3, 3) for _ in range(3))
    errors = rotation_errors(first, second)
    expected = roma.rotmat_to_rotvec(first.mT @ second).norm(dim=-1).rad2deg()
    torch.testing.assert_close(errors.float(), expected, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(rotation_errors(second, first), errors)
    torch.testing.assert_close(rotation_errors(third @ first, third @ second), errors, rtol=1e-3, atol=1e-2)
    assert rotation_errors(first, first).max() == 0.0
    half_turn = roma.rotvec_to_rotmat(torch.tensor([0.0, torch.pi, 0.0]))
    assert rotation_errors(half_turn[None, None], torch.eye(3)[None, None]).item() == pytest.approx(180.0, abs=0.1)
    with pytest.raises(ValueError, match=r"target must have the shape of rotmats, \(5, 22, 3, 3\)"):
        rotation_errors(first, second[:2])


# Sets of poses, and times.


def test_diversity_by_hand() -> None:
    assert diversity([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]]) == pytest.approx(10 / 3)
    assert diversity([[1.0, 2.0]] * 4) == 0.0
    with pytest.raises(ValueError, match="at least 2 vectors"):
        diversity([[1.0, 2.0]])


def test_multimodality_looks_within_a_text_only() -> None:
    own = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0)).numpy()
    shifted = own + 100 * torch.arange(5)[:, None, None].numpy()
    assert multimodality(own) == pytest.approx(multimodality(shifted))
    assert diversity(shifted.reshape(20, 3)) > 50 * multimodality(shifted)
    assert multimodality(own) == pytest.approx(sum(map(diversity, own)) / 5)


def test_latency_by_hand() -> None:
    assert latency([0.1, 0.3, 0.2], rows=12) == pytest.approx(
        {"median_s": 0.2, "mean_s": 0.2, "p95_s": 0.29, "rows_per_s": 20.0}
    )
    with pytest.raises(ValueError, match="each above 0"):
        latency([])
