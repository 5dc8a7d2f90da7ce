"""Bakes the free motion clips: DeepMimic's motion capture (pybullet_data, zlib license) on SMPL's 22 joints.

    python -m unipose.training.tools.bake_motion --output training/assets/motion.npz

The source body faces +x with y up and z to its RIGHT. Its arms hang; knees and elbows are single angles. The target is
the frame and joint order of `unipose.processing.pose_features`. Collars, wrists and feet are not captured and keep
their rest rotation. Only text files are read: the compiled `pybullet` module is never imported.
"""

import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import roma
import torch
from trl import TrlParser

from unipose.processing.pose_features import JOINT_NAMES, to_z_up
from unipose.training.io import atomic_path


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


@dataclass
class BakeArguments:
    """Options: path and source of the clips."""

    output: str = field(metadata={"help": "Path of the .npz file."})
    pybullet_data: str | None = field(
        default=None, metadata={"help": "Unpacked pybullet_data folder; default: that of the installed package."}
    )


def find_pybullet_data() -> Path:
    """The folder of the installed `pybullet_data` package, found without importing it.

    Raises:
        ImportError: the package is not installed.
    """
    spec = importlib.util.find_spec("pybullet_data")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            "pybullet_data, the source of the motion clips, is not installed. Run `pip install pybullet==3.2.7`, or "
            "unpack its wheel and pass the folder with --pybullet-data."
        )
    return Path(spec.submodule_search_locations[0])


def find_clips(pybullet_data: Path) -> list[Path]:
    """The humanoid clips below `pybullet_data`, in the order in which they are stored.

    Raises:
        FileNotFoundError: there are none.
    """
    motions = pybullet_data / "data" / "motions"
    clips = sorted(motions.glob("humanoid3d_*.txt")) + sorted(motions.glob("walker/*.txt"))
    if not clips:
        raise FileNotFoundError(f"No humanoid3d_*.txt in {motions}; pass the pybullet_data folder of pybullet 3.2.7.")
    return clips


def clip_name(path: Path) -> str:
    """`humanoid3d_dance_b.txt` -> `dance_b`; `walker/turn_left0.txt` -> `walker_turn_left0`."""
    prefix = "walker_" if path.parent.name == "walker" else ""
    return prefix + path.stem.removeprefix("humanoid3d_")


def read_frames(path: Path) -> torch.Tensor:
    """The (frames, 44) float64 table of one clip.

    Raises:
        ValueError: a frame does not have 44 numbers.
    """
    frames = torch.tensor(json.loads(path.read_text())["Frames"], dtype=torch.float64)
    if frames.ndim != 2 or frames.shape[1] != NUM_COLUMNS:
        raise ValueError(f"{path.name} holds frames of shape {tuple(frames.shape)}; expected (frames, {NUM_COLUMNS}).")
    return frames


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


def retarget(frames: torch.Tensor) -> torch.Tensor:
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


def bake(pybullet_data: Path) -> dict[str, np.ndarray]:
    """Every clip below `pybullet_data`, retargeted.

    Returns:
        `poses` (frames, 22, 3) float32 rotation vectors (radians, z up), `clip` (frames,) index of each frame's clip,
        `clip_names` (clips,), `frame_seconds` (frames,) float32 time of each frame from the start of its clip.
    """
    paths = find_clips(pybullet_data)
    tables = [read_frames(path) for path in paths]
    return {
        "poses": torch.cat([retarget(table) for table in tables]).float().numpy(),
        "clip": np.repeat(np.arange(len(paths), dtype=np.uint8), [len(table) for table in tables]),
        "clip_names": np.array([clip_name(path) for path in paths]),
        "frame_seconds": torch.cat([frame_times(table) for table in tables]).float().numpy(),
    }


def frame_times(frames: torch.Tensor) -> torch.Tensor:
    """(frames,) seconds from the start of the clip."""
    durations = frames[:, 0]
    return durations.cumsum(0) - durations


def main() -> None:
    (arguments,) = TrlParser((BakeArguments,)).parse_args_and_config()
    arrays = bake(Path(arguments.pybullet_data) if arguments.pybullet_data else find_pybullet_data())
    with atomic_path(Path(arguments.output)) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    print(f"{arguments.output}: {len(arrays['poses'])} frames of {len(arrays['clip_names'])} clips")


if __name__ == "__main__":
    main()
