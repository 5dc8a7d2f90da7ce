"""Expected codes and refinement in generation equal a plain reference, with every cache, batch and mode."""

import copy
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from test_generation import NEW_TOKENS, STARTS, AskForPoses, CountForwards, mixed_rows, pose_prompt
from tiny_models import BODY_PARTS_SIZES, CODES, PAD, POSE_TOKENIZER_SIZES, pad_left, pose_block, tiny_model, words
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessorList,
    MaxTimeCriteria,
    MinLengthLogitsProcessor,
)
from transformers.generation.streamers import BaseStreamer

from unipose import UniPoseForConditionalGeneration
from unipose.cache_keyword import CACHE
from unipose.pose_decoding import PoseDecoding, revealed_counts


MODELS = {
    "convolution": {"pose_tokenizer": POSE_TOKENIZER_SIZES},
    "body_parts": {"pose_tokenizer": BODY_PARTS_SIZES},
    "sources": {"pose_tokenizer": BODY_PARTS_SIZES, "source_pose_pointer": True},
}
EXPECTED = {"pose_decoding": "expected", "pose_temperature": 2.0}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> UniPoseForConditionalGeneration:
    return tiny_model(**MODELS[request.param])


class KeptTokens(BaseStreamer):
    """Keeps what it gets: the ids of the prompts and of each step, and "end"."""

    def __init__(self) -> None:
        self.values: list = []

    def put(self, value: torch.Tensor) -> None:
        assert value.device.type == "cpu"
        self.values.append(value.tolist())

    def end(self) -> None:
        self.values.append("end")


def codebook_of(model: UniPoseForConditionalGeneration, token: int) -> torch.Tensor:
    quantizer = model.model.pose_tokenizer.quantizer
    is_heading = model.config.pose_tokenizer_config.architecture == "body_parts" and token == 0
    return quantizer.heading_codebook if is_heading else quantizer.codebook


def chosen_by_hand(
    model, logits: torch.Tensor, token: int, decoding: str, temperature: float, source: int | None = None
) -> int:
    """The code of one query, from its logits (codes,)."""
    if decoding == "argmax":
        return int(logits.argmax())
    if source is not None:
        probabilities = logits.softmax(-1)
        if all(probabilities[source] > 4 * p for code, p in enumerate(probabilities) if code != source):
            return source
    codebook = codebook_of(model, token)
    mean = sum(p * row for p, row in zip((logits / temperature).softmax(-1), codebook))
    return int((codebook - mean).norm(dim=1).argmin())


def variance_by_hand(model, logits: torch.Tensor, token: int) -> float:
    codebook = codebook_of(model, token)
    p = logits.softmax(-1).unsqueeze(1)
    spread = (p * (codebook - (p * codebook).sum(0)) ** 2).sum()
    return float(spread / ((codebook - codebook.mean(0)) ** 2).sum(1).mean())


@torch.no_grad()
def pose_by_hand(
    model, prompt: list[int], decoding: str, temperature: float, steps: int, pose_values: torch.Tensor | None = None
) -> tuple[list[int], list]:
    """One pose after a prompt that ends in pose-start: its codes, and the logits that each was chosen from."""
    encode = model.model.pose_tokenizer.encode
    sources = [None] * model.config.num_pose_tokens if pose_values is None else encode(pose_values)[-1].tolist()
    config, tokens = model.config, model.config.num_pose_tokens
    ids = torch.tensor([prompt + [config.pose_query_token_id] * tokens])
    codes, logits_of = [-1] * tokens, [None] * tokens
    for count in [*revealed_counts(tokens, steps), tokens]:
        revealed = torch.tensor([[-1] * len(prompt) + codes])
        first = config.pose_code_start_id
        outputs = model(ids, revealed_pose_codes=revealed, pose_values=pose_values)
        logits = outputs.logits[0, -tokens:, first : first + CODES]
        hidden = [token for token in range(tokens) if codes[token] < 0]
        hidden.sort(key=lambda token: variance_by_hand(model, logits[token], token))
        for token in hidden[: count - (tokens - len(hidden))]:
            codes[token] = chosen_by_hand(model, logits[token], token, decoding, temperature, sources[token])
            logits_of[token] = logits[token]
    return codes, logits_of


