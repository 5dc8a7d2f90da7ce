"""The HTTP application: OpenAI's chat completions over the batcher."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException as StarletteHTTPException

from unipose.pipeline_unipose import UniPosePipeline

from .answering import Answer, Answerer, Prompt
from .batcher import Batcher, Closing, Job, QueueFull
from .conversations import read_request
from .errors import APIError
from .gate import CHAT_PATH, Gate
from .metrics import Metrics
from .options import ServingOptions
from .schema import ChatRequest, Completion


logger = logging.getLogger(__name__)

Value = TypeVar("Value")


class Service:
    """A model and the requests that wait for it.

    Args:
        pipe: The pipeline.
        options: The limits.
        key: The key that clients must send; None: no key is needed.
    """

    def __init__(self, pipe: UniPosePipeline, options: ServingOptions, key: str | None = None):
        self.pipe, self.options, self.key = pipe, options, key
        self.metrics = Metrics()
        self.started = int(time.time())
        self.marks = (pipe.processor.pose_token, pipe.processor.image_token)
        self.batcher: Batcher | None = None

    @asynccontextmanager
    async def running(self, _: Any = None) -> AsyncIterator[None]:
        """Answers requests until the block ends, then those that wait."""
        limits = (self.options.max_batch_size, self.options.queue_size)
        self.batcher = Batcher(Answerer(self.pipe), *limits, self.metrics)
        task = asyncio.create_task(self.batcher.run())
        try:
            yield
        finally:
            self.close()
            await task

    def close(self) -> None:
        """Accepts no more requests; those that were accepted are answered."""
        if self.batcher is not None:
            self.batcher.close()

    @property
    def is_ready(self) -> bool:
        """Whether requests are accepted."""
        return self.batcher is not None and not self.batcher.closing

    async def read(self, request: ChatRequest) -> Prompt:
        """Reads a request; beside the event loop where there may be images to decode.

        Raises:
            APIError: It cannot be accepted.
        """
        assert self.batcher is not None
        if request.model not in (None, self.options.model_name):
            message = f"there is no model {request.model!r}; accepted: {self.options.model_name}"
            raise APIError(404, message, "model_not_found", "model")
        try:
            self.batcher.check_open()
            with self.batcher.while_reading():
                if has_blocks(request):
                    return await asyncio.to_thread(read_request, request, self.pipe.processor, self.options)
                return read_request(request, self.pipe.processor, self.options)
        except (ValueError, QueueFull, Closing) as error:
            raise to_api_error(error) from error

    def submit(self, prompt: Prompt, emit: Callable[[int, str], None] | None = None) -> Job:
        """Queues a prompt.

        Args:
            prompt: The prompt.
            emit: See `Job`.

        Raises:
            APIError: The queue is full, or the server stops.
        """
        assert self.batcher is not None
        job = Job(prompt, prompt.key(self.marks), emit)
        try:
            self.batcher.submit(job)
        except (QueueFull, Closing) as error:
            raise to_api_error(error) from error
        return job

    async def wait(self, request: Request, job: Job, awaited: Awaitable[Value]) -> Value:
        """Waits for something of a job, while its client does.

        Args:
            request: The HTTP request.
            job: The job, which is dropped if the client leaves or the time is over.
            awaited: What is waited for.

        Raises:
            APIError: The client left, the time is over, or the answer failed.
        """
        assert self.batcher is not None
        waiting, gone = asyncio.ensure_future(awaited), asyncio.ensure_future(disconnected(request))
        try:
            await asyncio.wait({waiting, gone}, timeout=self.options.timeout, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
            if gone.done():
                raise APIError(499, "the client closed the connection")
            raise APIError(504, f"no answer within {self.options.timeout:g} seconds", "timeout")
        except APIError:
            raise
        except Exception as error:
            raise to_api_error(error) from error
        finally:
            if not waiting.done():
                self.batcher.drop(job)
                waiting.cancel()
            gone.cancel()

    def count(self, answer: Answer) -> Answer:
        """Counts an answer."""
        self.metrics.tokens.labels("prompt").inc(answer.prompt_tokens)
        self.metrics.tokens.labels("answer").inc(answer.answer_tokens)
        self.metrics.poses.inc(sum(len(choice["poses"]) for choice in answer.choices))
        return answer


def has_blocks(request: ChatRequest) -> bool:
    """Whether a request may hold images or poses."""
    return not all(
        isinstance(message, dict) and isinstance(message.get("content"), str) and not message.get("poses")
        for message in request.messages
    )


async def disconnected(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def to_api_error(error: Exception) -> APIError:
    """What a client is told of an error; those of the server itself are logged."""
    if isinstance(error, QueueFull):
        headers = {"Retry-After": str(error.retry_after)}
        return APIError(429, "too many requests wait; try again later", "queue_full", headers=headers)
    if isinstance(error, Closing):
        return APIError(503, "the server is stopping", "stopping", headers={"Retry-After": "1"})
    if isinstance(error, ValueError):
        return APIError(400, str(error).removeprefix("row 1, "))
    logger.error("a request failed", exc_info=error)
    return APIError(500, "the server could not answer this request; its log says why", "internal_error")


class TextStream:
    """The parts of a streamed answer, in the order in which they come.

    Args:
        service: The service.
        completion: Writes the parts.
    """

    def __init__(self, service: Service, completion: Completion):
        self.service, self.completion = service, completion
        self.parts: asyncio.Queue[tuple[int, str] | None] = asyncio.Queue()
        self.loop = asyncio.get_running_loop()
        self.shown: dict[int, str] = {}

    def emit(self, choice: int, text: str) -> None:
        """Takes a text so far, from the thread of the batch.

        Args:
            choice: Number of the answer.
            text: Its text so far.
        """
        self.loop.call_soon_threadsafe(self.parts.put_nowait, (choice, text))

    def delta(self, choice: int, text: str) -> dict[str, Any] | None:
        """The part of a text that was not sent yet.

        Args:
            choice: Number of the answer.
            text: Its text so far.

        Raises:
            APIError: The text does not continue what was sent: its batch failed and was answered again by sampling.
        """
        before = self.shown.get(choice)
        if before is not None and not text.startswith(before):
            raise APIError(500, "the answer changed while it was streamed; ask again", "internal_error")
        self.shown[choice] = text
        delta = {"content": text[len(before or "") :], **({"role": "assistant"} if before is None else {})}
        return delta if before is None or delta["content"] else None

    async def run(self, request: Request, job: Job) -> AsyncIterator[dict[str, Any]]:
        """The parts of the answer of a job.

        Args:
            request: The HTTP request.
            job: The job.

        Raises:
            APIError: The answer failed.
        """
        job.future.add_done_callback(lambda _: self.parts.put_nowait(None))
        while (part := await self.service.wait(request, job, self.parts.get())) is not None:
            if delta := self.delta(*part):
                yield self.completion.chunk(part[0], delta)
        answer = self.service.count(await self.service.wait(request, job, job.future))
        for index, (choice, reason) in enumerate(zip(answer.choices, answer.finish_reasons)):
            delta = self.delta(index, choice["text"]) or {}
            yield self.completion.chunk(index, delta | self.completion.extras(choice))
            yield self.completion.chunk(index, {}, reason)
        options = self.completion.request.stream_options
        if options is not None and options.include_usage:
            yield self.completion.usage_chunk(answer)


async def to_events(parts: AsyncIterator[dict[str, Any]], first: dict[str, Any]) -> AsyncIterator[str]:
    """Parts as server-sent events; an error in the middle is one too.

    Args:
        parts: The parts.
        first: The first of them, which has been read already.
    """
    yield to_event(first)
    try:
        async for part in parts:
            yield to_event(part)
    except APIError as error:
        yield to_event(error.content)
    yield "data: [DONE]\n\n"


def to_event(content: dict[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(content, ensure_ascii=False, separators=(',', ':'))}\n\n"


def build_app(service: Service) -> Any:
    """The ASGI application of a service.

    Args:
        service: The service; it runs while the application does.
    """
    app = FastAPI(title="UniPose", docs_url=None, redoc_url=None, lifespan=service.running)
    add_error_handlers(app)
    name = service.options.model_name
    model = {"id": name, "object": "model", "created": service.started, "owned_by": "unipose"}

    @app.post(CHAT_PATH)
    async def chat(body: ChatRequest, request: Request) -> Response:
        prompt = await service.read(body)
        completion = Completion(body, name)
        if not body.stream:
            job = service.submit(prompt)
            answer = service.count(await service.wait(request, job, job.future))
            return JSONResponse(completion.whole(answer))
        stream = TextStream(service, completion)
        parts = stream.run(request, service.submit(prompt, stream.emit))
        # An error before the first part is an answer with its own status.
        return StreamingResponse(to_events(parts, await anext(parts)), media_type="text/event-stream")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model]}

    @app.get("/v1/models/{model_id:path}")
    async def one_model(model_id: str) -> dict[str, Any]:
        if model_id != name:
            raise APIError(404, f"there is no model {model_id!r}; accepted: {name}", "model_not_found", "model")
        return model

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> Response:
        status = 200 if service.is_ready else 503
        return JSONResponse({"status": "ready" if service.is_ready else "stopping"}, status)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    app.add_middleware(Gate, key=service.key, max_body_bytes=service.options.max_body_bytes, metrics=service.metrics)
    return app


def add_error_handlers(app: FastAPI) -> None:
    """Errors of every origin get OpenAI's format."""

    @app.exception_handler(APIError)
    async def known(_: Request, error: APIError) -> Response:
        return JSONResponse(error.content, error.status, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        param = ".".join(map(str, first["loc"][1:])) or None
        if first["type"] == "extra_forbidden":
            message = f"unknown field {param!r}; accepted: {', '.join(ChatRequest.model_fields)}"
        else:
            message = f"{param or 'the body'}: {first['msg'].removeprefix('Value error, ')}"
        known_error = APIError(400, message, param=param)
        return JSONResponse(known_error.content, known_error.status)

    @app.exception_handler(StarletteHTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        known_error = APIError(error.status_code, str(error.detail))
        return JSONResponse(known_error.content, error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    async def unknown(_: Request, error: Exception) -> Response:
        known_error = to_api_error(RuntimeError(error))
        return JSONResponse(known_error.content, known_error.status)
