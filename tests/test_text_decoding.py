"""Text mode: every decoding method of the library gives what the library gives with the pose tokens suppressed."""

import pytest
import torch
from tiny_models import PAD, image_block, pad_left, pose_block, random_pixels, tiny_model, words
from transformers import DynamicCache, GenerationConfig, GenerationMixin
from transformers.cache_utils import DynamicLayer

from unipose import UniPoseForConditionalGeneration
from unipose.cache_keyword import CACHE


class PlainModel(UniPoseForConditionalGeneration):
    """The model with the library's own loops and logits processors: nothing of ours is left but the input handling."""

    _sample = GenerationMixin._sample
    _get_logits_processor = GenerationMixin._get_logits_processor


def suppressed(config):
    codes = range(config.pose_code_start_id, config.pose_code_start_id + config.pose_tokenizer_config.codebook_size)
    return [
        *codes,
        config.pose_token_id,
        config.pose_start_token_id,
        config.pose_end_token_id,
        config.pose_query_token_id,
        config.image_token_id,
        config.image_start_token_id,
        config.image_end_token_id,
    ]


def inputs_of(config, rows=1):
    """Rows with an image, an input pose and words."""
    prompts = [image_block(config) + pose_block(config) + words(4 + row, row) * 2 for row in range(rows)]
    poses = torch.randn(rows, 22, 6, generator=torch.Generator().manual_seed(1))
    return {**pad_left(prompts), **random_pixels(config, rows), "pose_values": poses}


