"""Texts of edits, as a person types them."""

from numpy.random import Generator

from unipose.training.named_poses.chance import pick
from unipose.training.named_poses.conjugation import verb_phrase
from unipose.training.named_poses.limbs import arm_text, load_edit_wordings
from unipose.training.named_poses.subjects import COMMAND
from unipose.training.named_poses.typing_style import typed
from unipose.training.named_poses.wordings import wordings_of
from unipose.training.sampling.edit_chains import Turn
from unipose.training.sampling.edits import Change, Editor


# Around a command, around what is said of a state, around the name of a pose, and around a wording of a kind.
LEADS = (
    *("{}",) * 8,
    "now {}",
    "now {}",
    "then {}",
    "please {}",
    "next, {}",
    "{} instead",
    "{} now",
    "can you {}",
    "could you {}",
    "ok now {}",
    "and {}",
)
STATE_LEADS = ("{}", "{}", "now {}", "{} now", "make it {}", "i want {}", "with {}", "change it to {}")
NAME_LEADS = (
    "{}",
    "now {}",
    "change it to {}",
    "make it {}",
    "switch to {}",
    "go into {}",
    "i want {}",
    "turn it into {}",
)
PART_LEADS = (*LEADS, "{} and keep the rest", "just {}")
KIND_LEADS = ("{}", "{}", "{}", "now {}", "ok, {}", "{} please")
# Verbs that a causative subject takes: "make her sit down".
CAUSATIVES = ("make {them} {do}", "let {them} {do}", "have {them} {do}", "{they} should {do}", "i want {them} to {do}")
OTHERS = (
    ("him", "he", "his"),
    ("her", "she", "her"),
    ("them", "they", "their"),
    ("the person", "the person", "their"),
)
# How often an edit is put as one of these, and how often an arm or head is named by its state.
CAUSATIVE, STATE, NAME = 0.12, 0.3, 0.35


def turn_text(turn: Turn, editor: Editor, rng: Generator) -> str:
    """A text for a turn of a chain.

    Args:
        turn: the turn.
        editor: has the states.
        rng: source of randomness.
    """
    if turn.kind == "edit" and turn.change is not None:
        return edit_text(turn.change, editor, rng)
    words = arm_text(pick(load_edit_wordings()[turn.kind], rng), turn.change.side if turn.change else "", rng)
    return typed(COMMAND.fill(words), rng, command=True, polite=True)


def edit_text(change: Change, editor: Editor, rng: Generator) -> str:
    """A text for an edit.

    Args:
        change: the edit.
        editor: has the states.
        rng: source of randomness.
    """
    kind, name, side = change
    if kind == "named":
        wordings = wordings_of(name)
        if rng.random() < NAME or not wordings.do:
            return typed(COMMAND.fill(pick(NAME_LEADS, rng).format(pick(wordings.name, rng))), rng)
        return _command(pick(wordings.do, rng), rng)
    if kind not in editor.states:
        return _of_kind(kind, side, rng)
    state = editor.states[kind][name]
    if state.states and kind != "base" and rng.random() < STATE:
        lead = pick(STATE_LEADS if kind in ("arm", "head") else KIND_LEADS, rng)
        words = arm_text(pick(state.states, rng), side, rng)
        return typed(COMMAND.fill(lead.format(words)), rng)
    leads = LEADS if kind in ("base", "posture") else PART_LEADS
    return _command(arm_text(pick(state.do, rng), side, rng), rng, leads)


def _of_kind(kind: str, side: str, rng: Generator) -> str:
    words = arm_text(pick(load_edit_wordings()[kind], rng), side, rng)
    lead = "{}" if "please" in words else pick(KIND_LEADS, rng)
    return typed(COMMAND.fill(lead.format(words)), rng, command=True)


def _command(verb: str, rng: Generator, leads: tuple[str, ...] = LEADS) -> str:
    if rng.random() < CAUSATIVE:
        them, they, their = pick(OTHERS, rng)
        themselves = {"him": "himself", "her": "herself"}.get(them, "themselves")
        done = verb_phrase(verb, "base").replace("{their}", their).replace("{themselves}", themselves)
        done = done.replace("{them}", them).replace("your", their).replace(" you", f" {them}")
        return typed(pick(CAUSATIVES, rng).format(them=them, they=they, do=done), rng, polite=True)
    lead = pick(leads, rng)
    words = COMMAND.fill(lead.format(verb_phrase(verb, "base")))
    question = lead.startswith(("can you", "could you"))
    return typed(words, rng, question=question, command=not question, polite=True)
