"""Posecodes -> an English description.

The method is PoseScript's (Delmas et al., ECCV 2022): some codes are dropped, and those that others imply; codes are
merged by symmetry, by fact and by body part; clauses are ordered, joined and worded at random. The same codes give
many captions, the same seed gives one. All words come from `posecode_phrases`, so that `read_caption` reads every
caption back to exactly its codes.
"""

from collections.abc import Sequence

import numpy as np

import unipose.training.captions.posecode_phrases as phrases
from unipose.training.captions.implications import drop_implied
from unipose.training.captions.lexicon import postures
from unipose.training.captions.merge import Clause, merge
from unipose.training.captions.posecodes import RULES, Posecode
from unipose.training.captions.text import BufferedChooser, Caption, join_list, to_sentence


# Probability that two clauses share a sentence, and that the arms join the first sentence.
PAIR, ARMS_FIRST = 0.45, 0.8
# Probability that a clause is about the person's action, that a sentence has a preface, that a phrase uses its own
# verb, and that the last of several facts repeats the subject ("and it is").
HOLD, PREFACE, OWN_VERB, REPEAT_SUBJECT = 0.3, 0.1, 0.5, 0.15


def describe(
    codes: Sequence[Posecode],
    rng: np.random.Generator,
    *,
    lead: str = "",
    drop: float = 0.15,
    max_words: int = 55,
    variety: float = 1.0,
) -> Caption[Posecode]:
    """Writes a description of a pose.

    Args:
        codes: the codes of the pose, from `extract_posecodes`.
        rng: the source of wording, order and omissions.
        lead: a first sentence in place of the one about the posture.
        drop: probability of dropping each statement that is not rare.
        max_words: statements that would make the text longer are dropped, the least salient first.
        variety: 1 for the full choice of wordings, 0 for the first of each.

    Returns:
        The text and the codes it states, in the order of the text.
    """
    chooser = BufferedChooser(rng, variety)
    kept = drop_implied([code for code in codes if RULES[code].eligibility == "rare" or chooser.random() >= drop])
    posture = next((code for code in kept if code.kind == "posture"), None)
    clauses = merge([code for code in kept if code.kind != "posture"], chooser)
    clauses = sorted(chooser.shuffle(clauses), key=lambda clause: not clause.rare)
    sentences: list[Caption[Posecode]] = []
    if lead:
        sentences.append(Caption(lead, ()))
    elif posture is not None:
        sentences.append(_opening(posture, clauses, chooser, max_words))
    budget = max_words - sum(len(sentence.text.split()) for sentence in sentences)
    sentences += _sentences(clauses, chooser, budget, bool(sentences))
    return Caption(
        " ".join(sentence.text for sentence in sentences), tuple(code for each in sentences for code in each.codes)
    )


def _opening(posture: Posecode, clauses: list[Clause], chooser: BufferedChooser, max_words: int) -> Caption[Posecode]:
    """The sentence about the posture; the arms, or another clause, may join it and are removed from the list."""
    finite, gerund = postures(posture)
    form = chooser.random()
    has_verb = form < 0.85
    if form < 0.45:
        text = f"{chooser.word(phrases.PEOPLE)} {chooser.word(finite)}"
    elif has_verb:
        text = f"{chooser.word(phrases.PEOPLE[1:])} is {chooser.word(gerund)}"
    else:
        text = f"{chooser.word(phrases.OPENERS)} {chooser.word(phrases.OPENED_PEOPLE)} {chooser.word(gerund)}"
    arms = next((clause for clause in clauses if clause.codes[0].kind == "arms"), None)
    joins = arms if arms is not None else (clauses[0] if clauses else None)
    if joins is not None and chooser.random() < (ARMS_FIRST if arms else PAIR):
        longer = text + _joined_to_person(text, has_verb, joins, chooser)
        if len(longer.split()) <= max_words:
            clauses.remove(joins)
            return Caption(to_sentence(longer), (posture, *joins.codes))
    return Caption(to_sentence(text), (posture,))


def _joined_to_person(text: str, has_verb: bool, clause: Clause, chooser: BufferedChooser) -> str:
    """What follows a clause about the person, which has a verb or not: "there is a person standing"."""
    form = chooser.random() if all(fact.states for fact in clause.facts) else 1.0
    if form < 0.5 and " with " not in text:
        return f"{chooser.word(phrases.WITH)} {_parts_and_states(clause, chooser)}"
    if form < 0.7 and has_verb:
        return f" and {chooser.word(phrases.HOLDING)[1]} {_parts_and_states(clause, chooser)}"
    if form < 0.85:
        return f", {chooser.word(phrases.HOLDING)[2]} {_parts_and_states(clause, chooser)}"
    return f"{chooser.word(phrases.LINKS)} {_whole(clause, chooser)}"


