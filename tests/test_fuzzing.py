"""What `make fuzz` counts as what, and that its suites have enough inputs."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fuzz import Counts, table
from fuzzing import ALL_INPUTS, KINDS, Tally, attempt, counted, refused


TESTS = Path(__file__).parent


def refuse() -> None:
    raise ValueError("row 3: got NaN, expected numbers")


def wrong_result() -> None:
    result, error = attempt(lambda: 2)
    assert error is None
    assert result == 1


def wrong_message() -> None:
    _, error = attempt(refuse)
    assert error is not None
    assert error.startswith("row 7")


def refused_though_right() -> None:
    _, error = attempt(refuse)
    assert error is None


@pytest.mark.parametrize(
    ("example", "kind"),
    [
        (lambda: attempt(lambda: 1), "correct"),
        (lambda: refused(refuse, "row 3", "expected"), "documented"),
        (lambda: refused(refuse, "row 7"), "foreign"),
        (lambda: attempt(lambda: {}["a"]), "foreign"),
        (lambda: {}["a"], "foreign"),
        (wrong_message, "foreign"),
        (refused_though_right, "foreign"),
        (wrong_result, "silent"),
        (lambda: refused(lambda: 1), "silent"),
        (lambda: pytest.fail("a file was read"), "silent"),
    ],
)
def test_every_example_has_one_kind(example: Callable[[], Any], kind: str) -> None:
    tally = Tally(many=1, wanted=1, fixtures=frozenset())
    counted(example, tally)()
    assert tally.counts == dict.fromkeys(KINDS, 0) | {kind: 1}
    assert [fault["kind"] for fault in tally.faults.values()] == ([kind] if kind in ("foreign", "silent") else [])


def test_the_smallest_example_of_a_fault_is_kept() -> None:
    def example(model: str, number: int) -> None:
        assert number < 0

    tally = Tally(many=3, wanted=3, fixtures=frozenset({"model"}))
    for number in (100, 7, 20):
        counted(example, tally)(model="large", number=number)
    (fault,) = tally.faults.values()
    assert fault["example"] == "number=7"
    assert tally.counts["silent"] == 3


def test_the_usual_run_stops_at_a_fault() -> None:
    with pytest.raises(AssertionError):
        counted(wrong_result, Tally(many=1, wanted=0, fixtures=frozenset()))()


def test_the_suites_have_enough_inputs() -> None:
    many = 0
    for path in TESTS.glob("test_fuzz_*.py"):
        for value in vars(importlib.import_module(path.stem)).values():
            handle = getattr(value, "hypothesis", None)
            many += handle.inner_test.tally.many if handle else 0
    # Some suites have fewer inputs than they may run.
    assert many >= 1.05 * ALL_INPUTS


def test_a_run_with_faults_fails(tmp_path: Path) -> None:
    counts = Counts(tmp_path / "counts.json", 3, 0)
    suite = {"counts": dict.fromkeys(KINDS, 0) | {"correct": 2, "documented": 1}, "seconds": 1.0, "faults": []}
    counts.suites["poses: all"] = suite
    assert counts.problems() == []
    assert table(counts.content).splitlines()[2:] == ["| poses | 3 | 2 | 1 | 0 | 0 |", "| all | 3 | 2 | 1 | 0 | 0 |"]
    counts.suites["rows: all"] = suite | {"counts": dict.fromkeys(KINDS, 0) | {"silent": 1}}
    assert counts.problems() == ["1 inputs are foreign or silent"]
    counts.suites["rows: all"] = suite | {"stopped_by": "Segmentation fault"}
    assert counts.problems() == ["rows: all did not come to its end"]
    counts.suites.clear()
    assert counts.problems() == ["0 inputs ran, not 3"]
    counts.write()
    assert Counts(tmp_path / "counts.json", 3, 0).content == counts.content


def test_the_counts_of_the_page_add_up() -> None:
    page = (TESTS.parent / "docs" / "robustness.md").read_text("utf-8")
    lines = page[page.index("| suites | inputs | correct") :].split("\n\n")[0].splitlines()[2:]
    rows = {cells[1]: [int(cell.replace(",", "")) for cell in cells[2:7]] for cells in map(split_row, lines)}
    whole = rows.pop("all")
    assert whole == [sum(column) for column in zip(*rows.values())]
    assert whole[0] == sum(whole[1:]) >= ALL_INPUTS
    assert whole[3:] == [0, 0]
    assert set(rows) == {path.stem.removeprefix("test_fuzz_") for path in TESTS.glob("test_fuzz_*.py")}


def split_row(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")]
