"""The forward pass: masks, queries, images, input poses, the paper's loss."""

import json

import pytest
import torch
import transformers
from reference import mixed_mask, plain_logits, prompt_embeds
from tiny_models import (
    PAD,
    POSE_TOKENS,
    image_block,
    pad_left,
    pose_block,
    random_pixels,
    tiny_config,
    tiny_model,
    words,
)
from transformers import AutoModelForImageTextToText

from unipose import UniPoseConfig, UniPoseForConditionalGeneration
from unipose.cache_keyword import CACHE
from unipose.mixed_attention import create_mask
from unipose.query_runs import block_index, query_index, shift_pose_labels


def answer_block(config):
    return [
        config.pose_start_token_id,
        *[config.pose_query_token_id] * config.num_pose_tokens,
        config.pose_end_token_id,
    ]


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_mask_equals_a_hand_built_one(implementation):
    """Left and right padding, 0 to 3 output poses a row, two of them next to each other."""
    model = tiny_model(attn_implementation=implementation)
    config = model.config
    rows = [
        words(3, 1) + answer_block(config) + words(2, 2) + answer_block(config) * 2,
        words(5, 3) + answer_block(config),
        words(9, 4),
    ]
    left = pad_left(rows)
    ids, mask = left["input_ids"], left["attention_mask"]
    is_query = ids == config.pose_query_token_id
    embeds = model.get_input_embeddings()(ids)
    made = create_mask(model.model.language_model.config, embeds, mask, None, None, is_query)
    made = made if made.dtype == torch.bool else made == 0
    for row in range(len(rows)):
        pad = int((mask[row] == 0).sum())
        by_hand = mixed_mask(is_query[row].tolist())
        by_hand[:, :pad] = False
        assert torch.equal(made[row, 0, pad:], by_hand[pad:])
    for row, logits in zip(rows, model(**left, position_ids=(mask.cumsum(1) - 1).clamp_min(0)).logits):
        alone = plain_logits(model, row, torch.empty(0, 32))
        torch.testing.assert_close(logits[-len(row) :], alone, atol=1e-4, rtol=1e-4)


def test_causal_ablation_has_a_causal_mask():
    model = tiny_model(pose_attention="causal")
    ids = torch.tensor([words(3, 1) + answer_block(model.config)])
    embeds, config = model.get_input_embeddings()(ids), model.model.language_model.config
    made = create_mask(config, embeds, torch.ones_like(ids), None, None, None)
    assert made is None or torch.equal(made[0, 0], torch.ones(ids.shape[1], ids.shape[1]).tril().bool())


def test_query_and_block_index():
    is_query = torch.tensor([[0, 1, 1, 0, 1, 1, 1, 0], [1, 0, 0, 0, 0, 0, 1, 1]]).bool()
    assert query_index(is_query)[is_query].tolist() == [0, 1, 0, 1, 2, 0, 0, 1]
    assert block_index(is_query)[is_query].tolist() == [0, 0, 1, 1, 1, 0, 1, 1]


@pytest.mark.parametrize(
    ("vision", "pose_vision"), [("clip", True), ("siglip", True), ("clip", False), (None, True), (None, False)]
)
@pytest.mark.parametrize("positions", [False, True])
def test_images_and_input_poses_stand_where_their_placeholders_are(vision, pose_vision, positions):
    model = tiny_model(vision=vision, pose_vision=pose_vision, pose_position_embeddings=positions)
    config = model.config
    rows = [words(3, 1) + pose_block(config) + words(2, 2), words(4, 3) + pose_block(config) * 2]
    pixels = {}
    if config.num_image_tokens:
        rows[1] += image_block(config) + words(1, 4)
        pixels = random_pixels(config, 1)
    poses = torch.randn(3, 22, 6)
    batch = pad_left(rows)
    positions = (batch["attention_mask"].cumsum(1) - 1).clamp_min(0)
    logits = model(**batch, pose_values=poses, position_ids=positions, **pixels).logits
    for index, (row, values) in enumerate(zip(rows, (poses[:1], poses[1:]))):
        embeds = prompt_embeds(model, row, values, **(pixels if index else {}))
        expected = plain_logits(model, row, embeds)
        torch.testing.assert_close(logits[index, -len(row) :], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"pose_position_embeddings": True}, {"source_pose_pointer": True}])
