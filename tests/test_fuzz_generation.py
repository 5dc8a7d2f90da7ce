"""Arguments of generation: whole poses whose codes only the model, temperature, top-k and top-p chose; or an error."""

from typing import Any

import numpy as np
import pytest
import torch
from fuzzing import attempt, fuzzed, refused
from hypothesis import assume, given
from hypothesis import strategies as st
from reference import plain_logits, prompt_embeds
from tiny_models import CODES, EOS, PAD, POSE_TOKENS, tiny_model, words
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria
from transformers import pipeline as make_pipeline
from transformers.pipelines.pt_utils import KeyDataset

from unipose import UniPoseForConditionalGeneration, UniPosePipeline


LIMIT = 512


@pytest.fixture(scope="module")
def model() -> UniPoseForConditionalGeneration:
    return tiny_model()


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint: Any) -> UniPosePipeline:
    return make_pipeline("unipose", model=str(tiny_checkpoint))


class StartAt(LogitsProcessor):
    """Makes the model want a pose at given steps."""

    def __init__(self, model: UniPoseForConditionalGeneration, prompt: int, steps: list[int]):
        self.start, self.prompt, self.steps = model.config.pose_start_token_id, prompt, steps

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if input_ids.shape[1] - self.prompt in self.steps:
            scores[:, self.start] = torch.where(scores[:, self.start].isneginf(), scores[:, self.start], 1e4)
        return scores


def blocks(model: UniPoseForConditionalGeneration, row: list[int]) -> list[list[int]]:
    """The codes of each pose of an answer; an AssertionError where one is not whole."""
    config = model.config
    first, last = config.pose_code_start_id, config.pose_code_start_id + config.pose_tokenizer_config.codebook_size
    found, place = [], 0
    while place < len(row):
        assert row[place] != config.pose_end_token_id, row
        assert not first <= row[place] < last, row
        if row[place] == config.pose_start_token_id:
            codes = row[place + 1 : place + 1 + POSE_TOKENS]
            assert len(codes) == POSE_TOKENS, row
            assert all(first <= code < last for code in codes), row
            place += POSE_TOKENS + 1
            assert row[place : place + 1] == [config.pose_end_token_id], row
            found.append(codes)
        place += 1
    return found


@torch.no_grad()
def check_codes(
    model: UniPoseForConditionalGeneration, prompt: list[int], answer: list[int], kwargs: dict[str, Any]
) -> int:
    """Checks every pose of an answer against the logits of a plain forward without a cache; the number of poses.

    Args:
        model: The model, whose codes see each other.
        prompt: Its ids.
        answer: Its ids.
        kwargs: Arguments of the call; of these temperature, top-k and top-p act inside a pose.
    """
    config, count = model.config, 0
    first, query = config.pose_code_start_id, [config.pose_query_token_id] * POSE_TOKENS
    embeds, seen = prompt_embeds(model, prompt), []
    for place, token in enumerate(answer):
        seen.append(token)
        if token == config.pose_start_token_id:
            logits = plain_logits(model, prompt + seen + query, embeds)[-POSE_TOKENS:, first : first + CODES]
            codes = torch.tensor(answer[place + 1 : place + 1 + POSE_TOKENS]) - first
            assert is_likely(logits, codes, kwargs), (codes.tolist(), logits.argmax(-1).tolist())
            count += 1
        elif first <= token < first + CODES:
            seen[-1] = query[0]
    return count


def is_likely(logits: torch.Tensor, codes: torch.Tensor, kwargs: dict[str, Any]) -> bool:
    """Whether codes are the most probable ones, or of those that temperature, top-k and top-p leave to a sample."""
    chosen = logits.gather(1, codes[:, None])
    if not kwargs.get("do_sample"):
        return bool((chosen >= logits.max(dim=1, keepdim=True).values - 1e-4).all())
    above = logits > chosen + 1e-4
    top_k = kwargs.get("top_k") or CODES
    if not (above.sum(dim=1) < top_k).all():
        return False
    kept = logits.masked_fill(logits < logits.topk(min(top_k, CODES)).values[:, -1:] - 1e-4, -torch.inf)
    shares = (kept / kwargs.get("temperature", 1.0)).softmax(dim=1)
    return bool(((shares * above).sum(dim=1) < kwargs.get("top_p", 1.0) + 1e-4).all())


