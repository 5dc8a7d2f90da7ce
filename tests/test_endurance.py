"""Calls of one pipeline leave nothing behind, and threads answer as one does; `benchmarks/endurance.py` is longer."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from unipose import UniPosePipeline


POSES = np.random.default_rng(0).normal(scale=0.2, size=(8, 22, 3))
IMAGE = Image.new("RGB", (40, 30), "red")


@pytest.fixture(scope="module")
def pipe(tiny_checkpoint: Path) -> UniPosePipeline:
    return pipeline("unipose", model=str(tiny_checkpoint))


def answer(pipe: UniPosePipeline, number: int) -> Any:
    """An answer to one of six kinds of requests, of which one is refused."""
    sampled = {"seed": number, "do_sample": True}
    pose = POSES[number % 8]
    kind = number % 6
    if kind == 0:
        return pipe("A person kneels.", task="text-to-pose", **sampled)
    if kind == 1:
        return pipe(poses=pose, task="pose-to-text", max_new_tokens=5, **sampled)
    if kind == 2:
        return pipe(images=IMAGE, task="image-to-pose", **sampled)
    if kind == 3:
        return pipe(["Sit.", "Run."], poses=[pose, pose], task="pose-edit", batch_size=2, **sampled)[1]
    if kind == 4:
        chat = [{"role": "user", "content": [{"type": "pose", "pose": pose}, {"type": "text", "text": "Who?"}]}]
        return pipe(chat, max_new_tokens=5, **sampled)
    with pytest.raises(ValueError, match="NaN or infinite values"):
        pipe(poses=pose * np.nan, task="pose-to-text")
    return {"text": "", "poses": []}


def test_calls_leave_nothing_behind(pipe: UniPosePipeline) -> None:
    """Neither tensors nor other objects grow in number, and nothing of a call outlives it."""

    def objects() -> tuple[int, int]:
        gc.collect()
        alive = gc.get_objects()
        return len(alive), sum(type(each) is torch.Tensor for each in alive)

    for number in range(12):
        answer(pipe, number)
    before = objects()
    for number in range(60):
        answer(pipe, number)
    after = objects()
    assert after[1] <= before[1]
    # Below one object a call.
    assert after[0] - before[0] < 50
    image = IMAGE.copy()
    pipe(images=image, task="image-to-pose")
    ghost = weakref.ref(image)
    del image
    gc.collect()
    assert ghost() is None


def test_threads_answer_all_kinds_as_one_does(pipe: UniPosePipeline) -> None:
    numbers = range(48)
    alone = [answer(pipe, number) for number in numbers]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda number: answer(pipe, number), numbers))
    for one, two in zip(alone, together):
        assert one["text"] == two["text"]
        assert all(map(np.array_equal, one["poses"], two["poses"]))
