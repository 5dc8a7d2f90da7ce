"""Mines implications from sampled poses: which posecode of a limb nearly always occurs together with another.

python -m unipose.training.tools.mine_implications
"""

import json
from collections.abc import Sequence

import numpy as np

from unipose.processing.body_model import BodyModel
from unipose.training.captions.implied import IMPLICATIONS_FILE
from unipose.training.captions.posecodes import CODES, RULES, Posecode, extract_posecodes
from unipose.training.sampling.poses import sample_training_poses


NUM_POSES = 20_000
# A code implies another if it occurs at least this often, and this fraction of its poses have the other too.
MIN_COUNT, MIN_CONFIDENCE = 100, 0.9
LIMBS = {
    **dict.fromkeys(("hand", "elbow", "forearm", "upper_arm"), "arm"),
    **dict.fromkeys(("foot", "knee", "shin", "thigh"), "leg"),
}


def mine(poses: Sequence[Sequence[Posecode]]) -> dict[Posecode, list[Posecode]]:
    """Code of a left limb -> the codes of the same limb that it implies.

    Args:
        poses: the posecodes of each pose.
    """
    column = {code: index for index, code in enumerate(CODES)}
    occurs = np.zeros((len(poses), len(CODES)), dtype=np.float32)
    for row, codes in enumerate(poses):
        occurs[row, [column[code] for code in codes]] = 1.0
    pair_counts = occurs.T @ occurs
    counts = np.diag(pair_counts)
    implications: dict[Posecode, list[Posecode]] = {}
    for code in CODES:
        if not code.subject.startswith("left_") or counts[column[code]] < MIN_COUNT:
            continue
        confidence = pair_counts[column[code]] / counts[column[code]]
        implied = [
            other
            for other in CODES
            if other.group != code.group
            and other.subject.startswith("left_")
            and LIMBS.get(other.part) == LIMBS.get(code.part)
            and RULES[other].worth != "rare"
            and confidence[column[other]] >= MIN_CONFIDENCE
        ]
        if implied:
            implications[code] = implied
    return implications


def main() -> None:
    body = BodyModel.builtin()
    rotmats, _ = sample_training_poses(NUM_POSES, 0, body)
    joints = body.forward_joints(rotmats).numpy()
    implications = mine(extract_posecodes(joints))
    names = {_name(code): [_name(other) for other in implied] for code, implied in implications.items()}
    IMPLICATIONS_FILE.write_text(json.dumps(names, indent=1) + "\n")
    print(f"{sum(map(len, names.values()))} implications of {len(names)} codes -> {IMPLICATIONS_FILE}")


def _name(code: Posecode) -> str:
    return f"{code.kind} {code.subject} {code.value}"


if __name__ == "__main__":
    main()
