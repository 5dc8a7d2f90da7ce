"""Edits of a pose in training, in which body parts that an edit keeps are those of other poses, or of none.

Not in the paper. Edits change one part of a pose and keep the others, but a small model overfits the poses
of its training instead of copying. Here it sees kept parts in combinations that no pose of the training has, parts
whose tokens come from several poses, and codes at random, which can only be copied.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from unipose import UniPoseConfig
from unipose.body_parts import PARTS
from unipose.query_runs import is_pose_code, shift_pose_labels
from unipose.training.trainer.collator import ROW_KEY, Row, UniPoseDataCollator
from unipose.training.trainer.random_collator import RandomCollator


# Probability that a kept part is replaced, in a row that is changed.
PART_SHARE = 0.5
# Of the rows that are changed, those whose replaced parts get codes at random, or each token that of any pose of the
# batch; the others get those of one pose. A model that saw whole parts and random codes alone copied these, but of
# unusual poses half of the codes.
RANDOM_SHARE, SCATTERED_SHARE = 0.25, 0.5


class KeptCodeCollator(RandomCollator):
    """Batches in which some of the parts that all poses of a row have in common are replaced.

    They come from another row's pose or, token by token, from several, or are codes at random.

    A row without an input pose or without an output pose stays as it is.

    Args:
        collator: collator of prepared rows, which carry their index (`ROW_KEY`).
        share: share of the edits of which parts are replaced, from 0 to 1.
        seed: seed of the choice.
        config: config of the model.

    Raises:
        ValueError: a share outside of 0 to 1, or a pose tokenizer whose codes belong to no parts.
    """

    option = "vary_kept_codes"
    stream = 2

    def __init__(
        self,
        collator: UniPoseDataCollator | RandomCollator,
        share: float,
        seed: int,
        config: UniPoseConfig,
    ):
        super().__init__(collator, share, seed)
        self.config, tokenizer = config, config.pose_tokenizer_config
        if tokenizer.architecture != "body_parts" or tokenizer.part_tokens is None:
            raise ValueError(
                f"vary_kept_codes needs a pose tokenizer with codes of body parts, got {tokenizer.architecture}"
            )
        sizes = [1, *(tokenizer.part_tokens[kind] for kind, _, _ in PARTS)]
        # The part of each token; the heading is one.
        self.part_of_token = np.repeat(np.arange(len(sizes)), sizes)

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        batch = self.collator(rows)
        is_query = batch["input_ids"] == self.processor.pose_query_token_id
        tokens = torch.where(is_query, batch["labels"], batch["input_ids"])
        is_code = is_pose_code(tokens, self.config)
        poses = [row[own].view(-1, len(self.part_of_token)) for row, own in zip(tokens, is_code)]
        is_output = batch["labels"] != -100
        with_pose = [index for index, own in enumerate(poses) if len(own)]
        for place, index in enumerate(with_pose):
            outputs = is_output[index, is_code[index]]
            if not outputs.any() or outputs.all() or len(with_pose) < 2:
                continue
            rng = self.generator(int(batch[ROW_KEY][index]))
            is_replaced = torch.from_numpy(self.draw(rng, poses[index].numpy()))
            others = torch.stack([poses[other][-1] for other in with_pose[:place] + with_pose[place + 1 :]])
            source = self.draw_source(rng, others)
            tokens[index, is_code[index]] = torch.where(is_replaced, source, poses[index]).flatten()
        batch["input_ids"] = torch.where(is_code & ~is_query, tokens, batch["input_ids"])
        batch["labels"] = torch.where(is_code & is_output, tokens, batch["labels"])
        batch["shift_labels"] = shift_pose_labels(is_query, batch["labels"])
        return batch

    def draw_source(self, rng: np.random.Generator, others: torch.Tensor) -> torch.Tensor:
        """Draws the tokens that may replace those of a row.

        Args:
            rng: random numbers of the row.
            others: (poses, tokens) a pose of each of the other rows.

        Returns:
            (tokens,).
        """
        kind, (count, tokens) = rng.random(), others.shape
        if kind < RANDOM_SHARE:
            codes = rng.integers(self.processor.codebook_size, size=tokens)
            return torch.from_numpy(codes) + self.processor.pose_code_start_id
        chosen = rng.integers(count, size=tokens if kind < RANDOM_SHARE + SCATTERED_SHARE else 1)
        return others[torch.from_numpy(chosen), torch.arange(tokens)]

    def draw(self, rng: np.random.Generator, poses: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Draws which tokens of a row's poses are replaced: whole parts that all of these poses have in common.

        Args:
            rng: random numbers of the row.
            poses: (poses, tokens).

        Returns:
            (tokens,) bool.
        """
        varies = rng.random() < self.share
        chosen = rng.random(self.part_of_token[-1] + 1) < PART_SHARE
        differs = (poses != poses[0]).any(axis=0)
        is_kept = np.bincount(self.part_of_token, weights=differs) == 0
        return (is_kept & chosen & varies)[self.part_of_token]
