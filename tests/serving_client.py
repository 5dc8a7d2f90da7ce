"""A server in this process for tests, plain HTTP requests, and what they hold."""

import base64
import io
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import uvicorn
from PIL import Image

from unipose.processing.pose_features import pose_to_rotmats
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


class HeldPipe:
    """A pipeline whose batches wait until the test lets them go."""

    def __init__(self, pipe: Any):
        self.pipe, self.model, self.processor = pipe, pipe.model, pipe.processor
        self.started, self.go = threading.Semaphore(0), threading.Event()
        self.sizes: list[int] = []

    def __call__(self, **arguments: Any) -> Any:
        self.sizes.append(len(arguments["text"]))
        self.started.release()
        assert self.go.wait(60)
        return self.pipe(**arguments)


def message_of(reply: Reply) -> dict[str, Any]:
    assert reply.status == 200, reply.body
    return reply.body["choices"][0]["message"]


def error_of(reply: Reply) -> str:
    assert reply.body["error"].keys() == {"message", "type", "param", "code"}
    return reply.body["error"]["message"]


def rotmats_of(record: dict[str, Any]) -> np.ndarray:
    return pose_to_rotmats({**record, **{key: np.array(record[key]) for key in record if key != "frame"}}).numpy()


def data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def image_block(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def pose_block(pose: Any, **more: Any) -> dict[str, Any]:
    return {"type": "pose", "pose": pose, **more}


def text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
