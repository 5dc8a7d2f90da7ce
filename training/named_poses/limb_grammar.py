"""Texts about composed poses: legs and torso, each arm, and the head, in one or two sentences."""

from dataclasses import dataclass
from typing import Literal

from numpy.random import Generator

from unipose.training.named_poses.chance import pick
from unipose.training.named_poses.conjugation import verb_phrase
from unipose.training.named_poses.grammar import PROMPT, QUESTIONS, REQUESTS, statement
from unipose.training.named_poses.limbs import LimbState, arm_text
from unipose.training.named_poses.subjects import COMMAND, Subject, draw_nobody, draw_subject
from unipose.training.named_poses.typing_style import typed


# How often what goes without saying is said: arms that hang beside others that do not, both of them, a straight head.
SAY_HANGING, SAY_BOTH_HANGING, SAY_STRAIGHT, SAY_STANDING = 0.25, 0.35, 0.15, 0.5


@dataclass(frozen=True)
class Composition:
    """The states that a composed pose is made of."""

    base: LimbState
    left: LimbState
    right: LimbState
    head: LimbState

    @property
    def name(self) -> str:
        """The names of the states, joined by "+"."""
        return "+".join(state.name for state in (self.base, self.left, self.right, self.head))


@dataclass(frozen=True)
class _Part:
    """What is said of one part: in verbs, and after "with"."""

    do: str
    state: str


def composed_text(composition: Composition, rng: Generator) -> str:
    """A text for a composed pose, as a person types it.

    Args:
        composition: its states.
        rng: source of randomness.
    """
    parts = _parts(composition, rng)
    base = composition.base
    draw = rng.random()
    if base.plain and parts and rng.random() >= SAY_STANDING:
        return _without_base(parts, rng)
    if draw < 0.2:
        return _command([pick(base.do, rng), *(part.do for part in parts)], rng)
    pronoun = draw < 0.8
    subject = draw_subject(rng, pronouns=pronoun)
    kind: Literal["do", "be"] = "do" if rng.random() < 0.7 else "be"
    text = pick(base.do if kind == "do" else base.states, rng)
    simple = rng.random() < 0.4
    sentence = statement(kind, text, subject, "simple" if simple else "progressive")
    if not pronoun:
        lead = f"{subject.text} {verb_phrase(text, 'participle') if kind == 'do' else text}"
        return _request(subject.fill(lead + _tail(parts, rng)), rng)
    if parts and rng.random() < 0.2:
        sentences = [_own_sentence(part, subject, rng) for part in parts]
        link = pick((". ", ". ", ", and ", "; "), rng)
        return typed(subject.fill(link.join([sentence, *sentences])), rng)
    return typed(sentence + subject.fill(_tail(parts, rng)), rng)


def arms_parts(left: LimbState, right: LimbState, rng: Generator) -> list[tuple[str, LimbState]]:
    """("left", "right" or "both", state) of what is said about the arms.

    Args:
        left: state of the left arm.
        right: state of the right arm.
        rng: source of randomness.
    """
    if left == right and left.both:
        return [("both", left)] if left.name != "hanging" or rng.random() < SAY_BOTH_HANGING else []
    sides = [("left", left), ("right", right)]
    said = [(side, state) for side, state in sides if state.name != "hanging" or rng.random() < SAY_HANGING]
    return said[::-1] if rng.random() < 0.5 else said


def _parts(composition: Composition, rng: Generator) -> list[_Part]:
    parts = [
        _Part(arm_text(pick(state.do, rng), side, rng), arm_text(pick(state.states, rng), side, rng))
        for side, state in arms_parts(composition.left, composition.right, rng)
    ]
    head = composition.head
    if head.name != "straight" or rng.random() < SAY_STRAIGHT:
        said = _Part(pick(head.do, rng), pick(head.states, rng))
        parts = [said, *parts] if rng.random() < 0.2 else [*parts, said]
    return parts


def joined(texts: list[str]) -> str:
    """Texts as a list: "a, b and c"."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)


def _tail(parts: list[_Part], rng: Generator) -> str:
    """What follows a clause about the person."""
    if not parts:
        return ""
    draw = rng.random()
    if draw < 0.5:
        return f" with {joined([part.state for part in parts])}"
    if draw < 0.7:
        return f", {joined([part.state for part in parts])}"
    doing = [verb_phrase(part.do, "participle") for part in parts]
    if draw < 0.8:
        return f" while {joined(doing)}"
    return f", {joined(doing)}"


def _own_sentence(part: _Part, subject: Subject, rng: Generator) -> str:
    them = "they" if subject.verb == "base" or subject.their == "their" else "he" if subject.their == "his" else "she"
    if subject.text == "I":
        them = "I"
    form = "base" if them in ("they", "I") else "third"
    return f"{them} {verb_phrase(part.do, form)}"


def _without_base(parts: list[_Part], rng: Generator) -> str:
    draw = rng.random()
    if draw < 0.4:
        return _command([part.do for part in parts], rng)
    if draw < 0.7:
        return typed(draw_nobody(rng).fill(joined([part.state for part in parts])), rng)
    subject = draw_subject(rng)
    if draw < 0.85:
        verb = "have" if subject.verb == "base" else "has"
        return typed(subject.fill(f"{subject.text} {verb} {joined([part.state for part in parts])}"), rng)
    return typed(subject.fill(f"{subject.text} {joined([verb_phrase(part.do, subject.verb) for part in parts])}"), rng)


def _command(verbs: list[str], rng: Generator) -> str:
    return typed(COMMAND.fill(joined([verb_phrase(verb, "base") for verb in verbs])), rng, command=True)


def _request(words: str, rng: Generator) -> str:
    if rng.random() >= 2 * PROMPT:
        return typed(words, rng)
    question = bool(rng.random() < 0.3)
    return typed(pick(QUESTIONS if question else REQUESTS, rng).format(words), rng, question, polite=True)
