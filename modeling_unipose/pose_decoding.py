"""How the codes of an output pose are chosen from the logits of its queries: arg-max, expected code, refinement.

The paper takes the most probable code of each query. Its codes are independent of each other and often flat: the code
nearest to the mean of the distribution is closer to the true pose, and revealing sure codes ends the independence.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from transformers import GenerationConfig, LogitsProcessor

from .configuration_unipose import UniPoseConfig
from .modeling_pose_vqvae import UniPoseVQVAE
from .query_runs import codes_since_start


PoseDecodingMode = Literal["argmax", "expected"]

# Chosen on validation edits of the embedded model: with 1, edits keep more than the text leaves open.
KEPT_ODDS = 4.0


@dataclass(frozen=True)
class PoseDecoding:
    """The options of poses in a generation config; generation configs save and load them like their own.

    Args:
        pose_decoding: "argmax": the most probable code; "expected": the code nearest to the mean of the codebook,
            weighted with the probabilities, or with a `source_pose_pointer` the source pose's own code where that is
            by far the most probable one. Sampling is not touched.
        pose_temperature: Temperature of the probabilities of "expected".
        pose_refinement_steps: Number of forwards of a pose; 1: the paper's. After each of them more codes are revealed
            to the others: the surest, or with sampling the first.
    """

    pose_decoding: PoseDecodingMode = "argmax"
    pose_temperature: float = 1.0
    pose_refinement_steps: int = 1

    @classmethod
    def resolve(cls, config: UniPoseConfig, *sources: dict[str, Any]) -> "PoseDecoding":
        """The options of a call, each from the first source that sets it.

        Args:
            config: Config of the model.
            sources: Options by name, the most specific first; others, and those that are None, are ignored.

        Raises:
            ValueError: An option has no accepted value.
        """
        options: dict[str, Any] = {}
        for source in reversed(sources):
            named = {name: source.get(name) for name in cls.__dataclass_fields__}
            options |= {name: value for name, value in named.items() if value is not None}
        decoding = cls(**options)
        decoding.validate(config)
        return decoding

    def validate(self, config: UniPoseConfig) -> None:
        """Checks the values of the options.

        Raises:
            ValueError: An option has no accepted value.
        """
        if self.pose_decoding not in get_args(PoseDecodingMode):
            raise ValueError(f'pose_decoding must be "argmax" or "expected", got {self.pose_decoding!r}')
        is_number = isinstance(self.pose_temperature, int | float) and not isinstance(self.pose_temperature, bool)
        if not is_number or not 0 < self.pose_temperature < math.inf:
            raise ValueError(f"pose_temperature must be a positive number, got {self.pose_temperature!r}")
        steps, tokens = self.pose_refinement_steps, config.num_pose_tokens
        if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= tokens:
            raise ValueError(f"pose_refinement_steps must be an integer from 1 to {tokens}, got {steps!r}")
        if steps > 1 and config.pose_attention == "causal":
            raise ValueError(
                f"pose_refinement_steps is {steps}, but this model decodes codes one by one (pose_attention is "
                '"causal"): expected 1'
            )


def options_of(generation_config: GenerationConfig | None) -> dict[str, Any]:
    """The pose options among the attributes of a generation config, as a source of `PoseDecoding.resolve`."""
    return {} if generation_config is None else vars(generation_config)


def revealed_counts(num_tokens: int, steps: int) -> list[int]:
    """Number of codes that are revealed after each forward but the last: few at first, by a cosine.

    Args:
        num_tokens: Number of codes of a pose.
        steps: Number of forwards, at most num_tokens.

    Returns:
        steps - 1 increasing numbers, each at least 1 and less than num_tokens.
    """
    counts: list[int] = []
    for step in range(1, steps):
        hidden = math.ceil(num_tokens * math.cos(math.pi / 2 * step / steps))
        least = (counts[-1] if counts else 0) + 1
        counts.append(min(max(num_tokens - hidden, least), num_tokens - (steps - step)))
    return counts


class CodeChooser:
    """Chooses codes from logits, without a random number.

    Args:
        config: Config of the model.
        pose_tokenizer: The codebooks.
        decoding: The options.
    """

    def __init__(self, config: UniPoseConfig, pose_tokenizer: UniPoseVQVAE, decoding: PoseDecoding):
        self.pose_tokenizer = pose_tokenizer
        self.decoding = decoding
        first = config.pose_code_start_id
        self.ids = slice(first, first + pose_tokenizer.config.codebook_size)

    def choose(
        self, code_logits: torch.Tensor, tokens: torch.Tensor, sources: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The chosen codes.

        An edit keeps most codes of its source pose. A kept code is one choice of its own, not a point of a
        distribution over similar codes, so no mean is taken where it is `KEPT_ODDS` times as probable as any other.

        Args:
            code_logits: (n, codebook_size).
            tokens: (n,) index of each one's token in a pose.
            sources: (n,) token id of the source pose's code, negative without one; None: no source poses.

        Returns:
            (n,).
        """
        if self.decoding.pose_decoding == "argmax":
            return code_logits.argmax(dim=-1)
        probabilities = (code_logits.float() / self.decoding.pose_temperature).softmax(dim=-1)
        features = self.pose_tokenizer.expected_features(probabilities, tokens)
        expected = self.pose_tokenizer.nearest_codes(features, tokens)
        if sources is None:
            return expected
        kept = (sources - self.ids.start).clamp_min(0)
        margin = torch.full_like(code_logits[:, :1], -math.log(KEPT_ODDS))
        is_kept = code_logits.scatter_add(1, kept.unsqueeze(1), margin).argmax(dim=-1) == kept
        return torch.where(is_kept & (sources >= 0), kept, expected)

    def choose_all(self, code_logits: torch.Tensor, sources: torch.Tensor | None = None) -> torch.Tensor:
        """The chosen codes of whole poses.

        Args:
            code_logits: (poses, num_pose_tokens, codebook_size).
            sources: (poses, num_pose_tokens), see `choose`.

        Returns:
            (poses, num_pose_tokens).
        """
        poses, num_tokens, _ = code_logits.shape
        tokens = torch.arange(num_tokens, device=code_logits.device).repeat(poses)
        flat_sources = None if sources is None else sources.flatten()
        return self.choose(code_logits.flatten(0, 1), tokens, flat_sources).view(poses, num_tokens)

    def variances(self, code_logits: torch.Tensor) -> torch.Tensor:
        """(poses, num_pose_tokens, codebook_size) -> (poses, num_pose_tokens), see `UniPoseVQVAE.code_variance`."""
        poses, num_tokens, _ = code_logits.shape
        tokens = torch.arange(num_tokens, device=code_logits.device).repeat(poses)
        probabilities = code_logits.flatten(0, 1).float().softmax(dim=-1)
        means = self.pose_tokenizer.expected_features(probabilities, tokens)
        return self.pose_tokenizer.code_variance(probabilities, tokens, means).view(poses, num_tokens)

    def surest(self, code_logits: torch.Tensor, is_known: torch.Tensor, count: int) -> torch.Tensor:
        """The codes that are known after a forward.

        A code is sure if others that are likely too lie near it in the codebook: its vector has a small variance.
        Entropy would call a code unsure whose neighbors, which give almost the same pose, are as likely. It follows
        from the logits alone, so that scoring finds the order of generation again.

        Args:
            code_logits: (poses, num_pose_tokens, codebook_size).
            is_known: (poses, num_pose_tokens) codes that are known already.
            count: Number of codes of each pose that are known then.

        Returns:
            (poses, num_pose_tokens) bool.
        """
        order = self.variances(code_logits).masked_fill(is_known, -1.0).argsort(dim=1, stable=True)
        return torch.zeros_like(is_known).scatter_(1, order[:, :count], True)


