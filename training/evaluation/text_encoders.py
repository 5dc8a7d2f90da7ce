"""Text encoders of the retrieval model: token ids -> one vector per text."""

import torch
from torch import nn
from transformers import BertConfig, BertModel

from unipose.training.evaluation.retrieval_config import RetrievalConfig


class GRUTextEncoder(nn.Module):
    """A bidirectional GRU; the last states of both directions are the text (paper, section 4)."""

    def __init__(self, config: RetrievalConfig):
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.word_embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        self.gru = nn.GRU(
            config.word_embedding_size,
            config.text_hidden_size,
            config.num_text_layers,
            batch_first=True,
            bidirectional=True,
            dropout=config.dropout if config.num_text_layers > 1 else 0.0,
        )
        self.output_size = 2 * config.text_hidden_size

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Encodes texts.

        Args:
            input_ids: (batch, tokens), padded on the right.
            attention_mask: (batch, tokens), 1 at tokens.

        Returns:
            (batch, output_size).
        """
        words = self.dropout(self.words(input_ids))
        # Packed, so that the backward direction starts at a text's last token and not at its padding.
        packed = nn.utils.rnn.pack_padded_sequence(
            words, attention_mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False
        )
        _, last = self.gru(packed)
        return torch.cat([last[-2], last[-1]], dim=-1)


class TransformerTextEncoder(nn.Module):
    """A small BERT without pretrained weights; the mean of its outputs at tokens is the text."""

    def __init__(self, config: RetrievalConfig):
        super().__init__()
        self.transformer = BertModel(
            BertConfig(
                vocab_size=config.vocab_size,
                hidden_size=config.text_hidden_size,
                num_hidden_layers=config.num_text_layers,
                num_attention_heads=config.num_attention_heads,
                intermediate_size=4 * config.text_hidden_size,
                max_position_embeddings=config.max_text_tokens,
                hidden_dropout_prob=config.dropout,
                attention_probs_dropout_prob=config.dropout,
            ),
            add_pooling_layer=False,
        )
        self.output_size = config.text_hidden_size

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Encodes texts; see `GRUTextEncoder`.

        Args:
            input_ids: (batch, tokens), at most `max_text_tokens`.
            attention_mask: (batch, tokens).
        """
        outputs = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(outputs)
        return (weights * outputs).sum(dim=1) / weights.sum(dim=1)


TEXT_ENCODERS = {"gru": GRUTextEncoder, "transformer": TransformerTextEncoder}
