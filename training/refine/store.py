"""Input and output of a refinement: texts to rewrite, and a file of results that a killed run can continue."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import roma
import torch
from datasets import Image, List

from unipose.processing.body_model import BodyModel
from unipose.training.datasets.rows import POSE_ANSWERS
from unipose.training.datasets.shards import load_corpus


ACCEPTED = '{"name": str, "text": str, "images": [path, ...], "rotvecs": (22, 3) or (2, 22, 3)}, the last two optional'


@dataclass(frozen=True)
class Poses:
    """The pose of a caption, or the two of a difference.

    Args:
        joints: (1 or 2, 22, 3), meters, y up.
        rotmats: (1 or 2, 22, 3, 3), the stored rotations.
    """

    joints: npt.NDArray[np.float32]
    rotmats: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Request:
    """A text to rewrite.

    Args:
        name: name of its record.
        text: the automatic caption or difference.
        images: encoded images; none, or as many as the task expects.
        poses: the described poses, if known.
    """

    name: str
    text: str
    images: tuple[bytes, ...] = ()
    poses: Poses | None = None


@dataclass(frozen=True)
class Refined:
    """One line of the results.

    Args:
        name: name of the request.
        prompt: hash of the prompt; the same name and hash are not requested twice.
        text: text for training: the rewrite, or the automatic text if no rewrite was faithful.
        refined: whether it is a rewrite.
        automatic: the automatic text.
        model: the name of the chat model.
        rounds: number of requested rewrites.
        reasons: reasons of the last rejection.
    """

    name: str
    prompt: str
    text: str
    refined: bool
    automatic: str
    model: str
    rounds: int
    reasons: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.prompt


class Results:
    """The file of results: each line is on the disk before the next; an incomplete last line is removed.

    Raises:
        ValueError: a line that is not the last is damaged.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.keys = {refined.key for refined in read_results(path)} if path.exists() else set()
        self._file = path.open("ab")
        if path.exists():
            self._file.truncate(path.read_bytes().rfind(b"\n") + 1)

    def add(self, refined: Refined) -> None:
        self._file.write(json.dumps(asdict(refined), ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.keys.add(refined.key)

    def close(self) -> None:
        self._file.close()


def read_results(path: Path) -> Iterator[Refined]:
    """The results in a file, in the order of the answers; an incomplete last line is skipped.

    Raises:
        ValueError: a line is damaged.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
            yield Refined(**values | {"reasons": tuple(values["reasons"])})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}, line {number}, is not a result of this command ({error}).") from error


def read_requests(path: Path, images: bool = True) -> Iterator[Request]:
    """The texts of a JSONL file, or of the described rows of a saved corpus.

    Args:
        path: the file, or the folder of the corpus.
        images: whether to read their images.

    Raises:
        ValueError: a line is damaged; the message has its number.
        OSError: an image cannot be read.
    """
    body = BodyModel.builtin()
    yield from (_corpus_requests if path.is_dir() else _file_requests)(path, images, body)


def _file_requests(path: Path, images: bool, body: BodyModel) -> Iterator[Request]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                values = json.loads(line)
                name, text = str(values["name"]), str(values["text"])
                poses = _poses(values["rotvecs"], body) if "rotvecs" in values else None
                files = [path.parent / file for file in values.get("images", ())]
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ValueError(
                    f"{path}, line {number}: got {line.strip()[:80]!r} ({type(error).__name__}: {error}); "
                    f"expected {ACCEPTED}."
                ) from error
            yield Request(name, text, tuple(file.read_bytes() for file in files if images), poses)


def _corpus_requests(path: Path, images: bool, body: BodyModel) -> Iterator[Request]:
    for row in load_corpus(path, streaming=True).cast_column("images", List(Image(decode=False))):
        if row["task"] in POSE_ANSWERS:
            continue
        poses = _poses(row["poses"], body) if row["poses"] else None
        data = tuple(image["bytes"] for image in row["images"] if images)
        yield Request(f"{row['task']}:{row['source']}", row["text"], data, poses)


def _poses(rotvecs: Any, body: BodyModel) -> Poses:
    vectors = torch.tensor(rotvecs, dtype=torch.float32)
    if vectors.shape not in ((22, 3), (1, 22, 3), (2, 22, 3)) or not vectors.isfinite().all():
        raise ValueError(f"rotvecs: got the shape {tuple(vectors.shape)}; expected (22, 3) or (2, 22, 3), finite")
    rotmats = roma.rotvec_to_rotmat(vectors.reshape(-1, 22, 3))
    return Poses(body.forward_joints(rotmats).numpy(), rotmats.numpy())
