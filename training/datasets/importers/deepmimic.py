"""DeepMimic's motion files: JSON with the duration, root position and joint rotations of each frame.

The source body faces +x with y up and z to its RIGHT. Its arms hang; knees and elbows are single angles. The target is
the frame and joint order of `unipose.processing.pose_features`. Collars, wrists and feet are not captured and keep
their rest rotation.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import roma
import torch

from unipose.processing.pose_features import JOINT_NAMES, to_z_up
from unipose.training.datasets.importers.clips import MotionFiles
from unipose.training.datasets.importers.errors import SOURCES, DatasetError
from unipose.training.datasets.importers.files import check_finite, read_json, to_array
from unipose.training.datasets.records import Rotvecs


# Source axes (forward, up, right) -> SMPL axes (left, up, forward).
SOURCE_TO_SMPL = ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))

# Column of each quantity in a frame: the frame's duration, the root's position, then wxyz quaternions or one angle.
COLUMNS = {
    "duration": slice(0, 1),
    "root": slice(4, 8),
    "chest": slice(8, 12),
    "neck": slice(12, 16),
    "right_hip": slice(16, 20),
    "right_knee": slice(20, 21),
    "right_ankle": slice(21, 25),
    "right_shoulder": slice(25, 29),
    "right_elbow": slice(29, 30),
    "left_hip": slice(30, 34),
    "left_knee": slice(34, 35),
    "left_ankle": slice(35, 39),
    "left_shoulder": slice(39, 43),
    "left_elbow": slice(43, 44),
}
NUM_COLUMNS = 44
SPINE = ("spine1", "spine2", "spine3")
NECK = ("neck", "head")


@dataclass(frozen=True)
class DeepMimicPoses(MotionFiles):
    """The frames of DeepMimic's files as `PoseRecord`s; see `MotionFiles`."""

    ending: ClassVar[str] = ".txt"

    def load(self, path: Path) -> tuple[Rotvecs, float]:
        frames = read_frames(path)
        seconds = float(frame_times(frames)[-1])
        rate = (len(frames) - 1) / seconds if seconds > 0 else 1.0
        return retarget_deepmimic(frames).float().numpy(), rate


def read_frames(path: Path) -> torch.Tensor:
    """The (frames, 44) float64 table of one clip.

    Raises:
        DatasetError: the file is missing or damaged, or a frame does not have 44 finite numbers.
    """
    content = read_json(path, SOURCES["motion"], dict)
    if "Frames" not in content:
        raise DatasetError(f"{path} holds {', '.join(content) or 'nothing'}; expected Frames")
    frames = to_array(content["Frames"], f"Frames of {path}", (None, NUM_COLUMNS))
    check_finite(frames, str(path), "frame")
    if not len(frames):
        raise DatasetError(f"{path} has no frames; expected at least one")
    return torch.from_numpy(frames)


def read_rotation(frames: torch.Tensor, name: str) -> torch.Tensor:
    """The rotations of a source joint, in SMPL's axes.

    Args:
        frames: (frames, 44) source table.
        name: a key of `COLUMNS`.

    Returns:
        (frames, 3, 3).
    """
    values = frames[:, COLUMNS[name]]
    if values.shape[1] == 1:
        rotmats = roma.rotvec_to_rotmat(values * values.new_tensor([0.0, 0.0, 1.0]))
    else:
        rotmats = roma.unitquat_to_rotmat(roma.quat_normalize(roma.quat_wxyz_to_xyzw(values)))
    axes = frames.new_tensor(SOURCE_TO_SMPL)
    return axes @ rotmats @ axes.T


def retarget_deepmimic(frames: torch.Tensor) -> torch.Tensor:
    """(frames, 44) source table -> (frames, 22, 3) rotation vectors in radians, global orientation z up."""
    rotmats = torch.eye(3, dtype=frames.dtype).repeat(len(frames), len(JOINT_NAMES), 1, 1)
    rotmats[:, JOINT_NAMES.index("pelvis")] = read_rotation(frames, "root")
    for source, targets in (("chest", SPINE), ("neck", NECK)):
        share = roma.rotmat_to_rotvec(read_rotation(frames, source)) / len(targets)
        for target in targets:
            rotmats[:, JOINT_NAMES.index(target)] = roma.rotvec_to_rotmat(share)
    for side, quarter_turn in (("left", -torch.pi / 2), ("right", torch.pi / 2)):
        hanging_from_t = roma.rotvec_to_rotmat(frames.new_tensor([0.0, 0.0, quarter_turn]))
        for joint in ("hip", "knee", "ankle"):
            rotmats[:, JOINT_NAMES.index(f"{side}_{joint}")] = read_rotation(frames, f"{side}_{joint}")
        shoulder = read_rotation(frames, f"{side}_shoulder")
        elbow = read_rotation(frames, f"{side}_elbow")
        rotmats[:, JOINT_NAMES.index(f"{side}_shoulder")] = shoulder @ hanging_from_t
        rotmats[:, JOINT_NAMES.index(f"{side}_elbow")] = hanging_from_t.T @ elbow @ hanging_from_t
    return roma.rotmat_to_rotvec(to_z_up(rotmats))


def frame_times(frames: torch.Tensor) -> torch.Tensor:
    """(frames,) seconds from the start of the clip."""
    durations = frames[:, 0]
    return durations.cumsum(0) - durations
