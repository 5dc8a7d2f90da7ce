"""Names, units and definitions of the metrics, and an evaluation as JSON values and as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult

from unipose.training.evaluation.scores import GROUP_SIZE, PRECISION_TOP_K, RECALL_TOP_K, Judge
from unipose.training.evaluation.tasks import MODEL, TaskResult
from unipose.training.evaluation.text_metrics import bleu4_counts, meteor, rouge_l
from unipose.training.evaluation.uncertainty import CONFIDENCE, RESAMPLES, interval, resample_counts
from unipose.training.io import markdown_table


# {task: {"model" or a baseline: {metric: value}}}
Metrics = dict[str, dict[str, dict[str, float]]]
# The same, with the lower and upper end of each 95 % interval.
Intervals = dict[str, dict[str, dict[str, list[float]]]]


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is printed.

    Args:
        name: name in tables.
        is_percentage: whether it is stored as a fraction of 1 and printed in percent.
        decimals: number of printed decimals.
    """

    name: str
    is_percentage: bool = False
    decimals: int = 1


METRICS = {
    "mpjpe_mm": MetricInfo("MPJPE (mm)"),
    "pa_mpjpe_mm": MetricInfo("PA-MPJPE (mm)"),
    "pve_mm": MetricInfo("PVE (mm)"),
    "rotation_error_deg": MetricInfo("joint rotation error (degrees)"),
    "posecode_precision": MetricInfo("posecode precision (%)", True),
    "paircode_precision": MetricInfo("paircode precision (%)", True),
    "posecode_recall": MetricInfo("posecode recall (%)", True),
    "paircode_recall": MetricInfo("paircode recall (%)", True),
    "codes_per_caption": MetricInfo("codes per caption"),
    "unparsable_sentences": MetricInfo("unparsable sentences (%)", True),
    "changed_part_named": MetricInfo("texts that name the changed part (%)", True),
    "bleu4": MetricInfo("BLEU-4", True),
    "rouge_l": MetricInfo("ROUGE-L", True),
    "meteor": MetricInfo("METEOR", True),
    **{f"r_precision_top{k}": MetricInfo(f"R-precision top {k} (%)", True) for k in PRECISION_TOP_K},
    **{f"text_to_pose_top{k}": MetricInfo(f"R(T2P) top {k} (%)", True) for k in RECALL_TOP_K},
    **{f"pose_to_text_top{k}": MetricInfo(f"R(P2T) top {k} (%)", True) for k in RECALL_TOP_K},
    "mean_recall": MetricInfo("mRecall (%)", True),
    "fid": MetricInfo("FID", decimals=3),
    "diversity": MetricInfo("diversity", decimals=3),
    "multimodality_mm": MetricInfo("multimodality (mm)"),
    "multimodality": MetricInfo("multimodality", decimals=3),
    "right": MetricInfo("right answers (%)", True),
}
METRIC_NAMES = {metric: info.name for metric, info in METRICS.items()}


def in_printed_unit(metric: str, value: float) -> float:
    """The value of a metric in the unit of its printed name: fractions become percentages.

    Args:
        metric: a key of `METRICS`.
        value: as it is stored.
    """
    return 100 * value if METRICS[metric].is_percentage else value


def format_value(metric: str, value: float) -> str:
    """The value of a metric as it is printed.

    Args:
        metric: a key of `METRICS`.
        value: as it is stored.
    """
    return f"{in_printed_unit(metric, value):.{METRICS[metric].decimals}f}"


def definitions(judge: Judge) -> dict[str, str]:
    """The variant of each metric that an evaluation computes.

    Args:
        judge: what answers are measured with.
    """
    body = judge.error_body.title
    divided = "once" if judge.shuffles == 1 else f"{judge.shuffles} times, averaged"
    groups = f"groups of {GROUP_SIZE}, divided {divided}, seed {judge.seed}"
    word = ("a",)
    return {
        "mpjpe_mm": f"22 joints on the {body}, no root alignment: both pelvises are at the origin",
        "pa_mpjpe_mm": f"22 joints on the {body}, aligned by rotation, translation and scale",
        "pve_mm": f"vertices of the {body}, no root alignment: both pelvises are at the origin",
        "rotation_error_deg": "geodesic distance of 22 rotations, each relative to its parent, with the global one",
        "posecode_precision": "of the posecodes of a text, those that hold on the pose",
        "paircode_precision": "of the paircodes of a text, those that hold on the pair of poses",
        "posecode_recall": "of the posecodes of the reference, those that the text states too",
        "paircode_recall": "of the paircodes of the reference, those that the text states too",
        "bleu4": bleu4_counts(word, word).definition,
        "rouge_l": rouge_l(word, word).definition,
        "meteor": meteor(word, word).definition,
        "r_precision": groups,
        "text_to_pose, pose_to_text": "recall at k among all rows, by the cosine of embeddings",
        "mean_recall": "mean of the six recalls",
        "fid": "Frechet distance of the retrieval model's pose embeddings, unbiased covariances",
        "diversity": "mean distance of two pose embeddings",
        "multimodality_mm": "MPJPE between two sampled answers to one row, of all pairs",
        "multimodality": "mean distance of the pose embeddings of two sampled answers to one row, of all pairs",
        "intervals": f"{100 * CONFIDENCE:.0f} %, bootstrap over rows, {RESAMPLES} resamples",
    }


