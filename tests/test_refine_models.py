"""Chat models: what an endpoint is sent, when it is asked again; a local pipeline answers the same messages."""

import base64
import io
import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest
import torch
from fake_endpoint import Reply, serve
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

from unipose.training.refine.chat_models import ChatError, OpenAIChatModel, PipelineChatModel, Retry
from unipose.training.refine.prompts import ask_again, refine_messages


KEY = "sk-very-secret-7351"
CAPTION = "A person squats."


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def picture(colour: str = "red", form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(stream, form)
    return stream.getvalue()


def model_at(url: str, waits: list[float] | None = None, attempts: int = 3, **options) -> OpenAIChatModel:
    sleep: Callable[[float], None] = [].append if waits is None else waits.append
    return OpenAIChatModel(url, "fake", retry=Retry(attempts=attempts), sleep=sleep, **options)


def in_turn(*replies: Reply) -> Callable[[dict, int], Reply]:
    return lambda _, number: replies[min(number, len(replies)) - 1]


def test_a_request_holds_the_caption_and_the_picture() -> None:
    with serve(in_turn(Reply("The person squats."))) as endpoint:
        answer = model_at(f"{endpoint.url}/").answer(refine_messages("caption", CAPTION, [picture()]))
    assert answer == "The person squats."
    assert endpoint.paths == ["/v1/chat/completions"]
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"
    (body,) = endpoint.asked
    assert body["model"] == "fake"
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    about, shown, text = body["messages"][-1]["content"]
    assert text == {"type": "text", "text": f"Text: {CAPTION}"}
    start, _, data = shown["image_url"]["url"].partition(",")
    assert start == "data:image/png;base64"
    assert base64.b64decode(data) == picture()
    assert "picture" in about["text"]


def test_messages_of_a_difference() -> None:
    pictures = [picture("red"), picture("blue", "JPEG")]
    content = refine_messages("difference", "Raise the left hand.", pictures)[-1]["content"]
    assert [block["type"] for block in content] == ["text", "image_url", "text", "image_url", "text"]
    assert "first pose" in content[0]["text"]
    assert "second pose" in content[2]["text"]
    assert content[3]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert [block["type"] for block in refine_messages("difference", "Raise it.")[-1]["content"]] == ["text"]


@pytest.mark.parametrize(
    ("text", "pictures", "message"),
    [
        (" ", [], "no text"),
        (CAPTION, [picture(), picture()], "no picture or with 1; found 2"),
        (CAPTION, [b"GIF89a, almost"], "picture 1: not a picture"),
        (CAPTION, [picture()[:40]], "picture 1: not a picture"),
    ],
)
def test_messages_of_bad_input(text: str, pictures: list[bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        refine_messages("caption", text, pictures)


def test_asking_again_continues_the_chat() -> None:
    messages = refine_messages("caption", CAPTION)
    again = ask_again(messages, "He stands.", ["It speaks of who it is ('he')."])
    assert again[: len(messages)] == messages
    assert [message["role"] for message in again[-2:]] == ["assistant", "user"]
    assert "- It speaks of who it is ('he')." in again[-1]["content"][0]["text"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_asks_again_when_the_endpoint_is_busy(status: int) -> None:
    waits: list[float] = []
    with serve(in_turn(Reply(status=status), Reply(status=status), Reply("Yes."))) as endpoint:
        assert model_at(endpoint.url, waits).answer(refine_messages("caption", CAPTION)) == "Yes."
    assert len(endpoint.asked) == 3
    assert 0.0 <= waits[0] <= 1.0
    assert 0.0 <= waits[1] <= 2.0


def test_waits_as_long_as_it_is_told() -> None:
    waits: list[float] = []
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=60), usegmt=True)
    told = [Reply(status=429, headers={"Retry-After": value}) for value in ("7", date, "soon")]
    with serve(in_turn(*told, Reply("Yes."))) as endpoint:
        assert model_at(endpoint.url, waits, attempts=4).answer([]) == "Yes."
    assert waits[0] == 7.0
    assert 50.0 < waits[1] <= 60.0
    assert waits[2] <= 4.0


def test_gives_up_when_told_to_wait_too_long() -> None:
    with (
        serve(in_turn(Reply(status=429, headers={"Retry-After": "3600"}))) as endpoint,
        pytest.raises(ChatError, match="asks to wait 3600 s"),
    ):
        model_at(endpoint.url).answer([])
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    "body",
    [b"<html>oops</html>", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}', b"[1]"],
)
def test_asks_again_after_an_answer_that_is_none(body: bytes) -> None:
    with serve(in_turn(Reply(body=body), Reply("Yes."))) as endpoint:
        assert model_at(endpoint.url).answer([]) == "Yes."
    with (
        serve(in_turn(Reply(body=body))) as endpoint,
        pytest.raises(ChatError, match="neither a chat completion nor text in it"),
    ):
        model_at(endpoint.url).answer([])
    assert len(endpoint.asked) == 3


def test_asks_again_after_silence() -> None:
    with serve(in_turn(Reply(delay=30.0), Reply("Yes."))) as endpoint:
        assert model_at(endpoint.url, timeout=0.3).answer([]) == "Yes."
    assert len(endpoint.asked) == 2
    with pytest.raises(ChatError, match="ConnectError"):
        model_at(endpoint.url).answer([])


def test_a_wrong_request_is_not_repeated() -> None:
    with (
        serve(in_turn(Reply(status=404, body=b"no such model"))) as endpoint,
        pytest.raises(ChatError, match="status 404: no such model"),
    ):
        model_at(endpoint.url).answer([])
    assert len(endpoint.asked) == 1


def test_the_key_stays_hidden(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    with serve(in_turn(Reply(status=401, body=f"invalid key {KEY}".encode()))) as endpoint:
        model = model_at(endpoint.url)
        with pytest.raises(ChatError) as caught:
            model.answer(refine_messages("caption", CAPTION))
    assert "invalid key ***" in str(caught.value)
    assert caught.value.__cause__ is None
    printed = capsys.readouterr()
    assert KEY not in f"{model!r} {caught.value!r} {caplog.text} {printed.out} {printed.err} {endpoint.asked}"


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
    with pytest.raises(ChatError, match="cannot see pictures"):
        model.answer(refine_messages("caption", CAPTION, [picture()]))


def test_a_local_model_sees_the_picture(tmp_path: Path) -> None:
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
    LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    ).save_pretrained(tmp_path)
    model = PipelineChatModel(str(tmp_path), max_tokens=12)
    answers = {
        model.answer(refine_messages("caption", CAPTION, [picture(colour)])) for colour in ("red", "white", "blue")
    }
    assert len(answers) > 1
