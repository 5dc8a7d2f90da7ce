"""Checks the arguments of `generate` before they can cause an error far from their name, or a wrong answer."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from transformers import GenerationConfig
from transformers.generation import GenerationMode


# Counts and ids become integers of 32 bits.
MAX_INTEGER = 2**31 - 1
ONE_BY_ONE = 'would emit the codes of a pose one by one: use greedy search or sampling, or generation_mode="text"'


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
        return low if math.isinf(self.high) else f"{low} and at most {self.high:.10g}"

    def allows(self, value: Any) -> bool:
        """Whether a value is accepted."""
        kinds = int if self.whole else int | float
        if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
            return False
        return (value > self.low if self.open_low else value >= self.low) and value <= self.high


class Form(NamedTuple):
    """The accepted form of an argument that is no number.

    Args:
        wording: What is accepted, for errors.
        allows: Whether a value is accepted.
    """

    wording: str
    allows: Callable[[Any], bool]


def is_id(value: Any) -> bool:
    """Whether a value can be the id of a token."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER


def are_ids(value: Any) -> bool:
    """Whether a value is a list of ids, or a tensor of them."""
    if isinstance(value, torch.Tensor):
        return not value.is_floating_point() and value.dtype != torch.bool and value.ndim < 2
    return isinstance(value, list | tuple) and bool(value) and all(map(is_id, value))


def is_pad(value: Any) -> bool:
    """Whether a value is an id, or -1, which no token has."""
    return is_id(value) or (value == -1 and isinstance(value, int))


def is_end(value: Any) -> bool:
    """Whether a value is an id, some ids, or -1, which no token has."""
    return is_pad(value) or are_ids(value)


def is_decay(value: Any) -> bool:
    """Whether a value is a start and a factor."""
    return isinstance(value, list | tuple) and len(value) == 2 and SIZE.allows(value[0]) and POSITIVE.allows(value[1])


def is_bias(value: Any) -> bool:
    """Whether a value is {tuple of ids: float} or a list of [list of ids, float]."""
    if isinstance(value, dict):
        has_ids = all(isinstance(key, tuple) and are_ids(key) for key in value)
        return bool(value) and has_ids and are_biases(value.values())
    if not isinstance(value, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value):
        return False
    has_ids = all(isinstance(pair[0], list) and are_ids(pair[0]) for pair in value)
    return bool(value) and has_ids and are_biases(pair[1] for pair in value)


def are_biases(values: Iterable[Any]) -> bool:
    """Whether values are floats that are no NaN."""
    return all(isinstance(value, float) and not math.isnan(value) for value in values)