@pytest.mark.parametrize("decoding", ["argmax", "expected"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_pose_equals_the_reference(model, decoding: str, steps: int) -> None:
    prompt = pose_prompt(model.config, rows=1)
    output = model.generate(
        prompt, generation_mode="pose", pad_token_id=PAD, pose_decoding=decoding, pose_temperature=2.0,
        pose_refinement_steps=steps, return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    codes, logits = pose_by_hand(model, prompt[0].tolist(), decoding, 2.0, steps)
    first = model.config.pose_code_start_id
    assert (output.sequences[0, prompt.shape[1] : -1] - first).tolist() == codes
    got = torch.cat(output.logits)[: len(codes), first : first + CODES]
    torch.testing.assert_close(got, torch.stack(logits), atol=1e-4, rtol=1e-4)
    if decoding == "expected":
        assert codes != [int(row.argmax()) for row in logits], "the expected code must not be the most probable"


@pytest.mark.parametrize("steps", [1, 3])
def test_a_code_of_the_source_pose_is_kept_where_it_is_the_most_probable(steps: int) -> None:
    model = tiny_model(vision=None, pose_vision=False, **MODELS["sources"])
    config = model.config
    with torch.no_grad():
        model.model.source_pose_pointer.bias.fill_(2.0)
    values = torch.randn(2, 22, 6, generator=torch.Generator().manual_seed(8))
    rows = [
        [*words(3, 1), *pose_block(config) * 2, config.pose_start_token_id],
        [*words(5, 2), config.pose_start_token_id],
    ]
    options = {"pose_decoding": "expected", "pose_temperature": 2.0, "pose_refinement_steps": steps}
    by_hand = [pose_by_hand(model, row, "expected", 2.0, steps, poses)[0] for row, poses in zip(rows, (values, None))]
    settings = {"generation_mode": "pose", "pad_token_id": PAD, **options}
    for cache in ({}, {"use_cache": False}, {"cache_implementation": "static"}):
        output = model.generate(**pad_left(rows), pose_values=values, **settings, **cache)
        assert (output[:, len(rows[0]) : -1] - config.pose_code_start_id).tolist() == by_hand
    kept = torch.tensor(by_hand[0]) == model.model.pose_tokenizer.encode(values)[1]
    assert 0 < kept.sum() < config.num_pose_tokens, "some codes must be kept, and some not"


@pytest.mark.parametrize("options", [EXPECTED, EXPECTED | {"pose_refinement_steps": 3}, {"pose_refinement_steps": 3}])
@pytest.mark.parametrize("sampled", [{}, {"do_sample": True, "top_k": 1}], ids=["greedy", "sampled"])
def test_rows_out_of_step_are_equal_with_every_cache_and_alone(model, options: dict, sampled: dict) -> None:
    """Free mode, images, input poses, left padding, 0 to 3 poses a row."""
    rows, inputs = mixed_rows(model.config)
    batch = pad_left(rows)
    length = batch["input_ids"].shape[1]

    def answer(prompt: dict, starts, **kwargs) -> list[list[int]]:
        width = prompt["input_ids"].shape[1]
        processor = LogitsProcessorList([AskForPoses(model.config, width, starts)])
        settings = {"max_new_tokens": NEW_TOKENS, "logits_processor": processor, "pad_token_id": PAD}
        output = model.generate(**prompt, **settings, **options, **sampled, **kwargs)
        return output[:, width:].tolist()

    together = answer(batch, STARTS, **inputs)
    assert sum(row.count(model.config.pose_start_token_id) for row in together) > 4
    assert answer(batch, STARTS, **inputs, cache_implementation="static") == together
    assert answer(batch, STARTS, **inputs, use_cache=False) == together
    assert length > len(rows[0])
    for index, poses in ((0, slice(0)), (2, slice(1, 3))):
        values = {"pose_values": inputs["pose_values"][poses]} if poses != slice(0) else {}
        assert answer({"input_ids": torch.tensor([rows[index]])}, STARTS[index : index + 1], **values) == [
            together[index]
        ]


def test_sampling_is_not_touched_by_the_expected_code(model) -> None:
    answers = []
    for options in ({}, EXPECTED):
        torch.manual_seed(0)
        settings = {"do_sample": True, "top_k": 0, "pad_token_id": PAD, "generation_mode": "pose"}
        answers.append(model.generate(pose_prompt(model.config), **settings, **options).tolist())
    assert answers[0] == answers[1]


def test_sampled_codes_are_revealed_to_those_that_follow(model) -> None:
    config, tokens = model.config, model.config.num_pose_tokens
    prompt, first = pose_prompt(config), config.pose_code_start_id
    torch.manual_seed(0)
    output = model.generate(
        prompt, generation_mode="pose", do_sample=True, top_k=0, pose_refinement_steps=3, pad_token_id=PAD,
        return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    ids = torch.cat([prompt, prompt.new_full((2, tokens), config.pose_query_token_id)], dim=1)
    codes = output.sequences[:, prompt.shape[1] : -1] - first
    bounds = [0, *revealed_counts(tokens, 3), tokens]
    for start, end in pairwise(bounds):
        revealed = torch.full_like(ids, -1)
        revealed[:, prompt.shape[1] : prompt.shape[1] + start] = codes[:, :start]
        with torch.no_grad():
            expected = model(ids, revealed_pose_codes=revealed).logits[:, -tokens:]
        got = torch.stack(output.logits, dim=1)[:, start:end]
        torch.testing.assert_close(got, expected[:, start:end], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_pose_costs_its_steps_and_leaves_the_cache_of_plain_queries(model, steps: int) -> None:
    prompt, tokens = pose_prompt(model.config), model.config.num_pose_tokens
    counter = CountForwards(model.model.language_model)
    output = model.generate(
        prompt, generation_mode="pose", pad_token_id=PAD, pose_refinement_steps=steps, return_dict_in_generate=True
    )
    assert counter.widths == [8 + tokens] + [tokens] * (steps - 1)
    queries = prompt.new_full((2, tokens), model.config.pose_query_token_id)
    plain = model(torch.cat([prompt, queries], dim=1))[CACHE]
    for layer, expected in zip(output[CACHE].layers, plain.layers):
        torch.testing.assert_close(layer.keys, expected.keys, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(layer.values, expected.values, atol=1e-5, rtol=1e-5)


def test_options_of_the_call_come_before_its_config_and_the_models_own(model, tmp_path: Path) -> None:
    prompt, settings = pose_prompt(model.config), {"generation_mode": "pose", "pad_token_id": PAD}
    plain = model.generate(prompt, **settings).tolist()
    expected = model.generate(prompt, **settings, **EXPECTED).tolist()
    assert plain != expected
    given = GenerationConfig(**EXPECTED, pad_token_id=PAD)
    assert model.generate(prompt, given, generation_mode="pose").tolist() == expected
    model.generation_config = given
    model.save_pretrained(tmp_path)
    loaded = GenerationConfig.from_pretrained(tmp_path)
    assert (loaded.pose_decoding, loaded.pose_temperature) == ("expected", 2.0)
    model.generation_config = loaded
    assert model.generate(prompt, **settings).tolist() == expected
    assert model.generate(prompt, GenerationConfig(pad_token_id=PAD), generation_mode="pose").tolist() == expected
    assert model.generate(prompt, **settings, pose_decoding="argmax").tolist() == plain


def test_causal_codes_are_expected_one_by_one() -> None:
    model = tiny_model(pose_attention="causal")
    settings = {"generation_mode": "pose", "pad_token_id": PAD}
    prompt = pose_prompt(model.config, rows=1)
    codes = model.generate(prompt, **settings, **EXPECTED)[0, 8:-1]
    first = model.config.pose_code_start_id
    with torch.no_grad():
        logits = model(torch.cat([prompt[0], codes])[None]).logits[0, 7:-1, first : first + CODES]
    by_hand = [chosen_by_hand(model, row, token, "expected", 2.0) for token, row in enumerate(logits)]
    assert (codes - first).tolist() == by_hand
    with pytest.raises(ValueError, match="pose_refinement_steps is 2, but this model decodes codes one by one"):
        model.generate(prompt, **settings, pose_refinement_steps=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pose_decoding": "mean"}, 'pose_decoding must be "argmax" or "expected", got \'mean\''),
        ({"pose_temperature": 0}, "pose_temperature must be a positive number, got 0"),
        ({"pose_temperature": "1"}, "pose_temperature must be a positive number, got '1'"),
        ({"pose_refinement_steps": 0}, "pose_refinement_steps must be an integer from 1 to 6, got 0"),
        ({"pose_refinement_steps": 7}, "pose_refinement_steps must be an integer from 1 to 6, got 7"),
        ({"pose_refinement_steps": 2.0}, "pose_refinement_steps must be an integer from 1 to 6, got 2.0"),
    ],
)
def test_values_that_are_not_accepted_say_so(options: dict, message: str) -> None:
    model = tiny_model(vision=None, pose_vision=False)
    with pytest.raises(ValueError, match=message):
        model.generate(pose_prompt(model.config), pad_token_id=PAD, **options)
    with pytest.raises(ValueError, match=message):
        model.generate(pose_prompt(model.config), GenerationConfig(**options))


def test_more_codes_are_known_after_every_forward_and_few_at_first() -> None:
    for tokens in (6, 24, 80):
        for steps in range(1, tokens + 1):
            counts = [0, *revealed_counts(tokens, steps), tokens]
            added = [after - before for before, after in pairwise(counts)]
            assert len(added) == steps
            assert min(added) >= 1
            assert steps > tokens // 2 or added[0] <= added[-1]
    assert PoseDecoding() == PoseDecoding("argmax", 1.0, 1)


@pytest.mark.parametrize("decoding", ["argmax", "expected"])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("cache", [{}, {"cache_implementation": "static"}, {"use_cache": False}], ids=str)
def test_codes_chosen_at_once_are_those_of_the_loop(
    model, monkeypatch: pytest.MonkeyPatch, decoding: str, steps: int, cache: dict
) -> None:
    """Left padding, images, input poses: the same ids, logits, cache and streamed tokens, by one forward a block."""
    rows, inputs = mixed_rows(model.config)
    batch = pad_left([[*row, model.config.pose_start_token_id] for row in rows])
    settings = {
        "generation_mode": "pose", "pose_decoding": decoding, "pose_refinement_steps": steps, "pad_token_id": PAD,
        "return_dict_in_generate": True, "output_code_logits": True, **cache,
    }  # fmt: skip
    loops: list[int] = []
    loop = GenerationMixin._sample
    monkeypatch.setattr(GenerationMixin, "_sample", lambda *a, **kw: loops.append(1) or loop(*a, **kw))
    streamers = [KeptTokens(), KeptTokens()]
    quick = model.generate(**batch, **inputs, **settings, streamer=streamers[0])
    assert not loops
    criteria = [MaxTimeCriteria(600.0)]
    slow = model.generate(**batch, **inputs, **settings, streamer=streamers[1], stopping_criteria=criteria)
    assert loops == [1]
    assert torch.equal(quick.sequences, slow.sequences)
    torch.testing.assert_close(quick.code_logits, slow.code_logits)
    assert quick.code_logits.shape == (len(rows), model.config.num_pose_tokens, model.config.num_pose_codes)
    assert streamers[0].values == streamers[1].values
    assert streamers[0].values[-1] == "end"
    assert torch.equal(
        model.generate(**batch, **inputs, **settings | {"return_dict_in_generate": False}), quick.sequences
    )
    if cache != {"use_cache": False}:
        assert quick[CACHE].get_seq_length() == slow[CACHE].get_seq_length()
        for one, twin in zip(quick[CACHE].layers, slow[CACHE].layers):
            torch.testing.assert_close((one.keys, one.values), (twin.keys, twin.values))


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": True},
        {"repetition_penalty": 1.5},
        {"output_scores": True, "return_dict_in_generate": True},
        {"output_logits": True, "return_dict_in_generate": True},
        {"stopping_criteria": [MaxTimeCriteria(60.0)]},
        {"logits_processor": LogitsProcessorList([MinLengthLogitsProcessor(3, 2)])},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_looks_at_single_steps_gets_them(model, monkeypatch: pytest.MonkeyPatch, settings: dict) -> None:
    loops: list[int] = []
    loop = GenerationMixin._sample
    monkeypatch.setattr(GenerationMixin, "_sample", lambda *a, **kw: loops.append(1) or loop(*a, **kw))
    model.generate(pose_prompt(model.config), generation_mode="pose", pad_token_id=PAD, **settings)
    assert loops == [1]


def test_a_head_with_an_adapter_or_a_hook_gives_the_same_code_logits_as_a_whole(model) -> None:
    """What a head adds to its weights counts in single poses too."""
    settings = {"generation_mode": "pose", "pad_token_id": PAD, "return_dict_in_generate": True}
    prompt = pose_prompt(model.config)
    codes = slice(model.config.pose_code_start_id, model.config.pose_code_start_id + model.config.num_pose_codes)
    plain = model.generate(prompt, **settings, output_code_logits=True).code_logits
    torch.manual_seed(0)
    changed = copy.deepcopy(model)
    adapted = get_peft_model(changed, LoraConfig(r=2, target_modules=["lm_head"], init_lora_weights=False))
    hooked = copy.deepcopy(model)
    hooked.lm_head.register_forward_hook(lambda module, args, output: -output)
    for other in (adapted, hooked):
        quick = other.generate(input_ids=prompt, **settings, output_code_logits=True)
        whole = other.generate(input_ids=prompt, **settings, output_logits=True)
        logits = torch.stack(whole.logits, dim=1)[:, : model.config.num_pose_tokens, codes]
        assert torch.equal(quick.sequences, whole.sequences)
        torch.testing.assert_close(quick.code_logits, logits)
        assert not torch.allclose(quick.code_logits, plain, atol=1e-3)


def test_the_logits_of_codes_are_those_of_poses_alone(model) -> None:
    with pytest.raises(ValueError, match='output_code_logits needs generation_mode="pose", got None'):
        model.generate(pose_prompt(model.config), pad_token_id=PAD, output_code_logits=True)
