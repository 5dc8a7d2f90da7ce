"""The model's answers to a few validation rows of each task, at each evaluation of a training."""

from collections.abc import Sequence
from textwrap import shorten
from typing import Any

import numpy as np
import roma
import torch
from datasets import Dataset
from peft import PeftModel
from PIL import Image
from transformers import Trainer

from unipose import UniPosePipeline
from unipose.processing.body_model import BodyModel
from unipose.processing.processing_unipose import UniPoseProcessor
from unipose.processing.rendering import contact_sheet, render_pose
from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.instruction_reader import read_instruction
from unipose.training.datasets.rows import POSE_ANSWERS, TASKS, Row
from unipose.training.evaluation.metrics import pose_errors
from unipose.training.evaluation.posecode_metrics import paircode_precision, posecode_precision
from unipose.training.trainer.callbacks import CELL, FONT_SIZE, EvalSnapshot, SampleCallback, side_by_side


LONGEST_TEXT = 240  # characters in the image; the JSON lines hold the whole text


class AnswerSampleCallback(SampleCallback):
    """Generated and expected answers to rows of a corpus.

    Args:
        trainer: trainer of a language stage.
        body: the body to measure and to draw.
        rows: rows of the corpus' validation split, not prepared.
        processor: the model's processor.
        samples: number of rows of each task.
    """

    def __init__(self, trainer: Trainer, body: BodyModel, rows: Dataset, processor: UniPoseProcessor, samples: int):
        super().__init__(trainer, body)
        self.processor = processor
        self.samples = samples
        tasks = np.array(rows["task"])
        self.rows = {
            task: list(rows.select(np.flatnonzero(tasks == task)[:samples])) for task in TASKS if task in tasks
        }

    def collect(self) -> EvalSnapshot:
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        if isinstance(model, PeftModel):
            model = model.get_base_model()
        pipe = UniPosePipeline(model=model, processor=self.processor, device=model.device)
        metrics: dict[str, float] = {}
        lines, cells = [], []
        for task, rows in self.rows.items():
            answers = answer_rows(pipe, task, rows)
            own_metrics = measure_answers(task, rows, answers, self.body)
            metrics |= {f"{task}_{name}": value for name, value in own_metrics.items()}
            lines += [to_line(row, answer) for row, answer in zip(rows, answers)]
            cells += [draw_answer(row, answer, self.body) for row, answer in zip(rows, answers)]
        captions = [to_caption(line) for line in lines]
        return EvalSnapshot(metrics, lines, contact_sheet(cells, captions, columns=self.samples, font_size=FONT_SIZE))


def answer_rows(pipe: UniPosePipeline, task: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The greedy answers to the prompts of corpus rows.

    Args:
        pipe: pipeline of the model.
        task: task of all rows.
        rows: rows of a corpus.
    """
    return pipe(
        text=[row["messages"][:1] for row in rows],
        images=[row["images"] for row in rows],
        poses=[question_poses(row) for row in rows],
        task=task,
        batch_size=len(rows),
        do_sample=False,
    )


def question_poses(row: Row) -> list[np.ndarray]:
    """The (22, 3) poses of a row's question; where the answer is a pose, it is the row's last."""
    poses = [np.asarray(pose, dtype=np.float32) for pose in row["poses"]]
    return poses[:-1] if row["task"] in POSE_ANSWERS else poses


def to_rotmats(rows: Sequence[Row], index: int) -> torch.Tensor:
    """(rows, 22, 3, 3): one pose of each row.

    Args:
        rows: rows of a corpus.
        index: index of the pose among the row's poses.
    """
    return roma.rotvec_to_rotmat(torch.tensor([row["poses"][index] for row in rows]))


def measure_answers(
    task: str, rows: Sequence[Row], answers: Sequence[dict[str, Any]], body: BodyModel
) -> dict[str, float]:
    """Metrics of the answers to rows of one task.

    Args:
        task: task of all rows.
        rows: rows of a corpus.
        answers: the pipeline's answers, one per row.
        body: the body to measure.

    Returns:
        mpjpe_mm and pa_mpjpe_mm of poses; posecode_precision (paircode_precision) of texts about poses, the share of
        their codes that hold; codes_in_target of texts about images, the share of their codes in the target text.
    """
    if task in POSE_ANSWERS:
        results = torch.stack([torch.as_tensor(answer["poses"][0]) for answer in answers])
        return pose_errors(results, to_rotmats(rows, -1), body)
    texts = [answer["text"] for answer in answers]
    if task == "pose-to-text":
        captions = [read_caption(text).codes for text in texts]
        return {"posecode_precision": posecode_precision(captions, to_rotmats(rows, 0), body)}
    if task == "pose-diff":
        changes = [read_instruction(text).codes for text in texts]
        return {"paircode_precision": paircode_precision(changes, to_rotmats(rows, 0), to_rotmats(rows, 1), body)}
    read = read_caption if task == "image-to-text" else read_instruction
    codes = [(set(read(text).codes), set(read(row["text"]).codes)) for text, row in zip(texts, rows)]
    common, total = (sum(map(len, sets)) for sets in ([a & b for a, b in codes], [a for a, _ in codes]))
    return {"codes_in_target": common / max(total, 1)}


def to_line(row: Row, answer: dict[str, Any]) -> dict[str, Any]:
    """A row and its answer for the JSON lines; poses are (22, 3) rotation vectors.

    Args:
        row: row of a corpus.
        answer: the pipeline's answer.
    """
    blocks = row["messages"][0]["content"]
    question = "".join(block["text"] if block["type"] == "text" else f"<{block['type']}>" for block in blocks)
    named = {"task": row["task"], "source": row["source"], "question": question}
    if row["task"] not in POSE_ANSWERS:
        return named | {"answer": answer["text"], "expected": row["text"]}
    result = roma.rotmat_to_rotvec(torch.as_tensor(answer["poses"][0]))
    poses = {"answer": result, "expected": torch.tensor(row["poses"][-1])}
    return named | {name: pose.double().round(decimals=4).tolist() for name, pose in poses.items()}


def to_caption(line: dict[str, Any]) -> str:
    """The text under an image; long texts, as of untrained models, are shortened."""
    question = f"{line['task']}. QUESTION: {shorten(line['question'], LONGEST_TEXT)}"
    if line["task"] in POSE_ANSWERS:
        return question
    answer, expected = (shorten(line[name], LONGEST_TEXT) or "(nothing)" for name in ("answer", "expected"))
    return f"{question} ANSWER: {answer} EXPECTED: {expected}"


def draw_answer(row: Row, answer: dict[str, Any], body: BodyModel) -> Image.Image:
    """Draws the images and poses of a row's prompt, its target pose and the predicted pose.

    Args:
        row: row of a corpus.
        answer: the pipeline's answer.
        body: the body to draw.
    """
    drawn = [image.convert("RGB").resize((CELL, CELL)) for image in row["images"]]
    poses = [roma.rotvec_to_rotmat(torch.from_numpy(pose)) for pose in question_poses(row)]
    names = ["input"] * (len(drawn) + len(poses))
    if row["task"] in POSE_ANSWERS:
        poses += [to_rotmats([row], -1)[0], torch.as_tensor(answer["poses"][0])]
        names += ["target", "prediction"]
    # Poses of images are as the camera sees them.
    view = "front" if row["images"] else "three-quarter"
    drawn += [render_pose(pose, body, CELL, view=view) for pose in poses]
    return side_by_side(drawn, names)
