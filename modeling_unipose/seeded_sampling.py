"""Sampling with a generator of the call's own: neither threads nor torch's own random numbers disturb each other."""

import torch
from transformers import LogitsProcessor


class SeededSampling(LogitsProcessor):
    """Lets greedy search take a token that a seeded generator draws. It runs last, behind temperature and top-k.

    The token is the arg-max of probability / Exp(1), as `torch.multinomial` draws it, so that the same seed gives the
    same tokens as with the global generator.

    Args:
        generator: The generator, on the device of the scores.
    """

    def __init__(self, generator: torch.Generator):
        self.generator = generator
        # What the noise hides from `output_scores`.
        self.scores: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.scores.append(scores)
        probabilities = scores.softmax(dim=-1)
        noise = torch.empty_like(probabilities).exponential_(1.0, generator=self.generator)
        return probabilities / noise


def seeded_generator(seed: int, device: torch.device) -> torch.Generator:
    """A generator of a call.

    Args:
        seed: The seed.
        device: The model's device.

    Raises:
        ValueError: The seed is no integer of 64 bits.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not -(2**63) <= seed < 2**64:
        raise ValueError(f"seed must be an integer of 64 bits, got {seed!r}")
    return torch.Generator(device=device).manual_seed(seed)


__all__ = ["SeededSampling", "seeded_generator"]
