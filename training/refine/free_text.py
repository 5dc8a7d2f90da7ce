"""Free prose about a body, or about what changes between two -> statements.

The readers of `captions` know a closed vocabulary; a chat model writes freely. A `Lexicon` finds body parts and
phrases about them in any sentence: by the captioner's own tables, and by the `synonyms` of them. Unknown words are
skipped: it reads what a text states in known words, and nothing else.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from unipose.training.captions.lexicon import facts, posture_phrases
from unipose.training.captions.paircode_phrases import GERUNDS, topics
from unipose.training.captions.paircode_rules import AMOUNTS, Paircode
from unipose.training.captions.posecode_phrases import PAIR_NOUNS
from unipose.training.captions.posecodes import Posecode
from unipose.training.captions.text import split_sentences
from unipose.training.geometry import swap_sides
from unipose.training.refine.synonyms import CHANGE_PARTS, CHANGE_PHRASES, POSE_PARTS, POSE_PHRASES, UNFOLDED, Entries


Code = Posecode | Paircode
Codes = tuple[Code, ...]
# (subject, phrase) -> its codes in the captioner's tables; a subject is "left_knee", "both_knee", "torso" or "person".
Facts = Mapping[tuple[str, str], Codes]
# kind -> values that a phrase may mean; "{side}" is the side of the part, "{opposite}" the other, "{target}" what is
# named as such.
Meaning = dict[str, tuple[str, ...]]

SIDES = ("left", "right")
# Phrases about the person may follow any part.
PERSON = "person"
LONGEST_PHRASE = 12

_BEFORE_A_NOUN = re.compile(r"\s*(?:in|of|at)?\s*")
_BETWEEN_PARTS = re.compile(r"\s*(?:,|and|,\s*and)\s*")
_DETERMINER = r"(?:(?:the|their|a|each) )?"
_SIDE = r"(?:(?P<side>both(?: of)?(?: the| their)?|the two|two|left and right|left|right|other|opposite)[ -])?"
_WORD = re.compile(r"[\w'-]+")


@dataclass(frozen=True)
class Statement:
    """Words, and the codes they may stand for: "the left knee is bent" is any of several."""

    words: str
    codes: frozenset[Code]

    def agrees(self, others: Iterable["Statement"]) -> bool:
        """Whether one of the others may mean the same."""
        return any(self.codes & other.codes for other in others)

    def mirrored(self) -> "Statement":
        return Statement(swap_sides(self.words), frozenset(code.mirrored() for code in self.codes))


@dataclass(frozen=True)
class _Mention:
    """A body part in a text: what the captioner may call it, and the sides that are meant (none for "the torso")."""

    words: str
    nouns: tuple[str, ...]
    sides: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Found:
    """What an entry of a table matched: a part, by its nouns, or else a phrase."""

    start: int
    end: int
    words: str
    names: Mapping[str, str | None]
    nouns: tuple[str, ...] | None
    meaning: Meaning
    facts: Mapping[str, Codes] = field(default_factory=dict)


class Lexicon:
    """Reads statements out of prose; see `pose_lexicon` and `change_lexicon`.

    Args:
        parts: (pattern of a noun, the captioner's nouns that it may stand for, the first of them most likely).
        phrases: (pattern, which values it may mean in each kind); one with "left" stands for its mirror image too.
        vocabulary: the captioner's phrases about its nouns.
        make: the codes of a kind, a subject and a value.
    """

    def __init__(
        self, parts: Entries, phrases: Entries, vocabulary: Facts, make: Callable[[str, str, str], Codes]
    ) -> None:
        nouns = [(rf"{_DETERMINER}{_SIDE}(?P<noun>{noun})", tuple(names.split())) for noun, names in parts]
        nouns.append((r"(?<!to )the (?P<side>left|right|other)(?P<noun>)(?: one)?", ()))
        synonyms = [
            each
            for pattern, text in phrases
            for each in {pattern: _meaning(text), swap_sides(pattern): _mirrored(_meaning(text))}.items()
        ]
        self._entries: list[tuple[re.Pattern[str], tuple[str, ...] | None, Meaning]] = [
            *((re.compile(rf"\b{pattern}\b"), names, {}) for pattern, names in nouns),
            *((re.compile(rf"\b(?:{pattern})\b"), None, meaning) for pattern, meaning in synonyms),
        ]
        self._facts: dict[str, dict[str, Codes]] = {}
        for (subject, phrase), codes in vocabulary.items():
            self._facts.setdefault(phrase.lower(), {})[subject] = codes
        self._subjects = _subjects(vocabulary)
        self._make = make

    def read(self, text: str) -> list[Statement]:
        """The statements of a text, in its order."""
        statements: list[Statement] = []
        known: list[_Mention] = []
        plain_text = re.sub(r"\byour\b", "the", " ".join(text.lower().replace("\u2019", "'").split()))
        for sentence in split_sentences(plain_text, ".!?;"):
            for expression, plain in UNFOLDED:
                sentence = expression.sub(plain, sentence)
            statements += self._read_sentence(sentence, known)
        return list(dict.fromkeys(statements))

    def _read_sentence(self, sentence: str, known: list[_Mention]) -> Iterator[Statement]:
        """A phrase is about the parts right behind it ("bent knees"), else about those named last.

        The last phrase holds for a part that ends the sentence too: "bend the left knee less and the right one".
        """
        about, stated = [_Mention("the body", (PERSON, "torso"))], True
        waiting: _Found | None = None
        last: _Found | None = None
        end = 0
        for found in self._find(sentence):
            gap, end = sentence[end : found.start], found.end
            if waiting is not None and not (found.nouns is not None and _BEFORE_A_NOUN.fullmatch(gap)):
                yield from self._state(about, waiting)
                waiting, stated = None, True
            if found.nouns is None:
                waiting = last = found
                continue
            if last and waiting is None and _BETWEEN_PARTS.fullmatch(gap) and not sentence[end:].strip(".!?; "):
                waiting = last
            mention = _mention(found, known)
            known.append(mention)
            about = [mention] if stated or not _BETWEEN_PARTS.fullmatch(gap) else [*about, mention]
            stated = waiting is not None
            if waiting is not None:
                yield from self._state(about, waiting)
                waiting = None
        if waiting is not None:
            yield from self._state(about, waiting)

    def _find(self, sentence: str) -> list[_Found]:
        """Every part and phrase, none inside another; the longest of those that start together."""
        found = [
            _Found(*match.span(), match[0], match.groupdict(), nouns, meaning)
            for entry, nouns, meaning in self._entries
            for match in entry.finditer(sentence)
        ]
        found += self._find_vocabulary(sentence)
        kept: list[_Found] = []
        for item in sorted(found, key=lambda item: (item.start, -item.end)):
            if not kept or item.start >= kept[-1].end:
                kept.append(item)
            elif (item.start, item.end) == (kept[-1].start, kept[-1].end) and item.nouns is kept[-1].nouns is None:
                kept[-1] = _merge(kept[-1], item)
        return kept

    def _find_vocabulary(self, sentence: str) -> Iterator[_Found]:
        words = [match.span() for match in _WORD.finditer(sentence)]
        for index, (start, _) in enumerate(words):
            for _, end in words[index : index + LONGEST_PHRASE]:
                phrase = sentence[start:end]
                if phrase in self._facts:
                    yield _Found(start, end, phrase, {}, None, {}, self._facts[phrase])

    def _state(self, mentions: Iterable[_Mention], phrase: _Found) -> Iterator[Statement]:
        """What a phrase states of the parts, one statement per side; parts that it cannot be about are skipped.

        The captioner's own phrase for a part means what the captioner means; any other all that it may mean.
        """
        stated = [statement for mention in mentions for statement in self._state_of(mention, phrase)]
        yield from stated or self._state_of(_Mention("the body", (PERSON,)), phrase)

    def _state_of(self, mention: _Mention, phrase: _Found) -> Iterator[Statement]:
        for side in mention.sides or ("",):
            codes = _own_codes(mention, side, mention.nouns, phrase.facts)
            if not codes:
                codes = (
                    *_own_codes(mention, side, (PERSON,), phrase.facts),
                    *self._may_mean(mention, side, phrase),
                )
            if codes:
                yield Statement(f"{mention.words}: {phrase.words}", frozenset(codes))

    def _may_mean(self, mention: _Mention, side: str, phrase: _Found) -> Iterator[Code]:
        """The codes of a synonym, for each kind about the first of the nouns that have it."""
        subjects: dict[str, str] = {}
        for noun in (*mention.nouns, PERSON):
            subjects = self._subjects.get(noun, {}) | subjects
        for kind, values in phrase.meaning.items():
            subject = subjects.get(kind, "")
            if not subject or ("{side}" in subject and not side):
                continue
            for value in values:
                # What both arms do is no statement about one.
                if kind == "arms" and (len(mention.sides) == 1) != ("{side}" in value):
                    continue
                for target in _targets(phrase.names, side) if "{target}" in value else ("",):
                    meant = value.format(side=side, opposite=swap_sides(side), target=target)
                    yield from self._make(kind, subject.format(side=side), meant)


def _meaning(text: str) -> Meaning:
    """ "bend=straight torso=upright" -> {"bend": ("straight",), "torso": ("upright",)}."""
    return {kind: tuple(values.split(",")) for kind, values in (entry.split("=") for entry in text.split())}


def _mirrored(meaning: Meaning) -> Meaning:
    return {kind: tuple(swap_sides(value) for value in values) for kind, values in meaning.items()}


def _merge(first: _Found, second: _Found) -> _Found:
    """One phrase for two entries that matched the same words."""
    one, two = first.meaning, second.meaning
    meaning = {kind: (*one.get(kind, ()), *two.get(kind, ())) for kind in (*one, *two)}
    names = {**first.names, **second.names}
    return replace(first, names=names, meaning=meaning, facts={**first.facts, **second.facts})


def _subjects(vocabulary: Facts) -> dict[str, dict[str, str]]:
    """Noun -> kind -> the subject of the statements about it: "knee" -> "bend" -> "{side}_knee"."""
    found: dict[str, dict[str, str]] = {}
    for (name, _), codes in vocabulary.items():
        side, _, noun = name.partition("_") if name.startswith(("left_", "both_")) else ("", "", name)
        for code in codes:
            if side != "left" or not code.subject.startswith("right_"):
                subject = re.sub(r"^(?:left|right)_", "{side}_", code.subject)
                found.setdefault(noun, {}).setdefault(code.kind, subject)
    return found


def _mention(found: _Found, known: list[_Mention]) -> _Mention:
    """Which part is meant: "the other" is the other side of what was named last, "the knee" that on its side."""
    noun, side = found.names["noun"] or "", found.names["side"]
    last = next((mention for mention in reversed(known) if mention.sides), None)
    nouns = (found.nouns or ()) if noun or last is None else last.nouns
    if side in SIDES:
        sides: tuple[str, ...] = (str(side),)
    elif side in ("other", "opposite"):
        sides = tuple(swap_sides(each) for each in last.sides) if last else ()
    elif side or noun.endswith("s") or noun in ("feet", "calves") or found.words.startswith("each "):
        sides = SIDES
    else:
        sides = last.sides if last else ()
    return _Mention(found.words, nouns, sides)


def _own_codes(mention: _Mention, side: str, nouns: Iterable[str], phrases: Mapping[str, Codes]) -> Codes:
    """The captioner's meaning of a phrase about a part, by the first noun that it uses the phrase of."""
    for noun in nouns:
        if len(mention.sides) == 2 and f"both_{noun}" in phrases:
            return tuple(
                code
                for code in phrases[f"both_{noun}"]
                if code.subject.startswith(f"{side}_") or not code.subject.startswith(("left_", "right_"))
            )
        for subject in (f"{side}_{noun}", noun):
            if subject in phrases:
                return phrases[subject]
    return ()


def _targets(names: Mapping[str, str | None], side: str) -> Iterator[str]:
    """What a hand is near: a part on the side that is named, or on either where none is."""
    which, target = names["which"], {"feet": "foot"}.get(str(names["target"]), names["target"])
    if target in ("head", "chest"):
        yield str(target)
    elif which in SIDES:
        yield f"{which}_{target}"
    elif side:
        own, other = f"{side}_{target}", f"{swap_sides(side)}_{target}"
        yield from {"own": (own,), "opposite": (other,), "other": (other,), None: (own, other)}[which]


def _posecodes(kind: str, subject: str, value: str) -> Codes:
    return (Posecode(kind, subject, value),)


def _paircodes(kind: str, subject: str, value: str) -> Codes:
    """A change by any amount."""
    amounts = {"": None, "full": None} | {amount: None for bands in AMOUNTS.values() for amount, _ in bands}
    return tuple(Paircode(kind, subject, value, amount) for amount in amounts)


def pose_facts() -> dict[tuple[str, str], Codes]:
    """The phrases of `describe` by part."""
    postures: dict[tuple[str, str], Codes] = {(PERSON, phrase): (code,) for phrase, code in posture_phrases().items()}
    return postures | {
        (PERSON if noun == "body" else noun, phrase): codes for (noun, phrase), codes in facts().items()
    }


def change_facts() -> dict[tuple[str, str], Codes]:
    """The phrases of `instruct` by part, the verb of a command behind its part: "the left hand raise a little"."""
    found: dict[tuple[str, str], Codes] = {}
    for codes, topic in topics().items():
        part = codes[0].subject.partition("_")[2]
        subject = codes[0].subject if len(codes) == 1 else f"both_{part}"
        subject = {"body": PERSON, **{pair: f"both_{one}" for pair, one in PAIR_NOUNS.items()}}.get(subject, subject)
        for wording in (*topic.imperatives, *topic.states, *topic.shorts, *topic.sentences):
            own = (
                PERSON
                if wording in topic.sentences or (wording in topic.imperatives and "{p}" not in wording)
                else subject
            )
            verb, _, rest = wording.partition(" ")
            for form in (wording, f"{GERUNDS[verb]} {rest}") if verb in GERUNDS else (wording,):
                found.setdefault((own, " ".join(form.replace("{p}", "").split())), codes)
    return found


@cache
def pose_lexicon() -> Lexicon:
    """For descriptions of one pose."""
    return Lexicon(POSE_PARTS, POSE_PHRASES, pose_facts(), _posecodes)


@cache
def change_lexicon() -> Lexicon:
    """For what turns one pose into another."""
    return Lexicon(CHANGE_PARTS, CHANGE_PHRASES, change_facts(), _paircodes)
