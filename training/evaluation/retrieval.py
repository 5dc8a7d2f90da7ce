"""The retrieval model for R-precision, recall and FID: texts and poses embedded in one space (paper, section 4).

    model = RetrievalModel.from_pretrained("runs/retrieval")
    model.get_text_features(["A person squats."]) @ model.get_pose_features(rotmats).T

One model embeds single poses, another one ordered pairs of poses (`pairs` of its config). The pose encoder of kind
"convolution" is that of the original release. `training.stages.retrieval` trains both.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers import initialization as init
from transformers.utils import ModelOutput

from unipose.modeling_pose_vqvae import PoseEncoder, initialize_convolution
from unipose.processing.pose_features import rotmat_to_rotation_6d
from unipose.training.evaluation.retrieval_config import RetrievalConfig
from unipose.training.evaluation.text_encoders import TEXT_ENCODERS


@dataclass
class RetrievalOutput(ModelOutput):
    """Output of the retrieval model.

    Args:
        loss: Contrastive loss of the batch.
        text_embeds: (batch, embedding_size) unit vectors.
        pose_embeds: (batch, embedding_size) unit vectors.
    """

    loss: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None
    pose_embeds: torch.Tensor | None = None


def contrastive_loss(
    text_embeds: torch.Tensor, pose_embeds: torch.Tensor, scale: torch.Tensor | float
) -> torch.Tensor:
    """Symmetric cross-entropy over the batch: each text classifies its pose, each pose its text.

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


def pose_encoder(config: RetrievalConfig) -> PoseEncoder:
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

    def __init__(self, config: RetrievalConfig):
        super().__init__()
        self.encoder = pose_encoder(config)
        self.pooling = TokenPooling(config.num_pose_tokens)

    def forward(self, pose_values: torch.Tensor) -> torch.Tensor:
        return self.pooling(self.encoder(pose_values.mT))


class PosePairEmbedder(nn.Module):
    """(batch, 2, num_joints, 6) ordered pairs of poses -> (batch, embedding_size) unit vectors.

    Both poses share an encoder and are merged before pooling.
    """

    def __init__(self, config: RetrievalConfig):
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

    def forward(self, pose_values: torch.Tensor) -> torch.Tensor:
        features = self.encoder(pose_values.flatten(0, 1).mT).unflatten(0, (-1, 2))
        return self.pooling(self.merge(features.flatten(1, 2)))