COUNT, SIZE = Accepted(1, MAX_INTEGER, whole=True), Accepted(0, MAX_INTEGER, whole=True)
SHARE = Accepted(0, 1, open_low=True)
# Outside of these bounds the division of logits leaves the range of floats.
TEMPERATURE = POSITIVE = Accepted(1e-6, 1e6)
TENSOR = Form("a tensor", lambda value: isinstance(value, torch.Tensor))
ID_OR_IDS = Form("an id or a list of ids", lambda value: is_id(value) or are_ids(value))
IDS = Form("a list of ids", are_ids)
FLAG = Form("True or False", lambda value: isinstance(value, bool))
FUNCTIONS = Form(
    "a list of functions", lambda value: isinstance(value, list | tuple) and all(callable(one) for one in value)
)
ARGUMENTS: dict[str, Accepted | Form] = {
    **dict.fromkeys(("num_beams", "num_return_sequences", "max_new_tokens", "max_length", "num_beam_groups"), COUNT),
    **dict.fromkeys(("min_new_tokens", "min_length", "top_k"), SIZE),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), SIZE),
    "prompt_lookup_num_tokens": COUNT,
    "temperature": TEMPERATURE,
    **dict.fromkeys(("top_p", "typical_p", "top_h"), SHARE),
    **dict.fromkeys(("min_p", "epsilon_cutoff", "eta_cutoff"), Accepted(0, 1)),
    **dict.fromkeys(("repetition_penalty", "encoder_repetition_penalty"), POSITIVE),
    **dict.fromkeys(("length_penalty", "diversity_penalty", "penalty_alpha", "guidance_scale"), Accepted(-1e6, 1e6)),
    "max_time": Accepted(0, open_low=True),
    **dict.fromkeys(("attention_mask", "position_ids", "input_ids", "inputs_embeds"), TENSOR),
    **dict.fromkeys(("pixel_values", "pose_pixel_values", "pose_values"), TENSOR),
    **dict.fromkeys(("bos_token_id", "decoder_start_token_id"), Form("an id", is_id)),
    "pad_token_id": Form("an id, or -1 for none", is_pad),
    "eos_token_id": Form("an id, a list of ids, or -1 for none", is_end),
    **dict.fromkeys(("forced_bos_token_id", "forced_eos_token_id"), ID_OR_IDS),
    **dict.fromkeys(("suppress_tokens", "begin_suppress_tokens"), IDS),
    "bad_words_ids": Form(
        "a list of lists of ids", lambda value: isinstance(value, list) and bool(value) and all(map(are_ids, value))
    ),
    "sequence_bias": Form("{tuple of ids: float} or a list of [list of ids, float]", is_bias),
    "stop_strings": Form(
        "a string or a list of strings",
        lambda value: (
            all(isinstance(one, str) and one for one in ([value] if isinstance(value, str) else value))
            if isinstance(value, str | list | tuple)
            else False
        ),
    ),
    "exponential_decay_length_penalty": Form("a start and a factor", is_decay),
    **dict.fromkeys(("do_sample", "use_cache", "return_dict_in_generate", "output_scores", "output_logits"), FLAG),
    **dict.fromkeys(("renormalize_logits", "remove_invalid_values", "output_attentions", "token_healing"), FLAG),
    **dict.fromkeys(("output_hidden_states", "low_memory"), FLAG),
    "early_stopping": Form('True, False or "never"', lambda value: isinstance(value, bool) or value == "never"),
    "cache_implementation": Form("the name of a cache", lambda value: isinstance(value, str)),
    "dola_layers": Form('"low", "high" or a list', lambda value: isinstance(value, str | list)),
    **dict.fromkeys(("logits_processor", "stopping_criteria"), FUNCTIONS),
    "streamer": Form("a streamer with put() and end()", lambda value: hasattr(value, "put") and hasattr(value, "end")),
    "assistant_model": Form("a model", lambda value: isinstance(value, torch.nn.Module)),
}


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
            raise ValueError(f"{source}{name} must be {accepted.wording}, got {repr(value)[:200]}")


def check_batch_size(size: Any) -> int:
    """The number of rows of a batch.

    Raises:
        ValueError: It is no integer of at least 1.
    """
    if not COUNT.allows(size):
        raise ValueError(f"batch_size must be {COUNT.wording}, got {repr(size)[:200]}")
    return size


def validate_generation(generation_config: GenerationConfig, generation_mode: str | None, seeded: bool) -> None:
    """Checks a config that holds all arguments of a call.

    Args:
        generation_config: The config.
        generation_mode: "pose", "text" or None.
        seeded: Whether the call has a seed of its own.

    Raises:
        ValueError: Options that exclude each other.
    """
    validate_padding(generation_config)
    if generation_mode != "text":
        validate_decoding(generation_config)
    if seeded:
        validate_seeded(generation_config)


def validate_decoding(generation_config: GenerationConfig) -> None:
    """Checks that the decoding method can decode a pose block in parallel.

    Raises:
        ValueError: A method other than greedy search and sampling, or guidance.
    """
    method = generation_config.get_generation_mode()
    if method in (GenerationMode.BEAM_SEARCH, GenerationMode.BEAM_SAMPLE):
        raise ValueError(
            f"beam search (num_beams={generation_config.num_beams}) cannot cross a pose: use greedy search or "
            'sampling, or generation_mode="text"'
        )
    if method not in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE):
        raise ValueError(f"{method.value} {ONE_BY_ONE}")
    if generation_config.guidance_scale not in (None, 1):
        raise ValueError(f"guidance_scale={generation_config.guidance_scale} {ONE_BY_ONE}")


def validate_padding(generation_config: GenerationConfig) -> None:
    """Checks that rows that have ended can be padded.

    Raises:
        ValueError: pad_token_id is -1, but answers can end.
    """
    ends = generation_config.eos_token_id
    can_end = ends is not None and any(end != -1 for end in ([ends] if isinstance(ends, int) else list(ends)))
    if generation_config.pad_token_id == -1 and can_end:
        raise ValueError(f"pad_token_id is -1, but rows that end with eos_token_id {ends} are padded: give an id")


def validate_seeded(generation_config: GenerationConfig) -> None:
    """Checks that the decoding method can take its random numbers from a generator of its own.

    Raises:
        ValueError: A method other than greedy search and sampling.
    """
    method = generation_config.get_generation_mode()
    if method not in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE):
        raise ValueError(f"seed is for sampling; {method.value} draws from torch's global generator: leave seed out")


__all__ = ["check_batch_size", "check_generation_arguments", "validate_generation"]
