"""Generation equals a plain reference: batched == single == cache-less and hand-masked (tests/reference.py)."""

import pytest
import torch
from reference import generate_row, prompt_embeds
from tiny_models import EOS, PAD, POSE_TOKENS, image_block, pad_left, pose_block, random_pixels, tiny_model, words
from transformers import LogitsProcessor, LogitsProcessorList

from unipose.cache_keyword import CACHE


NEW_TOKENS = 40
# For each of five rows, the steps at which a user's processor asks for a pose: 0 to 3 poses, out of step.
STARTS = ((), (3,), (0, 9), (5, 6, 20), (2, 12, 22))


class AskForPoses(LogitsProcessor):
    """Raises pose-start at given steps, and bans the end of text, row by row."""

    def __init__(self, config, prompt_length, starts):
        self.config, self.prompt_length, self.starts = config, prompt_length, starts

    def __call__(self, input_ids, scores):
        step = input_ids.shape[1] - self.prompt_length
        return torch.stack([self.row(step, row, starts) for row, starts in zip(scores, self.starts)])

    def row(self, step, scores, starts):
        scores = scores.clone()
        requested = step in starts
        scores[self.config.pose_start_token_id] += 1e4 if requested else -1e4
        scores[EOS] -= 1e4
        return scores


def mixed_rows(config):
    """Five prompts of different length; some with images and input poses."""
    rows = [words(4, 1), words(9, 2) + pose_block(config), words(3, 3) + pose_block(config) * 2 + words(2, 4)]
    poses = 3
    if config.num_image_tokens:
        rows += [
            image_block(config) + words(5, 5),
            words(2, 6) + image_block(config) + pose_block(config) + words(1, 7),
        ]
        poses += 1
    else:
        rows += [words(12, 5), words(1, 6)]
    generator = torch.Generator().manual_seed(5)
    inputs = {"pose_values": torch.randn(poses, 22, 6, generator=generator)}
    if config.num_image_tokens:
        inputs |= random_pixels(config, 2)
    return rows, inputs


def reference_answers(model, rows, inputs, starts):
    config = model.config
    length = max(map(len, rows))
    answers, pose, image = [], 0, 0
    for row, requested in zip(rows, starts):
        poses = row.count(config.pose_start_token_id)
        images = row.count(config.image_start_token_id)
        pixels = {k: v[image : image + images] for k, v in inputs.items() if "pixel" in k} if images else {}
        embeds = prompt_embeds(model, row, inputs["pose_values"][pose : pose + poses], **pixels)
        pose, image = pose + poses, image + images
        processor = AskForPoses(config, 0, [requested])
        # In the batch a row counts its padding towards the limit.
        limit = len(row) + NEW_TOKENS
        answers.append(
            generate_row(
                model, row, embeds, NEW_TOKENS, EOS, limit, lambda step, s, a=requested, p=processor: p.row(step, s, a)
            )
        )
        assert length >= len(row)
    return answers


@pytest.mark.parametrize("text", ["llama", "mistral", "qwen3"])
@pytest.mark.parametrize("cache", ["dynamic", "static", "none"])
@pytest.mark.parametrize(
    "poses",
    [
        {},
        {"pose_position_embeddings": True},
        {"pose_position_embeddings": True, "source_pose_pointer": True},
        {"pose_attention": "causal"},
    ],
    ids=["mixed", "positions", "sources", "causal"],
)
def test_batched_equals_hand_masked_rows(text, cache, poses):
    model = tiny_model(text=text, **poses)
    rows, inputs = mixed_rows(model.config)
    expected = reference_answers(model, rows, inputs, STARTS)
    batch = pad_left(rows)
    length = batch["input_ids"].shape[1]
    kwargs = {"none": {"use_cache": False}, "static": {"cache_implementation": "static"}, "dynamic": {}}[cache]
    processor = LogitsProcessorList([AskForPoses(model.config, length, STARTS)])
    output = model.generate(
        **batch, **inputs, max_new_tokens=NEW_TOKENS, logits_processor=processor, pad_token_id=PAD, **kwargs
    )
    assert output[:, length:].tolist() == expected
    begun = [row.count(model.config.pose_start_token_id) for row in expected]
    assert begun == [0, 1, 2, 2, 3], "the reference itself must cover 0 to 3 poses a row"


