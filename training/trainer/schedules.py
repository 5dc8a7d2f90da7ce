"""A learning rate that falls in steps, which `lr_scheduler_type` does not offer."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


@dataclass
class StepScheduleArguments:
    """A learning rate that falls in steps; `lr_drops` overrides `lr_scheduler_type`."""

    lr_drops: list[float] | None = field(
        default=None, metadata={"help": "Shares of the run after which the learning rate falls, such as 0.667 0.917."}
    )
    lr_drop_factor: float = field(default=0.1, metadata={"help": "Factor of the learning rate at each of lr_drops."})


def step_schedule(optimizer: Optimizer, steps: int, arguments: StepScheduleArguments) -> LambdaLR:
    """The learning rate times `lr_drop_factor` for each of `lr_drops` that is past (paper, stage 1: 8/12 and 11/12).

    Args:
        optimizer: optimizer whose learning rate changes.
        steps: number of steps of the whole run.
        arguments: options of the schedule.

    Raises:
        ValueError: one of lr_drops is not between 0 and 1.
    """
    drops: Sequence[float] = sorted(arguments.lr_drops or ())
    if any(not 0 < drop < 1 for drop in drops):
        raise ValueError(f"lr_drops: expected shares of the run, between 0 and 1, got {arguments.lr_drops}")
    places = [round(drop * steps) for drop in drops]
    return LambdaLR(optimizer, lambda step: arguments.lr_drop_factor ** bisect_right(places, step))
