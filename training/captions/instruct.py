"""Paircodes -> an instruction that changes pose A into pose B, or a text on how B differs from A.

Both styles take their words from `paircode_phrases`, in which `read_instruction` looks every clause up. Changes of
both sides are merged, changes of one limb are stated together, a part that was just named becomes "it", and sometimes
a goal states where to stop. The same codes give several texts, the same seed gives one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unipose.training.captions.paircode_phrases import GERUNDS, Topic, merged, topics
from unipose.training.captions.paircode_rules import NONE, Paircode, changed_parts
from unipose.training.captions.text import Caption, RandomChooser, join_list, to_sentence


Style = Literal["instruction", "difference"]
STYLES = ("instruction", "difference")

# Kinds that are never dropped.
RARE = frozenset({"posture", "heading", "torso", "none"})
MERGE, ADD_GOAL, MAX_GOALS = 0.95, 0.35, 2
# Probability that a repeated part becomes "it", and that a repeated template is left out.
USE_IT, ELLIPSIS = 0.9, 0.6
USE_YOUR = 0.6
CLAUSES = (1, 2, 3)

# Beginnings of the first and of later sentences; after "First, " only words of order follow.
OPENINGS: dict[Style, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "instruction": (("", "", "", "First, "), ("", "", "Also, ", "Then ", "Next, ", "After that, ")),
    "difference": (
        ("", "", "In the second pose, ", "Compared with the first pose, "),
        ("", "", "", "Also, ", "In addition, ", "Besides, "),
    ),
}
NO_ORDER = ("", "Also, ")
# Joins of two or three clauses; LONG_JOINS: of two clauses if the first already has an "and".
JOINS: dict[Style, tuple[tuple[tuple[str, ...], ...], ...]] = {
    "instruction": (
        ((),),
        ((" and ",), (" and ",), (", then ",), (" while ",)),
        ((", ", " and "), (", ", ", then "), (" and ", ", then ")),
    ),
    "difference": (((),), ((" and ",), (", and ",), (" while ",)), ((", ", " and "), (", ", ", and "))),
}
LONG_JOINS: dict[Style, tuple[tuple[str, ...], ...]] = {
    "instruction": ((", then ",), (" while ",)),
    "difference": ((", and ",), (" while ",)),
}
# The slight changes that a goal implies of its own part: its kind -> the kind and ways of the change.
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


@dataclass
class _Context:
    """The part and the phrase that the next clause of a sentence may leave out.

    `tail` is what the clauses that lean on the last whole one leave out: "" while there is none, "part" or "verb".
    """

    noun: str = ""
    phrase: str = ""
    moves: bool = False
    tail: str = ""


def check_style(style: str) -> None:
    """Checks the name of a style.

    Raises:
        ValueError: `style` is not one of `STYLES`.
    """
    if style not in STYLES:
        raise ValueError(f"style is {style!r}; expected one of {', '.join(map(repr, STYLES))}.")


def instruct(
    codes: Sequence[Paircode],
    rng: np.random.Generator,
    *,
    style: Style = "instruction",
    drop: float = 0.15,
    max_words: int = 40,
) -> Caption[Paircode]:
    """Writes what changes from A to B.

    Args:
        codes: the codes of the pair, from `extract_paircodes`, the most salient first.
        rng: the source of wording, order and omissions.
        style: "instruction" addresses the person of pose A, "difference" states how B differs from A.
        drop: probability of dropping each code that is not rare; the first is always stated.
        max_words: changes that would make the text longer are dropped, the least salient first; one is always stated.

    Returns:
        The text and the codes it states.

    Raises:
        ValueError: an unknown style, no codes, or a code that is not a paircode.
    """
    check_style(style)
    if not codes:
        raise ValueError(
            "instruct got no codes; expected one or more (where nothing changes, extract_paircodes gives NONE)."
        )
    chooser = RandomChooser(rng)
    chosen = _fit_words(_merge(_select(codes, chooser, drop), chooser), max_words)
    caption = _write(chosen, style, chooser)
    while len(caption.text.split()) > max_words and len(chosen) > 1:
        chosen = chosen[:-1]
        caption = _write(chosen, style, chooser)
    return caption if len(caption.text.split()) <= max_words else _write(chosen, style, chooser, opened=False)


def _write(chosen: list[Topic], style: Style, chooser: RandomChooser, opened: bool = True) -> Caption[Paircode]:
    sentences = _sentences(_order(chosen, chooser), chooser)
    texts = [_write_sentence(sentence, style, chooser) for sentence in sentences]
    if opened and chosen[0].codes != (NONE,):
        texts = _open(texts, style, chooser)
    text = " ".join(map(to_sentence, texts))
    if style == "instruction":
        text = _address(text, chooser)
    return Caption(text, tuple(code for sentence in sentences for topic in sentence for code in topic.codes))


def _select(codes: Sequence[Paircode], chooser: RandomChooser, drop: float) -> list[Paircode]:
    kept = [
        code
        for index, code in enumerate(codes)
        if code.kind != "goal" and (index == 0 or code.kind in RARE or chooser.random() >= drop)
    ]
    goals = [code for code in codes if code.kind == "goal" and chooser.random() < ADD_GOAL][:MAX_GOALS]
    stated = [next((goal for goal in goals if _covers(goal, code)), code) for code in kept]
    return list(dict.fromkeys(stated + goals)) or [codes[0]]


def _covers(goal: Paircode, code: Paircode) -> bool:
    """Whether a goal makes a change superfluous: "a little straighter and now straight"."""
    kind, _, value = goal.value.partition(".")
    if goal.subject != code.subject:
        return False
    if kind == "near":
        return code.kind == "reach" and code.value == f"to_{value}"
    if kind == "distance":
        return code.kind == "distance"
    change, ways = SLIGHT_WAYS.get(kind, ("", ()))
    return code.kind == change and code.value in ways and code.amount == "slight"


def _merge(codes: list[Paircode], chooser: RandomChooser) -> list[Topic]:
    """One topic per code, or one for both sides."""
    table = topics()
    present, found = dict.fromkeys(codes), []
    while present:
        code = next(iter(present))
        pair = next((pair for pair, _ in merged(code) if all(other in present for other in pair)), None)
        stated = pair if pair and chooser.random() < MERGE else (code,)
        if stated not in table:
            raise ValueError(f"{code} is not a paircode; `paircode_rules.CODES` lists them.")
        found.append(table[stated])
        for other in stated:
            del present[other]
    return found


def _fit_words(given: list[Topic], budget: int) -> list[Topic]:
    """The topics that are likely to fit, the most salient first; the first always does."""
    kept: list[Topic] = []
    for topic in given:
        if topic.typical_words <= budget or not kept:
            kept.append(topic)
            budget -= topic.typical_words
    return kept


def _order(given: list[Topic], chooser: RandomChooser) -> list[list[Topic]]:
    """Groups of topics of one limb, those of the whole body first, the others shuffled; goals follow their part."""
    groups: dict[frozenset[str], list[Topic]] = {}
    for topic in given:
        parts = changed_parts(topic.codes)
        groups.setdefault(frozenset({"body"}) if "body" in parts else parts, []).append(topic)
    for group in groups.values():
        group.sort(key=lambda topic: (topic.nouns, topic.is_goal))
    body = groups.pop(frozenset({"body"}), [])
    rest = list(groups.values())
    return [body] * bool(body) + chooser.shuffle(rest)


def _sentences(groups: list[list[Topic]], chooser: RandomChooser) -> list[list[Topic]]:
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
                room = max(chooser.pick(CLAUSES), run)
            sentences[-1].append(topic)
            room = 0 if topic.is_goal else room - 1
    return sentences


def _open(texts: list[str], style: Style, chooser: RandomChooser) -> list[str]:
    """Puts different transitions before sentences."""
    first, later = OPENINGS[style]
    chosen: list[str] = []
    for index, text in enumerate(texts):
        leads = later if index else first
        if chosen == ["First, "]:
            leads = tuple(lead for lead in later if lead not in NO_ORDER)
        used = {*chosen, "Then " if ", then " in text else ""} - {""}
        fitting = [lead for lead in leads if lead not in used]
        chosen.append(chooser.pick(fitting) if style == "difference" or len(texts) > 1 else "")
    return [lead + text for lead, text in zip(chosen, texts)]


def _write_sentence(sentence: list[Topic], style: Style, chooser: RandomChooser) -> str:
    """The clauses of a sentence, joined, in lower case and without a period."""
    context, stop = _Context(), ""
    write_clause = _command if style == "instruction" else _compare
    wholes: list[list[str]] = []
    for topic in sentence:
        if style == "instruction" and topic.is_goal and wholes:
            stop = _goal(topic, context, chooser)
            continue
        text = write_clause(topic, context, chooser)
        if context.tail:
            wholes[-1].append(text)
        else:
            wholes.append([text])
    return (
        _join([join_list(texts) for texts in wholes], any(len(texts) > 1 for texts in wholes), style, chooser) + stop
    )


def _join(clauses: list[str], lists: bool, style: Style, chooser: RandomChooser) -> str:
    patterns = LONG_JOINS[style] if lists and len(clauses) == 2 else JOINS[style][len(clauses) - 1]
    text = clauses[0]
    for join, clause in zip(chooser.pick(patterns), clauses[1:]):
        verb, space, rest = clause.partition(" ")
        text += join + (GERUNDS[verb] + space + rest if join == " while " and verb in GERUNDS else clause)
    return text


def _article(noun: str) -> str:
    return noun if noun.startswith("both ") else f"the {noun}"


def _command(topic: Topic, context: _Context, chooser: RandomChooser) -> str:
    """A clause of an instruction; `context` decides whether it depends on the one before."""
    same = context.noun in topic.nouns
    if topic.is_goal:
        return f"{MAKE_SURE}{_finite(topic, chooser)}"
    if same and topic.shorts and context.moves and context.tail != "verb" and chooser.random() < USE_IT:
        context.tail = "part"
        return chooser.pick(topic.shorts)
    if (
        not same
        and topic.nouns
        and _repeats(topic, context)
        and context.tail != "part"
        and chooser.random() < ELLIPSIS
    ):
        context.noun, context.tail = chooser.pick(topic.nouns), "verb"
        return _article(context.noun)
    verb = context.phrase.partition(" ")[0]
    phrase = chooser.pick(
        [phrase for phrase in topic.imperatives if phrase.partition(" ")[0] != verb] or topic.imperatives
    )
    noun = context.noun if same else chooser.pick(topic.nouns or ("",))
    named = (
        ("them" if topic.plural else "it")
        if same and not context.tail and chooser.random() < USE_IT
        else _article(noun)
    )
    context.noun, context.phrase, context.tail = noun if "{p}" in phrase else "", phrase, ""
    context.moves = bool(topic.shorts) and phrase.startswith("move {p}")
    return phrase.replace("{p}", named)


def _repeats(topic: Topic, context: _Context) -> bool:
    """Whether the last command fits this topic too; it must not end in an amount."""
    return context.phrase in topic.imperatives and topic.codes[0].amount == "some" and "{p}" in context.phrase


def _goal(topic: Topic, context: _Context, chooser: RandomChooser) -> str:
    """Where a command ends."""
    if context.noun not in topic.nouns or context.tail:
        return f" so that {_finite(topic, chooser)}"
    pronoun = "they are" if topic.plural else "it is"
    return f" {chooser.pick(('until', 'so that'))} {pronoun} {chooser.pick(topic.states)}"


def _finite(topic: Topic, chooser: RandomChooser) -> str:
    return f"{_article(chooser.pick(topic.nouns))} {'are' if topic.plural else 'is'} {chooser.pick(topic.states)}"


def _compare(topic: Topic, context: _Context, chooser: RandomChooser) -> str:
    """A clause of a difference; `context` decides whether it depends on the one before."""
    if topic.sentences:
        return chooser.pick(topic.sentences)
    same, be = context.noun in topic.nouns, "are" if topic.plural else "is"
    repeats = context.phrase in topic.states and not topic.is_goal and not context.tail
    if not same and repeats and chooser.random() < ELLIPSIS:
        context.noun, context.tail = chooser.pick(topic.nouns), "verb"
        return f"so {be} {_article(context.noun)}"
    context.phrase = f"{'now ' if topic.is_goal else ''}{chooser.pick(topic.states)}"
    if same and context.tail != "verb" and chooser.random() < USE_IT:
        context.tail = "part"
        return context.phrase
    context.noun, context.tail = chooser.pick(topic.nouns), ""
    return f"{_article(context.noun)} {be} {context.phrase}"


def _address(text: str, chooser: RandomChooser) -> str:
    """Writes "your" for "the" throughout, or nowhere."""
    return _OWNED.sub("your ", text) if chooser.random() < USE_YOUR else text
