"""Training pictures a second: one process and two, drawn only and encoded as PNG and JPEG.

OMP_NUM_THREADS=1 python benchmarks/pictures.py [--size 224] [--count 200] [--repeats 5]

Each process draws `count` pictures of different poses in random styles; the median of the repeats is reported.
"""

import argparse
import multiprocessing
import statistics
import time
from dataclasses import replace
from multiprocessing.connection import Connection

import numpy as np
import torch
from measure import print_machine, print_table

from unipose.processing.body_model import BodyModel
from unipose.training.picture_style import random_style
from unipose.training.pictures import take_picture
from unipose.training.poses import sample_training_poses


# JPEG quality, or None for a PNG, or no encoding at all.
ENCODINGS: dict[str, dict[str, int | None] | None] = {
    "drawn only": None,
    "JPEG, quality 85": {"jpeg_quality": 85},
    "PNG": {"jpeg_quality": None},
}


def draw(count: int, size: int, seed: int, encoding: dict[str, int | None] | None, gate: Connection) -> None:
    """Draws `count` pictures whenever `gate` says so, and answers when done."""
    torch.set_num_threads(1)
    body = BodyModel.builtin()
    poses, _ = sample_training_poses(count, seed, body)
    gate.send(None)
    while gate.recv():
        rng = np.random.default_rng(seed)
        for index in range(count):
            style = random_style(rng, company=True)
            other = poses[index - 1] if style.companion is not None else None
            if encoding is None:
                take_picture(poses[index], style, size, body, other)
            else:
                style = replace(style, sensor=replace(style.sensor, jpeg_quality=encoding["jpeg_quality"]))
                take_picture(poses[index], style, size, body, other).encode()
        gate.send(None)


def pictures_a_second(processes: int, count: int, size: int, encoding: str, repeats: int) -> float:
    """Median pictures a second of all processes together."""
    context = multiprocessing.get_context("spawn")
    gates, workers = [], []
    for seed in range(processes):
        ours, theirs = context.Pipe()
        worker = context.Process(target=draw, args=(count, size, seed, ENCODINGS[encoding], theirs), daemon=True)
        worker.start()
        gates.append(ours)
        workers.append(worker)
    for gate in gates:
        gate.recv()
    speeds = []
    for _ in range(repeats):
        start = time.perf_counter()
        for gate in gates:
            gate.send(True)
        for gate in gates:
            gate.recv()
        speeds.append(processes * count / (time.perf_counter() - start))
    for gate, worker in zip(gates, workers):
        gate.send(False)
        worker.join()
    return statistics.median(speeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224, help="pixels; default: %(default)s")
    parser.add_argument("--count", type=int, default=200, help="pictures of a process; default: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="default: %(default)s")
    arguments = parser.parse_args()
    print_machine()
    rows = [
        (
            encoding,
            *(
                f"{pictures_a_second(n, arguments.count, arguments.size, encoding, arguments.repeats):.0f}"
                for n in (1, 2)
            ),
        )
        for encoding in ENCODINGS
    ]
    print_table([f"{arguments.size} px", "one process", "two processes"], rows)


if __name__ == "__main__":
    main()
