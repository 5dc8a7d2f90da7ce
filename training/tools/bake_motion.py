"""Bakes the free motion clips: DeepMimic's motion capture (pybullet_data, zlib license) on SMPL's 22 joints.

    python -m unipose.training.tools.bake_motion --output training/assets/motion.npz

Only text files are read (see `importers.deepmimic`): the compiled `pybullet` module is never imported.
"""

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from trl import TrlParser

from unipose.training.datasets.importers.deepmimic import frame_times, read_frames, retarget_deepmimic
from unipose.training.io import atomic_path


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


def bake(pybullet_data: Path) -> dict[str, np.ndarray]:
    """Every clip below `pybullet_data`, retargeted.

    Returns:
        `poses` (frames, 22, 3) float32 rotation vectors (radians, z up), `clip` (frames,) index of each frame's clip,
        `clip_names` (clips,), `frame_seconds` (frames,) float32 time of each frame from the start of its clip.
    """
    paths = find_clips(pybullet_data)
    tables = [read_frames(path) for path in paths]
    return {
        "poses": torch.cat([retarget_deepmimic(table) for table in tables]).float().numpy(),
        "clip": np.repeat(np.arange(len(paths), dtype=np.uint8), [len(table) for table in tables]),
        "clip_names": np.array([clip_name(path) for path in paths]),
        "frame_seconds": torch.cat([frame_times(table) for table in tables]).float().numpy(),
    }


def main() -> None:
    (arguments,) = TrlParser((BakeArguments,)).parse_args_and_config()
    arrays = bake(Path(arguments.pybullet_data) if arguments.pybullet_data else find_pybullet_data())
    with atomic_path(Path(arguments.output)) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    print(f"{arguments.output}: {len(arrays['poses'])} frames of {len(arrays['clip_names'])} clips")


if __name__ == "__main__":
    main()
