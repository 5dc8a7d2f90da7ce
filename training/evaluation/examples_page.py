"""One HTML page of an evaluation: its tables, and images of the best, the median and the worst answer of each task."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import jinja2
import numpy as np
import roma
import torch
from PIL import Image

from unipose.processing.body_model import BodyModel
from unipose.processing.rendering import render_pose
from unipose.training.evaluation.report import METRICS, format_value, report_tables
from unipose.training.evaluation.task_rows import TaskRows
from unipose.training.evaluation.tasks import MODEL, TOKENIZER_TASK, TaskResult
from unipose.training.evaluation.uncertainty import Mean


TEMPLATE = "evaluation.html.jinja"
# Pixels of an image.
CELL = 160
VIEW = "three-quarter"
# As the camera of an image sees the person.
IMAGE_VIEW = "front"
# The metric by which the rows of a task are sorted: the first that it has; lower errors and higher shares are better.
SORTED_BY = ("mpjpe_mm", "posecode_precision", "paircode_precision", "rouge_l")


@dataclass
class Side:
    """The texts and images of an input, a target or an answer; images as data URLs."""

    texts: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Example:
    """A row with the model's answer.

    Args:
        rank: "best", "median" or "worst".
        value: its metric, as printed.
        input: what the model saw.
        target: what is right.
        answer: what the model answered.
    """

    rank: str
    value: str
    input: Side
    target: Side
    answer: Side


def choose_rows(result: TaskResult) -> tuple[str, dict[str, int]]:
    """The metric by which the rows of a task are sorted, and the best, the median and the worst row.

    A text that states nothing counts as one of which nothing holds.

    Args:
        result: of a task.

    Raises:
        ValueError: the task has none of the metrics.
    """
    own = result.scores[MODEL]
    metric = next((name for name in SORTED_BY if name in own), None)
    if metric is None:
        raise ValueError(f"{result.rows.name} has none of the metrics {', '.join(SORTED_BY)}")
    statistic = own[metric]
    assert isinstance(statistic, Mean)
    values = np.nan_to_num(statistic.values(), nan=0.0)
    order = np.argsort(values if metric == "mpjpe_mm" else -values, kind="stable")
    return metric, {"best": int(order[0]), "median": int(order[len(order) // 2]), "worst": int(order[-1])}


def make_examples(result: TaskResult, body: BodyModel) -> list[Example]:
    """The best, the median and the worst answer of a task; nothing for a task without a metric of single rows.

    Args:
        result: of the task.
        body: the body to render.
    """
    if not any(name in result.scores[MODEL] for name in SORTED_BY):
        return []
    metric, chosen = choose_rows(result)
    statistic = result.scores[MODEL][metric]
    return [
        Example(
            rank,
            f"{METRICS[metric].name} {format_value(metric, statistic.select([row]).score())}",
            input_side(result, row, body),
            target_side(result, row, body),
            answer_side(result, row, body),
        )
        for rank, row in chosen.items()
    ]


def input_side(result: TaskResult, row: int, body: BodyModel) -> Side:
    """What the model saw.

    Args:
        result: of the task.
        row: index of the row.
        body: the body to render.
    """
    inputs = {name: column[row] for name, column in result.rows.inputs.items()}
    side = Side([text for text in _texts(inputs.get("text")) if text])
    side.images += [encode(image) for image in _list(inputs.get("images"))]
    side.images += [draw(torch.as_tensor(pose), body) for pose in _poses(inputs.get("poses"))]
    return side


def target_side(result: TaskResult, row: int, body: BodyModel) -> Side:
    """What is right: the target pose, or the reference text.

    Args:
        result: of the task.
        row: index of the row.
        body: the body to render.
    """
    rows = result.rows
    if rows.answers_with_pose:
        return Side() if rows.poses is None else Side(images=[draw(rows.poses[row], body, view_of(rows))])
    return Side([rows.texts[row]] if len(rows.texts) else [])


def answer_side(result: TaskResult, row: int, body: BodyModel) -> Side:
    """What the model answered.

    Args:
        result: of the task.
        row: index of the row.
        body: the body to render.
    """
    output = result.outputs[row]
    if result.rows.answers_with_pose:
        return Side(images=[draw(torch.as_tensor(output["poses"][0]), body, view_of(result.rows))])
    return Side([output["text"] or "(nothing)"])


def view_of(rows: TaskRows) -> str:
    """The view in which the poses of rows are drawn."""
    return IMAGE_VIEW if rows.has_headings else VIEW


def draw(pose: torch.Tensor, body: BodyModel, view: str = VIEW) -> str:
    """A pose as an image in a data URL.

    Args:
        pose: (22, 3, 3) in the stored frame.
        body: the body to render.
        view: a view of `render_pose`.
    """
    return encode(render_pose(pose.float(), body, CELL, view=view))


def encode(image: Image.Image) -> str:
    """An image, made no larger than `CELL`, as PNG in a data URL."""
    small = image.convert("RGB")
    small.thumbnail((CELL, CELL))
    stream = io.BytesIO()
    small.save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def render_page(report: Mapping[str, Any], results: Sequence[TaskResult], body: BodyModel) -> str:
    """The page; it needs no other file.

    Args:
        report: content of metrics.json.
        results: of each task.
        body: the body to render.
    """
    examples = {
        result.rows.name: make_examples(result, body)
        for result in results
        if not result.rows.name.startswith(TOKENIZER_TASK)
    }
    source = resources.files("unipose.model_cards").joinpath(TEMPLATE).read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    tables = {heading: table_cells(table) for heading, table in report_tables(report).items()}
    return environment.from_string(source).render(report=report, tables=tables, examples=examples)


def table_cells(table: str) -> list[list[str]]:
    """The cells of a Markdown table, without the line under its head."""
    lines = table.splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in (lines[0], *lines[2:])]


def _texts(text: Any) -> list[str]:
    """The texts of a row: a prompt, or those of a chat."""
    if isinstance(text, str) or text is None:
        return [text or ""]
    return ["".join(block.get("text") or f"<{block['type']}>" for block in message["content"]) for message in text]


def _list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _poses(value: Any) -> list[torch.Tensor]:
    """(22, 3, 3) each: the poses of a row are one or several of matrices, or of rotation vectors."""
    poses = [torch.as_tensor(pose).float() for pose in _list(value)]
    return [pose if pose.ndim == 3 else roma.rotvec_to_rotmat(pose) for pose in poses]
