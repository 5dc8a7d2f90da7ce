"""Rows of an embedding table that move along frozen vectors, so that rows of similar vectors move together.

The rows of a range are W + V D: V are the vectors, D starts at zero and is trained beside the rows W. So a word that
no text of the training holds moves as its neighbors in meaning do, and a rare pose code as its neighbors in the
codebook. D is folded into the table at every step: checkpoints and the saved model are those of a plain table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn


@dataclass
class MovingRows:
    """A range of rows, the vectors along which they move, and D.

    Args:
        first: index of the first row in the table.
        vectors: (rows, size); zeros for rows without a meaning.
        moves_alone: (rows,) bool, whether a row also moves on its own. As outputs that are always wrong, words that
            the corpus does not hold would drift away.
        width: width of the table.
    """

    first: int
    vectors: torch.Tensor
    moves_alone: torch.Tensor
    width: int
    # D, zero between two steps.
    moves: nn.Parameter = field(init=False)

    def __post_init__(self):
        self.moves = nn.Parameter(self.vectors.new_zeros(self.vectors.shape[1], self.width))

    def of(self, table: torch.Tensor) -> torch.Tensor:
        """The range's rows of a table, or of its gradient: a view."""
        return table[self.first : self.first + len(self.vectors)]


class MovingTable:
    """An embedding table of which some rows move along vectors.

    Args:
        table: (tokens, width).
        ranges: ranges of its rows that do not overlap.

    Raises:
        ValueError: the table is not trained, or does not hold the rows of a range.
    """

    def __init__(self, table: nn.Parameter, ranges: Sequence[MovingRows]):
        if not table.requires_grad:
            raise ValueError(
                "word_vectors or code_vectors is set, but this stage does not train the embeddings: leave both out"
            )
        for rows in ranges:
            end = rows.first + len(rows.vectors)
            if end > len(table):
                raise ValueError(f"got vectors of rows {rows.first} to {end} for a table of {len(table)} rows")
        self.table = table
        self.ranges = ranges

    @torch.no_grad()
    def gather(self) -> None:
        """Takes each D's gradient from the rows', and leaves them that of their own moves."""
        if self.table.grad is None:
            return
        for rows in self.ranges:
            gradient = rows.of(self.table.grad)
            rows.moves.grad = rows.vectors.T @ gradient
            gradient.mul_(rows.moves_alone.unsqueeze(1))

    @torch.no_grad()
    def apply(self) -> None:
        """Moves the rows by V D, and sets each D to zero."""
        for rows in self.ranges:
            rows.of(self.table).addmm_(rows.vectors, rows.moves)
            rows.moves.zero_()


def load_word_rows(path: str | Path, table: nn.Parameter, device: torch.device | str) -> MovingRows:
    """The first rows of a table, which move along the word vectors that `build_model` saves.

    Args:
        path: the file.
        table: the embedding table that is trained.
        device: where the table is trained; the trainer may still have to move it there.
    """
    saved = load_file(path)
    vectors = saved["vectors"].to(device, table.dtype)
    return MovingRows(0, vectors, saved["is_seen"].to(device), table.shape[1])
