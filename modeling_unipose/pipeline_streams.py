"""Rows that come one after the other: generators, `KeyDataset`s, columns of datasets."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from os import PathLike
from typing import Any

import numpy as np
import torch


ROW_KEYS = ("text", "images", "poses")
SINGLE_TYPES = (str, bytes, bytearray, Mapping, PathLike, list, tuple, set, frozenset, np.ndarray, torch.Tensor)


def is_stream(value: Any) -> bool:
    """Whether a value has rows that are read one after the other: an iterator, or a dataset or a column of one."""
    if value is None or isinstance(value, SINGLE_TYPES):
        return False
    return isinstance(value, Iterable) or all(hasattr(type(value), name) for name in ("__getitem__", "__len__"))


def iterate(stream: Any) -> Iterator[Any]:
    """The rows of a stream."""
    if isinstance(stream, Iterable):
        return iter(stream)
    return (stream[index] for index in range(len(stream)))


class AnswerStream:
    """Answers of a pipeline, computed batch by batch while they are read.

    Args:
        answer: Answers a batch: rows (text, images, poses) -> a list.
        fixed: Inputs by name that all rows have.
        streams: Streams by name. An item of "text" may be a dict of `ROW_KEYS`.
        size: Number of rows of a batch.
    """

    def __init__(
        self,
        answer: Callable[[list[dict[str, Any]]], list[Any]],
        fixed: dict[str, Any],
        streams: dict[str, Any],
        size: int,
    ):
        self.answer, self.fixed, self.size = answer, fixed, size
        self.streams = streams
        self.iterators = {name: iterate(stream) for name, stream in streams.items()}
        self.batches = 0
        self.ready: list[Any] = []

    def __len__(self) -> int:
        return min(len(stream) for stream in self.streams.values())

    def __iter__(self) -> "AnswerStream":
        return self

    def __next__(self) -> Any:
        if not self.ready:
            rows = self.next_rows()
            if not rows:
                raise StopIteration
            self.ready = self.answer(rows)[::-1]
            self.batches += 1
        return self.ready.pop()

    def next_rows(self) -> list[dict[str, Any]]:
        """The rows of the next batch.

        Raises:
            ValueError: The streams have different lengths, or a row has unknown keys.
        """
        columns = {name: list(islice(iterator, self.size)) for name, iterator in self.iterators.items()}
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            first = self.batches * self.size
            got = ", ".join(f"{first + length} of {name}" for name, length in lengths.items())
            raise ValueError(f"the inputs have different numbers of rows: {got}")
        rows = [self.fixed | dict(zip(columns, values)) for values in zip(*columns.values())]
        return [self.spread(row, self.batches * self.size + number) for number, row in enumerate(rows, start=1)]

    def spread(self, row: dict[str, Any], number: int) -> dict[str, Any]:
        """A row whose text is a dict of `ROW_KEYS` gets its entries.

        Args:
            row: The row.
            number: Its number, from 1.

        Raises:
            ValueError: The dict has other keys.
        """
        entries = row.get("text")
        if not isinstance(entries, Mapping):
            return row
        if not entries.keys() <= set(ROW_KEYS):
            raise ValueError(f"row {number} has the keys {sorted(map(str, entries))}; accepted: {', '.join(ROW_KEYS)}")
        return {**row, "text": None, **entries}


__all__ = ["AnswerStream", "is_stream", "iterate"]
