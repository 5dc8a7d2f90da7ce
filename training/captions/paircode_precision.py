"""Paircode precision and recall of instructions and differences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unipose.training.captions.instruction_reader import read_instruction
from unipose.training.captions.paircode_rules import NEEDS_ROTATIONS, Paircode
from unipose.training.captions.paircodes import Rotations, extract_paircodes, paircodes_hold


# How many codes of a pair, the most salient first, a text is expected to state.
SALIENT = 5


@dataclass(frozen=True)
class InstructionScore:
    """Paircode precision and recall of a text.

    Args:
        precision: the fraction of its statements that hold; NaN if it has none that can be measured.
        recall: the fraction of the most salient codes of the pair that it states, with an amount that holds.
        statements: the number of statements that were checked.
        unparsable: the sentences outside the vocabulary.
    """

    precision: float
    recall: float
    statements: int
    unparsable: tuple[str, ...]


def score_instructions(
    texts: Sequence[str],
    joints_a: npt.ArrayLike,
    joints_b: npt.ArrayLike,
    *,
    same_sequence: bool | npt.ArrayLike = False,
    rotmats: Rotations | None = None,
    tolerance: float = 1.0,
) -> list[InstructionScore]:
    """Compares each text with what changes from A to B in its pair.

    Args:
        texts: n instructions or differences.
        joints_a: (n, 22, 3) of the first poses, meters, y up.
        joints_b: (n, 22, 3) of the second poses.
        same_sequence: whether a change of the heading is expected, as for `extract_paircodes`.
        rotmats: (n, 22, 3, 3) rotations of A and of B. Without them statements about the rotation or tilt of
            the head, which joints do not show, are left out.
        tolerance: largest distance of a change from its range, in units of 5 degrees and 0.05 m.

    Raises:
        ValueError: a shape differs from those above, a number is not finite, or there are not n texts.
    """
    if len(texts) != len(np.asarray(joints_a)):
        raise ValueError(f"got {len(texts)} texts for {len(np.asarray(joints_a))} pairs; expected one for each.")
    readings = [read_instruction(text) for text in texts]
    stated = [
        [code for code in reading.codes if rotmats is not None or code.kind not in NEEDS_ROTATIONS]
        for reading in readings
    ]
    everything = list(dict.fromkeys(code for codes in stated for code in codes))
    truth = dict(zip(everything, paircodes_hold(everything, joints_a, joints_b, tolerance, rotmats)))
    expected = extract_paircodes(joints_a, joints_b, same_sequence=same_sequence, rotmats=rotmats)
    return [
        _score({code: bool(truth[code][pair]) for code in codes}, expected[pair], readings[pair].unparsable)
        for pair, codes in enumerate(stated)
    ]


def _score(held: dict[Paircode, bool], expected: Sequence[Paircode], unparsable: tuple[str, ...]) -> InstructionScore:
    salient = [code.key for code in expected if code.kind != "goal"][:SALIENT]
    stated = {code.key for code, true in held.items() if true}
    return InstructionScore(
        precision=float(np.mean([*held.values()])) if held else float("nan"),
        recall=float(np.mean([key in stated for key in salient])),
        statements=len(held),
        unparsable=unparsable,
    )
