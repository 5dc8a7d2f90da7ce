"""Recorded poses of imported datasets, for the sampler."""

from collections.abc import Sequence

import numpy as np
import torch

from unipose.processing.body_model import BodyModel
from unipose.training.datasets.import_data import SavedRecords
from unipose.training.sampling.poses import MotionClip, MotionPoses, training_clips


# Frames of a clip count as this far apart, about what importers are asked for: records do not tell.
SECONDS_PER_FRAME = 0.1


def load_motion(folders: Sequence[str], body: BodyModel) -> MotionPoses | None:
    """The motion clips of the training split together with the poses of records, weighted by variety.

    Args:
        folders: folders by `import_data`.
        body: the body for which poses must be plausible; the others are left out.

    Returns:
        The poses, or None without folders.

    Raises:
        ValueError: a folder holds no finished import.
    """
    if not folders:
        return None
    clips = [clip for folder in folders for clip in recorded_clips(SavedRecords(folder))]
    return MotionPoses.by_variety([*training_clips(), *clips], body)


def recorded_clips(records: SavedRecords) -> list[MotionClip]:
    """The clips of records: poses named `<clip>:<frame>` that follow each other; any other pose is a clip of its own.

    Args:
        records: of poses, pairs or images.
    """
    poses = torch.from_numpy(records.poses())
    names = [name.rpartition(":")[0] or name for name in records.rows["name"]]
    if len(names) != len(poses):
        names = [f"{index}" for index in range(len(poses))]
    starts = [row for row in range(len(names)) if row == 0 or names[row] != names[row - 1]]
    ends = [*starts[1:], len(names)]
    seconds = torch.from_numpy(np.arange(max(end - start for start, end in zip(starts, ends))) * SECONDS_PER_FRAME)
    return [
        MotionClip(names[start], poses[start:end], seconds[: end - start].float()) for start, end in zip(starts, ends)
    ]
