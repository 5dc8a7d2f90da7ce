"""Rows of an embedding table that move along frozen word vectors, so that similar words move together.

The table is W + V D: V are the vectors, D starts at zero and is trained beside the rows W. So a word that no text of
the training holds moves as its neighbors in meaning do. D is folded into the table at every step: checkpoints and the
saved model are those of a plain table.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn


@dataclass
class WordTable:
    """The embedding table whose rows move along word vectors.

    Args:
        table: (tokens, width).
        vectors: (text tokens, size) of the first tokens; zeros for those that are no words.
        is_seen: (text tokens,) bool, whether the corpus has the token. Others move along their vectors alone: as
            outputs that are always wrong, they would drift away.
    """

    table: nn.Parameter
    vectors: torch.Tensor
    is_seen: torch.Tensor
    # D, zero between two steps.
    moves: nn.Parameter = field(init=False)

    def __post_init__(self):
        tokens, size = self.vectors.shape
        if tokens > len(self.table):
            raise ValueError(f"got word vectors of {tokens} tokens for a table of {len(self.table)}; expected fewer")
        self.vectors = self.vectors.to(self.table.dtype)
        self.moves = nn.Parameter(self.vectors.new_zeros(size, self.table.shape[1]))

    @classmethod
    def load(cls, path: str | Path, table: nn.Parameter, device: torch.device | str) -> "WordTable":
        """Loads the vectors that `build_model` saves.

        Args:
            path: the file.
            table: the embedding table that is trained.
            device: where the table is trained; the trainer may still have to move it there.

        Raises:
            ValueError: the table is not trained, or has fewer tokens than there are vectors.
        """
        if not table.requires_grad:
            raise ValueError("word_vectors is set, but this stage does not train the embeddings: leave it out")
        saved = load_file(path)
        return cls(table, saved["vectors"].to(device), saved["is_seen"].to(device))

    @torch.no_grad()
    def gather(self) -> None:
        """Takes D's gradient from the rows', and leaves them that of their own moves."""
        if self.table.grad is None:
            return
        rows = self.table.grad[: len(self.vectors)]
        self.moves.grad = self.vectors.T @ rows
        rows.mul_(self.is_seen.unsqueeze(1))

    @torch.no_grad()
    def apply(self) -> None:
        """Moves the words' rows by V D, and sets D to zero."""
        self.table[: len(self.vectors)] += self.vectors @ self.moves
        self.moves.zero_()
