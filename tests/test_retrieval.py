"""The retrieval model: equal to the original's recorded outputs, trainable, saved with its tokenizer."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

from unipose.processing.pose_features import rotmat_to_rotation_6d
from unipose.training.evaluation.retrieval import (
    PoseEmbedder,
    PosePairEmbedder,
    RetrievalConfig,
    RetrievalModel,
    contrastive_loss,
)
from unipose.training.evaluation.retrieval_metrics import recall_at
from unipose.training.models.text_tokenizer import train_word_tokenizer
from unipose.training.sampling.poses import training_motion_poses


TEXTS = [f"A person {verb} {side}." for verb in ("squats", "sits", "bows") for side in ("to the left", "right", "up")]
SIZES = {
    "hidden_size": 16,
    "num_pose_tokens": 24,
    "embedding_size": 12,
    "word_embedding_size": 8,
    "text_hidden_size": 16,
    "num_attention_heads": 2,
    "max_text_tokens": 32,
}
KINDS = [
    ("gru", "convolution", False),
    ("gru", "mlp", True),
    ("transformer", "mlp", False),
    ("transformer", "convolution", True),
]

# The original's names, in the order in which one can be replaced after another.
RENAMED = {
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


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_word_tokenizer(TEXTS * 4, (), 1200)


def new_model(tokenizer: PreTrainedTokenizerFast, **options) -> RetrievalModel:
    torch.manual_seed(0)
    return RetrievalModel(RetrievalConfig(vocab_size=len(tokenizer), **SIZES, **options), tokenizer)


def some_poses(count: int, pairs: bool = False) -> torch.Tensor:
    poses = training_motion_poses()[::37][:count].float()
    return torch.stack([poses, poses.roll(1, 0)], dim=1) if pairs else poses


def load_original(recorded: dict[str, torch.Tensor], module: nn.Module, prefix: str) -> nn.Module:
    weights = {}
    for name, tensor in recorded.items():
        if name.startswith(prefix):
            own = name.removeprefix(prefix)
            for theirs, ours in RENAMED.items():
                own = own.replace(theirs, ours)
            weights[own] = tensor
    module.load_state_dict(weights)
    return module.eval()


def test_pose_embeddings_of_the_original(recorded_metrics: dict[str, torch.Tensor]) -> None:
    embedder = PoseEmbedder(RetrievalConfig(hidden_size=32, embedding_size=24))
    load_original(recorded_metrics, embedder, "ret.w.pose_encoder.")
    with torch.no_grad():
        embeds = embedder(rotmat_to_rotation_6d(recorded_metrics["ret.poseA"]))
    torch.testing.assert_close(embeds, recorded_metrics["ret.pose_embd"], rtol=0.0, atol=2e-6)


def test_pose_pair_embeddings_of_the_original(recorded_metrics: dict[str, torch.Tensor]) -> None:
    embedder = PosePairEmbedder(RetrievalConfig(hidden_size=32, embedding_size=24))
    load_original(recorded_metrics, embedder, "ret.w.poseAB_encoder.")
    pairs = torch.stack([rotmat_to_rotation_6d(recorded_metrics[f"ret.pose{side}"]) for side in "AB"], dim=1)
    with torch.no_grad():
        embeds, swapped = embedder(pairs), embedder(pairs.flip(1))
    torch.testing.assert_close(embeds, recorded_metrics["ret.poseAB_embd"], rtol=0.0, atol=2e-6)
    assert (swapped - embeds).abs().max() > 0.1


def test_contrastive_loss_of_the_original(recorded_metrics: dict[str, torch.Tensor]) -> None:
    """The scale multiplies the cosines directly, without CLIP's exponential."""
    scale = recorded_metrics["ret.loss_weight"]
    loss = contrastive_loss(recorded_metrics["emb.text"][:16], recorded_metrics["emb.pose"][:16], scale.squeeze())
    assert loss.item() == pytest.approx(recorded_metrics["ret.match_loss_first16"].item(), abs=1e-6)
    assert scale.item() == RetrievalConfig().initial_similarity_scale


def test_contrastive_loss_by_hand() -> None:
    """Two samples, cosines 1 and 0: each row is a softmax of (scale, 0)."""
    embeds = torch.eye(2)
    by_hand = torch.log1p(torch.exp(torch.tensor(-3.0)))
    torch.testing.assert_close(contrastive_loss(embeds, embeds, 3.0), by_hand)
    generator = torch.Generator().manual_seed(0)
    text, pose = torch.randn(2, 6, 4, generator=generator)
    torch.testing.assert_close(contrastive_loss(text, pose, 2.0), contrastive_loss(pose, text, 2.0))


