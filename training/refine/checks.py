"""Is a rewrite faithful? Nothing of the caption lost, nothing invented, left and right where they were.

Sentences of our own inventory are read exactly, all others through a `Lexicon`. What neither knows is not judged: an
invention in words outside the tables passes, and a fact that is kept in such words counts as lost and is asked for
again. The check errs towards rejecting.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unipose.training.captions.describe import describe
from unipose.training.captions.posecodes import (
    DEGREES,
    RULES,
    TOLERANCE_DEGREES,
    TOLERANCE_METRES,
    Posecode,
    Range,
    holding,
)
from unipose.training.captions.read import Reading, read_caption

from .lexicon import Lexicon, Statement, change_lexicon, pose_lexicon


Reader = Callable[[str], Reading]
Bounds = dict[str, tuple[float, float]]

# What a description of a body has no business with; a word of the caption itself is always allowed.
FORBIDDEN = {
    "the picture": r"image|images|picture|pictures|photo\w*|camera|caption|viewer|frame|description",
    "clothes": r"shirt\w*|trousers|pants|jeans|shorts|skirt|dress\w*|jacket|coat|hat|cap|shoes?|boots?|sneakers|socks?"
    r"|gloves?|cloth\w*|outfit|wear\w*|barefoot|sleeve\w*",
    "the scene": r"background|room|wall|street|grass|field|beach|sky|indoors|outdoors|chair|bench|table|bed|gym|court"
    r"|stage|light\w*|shadow\w*",
    "who it is": r"m[ae]n|wom[ae]n|boys?|girls?|lady|guy|male|female|he|she|his|her|him|hers|young|old|elderly|child"
    r"|athlete|dancer|player|model|figure|mannequin|character|hair|beard|skin|face(?! down| up)",
    "how it feels": r"happy|sad|calm|angry|confident\w*|graceful\w*|elegant\w*|playful\w*|smil\w*|emotion\w*",
    "what is not so": r"not|no|never|without|neither|nor|none|\w+n't",
}
_MARKUP = re.compile(r"[\n*#_`<>{}\[\]|\"]")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Limits:
    """What a rewrite may lose and how long it may be.

    Args:
        kept: the least share of the caption's statements that the rewrite has to make.
        shortest, longest: words, as a multiple of the caption's.
        spare: words that may come on top of `longest`.
    """

    kept: float = 0.9
    shortest: float = 0.5
    longest: float = 2.0
    spare: int = 10


@dataclass(frozen=True)
class Verdict:
    """Whether a rewrite is faithful, and what speaks against it, in words that a chat model can act on.

    `lost` are statements of the caption that the rewrite does not make, `invented` those of the rewrite that neither
    the caption nor the pose bears out. A few may be lost; `reasons` is empty for an accepted rewrite.
    """

    accepted: bool
    lost: tuple[str, ...] = ()
    invented: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


def check_caption(
    caption: str, rewrite: str, joints: npt.ArrayLike | None = None, limits: Limits = Limits()
) -> Verdict:
    """Judges the rewrite of a pose's description.

    Args:
        caption: the automatic description.
        rewrite: what a model made of it.
        joints: (22, 3), metres, y up. Where given, the pose itself decides whether a statement that the caption does
            not make is true; where not, it has to follow from what the caption states.
        limits: what is still acceptable.
    """
    required = list(_statements(caption, read_caption, pose_lexicon()))
    said = list(_statements(rewrite, read_caption, pose_lexicon()))
    if joints is None:
        bounds = _bounds(statement.codes for statement in required)
        new = [statement for statement in said if not (statement.agrees(required) or _follows(statement, bounds))]
    else:
        new = [statement for statement in said if not (statement.agrees(required) or _true(statement, joints))]
    return _judge(caption, rewrite, required, said, new, limits)


def check_difference(text: str, rewrite: str, reader: Reader | None = None, limits: Limits = Limits()) -> Verdict:
    """Judges the rewrite of what turns one pose into another.

    Args:
        text: the automatic instruction or difference.
        rewrite: what a model made of it.
        reader: reads our own inventory of such texts, as `read_caption` does for descriptions. It is used where it
            reads all of both texts; otherwise the synonyms of `change_lexicon` are all there is.
        limits: what is still acceptable.
    """
    readings = [] if reader is None else [reader(text), reader(rewrite)]
    if readings and not any(reading.unread for reading in readings):
        required, said = ([Statement(str(code), frozenset({code})) for code in reading.codes] for reading in readings)
    else:
        required, said = change_lexicon().read(text), change_lexicon().read(rewrite)
    new = [statement for statement in said if not statement.agrees(required)]
    return _judge(text, rewrite, required, said, new, limits)


def _judge(
    text: str,
    rewrite: str,
    required: Sequence[Statement],
    said: Sequence[Statement],
    new: Sequence[Statement],
    limits: Limits,
) -> Verdict:
    lost = [statement for statement in required if not statement.agrees(said)]
    swapped = [statement for statement in lost if statement.mirrored().agrees(new)]
    reasons = list(_complaints_about_form(text, rewrite, limits))
    if not required:
        reasons.append("Nothing of the automatic text can be read, so that no rewrite of it can be checked.")
    reasons += [f"Left and right are exchanged: the text says {item.words!r}." for item in swapped]
    reasons += [f"The text does not say {item.words!r}." for item in new]
    if swapped or len(required) - len(lost) < limits.kept * len(required):
        reasons += [f"This is missing, or not in plain words: {item.words!r}." for item in lost if item not in swapped]
    unique = tuple(dict.fromkeys(reasons))
    return Verdict(not unique, _words(lost), _words(new), unique)


def _words(statements: Iterable[Statement]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(statement.words for statement in statements))


def _complaints_about_form(text: str, rewrite: str, limits: Limits) -> Iterator[str]:
    length, known = len(rewrite.split()), len(text.split())
    shortest, longest = int(limits.shortest * known), int(limits.longest * known) + limits.spare
    if not shortest <= length <= longest:
        yield f"It has {length} words; {shortest} to {longest} are wanted."
    if _MARKUP.search(rewrite) or not re.search(r"[.!?]$", rewrite):
        yield "It is not one paragraph of plain, complete sentences."
    for topic, words in FORBIDDEN.items():
        for word in dict.fromkeys(re.findall(rf"\b(?:{words})\b", rewrite.lower().replace("\u2019", "'"))):
            if not re.search(rf"\b{re.escape(word)}\b", text.lower()):
                yield f"It speaks of {topic} ({word!r})."


def _statements(text: str, read: Reader, lexicon: Lexicon) -> Iterator[Statement]:
    """The statements of a text: exact for each sentence that the reader knows, by synonyms for each other one.

    Sentences of the lexicon are read together, since "the other leg" looks back.
    """
    prose = []
    for sentence in _SENTENCE.split(text.strip()):
        reading = read(sentence)
        if reading.unread or not reading.codes:
            prose.append(sentence)
            continue
        for code in reading.codes:
            yield Statement(describe((code,), np.random.default_rng(0), drop=0.0).text, frozenset({code}))
    yield from lexicon.read(" ".join(prose))


def _unit(item: Range) -> float:
    return TOLERANCE_DEGREES if item.measure.partition(".")[2] in DEGREES else TOLERANCE_METRES


def _bounds(statements: Iterable[frozenset[Posecode]]) -> Bounds:
    """Where each measurement lies, by all that is stated without ambiguity."""
    bounds: Bounds = {}
    for codes in statements:
        for item in (item for code in codes if len(codes) == 1 and code in RULES for item in RULES[code].says):
            low, high = bounds.get(item.measure, (-np.inf, np.inf))
            bounds[item.measure] = max(low, item.low), min(high, item.high)
    return bounds


def _follows(statement: Statement, bounds: Bounds) -> bool:
    """Whether one of a statement's meanings is true wherever the measurements lie in their bounds.

    "Bent" is several values of one measurement side by side: together they span one range.
    """
    groups: dict[tuple[str, str], list[tuple[Range, ...]]] = {}
    for code in statement.codes & RULES.keys():
        groups.setdefault(code.group, []).append(RULES[code].says)
    for meanings in groups.values():
        items = [item for says in meanings for item in says]
        if len({item.measure for item in items}) == 1:
            meanings.append((Range(items[0].measure, min(r.low for r in items), max(r.high for r in items)),))
    return any(all(_within(item, bounds) for item in says) for meanings in groups.values() for says in meanings)


def _within(item: Range, bounds: Bounds) -> bool:
    low, high = bounds.get(item.measure, (-np.inf, np.inf))
    return low >= item.low - _unit(item) and high <= item.high + _unit(item)


def _true(statement: Statement, joints: npt.ArrayLike) -> bool:
    codes = list(statement.codes & RULES.keys())
    return bool(codes) and bool(holding(codes, np.asarray(joints)[None]).any())
