"""The semantic score of a description: how much of what it states is true, and how much of what matters it states."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unipose.training.captions.posecodes import RULES, Posecode, extract_posecodes, holding
from unipose.training.captions.read import read_caption


@dataclass(frozen=True)
class CaptionScore:
    """What a text says of a pose.

    Args:
        statements: the codes that the text states and the pose can be measured for.
        true: those of them that hold.
        salient: the rare codes of the pose, which a good description does not leave out.
        recalled: those of them that the text states, in so many words or by another true value of the same group.
        sentences: how many sentences there are.
        unread: those outside the inventory, in whole or in part.
    """

    statements: tuple[Posecode, ...]
    true: tuple[Posecode, ...]
    salient: tuple[Posecode, ...]
    recalled: tuple[Posecode, ...]
    sentences: int
    unread: tuple[str, ...]

    @property
    def precision(self) -> float:
        """True statements among all; 0 for a text that states nothing."""
        return len(self.true) / max(len(self.statements), 1)

    @property
    def recall(self) -> float:
        """Recalled codes among the salient ones; 1 for a pose that has none."""
        return len(self.recalled) / len(self.salient) if self.salient else 1.0


def score_caption(
    text: str, joints: npt.ArrayLike, rotmats: npt.ArrayLike | None = None, tolerance: float = 1.0
) -> CaptionScore:
    """`score_captions` of one text and one pose: (22, 3) joints and, where known, (22, 3, 3) rotations."""
    turns = None if rotmats is None else np.asarray(rotmats)[None]
    return score_captions((text,), np.asarray(joints)[None], turns, tolerance)[0]


def score_captions(
    texts: Sequence[str], joints: npt.ArrayLike, rotmats: npt.ArrayLike | None = None, tolerance: float = 1.0
) -> list[CaptionScore]:
    """Scores descriptions, each on its pose (posecode precision and recall).

    Args:
        texts: n descriptions, of `describe` or of a model; whatever they are, nothing is raised.
        joints: (n, 22, 3), metres, y up.
        rotmats: (n, 22, 3, 3), any frame; without them what a text says about the turn of the head is left out.
        tolerance: how far a measurement may miss its range, in units of 5 degrees and 0.05 m.

    Raises:
        ValueError: there is another number of texts than poses.
    """
    joints = np.asarray(joints)
    if joints.ndim != 3 or len(texts) != len(joints):
        raise ValueError(
            f"There are {len(texts)} texts and joints of shape {joints.shape}; give one (22, 3) pose a text."
        )
    if not texts:
        return []
    readings = [read_caption(text) for text in texts]
    measured = [
        tuple(code for code in reading.codes if rotmats is not None or code.kind != "head_turn")
        for reading in readings
    ]
    stated = sorted({code for codes in measured for code in codes})
    truth = dict(zip(stated, holding(stated, joints, tolerance, rotmats))) if stated else {}
    shown = extract_posecodes(joints, rotmats=rotmats)
    scores = []
    for index, (reading, codes) in enumerate(zip(readings, measured)):
        true = tuple(code for code in codes if truth[code][index])
        groups = {code.group for code in true}
        salient = tuple(code for code in shown[index] if RULES[code].worth == "rare")
        recalled = tuple(code for code in salient if code.group in groups)
        scores.append(CaptionScore(codes, true, salient, recalled, reading.sentences, reading.unread))
    return scores
