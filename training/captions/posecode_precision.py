"""Posecode precision and recall of descriptions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.posecodes import RULES, Posecode, extract_posecodes, holding


@dataclass(frozen=True)
class CaptionScore:
    """The statements of a text about a pose.

    Args:
        statements: the codes that the text states and the pose can be measured for.
        true: those of them that hold.
        salient: the rare codes of the pose, which a good description states.
        recalled: those of them that the text states, exactly or by another true value of the same group.
        sentences: the number of sentences.
        unparsable: those outside the vocabulary, in whole or in part.
    """

    statements: tuple[Posecode, ...]
    true: tuple[Posecode, ...]
    salient: tuple[Posecode, ...]
    recalled: tuple[Posecode, ...]
    sentences: int
    unparsable: tuple[str, ...]

    @property
    def precision(self) -> float:
        """True statements among all; 0 for a text that states nothing."""
        return len(self.true) / max(len(self.statements), 1)

    @property
    def recall(self) -> float:
        """Recalled codes among the salient ones; 1 for a pose that has none."""
        return len(self.recalled) / len(self.salient) if self.salient else 1.0


def score_captions(
    texts: Sequence[str], joints: npt.ArrayLike, rotmats: npt.ArrayLike | None = None, tolerance: float = 1.0
) -> list[CaptionScore]:
    """Scores descriptions, each on its pose (posecode precision and recall).

    Args:
        texts: n descriptions, of `describe` or of a model; any text is accepted.
        joints: (n, 22, 3), meters, y up.
        rotmats: (n, 22, 3, 3), any frame; without them statements about the rotation of the head are left out.
        tolerance: largest distance of a measurement from its range, in units of 5 degrees and 0.05 m.

    Raises:
        ValueError: the numbers of texts and poses differ.
    """
    joints = np.asarray(joints)
    if joints.ndim != 3 or len(texts) != len(joints):
        raise ValueError(
            f"got {len(texts)} texts and joints of shape {joints.shape}; expected one pose of (22, 3) joints per text."
        )
    if not texts:
        return []
    readings = [read_caption(text) for text in texts]
    measured = [
        tuple(code for code in reading.codes if rotmats is not None or code.kind != "head_rotation")
        for reading in readings
    ]
    stated = sorted({code for codes in measured for code in codes})
    truth = dict(zip(stated, holding(stated, joints, tolerance, rotmats))) if stated else {}
    expected = extract_posecodes(joints, rotmats=rotmats)
    scores = []
    for index, (reading, codes) in enumerate(zip(readings, measured)):
        true = tuple(code for code in codes if truth[code][index])
        groups = {code.group for code in true}
        salient = tuple(code for code in expected[index] if RULES[code].eligibility == "rare")
        recalled = tuple(code for code in salient if code.group in groups)
        scores.append(CaptionScore(codes, true, salient, recalled, reading.sentences, reading.unparsable))
    return scores
