"""Rendered people with the targets of the vision encoders' pretraining: joints, pose and description."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pyarrow
import roma
import torch
from datasets import Dataset, Features, Image, List, Value, load_dataset
from tqdm.auto import tqdm

from unipose.processing.body_model import BodyModel
from unipose.processing.pose_features import MIRRORED_JOINTS, NUM_JOINTS, mirror_pose
from unipose.training.datasets.generation import (
    ANSWER_MAX_WORDS,
    caption_poses,
    random_headings,
    to_rotvecs,
)
from unipose.training.datasets.motion_records import load_motion
from unipose.training.geometry import rotate_heading, swap_sides
from unipose.training.io import atomic_path
from unipose.training.sampling.poses import MotionPoses, SourceShares, sample_training_poses
from unipose.training.synthetic_images.random_styles import random_style
from unipose.training.synthetic_images.rendering import render_image
from unipose.training.synthetic_images.scenes import empty_image
from unipose.training.trainer.collator import ROW_KEY


SHARD_SIZE = 2000
FEATURES = Features(
    {
        "image": Image(),
        "joints_2d": List(List(Value("float32"), length=2), length=NUM_JOINTS),
        "visible": List(Value("bool"), length=NUM_JOINTS),
        "rotvecs": List(List(Value("float32"), length=3), length=NUM_JOINTS),
        "has_person": Value("bool"),
        "text": Value("string"),
    }
)
# More recorded frames than in the corpus: people in images move like them.
SHARES = SourceShares(motion=0.5, mixed=0.2, blended=0.1, archetype=0.2)
# Of the people: those that face the camera like those of the corpus; the others face anywhere.
FACING_SHARE = 0.7
# Of the images: those that show nobody.
EMPTY_SHARE = 0.03
EMPTY_TEXTS = (
    "There is no person in the image.",
    "Nobody is in the image.",
    "The image shows no person.",
    "No person can be seen.",
)

# Views of an image while training.
MIRRORED_SHARE = 0.5
MIN_CROP = 0.82  # side of the random crop, in sides of the image
MAX_CONTRAST = 0.25  # largest change of the factor of the colors
MAX_TINT = 14.0  # largest shift of a color channel, in 1/255


class EncoderImages(torch.utils.data.Dataset[dict[str, Any]]):
    """Rows of `render_encoder_images`, a batch at a time: each mirrored, cropped and recolored at random.

    A view follows from the seed, the epoch and the row alone: a resumed training gets the same views.

    Args:
        rows: result of `render_encoder_images`.
        size: pixels of the square views.
        seed: seed of the views; None: each whole image, unchanged.
    """

    def __init__(self, rows: Dataset, size: int, seed: int | None):
        table = rows.select_columns(["joints_2d", "visible", "rotvecs", "has_person"]).with_format("arrow")[:]
        self.joints, self.visible, self.rotvecs = (
            to_array(table[name], NUM_JOINTS, *size)
            for name, size in (("joints_2d", [2]), ("visible", []), ("rotvecs", [3]))
        )
        self.has_person = to_array(table["has_person"])
        self.texts: list[str] = rows["text"][:]
        self.encoded = rows.select_columns(["image"]).cast_column("image", Image(decode=False))
        self.size = size
        self.seed = seed
        self.epoch = torch.zeros((), dtype=torch.long).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch in this process and in its workers, persistent ones too."""
        self.epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.texts)

    def __getitems__(self, indices: list[int]) -> dict[str, Any]:
        """A batch of views.

        Args:
            indices: rows.

        Returns:
            `images` (n, size, size, 3) uint8, `joints_2d` (n, 22, 2) as shares of the view's width and height,
            `visible` (n, 22), `rotmats` (n, 22, 3, 3), `has_person` (n,), `texts`, and the rows.
        """
        images = [PIL.Image.open(io.BytesIO(image["bytes"])) for image in self.encoded[indices]["image"]]
        joints, visible = self.joints[indices], self.visible[indices]
        rotmats = roma.rotvec_to_rotmat(torch.from_numpy(self.rotvecs[indices]))
        texts = [self.texts[index] for index in indices]
        views = [View.draw(self._generator(index)) for index in indices]
        mirrored = np.array([view.mirrored for view in views])
        corners, sides = np.array([view.corner for view in views]), np.array([view.side for view in views])
        joints = (joints - corners[:, None]) / sides[:, None, None]
        visible = visible & ((joints >= 0) & (joints < 1)).all(axis=-1)
        flipped = np.stack([1.0 - joints[..., 0], joints[..., 1]], axis=-1)[:, list(MIRRORED_JOINTS)]
        return {
            "images": np.stack([view.of(image.convert("RGB"), self.size) for view, image in zip(views, images)]),
            "joints_2d": np.where(mirrored[:, None, None], flipped, joints).astype(np.float32),
            "visible": np.where(mirrored[:, None], visible[:, list(MIRRORED_JOINTS)], visible),
            "rotmats": torch.where(torch.from_numpy(mirrored)[:, None, None, None], mirror_pose(rotmats), rotmats),
            "has_person": self.has_person[indices],
            "texts": [swap_sides(text) if view.mirrored else text for view, text in zip(views, texts)],
            ROW_KEY: torch.tensor(indices),
        }

    def _generator(self, index: int) -> np.random.Generator | None:
        return None if self.seed is None else np.random.default_rng([self.seed, int(self.epoch), index])


