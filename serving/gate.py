"""What every HTTP request passes first: the key, the limit of its body, and the count of answers."""

import hmac
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from .errors import APIError
from .metrics import Metrics


Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Reachable without a key: they tell nothing but that the server runs.
OPEN_PATHS = ("/health", "/ready")
CHAT_PATH = "/v1/chat/completions"
KNOWN_PATHS = (CHAT_PATH, "/v1/models", "/metrics", *OPEN_PATHS)


class Gate:
    """An ASGI application around the server's.

    Args:
        app: The server's.
        key: The key that clients must send; None: no key is needed.
        max_body_bytes: Largest accepted body.
        metrics: Where answers are counted.
    """

    def __init__(self, app: Any, key: str | None, max_body_bytes: int, metrics: Metrics):
        self.app, self.key, self.max_body_bytes, self.metrics = app, key, max_body_bytes, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.monotonic()
        path = scope["path"] if scope["path"] in KNOWN_PATHS else "other"

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.requests.labels(path, message["status"]).inc()
            await send(message)

        headers = Headers(scope=scope)
        try:
            self.check_key(scope["path"], headers)
            self.check_length(headers.get("content-length"))
        except APIError as error:
            response = JSONResponse(error.content, error.status, headers={**error.headers, "Connection": "close"})
            await response(scope, receive, count)
            return
        await self.app(scope, self.limited(receive), count)
        if path == CHAT_PATH:
            self.metrics.request_seconds.observe(time.monotonic() - start)

    def check_key(self, path: str, headers: Headers) -> None:
        """Checks the key of a request.

        Args:
            path: Its path.
            headers: Its headers.

        Raises:
            APIError: It has no key, or another one.
        """
        if self.key is None or path in OPEN_PATHS:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.key.encode()):
            raise APIError(
                401,
                "wrong or missing key; expected the header Authorization: Bearer KEY",
                "invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def check_length(self, length: str | int | None) -> None:
        """Checks the length of a body.

        Args:
            length: Its bytes, as a header states them or as they were counted; None: not stated.

        Raises:
            APIError: It is too long.
        """
        if length is not None and int(length) > self.max_body_bytes:
            raise APIError(
                413, f"the body has {length} bytes; accepted: at most {self.max_body_bytes}", "body_too_large"
            )

    def limited(self, receive: Receive) -> Receive:
        """`receive` that stops a body which is longer than it may be, whatever its header states."""
        total = 0

        async def counted() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            try:
                self.check_length(total)
            except APIError as error:
                # FastAPI takes any other exception for a body that is not JSON.
                raise HTTPException(error.status, error.message) from error
            return message

        return counted
