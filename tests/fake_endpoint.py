"""An OpenAI-compatible endpoint on this machine with scripted answers; it records the requests."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


KEY = "sk-very-secret-7351"


@dataclass(frozen=True)
class Reply:
    """What comes back: `text` as a chat completion, or the bytes of `body`."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay: float = 0.0

    @property
    def content(self) -> bytes:
        completion = {"choices": [{"message": {"role": "assistant", "content": self.text}, "finish_reason": "stop"}]}
        return json.dumps(completion).encode() if self.body is None else self.body


@dataclass
class Endpoint:
    """The address, and each request's path, headers and body."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def texts(self) -> list[str]:
        """The last block of text of each request."""
        return [body["messages"][-1]["content"][-1]["text"] for body in self.requests]


@contextmanager
def serve(answer: Callable[[dict[str, Any], int], Reply]) -> Iterator[Endpoint]:
    """Serves `answer(body, number of the request)` until the block ends."""
    endpoint, lock, over = Endpoint(), threading.Lock(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                endpoint.requests.append(body)
                endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
                endpoint.paths.append(self.path)
                number = len(endpoint.requests)
            reply = answer(body, number)
            over.wait(reply.delay)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
