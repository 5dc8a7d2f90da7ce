"""Chat models that answer a list of messages: any OpenAI-compatible endpoint, or a local transformers pipeline."""

import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import httpx2
from transformers import pipeline

from unipose.training.refine.prompts import Message


PipelineTask = Literal["image-text-to-text", "text-generation"]

# How much of an endpoint's complaint is quoted.
QUOTED = 300


class ChatError(RuntimeError):
    """A chat model gave no answer. The message never holds the key."""


class _Unanswered(Exception):
    """One request without an answer: whether to send it again, and the seconds that the endpoint asks to wait."""

    def __init__(self, problem: str, again: bool, wait: float = 0.0) -> None:
        super().__init__(problem)
        self.again, self.wait = again, wait


class ChatModel(Protocol):
    """Whatever answers a chat; `answer` may be called from several threads."""

    @property
    def name(self) -> str: ...

    def answer(self, messages: Sequence[Message]) -> str:
        """The model's next turn, as text.

        Raises:
            ChatError: there is none.
        """
        ...


@dataclass(frozen=True)
class Retry:
    """When to ask again: exponential back-off with full jitter, never before the endpoint's Retry-After.

    Args:
        attempts: how often a request is sent at most.
        first, longest: seconds, the bounds of the back-off. An endpoint that asks for a longer wait than `longest`
            gets its wish once it is over: the request fails at once, and a later run asks again.
        seed: of the jitter.
    """

    attempts: int = 6
    first: float = 1.0
    longest: float = 120.0
    seed: int = 0


@dataclass
class OpenAIChatModel:
    """A model behind `{base_url}/chat/completions`: a hosted one, or a server on this machine.

    The library's own client (`huggingface_hub.InferenceClient`) is not used: it refuses even a server on this machine
    where HF_HUB_OFFLINE is set, and does not retry.

    Args:
        base_url: such as "http://localhost:8000/v1".
        model: the endpoint's name of the model.
        key_variable: the environment variable that holds the key; none is sent where it is not set.
        timeout: seconds without a sign of life after which a request counts as failed.
        options: what else a request holds; some models want "max_completion_tokens" in place of "max_tokens".
        retry: when to ask again.
        sleep: waits; a test can pass its own.

    Raises:
        ValueError: `base_url` is not http(s), or has a name, password or query in it, which would end up in messages.
    """

    base_url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    timeout: float = 120.0
    options: Mapping[str, Any] = field(default_factory=lambda: {"max_tokens": 400, "temperature": 0.3})
    retry: Retry = Retry()
    sleep: Callable[[float], None] = time.sleep
    _key: str = field(init=False, repr=False)
    _client: httpx2.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        url = urlsplit(self.base_url)
        if url.scheme not in ("http", "https") or "@" in url.netloc or url.query:
            raise ValueError(
                f"base_url has to be a plain http or https address such as http://localhost:8000/v1, without name, "
                f"password or query; found one of scheme {url.scheme!r} and host {url.hostname!r}. "
                f"A key goes into the environment variable {self.key_variable}."
            )
        self._key = os.environ.get(self.key_variable, "").strip()
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._client = httpx2.Client(headers=headers, timeout=self.timeout)
        self._jitter = random.Random(self.retry.seed)

    @property
    def name(self) -> str:
        return self.model

    def answer(self, messages: Sequence[Message]) -> str:
        for attempt in count(1):
            try:
                return self._ask(messages)
            except _Unanswered as failure:
                if not failure.again or attempt >= self.retry.attempts or failure.wait > self.retry.longest:
                    raise ChatError(self._without_key(f"{failure} (attempt {attempt} of {self.name})")) from None
                wait = failure.wait
            backoff = min(self.retry.longest, self.retry.first * 2 ** (attempt - 1))
            self.sleep(max(wait, self._jitter.uniform(0.0, backoff)))
        raise AssertionError("count() has no end")

    def _ask(self, messages: Sequence[Message]) -> str:
        asked = {"model": self.model, "messages": list(messages), **self.options}
        try:
            response = self._client.post(f"{self.base_url.rstrip('/')}/chat/completions", json=asked)
        except httpx2.TransportError as error:
            raise _Unanswered(f"{self.base_url}: {type(error).__name__}: {error}", again=True) from None
        if response.is_success:
            return _answer_in(response)
        again = response.status_code in (408, 429) or response.status_code >= 500
        wait = _retry_after(response)
        asks = f", asks to wait {wait:.0f} s" if wait else ""
        problem = f"{self.base_url}: status {response.status_code}{asks}: {response.text[:QUOTED]}"
        raise _Unanswered(problem, again, wait)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _answer_in(response: httpx2.Response) -> str:
    try:
        content = response.json()["choices"][0]["message"]["content"].strip()
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        content = ""
    if not content:
        problem = f"{response.url}: neither a chat completion nor text in it: {response.text[:QUOTED]}"
        raise _Unanswered(problem, again=True)
    return content


def _retry_after(response: httpx2.Response) -> float:
    """Seconds that the Retry-After header asks for, which may be a number or a date; 0 without one."""
    value = response.headers.get("retry-after", "").strip()
    try:
        if not value or value.replace(".", "", 1).isdigit():
            return float(value or 0)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


class PipelineChatModel:
    """A local model, greedy: transformers' pipeline for "image-text-to-text" or, without pictures, "text-generation".

    Args:
        model: folder or Hub id.
        task: of the pipeline.
        max_tokens: of an answer.
        pipeline_kwargs: what else `transformers.pipeline` takes: device, dtype, ...
    """

    def __init__(
        self, model: str, task: PipelineTask = "image-text-to-text", max_tokens: int = 400, **pipeline_kwargs: Any
    ) -> None:
        self.name = model
        self._pipeline: Callable[..., Any] = pipeline(task, model=model, **pipeline_kwargs)
        self._sees = task == "image-text-to-text"
        self._limits: dict[str, Any] = {"max_new_tokens": max_tokens, "do_sample": False}
        # A pipeline works on one call at a time.
        self._lock = threading.Lock()

    def answer(self, messages: Sequence[Message]) -> str:
        chat = list(messages) if self._sees else _as_text(messages)
        limits = {"generate_kwargs": self._limits} if self._sees else self._limits
        with self._lock:
            answer = self._pipeline(chat, return_full_text=False, **limits)[0]["generated_text"].strip()
        if not answer:
            raise ChatError(f"{self.name} gave an empty answer.")
        return answer


def _as_text(messages: Sequence[Message]) -> list[Message]:
    """Each content as one string, which is what the chat templates of text models take."""
    blocks = [block for message in messages for block in message["content"]]
    if any(block["type"] != "text" for block in blocks):
        raise ChatError('A "text-generation" model cannot see pictures: leave them out or take "image-text-to-text".')
    return [
        {"role": message["role"], "content": "\n".join(block["text"] for block in message["content"])}
        for message in messages
    ]
