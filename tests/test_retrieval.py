"""The retrieval model: equal to the original's recorded outputs, and trainable."""

from pathlib import Path

import pytest
import torch

from unipose.processing.pose_features import rotmat_to_rotation_6d
from unipose.training.evaluation.retrieval import PoseRetrievalConfig, PoseRetrievalModel, contrastive_loss
from unipose.training.evaluation.retrieval_metrics import recall_at
from unipose.training.sampling.poses import training_motion_poses


SIZES = {"hidden_size": 16, "num_pose_tokens": 24, "embedding_size": 12}

# The original's names, in the order in which one can be replaced after another.
RENAMED = {
    "ret.w.poseAB_encoder.": "pose_pair_embedder.",
    "ret.w.pose_encoder.": "pose_embedder.",
    "encoder.10.": "encoder.output_projection.",
    "encoder.0.": "encoder.input_projection.",
    "encoder.3.": "encoder.resize.0.1.",
    "encoder.6.": "encoder.resize.1.1.",
    "encoder.8.": "encoder.downsample.",
    "encoder.9.model.": "encoder.residual.",
    "conv1.": "dilated.",
    "conv2.": "pointwise.",
    "merge_later.": "merge.",
    "output_layer.0.": "pooling.projection.",
}


def new_model() -> PoseRetrievalModel:
    torch.manual_seed(0)
    return PoseRetrievalModel(PoseRetrievalConfig(**SIZES))


def some_poses(count: int) -> torch.Tensor:
    return rotmat_to_rotation_6d(training_motion_poses()[::37][:count].float())


def renamed(name: str) -> str:
    for theirs, ours in RENAMED.items():
        name = name.replace(theirs, ours)
    return name


@pytest.fixture(scope="module")
def original(recorded_metrics: dict[str, torch.Tensor]) -> PoseRetrievalModel:
    model = PoseRetrievalModel(PoseRetrievalConfig(hidden_size=32, embedding_size=24))
    weights = {renamed(name): tensor for name, tensor in recorded_metrics.items() if name.startswith("ret.w.")}
    weights["similarity_scale"] = recorded_metrics["ret.loss_weight"].squeeze()
    model.load_state_dict(weights)
    return model.eval()


def test_pose_embeddings_of_the_original(
    recorded_metrics: dict[str, torch.Tensor], original: PoseRetrievalModel
) -> None:
    with torch.no_grad():
        embeds = original(rotmat_to_rotation_6d(recorded_metrics["ret.poseA"])).pose_embeds
    torch.testing.assert_close(embeds, recorded_metrics["ret.pose_embd"], rtol=0.0, atol=2e-6)


def test_pose_pair_embeddings_of_the_original(
    recorded_metrics: dict[str, torch.Tensor], original: PoseRetrievalModel
) -> None:
    first, second = (rotmat_to_rotation_6d(recorded_metrics[f"ret.pose{side}"]) for side in "AB")
    with torch.no_grad():
        embeds = original(first, second).pose_embeds
        swapped = original(second, first).pose_embeds
    torch.testing.assert_close(embeds, recorded_metrics["ret.poseAB_embd"], rtol=0.0, atol=2e-6)
    assert (swapped - embeds).abs().max() > 0.1


def test_contrastive_loss_of_the_original(
    recorded_metrics: dict[str, torch.Tensor], original: PoseRetrievalModel
) -> None:
    """The scale multiplies the cosines directly, without CLIP's exponential."""
    loss = contrastive_loss(
        recorded_metrics["emb.text"][:16], recorded_metrics["emb.pose"][:16], original.similarity_scale
    )
    assert loss.item() == pytest.approx(recorded_metrics["ret.match_loss_first16"].item(), abs=1e-6)
    assert recorded_metrics["ret.loss_weight"].item() == PoseRetrievalConfig().initial_similarity_scale


def test_contrastive_loss_by_hand() -> None:
    """Two samples, cosines 1 and 0: each row is a softmax of (scale, 0)."""
    embeds = torch.eye(2)
    by_hand = torch.log1p(torch.exp(torch.tensor(-3.0)))
    torch.testing.assert_close(contrastive_loss(embeds, embeds, 3.0), by_hand)
    generator = torch.Generator().manual_seed(0)
    text, pose = torch.randn(2, 6, 4, generator=generator)
    torch.testing.assert_close(contrastive_loss(text, pose, 2.0), contrastive_loss(pose, text, 2.0))


def test_training_changes_every_weight_and_raises_recall() -> None:
    """Fixed vectors in place of text embeddings."""
    model, poses = new_model(), some_poses(24)
    generator = torch.Generator().manual_seed(0)
    text, difference = torch.nn.functional.normalize(torch.randn(2, 24, 12, generator=generator), dim=-1)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    recall_before = recall_at(text, model.embed_poses(poses).detach(), (1,))[1]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        loss = model(poses, text_embeds=text).loss + model(poses, poses.roll(1, 0), text_embeds=difference).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert [name for name, value in model.named_parameters() if torch.equal(value, before[name])] == []
    assert losses[-1] < 0.5 * losses[0]
    assert recall_at(text, model.embed_poses(poses).detach(), (1,))[1] > max(0.6, recall_before)


def test_saved_and_loaded_models_embed_equally(tmp_path: Path) -> None:
    model, poses = new_model().eval(), some_poses(4)
    with torch.no_grad():
        model.similarity_scale.fill_(7.0)
    model.save_pretrained(tmp_path)
    loaded = PoseRetrievalModel.from_pretrained(tmp_path)
    assert loaded.similarity_scale.item() == 7.0
    torch.testing.assert_close(loaded(poses, poses.flip(0)), model(poses, poses.flip(0)))
    embeds = loaded.embed_poses(poses)
    torch.testing.assert_close(embeds.norm(dim=-1), torch.ones(4))
    torch.testing.assert_close(embeds[2:3], loaded.embed_poses(poses[2:3]))


def test_a_new_model_has_the_scale_of_its_config() -> None:
    config = PoseRetrievalConfig(**SIZES, initial_similarity_scale=4.0)
    assert PoseRetrievalModel(config).similarity_scale.item() == 4.0
    assert new_model().embed_poses(some_poses(4)).std(dim=0).max() > 1e-3


def test_errors() -> None:
    model, poses = new_model(), some_poses(4)
    with pytest.raises(ValueError, match=r"pose_values must have the shape \(batch, 22, 6\), got \(4, 22, 3, 2\)"):
        model(poses.unflatten(-1, (3, 2)))
    with pytest.raises(ValueError, match=r"other_pose_values must have the shape \(batch, 22, 6\), got \(4, 21, 6\)"):
        model(poses, poses[:, 1:])
    with pytest.raises(ValueError, match="must have the same number of poses, got 4 and 3"):
        model(poses, poses[:3])
    with pytest.raises(ValueError, match=r"one shape \(batch, dim\), got \(4, 11\) and \(4, 12\)"):
        model(poses, text_embeds=torch.zeros(4, 11))