@pytest.mark.parametrize(("text_encoder", "pose_encoder", "pairs"), KINDS)
def test_training_changes_every_weight_and_raises_recall(
    tokenizer: PreTrainedTokenizerFast, text_encoder: str, pose_encoder: str, pairs: bool
) -> None:
    model = new_model(tokenizer, text_encoder=text_encoder, pose_encoder=pose_encoder, pairs=pairs)
    poses = some_poses(len(TEXTS), pairs)
    batch = model.tokenize(TEXTS)
    batch = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(60):
        loss = model(rotmat_to_rotation_6d(poses), **batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unused = {"text_encoder.transformer.embeddings.token_type_embeddings.weight"}
    unchanged = {name for name, value in model.named_parameters() if torch.equal(value, before[name])}
    assert unchanged <= unused
    assert recall_at(model.get_text_features(TEXTS), model.get_pose_features(poses), (1,))[1] == 1.0


@pytest.mark.parametrize(("text_encoder", "pose_encoder", "pairs"), KINDS)
def test_saved_and_loaded_models_embed_equally(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, text_encoder: str, pose_encoder: str, pairs: bool
) -> None:
    model = new_model(tokenizer, text_encoder=text_encoder, pose_encoder=pose_encoder, pairs=pairs, dropout=0.5)
    with torch.no_grad():
        model.similarity_scale.fill_(7.0)
    model.save_pretrained(tmp_path)
    loaded = RetrievalModel.from_pretrained(tmp_path)
    assert loaded.similarity_scale.item() == 7.0
    poses = some_poses(4, pairs)
    torch.testing.assert_close(loaded.get_pose_features(poses), model.get_pose_features(poses), rtol=0, atol=0)
    torch.testing.assert_close(loaded.get_text_features(TEXTS), model.get_text_features(TEXTS), rtol=0, atol=0)
    torch.testing.assert_close(loaded.get_pose_features(poses).norm(dim=-1), torch.ones(4))
    torch.testing.assert_close(loaded.get_text_features(TEXTS).norm(dim=-1), torch.ones(len(TEXTS)))


@pytest.mark.parametrize("text_encoder", ["gru", "transformer"])
def test_features_depend_on_neither_batches_nor_dropout(tokenizer: PreTrainedTokenizerFast, text_encoder: str) -> None:
    """A short text gets padding beside a long one."""
    model = new_model(tokenizer, text_encoder=text_encoder, pose_encoder="mlp", dropout=0.5).train()
    texts = [*TEXTS, "Up.", " ".join(TEXTS[:3])]
    together = model.get_text_features(texts)
    alone = torch.cat([model.get_text_features([text]) for text in texts])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(model.get_text_features(texts, batch_size=2), together)
    ids = model.tokenize(texts)
    torch.testing.assert_close(model.get_text_features(ids["input_ids"], ids["attention_mask"]), together)
    poses = some_poses(5)
    torch.testing.assert_close(model.get_pose_features(poses, batch_size=2), model.get_pose_features(poses))
    assert model.training


@pytest.mark.parametrize("pose_encoder", ["convolution", "mlp"])
def test_the_order_of_a_pair_counts(tokenizer: PreTrainedTokenizerFast, pose_encoder: str) -> None:
    model, pairs = new_model(tokenizer, pose_encoder=pose_encoder, pairs=True), some_poses(4, pairs=True)
    assert (model.get_pose_features(pairs) - model.get_pose_features(pairs.flip(1))).abs().max() > 1e-3


def test_a_new_model_has_the_scale_of_its_config(tokenizer: PreTrainedTokenizerFast) -> None:
    model = new_model(tokenizer, initial_similarity_scale=4.0)
    assert model.similarity_scale.item() == 4.0
    assert model.get_pose_features(some_poses(4)).std(dim=0).max() > 1e-3


def test_errors(tokenizer: PreTrainedTokenizerFast) -> None:
    model, pair_model, poses = new_model(tokenizer), new_model(tokenizer, pairs=True), some_poses(4)
    with pytest.raises(ValueError, match=r"poses must have the shape \('n', 22, 3, 3\), got \(4, 22, 3, 2\)"):
        model.get_pose_features(poses[..., :2])
    with pytest.raises(ValueError, match=r"poses must have the shape \('n', 2, 22, 3, 3\), got \(4, 22, 3, 3\)"):
        pair_model.get_pose_features(poses)
    with pytest.raises(ValueError, match=r"pose_values must have the shape \('batch', 22, 6\), got \(4, 21, 6\)"):
        model.embed_poses(rotmat_to_rotation_6d(poses)[:, 1:])
    with pytest.raises(ValueError, match=r"got 2 texts, empty at \[1\]"):
        model.get_text_features(["A person sits.", "  "])
    with pytest.raises(ValueError, match=r"got one text 'A person sits\.'"):
        model.get_text_features("A person sits.")
    with pytest.raises(ValueError, match="expected padding on the right"):
        model.get_text_features(torch.tensor([[5, 6], [7, 8]]), torch.tensor([[1, 1], [0, 1]]))
    with pytest.raises(ValueError, match="has no tokenizer"):
        RetrievalModel(model.config).get_text_features(["A person sits."])
    transformer = new_model(tokenizer, text_encoder="transformer")
    with pytest.raises(ValueError, match="expected at most 32"):
        transformer.get_text_features([" ".join(TEXTS)])
    with pytest.raises(ValueError, match=r"one shape \(batch, dim\), got \(4, 11\) and \(4, 12\)"):
        contrastive_loss(torch.zeros(4, 11), torch.zeros(4, 12), 1.0)
