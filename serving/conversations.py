"""Requests -> prompts: every block is read and checked before a request waits for a batch.

No address and no file of a request is opened: images are data: URLs, poses are numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from unipose.cli_inputs import implied_task
from unipose.processing.chat_schema import check_chat, shown
from unipose.processing.image_loading import image_to_rgb
from unipose.processing.processing_unipose import UniPoseProcessor

from .answering import Prompt
from .errors import APIError
from .options import ServingOptions
from .schema import ChatRequest


# Fields of the messages of answers, which clients send back.
ANSWER_FIELDS = ("confidence", "refusal", "annotations", "audio", "function_call", "tool_calls", "name")

Blocks = list[dict[str, Any]]


def read_request(request: ChatRequest, processor: UniPoseProcessor, options: ServingOptions) -> Prompt:
    """Reads a request.

    Args:
        request: The request.
        processor: That of the model.
        options: The limits.

    Raises:
        APIError: It is beyond a limit.
        ValueError: It has another form, or an image or a pose cannot be read.
    """
    check_limit("messages", len(request.messages), options.max_messages)
    messages = [as_blocks(message, number) for number, message in enumerate(request.messages, start=1)]
    messages = check_chat(messages)
    if messages[-1]["role"] != "user":
        raise ValueError(f"the last message is the {messages[-1]['role']}'s: end the chat with the user's")
    check_sizes(messages, options)
    chat = [
        {"role": message["role"], "content": read_blocks(message["content"], number, request, processor, options)}
        for number, message in enumerate(messages, start=1)
    ]
    settings: dict[str, Any] = {
        "arguments": read_arguments(request, options),
        "best_of": request.best_of,
        "seed": request.seed,
        "output_frame": request.output_frame,
        "pose_format": request.pose_format,
    }
    if len(chat) > 1:
        spaced = [{**message, "content": with_spaces(message["content"])} for message in chat]
        return Prompt(spaced, [], [], request.task, **settings)
    marks = {"pose": processor.pose_token, "image": processor.image_token}
    text, images, poses, task = read_single(chat[0]["content"], marks, request.task)
    return Prompt(text, images, [processor.mark_read(pose) for pose in poses], task, **settings)


def check_limit(name: str, got: int, limit: int, param: str = "messages") -> None:
    """Checks a number against its limit.

    Args:
        name: What is counted.
        got: The number.
        limit: The largest accepted one.
        param: Field of the request.

    Raises:
        APIError: It is beyond the limit.
    """
    if got > limit:
        raise APIError(400, f"the request has {got} {name}; accepted: at most {limit}", "limit_exceeded", param)


def as_blocks(message: Any, number: int) -> Any:
    """A message of a client as one of the package: answers with their poses as blocks, images as data: URLs.

    Args:
        message: The message; one of another form is left to `check_chat`.
        number: Its number, from 1.

    Raises:
        ValueError: An image is no data: URL, or poses are not a list.
    """
    if not isinstance(message, Mapping):
        return message
    message = dict(message)
    content = message.get("content")
    if message.get("role") == "assistant":
        message = {name: value for name, value in message.items() if name not in ANSWER_FIELDS}
        poses = message.pop("poses", None) or []
        if not isinstance(poses, list):
            raise ValueError(f"message {number}: poses must be a list, got {type(poses).__name__}")
        if poses:
            texts = [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
            message["content"] = [*texts, *({"type": "pose", "pose": pose} for pose in poses)]
    for index, block in enumerate(content if isinstance(content, list) else [], start=1):
        if isinstance(block, Mapping) and block.get("type") == "image_url":
            address = block.get("image_url")
            url = address.get("url") if isinstance(address, Mapping) else address
            if not isinstance(url, str) or not url.lower().startswith("data:"):
                raise ValueError(
                    f"message {number}, part {index}: image_url must be a data: URL such as "
                    f"data:image/png;base64,..., got {shown(url)}; the server opens no addresses and no files"
                )
    return message


def check_sizes(messages: Sequence[Mapping[str, Any]], options: ServingOptions) -> None:
    """Checks the numbers of characters, images and poses of a chat.

    Args:
        messages: The chat, checked.
        options: The limits.

    Raises:
        APIError: One is beyond its limit.
    """
    contents = [message["content"] for message in messages]
    blocks = [block for content in contents if not isinstance(content, str) for block in content]
    texts = [content for content in contents if isinstance(content, str)]
    texts += [block["text"] for block in blocks if block["type"] == "text"]
    check_limit("characters of text", sum(map(len, texts)), options.max_text_length)
    for kind, limit in (("image", options.max_images), ("pose", options.max_poses)):
        check_limit(f"{kind}s", sum(block["type"] == kind for block in blocks), limit)


def read_blocks(
    content: str | Blocks, number: int, request: ChatRequest, processor: UniPoseProcessor, options: ServingOptions
) -> Blocks:
    """The content of a message with its images in RGB and its poses z up.

    Args:
        content: The content, checked.
        number: Number of the message, from 1.
        request: The request.
        processor: That of the model.
        options: The limits.

    Raises:
        ValueError: An image or a pose is missing or cannot be read.
    """
    blocks: Blocks = []
    for index, block in enumerate([{"type": "text", "text": content}] if isinstance(content, str) else content, 1):
        kind, name = block["type"], f"message {number}, part {index}"
        if kind == "text":
            blocks.append(block)
        elif kind not in block:
            raise ValueError(f"{name}: the {kind} is missing")
        elif kind == "image":
            blocks.append({"type": kind, kind: image_to_rgb(block[kind], name, options.max_image_pixels)})
        else:
            pose = processor.read_pose(block[kind], name, request.frame, block.get("frame"))
            blocks.append({"type": kind, kind: pose, "frame": "z_up"})
    return blocks


def read_single(
    blocks: Blocks, marks: Mapping[str, str], task: str | None
) -> tuple[str | None, list[Any], list[Any], str | None]:
    """The text, the images, the poses and the task of a request of one message, in the pipeline's own form.

    Images and poses precede the text, wherever the client puts them; between several texts they keep their places.

    Args:
        blocks: The content.
        marks: Placeholders of images and poses.
        task: The task that the client names.
    """
    images, poses = ([block[kind] for block in blocks if block["type"] == kind] for kind in ("image", "pose"))
    pieces = [block["text"].strip() if block["type"] == "text" else marks[block["type"]] for block in blocks]
    texts = [piece for block, piece in zip(blocks, pieces) if block["type"] == "text" and piece]
    text = " ".join(piece for piece in pieces if piece) if len(texts) > 1 else "".join(texts) or None
    if task is None and (text is None or not (images or poses)):
        task = implied_task(text, poses, images)
    return text, images, poses, task


def with_spaces(blocks: Blocks) -> Blocks:
    """Blocks in which a space separates a text from the image or the pose before it, as the model was trained."""
    spaced: Blocks = []
    for block in blocks:
        if block["type"] == "text" and spaced and not block["text"][:1].isspace():
            block = {"type": "text", "text": f" {block['text']}"}
        spaced.append(block)
    return spaced


def read_arguments(request: ChatRequest, options: ServingOptions) -> dict[str, Any]:
    """The arguments of `generate`.

    Args:
        request: The request.
        options: The limits.

    Raises:
        APIError: One is beyond its limit.
    """
    length = request.max_completion_tokens or request.max_tokens
    check_limit("max_tokens", length or 1, options.max_new_tokens, "max_tokens")
    for name in ("n", "best_of"):
        check_limit(f"answers ({name})", getattr(request, name) or 1, options.max_choices, name)
    arguments: dict[str, Any] = {} if length is None else {"max_new_tokens": length}
    if (request.n or 1) > 1:
        arguments["num_return_sequences"] = request.n
    if request.temperature == 0:
        return arguments | {"do_sample": False}
    if request.temperature is not None or request.top_p is not None:
        arguments |= {"do_sample": True, "top_p": request.top_p, "temperature": request.temperature}
    return {name: value for name, value in arguments.items() if value is not None}
