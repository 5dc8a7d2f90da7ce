"""Chat models that answer a list of messages: any OpenAI-compatible endpoint, or a local transformers pipeline."""

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from transformers import pipeline

from unipose.training.refine.prompts import Message


PipelineTask = Literal["image-text-to-text", "text-generation"]

# Characters of an endpoint's answer that are quoted in an error.
QUOTED = 300


class ChatError(RuntimeError):
    """A chat model gave no answer. The message never holds the key."""


class ChatModel(Protocol):
    """A model that answers a chat; `answer` may be called from several threads."""

    @property
    def name(self) -> str: ...

    def answer(self, messages: Sequence[Message]) -> str:
        """The model's next turn, as text.

        Raises:
            ChatError: there is none.
        """
        ...


@dataclass
class OpenAIChatModel:
    """A model behind `{base_url}/chat/completions`: a hosted one, or a server on this machine.

    The `openai` package sends the requests. It repeats those that may succeed later (no connection, no answer in time,
    status 408, 409, 429 or 5xx), with exponential back-off or after the seconds of the endpoint's Retry-After. A
    Retry-After of more than two minutes fails at once; a later run retries.

    Args:
        base_url: address of the endpoint, such as "http://localhost:8000/v1".
        model: the endpoint's name of the model.
        key_variable: the environment variable that holds the key; no key is sent where it is not set.
        timeout: seconds without data from the endpoint after which a request fails.
        options: other fields of a request; some models expect "max_completion_tokens" in place of "max_tokens".
        attempts: maximum number of attempts per request.

    Raises:
        ValueError: `base_url` is not http(s), or has a name, password or query, which error messages would show.
        ImportError: the `openai` package is not installed.
    """

    base_url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    timeout: float = 120.0
    options: Mapping[str, Any] = field(default_factory=lambda: {"max_tokens": 400, "temperature": 0.3})
    attempts: int = 6

    def __post_init__(self) -> None:
        url = urlsplit(self.base_url)
        if url.scheme not in ("http", "https") or "@" in url.netloc or url.query:
            raise ValueError(
                f"base_url: got one of scheme {url.scheme!r} and host {url.hostname!r}; expected a plain http or "
                f"https address such as http://localhost:8000/v1, without name, password or query. A key goes into "
                f"the environment variable {self.key_variable}."
            )
        self._openai = _import_openai()
        self._key = os.environ.get(self.key_variable, "").strip()
        # The package refuses an empty key; without one the header is left out of each request.
        self._headers = {} if self._key else {"Authorization": self._openai.omit}
        self._client = self._openai.OpenAI(
            base_url=self.base_url, api_key=self._key or "none", timeout=self.timeout, max_retries=self.attempts - 1
        )

    @property
    def name(self) -> str:
        return self.model

    def answer(self, messages: Sequence[Message]) -> str:
        body = ""
        for _ in range(self.attempts):
            body = self._request(messages)
            if text := _text_of(body):
                return text
        raise self._error(f"neither a chat completion nor text in it: {body[:QUOTED]}")

    def _request(self, messages: Sequence[Message]) -> str:
        """The body of the endpoint's answer, which need not be a completion."""
        try:
            response = self._client.chat.completions.with_raw_response.create(
                model=self.model, messages=list(messages), extra_body=dict(self.options), extra_headers=self._headers
            )
        except self._openai.APIStatusError as error:
            problem = f"status {error.status_code}: {error.response.text[:QUOTED]}"
        except self._openai.APIConnectionError as error:
            problem = f"{error} ({error.__cause__!r})"
        else:
            return response.text
        raise self._error(problem)

    def _error(self, problem: str) -> ChatError:
        text = f"{self.base_url}: {problem} ({self.name})"
        return ChatError(text.replace(self._key, "***") if self._key else text)


def _import_openai() -> ModuleType:
    try:
        import openai
    except ImportError as error:
        raise ImportError(
            "A model behind an endpoint needs the openai package: `pip install 'unipose[refine]'` (or `pip install "
            "openai`)."
        ) from error
    return openai


def _text_of(body: str) -> str:
    """The text of a chat completion, "" where there is none."""
    try:
        return json.loads(body)["choices"][0]["message"]["content"].strip()
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return ""


class PipelineChatModel:
    """A local model, greedy: transformers' pipeline for "image-text-to-text" or, without images, "text-generation".

    Args:
        model: folder or Hub id.
        task: task of the pipeline.
        max_tokens: maximum number of tokens of an answer.
        pipeline_kwargs: other arguments of `transformers.pipeline`: device, dtype, ...
    """

    def __init__(
        self, model: str, task: PipelineTask = "image-text-to-text", max_tokens: int = 400, **pipeline_kwargs: Any
    ) -> None:
        self.name = model
        self._pipeline: Callable[..., Any] = pipeline(task, model=model, **pipeline_kwargs)
        self._takes_images = task == "image-text-to-text"
        self._limits: dict[str, Any] = {"max_new_tokens": max_tokens, "do_sample": False}
        # A pipeline works on one call at a time.
        self._lock = threading.Lock()

    def answer(self, messages: Sequence[Message]) -> str:
        chat = list(messages) if self._takes_images else _as_text(messages)
        limits = {"generate_kwargs": self._limits} if self._takes_images else self._limits
        with self._lock:
            answer = self._pipeline(chat, return_full_text=False, **limits)[0]["generated_text"].strip()
        if not answer:
            raise ChatError(f"{self.name} gave an empty answer.")
        return answer


def _as_text(messages: Sequence[Message]) -> list[Message]:
    """Each content as one string: the form that the chat templates of text models take."""
    blocks = [block for message in messages for block in message["content"]]
    if any(block["type"] != "text" for block in blocks):
        raise ChatError('A "text-generation" model takes no images: leave them out or choose "image-text-to-text".')
    return [
        {"role": message["role"], "content": "\n".join(block["text"] for block in message["content"])}
        for message in messages
    ]