def test_batch_equals_single_rows_with_sampling_support():
    """Row by row through generate() itself: the same ids, whatever the other rows do."""
    model = tiny_model()
    rows, inputs = mixed_rows(model.config)
    batch = pad_left(rows)
    length = batch["input_ids"].shape[1]
    processor = LogitsProcessorList([AskForPoses(model.config, length, STARTS)])
    together = model.generate(
        **batch, **inputs, max_new_tokens=NEW_TOKENS, logits_processor=processor, pad_token_id=PAD
    )
    pose = 0
    for index, row in enumerate(rows[:3]):
        poses = row.count(model.config.pose_start_token_id)
        values = {"pose_values": inputs["pose_values"][pose : pose + poses]} if poses else {}
        pose += poses
        processor = LogitsProcessorList([AskForPoses(model.config, len(row), STARTS[index : index + 1])])
        alone = model.generate(
            torch.tensor([row]), **values, max_new_tokens=NEW_TOKENS, logits_processor=processor, pad_token_id=PAD
        )
        assert alone[0, len(row) :].tolist() == together[index, length:].tolist()


class CountForwards:
    """Counts the calls of a module and remembers how many positions each had."""

    def __init__(self, module):
        self.widths = []
        module.register_forward_pre_hook(self.record, with_kwargs=True)

    def record(self, module, args, kwargs):
        self.widths.append(kwargs["inputs_embeds"].shape[1])


def pose_prompt(config, rows=2):
    return torch.tensor([words(7, 9) + [config.pose_start_token_id]] * rows)


def test_a_pose_costs_one_forward():
    model = tiny_model()
    counter = CountForwards(model.model.language_model)
    output = model.generate(pose_prompt(model.config), generation_mode="pose", pad_token_id=PAD)
    assert counter.widths == [8 + POSE_TOKENS]
    assert output.shape[1] == 8 + POSE_TOKENS + 1
    assert (output[:, -1] == model.config.pose_end_token_id).all()


def test_causal_ablation_costs_one_forward_a_code():
    model = tiny_model(pose_attention="causal")
    counter = CountForwards(model.model.language_model)
    model.generate(pose_prompt(model.config), generation_mode="pose", pad_token_id=PAD)
    assert counter.widths == [8] + [1] * POSE_TOKENS


def test_pose_mode_begins_the_pose_by_itself():
    model = tiny_model()
    prompt = torch.tensor([words(7, 9)])
    output = model.generate(prompt, generation_mode="pose", pad_token_id=PAD)[0, 7:].tolist()
    with_start = model.generate(pose_prompt(model.config, rows=1), generation_mode="pose", pad_token_id=PAD)
    assert output == with_start[0, 7:].tolist()


def test_pose_mode_writes_the_opening_of_a_converted_model():
    """Two ids stand before pose-start; each row goes on from what its prompt ends with, out of step with others."""
    model = tiny_model(pose_opening_ids=[5, 6])
    start, end = model.config.pose_start_token_id, model.config.pose_end_token_id
    rows = [[*words(4, 1), 9], [*words(3, 2), 9, 5], [9, 5, 6], [*words(5, 3), 5, 6, start], [9, 6], [5, 5]]
    leads = [[5, 6, start], [6, start], [start], [], [5, 6, start], [6, start]]
    batch = pad_left(rows)
    ids = model.generate(**batch, generation_mode="pose", pad_token_id=PAD)[:, batch["input_ids"].shape[1] :]
    for row, lead, answer in zip(rows, leads, ids.tolist()):
        assert answer[: len(lead)] == lead
        assert answer[len(lead) + POSE_TOKENS] == end
        alone = model.generate(torch.tensor([row]), generation_mode="pose", pad_token_id=PAD)[0, len(row) :].tolist()
        assert answer[: len(alone)] == alone
    with pytest.raises(ValueError, match="takes 10 more tokens, but the limit leaves 9"):
        model.generate(torch.tensor([rows[0]]), generation_mode="pose", max_new_tokens=9, pad_token_id=PAD)


def test_text_mode_never_begins_a_pose_and_allows_beams():
    model = tiny_model()
    keen = LogitsProcessorList([AskForPoses(model.config, 7, [range(99)])])
    for kwargs in ({}, {"num_beams": 2}, {"do_sample": True}):
        processors = keen if not kwargs else None
        output = model.generate(
            torch.tensor([words(7, 9)]),
            generation_mode="text",
            max_new_tokens=12,
            logits_processor=processors,
            pad_token_id=PAD,
            **kwargs,
        )
        assert (output[0, 7:] < model.config.pose_code_start_id).all()


def blocks_are_whole(ids, config):
    """Reads ids from the left; True if every pose-start is followed by exactly N codes and pose-end."""
    position, codes = 0, range(config.pose_code_start_id, config.pose_code_start_id + 32)
    while position < len(ids):
        if ids[position] == config.pose_start_token_id:
            block = ids[position + 1 : position + 2 + config.num_pose_tokens]
            if len(block) != config.num_pose_tokens + 1 or block[-1] != config.pose_end_token_id:
                return False
            if not all(token in codes for token in block[:-1]):
                return False
            position += len(block)
        elif ids[position] in codes or ids[position] == config.pose_end_token_id:
            return False
        position += 1
    return True


