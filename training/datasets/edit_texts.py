"""Texts of edits of composed poses, as a person types them."""

import numpy as np
import yaml
from numpy.random import Generator

from unipose.training.named_poses.chance import pick
from unipose.training.named_poses.conjugation import verb_phrase
from unipose.training.named_poses.limbs import LIMBS_FOLDER, LimbState, arm_text
from unipose.training.named_poses.subjects import COMMAND
from unipose.training.named_poses.typing_style import typed
from unipose.training.sampling.composition import Composer
from unipose.training.sampling.edits import Edits


# Around a command, and around what is said of a state.
LEADS = (
    "{}",
    "{}",
    "{}",
    "now {}",
    "then {}",
    "please {}",
    "next, {}",
    "{} instead",
    "{} now",
    "can you {}",
    "{} and keep the rest",
)
STATE_LEADS = ("{}", "{}", "now {}", "{} now", "make it {}", "i want {}", "with {}", "change it to {}")


def edit_texts(edits: Edits, composer: Composer, rng: Generator) -> list[str]:
    """A text for each edit.

    Args:
        edits: the pairs.
        composer: has their states.
        rng: source of randomness.
    """
    wordings: dict[str, list[str]] = yaml.safe_load((LIMBS_FOLDER / "edits.yaml").read_text("utf-8"))
    return [
        _text(kind, side, states, composer, wordings, rng)
        for kind, side, states in zip(edits.kinds, edits.sides, edits.states)
    ]


def _text(
    kind: str,
    side: str,
    states: np.typing.NDArray[np.int64],
    composer: Composer,
    wordings: dict[str, list[str]],
    rng: Generator,
) -> str:
    arm = composer.arms[states[1 if side == "left" else 2]]
    if kind in wordings:
        words = arm_text(pick(wordings[kind], rng), side, rng)
        lead = pick(("{}", "{}", "now {}", "ok, {}", "{} please"), rng)
        return typed(COMMAND.fill(lead.format(words)), rng, command=True)
    if kind == "base":
        return _command(pick(composer.bases[states[0]].do, rng), rng)
    if kind == "head":
        return _state_or_command(composer.heads[states[3]], "left", rng)
    return _state_or_command(arm, "both" if kind == "both_arms" else side, rng)


def _state_or_command(state: LimbState, side: str, rng: Generator) -> str:
    if rng.random() < 0.3:
        words = arm_text(pick(state.states, rng), side, rng)
        return typed(COMMAND.fill(pick(STATE_LEADS, rng).format(words)), rng)
    return _command(arm_text(pick(state.do, rng), side, rng), rng)


def _command(verb: str, rng: Generator) -> str:
    lead = pick(LEADS, rng)
    words = COMMAND.fill(lead.format(verb_phrase(verb, "base")))
    question = lead.startswith("can you")
    return typed(words, rng, question=question, command=not question, polite=True)
