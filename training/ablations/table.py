"""The table of an ablation: a row for each variant, a column for each measure."""

from pathlib import Path

from unipose.training.evaluation.report import METRIC_NAMES, in_printed_unit
from unipose.training.io import write_json


# {variant: {column: number}}
Table = dict[str, dict[str, float]]


def columns(measures: dict[str, float], about: str) -> dict[str, float]:
    """Measures of `training.evaluate` under headings that say what they are about, shares in percent."""
    return {f"{about}, {METRIC_NAMES[name]}": in_printed_unit(name, value) for name, value in measures.items()}


def to_markdown(table: Table) -> str:
    """Columns in the order in which rows first have them; a cell is empty where a row has no such measure."""
    headings = list(dict.fromkeys(heading for row in table.values() for heading in row))
    lines = [["variant", *headings], ["---"] * (len(headings) + 1)]
    for variant, row in table.items():
        lines.append([variant, *(_number(row[heading]) if heading in row else "" for heading in headings)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.1f}"


def write_table(table: Table, folder: Path) -> None:
    """Prints the table, and writes it to `table.md` and `metrics.json`."""
    markdown = to_markdown(table)
    (folder / "table.md").write_text(markdown + "\n", "utf-8")
    write_json(folder / "metrics.json", table)
    print(markdown)
