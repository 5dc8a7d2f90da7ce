"""`unipose serve`: chats with poses over HTTP, answered as the pipeline answers them."""

import base64
import io
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roma
import torch
from PIL import Image
from serving_client import Client, Reply, serving
from transformers import pipeline

from unipose.processing.pose_features import pose_to_rotmats
from unipose.processing.rendering import render_pose
from unipose.serving.options import ServingOptions


ROOT = Path(__file__).parents[1]
SENTENCES = ["A person kneels.", "A person squats.", "A person raises the left arm.", "Someone lunges forward."]
CLOSE = 2e-5  # radians: numbers of answers are rounded


@pytest.fixture(scope="module")
def pipe() -> Any:
    return pipeline("unipose")


@pytest.fixture(scope="module")
def pose(pipe) -> np.ndarray:
    return pipe("A person squats.", task="text-to-pose")["poses"][0]


@pytest.fixture(scope="module")
def client(pipe):
    with serving(pipe) as running:
        yield running


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


# Answers are those of the pipeline.


def test_a_sentence_gives_the_pose_of_the_pipeline(client: Client, pipe) -> None:
    message = message_of(client.chat("A person kneels."))
    expected = pipe("A person kneels.", task="text-to-pose")
    assert message["content"] == ""
    assert message["confidence"] == pytest.approx(expected["confidence"], abs=1e-4)
    assert abs(rotmats_of(message["poses"][0]) - expected["poses"][0]).max() < CLOSE


@pytest.mark.parametrize("form", ["rotmats", "rotvecs", "flat", "rotation_6d", "dict", "y_up"])
def test_poses_of_every_form_are_described_alike(client: Client, pipe, pose, form: str) -> None:
    rotvecs = roma.rotmat_to_rotvec(torch.from_numpy(pose)).numpy()
    frame = {}
    if form == "y_up":
        turned = pipe.processor.to_frame(torch.from_numpy(pose), "y_up")
        rotvecs, frame = roma.rotmat_to_rotvec(turned).numpy(), {"frame": "y_up"}
    given = {
        "rotmats": pose,
        "rotation_6d": pose[:, :2].reshape(22, 6),
        "flat": rotvecs.reshape(-1),
    }.get(form, rotvecs).tolist()
    if form == "dict":
        given = {"global_orient": rotvecs[0].tolist(), "body_pose": rotvecs[1:].reshape(-1).tolist()}
    message = message_of(client.chat([pose_block(given, **frame)]))
    expected = pipe(poses=pose, task="pose-to-text")
    assert message["content"] == expected["text"]
    assert message["poses"] == []


def test_text_before_or_after_the_pose_is_the_same(client: Client, pipe, pose) -> None:
    question = text_block("Is the person sitting?")
    block = pose_block(pose.tolist())
    answers = [message_of(client.chat(content)) for content in ([question, block], [block, question])]
    assert answers[0] == answers[1]
    assert answers[0]["content"] == pipe("Is the person sitting?", poses=pose)["text"]


def test_an_image_is_estimated_and_described(client: Client, pipe, pose) -> None:
    image = render_pose(pose, size=160)
    estimate = message_of(client.chat([image_block(data_url(image))], task="image-to-pose", pose_format="rotmats"))
    expected = pipe(images=image, task="image-to-pose")["poses"][0]
    assert abs(np.array(estimate["poses"][0]["rotmats"]) - expected).max() < 1e-5
    described = message_of(client.chat([image_block(data_url(image))]))
    assert described["content"] == pipe(images=image, task="image-to-text")["text"]


def test_frames_go_in_and_out(client: Client, pose, pipe) -> None:
    fields = {"frame": "y_up", "output_frame": "camera", "pose_format": "rotmats", "task": "pose-edit"}
    turned = pipe.processor.to_frame(torch.from_numpy(pose), "y_up").tolist()
    record = message_of(client.chat([pose_block(turned), text_block("Raise the left arm.")], **fields))["poses"][0]
    expected = pipe("Raise the left arm.", poses=pose, task="pose-edit", output_frame="camera")["poses"][0]
    assert record["frame"] == "camera"
    assert abs(np.array(record["rotmats"]) - expected).max() < 1e-4


def test_a_conversation_goes_on_with_the_poses_of_its_answers(client: Client) -> None:
    first = message_of(client.chat("A person kneels."))
    turns = [
        {"role": "user", "content": "A person kneels."},
        first,
        {"role": "user", "content": "Raise the left arm."},
    ]
    edited = message_of(client.get("/v1/chat/completions", {"messages": turns}))
    (before,), (after,) = first["poses"], edited["poses"]
    moved = abs(rotmats_of(after) - rotmats_of(before)).max(axis=(1, 2))
    assert moved[16] > 0.3  # the left shoulder
    assert moved[[1, 2, 4, 5]].max() < 0.2


def test_several_answers_and_the_best_of_several(client: Client) -> None:
    reply = client.chat("A person kneels.", n=3, seed=1)
    assert [choice["index"] for choice in reply.body["choices"]] == [0, 1, 2]
    assert client.chat("A person kneels.", n=3, seed=1).body["choices"] == reply.body["choices"]
    assert client.chat("A person kneels.", n=3, seed=2).body["choices"] != reply.body["choices"]
    assert len(client.chat("A person kneels.", best_of=2, seed=1).body["choices"]) == 1


