"""Recorded poses of imported motion whose clips' labels say what the person does."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import roma
import torch

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import mirror_pose
from unipose.training.captions.measures import measure
from unipose.training.datasets.import_data import SavedRecords
from unipose.training.geometry import remove_heading
from unipose.training.named_poses.clip_wordings import Activity, activity_of


@dataclass(frozen=True)
class ClipFrames:
    """Frames that show an activity.

    Args:
        poses: (n, 22, 3, 3) in the stored frame, heading removed.
        rows: the frames of each activity.
    """

    poses: torch.Tensor
    rows: dict[Activity, np.ndarray]

    @classmethod
    def from_labels(cls, rotmats: torch.Tensor, labels: Sequence[str], body: BodyModel) -> "ClipFrames":
        """The frames of clips that show what their labels say.

        Args:
            rotmats: (n, 22, 3, 3) in the stored frame.
            labels: the label of each pose's clip.
            body: the body that is measured.
        """
        poses = remove_heading(rotmats)
        measures = measure(body.forward_joints(poses).numpy(), poses)
        named = {label: activity_of(label) for label in set(labels)}
        known = {label: activity for label, activity in named.items() if activity is not None}
        own = np.array([known[label].name if label in known else "" for label in labels])
        rows = {
            activity: np.flatnonzero((own == activity.name) & activity.tells(measures)) for activity in known.values()
        }
        return cls(poses, {activity: rows[activity] for activity in sorted(rows, key=_name) if len(rows[activity])})

    def draw(self, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, list[Activity]]:
        """Draws frames, half of them mirrored; activities with many frames are drawn more often, by the root.

        Args:
            count: number of poses.
            rng: source of all randomness.

        Returns:
            (count, 22, 3, 3) poses and the activity of each.

        Raises:
            ValueError: there is no frame of any activity.
        """
        if not self.rows:
            raise ValueError("got no frame whose clip has a known label; expected labels of named_poses.clip_wordings")
        activities = list(self.rows)
        weights = np.sqrt([len(self.rows[activity]) for activity in activities])
        drawn = rng.choice(len(activities), count, p=weights / weights.sum())
        chosen = [activities[index] for index in drawn]
        rows = [int(rng.choice(self.rows[activity])) for activity in chosen]
        poses = self.poses[rows].clone()
        mirrored = torch.from_numpy(rng.random(count) < 0.5)
        poses[mirrored] = mirror_pose(poses[mirrored])
        return poses, chosen


def _name(activity: Activity) -> str:
    return activity.name


@cache
def load_clip_frames(folders: tuple[str, ...]) -> ClipFrames:
    """The frames of records whose first caption is the label of their clip, measured on the built-in body.

    Args:
        folders: folders by `import_data`.

    Raises:
        ValueError: a folder holds no finished import.
    """
    records = [SavedRecords(folder) for folder in folders]
    labels = [(captions or [""])[0] for each in records for captions in each.rows["captions"]]
    rotvecs = torch.from_numpy(np.concatenate([each.poses() for each in records]))
    return ClipFrames.from_labels(roma.rotvec_to_rotmat(rotvecs), labels, BodyModel.builtin())
