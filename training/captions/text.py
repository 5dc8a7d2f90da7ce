"""Shared by writers and readers of texts: random choices, templates, lists, sentences and the result of reading."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from unipose.training.captions.codes import CodeT


Choice = TypeVar("Choice")

# Probability of the first of several wordings, in addition to its equal share.
PLAIN = 0.3
_ALTERNATIVES = re.compile(r"\[([^\[\]]*)\]")


class RandomChooser:
    """Random choices, each drawn from a generator when it is made.

    Args:
        rng: the generator.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def random(self) -> float:
        """A number from 0 to 1."""
        return self._rng.random()

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """Any of the choices, with equal probability."""
        return choices[int(self._rng.integers(len(choices)))]

    def shuffle(self, items: Sequence[Choice]) -> list[Choice]:
        """The items in random order."""
        return [items[index] for index in self._rng.permutation(len(items))]


class BufferedChooser(RandomChooser):
    """Random choices from numbers drawn in bulk: a generator's own calls would take longer than the text.

    Args:
        rng: the generator.
        variety: 1 for the full choice of wordings, 0 for the first of each.
    """

    def __init__(self, rng: np.random.Generator, variety: float = 1.0) -> None:
        super().__init__(rng)
        self._drawn: list[float] = []
        self._plain = 1.0 - (1.0 - PLAIN) * variety

    def random(self) -> float:
        if not self._drawn:
            self._drawn = self._rng.random(128).tolist()
        return self._drawn.pop()

    def pick(self, choices: Sequence[Choice]) -> Choice:
        return choices[int(self.random() * len(choices))]

    def shuffle(self, items: Sequence[Choice]) -> list[Choice]:
        drawn = [self.random() for _ in items]
        return [items[index] for index in sorted(range(len(items)), key=drawn.__getitem__)]

    def word(self, choices: Sequence[Choice]) -> Choice:
        """One wording of several, the first a little more often."""
        return choices[0] if self.random() < self._plain else self.pick(choices)


@dataclass(frozen=True)
class Caption(Generic[CodeT]):
    """A text and the codes it states, in the order of the text."""

    text: str
    codes: tuple[CodeT, ...]


@dataclass(frozen=True)
class Reading(Generic[CodeT]):
    """What a text states.

    Args:
        codes: the statements, each once, in the order of the text.
        sentences: the number of sentences.
        unparsable: the sentences outside the vocabulary, in whole or in part. What such a sentence states in known
            words still counts among the codes.
    """

    codes: tuple[CodeT, ...]
    sentences: int
    unparsable: tuple[str, ...]


def expand(template: str) -> Iterator[str]:
    """All wordings of a template with alternatives, such as "[near|close to] the hip"."""
    found = _ALTERNATIVES.search(template)
    if found is None:
        yield template
        return
    for choice in found[1].split("|"):
        yield from expand(template[: found.start()] + choice + template[found.end() :])


def join_list(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return f"{', '.join(items[:-1])} and {items[-1]}" if len(items) > 1 else items[0]


def to_sentence(text: str) -> str:
    """Adds a capital letter and a period."""
    return f"{text[0].upper()}{text[1:]}."


def split_sentences(text: str, ends: str = ".!?") -> list[str]:
    """The sentences of a text, their punctuation included.

    Args:
        text: any text.
        ends: the characters that end a sentence where white space follows.
    """
    return [sentence for sentence in re.split(rf"(?<=[{ends}])\s+", text.strip()) if sentence]


def read_sentences(sentences: Sequence[str], read: Callable[[str], tuple[Sequence[CodeT], bool]]) -> Reading[CodeT]:
    """Reads a text sentence by sentence.

    Args:
        sentences: result of `split_sentences`.
        read: a sentence -> its codes, and whether all of it was understood.
    """
    codes: list[CodeT] = []
    unparsable: list[str] = []
    for sentence in sentences:
        stated, understood = read(sentence)
        codes += stated
        if not understood:
            unparsable.append(sentence)
    return Reading(tuple(dict.fromkeys(codes)), len(sentences), tuple(unparsable))
