"""Posecodes -> an English description.

The method is PoseScript's (Delmas et al., ECCV 2022): some codes are left out, those that others imply too; codes are
merged by symmetry, by fact and by body part; clauses are put in random order, joined and worded at random. The same
codes give many captions, the same seed gives one. All words come from `phrases`, so that `read_caption` can read every
caption back to exactly its codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unipose.training.captions import phrases
from unipose.training.captions.implied import drop_implied
from unipose.training.captions.lexicon import Codes, postures
from unipose.training.captions.merge import Clause, Dice, merge
from unipose.training.captions.posecodes import RULES, Posecode, holding


# How often two clauses share a sentence, and the arms join the first sentence.
PAIR, ARMS_FIRST = 0.45, 0.8
# How often a clause is about what a person does, a sentence has a word or two before it, the verb is a phrase's own,
# and the last fact of several starts anew with "it is".
HOLD, PREFACE, OWN_VERB, ANEW = 0.3, 0.1, 0.5, 0.15


@dataclass(frozen=True)
class Caption:
    """A description and the codes it states, in the order of the text."""

    text: str
    codes: Codes


def describe(
    codes: Sequence[Posecode],
    rng: np.random.Generator,
    *,
    lead: str = "",
    drop: float = 0.15,
    max_words: int = 55,
    variety: float = 1.0,
) -> Caption:
    """Says what a pose is like.

    Args:
        codes: the pose's codes, from `extract_posecodes`.
        rng: decides wording, order and what is left out.
        lead: a sentence to open with in place of the one about the posture.
        drop: probability of leaving out each statement that is not rare.
        max_words: statements that would make the text longer are left out, the least telling first.
        variety: 1 for the full choice of wordings, 0 for the first of each.

    Returns:
        The text and the codes it states, in the order of the text.
    """
    dice = Dice(rng, variety)
    said = drop_implied([code for code in codes if RULES[code].worth == "rare" or dice.random() >= drop])
    posture = next((code for code in said if code.kind == "posture"), None)
    clauses = merge([code for code in said if code.kind != "posture"], dice)
    clauses = sorted(dice.shuffle(clauses), key=lambda clause: not clause.rare)
    sentences: list[Caption] = []
    if lead:
        sentences.append(Caption(lead, ()))
    elif posture is not None:
        sentences.append(_opening(posture, clauses, dice, max_words))
    budget = max_words - sum(len(sentence.text.split()) for sentence in sentences)
    sentences += _sentences(clauses, dice, budget, bool(sentences))
    return Caption(
        " ".join(sentence.text for sentence in sentences), tuple(code for each in sentences for code in each.codes)
    )


def _opening(posture: Posecode, clauses: list[Clause], dice: Dice, max_words: int) -> Caption:
    """The sentence about the posture; what the arms do, or another clause, may join it and is taken off the list."""
    finite, gerund = postures(posture)
    form = dice.random()
    has_verb = form < 0.85
    if form < 0.45:
        text = f"{dice.word(phrases.PEOPLE)} {dice.word(finite)}"
    elif has_verb:
        text = f"{dice.word(phrases.PEOPLE[1:])} is {dice.word(gerund)}"
    else:
        text = f"{dice.word(phrases.OPENERS)} {dice.word(phrases.OPENED_PEOPLE)} {dice.word(gerund)}"
    arms = next((clause for clause in clauses if clause.codes[0].kind == "arms"), None)
    joins = arms if arms is not None else (clauses[0] if clauses else None)
    if joins is not None and dice.random() < (ARMS_FIRST if arms else PAIR):
        longer = text + _joined_to_person(text, has_verb, joins, dice)
        if len(longer.split()) <= max_words:
            clauses.remove(joins)
            return Caption(_finish(longer), (posture, *joins.codes))
    return Caption(_finish(text), (posture,))


def _joined_to_person(text: str, has_verb: bool, clause: Clause, dice: Dice) -> str:
    """What follows a clause about the person, which has a verb or not: "there is a person standing"."""
    form = dice.random() if all(fact.states for fact in clause.facts) else 1.0
    if form < 0.5 and " with " not in text:
        return f"{dice.word(phrases.WITH)} {_parts_and_states(clause, dice)}"
    if form < 0.7 and has_verb:
        return f" and {dice.word(phrases.HOLDING)[1]} {_parts_and_states(clause, dice)}"
    if form < 0.85:
        return f", {dice.word(phrases.HOLDING)[2]} {_parts_and_states(clause, dice)}"
    return f"{dice.word(phrases.LINKS)} {_whole(clause, dice)}"


def _sentences(clauses: list[Clause], dice: Dice, budget: int, begun: bool) -> list[Caption]:
    """Sentences of one or two clauses that fit in `budget` words, in random order."""
    kept: list[Caption] = []
    waiting = list(clauses)
    while waiting and budget > 3:
        first = waiting.pop(0)
        second = _partner(first, waiting, dice)
        for clauses_said in ((first, second), (first,)) if second is not None else ((first,),):
            preface = f"{dice.word(phrases.PREFACES)} " if begun and dice.random() < PREFACE else ""
            sentence = _finish(preface + _sentence(clauses_said, dice))
            words = len(sentence.split())
            if words <= budget:
                kept.append(Caption(sentence, tuple(code for clause in clauses_said for code in clause.codes)))
                budget -= words
                if len(clauses_said) == 2:
                    waiting.remove(clauses_said[1])
                break
    return dice.shuffle(kept)


def _partner(first: Clause, waiting: list[Clause], dice: Dice) -> Clause | None:
    """A clause for the same sentence: the one about the other side, or the next one."""
    if not waiting or dice.random() >= PAIR:
        return None
    return next((clause for clause in waiting if _opposite(first, clause)), waiting[0])


def _opposite(first: Clause, second: Clause) -> bool:
    """Whether two clauses are about one left and one right part of a kind."""
    if len(first.subjects) > 1 or len(second.subjects) > 1:
        return False
    side, _, noun = first.subjects[0].partition("_")
    other = {"left": "right", "right": "left"}.get(side)
    return other is not None and second.subjects[0] == f"{other}_{noun}"


def _sentence(clauses: Sequence[Clause], dice: Dice) -> str:
    first = clauses[0]
    if all(fact.states for fact in first.facts) and dice.random() < HOLD:
        person, form = dice.word(phrases.HOLDERS)
        text = f"{person} {dice.word(phrases.HOLDING)[form]} {_parts_and_states(first, dice)}"
    else:
        text = _whole(first, dice)
    if len(clauses) == 1:
        return text
    second = clauses[1]
    if _opposite(first, second):
        says = _says(second, False, dice)
        return (
            f"{text}{dice.word(phrases.CONTRASTS)} {_other_part(second.subjects[0], ' other ' in says, dice)} {says}"
        )
    if all(fact.states for fact in second.facts) and dice.random() < 0.4:
        return f"{text}{dice.word(phrases.WITH)} {_parts_and_states(second, dice)}"
    return f"{text}{dice.word(phrases.LINKS)} {_whole(second, dice)}"


def _other_part(subject: str, by_side: bool, dice: Dice) -> str:
    """What the second of a left and a right part is called; by its side where "other" is taken."""
    side, _, noun = subject.partition("_")
    one = phrases.NOUNS[noun][0][0]
    names = (f"the {side} one", f"the {side} {one}", "the other", "the other one", f"the other {one}")
    return dice.word(names[:2] if by_side else names)


def _name(subject: str, article: str, dice: Dice) -> tuple[str, bool]:
    """A part with its article, and whether it is plural: "the left knee", "both of their hands", "their torso"."""
    if subject in phrases.WHOLE_NOUNS:
        noun, plural = dice.word(phrases.WHOLE_NOUNS[subject])
        return f"{'the' if subject in phrases.OWNERLESS else article} {noun}", plural
    side, _, part = subject.partition("_")
    one, both = dice.word(phrases.NOUNS[part])
    return (f"{dice.word(phrases.BOTH)} {both}", True) if side == "both" else (f"{article} {side} {one}", False)


def _names(clause: Clause, dice: Dice) -> tuple[str, bool]:
    """The subject of a clause and whether it takes a plural verb."""
    article = dice.word(phrases.DETERMINERS)
    named = [_name(subject, article, dice) for subject in clause.subjects]
    return _list([name for name, _ in named]), len(named) > 1 or named[0][1]


def _parts_and_states(clause: Clause, dice: Dice) -> str:
    """ "the left knee straight", as after "with" and "keep"."""
    return f"{_names(clause, dice)[0]} {_list([dice.word(fact.states) for fact in clause.facts])}"


def _whole(clause: Clause, dice: Dice) -> str:
    """ "the left knee is straight and points down"."""
    name, plural = _names(clause, dice)
    return f"{name} {_says(clause, plural, dice)}"


def _says(clause: Clause, plural: bool, dice: Dice) -> str:
    """What a clause says of its subject, verbs included."""
    said: list[str] = []
    after_verb = True
    for fact in clause.facts:
        verb = bool(fact.verbs) and (not fact.states or dice.random() < OWN_VERB)
        phrase = dice.word(fact.verbs if verb else fact.states)
        if not verb and after_verb:
            phrase = f"{dice.word(phrases.COPULAS)[plural]} {phrase}"
        said.append(phrase)
        after_verb = verb
    if len(said) > 1 and not plural and dice.random() < ANEW:
        again = said[-1] if clause.facts[-1].verbs and after_verb else f"is {said[-1].removeprefix('is ')}"
        return f"{_list(said[:-1])}, and it {again}"
    return _list(said)


def _list(items: Sequence[str]) -> str:
    return f"{', '.join(items[:-1])} and {items[-1]}" if len(items) > 1 else items[0]


def _finish(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def statements_true(
    codes: Sequence[Posecode], joints: npt.ArrayLike, tolerance: float = 1.0, rotmats: npt.ArrayLike | None = None
) -> float:
    """The fraction of statements that hold on a pose, of (22, 3) joints in metres, y up (see `holds`).

    Raises:
        ValueError: there are no statements.
    """
    if not codes:
        raise ValueError("statements_true was given no codes; a fraction of none is undefined.")
    turns = None if rotmats is None else np.asarray(rotmats)[None]
    return float(holding(codes, np.asarray(joints)[None], tolerance, turns).mean())
