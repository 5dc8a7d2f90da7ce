"""A caption -> the codes it states: the inverse of `describe`, through the same tables.

A sentence is read word by word. A phrase that names parts ("both knees", "the left hand and the torso", "the other
one") sets the subject; a known phrase about the subject states its codes; links and verbs ("while", "with", "is",
"they keep") are skipped. Archetype sentences that cannot be read this way are looked up as a whole.
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from functools import cache

import unipose.training.captions.posecode_phrases as phrases
from unipose.training.captions.actions import action_names
from unipose.training.captions.archetype_codes import archetype_codes
from unipose.training.captions.lexicon import Codes, facts, posture_phrases, subject_nouns
from unipose.training.captions.posecodes import Posecode
from unipose.training.captions.text import Reading, read_sentences, split_sentences
from unipose.training.geometry import swap_sides
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_sentences
from unipose.training.named_poses.wordings import names_side


_TOKEN = re.compile(r"[\w'\-]+|[^\w\s]")

SIDES = ("left", "right")
SEPARATORS = frozenset({",", ";", "and"})
# Words between clauses or before a phrase that do not change the codes.
FILLER_WORDS = frozenset(
    {"while", "whereas", "but", "as", "with", "also", "it", "is", "are", "kept"}
    | {"stays", "stay", "remains", "remain"}
)
ARTICLES = frozenset(words.split()[0] for words in (*phrases.DETERMINERS, *phrases.BOTH))
LONGEST_PHRASE, LONGEST_NOUN = 12, 6


def read_caption(text: str) -> Reading[Posecode]:
    """Reads a description that `describe` wrote, or a model that learned from it; never raises.

    The few archetype sentences that no posture or arms code stands for (a punch, a sideways lean) are unparsable:
    nothing measures them. A sentence that names the action states the codes of its named pose.
    """
    return read_sentences(split_sentences(text), _read_sentence)


def _read_sentence(sentence: str) -> tuple[list[Posecode], bool]:
    """The codes of a sentence, and whether all of it was understood."""
    reader = _Reader(_TOKEN.findall(sentence.removesuffix(".").lower()))
    reader.read()
    known = reader.known and bool(reader.codes) and sentence.endswith(".")
    if known:
        return reader.codes, True
    if sentence in action_names():
        return _action_codes(sentence), True
    whole = whole_sentences().get(sentence)
    return (reader.codes, False) if whole is None else (list(whole), bool(whole))


def _action_codes(sentence: str) -> list[Posecode]:
    """The codes of an action; where the sentence names no side, those that hold on both."""
    name = action_names()[sentence]
    codes = archetype_codes(name) if name else ()
    return [code for code in codes if names_side(sentence) or code == code.mirrored()]


class _Reader:
    """Reads one sentence, word by word."""

    def __init__(self, words: list[str]):
        self.words = words
        self.at = 0
        self.subjects: list[str] = []
        self.codes: list[Posecode] = []
        self.known = True

    def read(self) -> None:
        self._skip_any(_tables().prefaces)
        while self.at < len(self.words):
            if self.words[self.at] in SEPARATORS:
                self.at += 1
            elif not (self._person() or self._held() or self._parts() or self._fact() or self._filler()):
                self._give_up()

    def _give_up(self) -> None:
        """Skips to the next separator: phrases after it may be known again, but not about an unknown part."""
        self.known = False
        if self.words[self.at] in ARTICLES:
            self.subjects = []
        while self.at < len(self.words) and self.words[self.at] not in SEPARATORS:
            self.at += 1

    def _longest(self, table: Container[str], most: int) -> str:
        """The longest run of words from here that is in a table, or ""."""
        for end in range(min(len(self.words), self.at + most), self.at, -1):
            phrase = " ".join(self.words[self.at : end])
            if phrase in table:
                return phrase
        return ""

    def _skip_any(self, table: Container[str]) -> bool:
        phrase = self._longest(table, 5)
        self.at += len(phrase.split())
        return bool(phrase)

    def _filler(self) -> bool:
        known = self.words[self.at] in FILLER_WORDS
        self.at += known
        return known

    def _person(self) -> bool:
        """ "there is a person lying face up", "they", "the figure"."""
        start = self.at
        self._skip_any(_tables().openers)
        if not self._skip_any(_tables().people):
            self.at = start
            return False
        self.subjects = []
        self._skip_any(("is", "are"))
        posture = self._longest(posture_phrases(), LONGEST_PHRASE)
        if posture:
            self.codes.append(posture_phrases()[posture])
            self.at += len(posture.split())
        return True

    def _held(self) -> bool:
        return self._skip_any(_tables().holding)

    def _parts(self) -> bool:
        """One part or several, as the subject of what follows; "the other one" is the other side's."""
        found: list[str] = []
        while True:
            start = self.at
            if found:
                self._skip_any((", and", ",", "and"))
            part = self._part(found)
            if not part:
                self.at = start
                break
            found.append(part)
        if found:
            self.subjects = found
        return bool(found)

    def _part(self, before: list[str]) -> str:
        if self._longest(_tables().people, 2):
            return ""
        known = self._longest(_tables().parts, LONGEST_NOUN)
        if known:
            self.at += len(known.split())
            return _tables().parts[known]
        if len(self.subjects) != 1 or before:
            return ""
        side, _, noun = self.subjects[0].partition("_")
        if side not in SIDES or noun not in phrases.NOUNS:
            return ""
        other = swap_sides(side)
        names = ("the other", "the other one", f"the {other} one", f"the other {phrases.NOUNS[noun][0][0]}")
        return f"{other}_{noun}" if self._skip_any(names) else ""

    def _fact(self) -> bool:
        """A phrase that is known of all subjects, or at least of some; the longest such one."""
        best = ""
        for end in range(min(len(self.words), self.at + LONGEST_PHRASE), self.at, -1):
            phrase = " ".join(self.words[self.at : end])
            known = [(subject, phrase) in _tables().facts for subject in self.subjects]
            if known and all(known):
                best = phrase
                break
            if any(known) and not best:
                best = phrase
        stated = [_tables().facts.get((subject, best), ()) for subject in self.subjects]
        if not best:
            return False
        self.codes += [code for codes in stated for code in codes]
        self.known = self.known and all(stated)
        self.at += len(best.split())
        return True


