"""How a model answers training rows: their loss, and its own answers against theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import roma
import torch
from datasets import Dataset
from tqdm.auto import tqdm

from unipose import UniPoseForConditionalGeneration, UniPosePipeline
from unipose.processing.body_model import BodyModel
from unipose.processing.processing_unipose import UniPoseProcessor
from unipose.training.datasets.rows import Row
from unipose.training.evaluation.metrics import pose_errors
from unipose.training.evaluation.text_metrics import rouge_l


Metrics = dict[str, float]

# A task that answers with each kind; with a chat, the pipeline takes nothing else from it.
TASK_OF_ANSWER = {"pose": "text-to-pose", "text": "pose-to-text"}


@dataclass(frozen=True)
class AnsweredRows:
    """Rows, and what a model made of them.

    Args:
        metrics: `loss` per token and `token_accuracy` (%) of the given answers; of the model's own answers `mpjpe_mm`
            and `pa_mpjpe_mm` where the answer is a pose, `rouge_l` (%) where it is a text.
        poses: number of rows with a pose as answer.
        texts: number of rows with a text as answer.
    """

    metrics: Metrics
    poses: int
    texts: int


@torch.no_grad()
def measure_rows(
    model: UniPoseForConditionalGeneration,
    processor: UniPoseProcessor,
    rows: Dataset,
    batches: Sequence[dict[str, torch.Tensor]],
    body: BodyModel,
    batch_size: int,
) -> AnsweredRows:
    """The loss of rows, and the errors of the model's greedy answers to their prompts.

    Args:
        model: in evaluation mode.
        processor: its processor.
        rows: training rows.
        batches: the same rows, collated.
        body: the body to measure.
        batch_size: rows per forward pass of generation.
    """
    metrics = measure_loss(model, batches)
    of_kind: dict[str, list[Row]] = {"pose": [], "text": []}
    for row in rows:
        of_kind[answer_kind(row)].append(row)
    pipe = UniPosePipeline(model=model, processor=processor, device=model.device)
    if of_kind["pose"]:
        answers = answer_prompts(pipe, of_kind["pose"], "pose", batch_size)
        results = torch.stack([torch.as_tensor(answer["poses"][0]).float() for answer in answers])
        targets = torch.tensor([first_answer_pose(row) for row in of_kind["pose"]])
        metrics |= pose_errors(results, roma.rotvec_to_rotmat(targets), body)
    if of_kind["text"]:
        answers = answer_prompts(pipe, of_kind["text"], "text", batch_size)
        texts, targets = [answer["text"] for answer in answers], [answer_text(row) for row in of_kind["text"]]
        metrics["rouge_l"] = 100 * rouge_l(texts, targets).mean
    return AnsweredRows(metrics, len(of_kind["pose"]), len(of_kind["text"]))


def measure_loss(
    model: UniPoseForConditionalGeneration, batches: Sequence[dict[str, torch.Tensor]]
) -> dict[str, float]:
    """The mean loss of a token (paper, section 3.4), and the percentage of tokens that are the most probable ones.

    Args:
        model: in evaluation mode.
        batches: collated rows.
    """
    loss, right, count = 0.0, 0, 0
    for batch in batches:
        inputs = {name: value.to(model.device) for name, value in batch.items()}
        labels = inputs.pop("shift_labels")
        inputs.pop("labels")
        is_labeled = labels != -100
        logits = model(**inputs, logits_to_keep=is_labeled, use_cache=False).logits.float()
        loss += torch.nn.functional.cross_entropy(logits, labels[is_labeled], reduction="sum").item()
        right += int((logits.argmax(dim=-1) == labels[is_labeled]).sum())
        count += len(logits)
    return {"loss": loss / count, "token_accuracy": 100 * right / count}


def answer_kind(row: Row) -> str:
    """ "pose" where the last message of a row holds one, otherwise "text"."""
    return "pose" if any(block["type"] == "pose" for block in row["messages"][-1]["content"]) else "text"


def answer_prompts(pipe: UniPosePipeline, rows: Sequence[Row], kind: str, batch_size: int) -> list[dict[str, Any]]:
    """The greedy answers to the prompts of rows.

    Args:
        pipe: pipeline of the model.
        rows: training rows with one kind of answer.
        kind: "pose" or "text".
        batch_size: rows per forward pass.
    """
    answers: list[dict[str, Any]] = []
    for start in tqdm(range(0, len(rows), batch_size), desc=f"answers with a {kind}", leave=False, disable=None):
        batch = rows[start : start + batch_size]
        answers += pipe(
            text=[row["messages"][:-1] for row in batch],
            images=[row["images"] for row in batch],
            poses=[row["poses"][: count_prompt_poses(row)] for row in batch],
            task=TASK_OF_ANSWER[kind],
            batch_size=len(batch),
            do_sample=False,
        )
    return answers


def count_prompt_poses(row: Row) -> int:
    """Number of poses before the last message."""
    return sum(block["type"] == "pose" for message in row["messages"][:-1] for block in message["content"])


def first_answer_pose(row: Row) -> list[list[float]]:
    """The first pose of the last message, (22, 3)."""
    return row["poses"][count_prompt_poses(row)]


def answer_text(row: Row) -> str:
    """The text of the last message."""
    return "".join(block.get("text") or "" for block in row["messages"][-1]["content"])
