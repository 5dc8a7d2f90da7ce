"""Rendered people with the targets of the vision encoders' pretraining: joints, pose and description."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import PIL.ImageOps
import roma
import torch
from datasets import Dataset, Features, Image, List, Value, load_dataset
from tqdm.auto import tqdm

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import MIRRORED_JOINTS, NUM_JOINTS, mirror_pose
from unipose.training.datasets.generation import (
    ANSWER_MAX_WORDS,
    caption_poses,
    draw_poses,
    random_headings,
    to_rotvecs,
)
from unipose.training.geometry import rotate_heading, swap_sides
from unipose.training.io import atomic_path
from unipose.training.synthetic_images.rendering import render_image
from unipose.training.synthetic_images.style import random_style


SHARD_SIZE = 1000
FEATURES = Features(
    {
        "image": Image(),
        "joints_2d": List(List(Value("float32"), length=2), length=NUM_JOINTS),
        "visible": List(Value("bool"), length=NUM_JOINTS),
        "rotvecs": List(List(Value("float32"), length=3), length=NUM_JOINTS),
        "text": Value("string"),
    }
)


class MirroredImages(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows of `render_encoder_images`, followed by the mirrored ones."""

    def __init__(self, rows: Dataset):
        self.rows = rows

    def __len__(self) -> int:
        return 2 * len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index % len(self.rows)]
        return row if index < len(self.rows) else mirror_row(row)


def mirror_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `render_encoder_images` -> the row of the mirrored pose, seen from the mirrored camera."""
    poses = roma.rotvec_to_rotmat(torch.tensor(row["rotvecs"]))
    joints = np.array(row["joints_2d"], dtype=np.float32)[list(MIRRORED_JOINTS)]
    return {
        "image": PIL.ImageOps.mirror(row["image"]),
        "joints_2d": np.stack([1.0 - joints[:, 0], joints[:, 1]], axis=1),
        "visible": [row["visible"][joint] for joint in MIRRORED_JOINTS],
        "rotvecs": to_rotvecs(mirror_pose(poses)),
        "text": swap_sides(row["text"]),
    }


def render_encoder_images(folder: str | Path, count: int, size: int, seed: int, workers: int = 1) -> Dataset:
    """Renders missing shards, each written atomically, and opens all of them.

    Args:
        folder: folder of the shards.
        count: number of images.
        size: pixels of the square images.
        seed: seed of poses, texts and styles; every shard has its own.
        workers: number of processes.

    Returns:
        Rows of image, joints_2d (22, 2) as shares of the image's width and height, visible (22,), rotvecs (22, 3) as
        the camera sees the pose, and text.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [min(SHARD_SIZE, count - start) for start in range(0, count, SHARD_SIZE)]
    files = [folder / f"size{size}-seed{seed}-{index:05d}-rows{own}.parquet" for index, own in enumerate(rows)]
    missing = [(file, index, rows[index]) for index, file in enumerate(files) if not file.exists()]
    if missing:
        write = partial(_write_shard, size=size, seed=seed)
        with tqdm(total=len(missing), desc="images", unit=" shards") as progress:
            for _ in _map(write, missing, workers):
                progress.update()
    return load_dataset("parquet", data_files=[str(file) for file in files], split="train", features=FEATURES)


def _map(write: Callable[..., None], shards: Sequence[tuple[Path, int, int]], workers: int) -> Iterator[None]:
    """Writes shards in this process, or in several with one thread each."""
    if workers == 1:
        yield from map(write, *zip(*shards))
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(write, *zip(*shards))


def _write_shard(file: Path, index: int, rows: int, size: int, seed: int) -> None:
    rng = np.random.default_rng((seed, index))
    with atomic_path(file) as partial_file:
        Dataset.from_list(list(_rows(rows, size, rng)), features=FEATURES).to_parquet(partial_file)


def _rows(count: int, size: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    body = BodyModel.builtin()
    poses, labels = draw_poses("train", count, rng, body)
    captions = caption_poses(poses, labels, rng, body, ANSWER_MAX_WORDS, 0.0)
    for pose, caption in zip(rotate_heading(poses, random_headings(count, rng)), captions):
        image = render_image(pose, random_style(rng), size, body)
        yield {
            "image": {"bytes": image.encode(), "path": None},
            "joints_2d": (image.joints_2d / size).astype(np.float32),
            "visible": image.visible,
            "rotvecs": to_rotvecs(pose),
            "text": caption.text,
        }
