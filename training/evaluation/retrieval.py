"""The retrieval model for R-precision, recall and FID: poses and texts embedded in one space (paper, section 4).

This is the pose encoder and the contrastive loss. The paper's text encoder is a bidirectional GRU, but the recorded
outputs of the original release do not show its layout. Any module that returns (batch, embedding_size) unit vectors
can replace it. A trained model's embeddings are the input of `retrieval_metrics`.
"""

from dataclasses import dataclass

import torch
from huggingface_hub.dataclasses import strict
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from unipose.modeling_pose_vqvae import PoseEncoder, initialize_convolution


@strict
class PoseRetrievalConfig(PreTrainedConfig):
    """Configuration of the retrieval model's pose encoder.

    Args:
        num_joints: Number of joints of a pose; SMPL's 22 body joints.
        hidden_size: Number of channels of the 1-D convolutions over the joint axis; unknown for the original.
        num_pose_tokens: Positions along that axis, pooled into one embedding; 40 in the original.
        embedding_size: Width of the shared space.
        num_residual_blocks: See `UniPoseVQVAEConfig`.
        initial_similarity_scale: Initial value of the contrastive loss's learned scale.
    """

    model_type = "unipose_pose_retrieval"

    # Architecture
    num_joints: int = 22
    hidden_size: int = 512
    num_pose_tokens: int = 40
    embedding_size: int = 512
    num_residual_blocks: int = 2
    # Training
    initial_similarity_scale: float = 10.0


@dataclass
class PoseRetrievalOutput(ModelOutput):
    """Output of the retrieval model.

    Args:
        loss: Contrastive loss against the texts, if `text_embeds` was given.
        pose_embeds: (batch, embedding_size) unit vectors.
    """

    loss: torch.Tensor | None = None
    pose_embeds: torch.Tensor | None = None


def contrastive_loss(
    text_embeds: torch.Tensor, pose_embeds: torch.Tensor, scale: torch.Tensor | float
) -> torch.Tensor:
    """Symmetric cross-entropy over the batch: each text classifies its pose, each pose its text.

    `PoseRetrievalModel.forward` returns it, so that a `Trainer` can minimize it.

    Args:
        text_embeds: (batch, dim) unit vectors.
        pose_embeds: (batch, dim) unit vectors; row i belongs to row i of `text_embeds`.
        scale: multiplies the cosine similarities before the softmax.

    Returns:
        (), the mean of both directions.

    Raises:
        ValueError: the shapes differ or are not (batch, dim).
    """
    if text_embeds.ndim != 2 or text_embeds.shape != pose_embeds.shape:
        raise ValueError(
            "text_embeds and pose_embeds must have one shape (batch, dim), got "
            f"{tuple(text_embeds.shape)} and {tuple(pose_embeds.shape)}"
        )
    logits = scale * text_embeds @ pose_embeds.mT
    partner = torch.arange(len(logits), device=logits.device)
    to_pose = nn.functional.cross_entropy(logits, partner)
    to_text = nn.functional.cross_entropy(logits.mT, partner)
    return (to_pose + to_text) / 2


def pose_encoder(config: PoseRetrievalConfig) -> PoseEncoder:
    """The pose tokenizer's encoder, in the sizes of the retrieval model."""
    tokens = config.num_pose_tokens
    return PoseEncoder(config.hidden_size, (tokens, 2 * tokens), config.num_residual_blocks, config.embedding_size)


class TokenPooling(nn.Module):
    """(batch, embedding_size, num_pose_tokens) features -> (batch, embedding_size) unit vectors.

    As in the original, the tokens are the channels and the convolution runs along the embedding axis.
    """

    def __init__(self, num_tokens: int):
        super().__init__()
        self.projection = nn.Conv1d(num_tokens, 1, 3, padding=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.projection(features.mT).squeeze(1), dim=-1)


class PoseEmbedder(nn.Module):
    """(batch, num_joints, 6) poses -> (batch, embedding_size) unit vectors."""

    def __init__(self, config: PoseRetrievalConfig):
        super().__init__()
        self.encoder = pose_encoder(config)
        self.pooling = TokenPooling(config.num_pose_tokens)

    def forward(self, pose_values: torch.Tensor) -> torch.Tensor:
        return self.pooling(self.encoder(pose_values.mT))


