"""A caption -> the codes it states: the way back from `describe`, through the same tables.

The inventory is closed, so a sentence is looked up, not understood. There are three sorts: the opening about posture
and arms, a clause about one part ("The left knee is bent a little and on the ground."), and the plain sentences of the
archetypes, which state the posture and arms of their archetype.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from unipose.training.archetypes import ARCHETYPES, archetype_sentences

from .describe import ARM_POSES, PLURALS, POSTURES, predicates_of, words_for
from .posecodes import CODES, Posecode, swap_sides


_CLAUSE = re.compile(r"([A-Z][a-z ]+?) (?:is|are) ([^.]+)\.")
_BETWEEN_FACTS = re.compile(r", | and ")
_BETWEEN_SENTENCES = re.compile(r"(?<=\.)\s+")

Codes = tuple[Posecode, ...]


@dataclass(frozen=True)
class Reading:
    """What a caption says.

    `codes` are the statements, each once, in the order of the text; `sentences` is how many sentences there are, and
    `unread` are those outside the inventory, in whole or in part. What such a sentence states in known words still
    counts among the codes. The few archetype sentences that no posture or arms code stands for (a punch, a sideways
    lean) are unread too: nothing measures them.
    """

    codes: Codes
    sentences: int
    unread: tuple[str, ...]


def read_caption(text: str) -> Reading:
    """Reads a description that `describe` wrote, or a model that learned from it."""
    sentences = [sentence for sentence in _BETWEEN_SENTENCES.split(text.strip()) if sentence]
    codes: list[Posecode] = []
    unread: list[str] = []
    for sentence in sentences:
        facts = _read_sentence(sentence)
        codes += [code for fact in facts for code in fact]
        if not all(facts):
            unread.append(sentence)
    return Reading(tuple(dict.fromkeys(codes)), len(sentences), tuple(unread))


def _read_sentence(sentence: str) -> list[Codes]:
    """The codes of each fact of a sentence, none for a fact in unknown words."""
    if sentence in whole_sentences():
        return [whole_sentences()[sentence]]
    clause = _CLAUSE.fullmatch(sentence)
    if clause is None:
        return [()]
    return [facts_of_parts().get((clause[1], fact), ()) for fact in _BETWEEN_FACTS.split(clause[2])]


@cache
def whole_sentences() -> dict[str, Codes]:
    """Every sentence about posture and arms, with the codes it states; where two tables agree, `describe` decides."""
    sentences: dict[str, Codes] = {}
    for name in ARCHETYPES:
        for side in (name, swap_sides(name)):
            sentences |= dict.fromkeys(archetype_sentences(side), _archetype_codes(name, mirrored=side != name))
    return sentences | dict(_openings())


def _archetype_codes(name: str, mirrored: bool) -> Codes:
    shown = ARCHETYPES[name]
    given = (Posecode("posture", "body", shown.posture), Posecode("arms", "arms", shown.arms))
    return tuple(code.mirrored() if mirrored else code for code in given if code.value)


def _openings() -> Iterator[tuple[str, Codes]]:
    arms = [(code, *words_for(ARM_POSES, code.value)) for code in CODES if code.kind == "arms"]
    for code, who, state in arms:
        yield f"{who[0].upper()}{who[1:]} {'are' if who.startswith('both') else 'is'} {state}.", (code,)
    for posture in (code for code in CODES if code.kind == "posture"):
        finite, gerund = words_for(POSTURES, posture.value)
        for start in (f"A person {finite}", f"Someone is {gerund}"):
            yield f"{start}.", (posture,)
            link = "and has" if " with " in start else "with"
            for code, who, state in arms:
                yield f"{start} {link} {who} {state}.", (posture, code)


@cache
def facts_of_parts() -> dict[tuple[str, str], Codes]:
    """(subject, what it is), as in ("Both knees", "straight"), -> the codes that this states."""
    facts: dict[tuple[str, str], Codes] = {}
    for code in CODES:
        if code.kind in ("posture", "arms"):
            continue
        part = code.subject.removeprefix("left_").removeprefix("right_")
        for phrase in predicates_of(code, part, both=False):
            facts[f"The {code.subject.replace('_', ' ')}", phrase] = (code,)
        if part != code.subject:
            noun = PLURALS.get(part, f"{part}s").replace("_", " ")
            for phrase in predicates_of(code, part, both=True):
                facts[f"Both {noun}", phrase] = (code, code.mirrored())
    return facts
