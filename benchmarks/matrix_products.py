"""The machine's limit of a call: the matrix products that it computes, alone, as plain calls of torch.

The list is recorded from the call itself, so that it is that of any model. Products with a weight use the weight,
which a replay reads from memory as often as the call does: once for each token of a text. All other operands are
scratch memory, one for each shape, which stays in the processor's cache where it fits.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


ATEN = torch.ops.aten
ATTENTION = ATEN._scaled_dot_product_flash_attention_for_cpu
ATTENTION_BACKWARD = ATEN._scaled_dot_product_flash_attention_for_cpu_backward

ATTENTION_ROWS = 128

Factors = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Product:
    """(rows, inner) times (inner, columns), or a batch of such pairs.

    Args:
        left: (rows, inner) or (batch, rows, inner).
        right: (inner, columns) or (batch, inner, columns).
    """

    left: torch.Tensor
    right: torch.Tensor

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(batch, rows, inner, columns)."""
        batch = 1 if self.left.ndim == 2 else len(self.left)
        return (batch, *self.left.shape[-2:], self.right.shape[-1])

    @property
    def operations(self) -> int:
        """Floating-point operations: one multiplication and one addition for each pair of numbers."""
        return 2 * prod(self.shape)

    def compute(self) -> torch.Tensor:
        """The product."""
        return (torch.mm if self.left.ndim == 2 else torch.bmm)(self.left, self.right)


class ProductRecorder(TorchDispatchMode):
    """Records the matrix products of all that runs in its context, in order.

    Args:
        modules: Modules whose weights and buffers are kept as operands.
    """

    def __init__(self, *modules: torch.nn.Module):
        super().__init__()
        self.products: list[Product] = []
        self.kept = {
            tensor.untyped_storage().data_ptr()
            for module in modules
            for tensor in (*module.parameters(), *module.buffers())
        }
        self.scratch: dict[tuple[Any, ...], torch.Tensor] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        self.products += [Product(*map(self.operand, pair)) for pair in factors(function, args, result)]
        return result

    def operand(self, tensor: torch.Tensor) -> torch.Tensor:
        """A weight itself, or scratch memory of the shape, the dtype and the order of an activation."""
        if tensor.untyped_storage().data_ptr() in self.kept:
            return tensor.detach()
        transposed = tensor.stride(-1) != 1 and tensor.stride(-2) == 1
        key = (tuple(tensor.shape), tensor.dtype, transposed)
        if key not in self.scratch:
            shape = tensor.mT.shape if transposed else tensor.shape
            values = torch.randn(shape, dtype=tensor.dtype, device=tensor.device)
            self.scratch[key] = values.mT if transposed else values
        return self.scratch[key]


def factors(function: Any, args: tuple[Any, ...], result: Any) -> Iterator[Factors]:
    """The operands of the matrix products of one operation of torch; none for most operations.

    Args:
        function: The operation.
        args: Its arguments.
        result: What it returned.
    """
    packet = function.overloadpacket
    if packet in (ATEN.mm, ATEN.bmm):
        yield args[0], args[1]
    elif packet in (ATEN.addmm, ATEN.baddbmm):
        yield args[1], args[2]
    elif packet is ATTENTION:
        yield from attention_factors(*args[:3])
    elif packet is ATTENTION_BACKWARD:
        gradient, *inputs = args[:4]
        yield from attention_backward_factors(gradient, *inputs)
    elif packet is ATEN.convolution:
        yield from convolution_factors(args[1], result)
    elif packet is ATEN.convolution_backward:
        columns, weight = next(convolution_factors(args[2], args[0]))
        yield columns.new_empty(len(columns), weight.shape[1]), weight.T
        yield columns.new_empty(weight.shape[1], len(columns)), columns


def attention_factors(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> Iterator[Factors]:
    """The two products of an attention: the scores, and the mixture of the values, for some rows after the other.

    Scores of all rows at once leave the processor's cache, which takes longer than attention itself.

    Args:
        query: (batch, heads, length, size).
        key: (batch, heads, past + length, size).
        value: As key.
    """
    query, key, value = (each.flatten(0, 1) for each in (query, key, value))
    for rows in query.split(ATTENTION_ROWS, dim=1):
        yield rows, key.mT
        yield rows.new_empty(len(rows), rows.shape[1], key.shape[1]), value


def attention_backward_factors(
    gradient: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> Iterator[Factors]:
    """The five products of the backward pass of an attention: the scores again, and four gradients.

    Args:
        gradient: (batch, heads, length, size), of the result.
        query: As gradient.
        key: (batch, heads, past + length, size).
        value: As key.
    """
    gradient, query, key, value = (each.flatten(0, 1) for each in (gradient, query, key, value))
    scores = query.new_empty(len(query), query.shape[1], key.shape[1])
    yield query, key.mT
    yield scores.mT, gradient
    yield gradient, value.mT
    yield scores, key
    yield scores.mT, query


def convolution_factors(weight: torch.Tensor, result: torch.Tensor) -> Iterator[Factors]:
    """A convolution without groups as one product, of its unfolded input and its kernels.

    Args:
        weight: (output channels, input channels, *kernel).
        result: (batch, output channels, *places).
    """
    kernels = weight.flatten(1).T
    yield weight.new_empty(len(result) * prod(result.shape[2:]), len(kernels)), kernels


def record_products(call: Callable[[], object], *modules: torch.nn.Module) -> list[Product]:
    """The matrix products of a call.

    Args:
        call: The call; it runs once, so that lists and caches of a first call must be there before.
        modules: Modules whose weights it uses.
    """
    with ProductRecorder(*modules) as recorder:
        call()
    return recorder.products


def compute_all(products: Iterable[Product]) -> None:
    """Computes products, one after the other; the results are thrown away."""
    with torch.no_grad():
        for product in products:
            product.compute()


def billions_of_operations(products: Iterable[Product]) -> float:
    """Floating-point operations of products, in units of 10^9."""
    return sum(product.operations for product in products) / 1e9
