"""Damaged checkpoints: each gives the answers of the whole one, or an error that a user can read."""

import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damage import HTML, JSON_FILES, POINTER, WEIGHTS, change_json, change_weights, copy_model, leaves, set_leaf
from fuzzing import fuzzed, outcome
from hypothesis import given
from hypothesis import strategies as st
from transformers import pipeline
from transformers.utils import logging

from unipose import UniPoseForConditionalGeneration, UniPoseProcessor


FILES = (*JSON_FILES, "tokenizer.json", "chat_template.jinja", WEIGHTS)
# In place of a value of JSON: other types, and numbers that no count, id or size can have.
VALUES = (None, "", "x", True, [], {}, [1, 2], {"a": 1}, -1, 0, 10**6, 2.5)
# Numbers that nothing else in a checkpoint confirms: another one is another model.
UNCONFIRMED = ("rope_theta", "rms_norm_eps")
Answers = list[tuple[str, list[np.ndarray]]]


@dataclass
class Whole:
    """A whole model without code, and its answers."""

    folder: Path
    answers: Answers = field(repr=False)


def answers(folder: Path) -> Answers:
    """A text and two poses of the model in a folder, greedy; loaded as the command does it."""
    model, processor = (
        UniPoseForConditionalGeneration.from_pretrained(folder),
        UniPoseProcessor.from_pretrained(folder),
    )
    pipe = pipeline("unipose", model=model, processor=processor)
    results = pipe(["A person kneels.", "Who?"], max_new_tokens=12, batch_size=2, task="text-to-pose")
    results.append(pipe("Describe <pose>.", poses=np.zeros((22, 3)), max_new_tokens=4))
    return [(result["text"], result["poses"]) for result in results]


@pytest.fixture(scope="module")
def whole(text_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    folder = copy_model(text_checkpoint, tmp_path_factory.mktemp("whole") / "model")
    yield Whole(folder, answers(folder))
    logging.set_verbosity(level)


def check(whole: Whole, damage: Callable[[Path], Any]) -> str:
    """The outcome of a damaged copy."""
    folder = Path(tempfile.mkdtemp()) / "model"

    def is_right(got: Any) -> bool:
        return all(
            text == own_text and len(poses) == len(own_poses) and all(map(np.array_equal, poses, own_poses))
            for (text, poses), (own_text, own_poses) in zip(got, whole.answers, strict=True)
        )

    try:
        damage(copy_model(whole.folder, folder))
        return outcome(lambda: answers(folder), is_right)
    finally:
        shutil.rmtree(folder.parent)


@fuzzed(12, 90)
@given(name=st.sampled_from(FILES), kind=st.sampled_from(["absent", "empty", HTML, POINTER, "[]", "{}", "1"]))
def test_files_in_place_of_others(whole: Whole, name: str, kind: str) -> None:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        if kind != "absent":
            (folder / name).write_text("" if kind == "empty" else kind)

    if kind == "absent" and name == "generation_config.json":
        return  # It may be: the config has all that is needed.
    check(whole, damage)


@fuzzed(10, 100)
@given(name=st.sampled_from(FILES), share=st.floats(0.0, 0.999))
def test_truncated_files(whole: Whole, name: str, share: float) -> None:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        (folder / name).write_bytes(content[: int(share * len(content))])

    check(whole, damage)


@fuzzed(36, 250)
@given(name=st.sampled_from(JSON_FILES), seed=st.integers(0, 10**6), value=st.sampled_from(["absent", *VALUES]))
def test_values_of_json(whole: Whole, name: str, seed: int, value: Any) -> None:
    def change(content: Any) -> None:
        path = random.Random(seed).choice([path for path in leaves(content) if path[-1] not in UNCONFIRMED])
        set_leaf(content, path, value, remove=value == "absent")

    check(whole, lambda folder: change_json(folder, name, change))


@fuzzed(18, 120)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["absent", "renamed", "cut", "flat", "added", "integers", "nan", "inf"]),
)
def test_tensors(whole: Whole, seed: int, kind: str) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        name = random.Random(seed).choice(sorted(weights))
        value = weights[name]
        if kind in ("absent", "renamed"):
            del weights[name]
        changed = {
            "renamed": {f"{name}s": value},
            "cut": {name: value.flatten()[:-1].clone()},
            "flat": {name: value.flatten()[None].clone()},
            "added": {f"{name}.more": value.clone()},
            "integers": {name: torch.zeros(3, dtype=torch.int16)},
            "nan": {name: torch.full_like(value.float(), float("nan"))},
            "inf": {name: torch.full_like(value.float(), float("inf"))},
        }
        weights.update(changed.get(kind, {}))

    check(whole, lambda folder: change_weights(folder, change))


@fuzzed(6, 40)
@given(one=st.integers(0, 12), other=st.integers(0, 12))
def test_exchanged_special_tokens(whole: Whole, one: int, other: int) -> None:
    def swap(content: dict[str, Any]) -> None:
        names = sorted(name for name, value in content.items() if name.endswith("_token") and isinstance(value, str))
        first, second = names[one % len(names)], names[other % len(names)]
        for tokens in (content, content.get("model_specific_special_tokens", {})):
            if first in tokens and second in tokens:
                tokens[first], tokens[second] = tokens[second], tokens[first]

    check(whole, lambda folder: change_json(folder, "tokenizer_config.json", swap))


@fuzzed(6, 40)
@given(one=st.integers(0, 60), other=st.integers(0, 60))
def test_exchanged_added_tokens(whole: Whole, one: int, other: int) -> None:
    def swap(content: dict[str, Any]) -> None:
        added = content["added_tokens"]
        first, second = added[one % len(added)], added[other % len(added)]
        first["content"], second["content"] = second["content"], first["content"]

    def damage(folder: Path) -> None:
        content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        swap(content)
        (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8")

    check(whole, damage)
