"""Loading time and latency of the embedded model, and peak memory of the demo, with their targets.

python benchmarks/latency.py [--model DIR] [--repeats 7]
"""

import statistics
import subprocess
import sys
import tempfile
import time

from measure import parse_arguments, print_machine, print_table
from transformers import pipeline

from unipose.demo import LUNGE, load_frames
from unipose.embedded_checkpoint import find_embedded_checkpoint
from unipose.processing.rendering import render_pose
from unipose.training.evaluation.timing import medians


# Each runs in a new process and prints the measurement as its last line.
LOAD = """
import sys, time
from transformers import pipeline
import unipose
start = time.perf_counter()
pipeline("unipose", model=sys.argv[1])
print(time.perf_counter() - start)
"""
DEMO = """
import resource, sys
from unipose.cli import main
status = main(["demo", "--model", sys.argv[1], "--out", sys.argv[2]])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""
SENTENCE = "A person kneels on the left knee with both arms raised above the head."


def run_fresh(code: str, *arguments: str) -> tuple[float, float]:
    """Runs Python code in a new process, and exits with its error output if it fails.

    Args:
        code: the program.
        arguments: its command-line arguments.

    Returns:
        the wall time of the process in seconds, and the number in its last line of output.
    """
    start = time.perf_counter()
    process = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    if process.returncode:
        sys.exit(process.stderr)
    return time.perf_counter() - start, float(process.stdout.splitlines()[-1])


def main() -> None:
    arguments = parse_arguments(__doc__, model=True)
    model = arguments.model or str(find_embedded_checkpoint())
    wall, loading = zip(*(run_fresh(LOAD, model) for _ in range(arguments.repeats)))
    with tempfile.TemporaryDirectory() as folder:
        demo, kilobytes = run_fresh(DEMO, model, folder)
    pipe = pipeline("unipose", model=model)
    pose = load_frames()[LUNGE]
    image = render_pose(pose)
    latencies = medians(
        {
            "text-to-pose": lambda: pipe(SENTENCE, task="text-to-pose"),
            "image-to-pose": lambda: pipe(images=image, task="image-to-pose"),
            "pose-to-text": lambda: pipe(poses=pose, task="pose-to-text"),
        },
        arguments.repeats,
    )
    base = latencies["text-to-pose"]
    print_machine()
    rows = [
        ("load in a new process, imports included", f"{statistics.median(wall):.2f} s", "3 s"),
        ("load, imports excluded", f"{statistics.median(loading):.2f} s", "-"),
        *(
            (name, f"{seconds:.3f} s", "0.5 s" if name == "text-to-pose" else "-")
            for name, seconds in latencies.items()
        ),
        ("`unipose demo` in a new process", f"{demo:.2f} s", "-"),
        ("`unipose demo`, peak memory", f"{kilobytes / 1e6 * 1.024:.2f} GB", "1.5 GB"),
    ]
    ratios = ["-", "-", *(f"{seconds / base:.2f}" for seconds in latencies.values()), "-", "-"]
    header = [f"median of {arguments.repeats} (demo: 1)", "result", "relative to text-to-pose", "target (below)"]
    print_table(header, [(name, result, ratio, target) for (name, result, target), ratio in zip(rows, ratios)])


if __name__ == "__main__":
    main()
