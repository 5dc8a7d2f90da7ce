"""Edits of composed poses: one part, both arms, a relative change or a part of the way; true by construction."""

from dataclasses import dataclass

import numpy as np
import roma
import torch

from unipose.processing.pose_features import JOINT_NAMES, mirror_pose
from unipose.training.captions.codes import Flags
from unipose.training.captions.measures import measure
from unipose.training.geometry import remove_heading
from unipose.training.sampling.composition import PARTS, Composer
from unipose.training.sampling.mixing import LIMBS, add_noise
from unipose.training.sampling.named import NAMED_NOISE
from unipose.training.sampling.poses import is_plausible
from unipose.training.sampling.rejection import reject_until_accepted


# Change of a measurement that a small edit makes, and the state that it goes towards by `SMALL_STEP` of the way.
SMALL: dict[str, tuple[str, str, str, float, float]] = {
    # kind: part, state, measurement, least, most
    "arm_higher": ("arm", "raised", "{side}_hand.above_shoulder", 0.08, 0.4),
    "arm_lower": ("arm", "hanging", "{side}_hand.above_shoulder", -0.4, -0.08),
    "lower": ("base", "squat", "pelvis.ground", -0.25, -0.04),
    "higher": ("base", "stand", "pelvis.ground", 0.04, 0.25),
    "forward": ("base", "bow", "torso.pitch", 8.0, 35.0),
    "wider": ("base", "feet_wide", "feet.distance", 0.08, 0.4),
    "head_left": ("head", "left", "head.rotation_left", 8.0, 40.0),
    "head_right": ("head", "right", "head.rotation_left", -40.0, -8.0),
}
SMALL_STEP = (0.2, 0.5)
# Kinds whose second pose is composed of states; `arm_top` and `arm_bottom` are an arm's way to its end.
WHOLE = ("arm", "both_arms", "other_too", "swap", "head", "base", "mirror", "reset", "arm_top", "arm_bottom")
KINDS = (*WHOLE, "arm", "head", "base", *SMALL)
# Some joint moves by this much at least, relative to the pelvis (meters).
MIN_MOTION = 0.05
# Legs whose knees bend or straighten on the spot.
_UPRIGHT = ("stand", "feet_wide", "crouch", "squat")
_BASE_JOINTS = [
    index
    for index, joint in enumerate(JOINT_NAMES)
    if joint not in (*LIMBS["left_arm"], *LIMBS["right_arm"], *LIMBS["head"])
]
_JOINTS = {limb: [JOINT_NAMES.index(joint) for joint in joints] for limb, joints in LIMBS.items()}


@dataclass(frozen=True)
class Edits:
    """Edits of composed poses.

    Args:
        first, second: (n, 22, 3, 3) in the stored frame.
        kinds: of `KINDS`.
        sides: "left" or "right", of an edit of one arm.
        states: (n, 4) the states of the second pose, in the order of `PARTS`; of small edits those of the first.
    """

    first: torch.Tensor
    second: torch.Tensor
    kinds: list[str]
    sides: list[str]
    states: np.typing.NDArray[np.int64]


def sample_edits(count: int, rng: np.random.Generator, composer: Composer) -> Edits:
    """Samples pairs of composed poses that differ in one kind of change.

    Args:
        count: number of pairs.
        rng: source of all randomness.
        composer: of the first poses.

    Raises:
        RuntimeError: pairs were rejected too often.
    """
    kinds = [KINDS[index] for index in rng.integers(len(KINDS), size=count)]
    sides = [("left", "right")[index] for index in rng.integers(2, size=count)]
    first = torch.zeros(count, len(JOINT_NAMES), 3, 3)
    second, states = first.clone(), np.zeros((count, len(PARTS)), dtype=np.int64)

    def accept(pending: torch.Tensor) -> torch.Tensor:
        rows = pending.tolist()
        before = np.stack([_first_states(composer, kinds[row], sides[row], rng) for row in rows])
        first[pending] = remove_heading(add_noise(composer.assemble(before), rng, NAMED_NOISE))
        accepted = composer.holds(first[pending], before).numpy()
        after = before.copy()
        for place, row in enumerate(rows):
            kind = kinds[row]
            if kind in SMALL:
                second[row] = _small_step(first[row], kind, sides[row], composer, rng)
                continue
            after[place], possible = _second_states(composer, before[place], kind, sides[row], rng)
            accepted[place] &= possible
            second[row] = _replace(first[row], before[place], after[place], kind, composer)
        states[rows] = after
        whole = np.array([kinds[row] not in SMALL for row in rows])
        true = composer.holds(second[pending], after).numpy() | ~whole
        true &= _changes(
            first[pending], second[pending], [kinds[row] for row in rows], [sides[row] for row in rows], composer
        )
        return torch.from_numpy(accepted & true)

    reject_until_accepted(
        torch.arange(count), accept, lambda pending: f"They are edits {[kinds[i] for i in pending]}."
    )
    return Edits(first, second, kinds, sides, states)


def _index(states: tuple, name: str) -> int:
    return [state.name for state in states].index(name)


