"""The form of a chat, checked once: errors name the message and its part.

A chat is a list of messages: dicts, dataclasses or pydantic models. `ACCEPTED_CHATS` says what a message is. The
checked chat is a copy in which every value of an image or a pose is under the key of its kind. No file and no address
is read unless the caller allows it.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from .image_loading import ImageURL, decode_base64, image_reference
from .pose_features import ACCEPTED_FORMS


ROLES = ("system", "user", "assistant")
# Keys under which a block may hold its value; a pose's `path` is that of a file.
BLOCK_KEYS = {"image": ("image", "url", "path", "base64"), "pose": ("pose", "path")}
# Keys of a block besides its type and value.
BLOCK_OPTIONS: dict[str, tuple[str, ...]] = {"image": (), "pose": ("frame",)}
ACCEPTED_CHATS = (
    'a list of messages {"role": "system" | "user" | "assistant", "content": a string or a list of parts '
    '{"type": "text", "text"}, {"type": "image", "image" | "url" | "path" | "base64"}, '
    '{"type": "pose", "pose" | "path", "frame"}}'
)

Message = dict[str, Any]


class ChatSources(NamedTuple):
    """What the images and poses of a chat may be read from, besides the chat itself.

    Args:
        urls: Whether images are fetched from http addresses.
        local_files: Whether images and poses are read from local files.
    """

    urls: bool = False
    local_files: bool = False


NO_SOURCES = ChatSources()
ALL_SOURCES = ChatSources(urls=True, local_files=True)


class CheckedChats(list):
    """Chats that `check_chat` has made: a caller from outside cannot claim that his are."""


def as_mapping(value: Any) -> Any:
    """A message or a part as a dict, if it is an object of a dataclass or of pydantic; others unchanged."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value.model_dump() if callable(getattr(value, "model_dump", None)) else value


def check_chat(chat: Any, sources: ChatSources = NO_SOURCES, name: str = "") -> list[Message]:
    """Checks a chat and copies it.

    Args:
        chat: `ACCEPTED_CHATS`. Keys whose value is None are ignored: Arrow fills absent ones with it.
        sources: What may be read.
        name: Start of errors, such as "chat 2, ".

    Returns:
        Messages; an image block has "image" or no value, a pose block "pose" or no value.

    Raises:
        ValueError: The chat has another form, or refers to an address or a file that may not be read.
    """
    if not isinstance(chat, list | tuple):
        raise ValueError(f"{name or 'the chat '}is a {type(chat).__name__}; accepted: {ACCEPTED_CHATS}")
    if not chat:
        raise ValueError(f"{name or 'the chat '}has no messages; accepted: {ACCEPTED_CHATS}")
    return [_check_message(message, sources, f"{name}message {number}") for number, message in enumerate(chat, 1)]


def check_text(text: str, name: str) -> str:
    """Checks that a text can be encoded.

    Args:
        text: Any string.
        name: Start of the error.

    Raises:
        ValueError: It holds half of a UTF-16 pair alone, a character that no text has.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise ValueError(
            f"{name}: character {error.start + 1} is U+{code:04X}, a lone surrogate; accepted: text that UTF-8 "
            "can encode"
        ) from error
    return text


def _check_message(message: Any, sources: ChatSources, name: str) -> Message:
    message = as_mapping(message)
    if not isinstance(message, Mapping):
        raise ValueError(f"{name} is a {type(message).__name__}; accepted: {ACCEPTED_CHATS}")
    given = {key: value for key, value in message.items() if value is not None}
    _check_keys(given, ("role", "content"), name)
    for key in ("role", "content"):
        if key not in given:
            raise ValueError(f"{name} has no {key!r}; accepted: {ACCEPTED_CHATS}")
    role, content = given["role"], given["content"]
    if not isinstance(role, str) or role not in ROLES:
        raise ValueError(f"{name} has the role {shown(role)}; accepted: {', '.join(ROLES)}")
    if isinstance(content, str):
        check_text(content, name)
    elif isinstance(content, list | tuple):
        content = [_check_part(part, sources, f"{name}, part {number}") for number, part in enumerate(content, 1)]
    else:
        raise ValueError(f"{name} has a content of type {type(content).__name__}; accepted: {ACCEPTED_CHATS}")
    texts = [content] if isinstance(content, str) else [part.get("text", part["type"]) for part in content]
    if role == "user" and not "".join(texts).strip():
        raise ValueError(f"{name} is empty")
    return {"role": role, "content": content if isinstance(content, str) else _joined(content)}


def _joined(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Parts in which adjacent texts are one: the template writes them without a gap, and halves would make a token."""
    joined: list[dict[str, Any]] = []
    for part in parts:
        if joined and part["type"] == joined[-1]["type"] == "text":
            joined[-1] = {"type": "text", "text": joined[-1]["text"] + part["text"]}
        else:
            joined.append(part)
    return joined