class ExpectedCodes(LogitsProcessor):
    """Lets greedy search pick the expected code: it exchanges the scores of that code and of the most probable one.

    It has no state: what it changes follows from the last ids and the scores. `output_logits` stay the model's.

    Args:
        config: Config of the model.
        chooser: Chooses the expected code.
        sources: (batch, num_pose_tokens) ids of the source poses' codes, see `CodeChooser.choose`.
    """

    def __init__(self, config: UniPoseConfig, chooser: CodeChooser, sources: torch.Tensor | None = None):
        self.config = config
        self.chooser = chooser
        self.sources = sources

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        token = codes_since_start(input_ids, self.config)
        rows = ((token >= 0) & (token < self.config.num_pose_tokens)).nonzero().flatten()
        if not len(rows):
            return scores
        scores = scores.clone()
        code_scores = scores[rows, self.chooser.ids]
        sources = None if self.sources is None else self.sources[rows, token[rows]]
        chosen = self.chooser.choose(code_scores, token[rows], sources).unsqueeze(1)
        highest, most_probable = code_scores.max(dim=1, keepdim=True)
        code_scores.scatter_(1, most_probable, code_scores.gather(1, chosen))
        # Greedy search takes the first of equal scores.
        code_scores.scatter_(1, chosen, torch.nextafter(highest, highest.new_tensor(torch.inf)))
        scores[rows, self.chooser.ids] = code_scores
        return scores


__all__ = ["CodeChooser", "ExpectedCodes", "PoseDecoding", "PoseDecodingMode", "options_of", "revealed_counts"]
