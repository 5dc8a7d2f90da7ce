"""The table of an ablation: a row for each variant, a column for each measure."""

from pathlib import Path

from unipose.training.evaluation.report import METRIC_NAMES, in_printed_unit
from unipose.training.io import markdown_table, write_json, write_text


# {variant: {column: number}}
Table = dict[str, dict[str, float]]


def columns(measures: dict[str, float], subject: str) -> dict[str, float]:
    """Measures of `training.evaluation` under headings that begin with a subject, fractions in percent.

    Args:
        measures: measures by name.
        subject: a task, or a kind of poses.
    """
    return {f"{subject}, {METRIC_NAMES[name]}": in_printed_unit(name, value) for name, value in measures.items()}


def to_markdown(table: Table) -> str:
    """Columns in the order of their first row; a cell is empty where a row has no such measure."""
    headings = list(dict.fromkeys(heading for row in table.values() for heading in row))
    rows = [
        [variant, *(_number(row[heading]) if heading in row else "" for heading in headings)]
        for variant, row in table.items()
    ]
    return markdown_table(["variant", *headings], rows)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.1f}"


def write_table(table: Table, folder: Path) -> None:
    """Prints the table, and writes it to `table.md` and `metrics.json`.

    Args:
        table: table of an ablation.
        folder: folder of the ablation.
    """
    markdown = to_markdown(table)
    write_text(folder / "table.md", markdown + "\n")
    write_json(folder / "metrics.json", table)
    print(markdown)