def _check_keys(given: Mapping[Any, Any], accepted: Sequence[str], name: str) -> None:
    unknown = [key for key in given if key not in accepted]
    if unknown:
        raise ValueError(f"{name} has the unknown keys {shown(unknown)}; accepted: {', '.join(accepted)}")


def _check_part(part: Any, sources: ChatSources, name: str) -> dict[str, Any]:
    part = as_mapping(part)
    if not isinstance(part, Mapping):
        raise ValueError(f"{name} is a {type(part).__name__}; accepted: {ACCEPTED_CHATS}")
    given = {key: value for key, value in part.items() if value is not None}
    kind = given.pop("type", None)
    if not isinstance(kind, str) or kind not in ("text", "image_url", *BLOCK_KEYS):
        raise ValueError(f"{name} has the type {shown(kind)}; accepted: text, image and pose")
    if kind == "image_url":
        # OpenAI's form.
        address = given.get("image_url")
        kind, given = "image", {"url": address.get("url") if isinstance(address, Mapping) else address}
    if kind == "text":
        _check_keys(given, ("text",), name)
        if not isinstance(given.get("text"), str):
            got = type(given["text"]).__name__ if "text" in given else "nothing"
            raise ValueError(f"{name}: the text of a part must be a string, got {got}")
        return {"type": "text", "text": check_text(given["text"], name)}
    keys, options = BLOCK_KEYS[kind], BLOCK_OPTIONS[kind]
    _check_keys(given, (*keys, *options), name)
    present = [key for key in keys if key in given]
    if len(present) > 1:
        raise ValueError(f"{name} has a value under {' and '.join(present)}; accepted: one of {', '.join(keys)}")
    block = {"type": kind, **{key: given[key] for key in options if key in given}}
    if present:
        check = _check_image if kind == "image" else _check_pose
        block[kind] = check(given[present[0]], present[0], sources, name)
        if present[0] == "url":
            # Templates may print it.
            block["url"] = given["url"]
    return block


def _check_image(value: Any, key: str, sources: ChatSources, name: str) -> Any:
    """The image itself, or what it is read from: bytes, an `ImageURL` or a `Path`."""
    if key in ("url", "base64") and not isinstance(value, str):
        raise ValueError(f"{name}: {key!r} must be a string, got {type(value).__name__}")
    if key == "path" and not isinstance(value, str | os.PathLike):
        raise ValueError(f"{name}: 'path' must be a path, got {type(value).__name__}")
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    try:
        if key == "base64":
            return decode_base64(value)
        if key == "path":
            value = Path(value)
        elif isinstance(value, str):
            value = image_reference(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if isinstance(value, ImageURL) and not sources.urls:
        raise ValueError(
            f"{name}: {shown(value)} is an address, which a chat does not read: pass the image itself "
            "or set allow_urls=True"
        )
    if isinstance(value, os.PathLike):
        _check_local_file(value, sources, name)
    elif not isinstance(value, ImageURL | bytes | Image.Image | np.ndarray | torch.Tensor):
        raise ValueError(
            f"{name}: {type(value).__name__} is not an image; accepted: a PIL image, an array, bytes or base64"
        )
    return value


def _check_pose(value: Any, key: str, sources: ChatSources, name: str) -> Any:
    if key == "path" and not isinstance(value, str | os.PathLike):
        raise ValueError(f"{name}: 'path' must be a path, got {type(value).__name__}")
    if isinstance(value, str | os.PathLike):
        _check_local_file(value, sources, name)
    elif not isinstance(value, Mapping | list | tuple | np.ndarray | torch.Tensor):
        raise ValueError(f"{name}: {type(value).__name__} is not a pose; accepted: {ACCEPTED_FORMS}")
    return value


def _check_local_file(path: str | os.PathLike, sources: ChatSources, name: str) -> None:
    if not sources.local_files:
        raise ValueError(
            f"{name}: {shown(os.fspath(path))} is a local file, which a chat does not read: pass its content or "
            "set allow_local_files=True"
        )


def shown(text: Any, length: int = 80) -> str:
    """A value in an error message, shortened.

    Args:
        text: Any value.
        length: Largest number of characters.
    """
    spelled = repr(str(text))
    return spelled if len(spelled) <= length else f"{spelled[: length - 4]}...'"
