"""Training pictures a second: one process and two, drawn only and encoded as JPEG and PNG.

OMP_NUM_THREADS=1 python benchmarks/pictures.py [--size 224] [--count 200] [--repeats 5]

Each process draws `count` pictures of different poses in random styles; medians of the repeats. The processor's time a
picture, of one process, is the figure to trust on a machine that does other work too.
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
from unipose.training.synthetic_images.rendering import render_image
from unipose.training.synthetic_images.style import random_style


# JPEG quality, or None for a PNG, or no encoding at all.
ENCODINGS: dict[str, dict[str, int | None] | None] = {
    "drawn only": None,
    "JPEG, quality 85": {"jpeg_quality": 85},
    "PNG": {"jpeg_quality": None},
}


def draw(count: int, size: int, seed: int, encoding: dict[str, int | None] | None, gate: Connection) -> None:
    """Draws `count` pictures whenever `gate` says so, and answers with the processor's seconds that they took."""
    torch.set_num_threads(1)
    body = BodyModel.builtin()
    poses, _ = sample_training_poses(count, seed, body)
    gate.send(None)
    while gate.recv():
        rng, start = np.random.default_rng(seed), time.process_time()
        for index in range(count):
            style = random_style(rng, company=True)
            other = poses[index - 1] if style.companion is not None else None
            if encoding is None:
                render_image(poses[index], style, size, body, other)
            else:
                style = replace(style, sensor=replace(style.sensor, jpeg_quality=encoding["jpeg_quality"]))
                render_image(poses[index], style, size, body, other).encode()
        gate.send(time.process_time() - start)


def measure(processes: int, count: int, size: int, encoding: str, repeats: int) -> tuple[float, float]:
    """Median pictures a second of all processes together, and median processor seconds of one picture."""
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
    parser.add_argument("--count", type=int, default=200, help="pictures of a process; default: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="default: %(default)s")
    arguments = parser.parse_args()
    print_machine()
    rows = []
    for encoding in ENCODINGS:
        (alone, seconds), (both, _) = (
            measure(processes, arguments.count, arguments.size, encoding, arguments.repeats) for processes in (1, 2)
        )
        rows.append((encoding, f"{alone:.0f}", f"{both:.0f}", f"{1000 * seconds:.1f}"))
    print_table([f"{arguments.size} px", "one process", "two processes", "processor ms a picture"], rows)


if __name__ == "__main__":
    main()
