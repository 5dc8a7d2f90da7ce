"""An instruction or a difference -> the codes it states: the inverse of `instruct`, through the same table.

Sentences are cut at the words that join clauses, and each clause is looked up in `paircode_phrases.topics`. A clause
may depend on the one before: "it", a state or a direction without its part, a part without its verb. Both styles are
read, and a mixture of them.
"""

import re
from dataclasses import dataclass
from functools import cache

from unipose.training.captions.instruct import MAKE_SURE, OPENINGS
from unipose.training.captions.paircode_phrases import GERUNDS, Topic, topics
from unipose.training.captions.paircode_rules import Paircode, changed_parts, parts_of
from unipose.training.captions.text import Reading, read_sentences, split_sentences


Wordings = dict[tuple[str, str], Topic]

_BETWEEN_CLAUSES = re.compile(r",? (?:and then|then|and|while|until|so that|but) |, ")
_FINITE = re.compile(r"(.+?) (?:is|are) (.+)")


@dataclass
class _Context:
    """The part of the previous clause, and its change: a command, or the phrase after "is"."""

    noun: str = ""
    phrase: str = ""


def read_instruction(text: str) -> Reading[Paircode]:
    """Reads a text that `instruct` wrote, or a model that learned from it; never raises."""
    return read_sentences(split_sentences(text, ".!?;"), _read_sentence)


def names_changed_part(text: str, joint: str) -> bool:
    """Whether a text states a change of the limb that a joint belongs to.

    Args:
        text: an instruction or a difference.
        joint: one of `JOINT_NAMES`: "left_elbow" belongs to the left arm.
    """
    return bool(parts_of(joint) & changed_parts(read_instruction(text).codes))


def _read_sentence(sentence: str) -> tuple[list[Paircode], bool]:
    """The codes of a sentence, and whether each of its clauses was understood."""
    words = re.sub(r"\byour\b", "the", " ".join(sentence.lower().rstrip(".!?; ").split()))
    context = _Context()
    found = [_read_clause(clause, context) for clause in _BETWEEN_CLAUSES.split(_openings().sub("", words))]
    return [code for topic in found if topic for code in topic.codes], all(found)


@cache
def _openings() -> re.Pattern[str]:
    leads = {lead.strip().lower() for both in OPENINGS.values() for leads in both for lead in leads} | {
        MAKE_SURE.strip()
    }
    return re.compile(rf"^(?:(?:{'|'.join(sorted(map(re.escape, leads - {''}), key=len, reverse=True))}) )+")


def _read_clause(clause: str, context: _Context) -> Topic | None:
    """Looks a clause up in every form it can have; `context` keeps part and phrase for the next one."""
    for form in (_comparison, _command, _state_alone, _direction_alone, _part_alone, _gerund):
        topic = form(clause, context)
        if topic:
            return topic
    context.noun = context.phrase = ""
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


def _known(noun: str, phrase: str, context: _Context) -> Topic | None:
    tables = _tables()
    topic = (
        tables.states.get((noun, phrase)) or tables.goals.get((noun, phrase.removeprefix("now ")))
        if phrase.startswith("now ")
        else tables.states.get((noun, phrase))
    )
    if topic:
        context.noun, context.phrase = noun, phrase
    return topic


def _command(clause: str, context: _Context) -> Topic | None:
    """Raise the left hand / bring it further forward / turn around."""
    tables = _tables()
    if ("", clause) in tables.commands:
        context.noun, context.phrase = "", clause
        return tables.commands["", clause]
    match = tables.part.search(clause)
    if match is None:
        return None
    phrase = f"{clause[: match.start()]}{{p}}{clause[match.end() :]}"
    noun = context.noun if match[0] in ("it", "them") else match[0].removeprefix("the ")
    topic = tables.commands.get((noun, phrase))
    if topic:
        context.noun, context.phrase = noun, phrase
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
    topic = _tables().commands.get((noun, context.phrase)) or _known(noun, context.phrase, context)
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
        (noun, phrase): topic
        for topic in given
        for phrase in topic.imperatives
        for noun in (topic.nouns if "{p}" in phrase else ("",))
    }
    nouns = sorted({noun for noun, _ in commands if noun}, key=len, reverse=True)
    return _Tables(
        commands,
        states={
            (noun, phrase): topic
            for topic in given
            if not topic.is_goal
            for noun in topic.nouns
            for phrase in topic.states
        },
        goals={
            (noun, phrase): topic
            for topic in given
            if topic.is_goal
            for noun in topic.nouns
            for phrase in topic.states
        },
        shorts={(noun, phrase): topic for topic in given for noun in topic.nouns for phrase in topic.shorts},
        sentences={phrase: topic for topic in given for phrase in topic.sentences},
        part=re.compile(rf"\b(?:(?:the )?(?:{'|'.join(nouns)})|it|them)\b"),
    )
