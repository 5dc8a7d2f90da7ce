"""Asks a model that is trained a few held-out questions of each task, and looks at its answers beside those wanted."""

from collections.abc import Sequence
from textwrap import shorten
from typing import Any

import numpy as np
import roma
import torch
from datasets import Dataset
from peft import PeftModel
from PIL import Image

from unipose import UniPosePipeline
from unipose.processing.body_model import BodyModel
from unipose.processing.processing_unipose import UniPoseProcessor
from unipose.processing.rendering import contact_sheet, render_pose
from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.instruction_reader import read_instruction
from unipose.training.datasets.rows import POSE_ANSWERS, TASKS, Row
from unipose.training.evaluation.metrics import pose_errors
from unipose.training.evaluation.posecode_metrics import paircode_precision, posecode_precision
from unipose.training.trainer.callbacks import CELL, FONT_SIZE, Sight, Watch, in_a_row
from unipose.training.trainer.trainers import LanguageTrainer


LONGEST_TEXT = 240  # characters in the picture; the JSON lines hold all


class WatchAnswers(Watch):
    """Answers to rows of a corpus, beside the answers these rows hold.

    Args:
        trainer: of a language stage.
        body: to measure and to draw.
        rows: of the corpus' validation split, not prepared.
        processor: of the model.
        samples: rows of each task.
    """

    def __init__(
        self, trainer: LanguageTrainer, body: BodyModel, rows: Dataset, processor: UniPoseProcessor, samples: int
    ):
        super().__init__(trainer, body)
        self.processor = processor
        self.samples = samples
        tasks = np.array(rows["task"])
        self.rows = {
            task: list(rows.select(np.flatnonzero(tasks == task)[:samples])) for task in TASKS if task in tasks
        }

    def look(self) -> Sight:
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        if isinstance(model, PeftModel):
            model = model.get_base_model()
        pipe = UniPosePipeline(model=model, processor=self.processor, device=model.device)
        numbers: dict[str, float] = {}
        lines, cells = [], []
        for task, rows in self.rows.items():
            answers = ask_rows(pipe, task, rows)
            numbers |= {f"{task}_{name}": value for name, value in judge(task, rows, answers, self.body).items()}
            lines += [to_line(row, answer) for row, answer in zip(rows, answers)]
            cells += [draw_answer(row, answer, self.body) for row, answer in zip(rows, answers)]
        captions = [to_caption(line) for line in lines]
        return Sight(numbers, lines, contact_sheet(cells, captions, columns=self.samples, font_size=FONT_SIZE))


def ask_rows(pipe: UniPosePipeline, task: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The greedy answers to the questions of corpus rows, put in the rows' own words."""
    return pipe(
        text=[row["messages"][:1] for row in rows],
        images=[row["images"] for row in rows],
        poses=[shown_poses(row) for row in rows],
        task=task,
        batch_size=len(rows),
        do_sample=False,
    )


def shown_poses(row: Row) -> list[np.ndarray]:
    """The (22, 3) poses of a row's question; the last pose of a row that is answered by one is its answer."""
    poses = [np.asarray(pose, dtype=np.float32) for pose in row["poses"]]
    return poses[:-1] if row["task"] in POSE_ANSWERS else poses


def to_rotmats(rows: Sequence[Row], index: int) -> torch.Tensor:
    """(rows, 22, 3, 3): a pose of each row."""
    return roma.rotvec_to_rotmat(torch.tensor([row["poses"][index] for row in rows]))


def judge(task: str, rows: Sequence[Row], answers: Sequence[dict[str, Any]], body: BodyModel) -> dict[str, float]:
    """How good answers to rows of one task are.

    Returns:
        mpjpe_mm and pa_mpjpe_mm of poses; statements_true, the share of a text's statements that hold on the row's
        poses; statements_expected, of a text about pictures, the share that the row's own text makes too.
    """
    if task in POSE_ANSWERS:
        found = torch.stack([torch.as_tensor(answer["poses"][0]) for answer in answers])
        return pose_errors(found, to_rotmats(rows, -1), body)
    texts = [answer["text"] for answer in answers]
    if task == "pose-to-text":
        captions = [read_caption(text).codes for text in texts]
        return {"statements_true": posecode_precision(captions, to_rotmats(rows, 0), body)}
    if task == "pose-diff":
        changes = [read_instruction(text).codes for text in texts]
        return {"statements_true": paircode_precision(changes, to_rotmats(rows, 0), to_rotmats(rows, 1), body)}
    read = read_caption if task == "image-to-text" else read_instruction
    said = [(set(read(text).codes), set(read(row["text"]).codes)) for text, row in zip(texts, rows)]
    common, all_said = (sum(map(len, sets)) for sets in ([a & b for a, b in said], [a for a, _ in said]))
    return {"statements_expected": common / max(all_said, 1)}


def to_line(row: Row, answer: dict[str, Any]) -> dict[str, Any]:
    """A row and its answer for the JSON lines; poses are (22, 3) rotation vectors."""
    blocks = row["messages"][0]["content"]
    question = "".join(block["text"] if block["type"] == "text" else f"<{block['type']}>" for block in blocks)
    named = {"task": row["task"], "source": row["source"], "question": question}
    if row["task"] not in POSE_ANSWERS:
        return named | {"answer": answer["text"], "expected": row["text"]}
    found = roma.rotmat_to_rotvec(torch.as_tensor(answer["poses"][0]))
    poses = {"answer": found, "expected": torch.tensor(row["poses"][-1])}
    return named | {name: pose.double().round(decimals=4).tolist() for name, pose in poses.items()}


def to_caption(line: dict[str, Any]) -> str:
    """What stands under a picture; texts without end, as untrained models write them, are cut."""
    asked = f"{line['task']}. Asked: {shorten(line['question'], LONGEST_TEXT)}"
    if line["task"] in POSE_ANSWERS:
        return asked
    answer, expected = (shorten(line[name], LONGEST_TEXT) or "(nothing)" for name in ("answer", "expected"))
    return f"{asked} ANSWERED: {answer} WANTED: {expected}"


def draw_answer(row: Row, answer: dict[str, Any], body: BodyModel) -> Image.Image:
    """What a row shows, and the pose that is wanted beside the one that was answered."""
    drawn = [picture.convert("RGB").resize((CELL, CELL)) for picture in row["images"]]
    poses = [roma.rotvec_to_rotmat(torch.from_numpy(pose)) for pose in shown_poses(row)]
    names = ["shown"] * (len(drawn) + len(poses))
    if row["task"] in POSE_ANSWERS:
        poses += [to_rotmats([row], -1)[0], torch.as_tensor(answer["poses"][0])]
        names += ["wanted", "answered"]
    # Poses of pictures are those that the camera sees.
    view = "front" if row["images"] else "three-quarter"
    drawn += [render_pose(pose, body, CELL, view=view) for pose in poses]
    return in_a_row(drawn, names)
