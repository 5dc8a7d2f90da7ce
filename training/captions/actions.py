"""Sentences that name the action of a pose, which begin the captions of named poses and of recorded activities.

They take the first, plainest wordings of the bank. `action_names` reads them back.
"""

from functools import cache

from numpy.random import Generator

from unipose.training.captions.text import to_sentence
from unipose.training.geometry import swap_sides
from unipose.training.named_poses.archetypes import ARCHETYPES
from unipose.training.named_poses.chance import pick
from unipose.training.named_poses.clip_wordings import load_activities
from unipose.training.named_poses.grammar import statement
from unipose.training.named_poses.subjects import Subject
from unipose.training.named_poses.wordings import PoseWordings, wordings_of


PEOPLE = tuple(Subject(text, "their", "them", "themselves") for text in ("the person", "a person", "someone"))
# Wordings of a pose that captions use: so many verb phrases.
NUM_WORDINGS = 6
# Probability of the first wording and of the first subject at variety 0; at variety 1 all are alike.
PLAIN = 0.7


def action_sentence(wordings: PoseWordings, rng: Generator, variety: float = 1.0) -> str:
    """A sentence such as "The person is doing a squat."

    Args:
        wordings: of a named pose or an activity.
        rng: source of randomness.
        variety: variety of the wording, 0..1.
    """
    plain = PLAIN * (1.0 - variety)
    options = _sentences(wordings)
    chosen = options[0] if rng.random() < plain else pick(options, rng)
    return chosen[0] if rng.random() < plain else pick(chosen, rng)


@cache
def action_names() -> dict[str, str]:
    """Every sentence of `action_sentence` -> the named pose, or "" where it is about recorded motion."""
    activities = {sentence: "" for activity in load_activities() for sentence in _all(activity.wordings)}
    names = [side for name in ARCHETYPES for side in dict.fromkeys((swap_sides(name), name))]
    # A wording that names no side stands for both.
    return activities | {sentence: name for name in names for sentence in _all(wordings_of(name))}


@cache
def _sentences(wordings: PoseWordings) -> list[list[str]]:
    """The sentences of each wording, one for each of `PEOPLE`."""
    phrases = wordings.do[:NUM_WORDINGS]
    return [[to_sentence(statement("do", text, person)) for person in PEOPLE] for text in phrases]


def _all(wordings: PoseWordings) -> list[str]:
    return [sentence for sentences in _sentences(wordings) for sentence in sentences]
