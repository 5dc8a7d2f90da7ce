"""NaN and infinite values in weights, pixels, poses and scores: an error that says where, never a pose."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_models import BODY_PARTS_SIZES, POSE_TOKENIZER_SIZES, image_block, pad_left, pose_block, random_pixels
from tiny_models import tiny_model as build_tiny_model
from transformers import LogitsProcessorList

from unipose import UniPoseForConditionalGeneration


VALUES = [float("nan"), float("inf"), -float("inf")]


@pytest.fixture
def tiny_model() -> UniPoseForConditionalGeneration:
    return build_tiny_model()


def prompts(model: UniPoseForConditionalGeneration) -> dict[str, Any]:
    """Two rows with an image and a pose each."""
    rows = [image_block(model.config) + pose_block(model.config) + [5, row + 6] for row in range(2)]
    poses = torch.eye(3)[:2].flatten().expand(2, 22, 6).clone()
    return pad_left(rows) | random_pixels(model.config, 2) | {"pose_values": poses}


def answers(model: UniPoseForConditionalGeneration, **arguments: Any) -> torch.Tensor:
    return model.generate(**{**prompts(model), "generation_mode": "pose", **arguments})


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(
    "options", [{}, {"do_sample": True}, {"pose_decoding": "expected"}, {"pose_refinement_steps": 2}]
)
def test_weights_are_named(tiny_model: UniPoseForConditionalGeneration, value: float, options: dict) -> None:
    with torch.no_grad():
        tiny_model.model.language_model.layers[1].mlp.up_proj.weight[3, 4] = value
    with pytest.raises(ValueError, match=r"row 0: the logits.*layers.1.mlp.up_proj.weight: fetch"):
        answers(tiny_model, **options)


def test_text_is_no_exception(tiny_model: UniPoseForConditionalGeneration) -> None:
    with torch.no_grad():
        tiny_model.lm_head.weight[7] = float("nan")
    for options in ({}, {"num_beams": 2}, {"do_sample": True}):
        with pytest.raises(ValueError, match=r"logits after 28 tokens.*lm_head.weight"):
            answers(tiny_model, generation_mode="text", max_new_tokens=2, **options)


def test_scoring_is_no_exception(tiny_model: UniPoseForConditionalGeneration) -> None:
    inputs = prompts(tiny_model)
    generated = answers(tiny_model)[:, inputs["input_ids"].shape[1] :]
    with torch.no_grad():
        tiny_model.lm_head.weight[7] = float("nan")
    with pytest.raises(ValueError, match=r"lm_head.weight"):
        tiny_model.score_generated(generated_ids=generated, generation_mode="pose", **inputs)


def test_an_overflow_names_the_precision(tiny_model: UniPoseForConditionalGeneration) -> None:
    embeds = tiny_model.get_input_embeddings()(torch.tensor([[3, 4]])).detach()
    embeds[0, 1, 0] = float("inf")
    with pytest.raises(ValueError, match=r"all weights are finite.*too large for float32"):
        tiny_model.generate(inputs_embeds=embeds, generation_mode="text", max_new_tokens=2)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", ["pixel_values", "pose_pixel_values"])
def test_pixels_are_named(tiny_model: UniPoseForConditionalGeneration, name: str, value: float) -> None:
    inputs = prompts(tiny_model)
    inputs[name][1, 2, 3, 4] = value
    for call in (tiny_model.generate, tiny_model):
        with pytest.raises(ValueError, match=f"^{name}: image 2 holds NaN"):
            call(**inputs)


@pytest.mark.parametrize("change", [*VALUES, 0.0, 1e6])
def test_pose_values_are_named(tiny_model: UniPoseForConditionalGeneration, change: float) -> None:
    inputs = prompts(tiny_model)
    inputs["pose_values"][1, 5] = change
    with pytest.raises(ValueError, match=r"^pose_values: pose 2 holds"):
        tiny_model.generate(**inputs, generation_mode="pose")


def test_nan_of_a_logits_processor_is_named(tiny_model: UniPoseForConditionalGeneration) -> None:
    broken: Callable = lambda ids, scores: scores * float("nan")  # noqa: E731
    with pytest.raises(ValueError, match="row 0: a logits processor"):
        answers(tiny_model, logits_processor=LogitsProcessorList([broken]))


@pytest.mark.parametrize("sizes", [POSE_TOKENIZER_SIZES, BODY_PARTS_SIZES], ids=["convolution", "body parts"])
def test_damaged_decoders_decode_no_pose(sizes: dict) -> None:
    model = build_tiny_model(pose_tokenizer=sizes)
    codes = (
        torch.arange(2 * model.config.num_pose_tokens).view(2, -1) % model.config.pose_tokenizer_config.codebook_size
    )
    rotmats = model.decode_pose_codes(codes)
    identity = rotmats @ rotmats.mT
    torch.testing.assert_close(identity, torch.eye(3).expand_as(identity), atol=1e-5, rtol=0)
    names = [name for name, _ in model.model.pose_tokenizer.decoder.named_parameters()]
    for name in names[:: len(names) // 3]:
        damaged = build_tiny_model(pose_tokenizer=sizes)
        with torch.no_grad():
            damaged.model.pose_tokenizer.decoder.get_parameter(name).flatten()[0] = float("nan")
        with pytest.raises(ValueError, match=f"pose 1 decodes to no rotations.*decoder.{name}"):
            damaged.decode_pose_codes(codes)


def test_a_codebook_of_nan_decodes_no_pose(tiny_model: UniPoseForConditionalGeneration) -> None:
    tiny_model.model.pose_tokenizer.quantizer.codebook.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"quantizer.codebook"):
        tiny_model.decode_pose_codes(torch.zeros(1, tiny_model.config.num_pose_tokens, dtype=torch.long))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.uint16])
def test_codes_are_integers_of_any_width(tiny_model: UniPoseForConditionalGeneration, dtype: torch.dtype) -> None:
    codes = torch.arange(tiny_model.config.num_pose_tokens)[None]
    expected = tiny_model.decode_pose_codes(codes)
    assert torch.equal(tiny_model.decode_pose_codes(codes.to(dtype)), expected)


@pytest.mark.parametrize("codes", [torch.zeros(1, 6), torch.zeros(1, 6, dtype=torch.bool), [[0] * 6], None])
def test_codes_of_other_types_are_refused(tiny_model: UniPoseForConditionalGeneration, codes: Any) -> None:
    with pytest.raises(ValueError, match="pose_codes must be a tensor of integers, got"):
        tiny_model.decode_pose_codes(codes)