@dataclass(frozen=True)
class _Tables:
    """Tables of a reader, all in lower case and with a comma as a separate word."""

    facts: dict[tuple[str, str], Codes]
    parts: dict[str, str]
    people: frozenset[str]
    openers: frozenset[str]
    holding: frozenset[str]
    prefaces: frozenset[str]


@cache
def _tables() -> _Tables:
    parts: dict[str, str] = {}
    for noun, (key, plural) in subject_nouns().items():
        if key in phrases.WHOLE_NOUNS:
            parts |= {f"{article} {noun}": key for article in phrases.DETERMINERS}
        elif plural:
            parts |= {f"{both} {noun}": f"both_{key}" for both in phrases.BOTH}
        else:
            parts |= {f"{article} {side} {noun}": f"{side}_{key}" for article in phrases.DETERMINERS for side in SIDES}
    return _Tables(
        {(subject, phrase.lower()): codes for (subject, phrase), codes in facts().items()},
        parts,
        frozenset((*phrases.PEOPLE, *(person for person, _ in phrases.HOLDERS))),
        frozenset(phrases.OPENERS),
        frozenset(word for words in phrases.HOLDING for word in words),
        frozenset(preface.replace(",", " ,") for preface in phrases.PREFACES),
    )


@cache
def whole_sentences() -> dict[str, Codes]:
    """The plain sentences of the archetypes, with the codes that they state."""
    sentences: dict[str, Codes] = {}
    for name in ARCHETYPES:
        for side in (name, swap_sides(name)):
            sentences |= dict.fromkeys(archetype_sentences(side), archetype_codes(side))
    return sentences
