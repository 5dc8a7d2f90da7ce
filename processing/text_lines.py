"""Reads the words of motion files line by line, with errors that name the line."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


class MotionError(ValueError):
    """A motion file is damaged, or its skeleton is not that of a body."""


class Lines:
    """The words of a text file, with errors that name the line.

    Args:
        path: the file, for errors.
        text: its content.
        comments: what starts a comment.
    """

    def __init__(self, path: Path, text: str, comments: str = "") -> None:
        self.path = path
        rows = [
            (number, line.split(comments)[0] if comments else line) for number, line in enumerate(text.split("\n"), 1)
        ]
        self.rows = [(number, line.split()) for number, line in rows if line.strip()]
        self.place = 0

    def __bool__(self) -> bool:
        return self.place < len(self.rows)

    def peek(self) -> list[str]:
        """The words of the next line that is not empty; none at the end."""
        return self.rows[self.place][1] if self else []

    def next(self, expected: str) -> list[str]:
        """The words of the next line that is not empty.

        Raises:
            MotionError: the file ends; `expected` is named.
        """
        if not self:
            raise MotionError(
                f"{self.path} ends after line {self.rows[-1][0] if self.rows else 0}; expected {expected}"
            )
        self.place += 1
        return self.rows[self.place - 1][1]

    def error(self, got: object, expected: str) -> MotionError:
        """The error of the line that was read last.

        Args:
            got: what it holds.
            expected: what it should hold.
        """
        return MotionError(f"{self.path}, line {self.rows[max(self.place - 1, 0)][0]}: got {got}; expected {expected}")

    def numbers(self, words: Sequence[str], count: int | None, expected: str) -> list[float]:
        """Words of the last line as finite numbers.

        Args:
            words: the words.
            count: how many they must be; None: any number.
            expected: names them in errors.

        Raises:
            MotionError: a word is no number, or their number differs.
        """
        try:
            values = [float(word) for word in words]
        except ValueError as error:
            raise self.error(" ".join(words), expected) from error
        if (count is not None and len(values) != count) or not np.isfinite(values).all():
            raise self.error(f"{len(values)} numbers" if len(values) != count else "NaN or infinity", expected)
        return values


def as_integer(lines: Lines, words: Sequence[str], expected: str) -> int:
    """The single word of the last line as a positive integer.

    Args:
        lines: the file.
        words: the words.
        expected: names it in errors.

    Raises:
        MotionError: it is not one.
    """
    if len(words) != 1 or not words[0].isdigit() or int(words[0]) < 1:
        raise lines.error(" ".join(words), expected)
    return int(words[0])
