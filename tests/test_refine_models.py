"""Chat models: requests to an endpoint and their repetition; a local pipeline answers the same messages."""

import base64
import io
import logging
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_endpoint import KEY, Reply, serve
from PIL import Image
from tiny_tokenizer import tiny_tokenizer
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from unipose.training.refine.chat_models import ChatError, OpenAIChatModel, PipelineChatModel
from unipose.training.refine.prompts import refine_messages, retry_messages


pytestmark = pytest.mark.usefixtures("endpoint_key")

CAPTION = "A person squats."


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client waits between requests, which no test waits."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def make_image(color: str = "red", form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), color).save(stream, form)
    return stream.getvalue()


def model_at(url: str, attempts: int = 3, **options) -> OpenAIChatModel:
    return OpenAIChatModel(url, "fake", attempts=attempts, **options)


def in_turn(*replies: Reply) -> Callable[[dict, int], Reply]:
    return lambda _, number: replies[min(number, len(replies)) - 1]


def test_a_request_holds_the_caption_and_the_image() -> None:
    with serve(in_turn(Reply("The person squats."))) as endpoint:
        answer = model_at(f"{endpoint.url}/").answer(refine_messages("caption", CAPTION, [make_image()]))
    assert answer == "The person squats."
    assert endpoint.paths == ["/v1/chat/completions"]
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"
    (body,) = endpoint.requests
    assert body["model"] == "fake"
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    about, image, text = body["messages"][-1]["content"]
    assert text == {"type": "text", "text": f"Text: {CAPTION}"}
    start, _, data = image["image_url"]["url"].partition(",")
    assert start == "data:image/png;base64"
    assert base64.b64decode(data) == make_image()
    assert "image" in about["text"]


def test_messages_of_a_difference() -> None:
    images = [make_image("red"), make_image("blue", "JPEG")]
    content = refine_messages("difference", "Raise the left hand.", images)[-1]["content"]
    assert [block["type"] for block in content] == ["text", "image_url", "text", "image_url", "text"]
    assert "first pose" in content[0]["text"]
    assert "second pose" in content[2]["text"]
    assert content[3]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert [block["type"] for block in refine_messages("difference", "Raise it.")[-1]["content"]] == ["text"]


@pytest.mark.parametrize(
    ("text", "images", "message"),
    [
        (" ", [], "no text"),
        (CAPTION, [make_image(), make_image()], "got 2 images for a caption; expected none or 1"),
        (CAPTION, [b"GIF89a, almost"], "image 1: it cannot be read"),
        (CAPTION, [make_image()[:40]], "image 1: it cannot be read"),
    ],
)
def test_messages_of_bad_input(text: str, images: list[bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        refine_messages("caption", text, images)


def test_a_retry_continues_the_chat() -> None:
    messages = refine_messages("caption", CAPTION)
    again = retry_messages(messages, "He stands.", ["It speaks of who it is ('he')."])
    assert again[: len(messages)] == messages
    assert [message["role"] for message in again[-2:]] == ["assistant", "user"]
    assert "- It speaks of who it is ('he')." in again[-1]["content"][0]["text"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_repeats_a_request_when_the_endpoint_is_busy(status: int, waits: list[float]) -> None:
    with serve(in_turn(Reply(status=status), Reply(status=status), Reply("Yes."))) as endpoint:
        assert model_at(endpoint.url).answer(refine_messages("caption", CAPTION)) == "Yes."
    assert len(endpoint.requests) == 3
    assert 0.0 <= waits[0] <= 1.0
    assert 0.0 <= waits[1] <= 2.0


def test_waits_as_long_as_the_endpoint_says(waits: list[float]) -> None:
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=60), usegmt=True)
    busy = [Reply(status=429, headers={"Retry-After": value}) for value in ("7", date, "soon")]
    with serve(in_turn(*busy, Reply("Yes."))) as endpoint:
        assert model_at(endpoint.url, attempts=4).answer([]) == "Yes."
    assert waits[0] == 7.0
    assert 50.0 < waits[1] <= 60.0
    assert waits[2] <= 4.0


def test_gives_up_when_the_wait_is_too_long(waits: list[float]) -> None:
    with (
        serve(in_turn(Reply(status=429, headers={"Retry-After": "3600"}, body=b"come back later"))) as endpoint,
        pytest.raises(ChatError, match="status 429: come back later"),
    ):
        model_at(endpoint.url).answer([])
    assert len(endpoint.requests) == 1
    assert waits == []


@pytest.mark.parametrize(
    "body",
    [b"<html>oops</html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}', b"[1]"],
)
def test_repeats_a_request_without_a_usable_answer(body: bytes) -> None:
    with serve(in_turn(Reply(body=body), Reply("Yes."))) as endpoint:
        assert model_at(endpoint.url).answer([]) == "Yes."
    with (
        serve(in_turn(Reply(body=body))) as endpoint,
        pytest.raises(ChatError, match="neither a chat completion nor text in it"),
    ):
        model_at(endpoint.url).answer([])
    assert len(endpoint.requests) == 3


def test_repeats_a_request_after_silence() -> None:
    with serve(in_turn(Reply(delay=30.0), Reply("Yes."))) as endpoint:
        assert model_at(endpoint.url, timeout=0.3).answer([]) == "Yes."
    assert len(endpoint.requests) == 2
    with pytest.raises(ChatError, match="ConnectError"):
        model_at(endpoint.url).answer([])


def test_a_wrong_request_is_not_repeated() -> None:
    with (
        serve(in_turn(Reply(status=404, body=b"no such model"))) as endpoint,
        pytest.raises(ChatError, match="status 404: no such model"),
    ):
        model_at(endpoint.url).answer([])
    assert len(endpoint.requests) == 1


def test_the_key_stays_hidden(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    with serve(in_turn(Reply(status=401, body=f"invalid key {KEY}".encode()))) as endpoint:
        model = model_at(endpoint.url)
        with pytest.raises(ChatError) as caught:
            model.answer(refine_messages("caption", CAPTION))
    assert "invalid key ***" in str(caught.value)
    assert caught.value.__cause__ is None
    printed = capsys.readouterr()
    assert KEY not in f"{model!r} {caught.value!r} {caplog.text} {printed.out} {printed.err} {endpoint.requests}"


def test_no_key_no_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with serve(in_turn(Reply("Yes."))) as endpoint:
        model_at(endpoint.url).answer([])
    assert "authorization" not in endpoint.headers[0]


@pytest.mark.parametrize(
    "url", ["localhost:8000/v1", "http://me:secret@localhost/v1", "http://localhost/v1?key=secret"]
)
def test_bad_addresses(url: str) -> None:
    with pytest.raises(ValueError, match="plain http or https address") as caught:
        model_at(url)
    assert "secret" not in str(caught.value)


TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for block in message['content'] %}{{ '<image>' if block['type'] == 'image' else block['text'] }}"
    "{% endfor %}{% endif %}\n{% endfor %}assistant:"
)
SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}


