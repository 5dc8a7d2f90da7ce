"""Questions about a pose in people's words, with short answers that are measured (`pose_facts`)."""

import re
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.datasets.pose_facts import Values, pose_facts
from unipose.training.io import read_yaml
from unipose.training.named_poses.chance import pick
from unipose.training.named_poses.grammar import statement
from unipose.training.named_poses.subjects import Subject
from unipose.training.named_poses.typing_style import capitalized, typed
from unipose.training.named_poses.wordings import Kind, wordings_of


QUESTIONS_FILE = Path(__file__).parent.parent / "assets" / "questions.yaml"
# The kind of question whose answer is a wording of the named pose.
DOING = "doing"
# Kinds that are asked more often than the others.
OFTEN = {DOING: 4, "posture": 2, "standing": 2, "raised_arm": 2}
# How often the answer to what a person is doing is no verb phrase.
STATES = 0.15
# Where the pose stands in the prompt.
FRAMES = (
    "{pose} {question}",
    "{pose} {question}",
    "{question} {pose}",
    "look at {pose} {question}",
    "pose: {pose} {question}",
    "here is a pose: {pose} {question}",
    "about the pose {pose}: {question}",
    "{pose}\n{question}",
    "{question}\n{pose}",
    "{pose} - {question}",
    "this is {pose}. {question}",
    "given {pose}, {question}",
    "{question} the pose is {pose}",
    "i have a question about {pose}: {question}",
)
IMAGE_FRAMES = (
    *("{image} {question}",) * 4,
    "{question} {image}",
    "{question} {image}",
    "{image}\n{question}",
    "{question}\n{image}",
    "look at {image} {question}",
    "here is an image: {image} {question}",
    "in {image}, {question}",
    "this is a photo: {image} {question}",
)
# The pose may also stand in the question itself, as the person that it is about; not in a typo.
_POSE = "\x01"
INLINE = 0.2
OWNERS = (
    f"the person of {_POSE}",
    f"the person in {_POSE}",
    f"the one in {_POSE}",
    f"the guy in {_POSE}",
    f"the woman in {_POSE}",
    f"the body {_POSE}",
)
PEOPLE = (
    Subject("he", "his", "him", "himself"),
    Subject("she", "her", "her", "herself"),
    Subject("the person", "their", "them", "themselves"),
    Subject("this person", "their", "them", "themselves"),
    Subject("they", "their", "them", "themselves", verb="base", be="are"),
)

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


Shown = Literal["pose", "image"]


class Question(NamedTuple):
    """A question about one of several poses.

    Args:
        pose: the index of the pose.
        kind: a key of the questions' file.
        prompt: the question as typed, with the placeholder {pose}.
        answer: a sentence.
    """

    pose: int
    kind: str
    prompt: str
    answer: str


@cache
def load_questions() -> dict[str, dict[str, Any]]:
    """Kind -> {"questions": phrasings, "answers": {value of the fact: sentences}}."""
    return read_yaml(QUESTIONS_FILE)


def ask_questions(
    count: int,
    rotmats: torch.Tensor,
    labels: list[str | None],
    rng: np.random.Generator,
    body: BodyModel,
    shown: Shown = "pose",
) -> list[Question]:
    """Questions about poses, kinds as often as `OFTEN` says, and of each kind all answers alike.

    Args:
        count: number of questions.
        rotmats: (n, 22, 3, 3) in the stored frame, at least one.
        labels: for each pose the name of its archetype, or None.
        rng: source of all randomness.
        body: the body that is measured.
        shown: whether the prompt has the placeholder of a pose or of an image.
    """
    facts = {DOING: labels} | pose_facts(rotmats, body)
    places = {kind: _places(kind, values) for kind, values in facts.items()}
    kinds = [kind for kind in load_questions() for _ in range(OFTEN.get(kind, 1)) if places[kind]]
    return [_ask(pick(kinds, rng), places, facts, rng, shown) for _ in range(count)]


def question_prompt(words: str, rng: np.random.Generator, shown: Shown = "pose") -> str:
    """A question as typed, with the placeholder of what is shown.

    Args:
        words: the question, without its mark.
        rng: source of all randomness.
        shown: "pose" or "image".
    """
    frame = pick(FRAMES if shown == "pose" else IMAGE_FRAMES, rng)
    return frame.replace("{question}", typed(words, rng, question=True))


def _places(kind: str, values: Values) -> dict[str, list[int]]:
    """The value of a fact -> the poses that have it."""
    places: dict[str, list[int]] = {}
    for index, value in enumerate(values):
        if value is not None:
            places.setdefault("" if kind == DOING else value, []).append(index)
    return places


def _ask(
    kind: str,
    places: dict[str, dict[str, list[int]]],
    facts: dict[str, Values],
    rng: np.random.Generator,
    shown: Shown,
) -> Question:
    by_value = places[kind]
    yes, no = [value for value in by_value if value == "yes"], [value for value in by_value if value != "yes"]
    # As many questions are answered with yes as with no, whatever the no is.
    values = no if not yes or (no and rng.random() < 0.5) else yes
    pose = pick(by_value[pick(values, rng)], rng)
    value, person = facts[kind][pose], pick(PEOPLE, rng)
    words = pick(load_questions()[kind]["questions"], rng)
    if words.count("{they}") == 1 and rng.random() < INLINE:
        person = PEOPLE[2]
        asked = Subject(pick(OWNERS, rng), "their", "them", "themselves")
        prompt = typed(_fill(words, asked), rng, question=True).replace(_POSE, f"{{{shown}}}")
    else:
        prompt = question_prompt(_fill(words, person), rng, shown)
    if kind == DOING:
        answer = _action(str(value), person, rng)
    else:
        answer = _fill(pick(load_questions()[kind]["answers"][value], rng), person)
    return Question(pose, kind, prompt, answer)


def _action(name: str, person: Subject, rng: np.random.Generator) -> str:
    """A sentence about what the person of a named pose is doing."""
    wordings = wordings_of(name)
    kind: Kind = "be" if wordings.be and rng.random() < STATES else "do"
    text = pick(getattr(wordings, kind), rng)
    return f"{capitalized(statement(kind, text, person))}."


def _fill(text: str, person: Subject) -> str:
    plural = person.verb == "base"
    words = {
        "they": person.text,
        "is": person.be,
        "has": "have" if plural else "has",
        "does": "do" if plural else "does",
        "their": person.their,
        "themselves": person.themselves,
    }
    words |= {name.capitalize(): capitalized(word) for name, word in words.items()}
    return _PLACEHOLDER.sub(lambda match: words[match[1]], text)
