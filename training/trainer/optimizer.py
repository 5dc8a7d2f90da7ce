"""Muon for matrices, AdamW for all else: small networks learn in fewer steps.

Muon is from Keller Jordan, "Muon: An optimizer for hidden layers in neural networks" (2024). torch's own takes neither
convolutions nor, in one optimizer that a trainer can schedule, AdamW for the rest. For one process or plain DDP.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from transformers import TrainingArguments


# Of the quintic iteration that drives all singular values of a matrix to about 1.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


@dataclass
class OptimizerArguments:
    """Which optimizer takes the matrices."""

    muon_learning_rate: float | None = field(
        default=None,
        metadata={"help": "Matrices and convolutions are trained by Muon at this rate, the rest by AdamW at its own."},
    )
    muon_momentum: float = 0.95


class MuonAdamW(torch.optim.AdamW):
    """AdamW whose groups with `momentum` are trained by Muon.

    Args:
        matrices: parameters of two and more dimensions; all beyond the first count as one.
        others: all else.
        muon_learning_rate: of the matrices: the spectral norm of a step, for a square one.
        momentum: of the matrices, with Nesterov's look ahead.
        arguments: of AdamW.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[nn.Parameter],
        muon_learning_rate: float,
        momentum: float,
        **arguments,
    ):
        groups = [{"params": matrices, "lr": muon_learning_rate, "momentum": momentum}, {"params": others}]
        super().__init__([group for group in groups if group["params"]], **arguments)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Takes the gradients of the matrices; AdamW passes over parameters without one.

        A matrix whose gradient is zero was not used, as a projector by texts alone: it stays. The size of a step does
        not shrink with its momentum: it would be taken again and again the way of the last batch that used it.
        """
        for group in self.param_groups:
            if "momentum" in group:
                alike: dict[torch.Size, list[nn.Parameter]] = {}
                for matrix in group["params"]:
                    if matrix.grad is not None and matrix.grad.any():
                        alike.setdefault(matrix.flatten(1).shape, []).append(matrix)
                    else:
                        matrix.grad = None
                for matrices in alike.values():
                    self._step_matrices(matrices, group)
        return super().step(closure)

    def _step_matrices(self, matrices: list[nn.Parameter], group: dict) -> None:
        """Moves matrices of one shape together."""
        directions = torch.stack([self._direction(matrix, group["momentum"]).flatten(1) for matrix in matrices])
        rows, columns = directions.shape[1:]
        # As large for tall matrices as it must be to change their output as much as square ones'.
        size = group["lr"] * max(1.0, rows / columns) ** 0.5
        for matrix, step in zip(matrices, orthogonalize(directions)):
            matrix.mul_(1 - group["lr"] * group["weight_decay"]).sub_(step.view_as(matrix), alpha=size)
            matrix.grad = None

    def _direction(self, matrix: nn.Parameter, momentum: float) -> torch.Tensor:
        state = self.state[matrix]
        if not state:
            # AdamW looks for a count of steps in every state that it loads.
            state["step"] = torch.zeros(())
            state["momentum_buffer"] = torch.zeros_like(matrix)
        average = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(average, momentum)


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """(..., rows, columns) -> about the nearest whose singular values are all 1, by Newton-Schulz in bf16."""
    a, b, c = _COEFFICIENTS
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if is_tall else matrices).bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if is_tall else x).to(matrices)


def build_optimizer(
    model: nn.Module, optimizer: OptimizerArguments, arguments: TrainingArguments
) -> tuple[MuonAdamW | None, None]:
    """What a trainer takes as `optimizers`: Muon and AdamW as recipes say, or nothing, which means the trainer's own.

    Embeddings, tables of a vocabulary, are looked up, not multiplied: they are AdamW's.
    """
    if optimizer.muon_learning_rate is None:
        return None, None
    tables = {id(module.weight) for module in model.modules() if isinstance(module, (nn.Embedding, nn.EmbeddingBag))}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    is_matrix = [parameter.ndim >= 2 and id(parameter) not in tables for parameter in trained]
    return (
        MuonAdamW(
            [parameter for parameter, matrix in zip(trained, is_matrix) if matrix],
            [parameter for parameter, matrix in zip(trained, is_matrix) if not matrix],
            optimizer.muon_learning_rate,
            optimizer.muon_momentum,
            lr=arguments.learning_rate,
            betas=(arguments.adam_beta1, arguments.adam_beta2),
            eps=arguments.adam_epsilon,
            weight_decay=arguments.weight_decay,
        ),
        None,
    )
