"""Wordings of named poses, altered as people type them: how often the pose of the name comes out.

Each alteration changes a plain sentence of a named pose in one way; "bank" draws a whole wording from the bank.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import mirror_pose
from unipose.training.evaluation.metrics import joint_errors
from unipose.training.evaluation.tasks import first_poses, predict
from unipose.training.geometry import remove_heading
from unipose.training.named_poses.archetypes import ARCHETYPES, archetype_poses, archetype_sentences
from unipose.training.named_poses.grammar import phrase
from unipose.training.named_poses.typing_style import with_double_space, with_typo
from unipose.training.named_poses.wordings import names_side, wordings_of


# A pose is that of the name if its joints lie within this of it, as the mean, in mm from the pelvis.
NEAR = 60.0
BANK = "bank"
ALTERATIONS = (
    "exact",
    "without stop",
    "lower case without stop",
    "UPPER CASE",
    "a typo",
    "a double space",
    "a man",
    "a woman",
    "generate a pose of",
    BANK,
)


@dataclass(frozen=True)
class NamedWording:
    """A text that stands for a named pose.

    Args:
        name: name of the pose.
        text: what a person might type.
        alteration: one of `ALTERATIONS`.
    """

    name: str
    text: str
    alteration: str


def sample_named_wordings(count: int, seed: int) -> list[NamedWording]:
    """Texts of named poses, all alterations alike, of poses drawn at random.

    Args:
        count: number of texts.
        seed: seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    names = list(ARCHETYPES)
    wordings = []
    for index in range(count):
        name, alteration = names[rng.integers(len(names))], ALTERATIONS[index % len(ALTERATIONS)]
        wordings.append(NamedWording(name, altered_text(name, alteration, rng), alteration))
    return wordings


def altered_text(name: str, alteration: str, rng: np.random.Generator) -> str:
    """A sentence of a named pose with one alteration, or a wording of the bank.

    Args:
        name: name of the pose.
        alteration: one of `ALTERATIONS`.
        rng: source of the sentence, the typo and the space.

    Raises:
        ValueError: an unknown alteration.
    """
    if alteration == BANK:
        return phrase(wordings_of(name), rng)
    sentences = archetype_sentences(name)
    text = sentences[rng.integers(len(sentences))]
    # Other sentences have a subject of their own, which stays: "A guitarist stands ...".
    rest = text.removeprefix("A person ").removeprefix("Someone ")
    starts = {"a man": "A man", "a woman": "A woman", "generate a pose of": "Generate a pose of someone who"}
    texts = {
        "exact": text,
        "without stop": text.rstrip("."),
        "lower case without stop": text.rstrip(".").lower(),
        "UPPER CASE": text.upper(),
        "a typo": with_typo(text, rng),
        "a double space": with_double_space(text, rng),
    } | {name: f"{start} {rest}" if rest != text else text for name, start in starts.items()}
    if alteration not in texts:
        raise ValueError(f"got the alteration {alteration!r}; expected one of {', '.join(ALTERATIONS)}")
    return texts[alteration]


def is_named_pose(poses: torch.Tensor, wordings: Sequence[NamedWording], body: BodyModel) -> torch.Tensor:
    """Whether poses are those of the names: mirrored ones too where the text names no side.

    Args:
        poses: (n, 22, 3, 3) in the stored frame, any heading.
        wordings: the text of each.
        body: the body to measure.

    Returns:
        (n,) booleans.
    """
    targets = remove_heading(archetype_poses([wording.name for wording in wordings]).double())
    joints = body.forward_joints(remove_heading(poses.double()).float())
    distances = [
        joint_errors(joints, body.forward_joints(remove_heading(target).float()), root_joints=(0,)).mean(dim=1)
        for target in (targets, mirror_pose(targets))
    ]
    sided = torch.tensor([names_side(wording.text) for wording in wordings])
    return (distances[0] <= NEAR) | ((distances[1] <= NEAR) & ~sided)


def evaluate_named_wordings(
    pipe: Any, wordings: Sequence[NamedWording], body: BodyModel, batch_size: int
) -> dict[str, list[bool]]:
    """Whether the pose of each text is right, by alteration.

    Args:
        pipe: `pipeline("unipose")`.
        wordings: from `sample_named_wordings`.
        body: the body to measure.
        batch_size: number of texts per forward pass.
    """
    poses = first_poses(predict(pipe, "text-to-pose", batch_size, text=[wording.text for wording in wordings]))
    results: dict[str, list[bool]] = {alteration: [] for alteration in ALTERATIONS}
    for wording, right in zip(wordings, is_named_pose(poses, wordings, body).tolist()):
        results[wording.alteration].append(right)
    return results
