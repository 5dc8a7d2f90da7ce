"""Peak memory of a process with one model: after the imports, after loading it, and in calls of its tasks.

python benchmarks/peak_memory.py [--size embedded] [--batches 1 16]

Prints JSON: MB by step; "weights" are those of the model alone. Linux.
"""

import argparse
import ctypes
import json
import re
import resource
from pathlib import Path

from model_sizes import SIZES, load_size
from speed_cases import TaskCalls

from unipose.tasks_unipose import TASKS


MEASURED_TASKS = ("text-to-pose", "image-to-pose", "pose-to-text")


def take_peak() -> float:
    """The highest resident memory since the last call, in MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None, "this is not Linux"
    # 5: start again from the memory that is resident now.
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return int(peak[1]) * 1024 / 1e6


def resident() -> float:
    """The resident memory now, in MB, after freed memory went back to the system."""
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="embedded", help="default: %(default)s")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16], help="default: 1 16")
    arguments = parser.parse_args()
    peaks = {"imports": take_peak()}
    pipe = load_size(arguments.size)
    peaks["load"] = take_peak()
    peaks["weights"] = sum(each.numel() * each.element_size() for each in pipe.model.parameters()) / 1e6
    for name in MEASURED_TASKS:
        for batch in arguments.batches:
            calls = TaskCalls(pipe, TASKS[name], batch)
            take_peak()
            calls.pipeline()
            peaks[f"{name}/{batch}"] = take_peak()
    print(json.dumps(peaks))


if __name__ == "__main__":
    main()
