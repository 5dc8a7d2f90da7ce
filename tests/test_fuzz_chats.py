"""Chats of any form: either a batch in which users wrote no control token, or an error that names the message."""

import io
import re
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from fuzzing import attempt, fuzzed, refused
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_checkpoint import tiny_processor

from unipose import UniPosePipeline, UniPoseProcessor


POSE = np.full((22, 3), 0.1)
IMAGE = Image.new("RGB", (20, 30), "red")
ROLES = ("system", "user", "assistant")
CONTROL = ["<|user|>", "<|assistant|>", "<|system|>", "<eos>", "<bos>", "<pad>", "<pose_start>", "<pose_end>"]
CONTROL += ["<pose_7>", "<pose_31>", "<pose_query>", "<image_start>", "<image_end>"]
PIECES = [
    *CONTROL,
    "<pose>",
    "<image>",
    "<",
    "|>",
    "pose_7>",
    "<<",
    "\U000f0000",
    "\U000f0001",
    "A person kneels.",
    " ",
]
PIECES += ["\n", "é", "人", "\x00", "🙂", "<|us", "er|>", "<pose_", "\u202e"]


@pytest.fixture(scope="module")
def processor() -> UniPoseProcessor:
    return tiny_processor()


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint: Any) -> UniPosePipeline:
    from transformers import pipeline

    return pipeline("unipose", model=str(tiny_checkpoint))


texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join).filter(str.strip)
junk = st.sampled_from([None, 3, 2.5, True, b"x", "", "tool", [], {}, ["a"], {"a": 1}, float("nan"), object()])
local = st.sampled_from(
    ["/etc/passwd", "pose.npy", "../a.png", "a" * 300, "file:///etc/passwd", "x\x00y", "C:\\a.png"]
)
addresses = st.sampled_from(["http://127.0.0.1:1/a.png", "HTTPS://[::1]/a", "http://", "http://x\ud800/"])
values = st.one_of(st.just(POSE), st.just(IMAGE), local, addresses, junk)
blocks = st.one_of(
    texts.map(lambda text: {"type": "text", "text": text}),
    st.just({"type": "pose", "pose": POSE}),
    st.just({"type": "image", "image": IMAGE}),
    st.just({"type": "image", "image": IMAGE, "text": None, "url": None}),
)
odd_blocks = st.one_of(
    junk,
    texts,
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("type", "text", "image", "url", "path", "base64", "pose", "frame", "x"), values)
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "image", "pose", "image_url"])},
        optional=dict.fromkeys(("text", "image", "url", "path", "base64", "pose", "image_url"), values),
    ),
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(ROLES), "content": texts | st.lists(blocks, min_size=1, max_size=3)}
)
odd_messages = st.one_of(
    junk,
    st.fixed_dictionaries({}, optional={"role": st.sampled_from(ROLES) | junk, "content": junk | texts, "name": junk}),
    st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": st.lists(blocks | odd_blocks, max_size=3)}),
)
chats = st.lists(messages, min_size=1, max_size=4)
odd_chats = st.one_of(junk, st.lists(messages | odd_messages, max_size=4))


def is_right(chat: Any) -> bool:
    """The schema once more, of the forms that are drawn here."""
    if not isinstance(chat, list) or not chat:
        return False
    for message in chat:
        if not isinstance(message, dict) or {key for key in message if message[key] is not None} != {
            "role",
            "content",
        }:
            return False
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if message["role"] not in ROLES or not isinstance(parts, list) or not all(map(is_right_part, parts)):
            return False
        if message["role"] == "user" and not "".join(part.get("text") or part["type"] for part in parts).strip():
            return False
    return True


