"""Timing of calls."""

import statistics
import time
from collections.abc import Callable


def medians(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each call, after one warm-up call that is not counted.

    Args:
        calls: calls to time, by name. The calls alternate, so that other load on the machine affects all equally.
        repeats: number of timed calls of each.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