TEXT_ARGUMENTS = {
    "repetition_penalty": st.floats(0.1, 10),
    "no_repeat_ngram_size": st.integers(0, 3),
    "bad_words_ids": st.lists(st.lists(st.integers(2, 71), min_size=1, max_size=2), min_size=1, max_size=3),
    "suppress_tokens": st.lists(st.integers(2, 71), min_size=1, max_size=40, unique=True),
    "begin_suppress_tokens": st.lists(st.integers(2, 71), min_size=1, max_size=40, unique=True),
    "sequence_bias": st.dictionaries(st.integers(2, 71).map(lambda token: (token,)), st.floats(-99, 99), min_size=1),
    "exponential_decay_length_penalty": st.tuples(st.integers(0, 5), st.floats(1.01, 3)),
    "min_new_tokens": st.integers(0, 12),
    "forced_eos_token_id": st.just(EOS),
    "remove_invalid_values": st.booleans(),
    "renormalize_logits": st.booleans(),
}


@fuzzed(20, 100)
@given(kwargs=st.fixed_dictionaries({}, optional=TEXT_ARGUMENTS), seed=st.integers(0, 9))
def test_arguments_for_text_leave_poses_alone(
    model: UniPoseForConditionalGeneration, kwargs: dict[str, Any], seed: int
) -> None:
    prompt = torch.tensor([words(5, seed), words(5, seed + 1)])
    fixed = {"generation_mode": "pose", "pad_token_id": PAD}
    output, error = attempt(lambda: model.generate(prompt, **fixed, **kwargs))
    assert error is None, error
    assert output.shape == (2, 5 + POSE_TOKENS + 2)
    for row in output.tolist():
        assert check_codes(model, row[:5], row[5:], {}) == len(blocks(model, row[5:])) == 1


@fuzzed(30, 450)
@given(
    kwargs=st.fixed_dictionaries(
        {"max_new_tokens": st.integers(1, 30)},
        optional={
            **TEXT_ARGUMENTS,
            "do_sample": st.booleans(),
            "temperature": st.floats(0.1, 100),
            "top_k": st.integers(0, 60),
            "top_p": st.floats(0.05, 1),
            "min_p": st.floats(0, 1),
            "typical_p": st.floats(0.05, 1),
            "epsilon_cutoff": st.floats(0, 0.9),
            "eta_cutoff": st.floats(0, 0.9),
            "num_return_sequences": st.integers(1, 3),
            "use_cache": st.booleans(),
            "max_time": st.floats(1e-6, 1e-3),
        },
    ),
    steps=st.lists(st.integers(0, 25), max_size=3),
    seed=st.integers(0, 5),
)
def test_free_answers_are_whole(
    model: UniPoseForConditionalGeneration, kwargs: dict[str, Any], steps: list[int], seed: int
) -> None:
    prompt = torch.tensor([words(4, seed), words(4, seed + 1)])
    processor = LogitsProcessorList([StartAt(model, 4, steps)])
    assume(kwargs.get("num_return_sequences", 1) == 1 or kwargs.get("do_sample"))
    torch.manual_seed(seed)
    output, error = attempt(lambda: model.generate(prompt, pad_token_id=PAD, logits_processor=processor, **kwargs))
    if error is not None:
        assert "raise max_new_tokens" in error, error
        assert kwargs["max_new_tokens"] < POSE_TOKENS + 2
        return
    for row in output.tolist():
        poses = blocks(model, row[4:])
        assert check_codes(model, row[:4], row[4:], kwargs) == len(poses)
        is_wanted = 0 in steps and set(kwargs) <= {"max_new_tokens", "use_cache"}
        assert poses or not is_wanted, "a pose that the model starts is never dropped"


class StopAt(StoppingCriteria):
    """Stops once, and only in that step."""

    def __init__(self, step: int):
        self.step = step

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        return torch.full((len(input_ids),), input_ids.shape[1] == self.step)


