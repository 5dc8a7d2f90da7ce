"""The ratios of earlier runs, which a new run is compared with: seconds differ between machines, ratios hardly do.

A line of the file is one run: its date, the machine in words, the commit, and ratios by name. Lower is better in all.
"""

import json
import subprocess
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import measure


HISTORY = Path(__file__).with_name("history.jsonl")
# Of two runs of the same code on a shared machine, few ratios differ by more.
TOLERANCE = 0.2


class Change(NamedTuple):
    """A ratio of two runs.

    Args:
        name: Its name.
        before: In the earlier run.
        now: In this run.
    """

    name: str
    before: float
    now: float


def current_commit() -> str:
    """The commit of the code, with a plus sign if files differ from it; "unknown" outside of a repository."""
    git = ["git", "-C", str(Path(__file__).parent)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    if commit.returncode:
        return "unknown"
    changes = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True).stdout
    return commit.stdout.strip() + ("+" if changes.strip() else "")


def describe_run() -> str:
    """What figures are of: the machine, the commit and the date."""
    return f"{measure.machine()}, commit {current_commit()}, {date.today()}"


def read_runs(path: Path) -> list[dict[str, Any]]:
    """The runs of a history, the oldest first."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def add_run(path: Path, machine: str, ratios: Mapping[str, float]) -> None:
    """Appends a run.

    Args:
        path: The history.
        machine: The machine in words.
        ratios: Ratios by name.
    """
    rounded = {name: float(f"{ratio:.3g}") for name, ratio in ratios.items()}
    run = {"date": date.today().isoformat(), "machine": machine, "commit": current_commit(), "ratios": rounded}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")


def last_run(runs: list[dict[str, Any]], machine: str) -> dict[str, Any] | None:
    """The last run on the same machine, else the last one; None without runs.

    Args:
        runs: The oldest first.
        machine: The machine in words.
    """
    same = [run for run in runs if run["machine"] == machine]
    return (same or runs or [None])[-1]


def compare(
    before: Mapping[str, float], now: Mapping[str, float], tolerance: float
) -> tuple[list[Change], list[Change]]:
    """The ratios that got worse and those that got better.

    Args:
        before: Ratios of the earlier run.
        now: Ratios of this run; those that one of the two runs lacks are left out.
        tolerance: Relative change that is no change.
    """
    changes = [Change(name, before[name], value) for name, value in now.items() if name in before]
    worse = [change for change in changes if change.now > change.before * (1 + tolerance)]
    better = [change for change in changes if change.before > change.now * (1 + tolerance)]
    return worse, better


def describe_changes(before: Mapping[str, Any] | None, ratios: Mapping[str, float], tolerance: float) -> str:
    """What a run says against an earlier one, as text.

    Args:
        before: The earlier run, or None.
        ratios: Ratios of this run.
        tolerance: Relative change that is no change.
    """
    if before is None:
        return "no earlier run to compare with"
    worse, better = compare(before["ratios"], ratios, tolerance)
    lines = [f"against {before['commit']} of {before['date']} ({before['machine']}), tolerance {tolerance:.0%}:"]
    for word, changes in (("worse", worse), ("better", better)):
        lines += [f"{word}: {change.name}: {change.before:.3g} -> {change.now:.3g}" for change in changes]
    return "\n".join(lines if worse or better else [*lines, "no ratio changed"])