def test_usage_and_the_reason_of_the_end(client: Client, pipe, pose) -> None:
    whole = client.chat([pose_block(pose.tolist())]).body
    cut = client.chat([pose_block(pose.tolist())], max_tokens=5).body
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] == 5
    assert cut["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"] > pipe.model.config.num_pose_tokens
    assert whole["choices"][0]["message"]["content"].startswith(cut["choices"][0]["message"]["content"])
    (pose_answer,) = client.chat("A person kneels.").body["choices"]
    assert pose_answer["finish_reason"] == "stop"


# Streams.


def events_of(reply: Reply) -> list[dict[str, Any]]:
    assert reply.headers.get_content_type() == "text/event-stream"
    *events, end, last = reply.body.split("\n\n")
    assert (end, last) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


@pytest.mark.parametrize("asked", ["pose", "sentence", "image", "several"])
def test_a_stream_says_what_the_whole_answer_says(client: Client, pose, asked: str) -> None:
    content: Any = {
        "pose": [pose_block(pose.tolist())],
        "several": [pose_block(pose.tolist())],
        "sentence": "A person kneels.",
        "image": [image_block(data_url(render_pose(pose, size=160)))],
    }[asked]
    fields = {"n": 2, "seed": 3} if asked == "several" else {}
    whole = client.chat(content, **fields).body
    events = events_of(client.chat(content, stream=True, stream_options={"include_usage": True}, **fields))
    assert events.pop()["usage"] == whole["usage"]
    for choice in whole["choices"]:
        parts = [part["choices"][0] for part in events if part["choices"][0]["index"] == choice["index"]]
        deltas = [part["delta"] for part in parts]
        assert "".join(delta.get("content", "") for delta in deltas) == choice["message"]["content"]
        assert deltas[0]["role"] == "assistant"
        (poses,) = [delta["poses"] for delta in deltas if "poses" in delta]
        assert poses == choice["message"]["poses"]
        assert [part["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + ["stop"]
        if asked == "pose":
            assert len(parts) > 10


def test_an_error_before_the_stream_has_its_own_status(client: Client) -> None:
    reply = client.chat("A person kneels.", stream=True, max_tokens=3)
    assert reply.status == 400
    assert "a pose takes" in error_of(reply)


# Batches.


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


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_time_limit(pipe) -> None:
    held = HeldPipe(pipe)
    with serving(held, timeout=0.3) as client:
        reply = client.chat("A person kneels.")
        assert reply.status == 504
        assert error_of(reply) == "no answer within 0.3 seconds"
        held.go.set()


# What is refused.


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


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="port must be from 0 to 65535, got 70000"):
        ServingOptions(port=70_000)
    with pytest.raises(ValueError, match="max_batch_size must be above 0, got 0"):
        ServingOptions(max_batch_size=0)
    assert not ServingOptions(host="0.0.0.0").is_local
    assert ServingOptions(host="::1").is_local


# Operation.


def test_metrics_count(pipe) -> None:
    with serving(pipe) as client:
        client.chat("A person kneels.")
        client.chat("A person kneels.", n=0)
        text = client.get("/metrics").body
    assert 'unipose_requests_total{path="/v1/chat/completions",status="200"} 1.0' in text
    assert 'unipose_requests_total{path="/v1/chat/completions",status="400"} 1.0' in text
    assert "unipose_poses_total 1.0" in text
    assert 'unipose_tokens_total{kind="answer"} 25.0' in text
    assert "unipose_request_seconds_count 2.0" in text


@pytest.mark.slow
def test_a_stopping_server_answers_what_it_has_accepted(tmp_path: Path) -> None:
    """The command itself: SIGTERM among twelve requests."""
    command = [sys.executable, "-m", "unipose.serving.serve", "--port", "0", "--max_batch_size", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(re.findall(r":(\d+)/v1", process.stdout.readline())[0])
            client = Client(port, None, None)  # type: ignore[arg-type]
            with ThreadPoolExecutor(12) as threads:
                replies = [threads.submit(client.chat, "A person kneels.") for _ in range(12)]
                wait_until(lambda: "unipose_waiting_requests 0.0" not in client.get("/metrics").body)
                wait_until(lambda: client.get("/metrics").body.count("unipose_batch_rows_count 0.0") == 0)
                process.send_signal(signal.SIGTERM)
                statuses = {reply.result().status for reply in replies}
            assert statuses == {200}
            assert process.wait(60) == 0
            with pytest.raises(OSError, match="refused"):
                client.get("/health")
        finally:
            process.kill()


def test_a_stopping_server_is_not_ready(pipe) -> None:
    with serving(pipe) as client:
        assert client.get("/ready").status == 200
        client.service.close()
        assert client.get("/ready").status == 503
        reply = client.chat("A person kneels.")
        assert reply.status == 503
        assert "stopping" in error_of(reply)


# The samples of the page.

PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
SAMPLE = re.compile(r"<!-- not run: tests/test_serving.py.*? -->\n```(\w+)\n(.*?)```", re.DOTALL)


def test_samples_of_the_page_run(client: Client, capfd: pytest.CaptureFixture) -> None:
    names: dict[str, Any] = {}
    kinds = set()
    for kind, text in SAMPLE.findall(PAGE):
        kinds.add(kind)
        text = text.replace("http://127.0.0.1:8000", client.url)
        if kind == "python":
            exec(compile(text, "docs/serving.md", "exec"), names)
            continue
        for line in text.splitlines():
            done = subprocess.run([*shlex.split(line), "--silent", "--noproxy", "*"], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["object"] in ("chat.completion", "list")
    assert kinds == {"python", "bash"}
    assert "kneeling" in capfd.readouterr().out
