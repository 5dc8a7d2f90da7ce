"""Muon for matrices, AdamW for the rest: small networks train in fewer steps.

Muon is from Keller Jordan, "Muon: An optimizer for hidden layers in neural networks" (2024). torch's own takes neither
convolutions nor, in one optimizer that a trainer can schedule, AdamW for the rest. For one process or plain DDP.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import nn
from transformers import TrainingArguments

from unipose.training.trainer.moving_rows import MovingTable
from unipose.training.trainer.precision import fastest_dtype


# Coefficients of the quintic iteration that drives all singular values of a matrix to about 1.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


@dataclass
class OptimizerArguments:
    """Options of the optimizer: Muon for matrices, AdamW for the rest."""

    muon_learning_rate: float | None = field(
        default=None,
        metadata={"help": "Muon's learning rate of matrices and convolutions; default: AdamW trains them."},
    )
    muon_momentum: float = field(default=0.95, metadata={"help": "Momentum of Muon."})


class MuonAdamW(torch.optim.AdamW):
    """AdamW whose groups with `momentum` are trained by Muon.

    Args:
        matrices: parameters of two or more dimensions; all dimensions after the first count as one.
        others: all other parameters; their weights do not decay.
        muon_learning_rate: learning rate of the matrices: the spectral norm of a step, for a square one.
        momentum: Nesterov momentum of the matrices.
        inner_dtype: dtype of the products inside Muon.
        table: the embedding table if some of its rows move along vectors; Muon trains these moves.
        arguments: AdamW's arguments.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[nn.Parameter],
        muon_learning_rate: float,
        momentum: float,
        inner_dtype: torch.dtype = torch.bfloat16,
        table: MovingTable | None = None,
        **arguments,
    ):
        self.inner_dtype = inner_dtype
        self.table = table
        if table is not None:
            matrices = [*matrices, *(rows.moves for rows in table.ranges)]
        groups = [
            {"params": matrices, "lr": muon_learning_rate, "momentum": momentum},
            # Decay would shrink the embeddings of words that no text of the training holds.
            {"params": others, "weight_decay": 0.0},
        ]
        super().__init__([group for group in groups if group["params"]], **arguments)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Updates the matrices and removes their gradients; AdamW skips parameters without one.

        A matrix with a zero gradient was not used, such as the projector in a batch without images: it stays
        unchanged. The size of a step does not shrink with its momentum, so the matrix would keep moving otherwise.
        """
        if self.table is not None:
            self.table.gather()
        for group in self.param_groups:
            if "momentum" in group:
                used = _used(group["params"])
                if used:
                    self._step_matrices(used, group)
                for matrix in group["params"]:
                    matrix.grad = None
        if self.table is not None:
            self.table.apply()
        return super().step(closure)

    def _step_matrices(self, matrices: list[nn.Parameter], group: dict) -> None:
        """Moves matrices together: a small model on a GPU waits for the launches of its many small kernels."""
        gradients = [cast(torch.Tensor, matrix.grad) for matrix in matrices]
        averages = [self._average(matrix) for matrix in matrices]
        torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
        directions = torch._foreach_lerp(gradients, averages, group["momentum"])
        steps = orthogonalize_all([direction.flatten(1) for direction in directions], self.inner_dtype)
        # Tall matrices need larger steps to change their output as much as square ones.
        sizes = [group["lr"] * max(1.0, step.shape[0] / step.shape[1]) ** 0.5 for step in steps]
        torch._foreach_mul_(steps, sizes)
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_sub_(matrices, [step.view_as(matrix) for step, matrix in zip(steps, matrices)])

    def _average(self, matrix: nn.Parameter) -> torch.Tensor:
        state = self.state[matrix]
        if not state:
            # AdamW looks for a count of steps in every state that it loads.
            state["step"] = torch.zeros(())
            state["momentum_buffer"] = torch.zeros_like(matrix)
        return state["momentum_buffer"]


def _used(matrices: list[nn.Parameter]) -> list[nn.Parameter]:
    """Matrices with a nonzero gradient; the host waits for the device once, not once per matrix."""
    with_gradient = [matrix for matrix in matrices if matrix.grad is not None]
    if not with_gradient:
        return []
    largest = torch._foreach_norm([cast(torch.Tensor, matrix.grad) for matrix in with_gradient], torch.inf)
    return [matrix for matrix, size in zip(with_gradient, torch.stack(largest).tolist()) if size != 0]


def orthogonalize_all(matrices: Sequence[torch.Tensor], dtype: torch.dtype = torch.bfloat16) -> list[torch.Tensor]:
    """`orthogonalize` of matrices of several shapes, those of one shape together.

    Args:
        matrices: (rows, columns) each.
        dtype: dtype of the products.
    """
    of_shape: dict[torch.Size, list[int]] = {}
    for index, matrix in enumerate(matrices):
        of_shape.setdefault(matrix.shape, []).append(index)
    result = list(matrices)
    for indices in of_shape.values():
        steps = orthogonalize(torch.stack([matrices[index] for index in indices]), dtype).contiguous()
        for index, step in zip(indices, steps):
            result[index] = step
    return result


def orthogonalize(matrices: torch.Tensor, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """The nearest matrices with singular values of about 1, by Newton-Schulz iteration.

    Args:
        matrices: (..., rows, columns).
        dtype: dtype of the products.
    """
    a, b, c = _COEFFICIENTS
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    wide = matrices.mT if is_tall else matrices
    x = wide.reshape(-1, *wide.shape[-2:]).to(dtype)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    x = x.view(wide.shape)
    return (x.mT if is_tall else x).to(matrices)


def build_optimizer(
    model: nn.Module, optimizer: OptimizerArguments, arguments: TrainingArguments, table: MovingTable | None = None
) -> tuple[MuonAdamW | None, None]:
    """A trainer's `optimizers`: Muon and AdamW, or None for the trainer's own.

    Embeddings are looked up and positions are added, neither is multiplied, so they belong to AdamW.

    Args:
        model: model whose trainable parameters are optimized.
        optimizer: Muon's learning rate and momentum.
        arguments: training arguments, with those of AdamW.
        table: the model's embedding table if some of its rows move along vectors.

    Raises:
        ValueError: moves along vectors without Muon.
    """
    if optimizer.muon_learning_rate is None:
        if table is not None:
            raise ValueError("word_vectors and code_vectors need Muon: set muon_learning_rate")
        return None, None
    tables = {id(module.weight) for module in model.modules() if isinstance(module, (nn.Embedding, nn.EmbeddingBag))}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # Positions of patches have the shape (1, patches, width): one row.
    is_matrix = [parameter.ndim >= 2 and len(parameter) > 1 and id(parameter) not in tables for parameter in trained]
    return (
        MuonAdamW(
            [parameter for parameter, matrix in zip(trained, is_matrix) if matrix],
            [parameter for parameter, matrix in zip(trained, is_matrix) if not matrix],
            optimizer.muon_learning_rate,
            optimizer.muon_momentum,
            fastest_dtype(arguments.device),
            table,
            lr=arguments.learning_rate,
            betas=(arguments.adam_beta1, arguments.adam_beta2),
            eps=arguments.adam_epsilon,
            weight_decay=arguments.weight_decay,
        ),
        None,
    )
