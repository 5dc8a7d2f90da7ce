"""Names of the metrics, and the Markdown tables of an evaluation."""

from collections.abc import Mapping, Sequence

from unipose.training.io import markdown_table


# {task: {"model" or a baseline: {metric: value}}}
Metrics = dict[str, dict[str, dict[str, float]]]

METRIC_NAMES = {
    "mpjpe_mm": "MPJPE (mm)",
    "pa_mpjpe_mm": "PA-MPJPE (mm)",
    "posecode_precision": "posecode precision (%)",
    "paircode_precision": "paircode precision (%)",
    "codes_per_caption": "codes per caption",
    "unparsable_sentences": "unparsable sentences (%)",
    "changed_part_named": "texts that name the changed part (%)",
}
# Stored as fractions of 1, printed in percent.
PERCENTAGES = ("posecode_precision", "paircode_precision", "unparsable_sentences", "changed_part_named")


def in_printed_unit(metric: str, value: float) -> float:
    """The value of a metric in the unit of its printed name: fractions become percentages.

    Args:
        metric: a key of `METRIC_NAMES`.
        value: as `evaluate` returns it.
    """
    return 100 * value if metric in PERCENTAGES else value


def to_markdown(metrics: Metrics) -> str:
    """A table with one row per task and metric: the model's value, then those of the baselines."""
    rows = []
    for task, results in metrics.items():
        for metric, value in results["model"].items():
            baselines = [
                f"{name} {_format(metric, values[metric])}"
                for name, values in results.items()
                if name != "model" and metric in values
            ]
            rows.append((task, METRIC_NAMES[metric], _format(metric, value), ", ".join(baselines)))
    return markdown_table(("task", "metric", "model", "baselines"), rows)


def _format(metric: str, value: float) -> str:
    return f"{in_printed_unit(metric, value):.1f}"


def words_to_markdown(words: Mapping[str, Mapping[str, Sequence[bool]]]) -> str:
    """A table with the share of right answers of each kind of text, and its 95 % interval.

    Args:
        words: {set: {kind: [right of each row]}}.
    """
    rows = []
    for name, kinds in words.items():
        for kind, right in kinds.items():
            low, high = wilson_interval(sum(right), len(right))
            share = sum(right) / max(len(right), 1)
            rows.append((name, kind, len(right), f"{100 * share:.1f}", f"{100 * low:.0f} to {100 * high:.0f}"))
    return markdown_table(("set", "texts", "rows", "right (%)", "95 % interval"), rows)


def wilson_interval(right: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927); 0 to 1 without rows.

    Args:
        right: number of right answers.
        rows: number of answers.
    """
    if not rows:
        return 0.0, 1.0
    z = 1.959964
    share = right / rows
    middle = share + z**2 / (2 * rows)
    reach = z * (share * (1 - share) / rows + z**2 / (4 * rows**2)) ** 0.5
    return (middle - reach) / (1 + z**2 / rows), (middle + reach) / (1 + z**2 / rows)
