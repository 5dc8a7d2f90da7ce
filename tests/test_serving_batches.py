"""Requests that share batches: their answers are their own, and a bad one fails alone."""

import json
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from serving_client import HeldPipe, error_of, message_of, pose_block, rotmats_of, serving, wait_until
from transformers import pipeline


SENTENCES = ["A person kneels.", "A person squats.", "A person raises the left arm.", "Someone lunges forward."]


@pytest.fixture(scope="module")
def pipe() -> Any:
    return pipeline("unipose")


@pytest.fixture(scope="module")
def pose(pipe) -> np.ndarray:
    return pipe("A person squats.", task="text-to-pose")["poses"][0]


def ask_together(pipe: Any, contents: list[Any], fields: list[dict[str, Any]], **options: Any) -> Any:
    """Asks while a first request holds the batcher, so that the others share batches -> replies, sizes of batches."""
    held = HeldPipe(pipe)
    with serving(held, **options) as client, ThreadPoolExecutor(len(contents) + 1) as threads:
        first = threads.submit(client.chat, "A person stands.")
        assert held.started.acquire(timeout=60)
        replies = [threads.submit(client.chat, content, **more) for content, more in zip(contents, fields)]
        wait_until(lambda: client.count("waiting_requests") + sum(map(Future.done, replies)) == len(contents))
        held.go.set()
        assert first.result().status == 200
        return [reply.result() for reply in replies], held.sizes[1:], client


def test_batched_answers_are_those_of_the_pipeline(pipe) -> None:
    replies, sizes, client = ask_together(pipe, SENTENCES, [{}] * len(SENTENCES))
    assert sizes == [len(SENTENCES)]
    for sentence, reply in zip(SENTENCES, replies):
        expected = pipe(sentence, task="text-to-pose")["poses"][0]
        assert abs(rotmats_of(message_of(reply)["poses"][0]) - expected).max() < 1e-4
    assert client.count("batch_rows_count") == 2
    assert client.count("batch_rows_sum") == len(SENTENCES) + 1


def test_requests_of_other_frames_and_forms_share_a_batch(pipe) -> None:
    fields = [{}, {"output_frame": "y_up"}, {"output_frame": "camera", "pose_format": "rotmats"}]
    replies, sizes, _ = ask_together(pipe, [SENTENCES[0]] * 3, fields)
    expected = pipe(SENTENCES[0], task="text-to-pose")["poses"][0]
    assert sizes == [3]
    records = [message_of(reply)["poses"][0] for reply in replies]
    assert [record["frame"] for record in records] == ["z_up", "y_up", "camera"]
    assert ["rotmats" in record for record in records] == [False, False, True]
    assert max(abs(rotmats_of(record) - expected).max() for record in records) < 1e-4


def test_requests_of_other_arguments_have_batches_of_their_own(pipe, pose) -> None:
    block = [pose_block(pose.tolist())]
    contents = [*SENTENCES[:2], block, block, SENTENCES[0]]
    fields: list[dict[str, Any]] = [{}, {}, {}, {"max_tokens": 7}, {"temperature": 0.5, "seed": 1}]
    replies, sizes, _ = ask_together(pipe, contents, fields)
    assert sorted(sizes) == [1, 1, 1, 2]
    assert message_of(replies[2])["content"] == pipe(poses=pose, task="pose-to-text")["text"]


def test_a_bad_request_does_not_fail_its_neighbors(pipe) -> None:
    contents = [SENTENCES[0], "A " * 1500, *SENTENCES[1:]]
    replies, _, client = ask_together(pipe, contents, [{}] * len(contents))
    assert [reply.status for reply in replies] == [200, 400, 200, 200, 200]
    assert "positions (max_position_embeddings)" in error_of(replies[1])
    assert client.count("batch_retries_total") >= 2
    for sentence, reply in zip([SENTENCES[0], *SENTENCES[1:]], [replies[0], *replies[2:]]):
        expected = pipe(sentence, task="text-to-pose")["poses"][0]
        assert abs(rotmats_of(message_of(reply)["poses"][0]) - expected).max() < 1e-4


def test_overload_is_refused_and_nothing_is_lost(pipe) -> None:
    replies, _, client = ask_together(pipe, ["A person kneels."] * 12, [{}] * 12, queue_size=3, max_batch_size=2)
    statuses = [reply.status for reply in replies]
    assert statuses.count(200) == 3
    assert statuses.count(429) == 9
    assert all(int(reply.headers["Retry-After"]) >= 1 for reply in replies if reply.status == 429)
    assert client.count("requests_total", path="/v1/chat/completions", status="429") == 9
    assert client.count("requests_total", path="/v1/chat/completions", status="200") == 4


def test_a_client_that_leaves_is_dropped(pipe) -> None:
    """In the queue, and while its answer is computed: generation stops."""
    held = HeldPipe(pipe)
    body = json.dumps({"messages": [{"role": "user", "content": "A person kneels."}]}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
    with serving(held) as client:
        for number in (1, 2):
            connection = socket.create_connection(("127.0.0.1", client.port))
            connection.sendall(head + str(len(body)).encode() + b"\r\n\r\n" + body)
            if number == 1:
                assert held.started.acquire(timeout=60)
            else:
                wait_until(lambda: client.count("waiting_requests") == 1)
            connection.close()
            wait_until(lambda number=number: client.count("dropped_requests_total") == number)
        assert client.count("waiting_requests") == 0
        held.go.set()
        wait_until(lambda: client.count("batch_rows_count") == 1)
        assert held.sizes == [1]
        assert client.count("tokens_total", kind="answer") == 0
        assert client.chat("A person kneels.").status == 200
