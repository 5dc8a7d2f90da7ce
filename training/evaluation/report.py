"""Names of the metrics, and the Markdown table of an evaluation."""

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
