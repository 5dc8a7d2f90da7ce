"""Precision of the posecodes and paircodes of texts, measured on the poses.

A text counts only as far as the parsers of `captions` can read it. A statement is true if the measurement lies in its
range, or within the usual tolerance of it (`captions.posecodes.holding`, `captions.paircodes.paircodes_hold`).
"""

from collections.abc import Sequence

import numpy.typing as npt
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.captions.instruction_reader import names_changed_part
from unipose.training.captions.paircodes import Paircode, extract_paircodes, paircodes_hold
from unipose.training.captions.posecodes import Posecode, extract_posecodes, holding
from unipose.training.sampling.pose_pairs import CHANGES, PosePairs


Code = Posecode | Paircode


def posecodes_of_poses(poses: torch.Tensor, body: BodyModel) -> list[tuple[Posecode, ...]]:
    """The posecodes that a description of each pose may state.

    Args:
        poses: (n, 22, 3, 3) in the stored frame.
        body: the body to measure.
    """
    return extract_posecodes(_joints(poses, body), rotmats=poses)


def paircodes_of_pairs(pairs: PosePairs, body: BodyModel) -> list[tuple[Paircode, ...]]:
    """The paircodes that an instruction from the first to the second pose of each pair may state.

    Args:
        pairs: n pairs of poses.
        body: the body to measure.
    """
    joints = (_joints(poses, body) for poses in (pairs.first, pairs.second))
    rotmats = (pairs.first, pairs.second)
    return extract_paircodes(*joints, same_sequence=pairs.same_sequence.numpy(), rotmats=rotmats)


def posecode_precision(posecodes: Sequence[Sequence[Posecode]], poses: torch.Tensor, body: BodyModel) -> float:
    """The fraction of all stated posecodes that are true of their poses.

    Args:
        posecodes: posecodes of n texts.
        poses: (n, 22, 3, 3) in the stored frame.
        body: the body to measure.

    Returns:
        0 to 1; 0 where nothing is stated, so that unreadable texts score no better than false ones.
    """
    true = count_true_posecodes(posecodes, poses, body)
    return sum(true) / max(sum(map(len, posecodes)), 1)


def count_true_posecodes(posecodes: Sequence[Sequence[Posecode]], poses: torch.Tensor, body: BodyModel) -> list[int]:
    """How many of the posecodes of each text are true of its pose.

    Args:
        posecodes: posecodes of n texts.
        poses: (n, 22, 3, 3) in the stored frame.
        body: the body to measure.
    """
    joints = _joints(poses, body)
    return [
        int(holding(codes, joints[i : i + 1], rotmats=poses[i : i + 1]).sum()) if codes else 0
        for i, codes in enumerate(posecodes)
    ]


def posecode_recall(posecodes: Sequence[Sequence[Code]], expected: Sequence[Sequence[Code]]) -> float:
    """The fraction of all expected posecodes (or paircodes) that are stated.

    Args:
        posecodes: codes of n texts.
        expected: codes that each should state, such as those of a reference text.

    Returns:
        0 to 1; 0 where nothing is expected.
    """
    return sum(count_stated(posecodes, expected)) / max(sum(len({*codes}) for codes in expected), 1)


def count_stated(posecodes: Sequence[Sequence[Code]], expected: Sequence[Sequence[Code]]) -> list[int]:
    """How many of the different codes that are expected of each text it states.

    Args:
        posecodes: codes of n texts.
        expected: codes that each should state.
    """
    return [len({*own} & {*other}) for own, other in zip(posecodes, expected, strict=True)]


def paircode_precision(
    paircodes: Sequence[Sequence[Paircode]], first: torch.Tensor, second: torch.Tensor, body: BodyModel
) -> float:
    """The fraction of all stated paircodes that are true of their pairs of poses.

    Args:
        paircodes: paircodes of n texts.
        first: (n, 22, 3, 3) poses before the change, in the stored frame.
        second: (n, 22, 3, 3) poses after it.
        body: the body to measure.

    Returns:
        0 to 1; 0 where nothing is stated.
    """
    true = count_true_paircodes(paircodes, first, second, body)
    return sum(true) / max(sum(map(len, paircodes)), 1)


def count_true_paircodes(
    paircodes: Sequence[Sequence[Paircode]], first: torch.Tensor, second: torch.Tensor, body: BodyModel
) -> list[int]:
    """How many of the paircodes of each text are true of its pair of poses.

    Args:
        paircodes: paircodes of n texts.
        first: (n, 22, 3, 3) poses before the change, in the stored frame.
        second: (n, 22, 3, 3) poses after it.
        body: the body to measure.
    """
    before, after = (_joints(poses, body) for poses in (first, second))
    rows = [slice(index, index + 1) for index in range(len(paircodes))]
    return [
        int(paircodes_hold(codes, before[row], after[row], rotmats=(first[row], second[row])).sum()) if codes else 0
        for row, codes in zip(rows, paircodes)
    ]


def changed_parts_named(texts: Sequence[str], pairs: PosePairs) -> list[bool | None]:
    """Whether each text names the changed part; None for pairs in which not exactly one part was changed.

    Args:
        texts: n differences or instructions.
        pairs: n pairs of poses.
    """
    named: list[bool | None] = []
    for text, kind, changed in zip(texts, pairs.kind, pairs.changed):
        if kind == "one_change":
            joints = {joint for change in CHANGES[changed[0]] for joint in change.joints}
            named.append(any(names_changed_part(text, joint) for joint in joints))
        else:
            named.append(None)
    return named


def _joints(poses: torch.Tensor, body: BodyModel) -> npt.NDArray:
    return body.forward_joints(poses).numpy()