def test_ids_of_codes_are_embedded_like_poses(options):
    """Training embeds the codes of prepared rows, everything else the poses themselves."""
    model = tiny_model(**options)
    config, poses = model.config, torch.randn(3, 22, 6)
    rows = [
        words(3, 1) + pose_block(config) * 2 + words(2, 2),
        pose_block(config) + words(4, 3) + answer_block(config),
    ]
    ids = pad_left(rows)["input_ids"]
    with_codes = ids.clone()
    codes = model.model.pose_tokenizer.encode(poses) + config.pose_code_start_id
    with_codes[ids == config.pose_token_id] = codes.flatten()
    torch.testing.assert_close(model(ids, pose_values=poses).logits, model(with_codes).logits)


def test_a_position_belongs_to_a_code_of_a_pose():
    model = tiny_model(pose_position_embeddings=True)
    config, base = model.config, model.model
    ids = torch.tensor([words(3, 1) + answer_block(config) + words(2, 2) + [config.pose_code_start_id] * 5])
    added = base.embed_ids(ids) - base.get_input_embeddings()(ids)
    torch.testing.assert_close(added[0, -5:], base.pose_position_embeddings.weight[:5])
    assert not added[0, :-5].any()


def test_revealed_codes_have_their_positions():
    model = tiny_model(pose_position_embeddings=True)
    config, base = model.config, model.model
    ids = torch.tensor([words(3, 1) + answer_block(config)])
    is_query, codes = ids == config.pose_query_token_id, torch.full_like(ids, -1)
    codes[is_query] = torch.tensor([-1, 7] * (config.num_pose_tokens // 2))
    embeds = base.insert_queries(base.get_input_embeddings()(ids), is_query, revealed_pose_codes=codes)[is_query]
    code = base.get_input_embeddings().weight[config.pose_code_start_id + 7]
    torch.testing.assert_close(embeds[1::2], code + base.pose_position_embeddings.weight[1::2])
    torch.testing.assert_close(embeds[::2], base.pose_query_embeddings.weight[::2])


def test_queries_point_to_the_codes_of_the_last_input_pose():
    """By hand, for a row with two input poses, one with two output poses behind one input pose, and one without."""
    model = tiny_model(source_pose_pointer=True, pose_position_embeddings=True)
    config, poses = model.config, torch.randn(3, 22, 6)
    rows = [
        words(2, 1) + pose_block(config) * 2 + words(3, 2) + answer_block(config),
        words(4, 5) + pose_block(config) + answer_block(config) + words(2, 6) + answer_block(config),
        answer_block(config) + words(2, 7),
    ]
    batch = pad_left(rows)
    places = (batch["attention_mask"].cumsum(1) - 1).clamp_min(0)
    logits = model(**batch, pose_values=poses, position_ids=places).logits
    embeds = model.get_input_embeddings()(batch["input_ids"])
    embedded = model(
        inputs_embeds=embeds, attention_mask=batch["attention_mask"], pose_values=poses, position_ids=places
    ).logits
    torch.testing.assert_close(embedded, logits)
    for index, (row, values) in enumerate(zip(rows, (poses[:2], poses[2:], poses[:0]))):
        first_query = row.index(config.pose_query_token_id)
        prompt = prompt_embeds(model, row[:first_query], values if len(values) else None)
        expected = plain_logits(model, row, prompt)
        torch.testing.assert_close(logits[index, -len(row) :], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("option", ["pose_position_embeddings", "source_pose_pointer"])
def test_codes_that_are_decoded_alone_have_no_positions(option):
    with pytest.raises(ValueError, match=option + r' is true and pose_attention is "causal".*expected .*"mixed"'):
        tiny_config(**{option: True}, pose_attention="causal")


def test_second_pose_is_the_second_pose():
    """The original release shows pose A twice; here each pose changes the answer."""
    model = tiny_model()
    ids = torch.tensor([pose_block(model.config) * 2 + words(2, 1)])
    first, second = torch.randn(2, 22, 6)
    same = model(ids, pose_values=torch.stack([first, first])).logits[0, -1]
    other = model(ids, pose_values=torch.stack([first, second])).logits[0, -1]
    swapped = model(ids, pose_values=torch.stack([second, first])).logits[0, -1]
    assert not torch.allclose(same, other)
    assert not torch.allclose(other, swapped)


def test_text_only_prompts_cost_no_vision_and_no_pose_encoding():
    model = tiny_model()
    calls = []
    for name in ("vision_tower", "pose_vision_tower", "multi_modal_projector"):
        getattr(model.model, name).register_forward_hook(lambda *_, name=name: calls.append(name))
    model.model.pose_tokenizer.encoder.register_forward_hook(lambda *_: calls.append("pose_tokenizer"))
    model(torch.tensor([words(5, 1)]))
    model.generate(torch.tensor([words(5, 1)]), max_new_tokens=3, pad_token_id=PAD)
    assert calls == []
    image = torch.tensor([image_block(model.config) + pose_block(model.config)])
    pixels = random_pixels(model.config, 1)
    model.generate(image, pose_values=torch.randn(1, 22, 6), max_new_tokens=9, pad_token_id=PAD, **pixels)
    assert sorted(calls) == ["multi_modal_projector", "pose_tokenizer", "pose_vision_tower", "vision_tower"]


def paper_loss(logits, input_ids, labels, config):
    """The formula of the paper, one row and one position at a time."""
    total, count = 0.0, 0
    for row in range(len(input_ids)):
        is_query = input_ids[row] == config.pose_query_token_id
        for position, label in enumerate(labels[row].tolist()):
            count += label != -100
            if label == -100 or position == 0:
                continue
            if is_query[position]:
                total -= logits[row, position].log_softmax(-1)[label]
            elif not is_query[position - 1]:
                # What follows a query is pose-end: it is counted and never supervised. What precedes a run of
                # queries is pose-start: it predicts nothing but itself was predicted.
                total -= logits[row, position - 1].log_softmax(-1)[label]
    return total / count


def training_batch(config):
    rows = [words(4, 1) + answer_block(config) + words(3, 2), words(6, 3) + answer_block(config) * 2, words(5, 4)]
    length = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (length - len(row)) for row in rows])
    mask = (torch.arange(length) < torch.tensor([[len(row)] for row in rows])).long()
    codes = torch.randint(0, 32, ids.shape, generator=torch.Generator().manual_seed(0))
    labels = torch.where(ids == config.pose_query_token_id, codes + config.pose_code_start_id, ids)
    labels[:, :2] = -100
    return ids, mask, labels.masked_fill(mask == 0, -100)


def test_loss_is_the_papers():
    model = tiny_model()
    ids, mask, labels = training_batch(model.config)
    output = model(input_ids=ids, attention_mask=mask, labels=labels)
    torch.testing.assert_close(output.loss, paper_loss(output.logits, ids, labels, model.config))
    doubled = model(input_ids=ids, attention_mask=mask, labels=labels, num_items_in_batch=7).loss
    torch.testing.assert_close(doubled, output.loss * (labels != -100).sum() / 7)


def test_trl_fused_loss_equals_the_papers():
    """TRL patches forward and ignores its loss; with shift_labels the two agree."""
    from trl.trainer.utils import add_fused_lm_head

    model = tiny_model()
    ids, mask, labels = training_batch(model.config)
    labels[ids == model.config.pose_end_token_id] = -100
    shifted = shift_pose_labels(ids == model.config.pose_query_token_id, labels)
    expected = paper_loss(model(input_ids=ids, attention_mask=mask).logits, ids, labels, model.config)
    add_fused_lm_head(model)
    fused = model(input_ids=ids, attention_mask=mask, labels=labels, shift_labels=shifted, fused_lm_head=True).loss
    torch.testing.assert_close(fused, expected, atol=1e-5, rtol=1e-5)
    wrong = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True).loss
    assert abs(wrong - expected) > 1e-2, "without shift_labels TRL's loss must differ, or this test shows nothing"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({}, "6 pose placeholders, but pose_values hold 0 poses"),
        ({"pose_values": torch.randn(2, 22, 6)}, r"hold 2 poses of 6 tokens \(12\)"),
        ({"pose_values": torch.randn(1, 21, 6)}, r"must have the shape \(batch, 22, 6\), got \(1, 21, 6\)"),
        ({"pixel_values": torch.randn(1, 3, 32, 32)}, "needs pose_pixel_values"),
    ],
)
def test_mismatches_name_both_numbers(extra, message):
    model = tiny_model()
    ids = torch.tensor([words(2, 1) + pose_block(model.config)])
    with pytest.raises(ValueError, match=message):
        model(ids, **extra)