METHODS = {
    "greedy": {},
    "sampling": {"do_sample": True, "top_k": 5},
    "beam search": {"num_beams": 3},
    "beam sampling": {"num_beams": 3, "do_sample": True, "num_return_sequences": 2},
    "prompt lookup": {"prompt_lookup_num_tokens": 3},
    "guidance": {"guidance_scale": 1.7},
    "no number of beams": {"generation_config": GenerationConfig(num_beams=None, max_new_tokens=14, pad_token_id=PAD)},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pose_attention", ["mixed", "causal"])
def test_equals_the_library_with_pose_tokens_suppressed(method, pose_attention):
    model = tiny_model(pose_attention=pose_attention)
    rows = 1 if method == "prompt lookup" else 2
    inputs = inputs_of(model.config, rows)
    if method == "guidance":
        # The unconditional run of the library knows neither images nor poses.
        inputs = pad_left([words(7, 1), words(5, 2)])
    settings = {"max_new_tokens": 14, "pad_token_id": PAD, **METHODS[method]}
    torch.manual_seed(0)
    output = model.generate(**inputs, **settings, generation_mode="text")
    model.__class__ = PlainModel
    torch.manual_seed(0)
    expected = model.generate(**inputs, **settings, suppress_tokens=suppressed(model.config))
    assert output.tolist() == expected.tolist()
    assert output.shape[1] > inputs["input_ids"].shape[1]


@pytest.mark.parametrize("room", [1, 64])
@pytest.mark.parametrize("settings", [{}, {"do_sample": True, "num_return_sequences": 2}], ids=["greedy", "sampled"])
def test_keys_and_values_are_those_of_the_librarys_cache(room, settings, monkeypatch):
    monkeypatch.setattr("unipose.growing_cache.LEAST_ROOM", room)
    model = tiny_model()
    inputs = inputs_of(model.config, 2)
    settings = settings | {"max_new_tokens": 14, "pad_token_id": PAD, "return_dict_in_generate": True}
    torch.manual_seed(0)
    output = model.generate(**inputs, **settings, generation_mode="text")
    model.__class__ = PlainModel
    torch.manual_seed(0)
    expected = model.generate(**inputs, **settings, suppress_tokens=suppressed(model.config))
    assert output.sequences.tolist() == expected.sequences.tolist()
    layers, plain = output[CACHE].layers, expected[CACHE].layers
    assert [type(layer) for layer in layers] == [DynamicLayer] * len(plain)
    for layer, twin in zip(layers, plain):
        assert torch.equal(layer.keys, twin.keys)
        assert torch.equal(layer.values, twin.values)
    last = output.sequences[:, -1:]
    again = [model(last, **{CACHE: each[CACHE]}).logits for each in (output, expected)]
    assert torch.equal(*again)


@pytest.mark.parametrize("cache", ["user's", "static"])
def test_other_caches_stay_as_they_are(cache):
    model = tiny_model()
    inputs = pad_left([words(7, 1), words(5, 2)])
    settings = {"max_new_tokens": 6, "pad_token_id": PAD, "generation_mode": "text", "return_dict_in_generate": True}
    expected = model.generate(**inputs, **settings)
    own = {CACHE: DynamicCache()} if cache == "user's" else {"cache_implementation": cache}
    output = model.generate(**inputs, **settings, **own)
    assert output.sequences.tolist() == expected.sequences.tolist()
    if cache == "user's":
        assert output[CACHE] is own[CACHE]


@pytest.mark.parametrize("same", [True, False])
def test_assisted_decoding_equals_greedy_search(same):
    """The assistant is a UniPose of its own, which sees the same images and poses; good or bad, it changes nothing."""
    model = tiny_model()
    assistant = tiny_model(seed=0 if same else 1)
    inputs = inputs_of(model.config)
    settings = {"max_new_tokens": 14, "pad_token_id": PAD, "generation_mode": "text"}
    expected = model.generate(**inputs, **settings)
    steps = []
    model.model.language_model.register_forward_pre_hook(lambda *_: steps.append(1))
    output = model.generate(**inputs, **settings, assistant_model=assistant)
    assert output.tolist() == expected.tolist()
    assert same == (len(steps) < 8)


def test_an_assistant_may_ban_tokens():
    """Its processors of minimal lengths leave infinite scores before those of the model see them."""
    model = tiny_model()
    settings = {"max_new_tokens": 14, "min_new_tokens": 14, "pad_token_id": PAD, "generation_mode": "text"}
    inputs = inputs_of(model.config)
    expected = model.generate(**inputs, **settings, eos_token_id=7)
    output = model.generate(**inputs, **settings, eos_token_id=7, assistant_model=tiny_model(seed=1))
    assert output.tolist() == expected.tolist()


@pytest.mark.parametrize("which", ["model", "assistant"])
def test_assisted_decoding_refuses_damaged_weights(which):
    model, assistant = tiny_model(), tiny_model(seed=1)
    with torch.no_grad():
        {"model": model, "assistant": assistant}[which].lm_head.weight[7] = float("nan")
    settings = {"max_new_tokens": 14, "pad_token_id": PAD, "generation_mode": "text"}
    with pytest.raises(ValueError, match=r"the logits after \d+ tokens.*lm_head.weight"):
        model.generate(**inputs_of(model.config), **settings, assistant_model=assistant)


def test_an_open_pose_cannot_become_text():
    model = tiny_model()
    prompt = torch.tensor([words(4, 1), [*words(3, 2), model.config.pose_start_token_id]])
    for settings in ({}, {"num_beams": 2}):
        with pytest.raises(ValueError, match='row 1 of the prompt ends in pose-start, but generation_mode is "text"'):
            model.generate(prompt, generation_mode="text", pad_token_id=PAD, max_new_tokens=12, **settings)


def test_continuous_batching_says_so():
    with pytest.raises(NotImplementedError, match="use generate, which takes batches"):
        tiny_model().generate_batch([words(4, 1)], GenerationConfig(max_new_tokens=4))


def test_contrastive_search_says_so():
    with pytest.raises(ValueError, match="contrastive_search would emit the codes of a pose one by one"):
        tiny_model().generate(
            torch.tensor([words(4, 1)]),
            penalty_alpha=0.5,
            top_k=4,
            pad_token_id=PAD,
            custom_generate=lambda *_, **__: None,
        )
