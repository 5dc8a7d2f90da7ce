"""`unipose serve`: chats with poses over HTTP, answered as the pipeline answers them; streams; samples of the page."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roma
import torch
from serving_client import (
    Client,
    Reply,
    data_url,
    error_of,
    image_block,
    message_of,
    pose_block,
    rotmats_of,
    serving,
    text_block,
)
from transformers import pipeline

from unipose.processing.rendering import render_pose


CLOSE = 2e-5  # radians: numbers of answers are rounded
PAGE = (Path(__file__).parents[1] / "docs" / "serving.md").read_text(encoding="utf-8")
SAMPLE = re.compile(r"<!-- not run: tests/test_serving.py.*? -->\n```(\w+)\n(.*?)```", re.DOTALL)


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
