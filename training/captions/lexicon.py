"""The tables of `posecode_phrases` expanded: the phrases of each code, and the codes that each phrase states.

A subject is a noun's key with its side: "left_knee", "both_knee" or "torso".
"""

import re
from dataclasses import dataclass
from functools import cache

from unipose.training.captions.posecode_phrases import (
    INVERSE,
    NEAR,
    NEAR_CHEST,
    NOUNS,
    PAIR_NOUNS,
    PREDICATES,
    SUBJECTS,
    WHOLE_NOUNS,
)
from unipose.training.captions.posecodes import CODES, Posecode
from unipose.training.captions.super_posecode_phrases import POSTURES, SUPER_PHRASES
from unipose.training.captions.text import expand
from unipose.training.geometry import swap_sides


Codes = tuple[Posecode, ...]

SUPER_KINDS = ("arms", "leg", "legs", "support")

_NUMBER = re.compile(r"<([^|>]*)\|([^>]*)>")


@dataclass(frozen=True)
class Form:
    """One way to state codes: of a subject, by phrases that follow "is" and by phrases that start with a verb."""

    subject: str
    codes: Codes
    states: tuple[str, ...]
    verbs: tuple[str, ...] = ()


def _form(subject: str, codes: Codes, templates: tuple[str, ...]) -> Form:
    """A form with its templates expanded for one part, or for both."""
    side, _, noun = subject.partition("_")
    plural = side == "both" or any(plural for _, plural in WHOLE_NOUNS.get(subject, ()))
    other = {"left": "right", "right": "left"}.get(side, "")
    states: list[str] = []
    verbs: list[str] = []
    for template in templates:
        for phrase in expand(_NUMBER.sub(r"\2" if plural else r"\1", template)):
            phrase = phrase.replace("{other}", other).replace("{noun}", NOUNS[noun][0][0] if other else "")
            (verbs if phrase.startswith("~") else states).append(phrase.removeprefix("~"))
    return Form(subject, codes, tuple(dict.fromkeys(states)), tuple(dict.fromkeys(verbs)))


def _mirrored(templates: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(swap_sides(template) for template in templates)


def _templates(code: Posecode) -> tuple[str, ...]:
    """The phrases of an elementary code; those of a right-hand value are those of the left-hand one, mirrored."""
    if code.kind == "near":
        return _near(code)
    for key in ((code.kind, code.part, code.value), (code.kind, code.value)):
        if key in PREDICATES:
            return PREDICATES[key]
    return _mirrored(PREDICATES[code.kind, swap_sides(code.value)])


def _near(code: Posecode, both: bool = False) -> tuple[str, ...]:
    if code.value == "chest":
        return NEAR_CHEST
    side, _, target = code.value.partition("_")
    if not both or not target:
        return (f"{NEAR} the {code.value.replace('_', ' ')}",)
    nouns = "feet" if target == "foot" else f"{target}s"
    return (f"{NEAR} the {'' if code.subject.startswith(side) else 'opposite '}{nouns}",)


@cache
def forms(code: Posecode) -> tuple[Form, ...]:
    """Every way to state a code on its own; none for a posture."""
    if code.kind == "posture":
        return ()
    if code.kind in SUPER_KINDS:
        subjects, templates = _super(code)
        return tuple(_form(subject, (code,), templates) for subject in subjects)
    found = [_form(subject, (code,), _templates(code)) for subject in _subjects(code)]
    inverse = INVERSE.get((code.kind, code.value))
    if inverse:
        found.append(_form(swap_sides(code.subject), (code,), inverse))
    return tuple(found)


def _super(code: Posecode) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The subjects of a super code, and its phrases."""
    if (code.kind, code.value) in SUPER_PHRASES and not code.subject.startswith("right_"):
        return SUPER_PHRASES[code.kind, code.value]
    value = code.value if (code.kind, code.value) in SUPER_PHRASES else swap_sides(code.value)
    subjects, templates = SUPER_PHRASES[code.kind, value]
    return _mirrored(subjects), _mirrored(templates)


def _subjects(code: Posecode) -> tuple[str, ...]:
    if code.subject in PAIR_NOUNS and (code.kind, code.subject) not in SUBJECTS:
        return (f"both_{PAIR_NOUNS[code.subject]}",)
    nouns = SUBJECTS.get((code.kind, code.part), (code.part,))
    side = code.subject[: -len(code.part)]
    return tuple(f"{side}{noun}" for noun in nouns)


@cache
def both_forms(code: Posecode) -> tuple[Form, ...]:
    """Every way to state a left part's code together with its mirror image; none where there is none."""
    if not code.subject.startswith("left_") or code.kind in ("order_height", "order_depth"):
        return ()
    codes = (code, code.mirrored())
    if code.kind == "leg":
        return (_form("both_leg", codes, SUPER_PHRASES[code.kind, code.value][1]),)
    templates = _near(code, both=True) if code.kind == "near" else _templates(code)
    return tuple(_form(f"both_{subject.removeprefix('left_')}", codes, templates) for subject in _subjects(code))


@cache
def facts() -> dict[tuple[str, str], Codes]:
    """(subject, phrase) -> the codes that this states.

    Raises:
        ValueError: a phrase of one subject states two things: the tables contradict each other.
    """
    table: dict[tuple[str, str], Codes] = {}
    for code in CODES:
        for form in forms(code) + both_forms(code):
            for phrase in form.states + form.verbs:
                if table.setdefault((form.subject, phrase), form.codes) != form.codes:
                    raise ValueError(
                        f"{form.subject!r} {phrase!r} states {table[form.subject, phrase]} and {form.codes}."
                    )
    return table


@cache
def shared_states(all_codes: tuple[Codes, ...], subjects: tuple[str, ...]) -> tuple[str, ...]:
    """The phrases, none of them verbs, that state the codes of several subjects.

    Args:
        all_codes: the codes of each subject.
        subjects: as many subjects.
    """
    found: list[str] | None = None
    for codes, subject in zip(all_codes, subjects):
        own = [
            phrase
            for form in (forms(codes[0]) if len(codes) == 1 else both_forms(codes[0]))
            if form.subject == subject
            for phrase in form.states
        ]
        found = own if found is None else [phrase for phrase in found if phrase in own]
    return tuple(found or ())


@cache
def postures(code: Posecode) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Phrases after "A person", and phrases after "Someone is"."""
    if code.value in POSTURES:
        return POSTURES[code.value]
    finite, gerund = POSTURES[swap_sides(code.value)]
    return _mirrored(finite), _mirrored(gerund)


@cache
def posture_phrases() -> dict[str, Posecode]:
    """Phrases after a person, without "is" -> the posture.

    Raises:
        ValueError: a phrase states two postures: the tables contradict each other.
    """
    table: dict[str, Posecode] = {}
    for code in CODES:
        if code.kind == "posture":
            finite, gerund = postures(code)
            for phrase in (*finite, *gerund):
                bare = phrase.removeprefix("is ")
                if table.setdefault(bare, code) != code:
                    raise ValueError(f"{bare!r} states {table[bare]} and {code}.")
    return table


@cache
def subject_nouns() -> dict[str, tuple[str, bool]]:
    """A noun without its side -> its key and whether it is plural."""
    table: dict[str, tuple[str, bool]] = {}
    for key, names in NOUNS.items():
        for one, both in names:
            table |= {one: (key, False), both: (key, True)}
    for key, wholes in WHOLE_NOUNS.items():
        table |= {name: (key, plural) for name, plural in wholes}
    return table
