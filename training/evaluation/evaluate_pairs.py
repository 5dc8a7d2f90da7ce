"""Measures a checkpoint's edits and differences on pairs of poses from the motion clips that no training has seen.

`evaluate` runs it too. Beside the model stands what costs nothing: an edit that keeps the first pose, and what the
model says about other pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm.auto import tqdm

from unipose.processing.body_model import BodyModel
from unipose.training.captions.instruct import instruct
from unipose.training.captions.instruction_reader import names_changed_part, read_instruction
from unipose.training.captions.paircodes import Paircode, extract_paircodes, paircodes_hold
from unipose.training.captions.text import Caption
from unipose.training.evaluation.metrics import pose_errors
from unipose.training.sampling.pose_pairs import CHANGES, PosePairs, sample_pose_pairs
from unipose.training.sampling.poses import HELD_OUT_CLIPS


@dataclass(frozen=True)
class HeldOutPairs:
    """Pairs to evaluate on, with an instruction that turns the first pose of each into the second."""

    pairs: PosePairs
    instructions: list[Caption[Paircode]]


def hold_out_pairs(number: int, body: BodyModel, seed: int) -> HeldOutPairs:
    """Samples pairs whose poses are frames of the held-out clips or changed ones; the same seed gives the same."""
    pairs = sample_pose_pairs(number, seed, body, clips=HELD_OUT_CLIPS)
    rng = np.random.default_rng(seed)
    return HeldOutPairs(pairs, [instruct(codes, rng) for codes in _changes(pairs.first, pairs.second, pairs, body)])


def _changes(
    first: torch.Tensor, second: torch.Tensor, pairs: PosePairs, body: BodyModel
) -> list[tuple[Paircode, ...]]:
    joints = (body.forward_joints(poses).numpy() for poses in (first, second))
    return extract_paircodes(*joints, same_sequence=pairs.same_sequence.numpy(), rotmats=(first, second))


def changes_true(
    statements: Sequence[Sequence[Paircode]], first: torch.Tensor, second: torch.Tensor, body: BodyModel
) -> float:
    """The fraction of all statements that hold on their pair of poses, (n, 22, 3, 3) twice; 0 where there is none."""
    joints = [body.forward_joints(poses).numpy() for poses in (first, second)]
    held = 0
    for row, codes in enumerate(statements):
        own = slice(row, row + 1)
        if codes:
            rotmats = (first[own], second[own])
            held += int(paircodes_hold(codes, joints[0][own], joints[1][own], rotmats=rotmats).sum())
    return held / max(sum(map(len, statements)), 1)


def ask(pipe: Any, task: str, batch_size: int, **columns: Sequence[Any]) -> list[dict[str, Any]]:
    """The pipeline's greedy answers to a list of rows, batch by batch.

    Args:
        pipe: `pipeline("unipose")`.
        task: the task.
        batch_size: rows that are run at once.
        columns: the rows, under the pipeline's names for them: text, images or poses.
    """
    count = len(next(iter(columns.values())))
    answers: list[dict[str, Any]] = []
    for start in tqdm(range(0, count, batch_size), desc=task, leave=False, disable=None):
        batch = {name: list(rows[start : start + batch_size]) for name, rows in columns.items()}
        size = len(next(iter(batch.values())))
        answers += pipe(**batch, task=task, batch_size=size, do_sample=False)
    return answers


def evaluate_pose_edit(pipe: Any, held_out: HeldOutPairs, body: BodyModel, batch_size: int) -> dict[str, dict]:
    """Poses from a pose and an instruction; beside the pose as it was."""
    pairs = held_out.pairs
    texts = [instruction.text for instruction in held_out.instructions]
    answers = ask(pipe, "pose-edit", batch_size, text=texts, poses=list(pairs.first))
    edited = torch.stack([torch.as_tensor(answer["poses"][0]).float() for answer in answers])
    statements = [instruction.codes for instruction in held_out.instructions]
    return {
        name: pose_errors(poses, pairs.second, body)
        | {"statements_true": changes_true(statements, pairs.first, poses, body)}
        for name, poses in (("model", edited), ("keeping the pose", pairs.first))
    }


def evaluate_pose_diff(
    pipe: Any, held_out: HeldOutPairs, body: BodyModel, batch_size: int, others: npt.NDArray[np.int64]
) -> dict[str, dict]:
    """Differences of two poses, as far as they can be read; beside what is said of other pairs.

    Args:
        pipe: `pipeline("unipose")`.
        held_out: the pairs.
        body: whose joints are measured.
        batch_size: rows that are run at once.
        others: (n,) for each pair the one whose text it is given instead.
    """
    pairs = held_out.pairs
    answers = ask(pipe, "pose-diff", batch_size, poses=[list(pair) for pair in zip(pairs.first, pairs.second)])
    texts = [answer["text"] for answer in answers]
    readings = [read_instruction(text) for text in texts]
    sentences = sum(reading.sentences for reading in readings)
    result = {}
    for name, order in (("model", np.arange(len(texts))), ("model's texts of other pairs", others)):
        statements = [readings[index].codes for index in order]
        result[name] = {
            "statements_true": changes_true(statements, pairs.first, pairs.second, body),
            "part_named": _parts_named([texts[index] for index in order], pairs),
        }
    result["model"]["statements_said"] = sum(len(reading.codes) for reading in readings) / len(readings)
    result["model"]["sentences_unread"] = sum(len(each.unparsable) for each in readings) / max(sentences, 1)
    return result


def _parts_named(texts: Sequence[str], pairs: PosePairs) -> float:
    """Of the pairs in which one part was changed, the share whose text is about that part."""
    named = []
    for text, kind, changed in zip(texts, pairs.kind, pairs.changed):
        if kind == "one_change":
            joints = {joint for change in CHANGES[changed[0]] for joint in change.joints}
            named.append(any(names_changed_part(text, joint) for joint in joints))
    return sum(named) / max(len(named), 1)
