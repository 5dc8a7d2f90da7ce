"""Configuration of the retrieval model."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class RetrievalConfig(PreTrainedConfig):
    """Configuration of the retrieval model; sizes of the original's text encoder are unknown.

    Args:
        pairs: Whether the model embeds ordered pairs of poses instead of single poses.
        embedding_size: Width of the shared space.
        vocab_size: Number of tokens of the tokenizer.
        text_encoder: "gru", a bidirectional GRU as in the paper, or "transformer".
        word_embedding_size: Width of the GRU's token embeddings.
        text_hidden_size: Width of each direction of the GRU, or of the transformer.
        num_text_layers: Number of layers of the text encoder.
        num_attention_heads: Of the transformer.
        max_text_tokens: Maximum number of tokens of a text; of the transformer only.
        pose_encoder: "convolution", that of the original, or "mlp", which trains much faster on a CPU.
        num_joints: Number of joints of a pose; SMPL's 22 body joints.
        hidden_size: Number of channels of the convolutions over the joint axis, or width of the MLP.
        num_pose_tokens: Positions along the joint axis, pooled into one embedding; 40 in the original. Not of the MLP.
        num_residual_blocks: Number of residual blocks of the pose encoder.
        dropout: Share of the features that the text encoder and the MLP drop in training.
        initial_similarity_scale: Initial value of the contrastive loss's learned scale.
    """

    model_type = "unipose_retrieval"

    # Architecture
    pairs: bool = False
    embedding_size: int = 512
    vocab_size: int = 4096
    text_encoder: Literal["gru", "transformer"] = "gru"
    word_embedding_size: int = 300
    text_hidden_size: int = 512
    num_text_layers: int = 1
    num_attention_heads: int = 8
    max_text_tokens: int = 512
    pose_encoder: Literal["convolution", "mlp"] = "convolution"
    num_joints: int = 22
    hidden_size: int = 512
    num_pose_tokens: int = 40
    num_residual_blocks: int = 2
    # Training
    dropout: float = 0.0
    initial_similarity_scale: float = 10.0
