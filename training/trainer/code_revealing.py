"""Masked refinement in training: some codes of an output pose are given, and the others are predicted from them.

Not in the paper, whose codes are independent of each other given the prompt. Generation with
`pose_refinement_steps > 1` reveals its surest codes and predicts the rest again (MaskGIT, CVPR 2022).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch

from unipose.query_runs import block_index
from unipose.training.trainer.collator import ROW_KEY, Row, UniPoseDataCollator
from unipose.training.trainer.random_collator import RandomCollator


class CodeRevealingCollator(RandomCollator):
    """Batches of a collator with `revealed_pose_codes`: a random part of the codes of some output poses.

    Args:
        collator: collator of prepared rows, which carry their index (`ROW_KEY`).
        share: share of the output poses of which codes are revealed, from 0 to 1.
        seed: seed of the choice.

    Raises:
        ValueError: a share outside of 0 to 1, or the causal attention, which has no queries.
    """

    option = "reveal_codes"
    stream = 1

    def __init__(self, collator: UniPoseDataCollator | RandomCollator, share: float, seed: int):
        super().__init__(collator, share, seed)
        if self.pose_attention != "mixed":
            raise ValueError('reveal_codes needs output poses of queries (pose_attention "mixed"), got "causal"')

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        batch = self.collator(rows)
        processor = self.processor
        is_query = batch["input_ids"] == processor.pose_query_token_id
        is_revealed = torch.zeros_like(is_query)
        poses = block_index(is_query).amax(dim=1) + 1
        for index, (row, count) in enumerate(zip(batch[ROW_KEY].tolist(), poses.tolist())):
            if count:
                rng = self.generator(row)
                choice = [reveal_codes(rng, self.share, processor.num_pose_tokens) for _ in range(count)]
                is_revealed[index, is_query[index]] = torch.from_numpy(np.concatenate(choice))
        codes = batch["labels"] - processor.pose_code_start_id
        batch["revealed_pose_codes"] = torch.where(is_revealed, codes, -1)
        for name in ("labels", "shift_labels"):
            batch[name] = batch[name].masked_fill(is_revealed, -100)
        return batch


def reveal_codes(rng: np.random.Generator, share: float, num_tokens: int) -> np.ndarray:
    """Draws whether codes of a pose are revealed, and which: by a cosine schedule, a few more often than many.

    Args:
        rng: random generator; it is used alike whatever is drawn.
        share: probability of revealing any.
        num_tokens: number of codes of the pose.

    Returns:
        (num_tokens,) bool; at least one code is revealed and one hidden, or all are hidden.
    """
    reveals, ratio, order = rng.random() < share, rng.random(), rng.permutation(num_tokens)
    hidden = math.ceil(math.cos(ratio * math.pi / 2) * num_tokens)
    return order >= min(max(hidden, 1), num_tokens - 1) if reveals else np.zeros(num_tokens, dtype=bool)
