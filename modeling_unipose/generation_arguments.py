"""Checks the arguments of `generate` before they can cause an error far from their name, or a wrong answer."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple


class Accepted(NamedTuple):
    """The accepted values of an argument.

    Args:
        low: Lowest value.
        high: Highest value.
        whole: Whether it is an integer.
        open_low: Whether `low` itself is not accepted.
    """

    low: float
    high: float = math.inf
    whole: bool = False
    open_low: bool = False

    @property
    def wording(self) -> str:
        """What is accepted, for errors."""
        kind = "an integer" if self.whole else "a number"
        low = f"{kind} {'above' if self.open_low else 'of at least'} {self.low:g}"
        return low if math.isinf(self.high) else f"{low} and at most {self.high:g}"

    def allows(self, value: Any) -> bool:
        """Whether a value is accepted."""
        kinds = int if self.whole else int | float
        if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
            return False
        return (value > self.low if self.open_low else value >= self.low) and value <= self.high


COUNT, SIZE = Accepted(1, whole=True), Accepted(0, whole=True)
SHARE = Accepted(0, 1, open_low=True)
# Outside of these bounds the division of logits leaves the range of floats.
TEMPERATURE = Accepted(1e-6, 1e6)
ARGUMENTS: dict[str, Accepted] = {
    "num_beams": COUNT,
    "num_return_sequences": COUNT,
    "max_new_tokens": COUNT,
    "max_length": COUNT,
    "min_new_tokens": SIZE,
    "min_length": SIZE,
    "top_k": SIZE,
    "no_repeat_ngram_size": SIZE,
    "encoder_no_repeat_ngram_size": SIZE,
    "temperature": TEMPERATURE,
    "top_p": SHARE,
    "typical_p": SHARE,
    "top_h": SHARE,
    "min_p": Accepted(0, 1),
    "epsilon_cutoff": Accepted(0, 1),
    "eta_cutoff": Accepted(0, 1),
    "repetition_penalty": Accepted(1e-6, 1e6),
    "length_penalty": Accepted(-1e6, 1e6),
    "max_time": Accepted(0, open_low=True),
}
FLAGS = ("do_sample", "use_cache", "return_dict_in_generate", "output_scores", "output_logits", "renormalize_logits")


def check_generation_arguments(arguments: Mapping[str, Any], source: str = "") -> None:
    """Checks arguments of `generate`; those that are None, and others, are left to the library.

    Args:
        arguments: Values by name.
        source: Where they come from, for errors.

    Raises:
        ValueError: A value that is not accepted.
    """
    for name, accepted in ARGUMENTS.items():
        value = arguments.get(name)
        if value is not None and not accepted.allows(value):
            raise ValueError(f"{source}{name} must be {accepted.wording}, got {value!r}")
    for name in FLAGS:
        if arguments.get(name) is not None and not isinstance(arguments[name], bool):
            raise ValueError(f"{source}{name} must be True or False, got {arguments[name]!r}")


def check_batch_size(size: Any) -> int:
    """The number of rows of a batch.

    Raises:
        ValueError: It is no integer of at least 1.
    """
    if not COUNT.allows(size):
        raise ValueError(f"batch_size must be {COUNT.wording}, got {size!r}")
    return size


__all__ = ["check_batch_size", "check_generation_arguments"]