@fuzzed(15, 60)
@given(step=st.integers(5, 12), seed=st.integers(0, 9))
def test_a_stop_waits_for_the_end_of_a_pose(model: UniPoseForConditionalGeneration, step: int, seed: int) -> None:
    prompt = torch.tensor([words(4, seed)])
    kwargs = {"generation_mode": "pose", "pad_token_id": PAD}
    for stop in ({"stopping_criteria": [StopAt(step)]}, {"max_time": 1e-9}):
        output, error = attempt(lambda stop=stop: model.generate(prompt, **stop, **kwargs))
        assert error is None, error
        (row,) = output.tolist()
        assert check_codes(model, row[:4], row[4:], {}) == len(blocks(model, row[4:])) == 1


@fuzzed(30, 120)
@given(length=st.integers(LIMIT - 12, LIMIT + 3), new=st.integers(1, 40), mode=st.sampled_from([None, "text", "pose"]))
def test_prompts_must_fit(model: UniPoseForConditionalGeneration, length: int, new: int, mode: str | None) -> None:
    prompt = torch.tensor([words(length, 1)])
    output, error = attempt(lambda: model.generate(prompt, generation_mode=mode, max_new_tokens=new, pad_token_id=PAD))
    if error is None:
        assert length < output.shape[1] <= min(LIMIT, length + new)
        answer = output[0, length:].tolist()
        assert check_codes(model, prompt[0].tolist(), answer, {}) == len(blocks(model, answer)) >= (mode == "pose")
    else:
        too_long = (f"{length} tokens", f"{LIMIT} positions")
        numbers = too_long if length >= LIMIT else (f"leaves {min(new, LIMIT - length)}",)
        assert all(number in error for number in numbers), error
        assert length >= LIMIT or mode != "text"


WRONG = st.sampled_from(
    [
        -1,
        0,
        0.0,
        -0.5,
        1.5,
        float("nan"),
        float("inf"),
        "2",
        True,
        [],
        {},
        b"x",
        10**30,
        1e-320,
        object(),
        [1, 2],
        (3,),
    ]
)
NAMES = (
    "num_beams", "num_return_sequences", "max_new_tokens", "max_length", "min_new_tokens", "min_length", "top_k",
    "top_p", "min_p", "typical_p", "temperature", "repetition_penalty", "no_repeat_ngram_size", "epsilon_cutoff",
    "eta_cutoff", "max_time", "do_sample", "use_cache", "seed", "length_penalty", "return_dict_in_generate",
    "output_scores", "eos_token_id", "pad_token_id", "bos_token_id", "stop_strings", "bad_words_ids",
    "suppress_tokens", "begin_suppress_tokens", "sequence_bias", "forced_bos_token_id", "forced_eos_token_id",
    "exponential_decay_length_penalty", "guidance_scale", "penalty_alpha", "num_beam_groups", "diversity_penalty",
    "constraints", "cache_implementation", "pose_decoding", "pose_temperature", "pose_refinement_steps",
    "generation_mode", "stopping_criteria", "logits_processor", "streamer", "assistant_model",
    "prompt_lookup_num_tokens", "attention_mask", "position_ids", "unknown_argument", "renormalize_logits",
    "remove_invalid_values", "early_stopping", "low_memory", "dola_layers", "token_healing", "top_h",
)  # fmt: skip


@fuzzed(250, 5000)
@given(
    kwargs=st.dictionaries(st.sampled_from(NAMES), WRONG, min_size=1, max_size=2), mode=st.sampled_from([None, "pose"])
)
def test_wrong_arguments(model: UniPoseForConditionalGeneration, kwargs: dict[str, Any], mode: str | None) -> None:
    prompt = torch.tensor([words(4, 3)])
    arguments = {"generation_mode": mode, "max_new_tokens": 12, "pad_token_id": PAD, **kwargs}
    output, error = attempt(lambda: model.generate(prompt, **arguments))
    if error is not None:
        # The library writes some names as words, and names code on the Hub that others stand for.
        said = error.replace(" ", "_")
        assert any(name in said for name in [*kwargs, "requires_`trust_remote_code=True`"]), error
        return
    for row in getattr(output, "sequences", output).tolist():
        assert check_codes(model, row[:4], row[4:], kwargs) == len(blocks(model, row[4:]))