def is_right_part(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    known = {key: value for key, value in part.items() if value is not None}
    kind = known.pop("type", None)
    if not isinstance(kind, str):
        return False
    if kind == "text":
        return list(known) == ["text"] and isinstance(known["text"], str)
    value = known.pop(kind, None)
    # Numbers from 0 to 1 are a grey image too.
    return not known and any(value is each for each in {"image": (IMAGE, POSE), "pose": (POSE,)}.get(kind, ()))


def control_ids(processor: UniPoseProcessor, ids: list[int]) -> Counter:
    names = {processor.tokenizer.convert_tokens_to_ids(token): token for token in CONTROL}
    return Counter(names[token] for token in ids if token in names)


def expected_controls(chat: list[dict]) -> Counter:
    kinds = [part["type"] for message in chat if isinstance(message["content"], list) for part in message["content"]]
    roles = Counter(message["role"] for message in chat)
    count = {f"<|{role}|>": number for role, number in roles.items()}
    count |= {"<bos>": 1, "<eos>": roles["assistant"]}
    for kind in ("pose", "image"):
        count |= {f"<{kind}_start>": kinds.count(kind), f"<{kind}_end>": kinds.count(kind)}
    return +Counter(count)


def tokenized(processor: UniPoseProcessor, chat: Any, **kwargs: Any) -> Any:
    return processor.apply_chat_template(chat, tokenize=True, return_dict=True, return_tensors="pt", **kwargs)


@fuzzed(80, 2500)
@given(chat=chats)
def test_users_write_no_control_tokens(processor: UniPoseProcessor, chat: list[dict]) -> None:
    batch = tokenized(processor, chat, sanitize_control_tokens=True)
    ids = batch["input_ids"][0].tolist()
    assert control_ids(processor, ids) == expected_controls(chat)
    rendered = processor.apply_chat_template(chat, sanitize_control_tokens=True)
    plain = rendered.replace("\U000f0001", "")
    assert processor.decode(ids).replace(" ", "") == plain.replace(" ", "")
    parts = [part for message in chat if isinstance(message["content"], list) for part in message["content"]]
    images, poses = ([part[kind] for part in parts if part["type"] == kind] for kind in ("image", "pose"))
    again = processor(rendered, images=images or None, poses=poses or None, add_special_tokens=False)
    assert again["input_ids"] == [ids], "a rendered prompt is as safe as its ids"
    assert ("pose_values" in batch, "pixel_values" in batch) == (bool(poses), bool(images))


@fuzzed(60, 2000)
@given(chat=chats)
def test_placeholders_in_texts_need_their_inputs(processor: UniPoseProcessor, chat: list[dict]) -> None:
    contents = [message["content"] for message in chat]
    typed = [c if isinstance(c, str) else "".join(part.get("text") or "\0" for part in c) for c in contents]
    dropped = [re.sub("[\U000f0000\U000f0001]", "", text) for text in typed]
    batch, error = attempt(lambda: tokenized(processor, chat))
    if error is None:
        assert not any("<pose>" in text or "<image>" in text for text in dropped)
        assert control_ids(processor, batch["input_ids"][0].tolist()) == expected_controls(chat)
    else:
        assert re.search(r"holds \d+ <(pose|image)>", error), error
        assert any("<pose>" in text or "<image>" in text for text in dropped)


@fuzzed(40, 800)
@given(chat=chats, other=chats)
def test_masks_and_rows_are_exact(processor: UniPoseProcessor, chat: list[dict], other: list[dict]) -> None:
    """A training row has the ids of the prompt; its mask holds what assistants say, and their eos."""
    row = processor.encode_chat(chat)
    batch = tokenized(processor, [chat, other], sanitize_control_tokens=True, return_assistant_tokens_mask=True)
    is_token = batch["attention_mask"][0].bool()
    assert batch["input_ids"][0][is_token].tolist() == row["input_ids"]
    assert torch.as_tensor(batch["assistant_masks"])[0][is_token].tolist() == row["assistant_masks"]
    said = processor.decode([token for token, mask in zip(row["input_ids"], row["assistant_masks"]) if mask])
    answers = [message for message in chat if message["role"] == "assistant"]
    rendered = processor.apply_chat_template(answers, sanitize_control_tokens=True) if answers else ""
    wanted = rendered.replace("\U000f0001", "").replace("<bos>", "", 1)
    if "<|assistant|>" not in "".join(str(message["content"]) for message in answers):
        assert said.replace(" ", "") == wanted.replace("<|assistant|>", "").replace(" ", "")


@fuzzed(350, 11000)
@given(chat=odd_chats)
def test_malformed_chats(processor: UniPoseProcessor, chat: Any) -> None:
    batch, error = attempt(lambda: tokenized(processor, chat, sanitize_control_tokens=True))
    assert (error is None) == is_right(chat), error
    if error is None:
        assert control_ids(processor, batch["input_ids"][0].tolist()) == expected_controls(chat)
    else:
        assert re.search(r"message \d|the chat (is|has)|chat \d|text 1 holds \d|the text holds \d", error), error


@fuzzed(30, 500)
@given(chat=odd_chats)
def test_malformed_chats_in_the_pipeline(pipe: UniPosePipeline, chat: Any) -> None:
    answer, error = attempt(lambda: pipe(chat, task="pose-to-text", max_new_tokens=2))
    assert error or chat == [] or set(answer) == {"text", "poses", "confidence"}


@fuzzed(60, 1200)
@given(
    kind=st.sampled_from(["image", "pose"]),
    key=st.sampled_from(["image", "pose", "url", "path", "base64"]),
    value=local | addresses | local.map(lambda path: {"path": path, "bytes": None}) | local.map(lambda path: [path]),
)
def test_nothing_is_read(processor: UniPoseProcessor, kind: str, key: str, value: Any) -> None:
    """Neither a file nor an address, by any key and in any wrapping."""

    opened: list[Any] = []

    def refuse(source: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(source, io.BytesIO):
            opened.append(source)
        raise OSError(f"read {source}")

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((socket, "getaddrinfo"), (socket.socket, "connect"), (Image, "open"), (np, "load")):
            patch.setattr(owner, name, refuse)
        chat = [{"role": "user", "content": [{"type": kind, key: value}]}]
        refused(lambda: tokenized(processor, chat), "message 1|^pose 1|^image 1")
    assert not opened, f"read {opened}"


@fuzzed(60, 1200)
@given(before=texts, code=st.integers(0xD800, 0xDFFF))
def test_lone_surrogates(processor: UniPoseProcessor, before: str, code: int) -> None:
    text = before + chr(code)
    message = rf"character {len(text)} is U\+{code:04X}, a lone surrogate"
    for content in (text, [{"type": "text", "text": text}]):
        chat = [{"role": "user", "content": content}]
        refused(lambda chat=chat: tokenized(processor, chat), f"message 1.*{message}")
    refused(lambda: processor(text), f"text 1: {message}")


def test_files_are_read_where_the_processor_may(tmp_path: Any) -> None:
    """The switch is an attribute of the object: no argument of a call, and nothing in a saved file, sets it."""
    path = tmp_path / "image.png"
    IMAGE.save(path)
    own, chat = tiny_processor(), [{"role": "user", "content": [{"type": "image", "url": str(path)}]}]
    for arguments in ({}, {"allow_local_files": True}, {"is_checked": True}):
        with pytest.raises(ValueError, match="is a local file"):
            tokenized(own, chat, **arguments)
    assert "<image_start>" in own.apply_chat_template(chat)
    own.allow_local_files = True
    assert "pixel_values" in tokenized(own, chat)
    own.save_pretrained(tmp_path / "saved")
    config = tmp_path / "saved" / "processor_config.json"
    assert "allow_local_files" not in config.read_text()
    config.write_text(config.read_text().replace("{", '{"allow_local_files": true, "allow_urls": true,', 1))
    with pytest.raises(ValueError, match="is a local file"):
        tokenized(UniPoseProcessor.from_pretrained(tmp_path / "saved"), chat)


def test_objects_are_messages(processor: UniPoseProcessor) -> None:
    @dataclass
    class Part:
        type: str
        text: str | None = None
        image: Any = None

    @dataclass
    class Message:
        role: str
        content: Any
        tool_calls: Any = None

    objects = [Message("user", [Part("text", "Who? "), Part("image", image=IMAGE)])]
    dicts = [{"role": "user", "content": [{"type": "text", "text": "Who? "}, {"type": "image", "image": IMAGE}]}]
    assert tokenized(processor, objects)["input_ids"].tolist() == tokenized(processor, dicts)["input_ids"].tolist()
    with pytest.raises(ValueError, match="message 1 has the role 'tool'"):
        tokenized(processor, [Message("tool", "a")])
