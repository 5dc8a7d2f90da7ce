"""Counts where a step makes the host wait for the device, as it would on a GPU."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode


# Numbers that Python reads, and results whose size depends on values.
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "unique_consecutive", "_unique2", "equal"}


class HostWaits(TorchDispatchMode):
    """Counts by operation; places of a mask are also searched by indexing with it."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name.startswith("index") and any(
            index is not None and index.dtype == torch.bool
            for index in (args[1] if isinstance(args[1], list | tuple) else [])
        )
        if name in WAITS or by_mask:
            self.counts[f"{name} by a mask" if by_mask else name] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def count_host_waits() -> Iterator[Counter[str]]:
    """Counts within the block, with each `tolist`, which on a CPU is no operation."""
    waits = HostWaits()
    tolist = torch.Tensor.tolist

    def counted(tensor: torch.Tensor) -> Any:
        waits.counts["tolist"] += 1
        return tolist(tensor)

    with mock.patch.object(torch.Tensor, "tolist", counted), waits:
        yield waits.counts