@fuzzed(60, 60)
@given(size=WRONG | st.integers(-3, 3))
def test_batch_sizes(pipe: UniPosePipeline, size: Any) -> None:
    if type(size) is int and 1 <= size < 2**31:
        answers = pipe(["Run.", "Sit."], task="text-to-pose", batch_size=size)
        assert same(answers, [pipe(text, task="text-to-pose") for text in ("Run.", "Sit.")])
    else:
        refused(
            lambda: pipe(["Run.", "Sit."], task="text-to-pose", batch_size=size),
            "batch_size must be an integer of at least 1",
        )


ITEMS = ["A person runs.", "Someone sits.", "A person kneels."]
POSES = [np.full((22, 3), angle, dtype=np.float32) for angle in (0.1, 0.2, 0.3)]


def same(answers: Any, expected: Any) -> bool:
    pairs = list(zip(answers, expected, strict=True))
    return all(one["text"] == two["text"] and np.allclose(one["poses"], two["poses"], atol=1e-3) for one, two in pairs)


@fuzzed(6, 12)
@given(form=st.sampled_from(["generator", "iterator", "dataset", "column", "dicts"]), size=st.integers(1, 4))
def test_streams_equal_lists(pipe: UniPosePipeline, form: str, size: int) -> None:
    from datasets import Dataset

    rows = Dataset.from_list([{"words": item} for item in ITEMS])
    streams = {
        "generator": lambda: (item for item in ITEMS),
        "iterator": lambda: iter(ITEMS),
        "dataset": lambda: KeyDataset(rows, "words"),
        "column": lambda: rows["words"],
        "dicts": lambda: ({"text": item, "poses": None} for item in ITEMS),
    }
    expected = pipe(ITEMS, task="text-to-pose")
    answers = pipe(streams[form](), task="text-to-pose", batch_size=size)
    assert next(answers)["poses"][0].shape == (22, 3, 3)
    assert same(answers, expected[1:])
    if form in ("dataset", "column"):
        assert len(pipe(streams[form](), task="text-to-pose")) == len(ITEMS)


def test_streams_of_poses_and_of_two_inputs(pipe: UniPosePipeline) -> None:
    short = {"task": "pose-to-text", "max_new_tokens": 4}
    expected = pipe(poses=POSES, **short)
    assert same(pipe(poses=iter(POSES), **short), expected)
    assert same(pipe(text=["Describe the pose."] * 3, poses=(pose.tolist() for pose in POSES), **short), expected)
    edits = pipe(text=ITEMS, poses=POSES, task="pose-edit")
    assert same(
        pipe(text=iter(ITEMS), poses=POSES[0], task="pose-edit"), pipe(ITEMS, poses=POSES[0], task="pose-edit")
    )
    assert same(pipe(text=iter(ITEMS), poses=iter(POSES), task="pose-edit", batch_size=2), edits)
    pairs = [[POSES[0], POSES[1]], [POSES[1], POSES[2]]]
    assert same(
        pipe(poses=iter(pairs), task="pose-diff", max_new_tokens=4),
        pipe(poses=pairs, task="pose-diff", max_new_tokens=4),
    )
    with pytest.raises(ValueError, match="different numbers of rows: 3 of text, 2 of poses"):
        list(pipe(text=iter(ITEMS), poses=iter(POSES[:2]), task="pose-edit", batch_size=4))
    with pytest.raises(ValueError, match=r"row 1 has the keys \['caption'\]"):
        list(pipe(iter([{"caption": "Run."}])))
    several = list(pipe(iter(ITEMS), task="text-to-pose", num_return_sequences=2, seed=1))
    assert [len(group) for group in several] == [2, 2, 2]


def test_a_config_is_checked_as_arguments_are(model: UniPoseForConditionalGeneration) -> None:
    config = GenerationConfig(max_new_tokens=4)
    config.temperature = float("nan")
    with pytest.raises(ValueError, match="generation_config: temperature must be a number of at least"):
        model.generate(torch.tensor([words(4, 3)]), config)
    for name, value in {"num_beams": 10**30, "sequence_bias": [1, 2], "top_k": 2**31}.items():
        with pytest.raises(ValueError, match=f"{name} must be"):
            model.generate(torch.tensor([words(4, 3)]), **{name: value})
    with pytest.raises(ValueError, match="eos_token_id holds 45, which would end an answer inside a pose"):
        model.generate(torch.tensor([words(4, 3)]), eos_token_id=45, max_new_tokens=9)