class PosePairEmbedder(nn.Module):
    """Ordered pairs of poses -> (batch, embedding_size) unit vectors: a shared encoder, merged before pooling."""

    def __init__(self, config: PoseRetrievalConfig):
        super().__init__()
        width = config.embedding_size
        self.encoder = pose_encoder(config)
        self.merge = nn.Sequential(
            nn.Conv1d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(2 * width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1),
        )
        self.pooling = TokenPooling(config.num_pose_tokens)

    def forward(self, pose_values: torch.Tensor, other_pose_values: torch.Tensor) -> torch.Tensor:
        both = torch.cat([self.encoder(pose_values.mT), self.encoder(other_pose_values.mT)], dim=1)
        return self.pooling(self.merge(both))


class PoseRetrievalModel(PreTrainedModel):
    """Embeds poses (to match descriptions) and ordered pairs of poses (to match differences and instructions)."""

    config: PoseRetrievalConfig
    config_class = PoseRetrievalConfig
    base_model_prefix = "retrieval"
    main_input_name = "pose_values"
    input_modalities = ["pose"]  # noqa: RUF012

    def __init__(self, config: PoseRetrievalConfig):
        super().__init__(config)
        self.pose_embedder = PoseEmbedder(config)
        self.pose_pair_embedder = PosePairEmbedder(config)
        self.similarity_scale = nn.Parameter(torch.tensor(config.initial_similarity_scale))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv1d):
            initialize_convolution(module)
        elif isinstance(module, PoseRetrievalModel):
            init.constant_(module.similarity_scale, self.config.initial_similarity_scale)

    def embed_poses(self, pose_values: torch.Tensor) -> torch.Tensor:
        """(batch, 22, 6) -> (batch, embedding_size) unit vectors."""
        return self.pose_embedder(self._checked("pose_values", pose_values))

    def embed_pose_pairs(self, pose_values: torch.Tensor, other_pose_values: torch.Tensor) -> torch.Tensor:
        """Embeds ordered pairs of poses.

        Args:
            pose_values: (batch, 22, 6), the first pose of each pair.
            other_pose_values: (batch, 22, 6), the second.

        Returns:
            (batch, embedding_size) unit vectors.

        Raises:
            ValueError: A wrong shape, or different numbers of poses.
        """
        first = self._checked("pose_values", pose_values)
        second = self._checked("other_pose_values", other_pose_values)
        if len(first) != len(second):
            raise ValueError(
                "pose_values and other_pose_values must have the same number of poses, got "
                f"{len(first)} and {len(second)}"
            )
        return self.pose_pair_embedder(first, second)

    def forward(
        self,
        pose_values: torch.Tensor,
        other_pose_values: torch.Tensor | None = None,
        text_embeds: torch.Tensor | None = None,
        **kwargs,
    ) -> PoseRetrievalOutput:
        """Embeds poses or pairs of poses, and computes the loss against their texts.

        Args:
            pose_values: (batch, 22, 6).
            other_pose_values: (batch, 22, 6), the second pose of each pair; without it, single poses are embedded.
            text_embeds: (batch, embedding_size) unit vectors; without them there is no loss.
        """
        if other_pose_values is None:
            embeds = self.embed_poses(pose_values)
        else:
            embeds = self.embed_pose_pairs(pose_values, other_pose_values)
        loss = None if text_embeds is None else contrastive_loss(text_embeds, embeds, self.similarity_scale)
        return PoseRetrievalOutput(loss=loss, pose_embeds=embeds)

    def _checked(self, name: str, pose_values: torch.Tensor) -> torch.Tensor:
        expected = (self.config.num_joints, 6)
        if pose_values.ndim != 3 or tuple(pose_values.shape[1:]) != expected:
            raise ValueError(
                f"{name} must have the shape (batch, {expected[0]}, {expected[1]}), got {tuple(pose_values.shape)}"
            )
        return pose_values.to(self.dtype)