class ResidualLayer(nn.Module):
    """Layer norm, linear, GELU, linear, added to the input."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden + self.layers(hidden)


class MLPEmbedder(nn.Module):
    """(batch, [2,] num_joints, 6) poses or ordered pairs -> (batch, embedding_size) unit vectors."""

    def __init__(self, config: RetrievalConfig):
        super().__init__()
        # Of a pair: both poses and their difference.
        size = config.num_joints * 6 * (3 if config.pairs else 1)
        self.pairs = config.pairs
        self.layers = nn.Sequential(
            nn.Linear(size, config.hidden_size),
            *(ResidualLayer(config.hidden_size, config.dropout) for _ in range(config.num_residual_blocks)),
            nn.LayerNorm(config.hidden_size),
            nn.Linear(config.hidden_size, config.embedding_size),
        )

    def forward(self, pose_values: torch.Tensor) -> torch.Tensor:
        if self.pairs:
            first, second = pose_values.unbind(1)
            pose_values = torch.stack([first, second, second - first], dim=1)
        return nn.functional.normalize(self.layers(pose_values.flatten(1)), dim=-1)


class RetrievalModel(PreTrainedModel):
    """Embeds texts, and poses (to match descriptions) or ordered pairs of poses (to match differences and edits).

    Args:
        config: The configuration.
        tokenizer: Tokenizer of the texts, which is saved and loaded with the model.
    """

    config: RetrievalConfig
    config_class = RetrievalConfig
    base_model_prefix = "retrieval"
    main_input_name = "pose_values"
    input_modalities = ["pose", "text"]  # noqa: RUF012

    def __init__(self, config: RetrievalConfig, tokenizer: PreTrainedTokenizerBase | None = None):
        super().__init__(config)
        self.tokenizer = tokenizer
        convolution = PosePairEmbedder if config.pairs else PoseEmbedder
        self.pose_embedder = MLPEmbedder(config) if config.pose_encoder == "mlp" else convolution(config)
        self.text_encoder = TEXT_ENCODERS[config.text_encoder](config)
        self.text_projection = nn.Linear(self.text_encoder.output_size, config.embedding_size)
        self.similarity_scale = nn.Parameter(torch.tensor(config.initial_similarity_scale))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv1d):
            initialize_convolution(module)
        elif isinstance(module, RetrievalModel):
            init.constant_(module.similarity_scale, self.config.initial_similarity_scale)
        # torch's own scales: those of large language models are too small for so few layers.
        elif isinstance(module, nn.GRU | nn.Linear):
            size = module.hidden_size if isinstance(module, nn.GRU) else module.in_features
            for parameter in module.parameters():
                init.uniform_(parameter, -(size**-0.5), size**-0.5)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight)
        else:
            super()._init_weights(module)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike, *args: Any, **kwargs: Any
    ) -> "RetrievalModel":
        """Loads the model and its tokenizer, by folder or Hub id.

        Args:
            pretrained_model_name_or_path: folder or Hub id.
            args: passed to `PreTrainedModel.from_pretrained`.
            kwargs: passed to `PreTrainedModel.from_pretrained`, `revision` also to the tokenizer.
        """
        model = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        revision = kwargs.get("revision")
        model.tokenizer = AutoTokenizer.from_pretrained(pretrained_model_name_or_path, revision=revision)
        return model

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """Saves the model and its tokenizer.

        Args:
            save_directory: folder to write.
            args: passed to `PreTrainedModel.save_pretrained`.
            kwargs: passed to `PreTrainedModel.save_pretrained`.
        """
        super().save_pretrained(save_directory, *args, **kwargs)
        if self.tokenizer is not None and kwargs.get("is_main_process", True):
            self.tokenizer.save_pretrained(save_directory)

    def tokenize(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Token ids and mask of texts, padded on the right.

        Args:
            texts: one or more texts with words.

        Raises:
            ValueError: the model has no tokenizer, or a text is empty.
        """
        if self.tokenizer is None:
            raise ValueError("the retrieval model has no tokenizer: load it with from_pretrained, or pass token ids")
        empty = [index for index, text in enumerate(texts) if not text.strip()]
        if empty or not texts:
            raise ValueError(f"got {len(texts)} texts, empty at {empty[:5]}; expected texts with words")
        return dict(self.tokenizer(list(texts), padding=True, padding_side="right", return_tensors="pt"))

    @torch.no_grad()
    def get_text_features(
        self,
        texts: Sequence[str] | torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        batch_size: int = 256,
    ) -> torch.Tensor:
        """Embeds texts for scoring, in evaluation mode and without gradients.

        Args:
            texts: (n,) texts, or (n, tokens) token ids padded on the right.
            attention_mask: (n, tokens), 1 at tokens; of ids only, by default all are tokens.
            batch_size: number of texts per forward pass.

        Returns:
            (n, embedding_size) unit vectors on the CPU.

        Raises:
            ValueError: no texts, an empty text, or a text that is longer than the model can read.
        """
        if isinstance(texts, str):
            raise ValueError(f"got one text {texts!r}; expected a list of texts")
        if isinstance(texts, torch.Tensor):
            mask = torch.ones_like(texts) if attention_mask is None else attention_mask
        else:
            tokens = self.tokenize(texts)
            texts, mask = tokens["input_ids"], tokens["attention_mask"]
        parts = zip(texts.split(batch_size), mask.split(batch_size))
        return self._in_evaluation(lambda ids, used: self.embed_texts(ids, used), parts)

    @torch.no_grad()
    def get_pose_features(self, poses: torch.Tensor, batch_size: int = 256) -> torch.Tensor:
        """Embeds poses for scoring, in evaluation mode and without gradients.

        Args:
            poses: (n, 22, 3, 3) rotation matrices in the stored frame; of a model of pairs (n, 2, 22, 3, 3).
            batch_size: number of poses per forward pass.

        Returns:
            (n, embedding_size) unit vectors on the CPU.

        Raises:
            ValueError: another shape.
        """
        lead = (2,) if self.config.pairs else ()
        expected = (*lead, self.config.num_joints, 3, 3)
        if tuple(poses.shape[1:]) != expected or not len(poses):
            raise ValueError(f"poses must have the shape {('n', *expected)}, got {tuple(poses.shape)}")
        values = rotmat_to_rotation_6d(poses).to(self.dtype)
        return self._in_evaluation(self.embed_poses, ((part,) for part in values.split(batch_size)))

    def embed_texts(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Embeds texts, differentiably.

        Args:
            input_ids: (batch, tokens), padded on the right.
            attention_mask: (batch, tokens), 1 at tokens.

        Returns:
            (batch, embedding_size) unit vectors.

        Raises:
            ValueError: a text without tokens or padded on the left, or one that is too long for the transformer.
        """
        if not attention_mask[:, 0].all() or (attention_mask.diff(dim=1) > 0).any():
            raise ValueError("attention_mask has a row that starts with padding; expected padding on the right")
        limit = self.config.max_text_tokens
        if self.config.text_encoder == "transformer" and input_ids.shape[1] > limit:
            raise ValueError(f"the longest text has {input_ids.shape[1]} tokens; expected at most {limit}")
        features = self.text_encoder(input_ids, attention_mask)
        return nn.functional.normalize(self.text_projection(features), dim=-1)

    def embed_poses(self, pose_values: torch.Tensor) -> torch.Tensor:
        """Embeds poses or pairs of poses, differentiably.

        Args:
            pose_values: (batch, 22, 6) rotations; of a model of pairs (batch, 2, 22, 6).

        Returns:
            (batch, embedding_size) unit vectors.

        Raises:
            ValueError: another shape.
        """
        lead = (2,) if self.config.pairs else ()
        expected = (*lead, self.config.num_joints, 6)
        if tuple(pose_values.shape[1:]) != expected:
            raise ValueError(f"pose_values must have the shape {('batch', *expected)}, got {tuple(pose_values.shape)}")
        return self.pose_embedder(pose_values.to(self.dtype))

    def forward(
        self,
        pose_values: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        **kwargs,
    ) -> RetrievalOutput:
        """Embeds texts and their poses, and computes the contrastive loss over the batch.

        Args:
            pose_values: (batch, 22, 6); of a model of pairs (batch, 2, 22, 6).
            input_ids: (batch, tokens), padded on the right; row i describes pose i.
            attention_mask: (batch, tokens), 1 at tokens.
        """
        pose_embeds = self.embed_poses(pose_values)
        text_embeds = self.embed_texts(input_ids, attention_mask)
        loss = contrastive_loss(text_embeds, pose_embeds, self.similarity_scale)
        return RetrievalOutput(loss=loss, text_embeds=text_embeds, pose_embeds=pose_embeds)

    def _in_evaluation(self, embed: Any, parts: Any) -> torch.Tensor:
        training = self.training
        self.eval()
        try:
            return torch.cat([embed(*(each.to(self.device) for each in part)).float().cpu() for part in parts])
        finally:
            self.train(training)