def test_a_local_text_model(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(8)
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **SIZES)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = PipelineChatModel(str(tmp_path), "text-generation", max_tokens=12)
    messages = refine_messages("caption", CAPTION)
    answer = model.answer(messages)
    assert answer
    assert model.answer(messages) == answer
    assert "assistant:" not in answer
    with pytest.raises(ChatError, match="takes no images"):
        model.answer(refine_messages("caption", CAPTION, [make_image()]))


def test_a_local_model_sees_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pixels reach the model, and change the first token's logits; the answer may be the same."""
    tokenizer = tiny_tokenizer(8)
    tokenizer.chat_template = TEMPLATE
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    torch.manual_seed(0)
    config = LlavaConfig(
        text_config=LlamaConfig(vocab_size=len(tokenizer), initializer_range=0.5, **SIZES),
        vision_config=CLIPVisionConfig(image_size=16, patch_size=8, initializer_range=0.5, **SIZES),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    LlavaForConditionalGeneration(config).save_pretrained(tmp_path)
    image_processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    LlavaProcessor(
        image_processor,
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    ).save_pretrained(tmp_path)
    model = PipelineChatModel(str(tmp_path), max_tokens=12)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    generate = LlavaForConditionalGeneration.generate

    def note(self: LlavaForConditionalGeneration, **inputs: Any) -> torch.Tensor:
        prompt = {name: inputs[name] for name in ("input_ids", "attention_mask", "pixel_values")}
        seen.append((inputs["pixel_values"], self(**prompt).logits[:, -1]))
        return generate(self, **inputs)

    monkeypatch.setattr(LlavaForConditionalGeneration, "generate", note)
    images = [make_image(color) for color in ("red", "blue")]
    assert all(model.answer(refine_messages("caption", CAPTION, [image])) for image in images)
    (red, red_logits), (blue, blue_logits) = seen
    expected = image_processor([Image.open(io.BytesIO(image)) for image in images], return_tensors="pt").pixel_values
    torch.testing.assert_close(torch.cat([red, blue]), expected)
    assert not torch.allclose(red, blue)
    assert not torch.allclose(red_logits, blue_logits)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ImportError, match=r"pip install 'unipose\[refine\]'"):
        model_at("http://127.0.0.1:9/v1")
