"""Sentences, edits, chains of edits and questions as people type them, judged by measured geometry.

    python -m unipose.training.evaluation.human_words --model modeling_unipose/embedded --output runs/human_words

The sets were written before any training text in people's words, and no training uses them. A pose is right if every
requirement on its measures holds (`captions.measures`); the reader of captions has no say.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from transformers import pipeline
from trl import TrlParser

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import JOINT_NAMES, to_y_up
from unipose.training.captions.measures import Array, measure
from unipose.training.evaluation.metrics import auroc
from unipose.training.evaluation.report import words_to_markdown
from unipose.training.evaluation.tasks import first_poses, predict
from unipose.training.evaluation.uncertainty import resample_counts
from unipose.training.geometry import remove_heading, swap_sides
from unipose.training.io import write_json
from unipose.training.named_poses.archetypes import archetype_poses


FOLDER = Path(__file__).parent.parent / "assets" / "human_words"
# Joints that an edit must keep may move by this much, in meters relative to the pelvis.
KEPT_WITHIN = 0.15
REQUIREMENT = re.compile(r"(d\()?(\w+\.\w+)\)? ([<>]) (-?[\d.]+)")
BATCH_SIZE = 32


@dataclass(frozen=True)
class Requirement:
    """A bound of a measure, or of its change by an edit.

    Args:
        measure: a name of `captions.measures`.
        is_change: whether the change from before to after is bounded.
        is_upper: whether the bound is an upper one.
        bound: in meters or degrees.
    """

    measure: str
    is_change: bool
    is_upper: bool
    bound: float

    @classmethod
    def parse(cls, text: str) -> "Requirement":
        """Reads "left_knee.angle < 110" or "d(pelvis.ground) < 0.03".

        Raises:
            ValueError: another form.
        """
        match = REQUIREMENT.fullmatch(text)
        if match is None:
            raise ValueError(f"got the requirement {text!r}; expected such as 'left_knee.angle < 110'")
        change, name, operator, bound = match.groups()
        return cls(name, change is not None, operator == "<", float(bound))

    def holds(self, after: Mapping[str, Array], before: Mapping[str, Array] | None, mirrored: bool) -> bool:
        """Whether one pose meets the bound.

        Args:
            after: its measures, (1,) each.
            before: measures of the pose before the edit.
            mirrored: exchanges left and right.

        Raises:
            ValueError: the change of a measure without a pose before.
        """
        name = swap_sides(self.measure) if mirrored else self.measure
        value = float(after[name][0])
        if self.is_change:
            if before is None:
                raise ValueError(f"a change of {name} needs the pose before")
            value -= float(before[name][0])
        return value < self.bound if self.is_upper else value > self.bound


@dataclass(frozen=True)
class Sentence:
    """A text with its requirements; `either`: the mirror image is right too."""

    text: str
    requirements: tuple[Requirement, ...]
    either: bool = False


@dataclass(frozen=True)
class Edit:
    """A request about a named pose, the requirements on the result, and joints that must stay."""

    pose: str
    text: str
    requirements: tuple[Requirement, ...]
    keep: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chain:
    """A named pose, and requests one after the other, each with the requirements on the pose after it."""

    pose: str
    texts: tuple[str, ...]
    requirements: tuple[tuple[Requirement, ...], ...]


@dataclass(frozen=True)
class Question:
    """A question about a named pose: answered by yes or no, or by a text with and without some words."""

    pose: str
    text: str
    is_true: bool | None = None
    any: tuple[str, ...] = ()
    none: tuple[str, ...] = ()

    def is_right(self, answer: str) -> bool:
        """Whether an answer says yes or no as expected, or has one of the expected words and no wrong one."""
        words = answer.lower()
        if self.is_true is not None:
            opening = re.match(r"\W*(yes|no)\b", words)
            return opening is not None and (opening[1] == "yes") == self.is_true
        found = {word for word in self.any + self.none if re.search(rf"\b{re.escape(word)}", words)}
        return bool(found & set(self.any)) and not found & set(self.none)


def load_sentences() -> list[Sentence]:
    """The packaged sentences, macros written out."""
    content = _read("sentences")
    macros = content["macros"]
    return [
        Sentence(
            row["text"],
            tuple(Requirement.parse(text) for item in row["holds"] for text in macros.get(item, [item])),
            row.get("either", False),
        )
        for row in content["sentences"]
    ]


def load_edits() -> list[Edit]:
    """The packaged edits."""
    return [
        Edit(row["pose"], row["text"], tuple(map(Requirement.parse, row["holds"])), tuple(row.get("keep", ())))
        for row in _read("edits")["edits"]
    ]


def load_chains() -> list[Chain]:
    """The packaged chains of edits."""
    return [
        Chain(
            row["pose"],
            tuple(step["text"] for step in row["steps"]),
            tuple(tuple(map(Requirement.parse, step["holds"])) for step in row["steps"]),
        )
        for row in _read("chains")["chains"]
    ]


def load_questions() -> list[Question]:
    """The packaged questions."""
    return [
        Question(row["pose"], row["text"], row.get("is_true"), tuple(row.get("any", ())), tuple(row.get("none", ())))
        for row in _read("questions")["questions"]
    ]


def _read(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))


def measures_of(pose: torch.Tensor, body: BodyModel) -> dict[str, Array]:
    """All measures of one pose, (1,) each.

    Args:
        pose: (22, 3, 3) in the stored frame, any heading.
        body: the body to measure.
    """
    rotmats = remove_heading(pose[None].double())
    return measure(body.forward_joints(rotmats.float()).numpy(), to_y_up(rotmats).numpy())


def is_right(
    requirements: Sequence[Requirement],
    pose: torch.Tensor,
    body: BodyModel,
    before: torch.Tensor | None = None,
    either: bool = False,
) -> bool:
    """Whether a pose meets all requirements.

    Args:
        requirements: of the sentence or edit.
        pose: (22, 3, 3) in the stored frame.
        body: the body to measure.
        before: (22, 3, 3), the pose before an edit.
        either: accepts the mirror image.
    """
    after = measures_of(pose, body)
    first = None if before is None else measures_of(before, body)
    sides = (False, True) if either else (False,)
    return any(all(item.holds(after, first, mirrored) for item in requirements) for mirrored in sides)


def keeps_joints(keep: Sequence[str], pose: torch.Tensor, before: torch.Tensor, body: BodyModel) -> bool:
    """Whether joints stay within `KEPT_WITHIN` of where they were, relative to the pelvis.

    Args:
        keep: names of joints.
        pose: (22, 3, 3) after the edit.
        before: (22, 3, 3) before it.
        body: the body to measure.
    """
    joints = body.forward_joints(remove_heading(torch.stack([pose, before]).double()).float())
    joints = joints - joints[:, :1]
    moved = (joints[0] - joints[1]).norm(dim=-1)
    return all(float(moved[JOINT_NAMES.index(name)]) <= KEPT_WITHIN for name in keep)


@dataclass
class HumanWordsArguments:
    """The model and the folder of the results."""

    model: str = field(default="modeling_unipose/embedded", metadata={"help": "Folder or Hub id of the model."})
    output: str = field(default="runs/human_words", metadata={"help": "Folder of results.json."})


@dataclass(frozen=True)
class Answered:
    """A row with the model's answer.

    Args:
        texts: the sentence, the request or requests, or the question.
        right: whether the answer is right; of a chain, whether every step is.
        poses: (n, 22, 3, 3): the pose before an edit or of a question, if any, and the generated ones.
        answer: the generated text.
        confidence: that of the answer, if the model has one; chains have none.
    """

    texts: tuple[str, ...]
    right: bool
    poses: torch.Tensor
    answer: str = ""
    confidence: float | None = None


@torch.no_grad()
def evaluate_human_words(pipe: Any, body: BodyModel) -> dict[str, list[Answered]]:
    """Every row of the four sets with the model's answer and whether it is right.

    Args:
        pipe: `pipeline("unipose")`.
        body: the body to measure.
    """
    return {
        "sentences": answer_sentences(pipe, load_sentences(), body),
        "edits": answer_edits(pipe, load_edits(), body),
        "chains": answer_chains(pipe, load_chains(), body),
        "questions": answer_questions(pipe, load_questions()),
    }


def answer_sentences(pipe: Any, rows: Sequence[Sentence], body: BodyModel) -> list[Answered]:
    """The poses generated from sentences.

    Args:
        pipe: `pipeline("unipose")`.
        rows: the sentences.
        body: the body to measure.
    """
    answers = predict(pipe, "text-to-pose", BATCH_SIZE, text=[row.text for row in rows])
    return [
        Answered(
            (row.text,),
            is_right(row.requirements, pose, body, either=row.either),
            pose[None],
            confidence=answer.get("confidence"),
        )
        for row, pose, answer in zip(rows, first_poses(answers), answers)
    ]


def answer_edits(pipe: Any, rows: Sequence[Edit], body: BodyModel) -> list[Answered]:
    """The poses that edits lead to.

    Args:
        pipe: `pipeline("unipose")`.
        rows: the edits.
        body: the body to measure.
    """
    befores = archetype_poses([row.pose for row in rows]).float()
    texts = [row.text for row in rows]
    answers = predict(pipe, "pose-edit", BATCH_SIZE, text=texts, poses=list(befores))
    return [
        Answered(
            (row.text,),
            is_right(row.requirements, pose, body, before) and keeps_joints(row.keep, pose, before, body),
            torch.stack([before, pose]),
            confidence=answer.get("confidence"),
        )
        for row, before, pose, answer in zip(rows, befores, first_poses(answers), answers)
    ]


def answer_chains(pipe: Any, rows: Sequence[Chain], body: BodyModel) -> list[Answered]:
    """The poses of each step, each edited from the one that the model made before.

    Args:
        pipe: `pipeline("unipose")`.
        rows: the chains.
        body: the body to measure.
    """
    poses = [[pose] for pose in archetype_poses([row.pose for row in rows]).float()]
    right = [True] * len(rows)
    for step in range(max(len(row.texts) for row in rows)):
        pending = [index for index, row in enumerate(rows) if step < len(row.texts)]
        befores = [poses[index][-1] for index in pending]
        texts = [rows[index].texts[step] for index in pending]
        afters = first_poses(predict(pipe, "pose-edit", BATCH_SIZE, text=texts, poses=befores))
        for index, before, after in zip(pending, befores, afters):
            right[index] &= is_right(rows[index].requirements[step], after, body, before)
            poses[index].append(after)
    return [Answered(row.texts, *answer) for row, *answer in zip(rows, right, map(torch.stack, poses))]


def answer_questions(pipe: Any, rows: Sequence[Question]) -> list[Answered]:
    """The answers to questions about poses.

    Args:
        pipe: `pipeline("unipose")`.
        rows: the questions.
    """
    poses = archetype_poses([row.pose for row in rows]).float()
    texts = [f"{pipe.processor.pose_token} {row.text}" for row in rows]
    answers = predict(pipe, "pose-to-text", BATCH_SIZE, text=texts, poses=list(poses))
    return [
        Answered((row.text,), row.is_right(answer["text"]), pose[None], answer["text"], answer.get("confidence"))
        for row, pose, answer in zip(rows, poses, answers)
    ]


def confidence_aurocs(results: Mapping[str, Sequence[Answered]]) -> dict[str, float]:
    """How well confidences tell right answers from wrong ones: the AUROC of each set with confidences.

    Args:
        results: rows of each set.
    """
    return {name: auroc(*columns) for name, columns in _confidences(results).items()}


def confidence_intervals(results: Mapping[str, Sequence[Answered]], seed: int) -> dict[str, list[float]]:
    """The 95 % bootstrap interval of each AUROC; resamples of right or of wrong answers alone do not count.

    Args:
        results: rows of each set.
        seed: seed of the bootstrap.
    """
    intervals = {}
    for name, (confidences, right) in _confidences(results).items():
        draws = (np.repeat(np.arange(len(right)), row) for row in resample_counts(len(right), seed))
        values = np.array([auroc(confidences[rows], right[rows]) for rows in draws])
        known = values[~np.isnan(values)]
        intervals[name] = np.quantile(known, (0.025, 0.975)).tolist() if len(known) else [0.0, 1.0]
    return intervals


def _confidences(results: Mapping[str, Sequence[Answered]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Confidences, and whether each answer is right, of each set with confidences."""
    columns = {}
    for name, rows in results.items():
        confidences = [row.confidence for row in rows if row.confidence is not None]
        if len(confidences) == len(rows):
            columns[name] = np.array(confidences), np.array([row.right for row in rows])
    return columns


def main() -> None:
    (arguments,) = TrlParser((HumanWordsArguments,)).parse_args_and_config()
    pipe = pipeline("unipose", model=arguments.model)  # type: ignore[call-overload]
    results = evaluate_human_words(pipe, BodyModel.builtin())
    rows = {
        name: [
            {"texts": row.texts, "answer": row.answer, "right": row.right, "confidence": row.confidence} for row in own
        ]
        for name, own in results.items()
    }
    write_json(Path(arguments.output) / "results.json", rows)
    print(words_to_markdown({"human words": {name: [row.right for row in own] for name, own in results.items()}}))
    for name, value in confidence_aurocs(results).items():
        print(f"{name}: AUROC of the confidence {value:.3f}")


if __name__ == "__main__":
    main()
