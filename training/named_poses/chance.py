"""Random choices."""

from collections.abc import Sequence
from typing import TypeVar

from numpy.random import Generator


T = TypeVar("T")


def pick(options: Sequence[T], rng: Generator) -> T:
    """One of the options, each as likely.

    Args:
        options: at least one.
        rng: source of randomness.
    """
    return options[int(rng.integers(len(options)))]
