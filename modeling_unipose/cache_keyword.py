"""One name for the cache: forwards and outputs call it `cache` since transformers 5.24, `past_key_values` before."""

import inspect
from collections.abc import Callable
from functools import wraps

from transformers.masking_utils import create_causal_mask
from transformers.utils.deprecation import deprecate_kwarg


# Name of the cache in the forwards and outputs of the installed library, and in `generate`.
CACHE = "cache" if "cache" in inspect.signature(create_causal_mask).parameters else "past_key_values"


def accepts_both_cache_names(function: Callable) -> Callable:
    """Decorates a function with a parameter `cache`, which may be passed as `past_key_values` too; never both.

    The signature has the installed library's name, because `generate` checks its arguments by the signature.
    """
    if CACHE == "cache":
        rename = deprecate_kwarg("past_key_values", "5.40.0", new_name="cache", raise_if_both_names=True)
        return rename(function)

    @wraps(function)
    def renamed(*args, **kwargs):
        if CACHE in kwargs and "cache" in kwargs:
            raise ValueError(f"Both `{CACHE}` and `cache` are set for `{function.__name__}`: pass one of them")
        if CACHE in kwargs:
            kwargs["cache"] = kwargs.pop(CACHE)
        return function(*args, **kwargs)

    signature = inspect.signature(function)
    parameters = [p.replace(name=CACHE) if p.name == "cache" else p for p in signature.parameters.values()]
    renamed.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return renamed


__all__ = ["CACHE", "accepts_both_cache_names"]
