"""Timing of calls, and what measured times say."""

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np


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


def latency(seconds: Sequence[float], rows: int | None = None) -> dict[str, float]:
    """Median, mean and 95th percentile of call times, and the throughput.

    Args:
        seconds: the time of each call, without warm-up.
        rows: number of rows that all calls together answered; default: one each.

    Returns:
        median_s, mean_s, p95_s and rows_per_s.

    Raises:
        ValueError: there is no time, or one is not above 0.
    """
    times = np.asarray(seconds, dtype=np.float64)
    if not len(times) or not (times > 0).all():
        raise ValueError(f"seconds must hold at least one time, each above 0, got {list(seconds)[:5]}")
    return {
        "median_s": float(np.median(times)),
        "mean_s": float(times.mean()),
        "p95_s": float(np.percentile(times, 95)),
        "rows_per_s": (len(times) if rows is None else rows) / float(times.sum()),
    }
