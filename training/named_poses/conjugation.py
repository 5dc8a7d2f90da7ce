"""English verb forms by rule, with a table of exceptions."""

import re
from collections.abc import Callable


_THIRD = {"be": "is", "do": "does", "go": "goes", "have": "has"}
_PARTICIPLE = {
    "admit": "admitting",
    "babysit": "babysitting",
    "begin": "beginning",
    "boogie": "boogying",
    "control": "controlling",
    "eavesdrop": "eavesdropping",
    "forget": "forgetting",
    "outrun": "outrunning",
    "program": "programming",
    "regret": "regretting",
    "tiptoe": "tiptoeing",
}
# Verbs of two words whose second word is conjugated.
_COMPOUNDS = (
    "army crawl",
    "belly dance",
    "bench press",
    "break dance",
    "cliff dive",
    "cross-country ski",
    "disco dance",
    "high kick",
    "hula hoop",
    "ice skate",
    "inline skate",
    "jump serve",
    "leopard crawl",
    "lindy hop",
    "low crawl",
    "power slide",
    "rock step",
    "roller skate",
    "slam dunk",
    "slow dance",
    "speed skate",
)

_NEGATED = "don't "
_COMPOUND = re.compile(rf"(?:{'|'.join(_COMPOUNDS)})(?![\w-])")
_FIRST = re.compile(r"[\w'-]+")
_MARKED = re.compile(r"\*([\w'-]+)")
_DOUBLED = re.compile(r"(?:[^aeiou]|qu|^)[aeiou][^aeiouwxy]$")
_VOWELS = re.compile(r"[aeiouy]+")


def third_person(verb: str) -> str:
    """The verb after he, she or a noun: "sit" -> "sits", "crouch" -> "crouches", "high-five" -> "high-fives"."""
    start, base = _split(verb)
    if base in _THIRD:
        return start + _THIRD[base]
    if re.search(r"[^aeiou]y$", base):
        return f"{start}{base[:-1]}ies"
    return f"{start}{base}{'es' if re.search(r'(s|x|z|ch|sh)$', base) else 's'}"


def participle(verb: str) -> str:
    """The form in -ing: "sit" -> "sitting", "lie" -> "lying", "wave" -> "waving"."""
    start, base = _split(verb)
    if base in _PARTICIPLE:
        return start + _PARTICIPLE[base]
    if base.endswith("ie"):
        return f"{start}{base[:-2]}ying"
    if re.search(r"[^eoy]e$", base) and len(base) > 2:
        return f"{start}{base[:-1]}ing"
    if _DOUBLED.search(base) and len(_VOWELS.findall(base.replace("qu", "q"))) == 1:
        return f"{start}{base}{base[-1]}ing"
    return f"{start}{base}ing"


def verb_phrase(text: str, form: str) -> str:
    """A verb phrase of the bank in one form: its first verb and those marked with "*" are conjugated.

    Args:
        text: the phrase in the base form.
        form: "base", "third" or "participle".

    A phrase that begins with "don't" is negated: "doesn't sit", "not sitting".

    Returns:
        The phrase, without the marks.

    Raises:
        ValueError: if the phrase does not start with a word.
    """
    if text.startswith(_NEGATED):
        rest = text.removeprefix(_NEGATED)
        positive = verb_phrase(rest, "participle" if form == "participle" else "base")
        return {"base": _NEGATED, "third": "doesn't ", "participle": "not "}[form] + positive
    forms: dict[str, Callable[[str], str]] = {"base": str, "third": third_person, "participle": participle}
    inflect = forms[form]
    compound = _COMPOUND.match(text)
    first = compound or _FIRST.match(text)
    if first is None:
        raise ValueError(f"got the verb phrase {text!r}, expected one that starts with a verb")
    before, _, verb = first[0].rpartition(" ")
    start = f"{before} {inflect(verb)}" if before else inflect(verb)
    return start + _MARKED.sub(lambda match: inflect(match[1]), text[first.end() :])


def _split(verb: str) -> tuple[str, str]:
    """What stands before the last hyphen of a verb, and the part that is conjugated."""
    start, hyphen, base = verb.rpartition("-")
    return start + hyphen, base
