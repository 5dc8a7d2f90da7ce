"""Learning rates that `lr_scheduler_type` has no name for."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


@dataclass
class StepArguments:
    """A learning rate that falls in steps; with `lr_drops` it takes the place of `lr_scheduler_type`."""

    lr_drops: list[float] | None = field(
        default=None, metadata={"help": "Shares of the run after which the learning rate falls: 0.667 0.917."}
    )
    lr_drop_factor: float = field(default=0.1, metadata={"help": "What it is multiplied by, each time."})


def step_schedule(optimizer: Optimizer, steps: int, arguments: StepArguments) -> LambdaLR:
    """The learning rate times `lr_drop_factor` for each of `lr_drops` that is past (paper, stage 1: 8/12 and 11/12).

    Args:
        steps: of the whole run.

    Raises:
        ValueError: a drop outside the run.
    """
    drops: Sequence[float] = sorted(arguments.lr_drops or ())
    if any(not 0 < drop < 1 for drop in drops):
        raise ValueError(f"lr_drops are shares of the run, between 0 and 1, but are {arguments.lr_drops}")
    places = [round(drop * steps) for drop in drops]
    return LambdaLR(optimizer, lambda step: arguments.lr_drop_factor ** bisect_right(places, step))
