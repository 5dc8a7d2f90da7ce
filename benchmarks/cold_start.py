"""Time of a fresh process: imports, `unipose --help`, and one pose by the command, beside the imports of libraries.

    python benchmarks/cold_start.py [--repeats 5]

Cases take turns. CPU time is user and system time of the whole process, from its start to its exit.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from measure import parse_arguments, print_table


COMMAND = "import sys; from unipose.cli_entry import main; sys.exit(main())"
CLASSES = "from transformers import GenerationMixin, Pipeline, PreTrainedModel, ProcessorMixin"


class Case(NamedTuple):
    """A process.

    Args:
        name: Its name in the table.
        code: The program.
        words: Its command-line arguments.
        aim: CPU time that it may take, in the table.
    """

    name: str
    code: str
    words: tuple[str, ...] = ()
    aim: str = "-"


def cases(folder: Path) -> list[Case]:
    """The processes that are compared.

    Args:
        folder: Where the pose is written.
    """
    return [
        Case("floor: `import torch`", "import torch"),
        Case("floor: `import torch, transformers` and four classes of transformers", f"import torch; {CLASSES}"),
        Case("the same without garbage collection", f"import gc; gc.disable(); import torch; {CLASSES}; gc.freeze()"),
        Case("`import unipose`", "import unipose"),
        Case("`unipose --help`", COMMAND, ("--help",), "0.5 s"),
        Case(
            '`unipose "A person squats." --out x.glb`',
            COMMAND,
            ("A person squats.", "--out", str(folder / "x.glb")),
            "4 s",
        ),
    ]


def measure(case: Case) -> tuple[float, float]:
    """Runs a process; exits with its error output if it fails.

    Returns:
        CPU time and wall time in seconds.
    """
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", case.code, *case.words], capture_output=True, text=True, env=environment, check=False
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    arguments = parse_arguments(__doc__, repeats=5)
    with tempfile.TemporaryDirectory() as folder:
        compared = cases(Path(folder))
        rounds = [[measure(case) for case in compared] for _ in range(arguments.repeats)]
    medians = [[statistics.median(times) for times in zip(*runs)] for runs in zip(*rounds)]
    classes = medians[1][0]
    rows = [
        (case.name, f"{cpu:.2f} s", f"{wall:.2f} s", f"{cpu / classes:.2f}", case.aim)
        for case, (cpu, wall) in zip(compared, medians)
    ]
    header = [
        f"median of {arguments.repeats} fresh processes",
        "CPU",
        "wall",
        "relative to the four classes",
        "aim, CPU",
    ]
    print_table(header, rows)


if __name__ == "__main__":
    main()
