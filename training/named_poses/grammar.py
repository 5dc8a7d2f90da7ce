"""The grammar of forms: one wording of a named pose as a whole text that a person might type into a chat.

`phrase` draws the wording, the form around it (statement, command, heading, request) and the way it is typed;
`vary_sentence` and `vary_command` do the last two for the texts of the captioner.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from numpy.random import Generator

from unipose.training.named_poses.chance import pick
from unipose.training.named_poses.conjugation import verb_phrase
from unipose.training.named_poses.subjects import COMMAND, Subject, draw_nobody, draw_subject
from unipose.training.named_poses.typing_style import typed
from unipose.training.named_poses.wordings import Kind, PoseWordings, names_side


PROMPT = 0.20
NOBODY = 0.25

Side = Literal["any", "named", "unnamed"]
Tense = Literal["simple", "progressive"]

# Requests for a noun phrase, and those for something that the subject has to do.
REQUESTS = (
    "show me {}",
    "show {}",
    "generate {}",
    "generate a pose of {}",
    "generate a 3d pose of {}",
    "create a pose of {}",
    "create {}",
    "make a pose of {}",
    "make {}",
    "give me {}",
    "give me a pose of {}",
    "i need {}",
    "i need a pose of {}",
    "i want {}",
    "i want to see {}",
    "i'd like {}",
    "draw {}",
    "draw me {}",
    "render {}",
    "pose: {}",
    "prompt: {}",
    "a pose of {}",
    "a 3d model of {}",
    "a figure of {}",
    "please show me {}",
    "please generate {}",
    "let's see {}",
    "how about {}",
    "now {}",
    "try {}",
    "imagine {}",
)
# Requests that fit a name which is no noun phrase ("hands up", "namaste").
CALLS = (
    "show me {}",
    "show {}",
    "pose: {}",
    "prompt: {}",
    "give me {}",
    "i want {}",
    "{} pose",
    "how about {}",
    "now {}",
)
QUESTIONS = (
    "can you make {}",
    "can you show me {}",
    "could you generate {}",
    "can you draw {}",
    "could i get {}",
    "can i see {}",
    "can you give me a pose of {}",
    "would you show me {}",
)
CAUSATIVES = ("make {them} {do}", "let {them} {do}", "have {them} {do}", "i want {them} to {do}", "get {them} to {do}")
CAUSATIVE_QUESTIONS = ("can you make {them} {do}", "could you have {them} {do}", "can you get {them} to {do}")
SENTENCE_CALLS = (
    "pose: {}",
    "prompt: {}",
    "generate: {}",
    "show me how {}",
    "generate a pose where {}",
    "i need a pose where {}",
    "make a pose where {}",
    "a pose in which {}",
    "imagine {}",
)
COMMAND_LEADS = (*("{}",) * 6, "now {}", "please {}", "ok, {}", "then {}")
LIKENESSES = ("act like", "pose like", "pretend to be", "play", "pose as", "imitate")

# Nouns of poses that one is "in", and of those that one "does".
_IN = re.compile(
    r"""
    asana | backbend | bridge | crouch | fold | guard | handstand | headstand | hold | kneel | lunge | plank |
    pose | position | posture | recline | relevé | seat | shoulderstand | sit | split | splits | squat | stance |
    straddle | stretch | tabletop | tuck | twist
    """,
    re.VERBOSE,
)
_DO = re.compile(
    r"""
    arabesque | backhand | bow | burpee | cartwheel | clap | crawl | crunch | curl | curtsy | dab | dance |
    deadlift | dig | dip | dive | dribble | exercise | facepalm | fold | forehand | gesture | handstand |
    headstand | hold | hook | jab | jump | kick | kickback | leap | lift | lunge | march | move | nod | pirouette
    | plank | plié | pose | press | pull | pull-up | punch | push-up | raise | roll | row | run | salute | serve |
    shrug | sign | sit-up | smash | split | splits | squat | stand | step | strike | stretch | stroke | swing |
    throw | twirl | twist | uppercut | v-up | walk | wave
    """,
    re.VERBOSE,
)
_HEAD_NOUN = re.compile(
    r"^(?:[\w'é-]+ )*?([\w'é-]+)(?=,| (?:of|with|on|in|for|to|from|at|over|under|by|while|like|and) |$)"
)
_USUAL_START = re.compile(r"A person|Someone")
_ARTICLE = re.compile(r"^(?:an?|the) ")


@dataclass(frozen=True)
class _Text:
    """A text before it is typed, and what it is."""

    words: str
    question: bool = False
    command: bool = False
    request: bool = False


def phrase(wordings: PoseWordings, rng: Generator, side: Side = "any") -> str:
    """A text for a named pose.

    Args:
        wordings: those of the pose; `wordings_of` gives them.
        rng: source of randomness; one state gives one text.
        side: whether the text names the left or the right side ("named"), does not ("unnamed"), or may ("any").

    Returns:
        One line, as a person types it.
    """
    if side != "any":
        wordings = wordings.filtered(lambda text: names_side(text) == (side == "named"))
    entries = list(wordings.entries())
    kind, text = pick(entries, rng)
    form = _request(kind, text, rng) if rng.random() < PROMPT else _statement(kind, text, rng)
    return typed(form.words, rng, form.question, form.command, polite=form.request or form.command)


def vary_sentence(sentence: str, rng: Generator) -> str:
    """A plain sentence of a named pose or of a caption, with another subject and as a person types it.

    Args:
        sentence: one sentence in the third person; only "A person" and "Someone" at its start are replaced.
        rng: source of randomness; one state gives one text.

    Returns:
        Such as "the kid kneels on the left knee" for "A person kneels on the left knee.".
    """
    words = sentence.removesuffix(".")
    usual = _USUAL_START.match(words)
    if usual:
        subject = draw_subject(rng, usual=0.4)
        start = subject.text if subject.verb == "third" else usual[0].lower()
        words = start + words[usual.end() :]
    elif not words.startswith(("I ", "T-")):
        words = words[:1].lower() + words[1:]
    if rng.random() < PROMPT:
        return typed(pick(SENTENCE_CALLS, rng).format(words), rng, polite=True)
    return typed(words, rng)


def vary_command(text: str, rng: Generator) -> str:
    """An instruction of one or more sentences as a person types it.

    Args:
        text: sentences in the imperative.
        rng: source of randomness; one state gives one text.
    """
    words = text.removesuffix(".")
    words = words[:1].lower() + words[1:]
    return typed(pick(COMMAND_LEADS, rng).format(words), rng, command=True, polite=True)


def statement(kind: Kind, text: str, subject: Subject, tense: Tense = "progressive") -> str:
    """A sentence about a subject, without capital and stop.

    Args:
        kind: of the wording.
        text: the wording.
        subject: whom it is about.
        tense: "simple" ("he squats") or "progressive" ("he is squatting"); only "do" and "name" have both.

    Returns:
        Such as "she is kneeling down and bowing her head".
    """
    if kind == "be" and text.startswith("with "):
        return subject.fill(f"{subject.text} {verb_phrase('have', subject.verb)} {text.removeprefix('with ')}")
    if kind == "be":
        return subject.fill(f"{subject.text} {subject.be} {text}")
    if kind == "who":
        return subject.fill(f"{subject.text} {subject.be} like {text}")
    if kind == "name":
        if _is_place(text) and not (_is_action(text) and _ARTICLE.match(text)):
            return subject.fill(f"{subject.text} {subject.be} in {text}")
        text = f"do {text}"
    if tense == "simple":
        return subject.fill(f"{subject.text} {verb_phrase(text, subject.verb)}")
    return subject.fill(f"{subject.text} {subject.be} {verb_phrase(text, 'participle')}")


def noun_phrase(kind: Kind, text: str, subject: Subject, relative: bool = False) -> str:
    """A noun phrase for the person in the pose.

    Args:
        kind: of the wording.
        text: the wording.
        subject: a named person, no pronoun.
        relative: "a man who squats" instead of "a man squatting".

    Returns:
        Such as "a woman in a deep squat".
    """
    if relative and kind in ("do", "be"):
        return statement(kind, text, replace(subject, text=f"{subject.text} who"), "simple")
    if kind == "be":
        return subject.fill(f"{subject.text} {text}")
    if kind == "who":
        return text
    if kind == "name":
        verb = "in" if _is_place(text) else "doing" if _is_action(text) else "with"
        return text if verb == "with" else subject.fill(f"{subject.text} {verb} {text}")
    return subject.fill(f"{subject.text} {verb_phrase(text, 'participle')}")


def _statement(kind: Kind, text: str, rng: Generator) -> _Text:
    if rng.random() < NOBODY or (kind in ("name", "who") and rng.random() < 0.5):
        return _bare(kind, text, rng)
    if kind == "name" and not _is_place(text) and not _is_action(text):
        return _bare(kind, text, rng)
    subject = draw_subject(rng)
    tense: Tense = "simple" if rng.random() < 0.5 else "progressive"
    if kind == "who":
        return _Text(statement("do", f"{pick(LIKENESSES, rng)} {text}", subject, tense))
    if subject.is_pronoun or rng.random() < 0.7:
        return _Text(statement(kind, text, subject, tense))
    words = noun_phrase(kind, text, subject, relative=rng.random() < 0.15)
    return _Text(_ARTICLE.sub("", words) if rng.random() < 0.15 else words)


def _bare(kind: Kind, text: str, rng: Generator) -> _Text:
    """A text about nobody: a command, a heading, the name alone."""
    if kind == "do":
        if rng.random() < 0.5:
            return _Text(COMMAND.fill(verb_phrase(text, "base")), command=True)
        return _Text(draw_nobody(rng).fill(verb_phrase(text, "participle")))
    if kind == "be":
        return _Text(draw_nobody(rng).fill(text))
    if kind == "name" and _is_action(text) and rng.random() < 0.2:
        return _Text(COMMAND.fill(f"do {text}"), command=True)
    if kind == "who" and rng.random() < 0.25:
        likeness = f"{pick(LIKENESSES, rng)} {text}"
        command = bool(rng.random() < 0.5)
        return _Text(verb_phrase(likeness, "base" if command else "participle"), command=command)
    words = draw_nobody(rng).fill(text)
    return _Text(_ARTICLE.sub("", words) if rng.random() < 0.35 else words)


def _request(kind: Kind, text: str, rng: Generator) -> _Text:
    question = rng.random() < 0.3
    if kind == "do" and rng.random() < 0.25:
        subject = draw_subject(rng)
        forms = CAUSATIVE_QUESTIONS if question else CAUSATIVES
        them = subject.them if subject.is_pronoun else subject.text
        done = subject.fill(verb_phrase(text, "base"))
        return _Text(pick(forms, rng).replace("{them}", them).replace("{do}", done), question, request=True)
    subject = draw_subject(rng, pronouns=False)
    words = noun_phrase(kind, text, subject, relative=rng.random() < 0.15)
    if kind in ("name", "who") and rng.random() < 0.6:
        words = draw_nobody(rng).fill(text)
    if kind == "name" and words == text and not _ARTICLE.match(text):
        return _Text(_format(CALLS, words, rng), request=True)
    return _Text(_format(QUESTIONS if question else REQUESTS, words, rng), question, request=True)


def _format(forms: tuple[str, ...], words: str, rng: Generator) -> str:
    """One of the forms, without a second "pose" if the words have one."""
    if re.search(r"\b(?:pose|position|stance|posture)\b", words):
        forms = tuple(form for form in forms if "pose" not in form)
    return pick(forms, rng).format(words)


def _is_place(text: str) -> bool:
    """Whether one is "in" what a name names."""
    return _IN.fullmatch(_head_noun(text)) is not None


def _is_action(text: str) -> bool:
    """Whether one "does" what a name names."""
    return _DO.fullmatch(_head_noun(text)) is not None


def _head_noun(text: str) -> str:
    """The noun that says what a name is: "pose" of "a yoga pose on one leg"."""
    head = _HEAD_NOUN.match(text)
    return head[1].lower() if head else ""
