"""Generation equals its plain twin: batched == single == cache-less and hand-masked (tests/reference.py)."""

import pytest
import torch
from reference import generate_row, prompt_embeds
from tiny_models import EOS, PAD, POSE_TOKENS, image_block, pad_left, pose_block, random_pixels, tiny_model, words
from transformers import LogitsProcessor, LogitsProcessorList


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
        asked = step in starts
        scores[self.config.pose_start_token_id] += 1e4 if asked else -1e4
        scores[EOS] -= 1e4
        return scores


def mixed_rows(config):
    """Five prompts of different length; some with pictures and input poses."""
    rows = [words(4, 1), words(9, 2) + pose_block(config), words(3, 3) + pose_block(config) * 2 + words(2, 4)]
    poses = 3
    if config.num_image_tokens:
        rows += [image_block(config) + words(5, 5), words(2, 6) + image_block(config) + pose_block(config) + words(1, 7)]
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
    answers, pose, picture = [], 0, 0
    for row, asked in zip(rows, starts):
        poses = row.count(config.pose_start_token_id)
        pictures = row.count(config.image_start_token_id)
        pixels = {k: v[picture : picture + pictures] for k, v in inputs.items() if "pixel" in k} if pictures else {}
        embeds = prompt_embeds(model, row, inputs["pose_values"][pose : pose + poses], **pixels)
        pose, picture = pose + poses, picture + pictures
        processor = AskForPoses(config, 0, [asked])
        # In the batch a row counts its padding towards the limit.
        limit = len(row) + NEW_TOKENS
        answers.append(
            generate_row(
                model, row, embeds, NEW_TOKENS, EOS, limit, lambda step, s, a=asked, p=processor: p.row(step, s, a)
            )
        )
        assert length >= len(row)
    return answers


@pytest.mark.parametrize("text", ["llama", "mistral", "qwen3"])
@pytest.mark.parametrize("cache", ["dynamic", "static", "none"])
@pytest.mark.parametrize("pose_attention", ["mixed", "causal"])
def test_batched_equals_hand_masked_rows(text, cache, pose_attention):
    model = tiny_model(text=text, pose_attention=pose_attention)
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
    assert begun == [0, 1, 2, 2, 3], "the twin itself must cover 0 to 3 poses a row"