@pytest.mark.parametrize("pose_attention", ["mixed", "causal"])
@pytest.mark.parametrize("temperature", [0.5, 50.0])
def test_sampling_never_makes_a_malformed_pose(pose_attention, temperature):
    """Limits with room for a pose are tried, so that poses meet them; forced ends and bans try to break the block."""
    model = tiny_model(pose_attention=pose_attention)
    torch.manual_seed(1)
    for limit in (8, 9, 11, 16, 17, 25):
        output = model.generate(
            torch.tensor([words(4, 2)] * 3),
            do_sample=True,
            temperature=temperature,
            top_k=5,
            max_new_tokens=limit,
            forced_eos_token_id=EOS,
            repetition_penalty=1.3,
            pad_token_id=PAD,
            logits_processor=LogitsProcessorList([AskForPoses(model.config, 4, [(0, 11), (2,), (limit - 8,)])]),
        )
        for row in output[:, 4:].tolist():
            assert blocks_are_whole(row, model.config), row


def test_sampled_rows_follow_the_queries_logits():
    """The scores of a sampled pose are those of one forward over the queries, tempered."""
    model = tiny_model()
    prompt = pose_prompt(model.config, rows=1)
    output = model.generate(
        prompt,
        generation_mode="pose",
        do_sample=True,
        temperature=2.0,
        top_k=0,
        output_scores=True,
        return_dict_in_generate=True,
        pad_token_id=PAD,
    )
    queries = torch.full((1, POSE_TOKENS), model.config.pose_query_token_id)
    logits = model(torch.cat([prompt, queries], dim=1)).logits[0, -POSE_TOKENS:] / 2.0
    codes = slice(model.config.pose_code_start_id, model.config.pose_code_start_id + 32)
    scores = torch.cat(output.scores)[:POSE_TOKENS]
    torch.testing.assert_close(scores[:, codes], logits[:, codes], atol=1e-4, rtol=1e-4)
    assert torch.isneginf(scores[:, : codes.start]).all()


@pytest.mark.parametrize("stop", [3, POSE_TOKENS + 1, POSE_TOKENS + 4])
def test_cache_can_be_continued_after_a_stop(stop):
    """The returned cache holds a valid place for every id but the last; a stop inside a block waits for its end."""
    model = tiny_model()
    config, prompt = model.config, pose_prompt(model.config)
    output = model.generate(
        prompt, max_new_tokens=40, stopping_criteria=[lambda ids, scores: torch.full((2,), ids.shape[1] >= 8 + stop)],
        return_dict_in_generate=True, pad_token_id=PAD,
    )  # fmt: skip
    cache, ids = output[CACHE], output.sequences
    stop = max(stop, POSE_TOKENS + 1)
    assert ids.shape[1] == 8 + stop
    assert cache.get_seq_length() == 8 + stop - 1
    seen = ids.clone()
    seen[:, 8 : 8 + POSE_TOKENS] = config.pose_query_token_id
    full = model(seen)
    keys = model(torch.cat([prompt, torch.full((2, POSE_TOKENS), config.pose_query_token_id)], 1))[CACHE]
    for layer, plain in zip(cache.layers, keys.layers):
        places = min(8 + stop - 1, 8 + POSE_TOKENS)
        torch.testing.assert_close(layer.keys[:, :, :places], plain.keys[:, :, :places], atol=1e-5, rtol=1e-5)
    last = model(ids[:, -1:], **{CACHE: cache}).logits[:, -1]
    torch.testing.assert_close(last, full.logits[:, -1], atol=1e-4, rtol=1e-4)


def test_continuing_with_new_ids_only_equals_the_whole_prompt():
    model = tiny_model()
    first, second = torch.tensor([words(6, 1)]), pose_prompt(model.config, rows=1)
    cache = model(first)[CACHE]
    both = torch.cat([first, second], dim=1)
    kwargs = {"generation_mode": "pose", "pad_token_id": PAD}
    whole = model.generate(both, **kwargs)
    continued = model.generate(both, **{CACHE: cache}, **kwargs)
    assert continued.tolist() == whole.tolist()


def test_num_return_sequences_keeps_each_rows_poses():
    model = tiny_model()
    rows, inputs = mixed_rows(model.config)
    kwargs = {"generation_mode": "pose", "pad_token_id": PAD, "do_sample": True, "top_k": 1}
    batch = pad_left(rows)
    once = model.generate(**batch, **inputs, **kwargs)
    thrice = model.generate(**batch, **inputs, num_return_sequences=3, **kwargs)
    assert thrice.tolist() == once.repeat_interleave(3, dim=0).tolist()


