"""Settings of the hypothesis suites: the same examples in every run of the tests, ever new ones with UNIPOSE_FUZZ=n.

n multiplies the number of examples.
"""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings


FACTOR = int(os.environ.get("UNIPOSE_FUZZ", "0"))


def examples(count: int) -> settings:
    """A profile with this many examples."""
    return settings(
        max_examples=count * max(FACTOR, 1),
        derandomize=FACTOR == 0,
        database=None,
        deadline=None,
        print_blob=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


def attempt(call: Callable[[], Any]) -> tuple[Any, str | None]:
    """The result of a call and None, or None and its documented error; others pass through."""
    try:
        return call(), None
    except ValueError as error:
        return None, str(error) or "(empty)"
