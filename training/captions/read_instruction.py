"""An instruction or a difference -> the codes it states, and how true these are of a pair: the semantic score.

The way back from `instruct`, through the same wordings (`pair_words.topics`). Sentences are cut at the words that join
clauses, and each clause is looked up. A clause may lean on the one before: "it", a state or a direction without its
part, a part without its verb. Either mood is read, and a mixture of both.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from unipose.training.captions.instruct import MAKE_SURE, OPENINGS
from unipose.training.captions.pair_words import GERUNDS, Codes, Topic, topics
from unipose.training.captions.paircodes import (
    NEEDS_ROTATIONS,
    Paircode,
    Rotations,
    extract_paircodes,
    paircodes_hold,
    parts_of,
)


Wordings = dict[tuple[str, str], Topic]

# How many of a pair's codes, the most telling first, a text is expected to state.
SALIENT = 5
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?;])\s+")
_BETWEEN_CLAUSES = re.compile(r",? (?:and then|then|and|while|until|so that|but) |, ")
_FINITE = re.compile(r"(.+?) (?:is|are) (.+)")


@dataclass(frozen=True)
class Reading:
    """What a text says.

    `codes` are the statements, each once, in the order of the text; `sentences` is how many sentences there are, and
    `unread` are those that are not understood, in whole or in part. What such a sentence states in known words counts.
    """

    codes: Codes
    sentences: int
    unread: tuple[str, ...]

    @property
    def parts(self) -> frozenset[str]:
        """The limbs that it is about."""
        return frozenset().union(*(code.parts for code in self.codes))


@dataclass(frozen=True)
class InstructionScore:
    """How a text fits a pair.

    Args:
        precision: the fraction of its statements that hold; NaN if it has none that can be measured.
        recall: the fraction of the pair's most telling codes that it states, with an amount that holds.
        statements: how many statements were checked.
        unread: sentences that were not understood.
    """

    precision: float
    recall: float
    statements: int
    unread: tuple[str, ...]


@dataclass
class _Context:
    """The part that the clause before was about, and how it changes: a command, or what followed "is"."""

    noun: str = ""
    said: str = ""


def read_instruction(text: str) -> Reading:
    """Reads a text that `instruct` made, or a model that learned from it; never raises."""
    sentences = [sentence for sentence in _BETWEEN_SENTENCES.split(text.strip()) if sentence]
    codes: list[Paircode] = []
    unread: list[str] = []
    for sentence in sentences:
        facts = list(_read_sentence(sentence))
        codes += [code for fact in facts for code in fact]
        if not all(facts):
            unread.append(sentence)
    return Reading(tuple(dict.fromkeys(codes)), len(sentences), tuple(unread))


def names_changed_part(text: str, joint: str) -> bool:
    """Whether a text states a change of the limb that a joint belongs to.

    Args:
        text: an instruction or a difference.
        joint: one of `JOINT_NAMES`: "left_elbow" asks for a change of the left arm.
    """
    return bool(parts_of(joint) & read_instruction(text).parts)


def score_instruction(
    text: str,
    joints_a: npt.ArrayLike,
    joints_b: npt.ArrayLike,
    *,
    same_sequence: bool = False,
    rotmats: Rotations | None = None,
    tolerance: float = 1.0,
) -> InstructionScore:
    """Compares what a text states with what changes from A to B: `score_instructions` of one pair.

    Args:
        text: an instruction or a difference.
        joints_a, joints_b: (22, 3), metres, y up.
        same_sequence, tolerance: as there.
        rotmats: (22, 3, 3) rotations of A and of B.

    Raises:
        ValueError: as there.
    """
    pair = np.asarray(joints_a)[None], np.asarray(joints_b)[None]
    turned = None if rotmats is None else (np.asarray(rotmats[0])[None], np.asarray(rotmats[1])[None])
    return score_instructions([text], *pair, same_sequence=same_sequence, rotmats=turned, tolerance=tolerance)[0]


def score_instructions(
    texts: Sequence[str],
    joints_a: npt.ArrayLike,
    joints_b: npt.ArrayLike,
    *,
    same_sequence: bool | npt.ArrayLike = False,
    rotmats: Rotations | None = None,
    tolerance: float = 1.0,
) -> list[InstructionScore]:
    """Compares what each text states with what changes from A to B in its pair.

    Args:
        texts: n instructions or differences.
        joints_a, joints_b: (n, 22, 3), metres, y up.
        same_sequence: whether a turn of the whole body is to be told, as for `extract_paircodes`.
        rotmats: (n, 22, 3, 3) rotations of A and of B. Without them statements about the turn or tilt of the head,
            which joints do not show, are left out.
        tolerance: how far outside its range a change may lie, in units of 5 degrees and 0.05 m.

    Raises:
        ValueError: a shape differs from those above, a number is not finite, or there are not n texts.
    """
    if len(texts) != len(np.asarray(joints_a)):
        raise ValueError(f"There are {len(texts)} texts for {len(np.asarray(joints_a))} pairs; give one for each.")
    readings = [read_instruction(text) for text in texts]
    stated = [
        [code for code in reading.codes if rotmats is not None or code.kind not in NEEDS_ROTATIONS]
        for reading in readings
    ]
    everything = list(dict.fromkeys(code for codes in stated for code in codes))
    truth = dict(zip(everything, paircodes_hold(everything, joints_a, joints_b, tolerance, rotmats)))
    shown = extract_paircodes(joints_a, joints_b, same_sequence=same_sequence, rotmats=rotmats)
    return [
        _score({code: bool(truth[code][pair]) for code in codes}, shown[pair], readings[pair].unread)
        for pair, codes in enumerate(stated)
    ]


def _score(held: dict[Paircode, bool], shown: Codes, unread: tuple[str, ...]) -> InstructionScore:
    salient = [code.key for code in shown if code.kind != "goal"][:SALIENT]
    stated = {code.key for code, true in held.items() if true}
    return InstructionScore(
        precision=float(np.mean([*held.values()])) if held else float("nan"),
        recall=float(np.mean([key in stated for key in salient])),
        statements=len(held),
        unread=unread,
    )


def _read_sentence(sentence: str) -> Iterator[Codes]:
    """The codes of each clause of a sentence, none for a clause in unknown words."""
    words = re.sub(r"\byour\b", "the", " ".join(sentence.lower().rstrip(".!?; ").split()))
    context = _Context()
    for clause in _BETWEEN_CLAUSES.split(_openings().sub("", words)):
        topic = _read_clause(clause, context)
        yield topic.codes if topic else ()


@cache
def _openings() -> re.Pattern[str]:
    leads = {lead.strip().lower() for both in OPENINGS.values() for leads in both for lead in leads} | {
        MAKE_SURE.strip()
    }
    return re.compile(rf"^(?:(?:{'|'.join(sorted(map(re.escape, leads - {''}), key=len, reverse=True))}) )+")


def _read_clause(clause: str, context: _Context) -> Topic | None:
    """Looks a clause up in every form it can have and keeps in `context` what the next one may lean on."""
    for form in (_comparison, _command, _state_alone, _direction_alone, _part_alone, _gerund):
        topic = form(clause, context)
        if topic:
            return topic
    context.noun = context.said = ""
    return None


def _comparison(clause: str, context: _Context) -> Topic | None:
    """The left hand is higher / it is now at hip height / so is the left hand / nothing has changed."""
    if clause in _tables().sentences:
        return _tables().sentences[clause]
    match = _FINITE.fullmatch(clause)
    if match is None:
        return None
    if match[1] in ("so", "as"):
        return _part_alone(match[2], context)
    noun = context.noun if match[1] in ("it", "they") else match[1].removeprefix("the ")
    return _known(noun, match[2], context) or _tables().goals.get((noun, match[2]))


def _known(noun: str, said: str, context: _Context) -> Topic | None:
    tables = _tables()
    topic = (
        tables.states.get((noun, said)) or tables.goals.get((noun, said.removeprefix("now ")))
        if said.startswith("now ")
        else tables.states.get((noun, said))
    )
    if topic:
        context.noun, context.said = noun, said
    return topic


def _command(clause: str, context: _Context) -> Topic | None:
    """Raise the left hand / bring it further forward / turn around."""
    tables = _tables()
    if ("", clause) in tables.commands:
        context.noun, context.said = "", clause
        return tables.commands["", clause]
    match = tables.part.search(clause)
    if match is None:
        return None
    said = f"{clause[: match.start()]}{{p}}{clause[match.end() :]}"
    noun = context.noun if match[0] in ("it", "them") else match[0].removeprefix("the ")
    topic = tables.commands.get((noun, said))
    if topic:
        context.noun, context.said = noun, said
    return topic


def _gerund(clause: str, context: _Context) -> Topic | None:
    """Raising the left hand."""
    verb, _, rest = clause.partition(" ")
    base = next((base for base, gerund in GERUNDS.items() if gerund == verb), "")
    return _command(f"{base} {rest}".strip(), context) if base else None


def _state_alone(clause: str, context: _Context) -> Topic | None:
    """Further forward."""
    return _known(context.noun, clause, context)


def _direction_alone(clause: str, context: _Context) -> Topic | None:
    """A little forward."""
    return _tables().shorts.get((context.noun, clause))


def _part_alone(clause: str, context: _Context) -> Topic | None:
    """The right hand: it changes as the part before did."""
    noun = clause.removeprefix("the ")
    topic = _tables().commands.get((noun, context.said)) or _known(noun, context.said, context)
    if topic:
        context.noun = noun
    return topic


@dataclass(frozen=True)
class _Tables:
    """Every wording, by the noun it goes with ("" for those that name no part), -> its topic.

    `part` finds the first part that a command names.
    """

    commands: Wordings
    states: Wordings
    goals: Wordings
    shorts: Wordings
    sentences: dict[str, Topic]
    part: re.Pattern[str]


@cache
def _tables() -> _Tables:
    given = topics().values()
    commands: Wordings = {
        (noun, said): topic
        for topic in given
        for said in topic.imperatives
        for noun in (topic.nouns if "{p}" in said else ("",))
    }
    nouns = sorted({noun for noun, _ in commands if noun}, key=len, reverse=True)
    return _Tables(
        commands,
        states={
            (noun, said): topic
            for topic in given
            if not topic.is_goal
            for noun in topic.nouns
            for said in topic.states
        },
        goals={
            (noun, said): topic for topic in given if topic.is_goal for noun in topic.nouns for said in topic.states
        },
        shorts={(noun, said): topic for topic in given for noun in topic.nouns for said in topic.shorts},
        sentences={said: topic for topic in given for said in topic.sentences},
        part=re.compile(rf"\b(?:(?:the )?(?:{'|'.join(nouns)})|it|them)\b"),
    )
