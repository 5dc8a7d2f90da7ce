"""A seed is the call's own: it decides the samples, whatever other threads or torch's generator do."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import pad_left, tiny_model, words
from transformers import pipeline

from unipose import UniPosePipeline


@pytest.fixture(scope="module")
def pipe(text_checkpoint: Path) -> UniPosePipeline:
    return pipeline("unipose", model=str(text_checkpoint))


def sampled(pipe: UniPosePipeline, seed: int) -> tuple[str, np.ndarray]:
    text = pipe("A person kneels.", seed=seed, do_sample=True, max_new_tokens=6)["text"]
    return text, pipe("A person kneels.", task="text-to-pose", seed=seed, do_sample=True)["poses"][0]


def test_threads_do_not_disturb_each_other(pipe: UniPosePipeline) -> None:
    alone = [sampled(pipe, seed) for seed in range(8)]
    assert len({text for text, _ in alone}) > 4
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda seed: sampled(pipe, seed), range(8)))
    for (text, pose), (expected_text, expected_pose) in zip(together, alone):
        assert text == expected_text
        assert np.array_equal(pose, expected_pose)


def test_torchs_random_numbers_neither_change_nor_matter(pipe: UniPosePipeline) -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = sampled(pipe, 3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert np.array_equal(sampled(pipe, 3)[1], first[1])


@pytest.mark.parametrize("steps", [1, 2])
def test_a_seed_draws_what_torchs_generator_would(steps: int) -> None:
    """The same tokens, scores and logits as with `torch.manual_seed`, in text and in poses."""
    model = tiny_model(vision=None, pose_vision=False)
    inputs = pad_left([words(3, 0), words(5, 1)])
    arguments = {"do_sample": True, "top_k": 9, "temperature": 0.8, "pose_refinement_steps": steps}
    arguments |= {"max_new_tokens": 30, "return_dict_in_generate": True, "output_scores": True}
    torch.manual_seed(5)
    expected = model.generate(**inputs, **arguments)
    assert (expected.sequences == model.config.pose_start_token_id).any()
    got = model.generate(**inputs, **arguments, seed=5)
    assert torch.equal(got.sequences, expected.sequences)
    assert all(map(torch.equal, got.scores, expected.scores))


def test_a_generator_goes_on() -> None:
    model = tiny_model(vision=None, pose_vision=False)
    inputs, generator = pad_left([words(3, 0)]), torch.Generator().manual_seed(5)
    arguments = {"do_sample": True, "max_new_tokens": 8, "generation_mode": "text"}
    first, second = (model.generate(**inputs, **arguments, seed=generator) for _ in range(2))
    assert torch.equal(first, model.generate(**inputs, **arguments, seed=5))
    assert not torch.equal(first, second)


def test_a_seed_without_sampling_changes_nothing() -> None:
    model = tiny_model(vision=None, pose_vision=False)
    inputs = pad_left([words(3, 0)])
    assert torch.equal(model.generate(**inputs, max_new_tokens=9), model.generate(**inputs, max_new_tokens=9, seed=1))


@pytest.mark.parametrize("seed", ["1", 1.0, True, 2**64, -(2**63) - 1])
def test_other_seeds_are_refused(pipe: UniPosePipeline, seed: object) -> None:
    with pytest.raises(ValueError, match="seed must be an integer of 64 bits, got"):
        pipe("A person kneels.", seed=seed)


def test_beam_search_takes_no_seed() -> None:
    model = tiny_model(vision=None, pose_vision=False)
    with pytest.raises(ValueError, match="seed is for sampling"):
        model.generate(**pad_left([words(3, 0)]), generation_mode="text", num_beams=2, do_sample=True, seed=1)
