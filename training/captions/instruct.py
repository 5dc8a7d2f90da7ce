"""Paircodes -> an instruction that turns pose A into pose B, or a text on how B differs from A.

Both moods are worded by `pair_words`, in which `read_instruction` looks every clause up. Changes of both sides are
merged, what belongs to one limb is told together, a part that was just named becomes "it", and now and then a goal
says where to stop. The same codes give several texts, the same seed gives one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unipose.training.captions.pair_words import GERUNDS, Codes, Topic, merged, topics
from unipose.training.captions.paircodes import NONE, Paircode


Mood = Literal["instruction", "difference"]
MOODS = ("instruction", "difference")

# Kinds that are never dropped.
RARE = frozenset({"posture", "turn", "torso", "none"})
MERGE, SAY_GOAL, MAX_GOALS = 0.95, 0.35, 2
# How often a part that was just named is not named again, and a template just used is not used again.
SAY_IT, ELLIPSIS = 0.9, 0.6
CLAUSES = (1, 2, 3)

OPENINGS: dict[Mood, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "instruction": (("", "", "", "First, "), ("", "Then ", "Next, ", "After that, ", "Also, ")),
    "difference": (
        ("", "", "In the second pose, ", "Compared with the first pose, "),
        ("", "", "Also, ", "In addition, ", "Besides, "),
    ),
}
# What joins the clauses of a sentence of one, two or three.
JOINS: dict[Mood, tuple[tuple[tuple[str, ...], ...], ...]] = {
    "instruction": (
        ((),),
        ((" and ",), (" and ",), (", then ",), (" while ",)),
        ((", ", " and "), (", ", ", then "), (" and ", ", then ")),
    ),
    "difference": (((),), ((" and ",), (", and ",), (" while ",)), ((", ", " and "), (", ", ", and "))),
}
MAKE_SURE = "make sure that "
_OWNED = re.compile(
    r"\bthe (?=(?:left|right|opposite|head|torso|upper body|body|whole body|hips|hands|elbows|knees|feet|shoulders|"
    r"shins|ankles|stomach)\b)"
)


@dataclass(frozen=True)
class Instruction:
    """A text and the codes it states, in the order of the text."""

    text: str
    codes: Codes

    @property
    def parts(self) -> frozenset[str]:
        """The limbs that it is about."""
        return frozenset().union(*(code.parts for code in self.codes))


@dataclass
class _Context:
    """What the next clause of a sentence may leave out: the part, and how it was said to change."""

    noun: str = ""
    said: str = ""
    moves: bool = False


def instruct(
    codes: Sequence[Paircode],
    rng: np.random.Generator,
    *,
    mood: Mood = "instruction",
    drop: float = 0.15,
    max_words: int = 40,
) -> Instruction:
    """Says what changes from A to B.

    Args:
        codes: the pair's codes, from `extract_paircodes`, the most telling first.
        rng: decides wording, order and what is left out.
        mood: "instruction" tells the person of pose A what to do, "difference" says how B differs from A.
        drop: probability of leaving out each code that is not rare; the first is always said.
        max_words: changes that would make the text longer are left out, the least telling first; one is always said.

    Returns:
        The text and the codes it states.

    Raises:
        ValueError: an unknown mood, no codes, or one that is not a paircode.
    """
    if mood not in MOODS:
        raise ValueError(f"mood is {mood!r}; it is one of {', '.join(map(repr, MOODS))}.")
    if not codes:
        raise ValueError(
            "instruct was given no codes; where nothing changes, extract_paircodes gives its code for that."
        )
    chosen = _fit_words(_merge(_select(codes, rng, drop), rng), max_words)
    told = _tell(chosen, mood, rng)
    while len(told.text.split()) > max_words and len(chosen) > 1:
        chosen = chosen[:-1]
        told = _tell(chosen, mood, rng)
    return told if len(told.text.split()) <= max_words else _tell(chosen, mood, rng, opened=False)


def _tell(chosen: list[Topic], mood: Mood, rng: np.random.Generator, opened: bool = True) -> Instruction:
    sentences = _sentences(_order(chosen, rng), rng)
    texts = [_say(sentence, mood, rng) for sentence in sentences]
    if opened and chosen[0].codes != (NONE,):
        texts = _open(texts, mood, rng)
    text = " ".join(f"{text[0].upper()}{text[1:]}." for text in texts)
    if mood == "instruction":
        text = _address(text, rng)
    return Instruction(text, tuple(code for sentence in sentences for topic in sentence for code in topic.codes))


def _select(codes: Sequence[Paircode], rng: np.random.Generator, drop: float) -> list[Paircode]:
    kept = [
        code
        for index, code in enumerate(codes)
        if code.kind != "goal" and (index == 0 or code.kind in RARE or rng.random() >= drop)
    ]
    goals = [code for code in codes if code.kind == "goal" and rng.random() < SAY_GOAL]
    return kept + goals[:MAX_GOALS] or [codes[0]]


def _merge(codes: list[Paircode], rng: np.random.Generator) -> list[Topic]:
    """A topic a code, or one for both sides."""
    table = topics()
    present, found = dict.fromkeys(codes), []
    while present:
        code = next(iter(present))
        pair = next((pair for pair, _ in merged(code) if all(other in present for other in pair)), None)
        said = pair if pair and rng.random() < MERGE else (code,)
        if said not in table:
            raise ValueError(f"{code} is not a paircode; `paircodes.CODES` lists them.")
        found.append(table[said])
        for other in said:
            del present[other]
    return found


def _fit_words(given: list[Topic], budget: int) -> list[Topic]:
    """The topics that are likely to fit, the most telling first; the first always does."""
    kept: list[Topic] = []
    for topic in given:
        if topic.typical_words <= budget or not kept:
            kept.append(topic)
            budget -= topic.typical_words
    return kept


def _order(given: list[Topic], rng: np.random.Generator) -> list[list[Topic]]:
    """Groups of topics of one limb, those of the whole body first, the others shuffled; goals end their group."""
    groups: dict[frozenset[str], list[Topic]] = {}
    for topic in given:
        parts = frozenset().union(*(code.parts for code in topic.codes))
        groups.setdefault(frozenset({"body"}) if "body" in parts else parts, []).append(topic)
    for group in groups.values():
        group.sort(key=lambda topic: (topic.is_goal, topic.nouns))
    body = groups.pop(frozenset({"body"}), [])
    rest = list(groups.values())
    return [body] * bool(body) + [rest[index] for index in rng.permutation(len(rest))]


def _sentences(groups: list[list[Topic]], rng: np.random.Generator) -> list[list[Topic]]:
    """Cuts the topics into sentences of up to three clauses; a goal ends its sentence and follows its own limb."""
    sentences: list[list[Topic]] = []
    room = 0
    for group in groups:
        for index, topic in enumerate(group):
            alone = topic.is_goal and (index == 0 or group[index - 1].is_goal)
            if room == 0 or alone:
                sentences.append([])
                room = int(rng.choice(CLAUSES))
            sentences[-1].append(topic)
            room = 0 if topic.is_goal else room - 1
    return sentences


def _one_of(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _open(texts: list[str], mood: Mood, rng: np.random.Generator) -> list[str]:
    """Puts a word of transition before sentences, no two alike."""
    first, later = OPENINGS[mood]
    opened, leads = [], list(later)
    for index, text in enumerate(texts):
        lead = _one_of(leads if index else first, rng) if index or mood == "difference" or len(texts) > 1 else ""
        if lead in leads and lead:
            leads.remove(lead)
        opened.append(lead + text)
    return opened


def _say(sentence: list[Topic], mood: Mood, rng: np.random.Generator) -> str:
    """The clauses of a sentence, joined, in lower case and without its full stop."""
    context, text = _Context(), ""
    say = _command if mood == "instruction" else _compare
    count = len(sentence) - (mood == "instruction" and len(sentence) > 1 and sentence[-1].is_goal)
    patterns = JOINS[mood][count - 1]
    joins = ("", *patterns[int(rng.integers(len(patterns)))])
    for index, topic in enumerate(sentence):
        clause = (
            say(topic, context, joins[min(index, count - 1)], rng) if index < count else _goal(topic, context, rng)
        )
        text += clause
    return text


def _article(noun: str) -> str:
    return noun if noun.startswith("both ") else f"the {noun}"


def _command(topic: Topic, context: _Context, join: str, rng: np.random.Generator) -> str:
    """A clause of an instruction with what joins it to the one before."""
    same = context.noun in topic.nouns
    brief = ", " if join == ", " else " and "
    if topic.is_goal:
        return f"{MAKE_SURE}{_finite(topic, rng)}"
    if same and topic.shorts and context.moves and rng.random() < SAY_IT:
        return brief + _one_of(topic.shorts, rng)
    if join and not same and topic.nouns and _repeats(topic, context) and rng.random() < ELLIPSIS:
        context.noun = _one_of(topic.nouns, rng)
        return brief + _article(context.noun)
    said = _one_of(topic.imperatives, rng)
    noun = context.noun if same else _one_of(topic.nouns or ("",), rng)
    named = ("them" if topic.plural else "it") if same and rng.random() < SAY_IT else _article(noun)
    context.noun, context.said = noun if "{p}" in said else "", said
    context.moves = bool(topic.shorts) and said.startswith("move {p}")
    verb, _, rest = said.partition(" ")
    if join == " while " and verb in GERUNDS:
        verb = GERUNDS[verb]
    return join + f"{verb} {rest}".strip().replace("{p}", named)


def _repeats(topic: Topic, context: _Context) -> bool:
    """Whether the last command, which must not end in how much, fits this topic too."""
    return context.said in topic.imperatives and topic.codes[0].amount == "some" and "{p}" in context.said


def _goal(topic: Topic, context: _Context, rng: np.random.Generator) -> str:
    """Where a command ends."""
    if context.noun not in topic.nouns:
        return f" so that {_finite(topic, rng)}"
    pronoun = "they are" if topic.plural else "it is"
    return f" {_one_of(('until', 'so that'), rng)} {pronoun} {_one_of(topic.states, rng)}"


def _finite(topic: Topic, rng: np.random.Generator) -> str:
    return f"{_article(_one_of(topic.nouns, rng))} {'are' if topic.plural else 'is'} {_one_of(topic.states, rng)}"


def _compare(topic: Topic, context: _Context, join: str, rng: np.random.Generator) -> str:
    """A clause of a difference with what joins it to the one before."""
    if topic.sentences:
        return join + _one_of(topic.sentences, rng)
    same, be = context.noun in topic.nouns, "are" if topic.plural else "is"
    brief = "," if join == ", " else " and"
    if join and not same and context.said in topic.states and not topic.is_goal and rng.random() < ELLIPSIS:
        context.noun = _one_of(topic.nouns, rng)
        return f"{', as' if join == ', ' else ' and so'} {be} {_article(context.noun)}"
    context.said = f"{'now ' if topic.is_goal else ''}{_one_of(topic.states, rng)}"
    if same and rng.random() < SAY_IT:
        return f"{brief} {context.said}"
    context.noun = _one_of(topic.nouns, rng)
    return f"{join}{_article(context.noun)} {be} {context.said}"


def _address(text: str, rng: np.random.Generator) -> str:
    """Says "your" for "the" throughout, nowhere, or now and then."""
    share = float(rng.choice((0.0, 0.5, 1.0)))
    return _OWNED.sub(lambda match: "your " if rng.random() < share else match[0], text)
