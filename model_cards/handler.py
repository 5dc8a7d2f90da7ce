"""Handler of Hugging Face's Inference Endpoints: this file lies beside the weights. It needs no other package.

{"inputs": text or chat, "images": [...], "poses": [...], "parameters": {"task": ..., "temperature": ...}}
"""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image
from transformers import pipeline


PARAMETERS = ("task", "frame", "output_frame", "best_of", "seed")
GENERATION = ("max_new_tokens", "do_sample", "temperature", "top_p", "top_k", "num_return_sequences")


class EndpointHandler:
    """Answers requests with the model of a folder.

    Args:
        path: The folder.
    """

    def __init__(self, path: str = ""):
        self.pipe: Any = pipeline("unipose", model=path, trust_remote_code=True)  # type: ignore[call-overload]

    def __call__(self, data: dict[str, Any]) -> Any:
        """Answers one request; no address and no file that it names is opened.

        Args:
            data: "inputs": a text, a chat or None; "images": base64 or data: URLs; "poses": numbers; "parameters": the
                pipeline's task, frame, output_frame, best_of and seed, and those of generation.

        Returns:
            {"text", "poses": (22, 3, 3) lists, "confidence"}, or a list of them.

        Raises:
            ValueError: Bad input.
        """
        unknown = set(data) - {"inputs", "images", "poses", "parameters"}
        parameters = data.get("parameters") or {}
        unknown |= set(parameters) - {*PARAMETERS, *GENERATION}
        if unknown:
            accepted = ", ".join(("inputs", "images", "poses", "parameters", *PARAMETERS, *GENERATION))
            raise ValueError(f"unknown fields {sorted(unknown)}; accepted: {accepted}")
        (answer,) = self.pipe(
            text=[data.get("inputs")],
            images=[[read_image(image) for image in data.get("images") or []]],
            poses=[[read_pose(pose) for pose in data.get("poses") or []]],
            **parameters,
        )
        return [to_json(one) for one in answer] if isinstance(answer, list) else to_json(answer)


def read_image(text: Any) -> Image.Image:
    """An image from base64 or a data: URL.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(text, str):
        raise ValueError(f"an image is base64 or a data: URL, got {type(text).__name__}")
    try:
        content = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
        return Image.open(io.BytesIO(content))
    except (ValueError, OSError) as error:
        raise ValueError("an image is base64 or a data: URL of an image file; addresses are not opened") from error


def read_pose(pose: Any) -> Any:
    """A pose as numbers, or a dict of them.

    Raises:
        ValueError: It is something else, such as a path.
    """
    if isinstance(pose, dict):
        return pose
    if not isinstance(pose, list):
        raise ValueError(f"a pose is numbers or a dict of numbers, got {type(pose).__name__}")
    try:
        return np.array(pose, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError("a pose is numbers: (22, 3, 3), (22, 3), (66,) or another form of the package") from error


def to_json(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer whose poses are lists."""
    return {**answer, "poses": [np.asarray(pose).tolist() for pose in answer["poses"]]}
