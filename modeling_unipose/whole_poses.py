"""Only the model, temperature, top-k and top-p decide about the codes of a pose, and every pose is finished."""

import torch
from transformers import (
    LogitNormalization,
    LogitsProcessor,
    LogitsProcessorList,
    MaxLengthCriteria,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from .configuration_unipose import UniPoseConfig
from .pose_grammar import answer_has_room
from .query_runs import codes_since_start, is_pose_code


INSIDE_POSES = (TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper, LogitNormalization)


def inside_pose(ids: torch.Tensor, config: UniPoseConfig) -> torch.Tensor:
    """Which rows end inside a pose: its pose-start is there, and its pose-end is missing.

    Args:
        ids: (batch, length).
        config: Config with the token ids.

    Returns:
        (batch,) bool.
    """
    return (codes_since_start(ids, config) >= 0) & ~(ids[:, -1:] == config.pose_end_token_id).any(dim=1)


class OutsidePoses(LogitsProcessor):
    """A processor for text: repetition penalties, banned words and the like leave the codes of a pose alone.

    Args:
        processor: The processor.
        config: Config with the token ids.
    """

    def __init__(self, processor: LogitsProcessor, config: UniPoseConfig):
        self.processor = processor
        self.config = config

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        inside = inside_pose(input_ids, self.config).unsqueeze(1)
        # Some processors write into the scores.
        processed = self.processor(input_ids, scores.clone())
        # What is banned stays banned: a length penalty times the -inf of such a token is NaN, and times the lowest
        # number, by which `remove_invalid_values` replaces it, infinite.
        is_banned = scores <= torch.finfo(scores.dtype).min
        processed = processed.masked_fill(is_banned & ~(processed < torch.inf), -torch.inf)
        return torch.where(inside, scores, processed)


def restrict_processors(processors: LogitsProcessorList, config: UniPoseConfig) -> LogitsProcessorList:
    """Processors of a call of `generate`, of which only `INSIDE_POSES` act inside a pose.

    Args:
        processors: The library's and the user's.
        config: Config with the token ids.
    """
    return LogitsProcessorList(
        [one if isinstance(one, INSIDE_POSES) else OutsidePoses(one, config) for one in processors]
    )


class WholePoses(StoppingCriteria):
    """A stopping criterion that waits for the end of a pose: its codes are known and cost no forward.

    Args:
        criterion: The criterion.
        config: Config with the token ids.
    """

    def __init__(self, criterion: StoppingCriteria, config: UniPoseConfig):
        self.criterion = criterion
        self.config = config
        self.is_due: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs) -> torch.Tensor:
        is_due = torch.as_tensor(self.criterion(input_ids, scores, **kwargs), device=input_ids.device)
        is_due = is_due.bool().expand(len(input_ids))
        self.is_due = is_due if self.is_due is None else self.is_due | is_due
        return self.is_due & ~inside_pose(input_ids, self.config)


class NoRoomForPoses(StoppingCriteria):
    """Refuses an answer that starts a pose which the limit of tokens would cut. It stops nothing.

    It is for answers without room for any pose: in others the grammar bans the start of a pose that does not fit.

    Args:
        config: Config with the token ids.
        max_length: Maximum length of prompt and answer.
    """

    def __init__(self, config: UniPoseConfig, max_length: int):
        self.config = config
        self.max_length = max_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs) -> torch.Tensor:
        needed, room = self.config.num_pose_tokens + 2, self.max_length - input_ids.shape[1] + 1
        if room < needed:
            rows = (codes_since_start(input_ids, self.config) == 0).nonzero().flatten().tolist()
            if rows:
                raise ValueError(
                    f"the answer of row {rows[0]} starts a pose, which takes {needed} tokens, but the limit leaves "
                    f'{room}: raise max_new_tokens by {needed - room} or more, or ask with generation_mode="text"'
                )
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def protect_poses(
    criteria: StoppingCriteriaList, config: UniPoseConfig, prompt_length: int, max_length: int
) -> StoppingCriteriaList:
    """Stopping criteria of a call of `generate` that cut no pose.

    Args:
        criteria: The library's and the user's.
        config: Config with the token ids.
        prompt_length: Number of tokens of the prompt.
        max_length: Maximum length of prompt and answer.

    Raises:
        ValueError: An end token is a pose code or pose-start.
    """
    protected = StoppingCriteriaList()
    if not answer_has_room(config, prompt_length, max_length):
        protected.append(NoRoomForPoses(config, max_length))
    for criterion in criteria:
        ends = getattr(criterion, "eos_token_id", None)
        if ends is not None:
            # The sampling loop reads the attribute, and no other token can come inside a pose.
            ids = torch.as_tensor(ends).flatten()
            inside = [*ids[is_pose_code(ids, config)].tolist(), *ids[ids == config.pose_start_token_id].tolist()]
            if inside:
                raise ValueError(f"eos_token_id holds {inside[0]}, which would end an answer inside a pose")
        is_safe = ends is not None or isinstance(criterion, MaxLengthCriteria)
        protected.append(criterion if is_safe else WholePoses(criterion, config))
    return protected


__all__ = ["OutsidePoses", "WholePoses", "inside_pose", "protect_poses", "restrict_processors"]
