"""Well-known poses by name: joint angles, and the plain sentences people use for them.

The tables are in `tables`, the conventions of the angles in `joint_angles`. A name with a side ("kneel_left") stands
for its mirror image ("kneel_right") too, which is in no table.
"""

from functools import cache

import torch

from unipose.processing.pose_features import mirror_pose, to_z_up
from unipose.training.geometry import swap_sides
from unipose.training.named_poses.joint_angles import poses_from_angles
from unipose.training.named_poses.tables.active import ACTIVE
from unipose.training.named_poses.tables.archetype import Archetype
from unipose.training.named_poses.tables.ball_games import BALL_GAMES
from unipose.training.named_poses.tables.dance import DANCE
from unipose.training.named_poses.tables.everyday import EVERYDAY
from unipose.training.named_poses.tables.exercise import EXERCISE
from unipose.training.named_poses.tables.fight import FIGHT
from unipose.training.named_poses.tables.gestures import GESTURES
from unipose.training.named_poses.tables.head import HEAD
from unipose.training.named_poses.tables.lifting import LIFTING
from unipose.training.named_poses.tables.low import LOW
from unipose.training.named_poses.tables.moods import MOODS
from unipose.training.named_poses.tables.music import MUSIC
from unipose.training.named_poses.tables.rest import REST
from unipose.training.named_poses.tables.sport import SPORT
from unipose.training.named_poses.tables.standing import STANDING
from unipose.training.named_poses.tables.stretches import STRETCHES
from unipose.training.named_poses.tables.work import WORK
from unipose.training.named_poses.tables.yoga import YOGA
from unipose.training.named_poses.tables.yoga_floor import YOGA_FLOOR


ARCHETYPES: dict[str, Archetype] = {
    **STANDING,
    **ACTIVE,
    **LOW,
    **GESTURES,
    **HEAD,
    **MOODS,
    **EVERYDAY,
    **REST,
    **WORK,
    **MUSIC,
    **SPORT,
    **FIGHT,
    **BALL_GAMES,
    **YOGA,
    **YOGA_FLOOR,
    **EXERCISE,
    **LIFTING,
    **STRETCHES,
    **DANCE,
}


def archetype_poses(names: list[str]) -> torch.Tensor:
    """The named poses, exactly as in the table (a "_right" name is the mirrored "_left" one).

    Args:
        names: keys of `ARCHETYPES`, or those keys with left and right exchanged.

    Returns:
        (n, 22, 3, 3) rotations in the stored z-up frame, facing the default way.
    """
    rows = _rows()
    table = torch.tensor([rows[table_name(name)] for name in names], dtype=torch.long)
    poses = _table_poses()[table]
    mirrored = torch.tensor([name not in ARCHETYPES for name in names], dtype=torch.bool)
    poses[mirrored] = mirror_pose(poses[mirrored])
    return poses


@cache
def _rows() -> dict[str, int]:
    return {name: row for row, name in enumerate(ARCHETYPES)}


@cache
def _table_poses() -> torch.Tensor:
    """(k, 22, 3, 3): the poses of `ARCHETYPES`, in their order. They take seconds, and every shard needs them."""
    return to_z_up(poses_from_angles([archetype.angles for archetype in ARCHETYPES.values()]))


def archetype_sentences(name: str) -> tuple[str, ...]:
    """The plain sentences for a pose, left and right exchanged for a mirrored name."""
    sentences = ARCHETYPES[table_name(name)].sentences
    return sentences if name in ARCHETYPES else tuple(swap_sides(sentence) for sentence in sentences)


def table_name(name: str) -> str:
    """The name in `ARCHETYPES` of a named pose or of its mirror image."""
    return name if name in ARCHETYPES else swap_sides(name)