def test_images_without_placeholders_say_so():
    model = tiny_model()
    with pytest.raises(ValueError, match=r"0 image placeholders, but 1 images of 16 tokens \(16\)"):
        model(torch.tensor([words(3, 1)]), **random_pixels(model.config, 1))


def test_config_round_trip_and_errors(tmp_path):
    config = tiny_config()
    config.save_pretrained(tmp_path)
    assert UniPoseConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()
    with pytest.raises(ValueError, match="sliding_window"):
        UniPoseConfig(text_config={"model_type": "mistral", "sliding_window": 64, "vocab_size": 40000})
    with pytest.raises(ValueError, match=r"ids 32000\.\.34047, but text_config.vocab_size is 100"):
        UniPoseConfig(text_config={"model_type": "llama", "vocab_size": 100})


@pytest.mark.parametrize("tied", [False, True])
def test_save_and_load_give_the_same_logits(tmp_path, tied):
    model = tiny_model()
    if tied:
        config = tiny_config(tie_word_embeddings=True)
        model = UniPoseForConditionalGeneration(config).eval()
        assert model.lm_head.weight is model.get_input_embeddings().weight
    ids = torch.tensor([words(3, 1) + answer_block(model.config)])
    model.save_pretrained(tmp_path)
    loaded = UniPoseForConditionalGeneration.from_pretrained(tmp_path)
    assert torch.equal(loaded(ids).logits, model(ids).logits)


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_cached_decoding_by_hand_equals_the_full_forward(name):
    """Under both names: one of them is not the installed library's, and must not vanish among other arguments."""
    model = tiny_model()
    ids = torch.tensor([words(3, 1) + pose_block(model.config) + words(4, 2)])
    poses = torch.randn(1, 22, 6)
    full = model(ids, pose_values=poses).logits
    cache = model(ids[:, :-3], pose_values=poses)[CACHE]
    for base_too in (model, model.model):
        with pytest.raises(ValueError, match=r"Both `past_key_values` and `cache` are set"):
            base_too(ids[:, -1:], cache=cache, past_key_values=cache)
    steps = [model(ids[:, at : at + 1], **{name: cache}).logits for at in range(ids.shape[1] - 3, ids.shape[1] - 1)]
    hidden = model.model(ids[:, -1:], **{name: cache}).last_hidden_state
    torch.testing.assert_close(torch.cat([*steps, model.lm_head(hidden)], dim=1), full[:, -3:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("version", ["5.23.0", "5.24.0"])
def test_a_folder_of_another_version_loads(tmp_path, version):
    """The folders that 5.23 and 5.24 save differ in this entry alone; 5.24's name of the cache is in neither."""
    model = tiny_model()
    model.save_pretrained(tmp_path)
    for path in (tmp_path / "config.json", tmp_path / "generation_config.json"):
        written = json.loads(path.read_text())
        assert written.pop("transformers_version") == transformers.__version__
        assert not {"cache", "past_key_values"} & set(written)
        path.write_text(json.dumps({**written, "transformers_version": version}))
    ids = torch.tensor([words(5, 1)])
    loaded = UniPoseForConditionalGeneration.from_pretrained(tmp_path)
    assert torch.equal(loaded(ids).logits, model(ids).logits)


def test_pose_tokenizer_stays_in_fp32_under_bf16(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    model = UniPoseForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in model.model.pose_tokenizer.parameters()} == {torch.float32}
    assert model.lm_head.weight.dtype == torch.bfloat16
    rows = [words(2, 1) + image_block(model.config) + pose_block(model.config)]
    pixels, poses = random_pixels(model.config, 1), torch.randn(1, 22, 6)
    output = model.generate(**pad_left(rows), pose_values=poses, **pixels, generation_mode="pose", pad_token_id=PAD)
    codes = output[:, -POSE_TOKENS - 1 : -1] - model.config.pose_code_start_id
    assert model.decode_pose_codes(codes).shape == (1, 22, 3, 3)


CASTS = {
    "half": lambda model: model.half(),
    "bfloat16": lambda model: model.bfloat16(),
    "to": lambda model: model.to(torch.float16),
    "to with a device": lambda model: model.to("cpu", torch.bfloat16),
    "part": lambda model: (model.model.half(), model)[1],
    "wrapped": lambda model: (torch.nn.ModuleDict({"module": model}).half(), model)[1],
    "type": lambda model: model.type(torch.float16),
}


@pytest.mark.parametrize("name", CASTS)
def test_the_pose_tokenizer_stays_in_fp32_under_casts(name):
    model = CASTS[name](tiny_model())
    state = model.model.pose_tokenizer.state_dict()
    assert {tensor.dtype for tensor in state.values() if tensor.is_floating_point()} == {torch.float32}
    for key, tensor in tiny_model().model.pose_tokenizer.state_dict().items():
        assert torch.equal(state[key], tensor), key
    assert name == "part" or model.lm_head.weight.dtype in (torch.float16, torch.bfloat16)
    assert model.double().model.pose_tokenizer.dtype == torch.float64


def test_a_pose_tokenizer_is_made_in_fp32_at_least():
    config = tiny_model().config
    model = UniPoseForConditionalGeneration._from_config(config, dtype=torch.float16)
    assert model.model.pose_tokenizer.dtype == torch.float32
    assert model.lm_head.weight.dtype == torch.float16


def test_flex_attention_by_its_plain_name(tmp_path):
    """Only the language model takes it: the pose encoder has none, and no other part has a block mask."""
    model = tiny_model()
    model.save_pretrained(tmp_path)
    loaded = UniPoseForConditionalGeneration.from_pretrained(tmp_path, attn_implementation="flex_attention")
    switched = tiny_model()
    switched.set_attn_implementation("flex_attention")
    built = UniPoseForConditionalGeneration(tiny_config(attn_implementation="flex_attention"))
    for other in (loaded, switched, built):
        parts = (other.model.language_model, other.model.vision_tower, other.model.pose_vision_tower)
        assert [part.config._attn_implementation for part in parts] == ["flex_attention", "sdpa", "sdpa"]
    # A choice for each part is taken as it is.
    model.set_attn_implementation({"text_config": "flex_attention", "vision_config": "eager"})
    assert model.model.vision_tower.config._attn_implementation == "eager"


def test_every_config_has_an_auto_map(tmp_path):
    """TRL reads the attribute where it loads a model by its path; a folder without code loads too."""
    assert tiny_config().auto_map == {}
    tiny_model().save_pretrained(tmp_path)
    assert UniPoseConfig.from_pretrained(tmp_path).auto_map["AutoConfig"].endswith("UniPoseConfig")
    written = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in written.items() if k != "auto_map"}))
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert type(loaded) is UniPoseForConditionalGeneration
    assert loaded.config.auto_map == {}
