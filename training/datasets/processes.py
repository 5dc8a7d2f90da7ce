"""Work shared among the processes that `accelerate launch` starts, on one machine or on several."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

from accelerate import InitProcessGroupKwargs, PartialState


# A process that has done its share waits for the slowest one.
MAX_WAIT = timedelta(hours=12)

Item = TypeVar("Item")


def start_process(cpu: bool) -> PartialState:
    """Joins the processes of `accelerate launch`; without it, this process is the only one.

    Args:
        cpu: whether the work needs no GPU.
    """
    return PartialState(cpu=cpu, **InitProcessGroupKwargs(timeout=MAX_WAIT).to_kwargs())


def own_share(items: Sequence[Item], state: PartialState) -> list[Item]:
    """The items that this process works on: every n-th of n processes.

    Args:
        items: in the same order in all processes.
        state: this process.
    """
    return list(items[state.process_index :: state.num_processes])