def to_array(column: pyarrow.ChunkedArray, *shape: int) -> npt.NDArray[Any]:
    """A column of numbers, or of nested lists of numbers, as one array.

    numpy's format of a dataset makes one array of every list: minutes for a hundred thousand images.

    Args:
        column: the column, without missing values.
        shape: lengths of the lists.
    """
    values = column.combine_chunks()
    for _ in shape:
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False).reshape(-1, *shape)


@dataclass(frozen=True)
class View:
    """How an image is shown while training: part of it, mirrored, in other colors.

    Args:
        mirrored: whether left and right are exchanged.
        corner: (right, down) of the upper left corner, in sides of the image.
        side: side of the part, in sides of the image.
        contrast: factor of the colors' distance to middle gray.
        tint: (3,) added to red, green and blue, in 1/255.
    """

    mirrored: bool = False
    corner: tuple[float, float] = (0.0, 0.0)
    side: float = 1.0
    contrast: float = 1.0
    tint: tuple[float, ...] = (0.0, 0.0, 0.0)

    @classmethod
    def draw(cls, rng: np.random.Generator | None) -> "View":
        """A random view; without `rng` the image as it is."""
        if rng is None:
            return cls()
        side = float(rng.uniform(MIN_CROP, 1.0))
        right, down = rng.uniform(0.0, 1.0 - side, 2).tolist()
        return cls(
            mirrored=bool(rng.random() < MIRRORED_SHARE),
            corner=(right, down),
            side=side,
            contrast=float(1.0 + rng.uniform(-MAX_CONTRAST, MAX_CONTRAST)),
            tint=tuple(rng.uniform(-MAX_TINT, MAX_TINT, 3).tolist()),
        )

    def of(self, image: PIL.Image.Image, size: int) -> npt.NDArray[np.uint8]:
        """Shows an image.

        Args:
            image: square and RGB.
            size: side of the result in pixels.

        Returns:
            (size, size, 3).
        """
        left, top, side = (value * image.width for value in (*self.corner, self.side))
        box = (left, top, min(left + side, image.width), min(top + side, image.height))
        pixels = np.asarray(image.resize((size, size), PIL.Image.Resampling.BICUBIC, box=box))
        if self.contrast != 1.0 or any(self.tint):
            levels = np.arange(256.0)[:, None]
            table = np.clip((levels - 127.5) * self.contrast + 128.0 + np.array(self.tint), 0.0, 255.0)
            pixels = table.astype(np.uint8)[pixels, np.arange(3)]
        return pixels[:, ::-1] if self.mirrored else pixels


