"""Whether training rows are what they seem: each error names the row and the field, before anything trains on it."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets.formatting.formatting import LazyRow
from PIL import Image

from unipose.configuration_unipose import shorten
from unipose.processing.chat_schema import ROLES
from unipose.processing.pose_features import NUM_JOINTS


BLOCK_TYPES = ("text", "image", "pose")
# A rotation vector turns by at most a half, and fits of bodies by at most a whole turn; degrees are far beyond.
MAX_ANGLE = 2 * np.pi + 1e-3


def name_row(row: Mapping[str, Any], index: int | None = None) -> str:
    """How errors name a row: its index, and its task and source where it has them.

    Args:
        row: The row.
        index: Its index in the dataset.
    """
    known = [str(row[name]) for name in ("task", "source") if row.get(name)]
    number = "the row" if index is None else f"row {index}"
    return f"{number} ({', '.join(known)})" if known else number


def check_row(row: Mapping[str, Any], name: str, num_poses: int, has_images: bool = True) -> None:
    """Checks the messages of a row, and that it has as many images and poses as they have blocks.

    Args:
        row: A training row.
        name: Name of the row in errors.
        num_poses: Number of its poses.
        has_images: Whether the row holds its images; False: their pixels are added to the batch.

    Raises:
        ValueError: A field is wrong.
    """
    blocks = message_blocks(row.get("messages"), name)
    images = row_images(row)
    if not isinstance(images, Sequence) or isinstance(images, str | bytes):
        raise ValueError(f"{name}, images: got {shorten(images)}, expected a list of images")
    for field, kind, got in (("images", "image", len(images)), ("poses", "pose", num_poses)):
        expected = blocks.count(kind) if has_images or kind != "image" else 0
        if got != expected:
            raise ValueError(f"{name}, {field}: got {got} of them, but the messages have {expected} {kind} blocks")
    for number, image in enumerate(images, start=1):
        check_image(image, f"{name}, images: image {number}")


def message_blocks(messages: Any, name: str) -> list[str]:
    """The types of all blocks of a row's messages, in order.

    Args:
        messages: The messages.
        name: Name of the row in errors.

    Raises:
        ValueError: They are no chat, or the assistant says nothing.
    """
    name = f"{name}, messages"
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise ValueError(f"{name}: got {shorten(messages)}, expected a list of messages")
    types: list[str] = []
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, Mapping) or message.get("role") not in ROLES:
            raise ValueError(
                f"{name}: message {number} is {shorten(message)}, expected a dict with content and a role out of "
                f"{', '.join(ROLES)}"
            )
        types += content_types(message.get("content"), f"{name}: message {number}")
    if messages[-1]["role"] != "assistant":
        raise ValueError(f"{name}: the last role is {messages[-1]['role']}, expected assistant: its answer is trained")
    return types


def content_types(content: Any, name: str) -> list[str]:
    """The types of the blocks of a message.

    Args:
        content: A text, or a list of blocks.
        name: Name of the message in errors.

    Raises:
        ValueError: It is neither, is empty, or a block is wrong.
    """
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, Sequence) or not content:
        raise ValueError(f"{name}: its content is {shorten(content)}, expected a text or a list of blocks")
    for block in content:
        kind = block.get("type") if isinstance(block, Mapping) else None
        if kind not in BLOCK_TYPES:
            raise ValueError(f"{name}: a block is {shorten(block)}, expected a type out of {', '.join(BLOCK_TYPES)}")
        if kind == "text" and not (isinstance(block.get("text"), str) and block["text"]):
            raise ValueError(f"{name}: the text of a block is {shorten(block.get('text'))}, expected words")
        if kind == "text" and not is_unicode(block["text"]):
            raise ValueError(
                f"{name}: the text of a block holds a lone surrogate, expected Unicode: {block['text']!a}"
            )
    return [block["type"] for block in content]


def is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogates, which no encoding can write."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def check_poses(poses: Any, name: str) -> None:
    """Checks that the poses of a row are rotation vectors in radians.

    Args:
        poses: The poses.
        name: Name of the row in errors.

    Raises:
        ValueError: A pose has another shape or type, is not finite, or seems to be in degrees.
    """
    name = f"{name}, poses"
    if not isinstance(poses, Sequence | np.ndarray) or isinstance(poses, str):
        raise ValueError(f"{name}: got {shorten(poses)}, expected a list of poses")
    for number, pose in enumerate(poses, start=1):
        try:
            values = np.asarray(pose, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: pose {number} is {shorten(pose)}, expected (22, 3) numbers") from error
        if values.shape != (NUM_JOINTS, 3):
            raise ValueError(
                f"{name}: pose {number} has the shape {values.shape}, expected (22, 3) rotation vectors in radians"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: pose {number} holds NaN or infinite values")
        # Squares of huge numbers overflow.
        largest = float(np.linalg.norm(values.clip(-1e9, 1e9), axis=1).max())
        if largest > MAX_ANGLE:
            raise ValueError(
                f"{name}: pose {number} has a rotation by {largest:.4g} radians, expected at most a whole turn "
                f"({2 * np.pi:.2f}): are these degrees?"
            )


def row_images(row: Mapping[str, Any]) -> Sequence[Any]:
    """The images of a row; those that `datasets` would decode stay encoded."""
    if isinstance(row, LazyRow):
        table = row.pa_table
        return (table["images"][0].as_py() if "images" in table.column_names else None) or []
    return row.get("images") or []


def check_image(image: Any, name: str) -> None:
    """Checks the header of an encoded image; other forms are checked by the image processor.

    Args:
        image: An image.
        name: Name of the image in errors.

    Raises:
        ValueError: It is missing, or no image.
    """
    if image is None or isinstance(image, list | tuple):
        raise ValueError(f"{name} is {shorten(image)}, expected an image")
    content = image["bytes"] if isinstance(image, Mapping) and "bytes" in image else image
    if isinstance(content, bytes):
        try:
            Image.open(io.BytesIO(content)).close()
        except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file.
            raise ValueError(f"{name} is damaged: {error}") from error


def check_length(length: int, limit: int | None, name: str) -> None:
    """Checks that a row is not longer than the model can read.

    Args:
        length: Number of its tokens.
        limit: Largest number; None: none.
        name: Name of the row in errors.

    Raises:
        ValueError: It is longer.
    """
    if limit is not None and length > limit:
        raise ValueError(f"{name}, messages: they have {length} tokens, but the model reads at most {limit}")
