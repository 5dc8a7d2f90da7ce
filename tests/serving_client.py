"""A server in this process for tests, and plain HTTP requests."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import uvicorn

from unipose.serving.app import Service, build_app
from unipose.serving.options import ServingOptions


class Reply(NamedTuple):
    status: int
    headers: Any
    body: Any


class Client(NamedTuple):
    """Asks a server."""

    port: int
    service: Service
    server: uvicorn.Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, body: Any = None, key: str | None = None) -> Reply:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as answer:
                status, found, content = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, found, content = error.code, error.headers, error.read()
        is_json = found.get_content_type() == "application/json"
        return Reply(status, found, json.loads(content) if is_json else content.decode())

    def chat(self, content: Any, **fields: Any) -> Reply:
        messages = [{"role": "user", "content": content}]
        return self.get("/v1/chat/completions", {"messages": messages, **fields})

    def count(self, name: str, **labels: str) -> float:
        return self.service.metrics.registry.get_sample_value(f"unipose_{name}", labels) or 0.0


@contextmanager
def serving(pipe: Any, key: str | None = None, **options: Any) -> Iterator[Client]:
    """Serves a pipeline until the block ends."""
    service = Service(pipe, ServingOptions(**{"timeout": 600.0, **options}), key)
    server = uvicorn.Server(uvicorn.Config(build_app(service), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.01)
    try:
        yield Client(server.servers[0].sockets[0].getsockname()[1], service, server)
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()
