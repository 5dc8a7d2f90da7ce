"""Runs the suites of `tests/test_fuzz_*.py` long, in two processes, and counts what they do: `make fuzz`.

    python tests/fuzz.py --count 100000 --seed 0

A line is printed for each suite, then a table. After a stop the same command goes on with the suites that are left, if
the code is the same. All counts, and the smallest example of each fault, are in `runs/fuzz/`.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzzing import KINDS


ROOT = Path(__file__).parents[1]
CODE = ("modeling_unipose", "processing", "training", "tests")
FAULTS = ("foreign", "silent")
# Names of finished suites, for the processes that collect them.
FINISHED = "UNIPOSE_FUZZ_FINISHED"


def name_of(node: str) -> str:
    """The name of a suite: "poses: every form is the reference"."""
    file, _, test = node.rpartition("::test_")
    return f"{Path(file).stem.removeprefix('test_fuzz_')}: {test.replace('_', ' ')}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the suites that are not finished."""
    finished = json.loads(os.environ.get(FINISHED, "[]"))
    items[:] = [item for item in items if tally_of(item) and name_of(item.nodeid) not in finished]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Gives the counts of a suite to its report."""
    try:
        yield
    finally:
        tally = tally_of(item)
        counts = {"counts": tally.counts, "seconds": round(tally.seconds, 1), "faults": list(tally.faults.values())}
        item.user_properties.append(("fuzz", counts))


def tally_of(item: Any) -> Any:
    handle = getattr(item.function, "hypothesis", None)
    return getattr(handle.inner_test, "tally", None) if handle else None


class Counts:
    """Gathers the counts of all suites in a file.

    Args:
        path: The file; that of a stopped run of the same code is continued.
        count: Number of inputs.
        seed: Seed of the examples.
    """

    def __init__(self, path: Path, count: int, seed: int):
        self.path, self.count, self.started = path, count, time.monotonic()
        self.content: dict[str, Any] = {"count": count, "seed": seed, "code": digest_of_code(), "minutes": 0.0}
        self.content |= {"commit": commit(), "python": platform.python_version(), "suites": {}, "is_finished": False}
        if path.exists():
            earlier = json.loads(path.read_text("utf-8"))
            if earlier["code"] == self.content["code"] and not earlier["is_finished"]:
                self.content = earlier
        self.suites: dict[str, dict[str, Any]] = self.content["suites"]
        self.minutes = self.content["minutes"]

    def total(self, *kinds: str) -> int:
        return sum(suite["counts"][kind] for suite in self.suites.values() for kind in kinds)

    def write(self) -> None:
        self.content["minutes"] = round(self.minutes + (time.monotonic() - self.started) / 60, 1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.content, indent=1) + "\n", "utf-8")
        partial.replace(self.path)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = dict(report.user_properties).get("fuzz") if report.when == "call" else None
        if found is None and not report.failed:
            return
        name = name_of(report.nodeid)
        suite = found or {"counts": dict.fromkeys(KINDS, 0), "seconds": 0.0, "faults": []}
        if report.failed:
            suite["stopped_by"] = report.longreprtext[-2000:]
        self.suites[name] = suite
        self.write()
        counts = ", ".join(f"{number:,} {kind}" for kind, number in suite["counts"].items() if number)
        pace = 1000 * suite["seconds"] / max(1, sum(suite["counts"].values()))
        print(f"{self.total(*KINDS):>7,} of {self.count:,} | {name} | {counts} | {pace:.1f} ms each", flush=True)

    def print_table(self) -> None:
        """Prints the counts by file and the faults."""
        print(table(self.content))
        for name, suite in self.suites.items():
            for fault in suite["faults"]:
                print(f"\n{name}: {fault['kind']}, {fault['where']}\n  {fault['error']}\n  {fault['example']}")
            if "stopped_by" in suite:
                print(f"\n{name} did not come to its end:\n{suite['stopped_by']}")

    def problems(self) -> list[str]:
        """Why the run proves nothing; empty if it does."""
        total, faults = self.total(*KINDS), self.total(*FAULTS)
        found = [f"{faults} inputs are foreign or silent"] if faults else []
        found += [f"{name} did not come to its end" for name, suite in self.suites.items() if "stopped_by" in suite]
        return found + ([f"{total:,} inputs ran, not {self.count:,}"] if total < self.count else [])


def table(content: dict[str, Any]) -> str:
    """The counts of a run by file of suites, as a table of Markdown."""
    rows = ["| suites | inputs | correct | documented | foreign | silent |", "|---|---|---|---|---|---|"]
    files: dict[str, dict[str, int]] = {}
    for name, suite in content["suites"].items():
        counts = files.setdefault(name.partition(":")[0], dict.fromkeys(KINDS, 0))
        for kind in KINDS:
            counts[kind] += suite["counts"][kind]
    files = dict(sorted(files.items()))
    files["all"] = {kind: sum(counts[kind] for counts in files.values()) for kind in KINDS}
    for name, counts in files.items():
        numbers = [sum(counts.values()), *(counts[kind] for kind in KINDS)]
        rows.append(f"| {name} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return "\n".join(rows)


def digest_of_code() -> str:
    """A digest of all code: counts of other code prove nothing."""
    digest = hashlib.sha256()
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def main(words: list[str] | None = None) -> int:
    """Runs the suites; 1 if an input was foreign or silent, or too few ran."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100_000, help="number of inputs")
    parser.add_argument("--seed", type=int, default=0, help="seed of the examples")
    parser.add_argument("--processes", type=int, default=2, help="number of processes")
    parser.add_argument("--suites", default="", help="a part of the suites, as of pytest -k")
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "fuzz", help="folder of the counts")
    arguments = parser.parse_args(words)
    name = f"seed_{arguments.seed}_{arguments.count}{'_part' if arguments.suites else ''}.json"
    counts = Counts(arguments.output / name, arguments.count, arguments.seed)
    os.environ |= {"UNIPOSE_FUZZ": str(arguments.count), "UNIPOSE_FUZZ_SEED": str(arguments.seed)}
    os.environ |= {FINISHED: json.dumps(list(counts.suites)), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    files = sorted(map(str, (ROOT / "tests").glob("test_fuzz_*.py")))
    # Its own lines in place of those of pytest.
    options = ["-o", "addopts=--import-mode=importlib", "-p", "no:terminal", "-p", "fuzz", "-W", "ignore"]
    options += ["-n", str(arguments.processes), "--dist", "worksteal"]
    pytest.main([*files, *options, "-k", arguments.suites], plugins=[counts])
    counts.content["is_finished"] = True
    counts.write()
    counts.print_table()
    problems = counts.problems()
    print("\n".join(problems) or f"{counts.total(*KINDS):,} inputs, all correct or documented")
    print(f"{counts.content['minutes']:.0f} minutes; {counts.path}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