def to_metrics(results: Sequence[TaskResult]) -> Metrics:
    """{task: {"model" or a baseline: {metric: value}}}."""
    return {result.rows.name: result.values() for result in results}


def to_intervals(results: Sequence[TaskResult], seed: int) -> Intervals:
    """The 95 % interval of every metric.

    Args:
        results: of each task.
        seed: seed of the bootstrap; all methods of a task are resampled alike.
    """
    intervals: Intervals = {}
    for result in results:
        counts = resample_counts(len(result.rows), seed)
        intervals[result.rows.name] = {
            name: {metric: list(interval(statistic, counts)) for metric, statistic in own.items()}
            for name, own in result.scores.items()
        }
    return intervals


def to_markdown(metrics: Metrics, intervals: Intervals) -> str:
    """A table with one row per task and metric: the model's value with its interval, then those of the baselines.

    Args:
        metrics: metrics of each task.
        intervals: their intervals.
    """
    rows = []
    for task, results in metrics.items():
        for metric, value in results[MODEL].items():
            baselines = [
                f"{name} {format_value(metric, values[metric])}"
                for name, values in results.items()
                if name != MODEL and metric in values
            ]
            shown = f"{format_value(metric, value)} {format_interval(metric, intervals[task][MODEL][metric])}"
            rows.append((task, METRIC_NAMES[metric], shown, ", ".join(baselines)))
    return markdown_table(("task", "metric", "model", "baselines"), rows)


def task_table(results: Mapping[str, Mapping[str, float]], intervals: Mapping[str, Mapping[str, list[float]]]) -> str:
    """A table with one row per metric: model and baselines in columns, each value with its interval.

    Args:
        results: metrics of the model and of each baseline.
        intervals: their intervals.
    """
    metrics = list(dict.fromkeys(metric for values in results.values() for metric in values))
    rows = []
    for metric in metrics:
        cells = [
            f"{format_value(metric, values[metric])} {format_interval(metric, intervals[name][metric])}"
            if metric in values
            else ""
            for name, values in results.items()
        ]
        rows.append((METRIC_NAMES[metric], *cells))
    return markdown_table(("metric", *results), rows)


def format_interval(metric: str, ends: Sequence[float]) -> str:
    """An interval as it is printed.

    Args:
        metric: a key of `METRICS`.
        ends: lower and upper end, as they are stored.
    """
    return f"[{', '.join(format_value(metric, end) for end in ends)}]"


def report_tables(report: Mapping[str, Any]) -> dict[str, str]:
    """The Markdown tables of an evaluation by heading.

    Args:
        report: content of metrics.json.
    """
    tables = {
        f"{task}{suffix}": task_table(results, report[f"{prefix}intervals"][task])
        for key, prefix, suffix in (("metrics", "", ""), ("recorded", "recorded_", ", recorded motion"))
        for task, results in report.get(key, {}).items()
    }
    if "words" in report:
        tables["people's words"] = words_to_markdown(report["words"])
        rows = [
            (name, f"{value:.3f}", f"{low:.3f} to {high:.3f}")
            for name, value in report["confidence_auroc"].items()
            for low, high in (report["confidence_auroc_intervals"][name],)
        ]
        tables["confidence"] = markdown_table(("set", "AUROC of right against wrong", "95 % interval"), rows)
    return tables


def report_markdown(report: Mapping[str, Any]) -> str:
    """An evaluation as a Markdown page.

    Args:
        report: content of metrics.json.
    """
    lines = [
        f"# Evaluation of {report['settings']['model']}",
        "",
        f"Rows: {report['dataset']['name']}. Millimeters on the body: {report['body']}. Intervals: "
        f"{report['definitions']['intervals']}.",
    ]
    for heading, table in report_tables(report).items():
        rows = report["rows"].get(heading)
        lines += ["", f"## {heading}" + (f" ({rows} rows)" if rows else ""), "", table]
    # sacrebleu's signature has bars, which would end a cell.
    known = [(metric, text.replace("|", "\\|")) for metric, text in report["definitions"].items()]
    lines += ["", "## definitions", "", markdown_table(("metric", "definition"), known), ""]
    return "\n".join(lines)


def eval_results(report: Mapping[str, Any]) -> list[EvalResult]:
    """The entries of a model card: each task and metric of the model, rounded as printed, without the baselines.

    Args:
        report: content of metrics.json.
    """
    return [
        EvalResult(
            task_type=task.replace(" ", "-"),
            dataset_type=report["dataset"]["type"],
            dataset_name=report["dataset"]["name"],
            metric_type=metric,
            metric_name=METRIC_NAMES[metric],
            metric_value=float(format_value(metric, value)),
        )
        for task, results in report["metrics"].items()
        for metric, value in results[MODEL].items()
    ]


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
