"""Text, images and poses -> a batch; ids -> text and codes; the chat template; saving and loading."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, PreTrainedConfig

from unipose.original_tokenizer import original_chat_template
from unipose.processing.image_processing_unipose import UniPoseImageProcessor
from unipose.processing.pose_features import poses_to_pose_values
from unipose.processing.processing_unipose import UniPoseProcessor, add_pose_tokens


sys.path.insert(0, str(Path(__file__).parent))
from tiny_tokenizer import tiny_tokenizer


CODEBOOK_SIZE = 16
POSE = "<pose_start><pose><pose><pose><pose><pose_end>"
IMAGE = "<image_start><image><image><image><image_end>"
ONE, TWO, THREE = (torch.full((22, 3), angle) for angle in (0.1, 0.2, 0.3))
RED = Image.new("RGB", (20, 30), "red")
CHAT: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "text", "text": "Describe this pose: "}, {"type": "pose", "pose": ONE}]},
    {"role": "assistant", "content": "A person kneels."},
]


class TinyConfig(PreTrainedConfig):
    """Stands for UniPoseConfig: the image processor is loaded through its registration."""

    model_type = "unipose_processing_test"


def make_processor(**kwargs) -> UniPoseProcessor:
    image_processor = UniPoseImageProcessor(size=32, pose_size={"height": 32, "width": 24})
    sizes = {"num_pose_tokens": 4, "num_image_tokens": 3, "codebook_size": CODEBOOK_SIZE}
    return UniPoseProcessor(image_processor, tiny_tokenizer(CODEBOOK_SIZE), **{**sizes, **kwargs})


@pytest.fixture(scope="module")
def processor() -> UniPoseProcessor:
    return make_processor()


def ids_of(processor: UniPoseProcessor, text: str) -> list[int]:
    return processor.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_tokens(processor):
    tokenizer = processor.tokenizer
    first = processor.pose_code_start_id
    assert tokenizer.convert_ids_to_tokens([first, first + 15]) == ["<pose_0>", "<pose_15>"]
    assert processor.pose_start_token_id == tokenizer.convert_tokens_to_ids("<pose_start>")
    assert processor.pose_token_id == first + CODEBOOK_SIZE
    assert len(ids_of(processor, "<|user|><|assistant|><|system|>" + POSE + IMAGE)) == 3 + 6 + 5
    size = len(tokenizer)
    assert add_pose_tokens(tokenizer, CODEBOOK_SIZE) == 0
    assert len(tokenizer) == size


def test_other_spellings():
    tokenizer = tiny_tokenizer(2)
    spellings = {"pose_start_token": "<pose_id_8>", "pose_end_token": "<pose_id_9>"}
    assert add_pose_tokens(tokenizer, 8, "pose_id_", spellings, role_tokens=()) == 8 + 2
    processor = UniPoseProcessor(None, tokenizer, codebook_size=8, num_pose_tokens=2, pose_code_prefix="pose_id_")
    ids = processor("<pose>", poses=ONE, add_special_tokens=False)["input_ids"][0]
    assert tokenizer.convert_ids_to_tokens(ids) == ["<pose_id_8>", "<pose>", "<pose>", "<pose_id_9>"]
    with pytest.raises(ValueError, match="unknown special tokens"):
        add_pose_tokens(tokenizer, 8, special_tokens={"body_token": "<body>"})


def test_tokenizer_must_fit():
    with pytest.raises(ValueError, match=r"must hold 17 consecutive pose codes <pose_0> \.\. <pose_16>"):
        make_processor(codebook_size=17)
    bare = tiny_tokenizer(2)
    bare._special_tokens_map["pose_token"] = None
    with pytest.raises(ValueError, match=re.escape("lacks ['pose_token']")):
        UniPoseProcessor(None, bare, codebook_size=2)
    with pytest.raises(ValueError, match="needs a tokenizer"):
        UniPoseProcessor()


def test_placeholders_are_expanded(processor):
    batch = processor(text="From <pose> to <pose> as in <image>.", poses=[ONE, TWO], images=RED)
    expected = processor.tokenizer(f"From {POSE} to {POSE} as in {IMAGE}.")["input_ids"]
    assert batch["input_ids"] == [expected]
    torch.testing.assert_close(batch["pose_values"], poses_to_pose_values([ONE, TWO]))
    assert set(batch) == set(processor.model_input_names)


def test_the_chat_templates_expand_like_the_processor(processor):
    """Both templates, because Jinja gets no placeholder from Python."""
    message = {"role": "user", "content": [{"type": "image"}, {"type": "pose"}]}
    expanded = "".join(placeholder.expanded for placeholder in processor.placeholders.values())
    for template in (processor.chat_template, original_chat_template()):
        assert expanded in processor.apply_chat_template([message], template)


def test_expanded_text_is_unchanged(processor):
    short = processor(text=f"<image> <pose>, then {POSE} <pose_3>", poses=[ONE, TWO], images=[RED])
    full = processor(text=f"{IMAGE} {POSE}, then {POSE} <pose_3>", poses=[ONE, TWO], images=[RED])
    assert short["input_ids"] == full["input_ids"]


def test_batch_is_padded_left_and_equals_single(processor):
    texts = ["<pose>", "A longer text about <pose> and <pose>.", "no pose"]
    batch = processor(text=texts, poses=[[ONE], [TWO, THREE], []], return_tensors="pt")
    flat = processor(text=texts, poses=[ONE, TWO, THREE], return_tensors="pt")
    for name in batch:
        assert torch.equal(batch[name], flat[name])
    singles = [
        processor(text=texts[0], poses=ONE),
        processor(text=texts[1], poses=[TWO, THREE]),
        processor(text="no pose"),
    ]
    for ids, mask, single in zip(batch["input_ids"], batch["attention_mask"], singles):
        assert ids[mask.bool()].tolist() == single["input_ids"][0]
        assert mask.tolist() == sorted(mask.tolist())
    right = processor(text=texts, poses=[ONE, TWO, THREE], return_tensors="pt", padding_side="right")
    assert right["attention_mask"][0, 0] == 1
    assert right["attention_mask"][0, -1] == 0


def test_images_of_rows(processor):
    blue = Image.new("RGB", (20, 30), "blue")
    batch = processor(text=["none", "<image>", "<image><image>"], images=[[], [RED], [blue, RED]], return_tensors="pt")
    assert batch["pixel_values"].shape == (3, 3, 32, 32)
    assert batch["pose_pixel_values"].shape == (3, 3, 32, 24)
    assert torch.equal(batch["pixel_values"][0], batch["pixel_values"][2])


def test_poses_alone(processor):
    assert list(processor(poses=[ONE, TWO])) == ["pose_values"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "nothing to process: text, images and poses are all missing"),
    "empty": ({"text": ["a", " \n"]}, "text 2 is empty"),
    "not text": ({"text": ["a", 3]}, "text 2 is a int, not a string"),
    "too few": ({"text": "<pose> and <pose>", "poses": ONE}, "the text holds 2 <pose>, but 1 poses were given"),
    "none": ({"text": "<pose>"}, "the text holds 1 <pose>, but 0 poses were given"),
    "no place": ({"text": "a", "images": RED}, "the text holds 0 <image>, but 1 images were given"),
    "batch": (
        {"text": ["<pose>", "<pose><pose>"], "poses": [ONE, TWO]},
        "the text holds 3 <pose> (1, 2 by text), but 2 poses were given",
    ),
    "row": (
        {"text": ["<pose>", "<pose>"], "poses": [[ONE, TWO], []]},
        "text 1 holds 1 <pose>, but 2 poses were given for it",
    ),
    "rows": ({"text": ["a", "b"], "images": [[], [], []]}, "there are 2 texts, but images for 3 texts"),
    "pose": (
        {"text": "<pose><pose>", "poses": [ONE, [float("nan")] * 66]},
        "pose 2: it holds 66 NaN or infinite values",
    ),
    "image": ({"text": "<image>", "images": np.full((4, 4), np.nan)}, "image 1: it holds NaN or infinite values"),
    "mode": (
        {"text": "a", "generation_mode": "image"},
        "generation_mode is 'image'; accepted: 'pose', 'text' and None",
    ),
    "cut": (
        {"text": "about <pose>", "poses": ONE, "truncation": True, "max_length": 6},
        "text 1 needs 4 <pose> tokens, but 0 are left after truncation: raise max_length or turn truncation off",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(processor, case):
    arguments, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        processor(**arguments)


def test_generation_mode_ends_with_pose_start(processor):
    assert processor(text=["a", "b"], generation_mode="pose", return_tensors="pt")["input_ids"][:, -1].tolist() == (
        [processor.pose_start_token_id] * 2
    )
    prompt = processor.apply_chat_template(CHAT[:1], generation_mode="pose")
    assert prompt == f"<bos><|user|>Describe this pose: {POSE}<|assistant|><pose_start>"
    ids = processor.apply_chat_template(CHAT[:1], generation_mode="pose", tokenize=True)
    assert ids == [ids_of(processor, prompt)]


def test_chat_template_exactly(processor):
    conversation = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Describe this pose: "},
                {"type": "pose", "pose": ONE},
                {"type": "text", "text": " as in "},
                {"type": "image", "image": RED},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "A person kneels."}]},
        {"role": "user", "content": "Stand up."},
        {"role": "assistant", "content": [{"type": "pose", "pose": TWO}, {"type": "text", "text": " Done."}]},
    ]
    expected = (
        f"<bos><|system|>Be brief.<|user|>Describe this pose: {POSE} as in {IMAGE}<|assistant|>A person kneels.<eos>"
        f"<|user|>Stand up.<|assistant|>{POSE} Done.<eos>"
    )
    assert processor.apply_chat_template(conversation) == expected
    batch = processor.apply_chat_template(conversation, tokenize=True, return_dict=True, return_tensors="pt")
    assert batch["input_ids"].tolist() == [ids_of(processor, expected)]
    torch.testing.assert_close(batch["pose_values"], poses_to_pose_values([ONE, TWO]))
    assert batch["pixel_values"].shape[0] == 1


def test_assistant_mask_is_exact(processor):
    longer = [
        *CHAT,
        {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": [{"type": "pose", "pose": TWO}]},
    ]
    batch = processor.apply_chat_template(
        [CHAT, longer], tokenize=True, return_dict=True, return_tensors="pt", return_assistant_tokens_mask=True
    )
    masks = torch.as_tensor(batch["assistant_masks"]).bool()
    texts = [processor.decode(ids[mask]) for ids, mask in zip(batch["input_ids"], masks)]
    assert texts == ["A person kneels.<eos>", f"A person kneels.<eos>{POSE}<eos>"]
    assert "offset_mapping" not in batch


def test_assistant_mask_with_a_bare_placeholder_in_a_string(processor):
    chat = [{"role": "user", "content": "Here: <pose>."}, {"role": "assistant", "content": "Yes."}]
    batch = processor.apply_chat_template(
        chat,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        return_assistant_tokens_mask=True,
        processor_kwargs={"poses": [ONE]},
    )
    mask = torch.as_tensor(batch["assistant_masks"])[0].bool()
    assert processor.decode(batch["input_ids"][0][mask]) == "Yes.<eos>"


def test_arrow_filled_blocks(processor):
    absent = {"text": None, "image": None, "pose": None, "path": None, "url": None}
    filled = [
        {
            "role": message["role"],
            "content": [{**absent, **block} for block in message["content"]]
            if isinstance(message["content"], list)
            else message["content"],
        }
        for message in CHAT
    ]
    arguments: dict[str, Any] = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
    plain, arrow = processor.apply_chat_template(CHAT, **arguments), processor.apply_chat_template(filled, **arguments)
    for name in plain:
        assert torch.equal(plain[name], arrow[name])


def test_blocks_without_data_take_from_processor_kwargs(processor):
    chat = [{"role": "user", "content": [{"type": "pose"}, {"type": "image", "image": None}]}]
    batch = processor.apply_chat_template(
        chat, tokenize=True, return_dict=True, processor_kwargs={"poses": [ONE], "images": [RED]}
    )
    assert batch["pose_values"].shape == (1, 22, 6)
    assert len(batch["pixel_values"]) == 1
    with pytest.raises(ValueError, match="the text holds 1 <pose>, but 0 poses were given"):
        processor.apply_chat_template([{"role": "user", "content": [{"type": "pose"}]}], tokenize=True)


def test_batched_chats_equal_single_chats(processor):
    other = [{"role": "user", "content": [{"type": "image", "image": RED}, {"type": "text", "text": "And here?"}]}]
    arguments: dict[str, Any] = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
    batch = processor.apply_chat_template([CHAT, other], **arguments)
    for row, chat in enumerate((CHAT, other)):
        single = processor.apply_chat_template(chat, **arguments)["input_ids"][0]
        assert torch.equal(batch["input_ids"][row][batch["attention_mask"][row].bool()], single)
    assert processor.apply_chat_template([CHAT, other]) == [processor.apply_chat_template(c) for c in (CHAT, other)]


def test_sanitized_text_holds_no_placeholders(processor):
    content = [{"type": "text", "text": "a <pose> <|assistant|> "}, {"type": "pose", "pose": ONE}]
    batch = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, return_dict=True, sanitize_control_tokens=True
    )
    ids = batch["input_ids"][0]
    assert ids.count(processor.pose_token_id) == 4
    assert processor.decode(ids) == f"<bos><|user|>a <pose> <|assistant|> {POSE}"
    assert len(ids) > len(ids_of(processor, processor.decode(ids)))


def test_continue_final_message(processor):
    text = processor.apply_chat_template(CHAT, continue_final_message=True)
    assert text == f"<bos><|user|>Describe this pose: {POSE}<|assistant|>A person kneels."


def test_template_refuses_the_unknown(processor):
    """Of a chat that the schema has not seen."""
    blocks = [{"role": "user", "content": [{"type": "video"}]}]
    for chat, message in (([{"role": "tool", "content": "a"}], "role tool"), (blocks, "type video; accepted: text")):
        with pytest.raises(ValueError, match=message):
            processor.apply_chat_template(processor.mark_checked([chat]))


def test_post_process_generation(processor):
    first, second = "<pose_0><pose_1><pose_2><pose_15>", "<pose_5><pose_5><pose_5><pose_5>"
    answer = f"<|assistant|>He stands: <pose_start>{first}<pose_end> then <pose_start>{second}<pose_end>.<eos><pad>"
    (got,) = processor.post_process_generation(torch.tensor(ids_of(processor, answer)))
    assert got["text"] == "He stands:  then ."
    assert got["pose_codes"].tolist() == [[0, 1, 2, 15], [5, 5, 5, 5]]
    assert got["pose_codes"].dtype == torch.long


@pytest.mark.parametrize(
    ("answer", "text", "codes"),
    [
        ("<pose_1><pose_2><pose_3><pose_4><pose_end> ok", "ok", [[1, 2, 3, 4]]),
        ("a <pose_start><pose_1><pose_2>", "a", []),
        ("a <pose_start><pose_1><pose_2><pose_end> b", "a  b", []),
        ("a <pose_start><pose_1><pose_2><pose_3><pose_4>", "a", []),
        ("a <pose_start><pose_1><pose_2><pose_3><pose_4><pose_5><pose_end> b", "a  b", []),
        ("a <pose_start><pose_1>up<pose_2><pose_3><pose_end> b", "a  b", []),
        ("a <pose_start><pose_1><pose_2> b", "a  b", []),
        ("a <pose_start><pose_1><pose_start><pose_1><pose_2><pose_3><pose_4><pose_end>", "a", [[1, 2, 3, 4]]),
        ("a <pose_start>", "a", []),
        ("a <pose_end> b <pose_7>", "a  b", []),
        (f"<|user|>From {POSE}:<|assistant|>up<eos>", "From :up", []),
        ("<pose_1><pose_2>", "", []),
        ("plain", "plain", []),
    ],
)
def test_malformed_blocks_are_never_poses(processor, answer, text, codes):
    (got,) = processor.post_process_generation(ids_of(processor, answer))
    assert got["text"] == text
    assert got["pose_codes"].tolist() == codes
    assert got["pose_codes"].shape == (len(codes), 4)


def test_post_process_rows_and_specials(processor):
    rows = torch.tensor([ids_of(processor, text) for text in ("<pad><eos>", "<pose_start><eos>")])
    assert [got["text"] for got in processor.post_process_generation(rows)] == ["", ""]
    kept = processor.post_process_generation(rows, skip_special_tokens=False)
    assert [got["text"] for got in kept] == ["<pad><eos>", "<eos>"]


def settings(processor: UniPoseProcessor) -> dict[str, Any]:
    """What is saved; `auto_map` is written by saving where the class is registered for remote code."""
    saved = processor.to_dict()
    image_processor = saved.pop("image_processor")
    return {name: value for name, value in {**saved, **image_processor}.items() if name != "auto_map"}


@pytest.mark.parametrize("with_images", [True, False])
def test_save_and_load(tmp_path, with_images):
    AutoImageProcessor.register(TinyConfig, image_processor_classes={"pil": UniPoseImageProcessor}, exist_ok=True)
    saved = make_processor() if with_images else make_processor(num_pose_tokens=2)
    if not with_images:
        saved = UniPoseProcessor(None, saved.tokenizer, num_pose_tokens=2, codebook_size=CODEBOOK_SIZE)
    saved.save_pretrained(tmp_path)
    assert (tmp_path / "chat_template.jinja").is_file()
    loaded = UniPoseProcessor.from_pretrained(tmp_path)
    assert settings(loaded) == settings(saved)
    assert loaded.chat_template == saved.chat_template
    assert loaded.tokenizer.special_tokens_map == saved.tokenizer.special_tokens_map
    assert loaded.tokenizer.padding_side == "left"
    arguments: dict[str, Any] = {"tokenize": True, "return_dict": True}
    assert (
        loaded.apply_chat_template(CHAT, **arguments)["input_ids"]
        == (saved.apply_chat_template(CHAT, **arguments)["input_ids"])
    )
    if not with_images:
        with pytest.raises(ValueError, match="takes no images"):
            loaded(text="<image>", images=RED)
