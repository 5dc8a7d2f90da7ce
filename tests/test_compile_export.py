"""torch.compile in one graph and torch.export: the same numbers as eager, from a model that has never run."""

import pytest
import torch
from tiny_models import PAD, POSE_TOKENS, image_block, pad_left, pose_block, random_pixels, tiny_model, words
from torch._dynamo.utils import counters
from torch.export import Dim, export
from transformers import CompileConfig, DynamicCache, StaticCache

from unipose import UniPoseForConditionalGeneration
from unipose.cache_keyword import CACHE


CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def output_pose(config):
    return [config.pose_start_token_id, *[config.pose_query_token_id] * POSE_TOKENS]


def prompt(model, kind):
    """Two rows, the second of which is padded."""
    config = model.config
    first = {
        "text": words(9, 1),
        "pose": words(2, 1) + pose_block(config) + output_pose(config),
        "image": image_block(config) + pose_block(config) + words(3, 2) + output_pose(config),
    }[kind]
    inputs = pad_left([first, words(5, 3)])
    if kind != "text":
        inputs["pose_values"] = torch.randn(1, 22, 6)
    if kind == "image":
        inputs |= random_pixels(config, 1)
    return inputs


def test_the_flag_of_the_model():
    assert UniPoseForConditionalGeneration._can_compile_fullgraph


@pytest.mark.parametrize(("kind", "vision"), [("text", "clip"), ("image", "clip"), ("image", None)])
@torch.no_grad()
def test_forward_compiles_in_one_graph(kind, vision):
    model = tiny_model(vision=vision)
    inputs = prompt(model, kind)
    compiled = torch.compile(model, fullgraph=True, backend="eager")(**inputs).logits
    torch.testing.assert_close(compiled, model(**inputs).logits, **CLOSE)


@torch.no_grad()
def test_revealed_codes_compile_in_one_graph():
    model = tiny_model(vision=None, pose_vision=False)
    config = model.config
    queries = [config.pose_query_token_id] * config.num_pose_tokens
    ids = torch.tensor([[3, config.pose_start_token_id, *queries, config.pose_end_token_id]])
    codes = torch.full_like(ids, -1)
    codes[0, 4] = 7
    compiled = torch.compile(model, fullgraph=True, backend="eager")(ids, revealed_pose_codes=codes).logits
    torch.testing.assert_close(compiled, model(ids, revealed_pose_codes=codes).logits, **CLOSE)


class Call(torch.nn.Module):
    """One method of a model as a module, which is what torch.export takes."""

    def __init__(self, model, method):
        super().__init__()
        self.model, self.method = model, method

    def forward(self, *args):
        return getattr(self.model, self.method)(*args)


@torch.no_grad()
def test_pose_tokenizer_exports():
    model = tiny_model().model.pose_tokenizer
    poses, others = torch.randn(3, 22, 6), torch.randn(5, 22, 6)
    for method, example, value in (
        ("encode", poses, others),
        ("decode", model.encode(poses), model.encode(others)),
    ):
        # Dynamic shapes of a call with *args are a tuple in a tuple.
        program = export(Call(model, method), (example,), dynamic_shapes=(({0: Dim("poses", min=2)},),))
        torch.testing.assert_close(program.module()(value), getattr(model, method)(value), **CLOSE)
        compiled = torch.compile(getattr(model, method), fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(value), getattr(model, method)(value), **CLOSE)


@torch.no_grad()
def test_a_prompt_exports():
    model = tiny_model()
    inputs = prompt(model, "image")
    program = export(model, (), {**inputs, "use_cache": False})
    torch.testing.assert_close(program.module()(**inputs, use_cache=False).logits, model(**inputs).logits, **CLOSE)


class StaticStep(torch.nn.Module):
    """A step over a static cache, whose tensors are buffers."""

    def __init__(self, model, cache, keep):
        super().__init__()
        self.model, self.cache, self.keep = model, cache, keep
        for index, layer in enumerate(cache.layers):
            for name in ("keys", "values", "cumulative_length"):
                self.register_buffer(f"{name}_{index}", getattr(layer, name))

    def forward(self, input_ids, position_ids):
        step = {"input_ids": input_ids, "position_ids": position_ids, "logits_to_keep": self.keep}
        return self.model(**step, **{CACHE: self.cache}).logits


