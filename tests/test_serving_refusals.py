"""What the server refuses, and what it says."""

import socket
from typing import Any

import pytest
from serving_client import Client, error_of, image_block, pose_block, serving
from transformers import pipeline


@pytest.fixture(scope="module")
def pipe() -> Any:
    return pipeline("unipose")


@pytest.fixture(scope="module")
def client(pipe):
    with serving(pipe) as running:
        yield running


BAD_CONTENTS: dict[str, tuple[Any, str]] = {
    "pose_url": ([{"type": "pose_url", "pose_url": "http://127.0.0.1/x.npz"}], "has the type 'pose_url'"),
    "address": ([image_block("http://127.0.0.1:1/x.png")], "image_url must be a data: URL"),
    "file": ([image_block("file:///etc/passwd")], "image_url must be a data: URL"),
    "path": ([{"type": "image", "path": "/etc/passwd"}], "is a local file, which a chat does not read"),
    "no image": ([image_block("data:image/png;base64,AAAA")], "message 1, part 1: cannot identify image file"),
    "no base64": ([image_block("data:image/png,abc")], "a data: URI without base64"),
    "pose path": ([pose_block("/etc/passwd")], "is a local file, which a chat does not read"),
    "path in a pose": ([pose_block({"poses": "/etc/passwd"})], "expected numbers, got str"),
    "short pose": ([pose_block([[0.1, 0.2]])], "message 1, part 1: no pose has the shape (1, 2)"),
    "degrees": ([pose_block([[90.0, 0, 0]] * 22)], "Is it in degrees?"),
    "NaN": ([pose_block([[float("nan"), 0, 0]] * 22)], "NaN"),
    "frame": ([pose_block([[0.1, 0, 0]] * 22, frame="sideways")], "sideways"),
    "no pose": ([{"type": "pose"}], "the pose is missing"),
    "empty": ("  ", "message 1 is empty"),
    "number": (5, "has a content of type int"),
    "surrogate": ("A person sits.\ud83d", "a lone surrogate"),
    "poses": ([pose_block([[0.1, 0, 0]] * 22)] * 17, "17 poses; accepted: at most 16"),
    "text": ("a" * 4001, "4001 characters of text; accepted: at most 4000"),
}


@pytest.mark.parametrize("name", BAD_CONTENTS)
def test_bad_content_is_refused(client: Client, name: str) -> None:
    content, expected = BAD_CONTENTS[name]
    reply = client.chat(content)
    assert reply.status == 400
    assert expected in error_of(reply)


BAD_FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "temperature": ({"temperature": 3}, "temperature: Input should be less than or equal to 2"),
    "string": ({"temperature": "1"}, "temperature: Input should be a valid number"),
    "unknown": ({"tools": []}, "unknown field 'tools'; accepted: messages, model, task"),
    "task": ({"task": "text-to-dance"}, "unknown task 'text-to-dance'; accepted: pose-to-text"),
    "task inputs": ({"task": "pose-to-text"}, "task 'pose-to-text' takes 1 poses per row, got 0"),
    "n": ({"n": 100}, "100 answers (n); accepted: at most 8"),
    "length": ({"max_tokens": 100_000}, "100000 max_tokens; accepted: at most 512"),
    "both": ({"n": 2, "best_of": 2}, "best_of gives one answer a row"),
    "frame": ({"frame": "sideways"}, "frame: Input should be 'z_up'"),
}


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_bad_fields_are_refused(client: Client, name: str) -> None:
    fields, expected = BAD_FIELDS[name]
    reply = client.chat("A person kneels.", **fields)
    assert reply.status == 400
    assert expected in error_of(reply)


def test_the_assistant_cannot_have_the_last_word(client: Client) -> None:
    turns = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    assert "end the chat with the user's" in error_of(client.get("/v1/chat/completions", {"messages": turns}))
    assert "has no messages" in error_of(client.get("/v1/chat/completions", {"messages": []}))


@pytest.mark.parametrize("body", [b"{", b"[]", b"5", b"[" * 5000, b"\xff"], ids=repr)
def test_a_body_that_is_no_request_is_refused(client: Client, body: bytes) -> None:
    reply = client.get("/v1/chat/completions", body)
    assert reply.status == 400
    assert error_of(reply)


def test_other_models_and_paths_are_not_found(client: Client) -> None:
    assert client.chat("A person kneels.", model="gpt").status == 404
    assert client.get("/v1/nothing").status == 404
    assert client.get("/v1/models/unipose").body["id"] == "unipose"
    assert "accepted: unipose" in error_of(client.get("/v1/models/gpt"))


def test_a_long_body_is_refused_by_its_header_and_by_its_length(pipe) -> None:
    with serving(pipe, max_body_bytes=1000) as client:
        reply = client.chat("a" * 1000)
        assert reply.status == 413
        assert "accepted: at most 1000" in error_of(reply)
        chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", client.port)) as connection:
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3)
            assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_the_key(pipe) -> None:
    with serving(pipe, key="sesame") as client:
        for key in (None, "sesam", "sesame2", "é"):
            reply = client.get("/v1/models", key=key) if key != "é" else client.get("/v1/models")
            assert reply.status == 401
            assert "Authorization: Bearer" in error_of(reply)
        assert client.get("/v1/models", key="sesame").status == 200
        assert client.get("/metrics").status == 401
        assert client.get("/health").status == client.get("/ready").status == 200
