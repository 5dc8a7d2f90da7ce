"""How hypothesis runs here: the same examples in every run, and many more in `make fuzz` (UNIPOSE_FUZZ=examples)."""

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings


# What a wrong input may raise; anything else is a defect.
DOCUMENTED = (ValueError, OSError)
COUNTS: Counter[str] = Counter()


def fuzzed(examples: int) -> settings:
    """The settings of a suite.

    Args:
        examples: Number of examples in the usual run of the tests.
    """
    wanted = os.environ.get("UNIPOSE_FUZZ")
    return settings(
        max_examples=int(wanted) if wanted else examples,
        derandomize=wanted is None,
        phases=(Phase.explicit, Phase.generate),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def outcome(call: Callable[[], object], is_right: Callable[[object], bool]) -> str:
    """Runs a call: "correct" or "documented"; another error, or a wrong result, is raised.

    Args:
        call: The call.
        is_right: Whether a result is right.
    """
    try:
        result = call()
    except DOCUMENTED as error:
        kind = "documented" if str(error).strip() else "silent"
    except Exception:
        COUNTS["foreign"] += 1
        raise
    else:
        kind = "correct" if is_right(result) else "silent"
    COUNTS[kind] += 1
    assert kind != "silent", "a wrong result without an error"
    return kind


def attempt(call: Callable[[], Any]) -> tuple[Any, str | None]:
    """The result of a call and None, or None and its documented error; others pass through.

    Args:
        call: The call.
    """
    try:
        result, error = call(), None
    except DOCUMENTED as found:
        result, error = None, str(found).strip() or "(empty)"
    except Exception:
        COUNTS["foreign"] += 1
        raise
    COUNTS["correct" if error is None else "documented"] += 1
    return result, error
