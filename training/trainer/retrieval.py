"""Training of the retrieval models on the texts of a corpus: its rows, batches, metrics and the trainer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import roma
import torch
from datasets import Dataset as Rows
from torch.utils.data import Dataset
from transformers import AutoTokenizer, EvalPrediction, PreTrainedTokenizerBase

from unipose.processing.pose_features import NUM_JOINTS, rotmat_to_rotation_6d
from unipose.training.datasets.shards import load_corpus
from unipose.training.evaluation.retrieval import RetrievalConfig, RetrievalModel
from unipose.training.evaluation.retrieval_metrics import GROUP_SIZE, retrieval_metrics
from unipose.training.models.text_tokenizer import train_word_tokenizer
from unipose.training.trainer.callbacks import SetEpochCallback
from unipose.training.trainer.checkpoints import find_checkpoint
from unipose.training.trainer.collator import ROW_KEY
from unipose.training.trainer.config import StageConfig
from unipose.training.trainer.optimizer import OptimizerArguments, build_optimizer
from unipose.training.trainer.samplers import SeededSampler
from unipose.training.trainer.trainers import SampledDataMixin, StageTrainer


# Tasks whose rows have a text of one pose, and of two.
POSE_TASKS = ("text-to-pose", "pose-to-text")
PAIR_TASKS = ("pose-edit", "pose-diff")


@dataclass
class RetrievalArguments:
    """The corpus, and the sizes of a retrieval model; see `RetrievalConfig`."""

    corpus: str = field(
        default="runs/retrieval_corpus", metadata={"help": "Folder of a corpus by build_corpus or corpus_of_records."}
    )
    tasks: list[str] = field(
        default_factory=lambda: ["text-to-pose"],
        metadata={
            "help": "Tasks whose texts and poses are matched: text-to-pose and pose-to-text for a model of poses, "
            "pose-edit and pose-diff for one of pairs."
        },
    )
    rows: int | None = field(default=None, metadata={"help": "Maximum number of training rows; default: all."})
    tokenizer: str | None = field(
        default=None, metadata={"help": "Folder or Hub id of a tokenizer; default: a new one of the corpus's words."}
    )
    vocab_size: int = field(default=4096, metadata={"help": "Maximum number of tokens of a new tokenizer."})
    embedding_size: int = field(default=512, metadata={"help": "Width of the shared space."})
    text_encoder: Literal["gru", "transformer"] = field(
        default="gru", metadata={"help": "Text encoder: gru, bidirectional as in the paper, or transformer."}
    )
    word_embedding_size: int = field(default=300, metadata={"help": "Width of the GRU's token embeddings."})
    text_hidden_size: int = field(
        default=512, metadata={"help": "Width of each direction of the GRU, or of the transformer."}
    )
    num_text_layers: int = field(default=1, metadata={"help": "Number of layers of the text encoder."})
    pose_encoder: Literal["convolution", "mlp"] = field(
        default="convolution", metadata={"help": "Pose encoder: convolution, the original's, or mlp, faster on a CPU."}
    )
    hidden_size: int = field(
        default=512, metadata={"help": "Number of channels of the convolutions, or width of the MLP."}
    )
    num_pose_tokens: int = field(default=40, metadata={"help": "Positions along the joint axis of the convolutions."})
    num_residual_blocks: int = field(default=2, metadata={"help": "Number of residual blocks of the pose encoder."})
    dropout: float = field(
        default=0.0, metadata={"help": "Share of features that the text encoder and the MLP drop in training."}
    )


def is_of_pairs(tasks: Sequence[str]) -> bool:
    """Whether tasks have texts of pairs of poses.

    Args:
        tasks: names of tasks.

    Raises:
        ValueError: none, an unknown task, one without a text and poses, or tasks of both kinds.
    """
    kinds = [kind for kind in (POSE_TASKS, PAIR_TASKS) if tasks and set(tasks) <= set(kind)]
    if not kinds:
        raise ValueError(
            f"got the tasks {', '.join(tasks) or 'none'}; expected some of {', '.join(POSE_TASKS)}, or of "
            f"{', '.join(PAIR_TASKS)}"
        )
    return kinds[0] == PAIR_TASKS


class TextsOfPoses(Dataset):
    """Texts and their poses; a whole batch is fetched at once.

    Args:
        texts: a text of each pose or pair.
        rotmats: (rows, 22, 3, 3) in the stored frame, or (rows, 2, 22, 3, 3) pairs.
        tokenizer: tokenizer of the texts.
    """

    def __init__(self, texts: Sequence[str], rotmats: torch.Tensor, tokenizer: PreTrainedTokenizerBase | None = None):
        self.texts = texts
        self.rotmats = rotmats
        self.tokenizer = tokenizer

    def __len__(self) -> int:
        return len(self.texts)

    def __getitems__(self, indices: list[int]) -> dict[str, Any]:
        texts = [self.texts[index] for index in indices]
        tokens = self.tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
        return {
            "pose_values": rotmat_to_rotation_6d(self.rotmats[indices]),
            "input_ids": tokens["input_ids"],
            "attention_mask": tokens["attention_mask"],
            ROW_KEY: torch.tensor(indices),
        }


def load_texts(folder: str | Path, split: str, tasks: Sequence[str], rows: int | None = None) -> TextsOfPoses:
    """The texts and poses of a corpus.

    Rows of several turns, which refer to one another, are left out.

    Args:
        folder: folder of the corpus.
        split: "train", "validation" or "test".
        tasks: see `is_of_pairs`.
        rows: maximum number of rows, the first ones.

    Raises:
        ValueError: wrong tasks, or the corpus has no such rows.
        FileNotFoundError: there is no complete corpus.
    """
    num_poses = 2 if is_of_pairs(tasks) else 1
    corpus: Rows = load_corpus(folder, split, tasks=tasks).select_columns(["poses", "text"])
    table = corpus.with_format("arrow")[:]
    poses = table.column("poses").combine_chunks()
    lengths = np.diff(poses.offsets.to_numpy())
    kept = np.flatnonzero(lengths == num_poses)[:rows]
    if not len(kept):
        raise ValueError(f"{folder} has no {split} rows of {', '.join(tasks)} with {num_poses} poses and one text")
    rotvecs = poses.take(kept).flatten().flatten().flatten().to_numpy(zero_copy_only=False)
    shape = (len(kept), *((2,) if num_poses == 2 else ()), NUM_JOINTS, 3)
    rotmats = roma.rotvec_to_rotmat(torch.from_numpy(rotvecs.reshape(shape).copy()).float())
    return TextsOfPoses(table.column("text").take(kept).to_pylist(), rotmats)


def collate_whole(batch: dict[str, Any]) -> dict[str, Any]:
    """Returns the batch unchanged: `TextsOfPoses` returns whole batches."""
    return batch


class RetrievalMetrics:
    """R-precision and recalls of an evaluation set, for the trainer's `compute_metrics`.

    Args:
        seed: seed of the division into groups of 32.
    """

    def __init__(self, seed: int):
        self.seed = seed

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        text_embeds, pose_embeds = (torch.from_numpy(embeds) for embeds in prediction.predictions[:2])
        generator = torch.Generator().manual_seed(self.seed)
        permutation = torch.randperm(len(text_embeds), generator=generator)
        return retrieval_metrics(text_embeds, pose_embeds, permutation)


class RetrievalTrainer(SampledDataMixin, StageTrainer):
    """Trains on random batches; the other rows of a batch, in the same process, are the negatives of each."""

    def train_sampler(self) -> SeededSampler:
        sampler = SeededSampler(len(self.train_dataset), self.args.seed)
        self.add_callback(SetEpochCallback(sampler))
        return sampler


def load_sets(arguments: RetrievalArguments) -> dict[str, TextsOfPoses]:
    """The rows of each split, with the tokenizer of the texts.

    Args:
        arguments: the corpus, the tasks and the tokenizer.

    Raises:
        ValueError: see `load_texts`; or fewer than 32 rows of validation or test.
    """
    sets = {
        split: load_texts(arguments.corpus, split, arguments.tasks, arguments.rows if split == "train" else None)
        for split in ("train", "validation", "test")
    }
    for split in ("validation", "test"):
        if len(sets[split]) < GROUP_SIZE:
            raise ValueError(
                f"{arguments.corpus} has {len(sets[split])} {split} rows of {', '.join(arguments.tasks)}; expected at "
                f"least {GROUP_SIZE}, one group of R-precision"
            )
    texts = sets["train"].texts
    tokenizer = (
        train_word_tokenizer(texts, (), arguments.vocab_size)
        if arguments.tokenizer is None
        else AutoTokenizer.from_pretrained(arguments.tokenizer)
    )
    for rows in sets.values():
        rows.tokenizer = tokenizer
    return sets


def train_retrieval(
    arguments: RetrievalArguments, optimizer: OptimizerArguments, config: StageConfig
) -> dict[str, float]:
    """Trains a retrieval model, from the last checkpoint where the run resumes, and saves it.

    Args:
        arguments: the corpus, and the sizes of the model.
        optimizer: options of the optimizer.
        config: the trainer's arguments.

    Returns:
        The metrics of the corpus's test split, also in `test_results.json`.
    """
    sets = load_sets(arguments)
    torch.manual_seed(config.seed)
    tokenizer = sets["train"].tokenizer
    others = ("corpus", "tasks", "rows", "tokenizer", "vocab_size")
    sizes = {name: value for name, value in vars(arguments).items() if name not in others}
    model_config = RetrievalConfig(pairs=is_of_pairs(arguments.tasks), vocab_size=len(tokenizer), **sizes)
    model = RetrievalModel(model_config, tokenizer)
    # The poses are what the texts are matched with. The library computes metrics only where there are labels.
    config.label_names = ["pose_values"]
    trainer = RetrievalTrainer(
        model=model,
        args=config,
        train_dataset=sets["train"],
        eval_dataset=sets["validation"],
        data_collator=collate_whole,
        compute_metrics=RetrievalMetrics(config.seed),
        optimizers=build_optimizer(model, optimizer, config),
    )
    trainer.train(resume_from_checkpoint=find_checkpoint(config))
    trainer.save_model()
    metrics = trainer.evaluate(sets["test"], metric_key_prefix="test")
    trainer.save_metrics("test", metrics)
    return metrics
