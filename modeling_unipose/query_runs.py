"""Runs of queries in a sequence: each run is one output pose (paper, sections 3.3 and 3.4)."""

import torch
from torch import nn

from .configuration_unipose import UniPoseConfig


def query_index(is_query: torch.Tensor) -> torch.Tensor:
    """(batch, length) bool -> number of queries before each position in its run; -1 outside."""
    position = torch.arange(is_query.shape[1], device=is_query.device).expand(is_query.shape)
    last_other = torch.where(is_query, -1, position).cummax(dim=1).values
    return position - last_other - 1


def is_pose_code(ids: torch.Tensor, config: UniPoseConfig) -> torch.Tensor:
    """Which ids are pose codes.

    Args:
        ids: Of any shape.
        config: Config with the token ids.

    Returns:
        bool, of the same shape.
    """
    first = config.pose_code_start_id
    return (ids >= first) & (ids < first + config.num_pose_codes)


def codes_since_start(ids: torch.Tensor, config: UniPoseConfig) -> torch.Tensor:
    """Number of tokens of each row since its last pose-start.

    Args:
        ids: (batch, length).
        config: Config with the token ids.

    Returns:
        (batch,) tokens since pose-start; 0 where a row ends in pose-start, -1 outside a pose block.
    """
    window = ids[:, -(config.num_pose_tokens + 1) :]
    # A prompt of embeddings has no ids.
    if window.shape[1] == 0:
        return ids.new_full((len(ids),), -1)
    position = torch.arange(window.shape[1], device=ids.device)
    last_start = torch.where(window == config.pose_start_token_id, position, -1).max(dim=1).values
    return torch.where(last_start < 0, -1, window.shape[1] - 1 - last_start)


def codes_before(ids: torch.Tensor, config: UniPoseConfig) -> torch.Tensor:
    """`codes_since_start` of what precedes each position.

    Args:
        ids: (batch, length).
        config: Config with the token ids.

    Returns:
        (batch, length) tokens since pose-start; -1 outside a pose block.
    """
    position = torch.arange(ids.shape[1], device=ids.device)
    starts = torch.where(ids == config.pose_start_token_id, position, -1).cummax(dim=1).values
    before = nn.functional.pad(starts, (1, -1), value=-1)
    since = position - 1 - before
    return torch.where((before < 0) | (since > config.num_pose_tokens), -1, since)


def source_codes(
    input_ids: torch.Tensor | None,
    is_pose: torch.Tensor,
    pose_codes: torch.Tensor | None,
    is_query: torch.Tensor,
    config: UniPoseConfig,
) -> torch.Tensor:
    """The code that each query's source pose, the last input pose before it, has at the query's index.

    Args:
        input_ids: (batch, length); None: no other codes are known than `pose_codes`.
        is_pose: (batch, length) bool, the placeholders of input poses.
        pose_codes: (poses, num_pose_tokens) ids that replace the placeholders, or None.
        is_query: (batch, length) bool.
        config: Config with the token ids.

    Returns:
        (batch, length) ids of pose codes; -1 at queries without a source pose and at all other positions.
    """
    ids = torch.full_like(is_pose, -1, dtype=torch.long) if input_ids is None else input_ids
    if pose_codes is not None:
        ids = ids.masked_scatter(is_pose, pose_codes)
    position = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
    last_code = torch.where(is_pose_code(ids, config), position, -1).cummax(dim=1).values
    tokens = config.num_pose_tokens
    source = last_code - (tokens - 1) + query_index(is_query) % tokens
    return torch.where(is_query & (last_code >= 0), ids.gather(1, source.clamp_min(0)), -1)


def block_index(is_query: torch.Tensor) -> torch.Tensor:
    """(batch, length) bool -> number of the run that a query belongs to, counted from 0 in each row."""
    starts = is_query & ~nn.functional.pad(is_query, (1, 0))[:, :-1]
    return starts.cumsum(dim=1) - 1


def shift_pose_labels(is_query: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The label of each position's prediction: its own at a query, none just before a run, else the next one.

    Args:
        is_query: (batch, length), True at the queries of output poses.
        labels: (batch, length), -100 at ignored positions.

    Returns:
        (batch, length); pose-end is never supervised, because the grammar of generation fixes it.
    """
    following = nn.functional.pad(labels[:, 1:], (0, 1), value=-100)
    edge = nn.functional.pad(is_query[:, 1:], (0, 1)) & ~is_query
    return torch.where(is_query, labels, following.masked_fill(edge, -100))


__all__ = [
    "block_index",
    "codes_before",
    "codes_since_start",
    "is_pose_code",
    "query_index",
    "shift_pose_labels",
    "source_codes",
]
