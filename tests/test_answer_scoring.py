"""`score_generated` finds the log-probabilities that generation had, whatever the answers hold."""

import pytest
import torch
from test_generation import NEW_TOKENS, STARTS, AskForPoses, mixed_rows, pose_prompt
from tiny_models import BODY_PARTS_SIZES, EOS, PAD, POSE_TOKENIZER_SIZES, pad_left, tiny_model, words
from transformers import LogitsProcessorList


@pytest.mark.parametrize(
    "options",
    [
        {"pose_tokenizer": POSE_TOKENIZER_SIZES},
        {"pose_tokenizer": BODY_PARTS_SIZES},
        {"pose_tokenizer": BODY_PARTS_SIZES, "source_pose_pointer": True},
    ],
    ids=["convolution", "body_parts", "sources"],
)
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("sampled", [{}, {"do_sample": True, "top_k": 0}], ids=["greedy", "sampled"])
@pytest.mark.parametrize("new_tokens", [NEW_TOKENS, 16])
def test_scores_of_answers_out_of_step(options: dict, steps: int, sampled: dict, new_tokens: int) -> None:
    """Images, input poses, left padding, 0 to 3 poses a row, limits inside a pose: the scores of the library."""
    model = tiny_model(**options)
    rows, inputs = mixed_rows(model.config)
    batch = pad_left(rows)
    length = batch["input_ids"].shape[1]
    torch.manual_seed(0)
    output = model.generate(
        **batch, **inputs, **sampled, max_new_tokens=new_tokens, pad_token_id=PAD, pose_refinement_steps=steps,
        logits_processor=LogitsProcessorList([AskForPoses(model.config, length, STARTS)]),
        return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    generated = output.sequences[:, length:]
    scored = model.score_generated(
        batch["input_ids"], generated, batch["attention_mask"], pose_refinement_steps=steps, max_length=10**6,
        do_sample=bool(sampled), **inputs,
    )  # fmt: skip
    config = model.config
    assert (generated == config.pose_start_token_id).sum() >= 4
    raw = torch.stack(output.logits, dim=1)
    code = slice(config.pose_code_start_id, config.pose_code_start_id + 32)
    is_code = (generated >= code.start) & (generated < code.stop)
    by_hand = raw[..., code].log_softmax(-1).gather(2, (generated - code.start).clamp(0, 31).unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(scored[is_code], by_hand[is_code], atol=1e-4, rtol=1e-4)
    is_text = generated < code.start
    text = [*range(code.start), config.pose_start_token_id]
    by_hand = raw[..., text].log_softmax(-1).gather(2, generated.clamp(0, code.start - 1).unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(scored[is_text], by_hand[is_text], atol=1e-4, rtol=1e-4)
    assert (scored[generated == config.pose_end_token_id] == 0).all()


@pytest.mark.parametrize("pose_attention", ["mixed", "causal"])
def test_scores_equal_the_transition_scores_of_the_library(pose_attention: str) -> None:
    model = tiny_model(pose_attention=pose_attention)
    prompt = pose_prompt(model.config)
    for mode in ("pose", None):
        output = model.generate(
            prompt, generation_mode=mode, max_new_tokens=30, pad_token_id=PAD, return_dict_in_generate=True,
            output_scores=True,
        )  # fmt: skip
        expected = model.compute_transition_scores(output.sequences, output.scores, normalize_logits=True)
        limit = prompt.shape[1] + 30
        scored = model.score_generated(prompt, output.sequences[:, 8:], generation_mode=mode, max_length=limit)
        torch.testing.assert_close(scored, expected, atol=1e-5, rtol=1e-5)


def test_what_follows_the_end_of_an_answer_does_not_count() -> None:
    model = tiny_model()
    prompt = pose_prompt(model.config, rows=1)[:, :7]
    model.generation_config.eos_token_id = EOS
    once = model.score_generated(prompt, torch.tensor([[5, 6, EOS]]), generation_mode="text")
    padded = model.score_generated(prompt, torch.tensor([[5, 6, EOS, PAD, PAD]]), generation_mode="text")
    torch.testing.assert_close(padded[:, :3], once)
    assert (padded[:, 3:] == 0).all()
    assert (once < 0).all()


def test_a_code_outside_a_pose_is_impossible() -> None:
    model = tiny_model(vision=None, pose_vision=False)
    config, prompt = model.config, torch.tensor([words(5, 1)])
    code = config.pose_code_start_id + 1
    scores = model.score_generated(prompt, torch.tensor([[*words(2, 2), code, *words(1, 3)]]))
    assert scores[0, 2] == -torch.inf
    assert scores[0, [0, 1, 3]].isfinite().all()
    block = [config.pose_start_token_id, *[code] * config.num_pose_tokens, config.pose_end_token_id]
    assert model.score_generated(prompt, torch.tensor([block])).isfinite().all()
    assert model.score_generated(prompt, torch.tensor([[*block, code]]))[0, -1] == -torch.inf
    assert model.score_generated(torch.tensor([words(1, 1)]), torch.tensor([[code]]))[0, 0] == -torch.inf


@pytest.mark.parametrize("adapted", [False, True], ids=["plain head", "head with a hook"])
def test_texts_are_scored_without_logits_as_with_them(adapted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left-padded prompts, texts of several lengths, more columns than one part holds."""
    monkeypatch.setattr("unipose.answer_scoring.COLUMNS", 7)
    model = tiny_model()
    model.generation_config.eos_token_id = EOS
    batch = pad_left([words(9, 1), words(4, 2), words(6, 3)])
    texts = [[*words(5, 4), EOS], [*words(1, 5), EOS], words(6, 6)]
    generated = torch.tensor([text + [PAD] * (6 - len(text)) for text in texts])
    is_text = torch.arange(6) < torch.tensor([[len(text)] for text in texts])
    if adapted:
        model.lm_head.register_forward_hook(lambda module, inputs, output: output * 1.5)
    expected = model.score_generated(batch["input_ids"], generated, batch["attention_mask"], generation_mode="text")
    scores = model.score_texts(batch["input_ids"], generated, is_text, batch["attention_mask"])
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-5)
    assert (scores[is_text] < 0).all()
    code = generated.index_fill(1, torch.tensor([0]), model.config.pose_code_start_id)
    assert (model.score_texts(batch["input_ids"], code, is_text, batch["attention_mask"])[:, 0] == -torch.inf).all()


def test_texts_with_logits_that_are_not_finite_are_refused() -> None:
    model = tiny_model()
    model.lm_head.weight.data[3] = torch.inf
    with pytest.raises(ValueError, match=r"row 0: the logits after 5 tokens hold NaN or infinite values"):
        model.score_texts(torch.tensor([words(5, 1)]), torch.tensor([words(2, 2)]), torch.ones(1, 2, dtype=torch.bool))
