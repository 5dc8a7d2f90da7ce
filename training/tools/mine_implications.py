"""Mines implications from sampled poses: codes of a limb that nearly always occur with another code of that limb.

python -m unipose.training.tools.mine_implications
"""

import json
from collections.abc import Sequence

import numpy as np

from unipose.processing.body_model import BodyModel
from unipose.training.captions.implications import IMPLICATIONS_FILE
from unipose.training.captions.posecodes import CODES, RULES, Posecode, extract_posecodes
from unipose.training.sampling.poses import sample_training_poses


# Number of poses; minimum number of poses with a code; share of them in which an implied code holds.
MINED_POSES, MIN_POSES, CONFIDENCE = 20_000, 100, 0.9
LIMBS = {
    **dict.fromkeys(("hand", "elbow", "forearm", "upper_arm"), "arm"),
    **dict.fromkeys(("foot", "knee", "shin", "thigh"), "leg"),
}


def mine(poses: Sequence[Sequence[Posecode]]) -> dict[Posecode, list[Posecode]]:
    """Code of a left part -> the codes about the same limb that nearly all poses with that code have too.

    Args:
        poses: the codes of each pose.
    """
    column = {code: index for index, code in enumerate(CODES)}
    present = np.zeros((len(poses), len(CODES)), dtype=np.float32)
    for row, codes in enumerate(poses):
        present[row, [column[code] for code in codes]] = 1.0
    together = present.T @ present
    counts = np.diag(together)
    found: dict[Posecode, list[Posecode]] = {}
    for code in CODES:
        if not code.subject.startswith("left_") or counts[column[code]] < MIN_POSES:
            continue
        share = together[column[code]] / counts[column[code]]
        implied = [
            other
            for other in CODES
            if other.group != code.group
            and other.subject.startswith("left_")
            and LIMBS.get(other.part) == LIMBS.get(code.part)
            and RULES[other].eligibility != "rare"
            and share[column[other]] >= CONFIDENCE
        ]
        if implied:
            found[code] = implied
    return found


def main() -> None:
    body = BodyModel.builtin()
    rotmats, _ = sample_training_poses(MINED_POSES, 0, body)
    joints = body.forward_joints(rotmats).numpy()
    found = mine(extract_posecodes(joints))
    names = {_name(code): [_name(other) for other in implied] for code, implied in found.items()}
    IMPLICATIONS_FILE.write_text(json.dumps(names, indent=1) + "\n")
    print(f"{sum(map(len, names.values()))} implications of {len(names)} codes -> {IMPLICATIONS_FILE}")


def _name(code: Posecode) -> str:
    return f"{code.kind} {code.subject} {code.value}"


if __name__ == "__main__":
    main()
