"""The seven tasks, by `generate` and by the pipeline, beside the machine's limit: most of what `speed.py` measures."""

import math
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
PRODUCTS = "matrix products"

Call = Callable[[], object]


@dataclass(frozen=True)
class Measured:
    """A call beside another one, which is its limit or what it is compared with.

    Args:
        name: "SIZE/what it is/BATCH", unique in a run.
        against: The other one, in words.
        unit: What the call makes: "poses", "tokens", "rows", ... or "".
        count: How many of them.
        seconds: Median.
        other: Median seconds of the other one, measured in turns.
        ratio: Median of the ratios of both: lower is better.
        operations: Floating-point operations of the call's matrix products, in 10^9; 0 where they are not recorded.
    """

    name: str
    against: str
    unit: str
    count: int
    seconds: float
    other: float
    ratio: float
    operations: float = 0.0

    @property
    def per_second(self) -> float:
        """Units per second."""
        return self.count / self.seconds

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {**asdict(self), "per_second": self.per_second}


def measured(
    name: str,
    times: Sequence[float],
    others: Sequence[float],
    unit: str = "",
    count: int = 1,
    against: str = PRODUCTS,
    products: Sequence[Product] = (),
) -> Measured:
    """The figures of a call that was timed in turns with another one.

    Args:
        name: See `Measured`, as all of the following.
        times: Seconds of the call.
        others: Seconds of the other one.
        unit: What the call makes.
        count: How many.
        against: The other one, in words.
        products: The matrix products of the call, where they are recorded.
    """
    medians = statistics.median(times), statistics.median(others)
    return Measured(
        name, against, unit, count, *medians, median_ratio(times, others), billions_of_operations(products)
    )


def measure_call(
    name: str, call: Call, products: Sequence[Product], repeats: int, unit: str = "", count: int = 1
) -> Measured:
    """Measures a call beside its matrix products.

    Args:
        name: See `Measured`.
        call: The call.
        products: See `record_products`.
        repeats: Number of timed calls.
        unit: See `Measured`.
        count: See there.
    """
    times = interleaved_times({"call": call, "limit": partial(compute_all, products)}, repeats)
    return measured(name, times["call"], times["limit"], unit, count, products=products)


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

    def generate_checked(self) -> None:
        """`generate`, and a check that the answers have the length that is counted.

        Raises:
            RuntimeError: They do not.
        """
        config = self.pipe.model.config
        expected = config.num_pose_tokens + 1 if self.task.answer == "pose" else NEW_TOKENS
        got = self.generate().shape[1] - self.inputs["input_ids"].shape[1]
        if got not in (expected, expected + 1 + len(config.pose_opening_ids)):
            raise RuntimeError(f"{self.task.name}: an answer has {got} tokens, expected {expected}")


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
    own = record_products(calls.generate_checked, pipe.model)
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
        *(
            measured(
                f"{name}/{step}",
                times[step],
                times[f"{step} limit"],
                unit,
                calls.count,
                products=products,
            )
            for step, products in (("generate", own), ("pipeline", whole))
        ),
        difference(""),
        difference(" limit"),
    )


def measure_tasks(
    size: str,
    pipe: UniPosePipeline,
    tasks: Sequence[str],
    batches: Sequence[int],
    repeats: int,
    most_operations: float = math.inf,
) -> Iterator[TaskMeasured]:
    """Measures tasks with several batch sizes.

    Args:
        size: Name of the model's size.
        pipe: Its pipeline.
        tasks: Names of the tasks.
        batches: Batch sizes, the smallest first.
        repeats: Number of timed calls.
        most_operations: Batches that would compute more, in 10^9, are left out.
    """
    for name in tasks:
        of_row = 0.0
        for batch in batches:
            if of_row * batch <= most_operations:
                result = measure_task(size, pipe, TASKS[name], batch, repeats)
                of_row = result.generate.operations / batch
                yield result


def random_poses(count: int) -> np.ndarray:
    """(count, 22, 3) rotation vectors, in radians."""
    return np.random.default_rng(0).normal(scale=0.2, size=(count, 22, 3))
