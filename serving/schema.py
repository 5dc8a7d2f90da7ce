"""The form of requests and answers: OpenAI's chat completions, with poses."""

import time
import uuid
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from unipose.processing.pose_frames import Frame
from unipose.tasks_unipose import TASKS

from .answering import Answer
from .poses import PoseFormat


def check_task(name: str | None) -> str | None:
    """Checks the name of a task.

    Raises:
        ValueError: There is no such task.
    """
    if name is not None and name not in TASKS:
        raise ValueError(f"unknown task {name!r}; accepted: {', '.join(TASKS)}")
    return name


class StreamOptions(BaseModel):
    """Options of a stream."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A request. Fields of OpenAI that would change the answer but are not supported are refused, not ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)

    messages: list[Any] = Field(description="Content blocks: text, image_url (a data: URL), pose.")
    model: str | None = None
    task: Annotated[str | None, AfterValidator(check_task)] = Field(
        None, description="Default: it follows from the inputs, or the model chooses."
    )
    frame: Frame | None = Field(None, description="Frame of the input poses; default: what a pose says, or z_up.")
    output_frame: Frame = Field("z_up", description="Frame of the poses of the answer.")
    pose_format: PoseFormat = Field("axis_angle", description="Numbers of the poses of the answer.")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(None, description="Default and 0: greedy.")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None
    seed: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    # They do not change the answer.
    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None


def usage_of(answer: Answer) -> dict[str, int]:
    """The tokens of a request."""
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.answer_tokens,
        "total_tokens": answer.prompt_tokens + answer.answer_tokens,
    }


class Completion:
    """Writes the answers to one request.

    Args:
        request: The request.
        model: Name of the model.
    """

    def __init__(self, request: ChatRequest, model: str):
        self.request = request
        self.head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    @staticmethod
    def extras(choice: dict[str, Any]) -> dict[str, Any]:
        """The poses and the confidence of a choice of an answer."""
        return {"poses": choice["poses"], "confidence": round(choice["confidence"], 4)}

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": choice["text"], **self.extras(choice)},
                "finish_reason": reason,
                "logprobs": None,
            }
            for index, (choice, reason) in enumerate(zip(answer.choices, answer.finish_reasons))
        ]
        return {**self.head, "object": "chat.completion", "choices": choices, "usage": usage_of(answer)}

    def chunk(self, index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        """A part of a streamed answer.

        Args:
            index: Number of the choice.
            delta: What is new of its message.
            finish_reason: How it ended, in its last part.
        """
        choice = {"index": index, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return {**self.head, "object": "chat.completion.chunk", "choices": [choice]}

    def usage_chunk(self, answer: Answer) -> dict[str, Any]:
        """The last part of a streamed answer, if the client wants it."""
        return {**self.head, "object": "chat.completion.chunk", "choices": [], "usage": usage_of(answer)}
