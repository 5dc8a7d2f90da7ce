"""The state of one conversation: turns with undo and redo. Nothing in it changes; each step gives a new state."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Candidate:
    """A pose that answers a request.

    Args:
        pose: (22, 3, 3) rotation matrices, z up.
        confidence: The model's confidence, from 0 to 1.
    """

    pose: np.ndarray
    confidence: float


@dataclass(frozen=True, eq=False)
class Turn:
    """What a visitor did, and the answer.

    Args:
        request: What the visitor wrote or did.
        reply: Words of the answer.
        poses: (22, 3, 3) poses that the turn brings, in order; the last one is the current pose.
        candidates: Poses to choose from; the chosen one is the last of `poses`.
        images: Paths of the visitor's images, which the web framework keeps for a while.
        caption: Words of the pose, if they are known.
    """

    request: str
    reply: str
    poses: tuple[np.ndarray, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    images: tuple[str, ...] = ()
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Session:
    """A conversation.

    Args:
        turns: All turns, also those that were taken back.
        position: Number of turns that count.
        hidden: Number of older turns that were forgotten, for numbers that never repeat.
    """

    turns: tuple[Turn, ...] = ()
    position: int = 0
    hidden: int = 0

    @property
    def shown(self) -> tuple[Turn, ...]:
        """The turns that count."""
        return self.turns[: self.position]

    @property
    def poses(self) -> list[np.ndarray]:
        """All poses of the conversation, in order."""
        return [pose for turn in self.shown for pose in turn.poses]

    @property
    def pose(self) -> np.ndarray | None:
        """The current pose."""
        return self.poses[-1] if self.poses else None

    @property
    def caption(self) -> str:
        """Words of the current pose, or what the visitor asked for."""
        return next((turn.caption or turn.request for turn in reversed(self.shown) if turn.poses), "")

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The poses that the last turn offers."""
        return self.shown[-1].candidates if self.shown else ()

    @property
    def number(self) -> int:
        """Number of turns so far."""
        return self.hidden + self.position

    @property
    def can_redo(self) -> bool:
        """Whether a turn was taken back."""
        return self.position < len(self.turns)

    def add(self, turn: Turn, limit: int) -> "Session":
        """The conversation with one more turn; turns that were taken back are lost.

        Args:
            turn: The turn.
            limit: Number of turns that are kept. The pose of a forgotten turn stays with the first one that is kept.
        """
        turns = [*self.shown, turn]
        excess = max(len(turns) - limit, 0)
        forgotten = [pose for each in turns[:excess] for pose in each.poses]
        turns = turns[excess:]
        if forgotten and not turns[0].poses:
            turns[0] = replace(turns[0], poses=(forgotten[-1],))
        return Session(tuple(turns), len(turns), self.hidden + excess)

    def undo(self) -> "Session":
        """The conversation without its last turn."""
        return replace(self, position=max(self.position - 1, 0))

    def redo(self) -> "Session":
        """The conversation with the turn that was taken back."""
        return replace(self, position=min(self.position + 1, len(self.turns)))

    def choose(self, index: int) -> "Session":
        """The conversation with another candidate of the last turn as its pose.

        Args:
            index: Number of the candidate, from 0.

        Raises:
            ValueError: There is no such candidate.
        """
        if not 0 <= index < len(self.candidates):
            raise ValueError(f"there is no pose {index + 1} to choose; the last answer has {len(self.candidates)}")
        *before, last = self.shown
        chosen = replace(last, poses=(*last.poses[:-1], last.candidates[index].pose))
        return replace(self, turns=(*before, chosen, *self.turns[self.position :]))


def before_and_after(poses: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The last two poses that differ, or the only one."""
    after = poses[-1:]
    before = [pose for pose in poses if not np.array_equal(pose, poses[-1])][-1:]
    return [*before, *after]