def _sentences(clauses: list[Clause], chooser: BufferedChooser, budget: int, begun: bool) -> list[Caption[Posecode]]:
    """Sentences of one or two clauses that fit in `budget` words, in random order."""
    kept: list[Caption[Posecode]] = []
    waiting = list(clauses)
    while waiting and budget > 3:
        first = waiting.pop(0)
        second = _partner(first, waiting, chooser)
        for together in ((first, second), (first,)) if second is not None else ((first,),):
            preface = f"{chooser.word(phrases.PREFACES)} " if begun and chooser.random() < PREFACE else ""
            sentence = to_sentence(preface + _sentence(together, chooser))
            words = len(sentence.split())
            if words <= budget:
                kept.append(Caption(sentence, tuple(code for clause in together for code in clause.codes)))
                budget -= words
                if len(together) == 2:
                    waiting.remove(together[1])
                break
    return chooser.shuffle(kept)


def _partner(first: Clause, waiting: list[Clause], chooser: BufferedChooser) -> Clause | None:
    """A clause for the same sentence: the one about the other side, or the next one."""
    if not waiting or chooser.random() >= PAIR:
        return None
    return next((clause for clause in waiting if _opposite(first, clause)), waiting[0])


def _opposite(first: Clause, second: Clause) -> bool:
    """Whether two clauses are about one left and one right part of a kind."""
    if len(first.subjects) > 1 or len(second.subjects) > 1:
        return False
    side, _, noun = first.subjects[0].partition("_")
    other = {"left": "right", "right": "left"}.get(side)
    return other is not None and second.subjects[0] == f"{other}_{noun}"


def _sentence(clauses: Sequence[Clause], chooser: BufferedChooser) -> str:
    first = clauses[0]
    if all(fact.states for fact in first.facts) and chooser.random() < HOLD:
        person, form = chooser.word(phrases.HOLDERS)
        text = f"{person} {chooser.word(phrases.HOLDING)[form]} {_parts_and_states(first, chooser)}"
    else:
        text = _whole(first, chooser)
    if len(clauses) == 1:
        return text
    second = clauses[1]
    if _opposite(first, second):
        predicate = _predicate(second, False, chooser)
        link = chooser.word(phrases.CONTRASTS)
        return f"{text}{link} {_other_part(second.subjects[0], ' other ' in predicate, chooser)} {predicate}"
    if all(fact.states for fact in second.facts) and chooser.random() < 0.4:
        return f"{text}{chooser.word(phrases.WITH)} {_parts_and_states(second, chooser)}"
    return f"{text}{chooser.word(phrases.LINKS)} {_whole(second, chooser)}"


def _other_part(subject: str, by_side: bool, chooser: BufferedChooser) -> str:
    """The name of the second of a left and a right part; by its side where "other" occurs already."""
    side, _, noun = subject.partition("_")
    one = phrases.NOUNS[noun][0][0]
    names = (f"the {side} one", f"the {side} {one}", "the other", "the other one", f"the other {one}")
    return chooser.word(names[:2] if by_side else names)


def _name(subject: str, article: str, chooser: BufferedChooser) -> tuple[str, bool]:
    """A part with its article, and whether it is plural: "the left knee", "both of their hands", "their torso"."""
    if subject in phrases.WHOLE_NOUNS:
        noun, plural = chooser.word(phrases.WHOLE_NOUNS[subject])
        return f"{'the' if subject in phrases.OWNERLESS else article} {noun}", plural
    side, _, part = subject.partition("_")
    one, both = chooser.word(phrases.NOUNS[part])
    return (f"{chooser.word(phrases.BOTH)} {both}", True) if side == "both" else (f"{article} {side} {one}", False)


def _names(clause: Clause, chooser: BufferedChooser) -> tuple[str, bool]:
    """The subject of a clause and whether it takes a plural verb."""
    article = chooser.word(phrases.DETERMINERS)
    named = [_name(subject, article, chooser) for subject in clause.subjects]
    return join_list([name for name, _ in named]), len(named) > 1 or named[0][1]


def _parts_and_states(clause: Clause, chooser: BufferedChooser) -> str:
    """ "the left knee straight", as after "with" and "keep"."""
    return f"{_names(clause, chooser)[0]} {join_list([chooser.word(fact.states) for fact in clause.facts])}"


def _whole(clause: Clause, chooser: BufferedChooser) -> str:
    """ "the left knee is straight and points down"."""
    name, plural = _names(clause, chooser)
    return f"{name} {_predicate(clause, plural, chooser)}"


def _predicate(clause: Clause, plural: bool, chooser: BufferedChooser) -> str:
    """The predicate of a clause, verbs included."""
    facts: list[str] = []
    after_verb = True
    for fact in clause.facts:
        verb = bool(fact.verbs) and (not fact.states or chooser.random() < OWN_VERB)
        phrase = chooser.word(fact.verbs if verb else fact.states)
        if not verb and after_verb:
            phrase = f"{chooser.word(phrases.COPULAS)[plural]} {phrase}"
        facts.append(phrase)
        after_verb = verb
    if len(facts) > 1 and not plural and chooser.random() < REPEAT_SUBJECT:
        again = facts[-1] if clause.facts[-1].verbs and after_verb else f"is {facts[-1].removeprefix('is ')}"
        return f"{join_list(facts[:-1])}, and it {again}"
    return join_list(facts)
