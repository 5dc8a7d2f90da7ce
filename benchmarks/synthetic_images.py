"""Throughput of synthetic training images: one process and two, rendered only and encoded as JPEG or PNG.

OMP_NUM_THREADS=1 python benchmarks/synthetic_images.py [--size 224] [--count 200] [--repeats 5]

Each process renders `count` images of different poses in random styles; numbers are medians of the repeats. On a
machine with other load, the CPU time per image is the number to trust.
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
from unipose.training.sampling.poses import sample_training_poses
from unipose.training.synthetic_images.random_styles import random_style
from unipose.training.synthetic_images.rendering import render_image


# JPEG quality, or None for a PNG, or no encoding at all.
ENCODINGS: dict[str, dict[str, int | None] | None] = {
    "rendered only": None,
    "JPEG, quality 85": {"jpeg_quality": 85},
    "PNG": {"jpeg_quality": None},
}


def run_worker(count: int, size: int, seed: int, encoding: dict[str, int | None] | None, gate: Connection) -> None:
    """A worker process: renders images once per True that it receives, and sends the CPU seconds; False ends it.

    Args:
        count: number of images per message.
        size: pixels of the square images.
        seed: seed of poses and styles.
        encoding: a value of `ENCODINGS`.
        gate: the connection to the main process; None is sent once the worker is ready.
    """
    torch.set_num_threads(1)
    body = BodyModel.builtin()
    poses, _ = sample_training_poses(count, seed, body)
    gate.send(None)
    while gate.recv():
        rng, start = np.random.default_rng(seed), time.process_time()
        for index in range(count):
            style = random_style(rng, allow_bystanders=True)
            others = [poses[index - 1 - number] for number in range(len(style.bystanders))]
            if encoding is None:
                render_image(poses[index], style, size, body, others)
            else:
                style = replace(style, sensor=replace(style.sensor, jpeg_quality=encoding["jpeg_quality"]))
                render_image(poses[index], style, size, body, others).encode()
        gate.send(time.process_time() - start)


def throughput(processes: int, count: int, size: int, encoding: str, repeats: int) -> tuple[float, float]:
    """Median images per second of all processes together, and median CPU seconds per image.

    Args:
        processes: number of worker processes.
        count: number of images per process and repeat.
        size: pixels of the square images.
        encoding: a key of `ENCODINGS`.
        repeats: number of timed rounds.
    """
    context = multiprocessing.get_context("spawn")
    gates, workers = [], []
    for seed in range(processes):
        ours, theirs = context.Pipe()
        worker = context.Process(target=run_worker, args=(count, size, seed, ENCODINGS[encoding], theirs), daemon=True)
        worker.start()
        gates.append(ours)
        workers.append(worker)
    for gate in gates:
        gate.recv()
    speeds, seconds = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        for gate in gates:
            gate.send(True)
        seconds += [gate.recv() / count for gate in gates]
        speeds.append(processes * count / (time.perf_counter() - start))
    for gate, worker in zip(gates, workers):
        gate.send(False)
        worker.join()
    return statistics.median(speeds), statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224, help="pixels; default: %(default)s")
    parser.add_argument("--count", type=int, default=200, help="images per process; default: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="default: %(default)s")
    arguments = parser.parse_args()
    print_machine()
    rows = []
    for encoding in ENCODINGS:
        (alone, seconds), (both, _) = (
            throughput(processes, arguments.count, arguments.size, encoding, arguments.repeats) for processes in (1, 2)
        )
        rows.append((encoding, f"{alone:.0f}", f"{both:.0f}", f"{1000 * seconds:.1f}"))
    print_table([f"{arguments.size} px", "one process, images/s", "two processes, images/s", "CPU ms per image"], rows)


if __name__ == "__main__":
    main()