def render_encoder_images(
    folder: str | Path, count: int, size: int, seed: int, workers: int = 1, records: Sequence[str] = ()
) -> Dataset:
    """Renders missing shards, each written atomically, and opens all of them.

    Args:
        folder: folder of the shards.
        count: number of images.
        size: pixels of the square images.
        seed: seed of poses, texts and styles; every shard has its own.
        workers: number of processes.
        records: folders of records by `import_data`, whose recorded motion is sampled beside the package's clips.

    Returns:
        Rows of image, joints_2d (22, 2) as shares of the image's width and height, visible (22,), rotvecs (22, 3) as
        the camera sees the pose, has_person, and text. Where nobody is in the image, nothing is visible.

    Raises:
        ValueError: see `load_motion`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    motion = load_motion(records, BodyModel.builtin())
    source = "clips" if motion is None else hashlib.sha256(motion.rotmats.tobytes()).hexdigest()[:8]
    rows = [min(SHARD_SIZE, count - start) for start in range(0, count, SHARD_SIZE)]
    files = [
        folder / f"size{size}-seed{seed}-{source}-{index:05d}-rows{own}.parquet" for index, own in enumerate(rows)
    ]
    missing = [(file, index, rows[index]) for index, file in enumerate(files) if not file.exists()]
    if missing:
        write = partial(_write_shard, size=size, seed=seed, motion=motion)
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


def _write_shard(file: Path, index: int, rows: int, size: int, seed: int, motion: MotionPoses | None) -> None:
    rng = np.random.default_rng((seed, index))
    with atomic_path(file) as partial_file:
        Dataset.from_list(list(_rows(rows, size, rng, motion)), features=FEATURES).to_parquet(partial_file)


def _rows(count: int, size: int, rng: np.random.Generator, motion: MotionPoses | None) -> Iterator[dict[str, Any]]:
    body = BodyModel.builtin()
    poses, labels = sample_training_poses(count, int(rng.integers(2**31)), body, SHARES, motion)
    poses = poses.float()
    captions = caption_poses(poses, labels, rng, body, ANSWER_MAX_WORDS, 0.0)
    poses = rotate_heading(poses, encoder_headings(count, rng))
    for pose, caption in zip(poses, captions):
        if rng.random() < EMPTY_SHARE:
            yield _empty_row(size, rng)
            continue
        style = random_style(rng, allow_bystanders=True)
        others = [poses[int(rng.integers(count))] for _ in style.bystanders]
        image = render_image(pose, style, size, body, others)
        yield {
            "image": {"bytes": image.encode(), "path": None},
            "joints_2d": (image.joints_2d / size).astype(np.float32),
            "visible": image.visible,
            "rotvecs": to_rotvecs(pose),
            "has_person": True,
            "text": caption.text,
        }


def _empty_row(size: int, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "image": empty_image(rng, size),
        "joints_2d": np.full((NUM_JOINTS, 2), 0.5, dtype=np.float32),
        "visible": np.zeros(NUM_JOINTS, dtype=bool),
        "rotvecs": np.zeros((NUM_JOINTS, 3), dtype=np.float32),
        "has_person": False,
        "text": EMPTY_TEXTS[int(rng.integers(len(EMPTY_TEXTS)))],
    }


def encoder_headings(count: int, rng: np.random.Generator) -> torch.Tensor:
    """Headings relative to the camera: `FACING_SHARE` of them like those of the corpus, the others anywhere.

    Args:
        count: number of headings.
        rng: source of all randomness.

    Returns:
        (count,) radians.
    """
    anywhere = torch.from_numpy(rng.uniform(-np.pi, np.pi, count))
    return torch.where(torch.from_numpy(rng.random(count) < FACING_SHARE), random_headings(count, rng), anywhere)
