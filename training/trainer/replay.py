"""Replay: rows of what a model knows already, mixed into a training on other rows so that it does not forget."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from datasets import Dataset
from transformers import TrainingArguments

from unipose.tasks_unipose import TASKS
from unipose.training.datasets.build_corpus import Recipe, build_corpus
from unipose.training.datasets.shards import load_corpus
from unipose.training.trainer.samplers import GroupedSampler


# Shares of the generated rows: near those of the embedded model's corpus.
SHARES = {"text-to-pose": 0.4, "pose-to-text": 0.2, "pose-edit": 0.2, "pose-diff": 0.08}
IMAGE_SHARES = {"image-to-text": 0.04, "image-to-pose": 0.06, "image-diff": 0.02}
# Other options of these rows, as in the recipe of the embedded model's corpus; more of them are named poses.
REPLAY_OPTIONS = {
    "named_poses": 0.5,
    "human_wordings": 0.8,
    "composed_poses": 0.15,
    "action_captions": 0.4,
    "human_edits": 0.38,
    "change_questions": 0.3,
    "image_questions": 0.3,
    "empty_scenes": 0.05,
    "typed_forms": 0.5,
    "answer_variety": 0.2,
}
# Of the rows of pose-to-text, the share with a question.
QUESTION_SHARE = 1 / 3
TEMPLATES = 12
# More rows than these are seen again.
MAX_REPLAYED = 1000
# Of a corpus with too few rows, the share that is never trained on.
REPLAY_HELD_OUT = 0.1


@dataclass
class ReplayArguments:
    """Rows of what the model knows, mixed into the training so that it does not forget."""

    replay_share: float = field(
        default=0.5, metadata={"help": "Share of replayed rows in each epoch, from 0 (none) to below 1."}
    )
    replay_rows: int | None = field(
        default=None,
        metadata={
            "help": "Number of different rows to replay, of all tasks that the model has; default: as many as the "
            "training sees, at most 1,000."
        },
    )
    replay_corpus: str | None = field(
        default=None, metadata={"help": "Corpus to replay rows of, by build_corpus; default: rows are generated."}
    )

    def __post_init__(self) -> None:
        if not 0 <= self.replay_share < 1:
            raise ValueError(f"replay_share is {self.replay_share}, expected 0 (no replay) to below 1")
        if self.replay_share and self.replay_rows is not None and self.replay_rows < 1:
            raise ValueError(f"replay_rows is {self.replay_rows}, expected at least 1, or replay_share 0")


def rows_to_replay(arguments: ReplayArguments, num_own: int, config: TrainingArguments) -> int:
    """Number of different rows to replay.

    Args:
        arguments: the number, or the share of which it follows.
        num_own: number of the user's rows to train on.
        config: length of the training.
    """
    if arguments.replay_rows is not None:
        return arguments.replay_rows
    per_epoch = replayed_per_epoch(num_own, 1, arguments.replay_share)
    epochs = config.num_train_epochs
    if config.max_steps > 0:
        batch = config.train_batch_size * config.gradient_accumulation_steps * config.world_size
        epochs = config.max_steps * batch / (num_own + per_epoch)
    return min(max(math.ceil(per_epoch * epochs), 1), MAX_REPLAYED)


def load_replay_rows(
    arguments: ReplayArguments, counts: tuple[int, int], folder: Path, has_images: bool, seed: int, workers: int
) -> tuple[Dataset, Dataset | None]:
    """The rows to replay, and others of their kind that are never trained on, both in random order.

    Args:
        arguments: origin of the rows.
        counts: number of both. Of a corpus with too few rows, at most a tenth is left out of the training.
        folder: where generated rows are kept; an interrupted build is resumed.
        has_images: whether the model takes images.
        seed: seed of the rows and of their order.
        workers: number of processes; does not change the rows.
    """
    total = sum(counts)
    if arguments.replay_corpus is None:
        build_corpus(replay_recipe(total, has_images, seed), folder, workers)
        rows = load_corpus(folder)
    else:
        rows = load_corpus(arguments.replay_corpus)
    rows = rows.select(np.random.default_rng(seed).permutation(len(rows))[:total])
    held_out = min(counts[1], max(len(rows) - counts[0], int(REPLAY_HELD_OUT * len(rows))))
    return rows.select(range(held_out, len(rows))), rows.select(range(held_out)) if held_out else None


def replay_recipe(count: int, has_images: bool, seed: int) -> Recipe:
    """The options of generated rows.

    Args:
        count: number of rows.
        has_images: whether some have images.
        seed: seed of the rows.
    """
    shares = SHARES | (IMAGE_SHARES if has_images else {})
    counts = {task.replace("-", "_"): round(count * shares.get(task, 0.0) / sum(shares.values())) for task in TASKS}
    questions = round(counts["pose_to_text"] * QUESTION_SHARE)
    counts["pose_to_text"] -= questions
    # The seed of the embedded model's corpus is 1; its rows would be seen again, not others of their kind.
    return Recipe(**counts, questions=questions, templates=TEMPLATES, seed=1000 + seed, **REPLAY_OPTIONS)


class ReplaySampler(GroupedSampler):
    """Each epoch has all rows of the user, and as many of the rows to replay as their share asks for.

    The rows to replay follow each other over the epochs in a random order that begins anew when all were seen.

    Args:
        lengths: length of each row in tokens, those of the user first.
        has_image: whether each row has an image.
        batch_size: number of rows per step, in all processes together.
        seed: seed of the order.
        num_own: number of the user's rows.
        share: share of replayed rows in an epoch, below 1.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        has_image: Sequence[bool],
        batch_size: int,
        seed: int,
        num_own: int,
        share: float,
    ):
        super().__init__(lengths, has_image, batch_size, seed)
        self.num_own = num_own
        self.num_replayed = replayed_per_epoch(num_own, len(lengths) - num_own, share)

    def __len__(self) -> int:
        return self.num_own + self.num_replayed

    def rows_of_epoch(self) -> np.ndarray:
        pool = self.num_rows - self.num_own
        if not self.num_replayed:
            return np.arange(self.num_own)
        places = self.epoch * self.num_replayed + np.arange(self.num_replayed)
        rounds = {number: self.order_of_round(number) for number in np.unique(places // pool)}
        replayed = [rounds[place // pool][place % pool] for place in places]
        return np.concatenate([np.arange(self.num_own), self.num_own + np.asarray(replayed)])

    def order_of_round(self, number: int) -> np.ndarray:
        """The order of all rows to replay, the number-th time that they are seen."""
        return np.random.default_rng([self.seed, number, 1]).permutation(self.num_rows - self.num_own)


def replayed_per_epoch(num_own: int, num_replay: int, share: float) -> int:
    """Number of replayed rows in an epoch.

    Args:
        num_own: number of the user's rows.
        num_replay: number of rows to replay.
        share: their share in an epoch.
    """
    return round(num_own * share / (1 - share)) if num_replay else 0


def split_rows(rows: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset | None]:
    """Training rows and held-out rows.

    Rows of one source, such as several tasks of one line, stay together, and so do equal rows.

    Args:
        rows: rows in our format.
        share: share of the sources that is held out, at least one where it is not 0.
        seed: seed of the choice.

    Returns:
        Both; None for no held-out rows.

    Raises:
        ValueError: the share is not from 0 to below 1, or nothing would be left to train on.
    """
    if not 0 <= share < 1:
        raise ValueError(f"held_out is {share}, expected a share of the rows from 0 (none) to below 1")
    if share == 0:
        return rows, None
    groups = group_rows(rows)
    names = list(dict.fromkeys(groups))
    count = max(1, round(share * len(names)))
    if count >= len(names):
        raise ValueError(
            f"got {len(names)} different row(s), of which {count} would be held out; expected more rows, or held_out 0"
        )
    chosen = {names[index] for index in np.random.default_rng(seed).permutation(len(names))[:count]}
    is_held_out = np.array([group in chosen for group in groups])
    return rows.select(np.flatnonzero(~is_held_out)), rows.select(np.flatnonzero(is_held_out))


def group_rows(rows: Dataset) -> list[str]:
    """For each row the source of the first one that it stays together with."""
    first_source: dict[str, str] = {}
    group_of_source: dict[str, str] = {}
    for row in rows.select_columns(["messages", "poses", "source"]):
        content = json.dumps([row["messages"], row["poses"]], sort_keys=True)
        # Equal prompts about other images are equal rows here: that costs a little choice, and leaks nothing.
        first = first_source.setdefault(content, row["source"])
        group_of_source.setdefault(row["source"], group_of_source.get(first, first))
    return [group_of_source[source] for source in rows["source"]]
