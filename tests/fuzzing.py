"""How hypothesis runs here: the same examples in every run of the tests, and many others, all counted, in `make fuzz`.

An input is one example of a suite. It counts as

- correct: every result equals an independent expectation of the test;
- documented: an error of a documented type arose where, and in the form in which, the test expects it;
- foreign: another error, a documented type without the expected message, or more than `MAX_SECONDS` of CPU;
- silent: a wrong result without an error.
"""

import functools
import inspect
import os
import re
import time
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import HypothesisException


# What a wrong input may raise; anything else is a defect.
DOCUMENTED = (ValueError, OSError)
KINDS = ("correct", "documented", "foreign", "silent")
# The number of inputs that the second number of `fuzzed` is for.
ALL_INPUTS = 100_000
MAX_SECONDS = 20.0
MAX_FAULTS = 20


@dataclass
class Tally:
    """The inputs of a suite by kind, and the smallest example of each fault.

    Args:
        many: Number of inputs in a run of `ALL_INPUTS`.
        wanted: Number of inputs in this long run; 0 in the usual run of the tests.
        fixtures: Names of the arguments that are no part of the input.
        seconds: CPU time of all inputs.
        errors: Documented errors of the current input.
        is_last_error: Whether the last call of the current input raised one.
    """

    many: int
    wanted: int
    fixtures: frozenset[str]
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    faults: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: float = 0.0
    errors: int = 0
    is_last_error: bool = False

    def add_fault(self, kind: str, error: BaseException, example: dict[str, Any]) -> None:
        """Counts a fault; of those at the same place the one whose example is shortest is kept."""
        self.counts[kind] += 1
        frames = traceback.extract_tb(error.__traceback__)
        place = next((f for f in reversed(frames) if "tests/fuzzing.py" not in f.filename), frames[-1])
        where = f"{Path(place.filename).name}:{place.lineno}"
        key = f"{kind} {type(error).__name__} {where} {re.sub('[0-9]+', '', str(error))[:40]}"
        text = ", ".join(f"{name}={value!r}" for name, value in example.items() if name not in self.fixtures)
        if key in self.faults:
            if len(text) >= len(self.faults[key]["example"]):
                return
        elif len(self.faults) == MAX_FAULTS:
            return
        reason = f"{type(error).__name__}: {error}"[:800]
        self.faults[key] = {"kind": kind, "where": where, "error": reason, "example": text[:1500]}


CURRENT: ContextVar[Tally] = ContextVar("CURRENT")


def fuzzed(examples: int, many: int) -> Callable[[Any], Any]:
    """A decorator for what `given` returns: how many examples it has, and their counting.

    Args:
        examples: Number in the usual run of the tests.
        many: Number in a run of `ALL_INPUTS` inputs.
    """
    total, number = os.environ.get("UNIPOSE_FUZZ"), int(os.environ.get("UNIPOSE_FUZZ_SEED", "0"))
    wanted = -(-many * int(total) // ALL_INPUTS) if total else 0

    def decorate(test: Any) -> Any:
        tally = Tally(many, wanted, frozenset(inspect.signature(test).parameters))
        test.hypothesis.inner_test = counted(test.hypothesis.inner_test, tally)
        long_run = settings(phases=(Phase.explicit, Phase.generate), max_examples=max(wanted, 1))
        chosen = settings(
            long_run if total else settings(max_examples=examples, derandomize=True),
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        return chosen(seed(number)(test) if total else test)

    return decorate


def counted(inner: Callable[..., None], tally: Tally) -> Callable[..., None]:
    """A test that counts what its examples do; in the long run it goes on after a fault.

    Args:
        inner: The test of one example.
        tally: Its counts, which become the attribute `tally`.
    """

    @functools.wraps(inner)
    def run(*args: Any, **kwargs: Any) -> None:
        tally.errors, tally.is_last_error = 0, False
        token = CURRENT.set(tally)
        started = time.process_time()
        try:
            inner(*args, **kwargs)
            check_seconds(time.process_time() - started)
        except HypothesisException:
            raise
        except (Exception, pytest.fail.Exception) as error:
            is_wrong_result = isinstance(error, AssertionError | pytest.fail.Exception) and not tally.is_last_error
            tally.add_fault("silent" if is_wrong_result else "foreign", error, kwargs)
            if not tally.wanted:
                raise
        else:
            tally.counts["documented" if tally.errors else "correct"] += 1
        finally:
            CURRENT.reset(token)
            tally.seconds += time.process_time() - started

    run.tally = tally  # type: ignore[attr-defined]
    return run


def check_seconds(seconds: float) -> None:
    """Checks the CPU time of an input."""
    if seconds > MAX_SECONDS:
        raise TimeoutError(f"the input took {seconds:.0f} seconds of CPU")


def attempt(call: Callable[[], Any]) -> tuple[Any, str | None]:
    """The result of a call and None, or None and its documented error; others pass through.

    Args:
        call: The call.
    """
    tally = CURRENT.get()
    tally.is_last_error = False
    try:
        return call(), None
    except DOCUMENTED as found:
        error = found
    tally.errors += 1
    tally.is_last_error = True
    message = str(error).strip()
    assert message, f"a {type(error).__name__} without a message"
    return None, message


def refused(call: Callable[[], Any], *patterns: str) -> str:
    """The message of the documented error that a call must raise.

    Args:
        call: The call.
        *patterns: Regular expressions, all of which the message must contain.
    """
    result, error = attempt(call)
    assert error is not None, f"accepted, with the result {result!r}"[:500]
    for pattern in patterns:
        assert re.search(pattern, error), f"the message {error!r} has no {pattern!r}"
    return error


def outcome(call: Callable[[], Any], is_right: Callable[[Any], bool]) -> str | None:
    """Runs a call whose result must be right; the message of its error, if it has one.

    Args:
        call: The call.
        is_right: Whether a result is right.
    """
    result, error = attempt(call)
    assert error is not None or is_right(result), "a wrong result without an error"
    return error
