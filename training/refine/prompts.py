"""Prompts for a chat model: rewrite an automatic caption, fluently and faithfully (paper, supplement; our words).

Messages are in OpenAI's chat format, images as data URLs in `image_url` blocks: an endpoint takes them, and so does
the chat template of a transformers processor.
"""

import base64
import io
from collections.abc import Sequence
from typing import Any, Literal

from PIL import Image, UnidentifiedImageError


Message = dict[str, Any]
Task = Literal["caption", "difference"]

_RULES = """Rules:
- Say everything that the text says, and nothing that it does not say. The text was measured on the body and is right.
- Left and right are those of the person, as the person feels them, never those of whoever looks. Never swap them.
- Speak of the body alone: no clothes, no objects, no surroundings, nothing about who the person is or how they feel, \
and never of an image. Write "the person", "they" and "their".
- Keep the degree: slightly bent stays slightly bent, a right angle stays a right angle.
- Say what is, never what is not. Use plain words for body parts: left knee, right elbow, torso.
- Answer with one paragraph of complete sentences and nothing else."""

_SYSTEM: dict[Task, str] = {
    "caption": "You edit descriptions of human poses. You are given a text that a program wrote, one dry fact after "
    f"another, and you turn it into a fluent description that states the same facts.\n\n{_RULES}",
    "difference": "You edit texts that say how a second human pose differs from a first. You are given a text that a "
    f"program wrote, one dry fact after another, and you turn it into fluent prose that states the same changes.\n\n"
    f"{_RULES}\n- Every change goes from the first pose to the second: keep its direction.",
}
_IMAGES: dict[Task, tuple[str, ...]] = {
    "caption": ("This image shows the pose. Use it only to choose natural words and a natural order.",),
    "difference": (
        "This image shows the first pose.",
        "This image shows the second pose. Use both only to choose natural words and a natural order.",
    ),
}
_EXAMPLES: dict[Task, tuple[str, str]] = {
    "caption": (
        "A person squats. The left elbow is slightly bent. The right hand is near the right knee. The feet are apart.",
        "The person squats with the feet apart, the right hand near the right knee and the left elbow slightly bent.",
    ),
    "difference": (
        "Raise the left hand. Bend the right knee more. Turn the torso to the left.",
        "Turn the torso to the left and raise the left hand, while the right knee bends more.",
    ),
}


def refine_messages(task: Task, text: str, images: Sequence[bytes] = ()) -> list[Message]:
    """The chat that requests a rewrite.

    Args:
        task: "caption" for the description of a pose, "difference" for what changes from a first pose to a second.
        text: the automatic text.
        images: encoded images: none, or one for a caption and two, in order, for a difference.

    Returns:
        Messages in OpenAI's chat format.

    Raises:
        ValueError: the text is empty, the number of images is wrong, or an image is damaged.
    """
    expected = len(_IMAGES[task])
    if not text.strip():
        raise ValueError("got no text to refine.")
    if len(images) not in (0, expected):
        raise ValueError(f"got {len(images)} images for a {task}; expected none or {expected}.")
    content: list[Message] = []
    for index, image in enumerate(images):
        content += [_text(_IMAGES[task][index]), _image(image, index + 1)]
    before, after = _EXAMPLES[task]
    return [
        {"role": "system", "content": [_text(_SYSTEM[task])]},
        {"role": "user", "content": [_text(f"Text: {before}")]},
        {"role": "assistant", "content": [_text(after)]},
        {"role": "user", "content": [*content, _text(f"Text: {text.strip()}")]},
    ]


def retry_messages(messages: Sequence[Message], answer: str, reasons: Sequence[str]) -> list[Message]:
    """The chat, continued with the errors of the answer and a request for another.

    Args:
        messages: the chat so far.
        answer: the model's answer.
        reasons: reasons of its rejection.
    """
    complaint = "\n".join(f"- {reason}" for reason in reasons)
    request = (
        f"This is not right yet:\n{complaint}\nWrite the whole paragraph again and correct this. Answer with it alone."
    )
    return [
        *messages,
        {"role": "assistant", "content": [_text(answer)]},
        {"role": "user", "content": [_text(request)]},
    ]


def _text(text: str) -> Message:
    return {"type": "text", "text": text}


def _image(data: bytes, number: int) -> Message:
    try:
        with Image.open(io.BytesIO(data)) as image:
            media = Image.MIME[image.format or ""]
            image.verify()
    except (UnidentifiedImageError, OSError, KeyError, SyntaxError) as error:
        raise ValueError(f"image {number}: it cannot be read ({error}).") from error
    return {"type": "image_url", "image_url": {"url": f"data:{media};base64,{base64.b64encode(data).decode()}"}}
