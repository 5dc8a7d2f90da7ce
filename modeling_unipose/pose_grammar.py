"""What may follow what in an answer: text, and whole poses."""

import sys
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import LogitsProcessor

from .configuration_unipose import UniPoseConfig
from .query_runs import codes_since_start, is_pose_code


PoseMode = Literal["pose", "text"]


def answer_has_room(config: UniPoseConfig, prompt_length: int, max_length: int) -> bool:
    """Whether an answer that is one pose fits.

    Args:
        config: Config with the token ids.
        prompt_length: Number of tokens of the prompt.
        max_length: Maximum length of prompt and answer.
    """
    return prompt_length + config.pose_answer_length <= max_length


@dataclass(frozen=True)
class TokenKinds:
    """The kinds of tokens of a vocabulary, each (vocab_size,) bool but the first.

    Args:
        token: (vocab_size,) the ids.
        code: Pose codes.
        end: Pose-end.
        text: What an answer may hold outside of poses, without pose-start.
        text_or_start: `text` and pose-start.
    """

    token: torch.Tensor
    code: torch.Tensor
    end: torch.Tensor
    text: torch.Tensor
    text_or_start: torch.Tensor

    @classmethod
    def of_vocabulary(cls, config: UniPoseConfig, vocab_size: int, device: torch.device) -> "TokenKinds":
        """The kinds of all tokens.

        Args:
            config: Config with the token ids.
            vocab_size: Number of tokens.
            device: Device of the result.
        """
        token = torch.arange(vocab_size, device=device)
        code = is_pose_code(token, config)
        start, end = token == config.pose_start_token_id, token == config.pose_end_token_id
        placeholders = token.new_tensor(
            [config.pose_token_id, config.pose_query_token_id, config.image_token_id]
            + [config.image_start_token_id, config.image_end_token_id]
        )
        text_or_start = ~(code | end | torch.isin(token, placeholders))
        return cls(token, code, end, text_or_start & ~start, text_or_start)


class PoseGrammar(LogitsProcessor):
    """Makes a malformed pose impossible: pose-start, exactly `num_pose_tokens` codes, pose-end.

    It runs first, so that temperature, top-k and top-p act on allowed tokens only, and last, so that no other
    processor can force a token into a block. What it allows follows from the last ids.

    Args:
        config: Config with the token ids.
        max_length: Maximum length of prompt and answer; a pose that would not fit is not started.
        generation_mode: See `UniPoseGenerationMixin.generate`.
        prompt_length: Number of tokens of the prompt. Where not even the whole answer has room for a pose, nothing is
            banned: the model would say something else, as if it had chosen to, and `NoRoomForPoses` raises an error.
    """

    def __init__(
        self, config: UniPoseConfig, max_length: int, generation_mode: PoseMode | None, prompt_length: int = 0
    ):
        self.config = config
        self.max_length = max_length if answer_has_room(config, prompt_length, max_length) else sys.maxsize
        self.generation_mode = generation_mode
        # The same at every step.
        self.kinds: TokenKinds | None = None

    def allowed_tokens(self, ids: torch.Tensor, vocab_size: int) -> torch.Tensor:
        """Which tokens may follow.

        Args:
            ids: (batch, length).
            vocab_size: Columns of the result.

        Returns:
            (batch, vocab_size) bool.
        """
        kinds = self.kinds_of(vocab_size, ids.device)
        if self.generation_mode == "text":
            return self.allowed_in_text(ids.shape[1], kinds).expand(len(ids), -1)
        if self.generation_mode == "pose":
            in_text = kinds.token == self.next_before_pose(ids).unsqueeze(1)
        else:
            in_text = self.allowed_in_text(ids.shape[1], kinds)
        since = codes_since_start(ids, self.config).unsqueeze(1)
        if (since < 0).all():
            return in_text.expand(len(ids), -1)
        in_block = torch.where(since == self.config.num_pose_tokens, kinds.end, kinds.code)
        return torch.where(since < 0, in_text, in_block)

    def kinds_of(self, vocab_size: int, device: torch.device) -> TokenKinds:
        """The kinds of all tokens, made once.

        Args:
            vocab_size: Number of tokens.
            device: Their device.
        """
        if self.kinds is None:
            self.kinds = TokenKinds.of_vocabulary(self.config, vocab_size, device)
        return self.kinds

    def allowed_in_text(self, length: int, kinds: TokenKinds) -> torch.Tensor:
        """(vocab_size,) bool, the tokens that may follow outside of poses, unless the mode is "pose".

        Args:
            length: Number of tokens so far.
            kinds: The kinds of all tokens.
        """
        no_room = length + self.config.num_pose_tokens + 2 > self.max_length
        return kinds.text if self.generation_mode == "text" or no_room else kinds.text_or_start

    def text_scores(self, logits: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """The log-probabilities of all tokens outside of poses, at many steps at once, unless the mode is "pose".

        Args:
            logits: (batch, steps, vocab_size), finite.
            lengths: Number of tokens before each step.

        Returns:
            (batch, steps, vocab_size), -inf for tokens that may not follow.
        """
        kinds = self.kinds_of(logits.shape[2], logits.device)
        banned = torch.stack([~self.allowed_in_text(length, kinds) for length in lengths])
        return logits.float().masked_fill(banned, -torch.inf).log_softmax(dim=-1)

    def next_before_pose(self, ids: torch.Tensor) -> torch.Tensor:
        """(batch, length) -> (batch,) the token that leads to a pose: the next of the opening, then pose-start."""
        opening = ids.new_tensor(self.config.pose_opening_ids)
        leading = [*self.config.pose_opening_ids, self.config.pose_start_token_id]
        following = ids.new_full((len(ids),), leading[0])
        for count in range(1, min(len(opening), ids.shape[1]) + 1):
            matches = (ids[:, -count:] == opening[:count]).all(dim=1)
            following = following.masked_fill(matches, leading[count])
        return following

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return ban(scores, self.allowed_tokens(input_ids, scores.shape[1]))


def ban(scores: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Bans tokens.

    Args:
        scores: (..., vocab_size).
        allowed: Of the same shape, bool.

    Returns:
        The scores, -inf where a token is not allowed, and finite where it is.
    """
    return torch.where(allowed, scores.clamp_min(torch.finfo(scores.dtype).min), -torch.inf)


__all__ = ["PoseGrammar", "PoseMode", "answer_has_room"]
