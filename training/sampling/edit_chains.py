"""Draws edits that work out, and chains of them: each turn edits the pose before, or takes the last edit back."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import roma
import torch

from unipose.training.captions.codes import Flags
from unipose.training.geometry import swap_sides
from unipose.training.named_poses.chance import pick
from unipose.training.sampling.edits import SMALL, Change, Editor, Measures
from unipose.training.sampling.rejection import MAX_ROUNDS


# Proposals in one go, at least; rounds after which an edit that never works out is replaced by another.
MIN_PROPOSALS, PATIENCE = 64, 4
# Rounds of proposals for a turn of a chain; where none works out, the turn takes the last edit back.
TURN_ROUNDS = 6
# How often a turn after the first takes the last edit back, and how often it refers to it in another way.
UNDO, REFER = 0.16, 0.65


class Turn(NamedTuple):
    """What a turn of a chain asks for.

    Args:
        kind: "edit" or how it refers to the turn before: "undo", "more", "less", "other_too", "other_leg_too",
            "other_instead", "other_leg_instead", "head_instead", "arm_again_down".
        change: the change that leads to the turn's pose; None for "undo" and "less".
    """

    kind: str
    change: Change | None


@dataclass
class Chain:
    """A first pose and turns that edit it.

    Args:
        start: index of the first pose.
        poses: (22, 3, 3) the first pose and the pose after each turn.
        turns: one for each pose after the first.
        undone: the poses that "undo" leads back to, the current one last.
    """

    start: int
    poses: list[torch.Tensor]
    turns: list[Turn] = field(default_factory=list)
    undone: list[torch.Tensor] = field(default_factory=list)

    def add(self, turn: Turn, pose: torch.Tensor) -> None:
        """Appends a turn.

        Args:
            turn: what is asked for.
            pose: (22, 3, 3) the answer.
        """
        self.poses.append(pose)
        self.turns.append(turn)
        if turn.kind == "undo":
            self.undone.pop()
        elif turn.kind.endswith("instead"):
            # It is not clear what undoing it would lead to.
            self.undone = [pose]
        else:
            self.undone.append(pose)


def sample_edits(
    count: int, poses: torch.Tensor, measures: Measures, rng: np.random.Generator, editor: Editor
) -> tuple[list[Change], list[int], torch.Tensor]:
    """Draws edits of poses that work out, each kind about as often as `KINDS` says.

    Args:
        count: number of edits.
        poses: (n, 22, 3, 3) poses to edit, heading removed.
        measures: result of `Editor.measure` of these.
        rng: source of all randomness.
        editor: applies the edits.

    Returns:
        The changes, the index of the pose that each edits, and (count, 22, 3, 3) the edited poses.

    Raises:
        RuntimeError: an edit was rejected too often.
    """
    starts: dict[Change, np.ndarray] = {}

    def draw() -> Change:
        for _ in range(MAX_ROUNDS):
            change = editor.draw(rng)
            if change not in starts:
                starts[change] = np.flatnonzero(editor.may_start(change, measures))
            if len(starts[change]):
                return change
        raise RuntimeError(f"no edit may start from one of {len(poses)} poses, after {MAX_ROUNDS} draws")

    changes, rows = [draw() for _ in range(count)], np.zeros(count, dtype=int)
    second = torch.zeros(count, *poses.shape[1:])
    pending = np.arange(count)
    for attempt in range(MAX_ROUNDS):
        if not len(pending):
            return changes, rows.tolist(), second
        if attempt and attempt % PATIENCE == 0:
            for item in pending:
                changes[item] = draw()
        copies = np.repeat(pending, max(1, MIN_PROPOSALS // len(pending)))
        drawn = np.array([pick(starts[changes[item]], rng) for item in copies])
        few = {name: values[drawn] for name, values in measures.items()}
        result, good = editor.attempt(poses[drawn], few, [changes[item] for item in copies], rng)
        for place in np.flatnonzero(good):
            rows[copies[place]], second[copies[place]] = drawn[place], result[place]
        pending = np.setdiff1d(pending, copies[good])
    raise RuntimeError(f"the edits {[changes[item] for item in pending]} were rejected {MAX_ROUNDS} times in a row")


def sample_chains(
    turns: list[int], poses: torch.Tensor, measures: Measures, rng: np.random.Generator, editor: Editor
) -> list[Chain]:
    """Draws chains of edits.

    Args:
        turns: number of turns of each chain, at least 1; a chain has fewer where no next edit works out.
        poses: (n, 22, 3, 3) poses to start from, heading removed.
        measures: result of `Editor.measure` of these.
        rng: source of all randomness.
        editor: applies the edits.

    Raises:
        RuntimeError: a first edit was rejected too often.
    """
    changes, rows, second = sample_edits(len(turns), poses, measures, rng, editor)
    chains = []
    for change, row, pose in zip(changes, rows, second):
        chain = Chain(row, [poses[row]], undone=[poses[row]])
        chain.add(Turn("edit", change), pose)
        chains.append(chain)
    for number in range(2, max(turns, default=0) + 1):
        _add_turns([chain for chain, wanted in zip(chains, turns) if wanted >= number], rng, editor)
    return chains


def _add_turns(chains: list[Chain], rng: np.random.Generator, editor: Editor) -> None:
    pending = chains
    for _ in range(TURN_ROUNDS):
        if not pending:
            return
        tries = [(chain, *_propose(chain, rng, editor)) for chain in pending]
        for chain, turn, base in tries:
            if turn.kind == "undo":
                chain.add(turn, chain.undone[-2])
            elif turn.kind == "less":
                chain.add(turn, _halfway(base, chain.poses[-1]))
        tries = [each for each in tries if each[1].change is not None]
        if tries:
            bases = torch.stack([base for _, _, base in tries])
            measures = editor.measure(bases)
            wanted = [turn.change for _, turn, _ in tries if turn.change is not None]
            result, good = editor.attempt(bases, measures, wanted, rng)
            good &= _may_start(wanted, measures, editor)
            for (chain, turn, _), pose, works in zip(tries, result, good):
                if works:
                    chain.add(turn, pose)
            pending = [chain for (chain, _, _), works in zip(tries, good) if not works]
        else:
            pending = []
    for chain in pending:
        if len(chain.undone) > 1:
            chain.add(Turn("undo", None), chain.undone[-2])


def _may_start(changes: list[Change], measures: Measures, editor: Editor) -> Flags:
    started = {change: editor.may_start(change, measures) for change in set(changes)}
    return np.array([started[change][row] for row, change in enumerate(changes)], dtype=bool)


def _propose(chain: Chain, rng: np.random.Generator, editor: Editor) -> tuple[Turn, torch.Tensor]:
    """A next turn, and the pose that its change is applied to."""
    last = chain.turns[-1]
    if len(chain.undone) > 1 and rng.random() < UNDO:
        return Turn("undo", None), chain.poses[-1]
    options = _references(last) if len(chain.poses) > 1 else []
    if options and rng.random() < REFER:
        turn = pick(options, rng)
        back = turn.kind.endswith("instead") or turn.kind == "less"
        return turn, chain.poses[-2] if back else chain.poses[-1]
    return Turn("edit", editor.draw(rng)), chain.poses[-1]


def _references(last: Turn) -> list[Turn]:
    """The turns that refer to the last one."""
    change = last.change
    if change is None or last.kind not in ("edit", "more"):
        return []
    if change.kind in SMALL:
        turns = [Turn("more", change)]
        return turns if last.kind == "more" else [*turns, Turn("less", None)]
    mirrored = Change(change.kind, swap_sides(change.state), swap_sides(change.side))
    if change.kind in ("arm", "leg") and change.side in ("left", "right"):
        too, instead = (
            ("other_too", "other_instead") if change.kind == "arm" else ("other_leg_too", "other_leg_instead")
        )
        turns = [Turn(too, mirrored), Turn(instead, mirrored)]
        if change.kind == "arm" and change.state != "hanging":
            turns.append(Turn("arm_again_down", Change("arm_again_down", "", change.side)))
        return turns
    if change.kind in ("head", "trunk") and mirrored != change:
        return [Turn("head_instead", mirrored)]
    return []


def _halfway(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return first @ roma.rotvec_to_rotmat(0.5 * roma.rotmat_to_rotvec(first.mT @ second))
