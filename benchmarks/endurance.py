"""Endurance of one pipeline: thousands of calls with flat memory, and eight threads that answer as one does.

python benchmarks/endurance.py [--model DIR] [--calls 2000] [--threads 8]

Exits with status 1 if memory grows by more than 10 MB from the second to the last quarter of the calls, if objects or
tensors are left behind, or if an answer of a thread differs.
"""

import argparse
import gc
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import print_machine, print_table
from PIL import Image
from transformers import pipeline

from unipose import UniPosePipeline
from unipose.embedded_checkpoint import find_embedded_checkpoint
from unipose.processing.pose_features import pose_to_rotmats
from unipose.processing.rendering import render_pose


MAX_GROWTH = 10.0
MAX_OBJECTS = 100
SENTENCES = ("A person kneels.", "Someone raises both arms.", "He sits on the floor.", "A woman runs.")


def resident() -> float:
    """Resident memory of this process now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def random_pose(number: int) -> np.ndarray:
    """(22, 3) rotation vectors, in radians."""
    return np.random.default_rng(number).normal(scale=0.2, size=(22, 3))


def requests(pipe: UniPosePipeline, image: Image.Image) -> list[Callable[[int], Any]]:
    """Calls of all tasks and forms, of which some are refused; each gets its number.

    Args:
        pipe: The pipeline.
        image: An image of a person.
    """
    sampled = {"do_sample": True, "temperature": 0.7}

    def refused(number: int) -> str:
        try:
            pipe(poses=np.full((22, 3), np.nan), task="pose-to-text")
        except ValueError as error:
            return str(error)
        raise AssertionError("a NaN was accepted")

    def chat(number: int) -> Any:
        parts = [{"type": "pose", "pose": random_pose(number)}, {"type": "text", "text": "What does the person do?"}]
        return pipe([{"role": "user", "content": parts}], seed=number, max_new_tokens=24, **sampled)

    return [
        lambda number: pipe(SENTENCES[number % 4], task="text-to-pose", seed=number, **sampled),
        lambda number: pipe(poses=random_pose(number), task="pose-to-text", seed=number, max_new_tokens=24, **sampled),
        lambda number: pipe(images=image, task="image-to-pose", seed=number, **sampled),
        lambda number: pipe("Kneel.", poses=random_pose(number), task="pose-edit", seed=number, **sampled),
        lambda number: pipe(list(SENTENCES), task="text-to-pose", batch_size=2, seed=number, **sampled),
        chat,
        refused,
    ]


def is_same(one: Any, two: Any) -> bool:
    """Whether two answers are equal to the last bit.

    Args:
        one: An answer, a list of answers, or the message of an error.
        two: The other one.
    """
    if isinstance(one, list):
        return len(one) == len(two) and all(map(is_same, one, two))
    if isinstance(one, str):
        return one == two
    return one["text"] == two["text"] and all(map(np.array_equal, one["poses"], two["poses"]))


def count_objects() -> tuple[int, int]:
    """Number of objects and of tensors that are alive."""
    gc.collect()
    # The list dies here: one that lives on would hold the list before it, and that one the next.
    alive = gc.get_objects()
    return len(alive), sum(type(each) is torch.Tensor for each in alive)


def measure_memory(calls: list[Callable[[int], Any]], count: int) -> bool:
    """Prints what is left after each quarter of the calls; whether it is flat.

    Args:
        calls: The calls, which take turns.
        count: Their number, at least 40.
    """
    memory, left, start = [], [], time.perf_counter()
    for number in range(40 * (count // 40)):
        calls[number % len(calls)](number)
        if (number + 1) % (count // 40) == 0:
            left.append(count_objects())
            memory.append(resident())
    rows = []
    for end in (10, 20, 30, 40):
        objects, tensors = left[end - 1]
        mean = np.mean(memory[end - 10 : end])
        rows.append((f"{count // 40 * end:,}", f"{mean:.1f}", f"{objects:,}", f"{tensors:,}"))
    print_table(("calls", "memory of this quarter, MB", "objects", "tensors"), rows)
    growth = np.mean(memory[30:]) - np.mean(memory[10:20])
    more = [last - first for first, last in zip(left[9], left[39])]
    print(f"\n{count:,} calls in {time.perf_counter() - start:.0f} s: {growth:+.1f} MB, {more[0]:+} objects\n")
    return bool(growth <= MAX_GROWTH) and more[0] <= MAX_OBJECTS and more[1] <= 0


def count_differences(calls: list[Callable[[int], Any]], threads: int) -> int:
    """Prints and returns how many seeded answers of threads differ from the same calls one by one.

    Args:
        calls: The calls, which take turns.
        threads: Number of threads; each makes two calls of each kind.
    """
    numbers = range(2 * threads * len(calls))

    def answer(number: int) -> Any:
        return calls[number % len(calls)](number)

    alone = [answer(number) for number in numbers]
    with ThreadPoolExecutor(threads) as pool:
        together = list(pool.map(answer, numbers))
    different = sum(not is_same(one, two) for one, two in zip(alone, together))
    print(f"{threads} threads, {len(numbers)} seeded calls: {different} differ from one by one")
    return different


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", metavar="DIR", help="folder of a model; default: the embedded one")
    parser.add_argument("--calls", type=int, default=2000, help="number of calls; default: %(default)s")
    parser.add_argument("--threads", type=int, default=8, help="number of threads; default: %(default)s")
    arguments = parser.parse_args()
    print_machine()
    pipe = pipeline("unipose", model=arguments.model or str(find_embedded_checkpoint()))
    standing = pose_to_rotmats(np.zeros((22, 3)), frame="y_up")
    calls = requests(pipe, render_pose(standing, size=224))
    is_flat = measure_memory(calls, arguments.calls)
    different = count_differences(calls, arguments.threads)
    return int(not is_flat or different > 0)


if __name__ == "__main__":
    sys.exit(main())
