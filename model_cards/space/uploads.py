"""Reads the files that a visitor uploads, within the limits; nothing else on the machine is ever opened."""

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from limits import Limits
from PIL import Image

from unipose.processing.image_loading import image_to_rgb
from unipose.processing.pose_features import load_poses
from unipose.processing.pose_frames import Frame


# Files by `torch.save` are pickles, which a public server does not open.
POSE_ENDINGS = (".npz", ".npy", ".json", ".bvh")
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")


@dataclass(frozen=True, eq=False)
class Uploads:
    """The content of the files of one message.

    Args:
        images: RGB images, in order.
        image_paths: Their files.
        poses: (22, 3, 3) rotation matrices, z up, in order.
        notes: What the visitor should know about them.
    """

    images: list[Image.Image] = field(default_factory=list)
    image_paths: list[str] = field(default_factory=list)
    poses: list[np.ndarray] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_uploads(paths: Sequence[str], limits: Limits, frame: Frame | None = None) -> Uploads:
    """Reads images and pose files.

    Args:
        paths: Files that the web framework has stored for this request.
        limits: Limits of the Space.
        frame: Frame of the poses. Default: what a file says, otherwise "z_up".

    Raises:
        ValueError: Too many files, or one that is too large, damaged or of another kind. Messages have the file's name
            without its folder.
    """
    if len(paths) > limits.files:
        raise ValueError(f"a message has {len(paths)} files; accepted: at most {limits.files}")
    found = Uploads()
    for path in map(Path, paths):
        try:
            if path.suffix.lower() in IMAGE_ENDINGS:
                found.images.append(read_image(path, limits))
                found.image_paths.append(str(path))
            else:
                pose, note = read_pose(path, limits, frame)
                found.poses.append(pose)
                found.notes.extend([note] if note else [])
        except ValueError as error:
            message = str(error).replace(str(path), path.name).replace(str(path.parent), "")
            raise ValueError(message) from error
    return found


def check_file(path: Path, limits: Limits) -> None:
    """Checks the size of a file.

    Args:
        path: The file.
        limits: Limits of the Space.

    Raises:
        ValueError: It is too large, or unpacks into too much.
    """
    size = os.stat(path).st_size
    if size > limits.upload_bytes:
        raise ValueError(f"{path.name} has {size} bytes; accepted: at most {limits.upload_bytes}")
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
        except (zipfile.BadZipFile, OSError) as error:
            raise ValueError(f"{path.name} is damaged") from error
        if unpacked > limits.unpacked_bytes:
            raise ValueError(f"{path.name} unpacks to {unpacked} bytes; accepted: at most {limits.unpacked_bytes}")


def read_image(path: Path, limits: Limits) -> Image.Image:
    """An uploaded image in RGB.

    Args:
        path: The file.
        limits: Limits of the Space.

    Raises:
        ValueError: It is too large or no image.
    """
    check_file(path, limits)
    return image_to_rgb(path.read_bytes(), path.name, limits.pixels)


def read_pose(path: Path, limits: Limits, frame: Frame | None) -> tuple[np.ndarray, str]:
    """The pose of an uploaded file: of a motion, its middle frame.

    Args:
        path: The file.
        limits: Limits of the Space.
        frame: Frame of the numbers, or None for what the file says.

    Returns:
        (22, 3, 3) rotation matrices, z up, and a note for the visitor, or "".

    Raises:
        ValueError: It is too large, of another kind, or holds no pose.
    """
    if path.suffix.lower() not in POSE_ENDINGS:
        accepted = ", ".join((*IMAGE_ENDINGS, *POSE_ENDINGS))
        raise ValueError(f"{path.name} is neither an image nor a pose file; accepted: {accepted}")
    check_file(path, limits)
    poses = load_poses(path, frame)
    middle = len(poses) // 2
    note = f"{path.name} has {len(poses)} frames; this is frame {middle}." if len(poses) > 1 else ""
    return poses[middle].numpy(), note
