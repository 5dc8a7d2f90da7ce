"""What `speed.py` measures beside the tasks: the parts of a call, loading, memory, training, and other models."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from matrix_products import record_products
from measure import interleaved_times
from model_sizes import parallel_and_causal, plain_vlm
from PIL import Image
from safetensors.torch import load_file
from speed_cases import (
    NEW_TOKENS,
    SENTENCE,
    TEXT_OPTIONS,
    Call,
    Measured,
    measure_call,
    measured,
    random_poses,
)
from tokenizers import Tokenizer
from transformers import pipeline

from training import Loop, take_rows
from unipose import UniPosePipeline
from unipose.demo import LUNGE, load_frames
from unipose.processing.rendering import render_pose


PROMPT_TOKENS = 24
TRAINING_ROWS = {"embedded": (128, 32), "84m": (16, 8)}
TRAINING_TASKS = ("pose-to-text", "pose-diff", "text-to-pose", "pose-edit")
SQUAT = "import sys\nfrom unipose.cli import main\nsys.exit(main(['A person squats.', '--out', sys.argv[1]]))"


def compare_calls(
    name: str, call: Call, other: Call, against: str, repeats: int, unit: str = "", count: int = 1
) -> Measured:
    """Measures a call in turns with another one.

    Args:
        name: Its name.
        call: The call.
        other: The other call.
        against: What the other call is, in words.
        repeats: Number of timed calls.
        unit: See `Measured`.
        count: See there.
    """
    times = interleaved_times({"call": call, "other": other}, repeats)
    return measured(name, times["call"], times["other"], unit, count, against)


@torch.no_grad()
def measure_pose_tokenizer(size: str, pipe: UniPosePipeline, batch: int, repeats: int) -> Iterator[Measured]:
    """Poses to codes and codes to poses.

    Args:
        size: Name of the model's size.
        pipe: Its pipeline.
        batch: Number of poses.
        repeats: Number of timed calls.
    """
    tokenizer = pipe.model.model.pose_tokenizer
    values = pipe.processor(
        text=[pipe.processor.pose_token] * batch, poses=list(random_poses(batch)), return_tensors="pt"
    )["pose_values"]
    codes = tokenizer.encode(values)
    calls = {"encode": partial(tokenizer.encode, values), "decode": partial(tokenizer.decode, codes)}
    for name, call in calls.items():
        products = record_products(call, tokenizer)
        yield measure_call(f"{size}/pose tokenizer {name}/{batch}", call, products, repeats, "poses", batch)


def measure_processor(size: str, pipe: UniPosePipeline, batch: int, repeats: int) -> Iterator[Measured]:
    """Texts, images and poses to inputs, beside the least that each needs.

    Args:
        size: Name of the model's size.
        pipe: Its pipeline.
        batch: Number of rows.
        repeats: Number of timed calls.
    """
    processor = pipe.processor
    texts, poses = [SENTENCE] * batch, random_poses(batch)
    images = [render_pose(load_frames()[LUNGE])] * batch
    own = processor.image_processor
    sides = [(own.size["width"], own.size["height"]), (own.pose_size["width"], own.pose_size["height"])]

    def resize() -> None:
        for image in images:
            for side in sides:
                np.asarray(image.resize(side, Image.Resampling.BICUBIC), dtype=np.float32)

    pose_texts = [processor.pose_token] * batch
    rotvecs = torch.from_numpy(poses)
    cases: dict[str, tuple[Call, Call, str]] = {
        "text": (
            lambda: processor(text=texts, return_tensors="pt"),
            lambda: processor.tokenizer.backend_tokenizer.encode_batch(texts),
            "the tokenizer's Rust alone",
        ),
        "image": (lambda: own(images, return_tensors="pt"), resize, "PIL's resizing alone"),
        "pose": (
            lambda: processor(text=pose_texts, poses=list(poses), return_tensors="pt"),
            lambda: (processor(text=pose_texts_without(batch), return_tensors="pt"), roma.rotvec_to_rotmat(rotvecs)),
            "the text, and one conversion of all",
        ),
    }
    for name, (call, other, against) in cases.items():
        yield compare_calls(f"{size}/processor {name}/{batch}", call, other, against, repeats, f"{name}s", batch)


def pose_texts_without(batch: int) -> list[str]:
    """Texts without a pose."""
    return ["."] * batch


def children_time() -> float:
    """Seconds of the processor that ended processes have taken."""
    times = os.times()
    return times.children_user + times.children_system


def run_python(*arguments: str) -> None:
    """Runs Python in a new process, and raises an error with its output if it fails."""
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def measure_loading(size: str, pipe: UniPosePipeline, repeats: int) -> Iterator[Measured]:
    """Loading the pipeline in this process, and answering in a new one.

    Args:
        size: Name of the model's size.
        pipe: Its pipeline.
        repeats: Number of timed calls.
    """
    with tempfile.TemporaryDirectory() as folder:
        pipe.save_pretrained(folder)

        def read() -> None:
            load_file(Path(folder) / "model.safetensors")
            Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))

        def load() -> None:
            pipeline("unipose", model=folder)

        yield compare_calls(f"{size}/load/1", load, read, "reading weights and tokenizer", repeats)
        if size == "embedded":
            calls: dict[str, Call] = {
                "call": partial(run_python, "-c", SQUAT, str(Path(folder) / "squat.glb")),
                "other": partial(run_python, "-c", "import torch"),
            }
            times = interleaved_times(calls, repeats, children_time)
            name = "embedded/`unipose TEXT --out` in a new process/1"
            yield measured(name, times["call"], times["other"], "", 1, "`import torch` in a new process")


def measure_memory(size: str) -> list[tuple[str, float, float]]:
    """Steps of a new process: peak MB, and the ratio to the memory of the imports and the weights.

    Args:
        size: Name of the model's size.
    """
    command = [sys.executable, str(Path(__file__).with_name("peak_memory.py")), "--size", size]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    peaks: dict[str, float] = json.loads(output.splitlines()[-1])
    least = peaks["imports"] + peaks.pop("weights")
    return [(f"{size}/memory/{step}", peak, peak / least) for step, peak in peaks.items()]


def measure_training(size: str, pipe: UniPosePipeline, repeats: int) -> Measured:
    """An epoch of instruction tuning on rows without images.

    Args:
        size: Name of the model's size.
        pipe: Its pipeline.
        repeats: Number of timed epochs.
    """
    count, batch = TRAINING_ROWS[size]
    rows = take_rows(None, 10 * count)
    kept = list(islice((index for index, row in enumerate(rows) if not row["images"]), count))
    with tempfile.TemporaryDirectory() as folder:
        pipe.save_pretrained(folder)
        loop = Loop(Path(folder), rows.select(kept), batch)
    loop.ours()
    products = record_products(loop.ours, loop.model)
    return measure_call(f"{size}/training, batch {batch}/{count}", loop.ours, products, repeats, "rows", count)


@torch.no_grad()
def measure_causal(size: str, pipe: UniPosePipeline, batch: int, repeats: int) -> Measured:
    """A pose as one parallel block, against one code a step (`pose_attention="causal"`), both with random weights.

    Args:
        size: Name of the model's size.
        pipe: Its pipeline.
        batch: Number of poses.
        repeats: Number of timed calls.
    """
    parallel, causal = parallel_and_causal(pipe.model.config)
    prompt = torch.randint(3, 200, (batch, PROMPT_TOKENS))
    prompt[:, -1] = parallel.config.pose_start_token_id
    options: dict[str, Any] = {
        "input_ids": prompt,
        "attention_mask": torch.ones_like(prompt),
        "generation_mode": "pose",
        "pad_token_id": 0,
    }
    tokens = parallel.config.num_pose_tokens
    name = f"{size}/parallel pose of {tokens} tokens/{batch}"
    calls = [partial(model.generate, **options) for model in (parallel, causal)]
    return compare_calls(name, *calls, "one code a step", repeats, "poses", batch)


@torch.no_grad()
def measure_plain_vlm(size: str, pipe: UniPosePipeline, repeats: int) -> Iterator[Measured]:
    """What UniPose shares with a Llava of the same size: the forward of an image and a text, and tokens of a text.

    Args:
        size: Name of the model's size.
        pipe: Its pipeline.
        repeats: Number of timed calls.
    """
    ours, llava = plain_vlm(pipe.model.config)
    config = ours.config
    text = torch.randint(3, 200, (1, PROMPT_TOKENS))
    with_image = torch.cat([torch.full((1, config.num_image_tokens), config.image_token_id), text], dim=1)
    side = config.vision_config.image_size
    inputs = {
        "input_ids": with_image,
        "attention_mask": torch.ones_like(with_image),
        "pixel_values": torch.randn(1, 3, side, side),
        "logits_to_keep": 1,
    }
    calls = [partial(model, **inputs) for model in (ours, llava)]
    yield compare_calls(f"{size}/forward of an image and a text/1", *calls, "Llava", repeats)
    options: dict[str, Any] = {"attention_mask": torch.ones_like(text), "pad_token_id": 0, **TEXT_OPTIONS}
    yield compare_calls(
        f"{size}/{NEW_TOKENS} tokens of text/1",
        partial(ours.generate, text, generation_mode="text", **options),
        partial(llava.generate, text, do_sample=False, **options),
        "Llava",
        repeats,
        "tokens",
        NEW_TOKENS,
    )
