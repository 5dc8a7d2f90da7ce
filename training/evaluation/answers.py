"""A model's answers on disk: an interrupted evaluation continues, several processes share the work.

    answers/recipe.json                   the checkpoint's files, and what else changes answers
    answers/model-00000.jsonl             one answer a line: the digest of its inputs, text, poses, seconds
    answers/samples10-00000.jsonl         ten sampled poses a line

`StoredPipeline` is called like the pipeline. Rows are answered in whole batches, so that a continued evaluation and
one of several processes give the answers of a single run.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.utils import cached_file

from unipose.training.io import file_digest, read_json, write_json


RECIPE_FILE = "recipe.json"


def checkpoint_digest(model: str) -> str:
    """The SHA-256 of all files of a checkpoint's folder, or of a Hub model's as far as they are downloaded.

    Raises:
        OSError: there is no such model.
    """
    config = cached_file(model, "config.json")
    digest = hashlib.sha256()
    for path in sorted(Path(config).parent.iterdir()):
        if path.is_file() and path.suffix not in (".md", ".py"):
            digest.update(f"{path.name} {file_digest(path)}\n".encode())
    return digest.hexdigest()


def start_answers(folder: Path, recipe: dict[str, Any]) -> bool:
    """Prepares the folder of answers: those of the same recipe stay, others are removed, and nothing else.

    Args:
        folder: created if it does not exist.
        recipe: the checkpoint and the options that change answers, as JSON values.

    Returns:
        whether answers of another recipe were removed.
    """
    file = folder / RECIPE_FILE
    if file.exists() and read_json(file) == recipe:
        return False
    removed = sorted(folder.glob("*-*.jsonl")) if file.exists() else []
    for path in removed:
        path.unlink()
    write_json(file, recipe)
    return bool(removed)


class StoredPipeline:
    """Answers by the pipeline that are not stored yet, and stores them.

    Args:
        pipe: `pipeline("unipose")`.
        folder: the folder of the answers, from `start_answers`.
        name: name of the model in the file names.
        process: index of this process, which writes a file of its own.
    """

    def __init__(self, pipe: Any, folder: Path, name: str = "model", process: int = 0):
        self.pipe, self.folder, self.name = pipe, folder, name
        self.model, self.processor = pipe.model, pipe.processor
        self.file = folder / f"{name}-{process:05d}.jsonl"
        self.answers: dict[str, dict[str, Any]] = {}
        drop_unfinished_line(self.file)
        self.read()

    def read(self) -> None:
        """Reads the answers of all processes."""
        for path in sorted(self.folder.glob(f"{self.name}-*.jsonl")):
            for answer in read_answers(path):
                self.answers[answer["key"]] = answer

    def __call__(
        self, task: str, batch_size: int | None = None, do_sample: bool = False, **inputs: list[Any]
    ) -> list[dict[str, Any]]:
        """Answers a batch; all of its rows again if one is missing.

        Args:
            task: name of the task.
            batch_size: number of rows per forward pass; default: all.
            do_sample: must be False: stored answers are greedy.
            inputs: `text`, `images` and `poses`, a list of rows each.

        Returns:
            text, poses (arrays), confidence and seconds of each row.

        Raises:
            ValueError: sampling.
        """
        if do_sample:
            raise ValueError("stored answers are greedy, got do_sample=True")
        rows = len(next(iter(inputs.values())))
        keys = [row_key(task, {name: column[row] for name, column in inputs.items()}) for row in range(rows)]
        if any(key not in self.answers for key in keys):
            start = time.perf_counter()
            found = self.pipe(**inputs, task=task, batch_size=batch_size or rows, do_sample=False)
            seconds = (time.perf_counter() - start) / rows
            self.store([pack_answer(key, answer, seconds) for key, answer in zip(keys, found)])
        return [unpack_answer(self.answers[key]) for key in keys]

    def store(self, answers: Sequence[dict[str, Any]]) -> None:
        """Appends packed answers to the file."""
        with self.file.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(answer) + "\n" for answer in answers)
        self.answers |= {answer["key"]: answer for answer in answers}


class PoseSampler:
    """Answers a row with several sampled poses.

    Args:
        pipe: `pipeline("unipose")`.
        samples: number of poses of a row.
        seed: of the samples. Those of a batch also depend on its first row, and on no other batch.
    """

    def __init__(self, pipe: Any, samples: int, seed: int):
        self.pipe, self.samples, self.seed = pipe, samples, seed
        self.model, self.processor = pipe.model, pipe.processor

    def __call__(self, task: str, batch_size: int, do_sample: bool = False, **inputs: list[Any]) -> list[dict]:
        """The same call as the pipeline's; always samples.

        Args:
            task: name of a task that answers with a pose.
            batch_size: number of rows per forward pass.
            do_sample: of the pipeline; samples in any case.
            inputs: `text`, `images` and `poses`, a list of rows each.
        """
        first = row_key(task, {name: column[0] for name, column in inputs.items()})
        seed = (self.seed + int(first[:12], 16)) % 2**63
        groups = self.pipe(
            **inputs, task=task, batch_size=batch_size, num_return_sequences=self.samples, do_sample=True, seed=seed
        )
        return [{"text": "", "poses": [answer["poses"][0] for answer in group]} for group in groups]


def drop_unfinished_line(path: Path) -> None:
    """Cuts a last line that a killed process has not written in full; a file that does not exist is none."""
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)


def read_answers(path: Path) -> Iterator[dict[str, Any]]:
    """The answers of a file; without a last line that another process has not written in full."""
    content = path.read_bytes()
    for line in content[: content.rfind(b"\n") + 1].splitlines():
        yield json.loads(line)


def pack_answer(key: str, answer: dict[str, Any], seconds: float) -> dict[str, Any]:
    """An answer as JSON values; poses in single precision, without loss.

    Args:
        key: the digest of its inputs.
        answer: of the pipeline.
        seconds: the time it took, its share of that of the batch.
    """
    return {
        "key": key,
        "text": answer["text"],
        "poses": [np.asarray(pose, dtype=np.float32).tolist() for pose in answer["poses"]],
        "confidence": answer.get("confidence"),
        "seconds": seconds,
    }


def unpack_answer(packed: dict[str, Any]) -> dict[str, Any]:
    """An answer as the pipeline gives it, and its `seconds`."""
    return {**packed, "poses": [np.array(pose, dtype=np.float32) for pose in packed["poses"]]}


def row_key(task: str, inputs: dict[str, Any]) -> str:
    """The digest of the inputs of one row.

    Args:
        task: name of the task.
        inputs: `text`, `images` and `poses` of the row.
    """
    digest = hashlib.sha256(task.encode())
    for name in sorted(inputs):
        digest.update(f"\0{name}\0".encode())
        _add(digest, inputs[name])
    return digest.hexdigest()[:32]


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, Image.Image):
        digest.update(f"{value.mode}{value.size}".encode() + value.tobytes())
    elif isinstance(value, torch.Tensor | np.ndarray):
        numbers = np.asarray(value, dtype=np.float64)
        digest.update(str(numbers.shape).encode() + numbers.tobytes())
    elif isinstance(value, list | tuple) and any(isinstance(each, Image.Image | torch.Tensor) for each in value):
        for each in value:
            _add(digest, each)
    else:
        digest.update(json.dumps(value, sort_keys=True).encode())
