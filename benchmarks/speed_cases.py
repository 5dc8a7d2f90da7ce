"""The seven tasks, by `generate` and by the pipeline, beside the machine's limit: most of what `speed.py` measures."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from matrix_products import Product, billions_of_operations, compute_all, record_products
from measure import interleaved_times, median_ratio

from unipose import UniPosePipeline
from unipose.demo import LUNGE, load_frames
from unipose.processing.rendering import render_pose
from unipose.tasks_unipose import TASKS, Task


SENTENCE = "A person kneels on the left knee with both arms raised above the head."
INSTRUCTION = "Raise the left arm."
NEW_TOKENS = 64
# Answers of text have exactly that many tokens: no token has the id -1.
TEXT_OPTIONS = {"max_new_tokens": NEW_TOKENS, "eos_token_id": -1}

Call = Callable[[], object]


@dataclass(frozen=True)
class Measured:
    """A call beside the machine's limit.

    Args:
        name: Its name, unique in a run.
        unit: What it makes: "poses", "tokens", "rows" or "".
        count: How many of them.
        seconds: Median.
        limit: Median seconds of its matrix products alone, measured in turns with it; None without products.
        ratio: Median of the ratios of measured time and limit.
        operations: Floating-point operations of its matrix products, in 10^9.
    """

    name: str
    unit: str
    count: int
    seconds: float
    limit: float | None
    ratio: float | None
    operations: float

    @property
    def per_second(self) -> float | None:
        """Units per second."""
        return self.count / self.seconds if self.unit else None

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {**asdict(self), "per_second": self.per_second}


@dataclass(frozen=True)
class TaskMeasured:
    """A task with one batch size.

    Args:
        generate: `model.generate` on inputs of the processor.
        pipeline: The pipeline, from texts, images and poses to answers.
        added: Median seconds by which the pipeline takes longer.
        added_products: Those of its matrix products: scoring answers for their confidence, and decoding poses.
    """

    generate: Measured
    pipeline: Measured
    added: float
    added_products: float


class TaskCalls:
    """The calls of one task with a batch of rows, which are all alike.

    Args:
        pipe: The pipeline of a model.
        task: The task.
        batch: Number of rows.
    """

    def __init__(self, pipe: UniPosePipeline, task: Task, batch: int):
        self.pipe, self.task, self.batch = pipe, task, batch
        pose = load_frames()[LUNGE]
        text = {"caption": SENTENCE, "instruction": INSTRUCTION, None: None}[task.text]
        self.text = None if text is None else [text] * batch
        self.images = [[render_pose(pose)] * task.images for _ in range(batch)] if task.images else None
        self.poses = [[pose] * task.poses for _ in range(batch)] if task.poses else None
        self.options: dict[str, Any] = {} if task.answer == "pose" else dict(TEXT_OPTIONS)
        self.inputs = self.prepare()

    def prepare(self) -> Any:
        """The inputs of `generate`, by the processor."""
        content: list[dict[str, Any]] = []
        pose, image = (each[0] if each else [] for each in (self.poses, self.images))
        for kind, values in (("pose", pose), ("image", image)):
            for value in values:
                content += [{"type": kind, kind: value}, {"type": "text", "text": " "}]
        text = self.task.prompt.replace("{text}", self.text[0] if self.text else "")
        chat = [{"role": "user", "content": [*content, {"type": "text", "text": text}]}]
        return self.pipe.processor.apply_chat_template(
            [chat] * self.batch,
            add_generation_prompt=True,
            generation_mode=self.task.answer,
            tokenize=True,
            return_dict=True,
            processor_kwargs={"return_tensors": "pt"},
        )

    def generate(self) -> torch.Tensor:
        """`model.generate` alone."""
        return self.pipe.model.generate(**self.inputs, generation_mode=self.task.answer, **self.options)

    def pipeline(self) -> object:
        """The whole pipeline."""
        return self.pipe(
            self.text, self.images, self.poses, task=self.task.name, batch_size=self.batch, **self.options
        )

    @property
    def count(self) -> int:
        """Poses or tokens of all answers."""
        return self.batch * (1 if self.task.answer == "pose" else NEW_TOKENS)

    def check(self) -> None:
        """Checks that the answers have the length that is counted.

        Raises:
            RuntimeError: They do not.
        """
        config = self.pipe.model.config
        expected = config.num_pose_tokens + 1 if self.task.answer == "pose" else NEW_TOKENS
        got = self.generate().shape[1] - self.inputs["input_ids"].shape[1]
        if got not in (expected, expected + 1 + len(config.pose_opening_ids)):
            raise RuntimeError(f"{self.task.name}: an answer has {got} tokens, expected {expected}")


def measure_call(
    name: str, call: Call, products: Sequence[Product], repeats: int, unit: str = "", count: int = 1
) -> Measured:
    """Measures a call beside its matrix products.

    Args:
        name: Its name.
        call: The call.
        products: See `record_products`.
        repeats: Number of timed calls.
        unit: See `Measured`.
        count: See there.
    """
    times = interleaved_times({"call": call, "limit": partial(compute_all, products)}, repeats)
    return measured(name, times["call"], times["limit"], products, unit, count)


def measured(
    name: str, times: Sequence[float], limits: Sequence[float], products: Sequence[Product], unit: str, count: int
) -> Measured:
    """The figures of a call that was timed in turns with its products.

    Args:
        name: Its name.
        times: Seconds.
        limits: Seconds of its products.
        products: The products.
        unit: See `Measured`.
        count: See there.
    """
    return Measured(
        name,
        unit,
        count,
        statistics.median(times),
        statistics.median(limits) if products else None,
        median_ratio(times, limits) if products else None,
        billions_of_operations(products),
    )


def measure_task(size: str, pipe: UniPosePipeline, task: Task, batch: int, repeats: int) -> TaskMeasured:
    """Measures a task with one batch size, by `generate` and by the pipeline.

    Args:
        size: Name of the model's size.
        pipe: Its pipeline.
        task: The task.
        batch: Number of rows.
        repeats: Number of timed calls.
    """
    calls = TaskCalls(pipe, task, batch)
    calls.check()
    own = record_products(calls.generate, pipe.model)
    whole = record_products(calls.pipeline, pipe.model)
    times = interleaved_times(
        {
            "generate": calls.generate,
            "generate limit": partial(compute_all, own),
            "pipeline": calls.pipeline,
            "pipeline limit": partial(compute_all, whole),
        },
        repeats,
    )

    def difference(of: str) -> float:
        return statistics.median(
            two - one for one, two in zip(times[f"generate{of}"], times[f"pipeline{of}"], strict=True)
        )

    unit = "poses" if task.answer == "pose" else "tokens"
    name = f"{size}/{task.name}/{batch}"
    return TaskMeasured(
        measured(f"{name}/generate", times["generate"], times["generate limit"], own, unit, calls.count),
        measured(f"{name}/pipeline", times["pipeline"], times["pipeline limit"], whole, unit, calls.count),
        difference(""),
        difference(" limit"),
    )


def choose_cases(tasks: Sequence[str], batches: Sequence[int]) -> Iterator[tuple[Task, int]]:
    """Tasks and batch sizes, in the order of the table.

    Args:
        tasks: Names of tasks; empty: all.
        batches: Batch sizes.
    """
    for name in tasks or TASKS:
        for batch in batches:
            yield TASKS[name], batch


def random_poses(count: int) -> np.ndarray:
    """(count, 22, 3) rotation vectors, in radians."""
    return np.random.default_rng(0).normal(scale=0.2, size=(count, 22, 3))