class DynamicStep(torch.nn.Module):
    """A step over a dynamic cache, whose tensors are inputs."""

    def __init__(self, model, keep):
        super().__init__()
        self.model, self.keep = model, keep

    def forward(self, input_ids, position_ids, keys, values):
        step = {"input_ids": input_ids, "position_ids": position_ids, "logits_to_keep": self.keep}
        cache = DynamicCache(list(zip(keys, values)))
        return self.model(**step, **{CACHE: cache}).logits


def steps(model):
    """The prompt, and the ids of a decode step and of a pose step."""
    start, query = model.config.pose_start_token_id, model.config.pose_query_token_id
    first = torch.tensor([words(9, 1) + [start]])
    return first, {"decode": torch.tensor([words(1, 3)]), "pose": torch.full((1, POSE_TOKENS), query)}


def positions_after(first, new):
    return torch.arange(first.shape[1], first.shape[1] + new.shape[1])[None]


@pytest.mark.parametrize("kind", ["decode", "pose"])
@torch.no_grad()
def test_a_step_over_a_static_cache_exports(kind):
    model = tiny_model()
    first, new = steps(model)[0], steps(model)[1][kind]
    cache = StaticCache(config=model.config.text_config, max_cache_len=32)
    model(first, **{CACHE: cache})
    inputs = (new, positions_after(first, new))
    # Strict, as otherwise the cache's tensors are not recognized as the buffers.
    program = export(StaticStep(model, cache, new.shape[1]), inputs, strict=True)
    expected = model(torch.cat([first, new], dim=1)).logits[:, -new.shape[1] :]
    torch.testing.assert_close(program.module()(*inputs), expected, **CLOSE)


@pytest.mark.parametrize("kind", ["decode", "pose"])
@torch.no_grad()
def test_a_step_over_a_dynamic_cache_exports(kind):
    model = tiny_model()
    first, new = steps(model)[0], steps(model)[1][kind]
    layers = [{2: Dim.AUTO}] * model.config.text_config.num_hidden_layers
    program = None
    for prompt_ids in (first, torch.cat([torch.tensor([words(4, 5)]), first], dim=1)):
        cache = model(prompt_ids)[CACHE]
        keys, values = ([getattr(layer, name) for layer in cache.layers] for name in ("keys", "values"))
        inputs = (new, positions_after(prompt_ids, new), keys, values)
        if program is None:
            program = export(
                DynamicStep(model, new.shape[1]), inputs, dynamic_shapes=({}, {}, layers, layers), strict=False
            )
        expected = model(torch.cat([prompt_ids, new], dim=1)).logits[:, -new.shape[1] :]
        torch.testing.assert_close(program.module()(*inputs), expected, **CLOSE)


@pytest.mark.parametrize(("mode", "graphs"), [("text", 1), ("pose", 0), (None, 0)])
def test_generate_compiles_the_decode_step_of_a_static_cache(mode, graphs):
    """In text mode once, for all steps and rows; elsewhere pose steps alternate with decode steps, and nothing is."""
    model = tiny_model()
    inputs = prompt(model, "image")
    ids = inputs["input_ids"] = inputs["input_ids"][:, : -POSE_TOKENS - 1]
    inputs["attention_mask"] = inputs["attention_mask"][:, : ids.shape[1]]
    config = CompileConfig(fullgraph=True, backend="eager", mode=None)
    config._compile_all_devices = True
    settings = {"generation_mode": mode, "max_new_tokens": 12, "pad_token_id": PAD, "cache_implementation": "static"}
    plain = model.generate(**inputs, **settings)
    counters.clear()
    assert model.generate(**inputs, **settings, compile_config=config).tolist() == plain.tolist()
    assert counters["stats"]["unique_graphs"] == graphs
