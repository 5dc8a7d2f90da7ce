"""The images and poses of users' rows, in any form that people have them, as a row of our format holds them."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import roma
import torch

from unipose.configuration_unipose import shorten
from unipose.processing.chat_schema import ChatSources, Message, check_chat
from unipose.processing.image_loading import ImageURL, image_reference, image_to_rgb, read_image
from unipose.processing.image_processing_unipose import UniPoseImageProcessor
from unipose.processing.pose_features import Frame, FramedPose, check_frame, pose_to_rotmats, to_y_up
from unipose.training.datasets.records import Rotvecs
from unipose.training.geometry import heading, rotate_heading


# Addresses are refused later, with a message of training rather than of chats.
SOURCES = ChatSources(urls=True, local_files=True)


class Place(NamedTuple):
    """Where a row comes from.

    Args:
        name: How errors name the row, such as "poses.csv, line 3".
        folder: Folder to which its paths are relative; None: its paths are refused, as those of a downloaded row.
        frame: Frame of its poses, unless they state one; None: "z_up".
    """

    name: str
    folder: Path | None = Path()
    frame: Frame | None = None


def read_pose(pose: Any, place: Place, field: str, frame: Any = None) -> Rotvecs:
    """One pose of a row.

    Args:
        pose: An array, nested lists, a dict, a path (clip.npz:120 is one frame), JSON of a list, or one of these with
            its frame.
        place: Where the row comes from.
        field: Name of the value in errors.
        frame: The frame that the row states; default: that of the place.

    Returns:
        (22, 3) rotation vectors in radians, z up.

    Raises:
        ValueError: It is not a pose; the message names the row and the field.
    """
    name = f"{place.name}, {field}"
    if isinstance(pose, FramedPose):
        pose, frame = pose.pose, pose.frame
    if isinstance(pose, str) and pose.lstrip().startswith(("[", "{")):
        try:
            pose = json.loads(pose)
        except ValueError as error:
            raise ValueError(f"{name}: {shorten(pose)} is no JSON: {error}") from error
    if isinstance(pose, str | os.PathLike):
        pose = str(local_path(pose, place, field))
    frame = place.frame if frame is None else check_frame(frame, f"{name}: frame")
    rotmats = pose_to_rotmats(pose, name, frame)
    return roma.rotmat_to_rotvec(rotmats.double()).numpy().astype(np.float32)


def read_image_file(image: Any, place: Place, field: str) -> bytes:
    """One image of a row as the content of an image file, decoded once to know that it can be.

    Args:
        image: A path, bytes, base64, a PIL image, an array, or a dict of bytes or path.
        place: Where the row comes from.
        field: Name of the value in errors.

    Raises:
        ValueError: It is an address, missing, damaged or no image; the message names the row and the field.
    """
    name = f"{place.name}, {field}"
    if isinstance(image, Mapping):
        image = image.get("bytes") or image.get("path")
    try:
        if isinstance(image, str):
            image = image_reference(image)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if isinstance(image, ImageURL):
        raise ValueError(f"{name}: {image!r} is an address; training reads files: download it first")
    if isinstance(image, os.PathLike):
        path = local_path(image, place, field)
        if not path.is_file():
            raise ValueError(f"{name}: there is no file {str(path)!r}")
        image = path.read_bytes()
    image_to_rgb(image, name, UniPoseImageProcessor.max_pixels)
    if isinstance(image, bytes):
        return image
    buffer = io.BytesIO()
    read_image(image).save(buffer, format="PNG")
    return buffer.getvalue()


def local_path(path: str | os.PathLike, place: Place, field: str) -> Path:
    """A path of a row, relative to the folder of its file.

    Args:
        path: The path.
        place: Where the row comes from.
        field: Name of the value in errors.

    Raises:
        ValueError: Paths of this row are refused.
    """
    if place.folder is None:
        raise ValueError(
            f"{place.name}, {field}: {os.fspath(path)!r} is a path, which a dataset of the Hub may not read here; "
            "expected the content itself"
        )
    return place.folder / path


def read_messages(row: Mapping[str, Any], place: Place) -> tuple[list[Message], list[Any], list[Any]]:
    """The chat of a row, with its images and poses beside it.

    A block without a value takes the next one of the columns `images` and `poses`.

    Args:
        row: A row with `messages`.
        place: Where it comes from.

    Returns:
        Messages whose image and pose blocks have no values; the values of the images, and of the poses (with the frame
        that their blocks state), in order.

    Raises:
        ValueError: The messages are no chat, or the numbers of blocks and values differ.
    """
    messages = check_chat(row["messages"], SOURCES, f"{place.name}, messages: ")
    found: dict[str, list[Any]] = {"image": [], "pose": []}
    for kind, values in found.items():
        blocks = blocks_of(messages, kind)
        pending = column_values(row, f"{kind}s", place)
        missing = sum(kind not in block for block in blocks)
        if missing != len(pending):
            raise ValueError(
                f"{place.name}, {kind}s: got {len(pending)} of them, but the messages have {missing} {kind} blocks "
                f"without {'an image' if kind == 'image' else 'a pose'} of their own"
            )
        rest = iter(pending)
        for block in blocks:
            value = block[kind] if kind in block else next(rest)
            values.append(value if block.get("frame") is None else FramedPose(value, block["frame"]))
            for key in (kind, "frame", "url"):
                block.pop(key, None)
    return messages, found["image"], found["pose"]


def blocks_of(messages: Sequence[Message], kind: str) -> list[dict[str, Any]]:
    """The blocks of one type, in order.

    Args:
        messages: A checked chat.
        kind: "image" or "pose".
    """
    contents = [message["content"] for message in messages if not isinstance(message["content"], str)]
    return [block for content in contents for block in content if block["type"] == kind]


def column_values(row: Mapping[str, Any], column: str, place: Place) -> list[Any]:
    """The entries of the column `images` or `poses`.

    Args:
        row: The row.
        column: Name of the column.
        place: Where the row comes from.

    Raises:
        ValueError: It is no list.
    """
    values = row.get(column)
    if values is None:
        return []
    if not isinstance(values, Sequence | np.ndarray | torch.Tensor) or isinstance(values, str | bytes):
        raise ValueError(f"{place.name}, {column}: got {shorten(values)}, expected a list of {column}")
    return list(values)


def face_front(poses: Sequence[Rotvecs]) -> list[Rotvecs]:
    """Rotates all poses of a row about the vertical so that the first one faces the front, as the pipeline does.

    Args:
        poses: (22, 3) each.
    """
    if not poses:
        return []
    rotmats = roma.rotvec_to_rotmat(torch.from_numpy(np.stack(poses)).double())
    yaw = torch.from_numpy(heading(to_y_up(rotmats)[:1, 0].numpy())).expand(len(poses))
    turned = roma.rotmat_to_rotvec(rotate_heading(rotmats, -yaw))
    return list(turned.numpy().astype(np.float32))