def _first_states(composer: Composer, kind: str, side: str, rng: np.random.Generator) -> np.typing.NDArray[np.int64]:
    """States that the kind of change starts from."""
    states = composer.draw_states(1, rng)[0]
    hanging = _index(composer.arms, "hanging")
    if kind == "other_too":
        states[1:3] = hanging
        states[1 if side == "left" else 2] = rng.integers(1, len(composer.arms))
    if kind in ("lower", "higher", "forward", "wider"):
        names = {"higher": ("crouch", "squat"), "lower": _UPRIGHT[:3]}.get(kind, ("stand",))
        states[0] = _index(composer.bases, names[int(rng.integers(len(names)))])
    if kind in ("head_left", "head_right"):
        states[3] = _index(composer.heads, "straight")
    if kind in ("arm_lower", "arm_bottom"):
        states[1 if side == "left" else 2] = _index(
            composer.arms, ("raised", "out", "diagonal_up")[int(rng.integers(3))]
        )
    if kind in ("arm_higher", "arm_top"):
        states[1 if side == "left" else 2] = _index(composer.arms, ("hanging", "out", "forward")[int(rng.integers(3))])
    return states


def _second_states(
    composer: Composer, before: np.typing.NDArray[np.int64], kind: str, side: str, rng: np.random.Generator
) -> tuple[np.typing.NDArray[np.int64], bool]:
    """The states after a change, and whether it changes them in its sense."""
    after, own = before.copy(), 1 if side == "left" else 2
    arms = composer.arms
    if kind == "arm":
        after[own] = rng.integers(len(arms))
        return after, bool(after[own] != before[own])
    if kind in ("arm_top", "arm_bottom"):
        after[own] = _index(arms, "raised" if kind == "arm_top" else "hanging")
        return after, bool(after[own] != before[own])
    if kind == "both_arms":
        after[1:3] = rng.choice([index for index, state in enumerate(arms) if state.both])
        return after, bool((after[1:3] != before[1:3]).all())
    if kind == "other_too":
        after[1:3] = before[own]
        return after, True
    if kind == "swap":
        after[1:3] = before[[2, 1]]
        return after, bool(before[1] != before[2])
    if kind == "head":
        after[3] = rng.integers(len(composer.heads))
        return after, bool(after[3] != before[3])
    if kind == "base":
        after[0] = rng.integers(len(composer.bases))
        return after, bool(after[0] != before[0])
    if kind == "mirror":
        base, head = composer.bases[before[0]].mirrored().name, composer.heads[before[3]].mirrored().name
        after = np.array([_index(composer.bases, base), before[2], before[1], _index(composer.heads, head)])
        return after, bool((after != before).any())
    return np.zeros_like(before), bool((before != 0).any())


def _replace(
    pose: torch.Tensor,
    before: np.typing.NDArray[np.int64],
    after: np.typing.NDArray[np.int64],
    kind: str,
    composer: Composer,
) -> torch.Tensor:
    """The first pose with the parts replaced whose state changes; the noise of the others stays."""
    if kind == "mirror":
        return mirror_pose(pose[None])[0]
    made, changed = composer.assemble(after[None])[0], pose.clone()
    if kind == "swap":
        made = mirror_pose(pose[None])[0]
    joints = (_BASE_JOINTS, _JOINTS["left_arm"], _JOINTS["right_arm"], _JOINTS["head"])
    for part, indices in enumerate(joints):
        if before[part] != after[part]:
            changed[indices] = made[indices]
    return changed


def _small_step(
    pose: torch.Tensor, kind: str, side: str, composer: Composer, rng: np.random.Generator
) -> torch.Tensor:
    """A part of the way towards the state that a small change goes towards."""
    part, name, _, _, _ = SMALL[kind]
    options = {"arm": composer.arms, "base": composer.bases, "head": composer.heads}[part]
    state = _index(options, name)
    column = 0 if part == "base" else 3 if part == "head" else 1 if side == "left" else 2
    states = np.zeros((1, len(PARTS)), dtype=np.int64)
    states[0, column] = state
    goal = composer.assemble(states)[0]
    joints = {"base": _BASE_JOINTS, "head": _JOINTS["head"], "arm": _JOINTS[f"{side}_arm"]}[part]
    way = roma.rotmat_to_rotvec(pose[joints].mT @ goal[joints]) * float(rng.uniform(*SMALL_STEP))
    changed = pose.clone()
    changed[joints] = pose[joints] @ roma.rotvec_to_rotmat(way)
    return changed


def _changes(
    first: torch.Tensor, second: torch.Tensor, kinds: list[str], sides: list[str], composer: Composer
) -> Flags:
    """Whether the second pose is plausible, differs visibly, and by what a small change says."""
    joints = [composer.body.forward_joints(poses) for poses in (first, second)]
    moved = (joints[0] - joints[0][:, :1] - joints[1] + joints[1][:, :1]).norm(dim=-1).amax(dim=1) > MIN_MOTION
    small = torch.tensor([kind in SMALL for kind in kinds])
    true = (moved | torch.tensor([kind.startswith("head") for kind in kinds])).numpy()
    true &= (is_plausible(second, composer.body, composer.capsules) | ~small).numpy()
    before, after = (measure(each.numpy(), poses) for each, poses in zip(joints, (first, second)))
    for index, (kind, side) in enumerate(zip(kinds, sides)):
        if kind in SMALL:
            _, _, name, least, most = SMALL[kind]
            change = after[name.format(side=side)][index] - before[name.format(side=side)][index]
            true[index] &= least <= change <= most
    return true
