"""Sentences, edits and questions as people type them, judged by measured geometry.

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
from unipose.training.evaluation.tasks import predict
from unipose.training.geometry import remove_heading, swap_sides
from unipose.training.io import markdown_table, write_json
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
class Question:
    """A question about a named pose: answered by yes or no, or by a text with and without some words."""

    pose: str
    text: str
    yes: bool | None = None
    any: tuple[str, ...] = ()
    none: tuple[str, ...] = ()

    def is_right(self, answer: str) -> bool:
        """Whether an answer says yes or no as expected, or has one of the expected words and no wrong one."""
        words = answer.lower()
        if self.yes is not None:
            opening = re.match(r"\W*(yes|no)\b", words)
            return opening is not None and (opening[1] == "yes") == self.yes
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


def load_questions() -> list[Question]:
    """The packaged questions."""
    return [
        Question(row["pose"], row["text"], row.get("yes"), tuple(row.get("any", ())), tuple(row.get("none", ())))
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


@torch.no_grad()
def evaluate_human_words(pipe: Any, body: BodyModel) -> dict[str, list[dict[str, Any]]]:
    """Every row of the three sets with the model's answer and whether it is right.

    Args:
        pipe: `pipeline("unipose")`.
        body: the body to measure.
    """
    sentences, edits, questions = load_sentences(), load_edits(), load_questions()
    generated = predict(pipe, "text-to-pose", BATCH_SIZE, text=[row.text for row in sentences])
    poses = [torch.as_tensor(answer["poses"][0]) for answer in generated]
    results: dict[str, list[dict[str, Any]]] = {
        "sentences": [
            {"text": row.text, "right": is_right(row.requirements, pose, body, either=row.either)}
            for row, pose in zip(sentences, poses)
        ]
    }
    befores = archetype_poses([row.pose for row in edits]).float()
    generated = predict(pipe, "pose-edit", BATCH_SIZE, text=[row.text for row in edits], poses=list(befores))
    results["edits"] = []
    for row, before, answer in zip(edits, befores, generated):
        pose = torch.as_tensor(answer["poses"][0])
        right = is_right(row.requirements, pose, body, before) and keeps_joints(row.keep, pose, before, body)
        results["edits"].append({"pose": row.pose, "text": row.text, "right": right})
    shown = archetype_poses([row.pose for row in questions]).float()
    texts = [f"{pipe.processor.pose_token} {row.text}" for row in questions]
    answers = predict(pipe, "pose-to-text", BATCH_SIZE, text=texts, poses=list(shown))
    results["questions"] = [
        {"pose": row.pose, "text": row.text, "answer": answer["text"], "right": row.is_right(answer["text"])}
        for row, answer in zip(questions, answers)
    ]
    return results


def to_markdown(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A table with the share of right answers of each set.

    Args:
        results: from `evaluate_human_words`.
    """
    rows = [(name, len(own), f"{100 * np.mean([row['right'] for row in own]):.1f}") for name, own in results.items()]
    return markdown_table(("set", "rows", "right (%)"), rows)


def main() -> None:
    (arguments,) = TrlParser((HumanWordsArguments,)).parse_args_and_config()
    pipe = pipeline("unipose", model=arguments.model)  # type: ignore[call-overload]
    results = evaluate_human_words(pipe, BodyModel.builtin())
    write_json(Path(arguments.output) / "results.json", results)
    print(to_markdown(results))


if __name__ == "__main__":
    main()
