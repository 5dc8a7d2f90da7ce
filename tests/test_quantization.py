"""Weights in 8 and 4 bits by the library's own configs: what stays in fp32, saved folders, answers."""

import json

import pytest
import torch
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForImageTextToText,
    AutoProcessor,
    BitsAndBytesConfig,
    TorchAoConfig,
    pipeline,
)

from unipose.embedded_checkpoint import find_embedded_checkpoint
from unipose.training.evaluation.human_words import load_sentences


pytestmark = pytest.mark.slow
# transformers imports torchao in every process where it is installed, which takes a second: so it is not among the
# tools of development, and these tests run in the environment of `make test-newest`.
quantization = pytest.importorskip("torchao.quantization", reason="needs the extra quantization")
pytest.importorskip("bitsandbytes", reason="needs the extra quantization")

# Config, the least share of codes that are those of the float model, and the type of a quantized weight.
FORMS = {
    "int8": (lambda: TorchAoConfig(quantization.Int8WeightOnlyConfig()), 0.85, "Int8Tensor"),
    "nf4": (
        lambda: BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32),
        0.6,
        "Params4bit",
    ),
}
EMBEDDED = find_embedded_checkpoint()


def load(folder, **kwargs):
    return AutoModelForImageTextToText.from_pretrained(folder, **kwargs).eval()


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(EMBEDDED)


@pytest.fixture(scope="module")
def reference():
    return load(EMBEDDED)


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest):
    return request.param


@pytest.fixture(scope="module")
def model(form):
    return load(EMBEDDED, quantization_config=FORMS[form][0]())


@pytest.fixture(scope="module")
def folder(model, processor, tmp_path_factory):
    path = tmp_path_factory.mktemp("quantized")
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def prompts(processor):
    chats = [[{"role": "user", "content": sentence.text}] for sentence in load_sentences()[:16]]
    return processor.apply_chat_template(
        chats, tokenize=True, return_dict=True, return_tensors="pt", generation_mode="pose"
    )


def is_plain(module: nn.Module) -> bool:
    return all(type(weight) is nn.Parameter and weight.dtype == torch.float32 for weight in module.parameters())


def test_the_pose_tokenizer_and_the_tied_embeddings_stay_in_fp32(model, form) -> None:
    inner = model.model
    assert is_plain(inner.pose_tokenizer)
    assert is_plain(model.lm_head)
    assert is_plain(inner.pose_query_embeddings)
    assert model.lm_head.weight is inner.language_model.embed_tokens.weight
    for part in (inner.language_model.layers, inner.vision_tower, inner.pose_vision_tower):
        linear = [module for module in part.modules() if isinstance(module, nn.Linear)]
        assert linear
        assert {type(module.weight).__name__ for module in linear} == {FORMS[form][2]}


def test_the_pose_tokenizer_of_a_model_without_head_stays_in_fp32(form) -> None:
    model = AutoModel.from_pretrained(EMBEDDED, quantization_config=FORMS[form][0]())
    assert is_plain(model.pose_tokenizer)


def test_most_codes_are_those_of_the_float_model(model, reference, prompts, form) -> None:
    quantized, expected = (own.generate(**prompts, generation_mode="pose") for own in (model, reference))
    length = prompts["input_ids"].shape[1]
    share = (quantized == expected)[:, length:-1].float().mean().item()
    assert FORMS[form][1] < share < 1


def test_a_saved_folder_answers_the_same(model, folder, prompts) -> None:
    """Poses and texts."""
    loaded = load(folder)
    for settings in ({"generation_mode": "pose"}, {"generation_mode": "text", "max_new_tokens": 8}):
        inputs = dict(prompts)
        if settings["generation_mode"] == "text":
            inputs = {name: values[:, :-1] for name, values in inputs.items()}
        assert loaded.generate(**inputs, **settings).tolist() == model.generate(**inputs, **settings).tolist()
    assert is_plain(loaded.model.pose_tokenizer)
    assert "quantization_config" in json.loads((folder / "config.json").read_text("utf-8"))


def test_the_pipeline_takes_a_saved_folder(folder) -> None:
    answer = pipeline("unipose", model=folder)("A person squats.", task="text-to-pose")
    assert answer["poses"][0].shape == (22, 3, 3)


def test_a_folder_in_half_precision_is_smaller_and_loads_in_single(processor, prompts, form, tmp_path) -> None:
    load(EMBEDDED, quantization_config=FORMS[form][0](), dtype=torch.float16).save_pretrained(tmp_path)
    size, of_embedded = ((path / "model.safetensors").stat().st_size for path in (tmp_path, EMBEDDED))
    assert size < 0.8 * of_embedded
    loaded = load(tmp_path, dtype=torch.float32)
    assert is_plain(loaded.model.pose_tokenizer)
    assert loaded.generate(**prompts, generation_mode="pose").shape[0] == len(prompts["input_ids"])
