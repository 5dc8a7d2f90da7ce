"""UniPose's tokens in a tokenizer: pose codes, special tokens of poses and images, roles of a chat."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.tokenization_utils_base import AddedToken


SPECIAL_TOKENS = {
    "pose_token": "<pose>",
    "pose_start_token": "<pose_start>",
    "pose_end_token": "<pose_end>",
    "pose_query_token": "<pose_query>",
    "image_token": "<image>",
    "image_start_token": "<image_start>",
    "image_end_token": "<image_end>",
}
ROLE_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>")


def add_pose_tokens(
    tokenizer: PreTrainedTokenizerBase,
    codebook_size: int,
    pose_code_prefix: str = "pose_",
    special_tokens: Mapping[str, str] | None = None,
    role_tokens: Sequence[str] = ROLE_TOKENS,
) -> int:
    """Adds to a tokenizer, in this order: the pose codes, UniPose's special tokens, the chat's role tokens.

    Existing tokens are kept: a second call changes nothing.

    Args:
        tokenizer: Any tokenizer; changed in place.
        codebook_size: K: the codes are `<{prefix}0>` .. `<{prefix}K-1>`.
        pose_code_prefix: Prefix of the codes.
        special_tokens: Other spellings of some of `SPECIAL_TOKENS`.
        role_tokens: First tokens of turns in the chat template.

    Returns:
        Number of new tokens, by which the embeddings must grow.

    Raises:
        ValueError: A name in `special_tokens` that is not in `SPECIAL_TOKENS`.
    """
    spellings: dict[str, Any] = {**SPECIAL_TOKENS, **(special_tokens or {})}
    if unknown := sorted(set(spellings) - set(SPECIAL_TOKENS)):
        raise ValueError(f"unknown special tokens {unknown}; accepted: {sorted(SPECIAL_TOKENS)}")
    codes = [AddedToken(f"<{pose_code_prefix}{code}>", normalized=False) for code in range(codebook_size)]
    added = tokenizer.add_tokens(codes)
    missing = {name: token for name, token in spellings.items() if name not in tokenizer.SPECIAL_TOKENS_ATTRIBUTES}
    # Same as `from_pretrained(..., extra_special_tokens={...})` when a tokenizer is loaded from a file.
    tokenizer._set_model_specific_special_tokens(missing)
    added += tokenizer.add_special_tokens(spellings)
    return added + tokenizer.add_tokens(list(role_tokens), special_tokens=True)


__all__ = ["ROLE_TOKENS", "SPECIAL_TOKENS", "add_pose_tokens"]