def test_rows_that_end_need_a_pad():
    model = tiny_model()
    with pytest.raises(ValueError, match=r"pad_token_id is -1, but rows that end with eos_token_id \[1\]"):
        model.generate(torch.tensor([words(4, 1)]), pad_token_id=-1, eos_token_id=[1])


@pytest.mark.parametrize(
    "more", [{}, {"remove_invalid_values": True}, {"remove_invalid_values": True, "typical_p": 0.5}]
)
def test_a_banned_token_stays_banned_under_a_length_penalty(more):
    """The library multiplies the penalty by the score, which is -inf or the lowest number."""
    model = tiny_model()
    kwargs = {"eos_token_id": 1, "min_new_tokens": 6, "max_new_tokens": 12, "eta_cutoff": 0.1, "do_sample": True}
    penalty = {"exponential_decay_length_penalty": (1, 1.5), **more}
    torch.manual_seed(0)
    ids = model.generate(torch.tensor([words(4, 1)]), pad_token_id=PAD, **kwargs, **penalty)
    assert not (ids[0, 4:10] == 1).any()


@pytest.fixture
def process_group():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_under_zero_3_every_forward_is_run_and_nothing_changes():
    model = tiny_model()
    kwargs = {"generation_mode": "pose", "pad_token_id": PAD}
    plain = model.generate(pose_prompt(model.config), **kwargs)
    counter = CountForwards(model.model.language_model)
    assert model.generate(pose_prompt(model.config), synced_gpus=True, **kwargs).tolist() == plain.tolist()
    assert counter.widths == [8 + POSE_TOKENS] + [1] * POSE_TOKENS


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_beams": 2}, r"beam search \(num_beams=2\) cannot cross a pose"),
        ({"prompt_lookup_num_tokens": 3}, "one by one: use greedy search or sampling"),
        ({"guidance_scale": 2.0}, "guidance_scale=2.0"),
        ({"forced_eos_token_id": -1}, "forced_eos_token_id must be an id or a list of ids, got -1"),
        ({"generation_mode": "image"}, 'must be "pose", "text" or None, got \'image\''),
        ({"generation_mode": "pose", "max_new_tokens": 5}, "takes 8 more tokens, but the limit leaves 5"),
    ],
)
def test_what_cannot_work_says_so(kwargs, message):
    model = tiny_model()
    with pytest.raises(ValueError, match=message):
        model.generate(torch.tensor([words(5, 1)]), pad_token_id=PAD, **kwargs)


def test_assisted_decoding_says_so():
    model = tiny_model()
    with pytest.raises(ValueError, match="one by one"):
        model.generate(torch.tensor([words(5, 1)]), assistant_model=tiny_model(seed=1), pad_token_id=PAD)


def test_a_prompt_inside_a_pose_says_so():
    config = (model := tiny_model()).config
    prompt = torch.tensor([[*words(3, 1), config.pose_start_token_id, config.pose_code_start_id]])
    with pytest.raises(ValueError, match=r"row 0 of the prompt ends inside a pose \(1 of 6 codes\)"):
        model.generate(prompt, pad_token_id=PAD)


@pytest.mark.parametrize(("vision", "pose_vision"), [("clip", True), ("clip", False), (None, True)])
@pytest.mark.parametrize("use_cache", [True, False])
def test_images_are_encoded_once_for_all_returned_sequences(vision, pose_vision, use_cache):
    model = tiny_model(vision=vision, pose_vision=pose_vision)
    config, calls = model.config, []
    for encoder in (model.model.vision_tower, model.model.pose_vision_tower):
        if encoder is not None:
            encoder.register_forward_hook(lambda *_: calls.append(1))
    prompt = torch.tensor([image_block(config) + words(3, 1), image_block(config) + words(3, 2)])
    pixels = random_pixels(config, 2)
    settings = {"pad_token_id": PAD, "generation_mode": "text", "max_new_tokens": 4, "use_cache": use_cache}
    once = model.generate(prompt, **pixels, **settings)
    calls.clear()
    thrice = model.generate(prompt, **pixels, num_return_sequences=3, do_sample=True, top_k=1, **settings)
    assert len(calls) == (vision is not None) + pose_vision
    assert thrice.tolist() == once.repeat_interleave(3, dim=0).tolist()
    features = {"mm_encoder_outputs": {"image": model.get_image_features(**pixels)}}
    assert model.generate(prompt, **features, **settings).tolist() == once.tolist()
    with pytest.raises(ValueError, match="or mm_encoder_outputs, got both"):
        model.generate(prompt, **features, **pixels, **settings)
