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
SAY_YOUR = 0.6
CLAUSES = (1, 2, 3)

# What the first and the later sentences begin with; after "First, " only what tells of an order follows.
OPENINGS: dict[Mood, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "instruction": (("", "", "", "First, "), ("", "", "Also, ", "Then ", "Next, ", "After that, ")),
    "difference": (
        ("", "", "In the second pose, ", "Compared with the first pose, "),
        ("", "", "", "Also, ", "In addition, ", "Besides, "),
    ),
}
NO_ORDER = ("", "Also, ")
# What joins two clauses, or three; and two of which the first already has an "and".
JOINS: dict[Mood, tuple[tuple[tuple[str, ...], ...], ...]] = {
    "instruction": (
        ((),),
        ((" and ",), (" and ",), (", then ",), (" while ",)),
        ((", ", " and "), (", ", ", then "), (" and ", ", then ")),
    ),
    "difference": (((),), ((" and ",), (", and ",), (" while ",)), ((", ", " and "), (", ", ", and "))),
}
LONG_JOINS: dict[Mood, tuple[tuple[str, ...], ...]] = {
    "instruction": ((", then ",), (" while ",)),
    "difference": ((", and ",), (" while ",)),
}
# What a goal says of its part by itself, where the change is slight: its kind -> the kind and ways of that change.
SLIGHT_WAYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "bend": ("bend", ("bend", "straighten")),
    "height": ("move", ("up", "down")),
    "ground": ("move", ("up", "down")),
    "depth": ("move", ("back",)),
}
MAKE_SURE = "make sure that "
_OWNED = re.compile(
    r"\bthe (?=(?:left|right|head|torso|upper body|body|whole body|hips|hands|elbows|knees|feet|shoulders|shins|"
    r"ankles|stomach|back|heels)\b)"
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
    """What the next clause of a sentence may leave out: the part, and how it was said to change.

    `tail` is what the clauses that lean on the last whole one leave out: "" while there is none, "part" or "verb".
    """

    noun: str = ""
    said: str = ""
    moves: bool = False
    tail: str = ""


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
    goals = [code for code in codes if code.kind == "goal" and rng.random() < SAY_GOAL][:MAX_GOALS]
    told = [next((goal for goal in goals if _tells(goal, code)), code) for code in kept]
    return list(dict.fromkeys(told + goals)) or [codes[0]]


def _tells(goal: Paircode, code: Paircode) -> bool:
    """Whether a goal leaves little to say of a change: "a little straighter and now straight"."""
    kind, _, value = goal.value.partition(".")
    if goal.subject != code.subject:
        return False
    if kind == "near":
        return code.kind == "reach" and code.value == f"to_{value}"
    if kind == "distance":
        return code.kind == "distance"
    told, ways = SLIGHT_WAYS.get(kind, ("", ()))
    return code.kind == told and code.value in ways and code.amount == "slight"


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
    """Groups of topics of one limb, those of the whole body first, the others shuffled; goals follow their part."""
    groups: dict[frozenset[str], list[Topic]] = {}
    for topic in given:
        parts = frozenset().union(*(code.parts for code in topic.codes))
        groups.setdefault(frozenset({"body"}) if "body" in parts else parts, []).append(topic)
    for group in groups.values():
        group.sort(key=lambda topic: (topic.nouns, topic.is_goal))
    body = groups.pop(frozenset({"body"}), [])
    rest = list(groups.values())
    return [body] * bool(body) + [rest[index] for index in rng.permutation(len(rest))]


def _sentences(groups: list[list[Topic]], rng: np.random.Generator) -> list[list[Topic]]:
    """Cuts the topics into sentences of up to three clauses, not between those of one part if it can be helped; a goal
    ends its sentence and follows its own limb."""
    sentences: list[list[Topic]] = []
    room = 0
    for group in groups:
        for index, topic in enumerate(group):
            alone = topic.is_goal and (index == 0 or group[index - 1].is_goal)
            first = index == 0 or topic.nouns != group[index - 1].nouns
            run = min(sum(other.nouns == topic.nouns for other in group[index:]), max(CLAUSES)) if first else 1
            if room < run or alone:
                sentences.append([])
                room = max(int(rng.choice(CLAUSES)), run)
            sentences[-1].append(topic)
            room = 0 if topic.is_goal else room - 1
    return sentences


def _one_of(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _open(texts: list[str], mood: Mood, rng: np.random.Generator) -> list[str]:
    """Puts a word of transition before sentences, no two alike."""
    first, later = OPENINGS[mood]
    said: list[str] = []
    for index, text in enumerate(texts):
        leads = later if index else first
        if said == ["First, "]:
            leads = tuple(lead for lead in later if lead not in NO_ORDER)
        used = {*said, "Then " if ", then " in text else ""} - {""}
        fitting = [lead for lead in leads if lead not in used]
        said.append(_one_of(fitting, rng) if mood == "difference" or len(texts) > 1 else "")
    return [lead + text for lead, text in zip(said, texts)]


def _say(sentence: list[Topic], mood: Mood, rng: np.random.Generator) -> str:
    """The clauses of a sentence, joined, in lower case and without its full stop."""
    context, stop = _Context(), ""
    say = _command if mood == "instruction" else _compare
    wholes: list[list[str]] = []
    for topic in sentence:
        if mood == "instruction" and topic.is_goal and wholes:
            stop = _goal(topic, context, rng)
            continue
        text = say(topic, context, rng)
        if context.tail:
            wholes[-1].append(text)
        else:
            wholes.append([text])
    return _join([_list(texts) for texts in wholes], any(len(texts) > 1 for texts in wholes), mood, rng) + stop


def _list(texts: list[str]) -> str:
    """A clause and those that lean on it: "a", "a and b", "a, b and c"."""
    return f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else texts[0]


def _join(clauses: list[str], lists: bool, mood: Mood, rng: np.random.Generator) -> str:
    patterns = LONG_JOINS[mood] if lists and len(clauses) == 2 else JOINS[mood][len(clauses) - 1]
    text = clauses[0]
    for join, clause in zip(patterns[int(rng.integers(len(patterns)))], clauses[1:]):
        verb, space, rest = clause.partition(" ")
        text += join + (GERUNDS[verb] + space + rest if join == " while " and verb in GERUNDS else clause)
    return text


def _article(noun: str) -> str:
    return noun if noun.startswith("both ") else f"the {noun}"


def _command(topic: Topic, context: _Context, rng: np.random.Generator) -> str:
    """A clause of an instruction; `context` says whether it leans on the one before."""
    same = context.noun in topic.nouns
    if topic.is_goal:
        return f"{MAKE_SURE}{_finite(topic, rng)}"
    if same and topic.shorts and context.moves and context.tail != "verb" and rng.random() < SAY_IT:
        context.tail = "part"
        return _one_of(topic.shorts, rng)
    if not same and topic.nouns and _repeats(topic, context) and context.tail != "part" and rng.random() < ELLIPSIS:
        context.noun, context.tail = _one_of(topic.nouns, rng), "verb"
        return _article(context.noun)
    verb = context.said.partition(" ")[0]
    said = _one_of([said for said in topic.imperatives if said.partition(" ")[0] != verb] or topic.imperatives, rng)
    noun = context.noun if same else _one_of(topic.nouns or ("",), rng)
    named = (
        ("them" if topic.plural else "it") if same and not context.tail and rng.random() < SAY_IT else _article(noun)
    )
    context.noun, context.said, context.tail = noun if "{p}" in said else "", said, ""
    context.moves = bool(topic.shorts) and said.startswith("move {p}")
    return said.replace("{p}", named)


def _repeats(topic: Topic, context: _Context) -> bool:
    """Whether the last command, which must not end in how much, fits this topic too."""
    return context.said in topic.imperatives and topic.codes[0].amount == "some" and "{p}" in context.said


def _goal(topic: Topic, context: _Context, rng: np.random.Generator) -> str:
    """Where a command ends."""
    if context.noun not in topic.nouns or context.tail:
        return f" so that {_finite(topic, rng)}"
    pronoun = "they are" if topic.plural else "it is"
    return f" {_one_of(('until', 'so that'), rng)} {pronoun} {_one_of(topic.states, rng)}"


def _finite(topic: Topic, rng: np.random.Generator) -> str:
    return f"{_article(_one_of(topic.nouns, rng))} {'are' if topic.plural else 'is'} {_one_of(topic.states, rng)}"


def _compare(topic: Topic, context: _Context, rng: np.random.Generator) -> str:
    """A clause of a difference; `context` says whether it leans on the one before."""
    if topic.sentences:
        return _one_of(topic.sentences, rng)
    same, be = context.noun in topic.nouns, "are" if topic.plural else "is"
    repeats = context.said in topic.states and not topic.is_goal and not context.tail
    if not same and repeats and rng.random() < ELLIPSIS:
        context.noun, context.tail = _one_of(topic.nouns, rng), "verb"
        return f"so {be} {_article(context.noun)}"
    context.said = f"{'now ' if topic.is_goal else ''}{_one_of(topic.states, rng)}"
    if same and context.tail != "verb" and rng.random() < SAY_IT:
        context.tail = "part"
        return context.said
    context.noun, context.tail = _one_of(topic.nouns, rng), ""
    return f"{_article(context.noun)} {be} {context.said}"


def _address(text: str, rng: np.random.Generator) -> str:
    """Says "your" for "the" throughout, or nowhere."""
    return _OWNED.sub("your ", text) if rng.random() < SAY_YOUR else text
