"""Checks that a rewrite is faithful: no lost or invented statements, left and right unchanged.

Sentences of our own vocabulary are read exactly, all others through a `Lexicon`. Words outside the tables are ignored:
an invented fact in such words passes, and a kept fact in such words counts as lost. In doubt, the check rejects.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.codes import Range, Rule
from unipose.training.captions.describe import describe
from unipose.training.captions.instruct import instruct
from unipose.training.captions.instruction_reader import read_instruction
from unipose.training.captions.paircode_rules import CODES as PAIR_CODES
from unipose.training.captions.paircode_rules import NEEDS_ROTATIONS
from unipose.training.captions.paircodes import paircodes_hold
from unipose.training.captions.posecodes import RULES, Posecode, holding
from unipose.training.captions.text import split_sentences
from unipose.training.refine.free_text import Lexicon, Statement, change_lexicon, pose_lexicon


Bounds = dict[str, tuple[float, float]]

# What does not belong into the description of a body; words of the caption are always allowed, and so are the
# captioner's own.
FORBIDDEN = {
    "the image": r"image|images|picture|pictures|photo\w*|camera|caption|viewer|frame|description",
    "clothes": r"shirt\w*|trousers|pants|jeans|shorts|skirt|dress\w*|jacket|coat|hat|cap|shoes?|boots?|sneakers|socks?"
    r"|gloves?|cloth\w*|outfit|wear\w*|barefoot|sleeve\w*",
    "the scene": r"background|room|wall|street|grass|field|beach|(?<!at the )sky|indoors|outdoors|(?<!on a )chair"
    r"|bench|table|bed|gym|court|stage|light\w*|shadow\w*",
    "who it is": r"m[ae]n|wom[ae]n|boys?|girls?|lady|guy|male|female|he|she|his|her|him|hers|young|old|elderly|child"
    r"|athlete|dancer|player|model|mannequin|character|hair|beard|skin",
    "how it feels": r"happy|sad|calm|angry|confident\w*|graceful\w*|elegant\w*|playful\w*|smil\w*|emotion\w*",
    "what is not so": r"not(?! changed?\b)|no(?! (?:wider|further))|never|without|neither|nor|none|\w+n't",
}
_MARKUP = re.compile(r"[\n*#_`<>{}\[\]|\"]")


@dataclass(frozen=True)
class Limits:
    """Limits of lost statements and of the length of a rewrite.

    Args:
        kept: minimum share of the caption's statements that the rewrite keeps.
        shortest, longest: number of words, as a multiple of the caption's.
        spare: number of words allowed in addition to `longest`.
    """

    kept: float = 0.9
    shortest: float = 0.5
    longest: float = 2.0
    spare: int = 10


@dataclass(frozen=True)
class Verdict:
    """Whether a rewrite is faithful, and the reasons if not, in words that a chat model can act on.

    `lost` are statements of the caption that the rewrite does not make, `invented` those of the rewrite that follow
    neither from the caption nor from the pose. A few may be lost; `reasons` is empty for an accepted rewrite.
    """

    accepted: bool
    lost: tuple[str, ...] = ()
    invented: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


def check_caption(
    caption: str,
    rewrite: str,
    joints: npt.ArrayLike | None = None,
    limits: Limits = Limits(),
    rotmats: npt.ArrayLike | None = None,
) -> Verdict:
    """Checks the rewrite of a pose's description.

    Args:
        caption: the automatic description.
        rewrite: the model's rewrite.
        joints: (22, 3), meters, y up. Where given, the pose itself decides whether a statement that the caption does
            not make is true; where not, it has to follow from what the caption states.
        limits: limits of lost statements and of the length.
        rotmats: (22, 3, 3) rotations of the same pose; without them new statements about a rotation of
            the head are false.
    """
    required, rewritten = (list(_statements(text, _read_pose, pose_lexicon())) for text in (caption, rewrite))
    stated, kept = _bounds(required), _bounds(rewritten)

    def true(statement: Statement) -> bool:
        if joints is None:
            return _follows(statement, stated)
        rotations = None if rotmats is None else np.asarray(rotmats)[None]
        codes = [rule.code for rule in _rules(statement)]
        return bool(codes) and bool(holding(codes, np.asarray(joints)[None], rotmats=rotations).any())

    lost = [item for item in required if not (item.agrees(rewritten) or _follows(item, kept))]
    added = [item for item in rewritten if not item.agrees(required)]
    return _judge(caption, rewrite, required, lost, added, true, limits)


def check_difference(
    text: str,
    rewrite: str,
    joints: npt.ArrayLike | None = None,
    limits: Limits = Limits(),
    rotmats: npt.ArrayLike | None = None,
) -> Verdict:
    """Checks the rewrite of a text on the change from one pose to another.

    Args:
        text: the automatic instruction or difference.
        rewrite: the model's rewrite.
        joints: (2, 22, 3) of the first and the second pose, meters, y up. Where given, the poses decide whether a
            statement that the text does not make is true; where not, the text has to make it.
        limits: limits of lost statements and of the length.
        rotmats: (2, 22, 3, 3) rotations of the same poses, for rotations and tilts of the head.
    """
    required, rewritten = (list(_statements(each, _read_pair, change_lexicon())) for each in (text, rewrite))

    def true(statement: Statement) -> bool:
        hidden = NEEDS_ROTATIONS if rotmats is None else frozenset()
        codes = [code for code in PAIR_CODES if code in statement.codes and code.kind not in hidden]
        if joints is None or not codes:
            return False
        first, second = np.asarray(joints)[:, None]
        rotations = None if rotmats is None else tuple(np.asarray(rotmats)[:, None])
        return bool(paircodes_hold(codes, first, second, rotmats=rotations).any())

    lost = [item for item in required if not item.agrees(rewritten)]
    added = [item for item in rewritten if not item.agrees(required)]
    return _judge(text, rewrite, required, lost, added, true, limits)


def _judge(
    text: str,
    rewrite: str,
    required: Sequence[Statement],
    lost: Sequence[Statement],
    added: Sequence[Statement],
    true: Callable[[Statement], bool],
    limits: Limits,
) -> Verdict:
    """Exchanged sides are wrong even where the statement is true of the other side as well."""
    swapped = [statement for statement in lost if statement.mirrored().agrees(added)]
    new = [statement for statement in added if not true(statement)]
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
        yield f"It has {length} words; {shortest} to {longest} are expected."
    if _MARKUP.search(rewrite) or not re.search(r"[.!?]$", rewrite):
        yield "It is not one paragraph of plain, complete sentences."
    for topic, words in FORBIDDEN.items():
        for word in dict.fromkeys(re.findall(rf"\b(?:{words})\b", rewrite.lower().replace("\u2019", "'"))):
            if not re.search(rf"\b{re.escape(word)}\b", text.lower()):
                yield f"It speaks of {topic} ({word!r})."


def _read_pose(sentence: str) -> Iterator[Statement]:
    """What a sentence of the captioner states; nothing of one that is not understood in full."""
    reading = read_caption(sentence)
    for code in () if reading.unparsable else reading.codes:
        yield Statement(describe((code,), np.random.default_rng(0), drop=0.0, variety=0.0).text, frozenset({code}))


def _read_pair(sentence: str) -> Iterator[Statement]:
    """The same for a sentence about what changes."""
    reading = read_instruction(sentence)
    for code in () if reading.unparsable else reading.codes:
        yield Statement(instruct((code,), np.random.default_rng(0), drop=0.0).text, frozenset({code}))


def _statements(text: str, read: Callable[[str], Iterator[Statement]], lexicon: Lexicon) -> Iterator[Statement]:
    """The statements of a text: exact for each sentence that the reader knows, by synonyms for the others.

    Sentences of the lexicon are read together, since "the other leg" looks back.
    """
    prose = []
    for sentence in split_sentences(text):
        known = list(read(sentence))
        yield from known
        if not known:
            prose.append(sentence)
    yield from lexicon.read(" ".join(prose))


def _rules(statement: Statement) -> Iterator[Rule[Posecode, str]]:
    """The rules of the codes that a statement may stand for and that can be measured."""
    for code in statement.codes:
        if isinstance(code, Posecode) and code in RULES:
            yield RULES[code]


def _bounds(statements: Iterable[Statement]) -> Bounds:
    """Where each measurement lies, by all that is stated without ambiguity."""
    bounds: Bounds = {}
    for statement in statements:
        for item in (item for rule in _rules(statement) if len(statement.codes) == 1 for item in rule.ranges):
            low, high = bounds.get(item.measure, (-np.inf, np.inf))
            bounds[item.measure] = max(low, item.low), min(high, item.high)
    return bounds


def _follows(statement: Statement, bounds: Bounds) -> bool:
    """Whether one of a statement's meanings is true wherever the measurements lie in their bounds.

    "Bent" is several values of one measurement side by side: together they span one range.
    """
    groups: dict[tuple[str, str], list[tuple[Range[str], ...]]] = {}
    for rule in _rules(statement):
        groups.setdefault(rule.code.group, []).append(rule.ranges)
    for meanings in groups.values():
        items = [item for ranges in meanings for item in ranges]
        if len({item.measure for item in items}) == 1:
            meanings.append((Range(items[0].measure, min(r.low for r in items), max(r.high for r in items)),))
    return any(all(_within(item, bounds) for item in ranges) for meanings in groups.values() for ranges in meanings)


def _within(item: Range, bounds: Bounds) -> bool:
    low, high = bounds.get(item.measure, (-np.inf, np.inf))
    return low >= item.low - item.tolerance and high <= item.high + item.tolerance
