"""Rejection sampling with a bound."""

from collections.abc import Callable

import torch


# Far beyond what any accepted proposal needs: even at 5 % acceptance a pose fails this often once in 10^22.
MAX_ROUNDS = 1000


def reject_until_accepted(
    pending: torch.Tensor,
    propose: Callable[[torch.Tensor], torch.Tensor],
    explain: Callable[[torch.Tensor], str],
    max_rounds: int = MAX_ROUNDS,
) -> None:
    """Repeats proposals for all items that were not accepted yet.

    Args:
        pending: (n,) indices of the items.
        propose: takes (m,) pending indices, makes and stores a proposal for each, returns (m,) booleans: accepted.
        explain: takes the indices that are left at the end; returns a description of them and of the reasons.
        max_rounds: maximum number of proposals for one item.

    Raises:
        RuntimeError: an item is not accepted after `max_rounds` proposals.
    """
    for _ in range(max_rounds):
        if not len(pending):
            return
        pending = pending[~propose(pending)]
    if len(pending):
        raise RuntimeError(
            f"{len(pending)} items were rejected {max_rounds} times in a row; expected: proposals that can be "
            f"accepted. {explain(pending)}"
        )
