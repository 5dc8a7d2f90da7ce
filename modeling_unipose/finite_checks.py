"""NaN and infinite values never become tokens or poses: where they appear is an error that says where they arose."""

from typing import Any

import torch
from transformers import LogitsProcessor
from transformers.utils import torch_compilable_check


# Largest deviation of a decoded rotation from an orthogonal matrix; fp32 has about 1e-6.
MAX_DEVIATION = 1e-4
NAMED = 3


def all_finite(values: torch.Tensor) -> bool:
    """Whether all values are finite, in one pass: a sum is finite only if all its terms are."""
    return bool(values.sum(dtype=torch.float32).isfinite()) or bool(values.isfinite().all())


class FiniteLogits(LogitsProcessor):
    """Raises an error at logits that are not finite: greedy search would take the first token.

    It runs first, on the logits of the model, because other processors ban tokens with infinite scores.

    Args:
        model: The model of the logits, whose weights are searched for the cause.
        first_token: Id of the token of the first logit.
    """

    def __init__(self, model: Any, first_token: int = 0):
        self.model = model
        self.first_token = first_token

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not all_finite(scores):
            row, token = (~scores.isfinite()).nonzero()[0].tolist()
            raise ValueError(
                f"row {row}: the logits after {input_ids.shape[1]} tokens hold NaN or infinite values (the first is "
                f"token {self.first_token + token}'s); {explain_non_finite(self.model)}"
            )
        return scores


def check_logits(model: Any, ids: torch.Tensor, logits: torch.Tensor, first_token: int = 0) -> None:
    """The check of `FiniteLogits` for all steps at once.

    Args:
        model: The model of the logits.
        ids: (batch, length) prompts with their answers.
        logits: (batch, new tokens, vocab_size) that each token of the answers was chosen from.
        first_token: See there.

    Raises:
        ValueError: They hold NaN or infinite values; the message has the first step.
    """
    if all_finite(logits):
        return
    check, prompt_length = FiniteLogits(model, first_token), ids.shape[1] - logits.shape[1]
    for step in range(logits.shape[1]):
        check(ids[:, : prompt_length + step], logits[:, step])


class NumericScores(LogitsProcessor):
    """Raises an error at NaN and +inf that other processors of scores have left. It runs last."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        is_wrong = scores.isnan() | scores.isposinf()
        if is_wrong.any():
            row = int(is_wrong.any(dim=1).nonzero()[0])
            raise ValueError(
                f"row {row}: a logits processor or a temperature made NaN or inf of finite logits; expected numbers"
            )
        return scores


def explain_non_finite(model: torch.nn.Module) -> str:
    """Where values that are not finite come from: the names of weights that hold them, or what else may be."""
    names = non_finite_weights(model)
    if names:
        others = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return f"so do the weights {', '.join(names[:NAMED])}{others}: fetch the checkpoint again"
    dtypes = sorted({str(weight.dtype).removeprefix("torch.") for weight in model.parameters()})
    return (
        f"all weights are finite, so that an input is not, or an activation is too large for {' and '.join(dtypes)}: "
        "load the model in float32"
    )


def non_finite_weights(model: torch.nn.Module) -> list[str]:
    """Names of the weights and buffers that hold NaN or infinite values."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return [name for name, values in named if values.is_floating_point() and not values.isfinite().all()]


def check_pixels(pixels: torch.Tensor, name: str) -> None:
    """Checks that pixels are finite.

    Args:
        pixels: (images, 3, height, width).
        name: Name of the argument.

    Raises:
        ValueError: They are not; the message has the number of the image.
    """
    torch_compilable_check(
        pixels.isfinite().all(),
        lambda: (
            f"{name}: image {int((~pixels.isfinite()).flatten(1).any(dim=1).nonzero()[0]) + 1} holds NaN or infinite "
            "values; expected those of the image processor"
        ),
    )


def check_pose_values(pose_values: torch.Tensor, allow_absent: bool = False) -> None:
    """Checks that pose_values are finite, and that each joint has two rows that are not parallel.

    Args:
        pose_values: (poses, joints, 6).
        allow_absent: Whether a pose may be all zeros, as the original release writes "no pose".

    Raises:
        ValueError: They are not; the message has the number of the pose.
    """
    first, second = pose_values[..., :3].float(), pose_values[..., 3:].float()
    area = torch.linalg.cross(first, second).norm(dim=-1)
    # Written so that NaN fails it.
    spans = area > 1e-6 * first.norm(dim=-1) * second.norm(dim=-1)
    good = (spans & pose_values.isfinite().all(dim=-1)).all(dim=-1)
    if allow_absent:
        good = good | (pose_values == 0).flatten(1).all(dim=1)
    torch_compilable_check(
        good.all(),
        lambda: (
            f"pose_values: pose {int((~good).nonzero()[0]) + 1} holds NaN, infinite values or two parallel rows; "
            "expected the first two rows of each rotation matrix"
        ),
    )


def check_features(features: torch.Tensor, model: torch.nn.Module) -> None:
    """Checks that encoded poses are finite: the code nearest to NaN would be the first.

    Args:
        features: (poses, tokens, channels).
        model: What encoded them, whose weights are searched for the cause.

    Raises:
        ValueError: They are not; the message has the number of the pose.
    """
    good = features.isfinite().flatten(1).all(dim=1)
    torch_compilable_check(
        good.all(),
        lambda: (
            f"pose {int((~good).nonzero()[0]) + 1} is encoded to NaN or infinite values; {explain_non_finite(model)}"
        ),
    )


def check_rotations(rotmats: torch.Tensor, model: torch.nn.Module) -> None:
    """Checks that decoded matrices are rotations.

    Args:
        rotmats: (poses, joints, 3, 3).
        model: What decoded them, whose weights are searched for the cause.

    Raises:
        ValueError: They are not; the message has the number of the pose.
    """
    deviation = (rotmats @ rotmats.mT - torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)).abs()
    # Written so that NaN fails it.
    good = (deviation <= MAX_DEVIATION).flatten(1).all(dim=1)
    torch_compilable_check(
        good.all(),
        lambda: f"pose {int((~good).nonzero()[0]) + 1} decodes to no rotations; {explain_non_finite(model)}",
    )


__all__ = [
    "FiniteLogits",
    "NumericScores",
    "check_features",
    "check_logits",
    "check_pixels",
    "check_pose_values",
    "check_rotations",
]
