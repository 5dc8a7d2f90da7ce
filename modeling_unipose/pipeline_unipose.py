"""`pipeline("unipose")`: the seven tasks, free questions and chats, for one row or many."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from transformers import BatchFeature, Pipeline

from .tasks_unipose import TASKS, Task


DEFAULT_NEW_TOKENS = 128
# Where a content block may carry its value. `path` of a pose is the path of a file.
VALUE_KEYS = {"pose": ("pose", "path"), "image": ("image", "url", "path", "base64")}
KIND_NAMES = {"pose": "poses", "image": "images"}


class Row(NamedTuple):
    """The inputs of one answer: a text or a chat, and the pictures and poses that belong to it."""

    text: Any
    images: list[Any]
    poses: list[Any]


@dataclass(frozen=True)
class Conversations:
    """Chats that are answered in one batch; every block carries its value."""

    messages: list[list[dict[str, Any]]]


class UniPosePipeline(Pipeline):
    """Describes, compares, generates, estimates and edits poses.

    ```python
    pipe = pipeline("unipose")
    pipe("A person kneels.", task="text-to-pose")["poses"][0]  # (22, 3, 3)
    pipe(poses=pose, task="pose-to-text")["text"]
    pipe(text="Raise the left arm.", poses=pose, task="pose-edit")
    pipe("Is the person of <pose> standing?", poses=pose)  # the model chooses between text and poses
    ```
    """

    model: Any
    processor: Any

    _load_processor = True  # type: ignore[assignment]
    _load_tokenizer = _load_image_processor = False  # type: ignore[assignment]
    _load_feature_extractor = _load_video_processor = False  # type: ignore[assignment]
    _pipeline_calls_generate = True

    def __call__(  # type: ignore[override]
        self,
        text: Any = None,
        images: Any = None,
        poses: Any = None,
        task: str | None = None,
        generate_kwargs: dict[str, Any] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Answers one row, or each row of a list.

        Args:
            text: The description, the instruction or the question; or a chat (a list of messages with "role" and
                "content"); or a list of either. `<pose>` and `<image>` in a text stand for the poses and pictures, in
                order; where a text names none, they stand in front of it, each with a space behind it.
            images: Pictures of the row: one or a list; for many rows a list of lists.
            poses: Poses of the row, likewise, in any form that the processor takes.
            task: One of `TASKS`; None: the model chooses what it answers. With a chat it only says whether the answer
                is a text or a pose.
            generate_kwargs: Arguments of `generate`, which may also be given directly. Greedy, with 128 new tokens
                and the room for a pose where one may follow, unless they say otherwise.
            batch_size: Rows that are run at once.
            kwargs: As `generate_kwargs`.

        A flat list of poses (pictures) belongs to one row where the text is a single one or the task takes two of
        them; otherwise it is dealt out, one a row. What is not a list goes with every row.

        Returns:
            {"text": str, "poses": [array (22, 3, 3), ...]}, rotation matrices with the stored (z-up) global
            orientation; a list of these where a list of rows was given.

        Raises:
            ValueError: An unknown task; poses, pictures or a text that do not fit the task or the placeholders; a
                picture for a model that sees none.
        """
        if task is not None and task not in TASKS:
            raise ValueError(f"unknown task {task!r}; accepted: {', '.join(TASKS)}")
        rows, many = arrange_rows(text, images, poses, None if task is None else TASKS[task])
        conversations = [self.build_conversation(row, task) for row in rows]
        size = batch_size or self._batch_size or 1
        answers = []
        for first in range(0, len(conversations), size):
            answers += super().__call__(
                Conversations(conversations[first : first + size]),
                generation_mode=None if task is None else TASKS[task].answer,
                generate_kwargs={**(generate_kwargs or {}), **kwargs},
            )
        return answers if many else answers[0]

    def build_conversation(self, row: Row, task: str | None) -> list[dict[str, Any]]:
        """One row -> messages in which every picture and pose is a block with its value."""
        pending = {"image": list(row.images), "pose": list(row.poses)}
        if is_chat(row.text):
            messages = [{**message, "content": self.split_content(message["content"])} for message in row.text]
            if messages[-1]["role"] == "assistant":
                raise ValueError("the last message of the chat is the assistant's: end it with the user's")
        else:
            if task is not None:
                check_counts(row, task)
            text = self.put_into_words(row.text, task)
            for kind, placeholder in (("pose", self.processor.pose_token), ("image", self.processor.image_token)):
                if placeholder not in text:
                    text = f"{placeholder} " * len(pending[kind]) + text
            messages = [{"role": "user", "content": self.split_content(text)}]
        blocks = [block for message in messages for block in message["content"]]
        for kind, values in pending.items():
            fill_blocks(blocks, kind, values)
        if self.model.config.num_image_tokens == 0 and any(block["type"] == "image" for block in blocks):
            raise ValueError("this model has no vision tower and takes no pictures")
        return messages

    def put_into_words(self, text: Any, task: str | None) -> str:
        """The user's text, the task's instruction where there is none, or the task's wording around the text.

        A text that places its poses and pictures itself is the whole prompt.
        """
        prompt = "{text}" if task is None else self.processor.task_prompts.get(task, TASKS[task].prompt)
        if text is None and "{text}" not in prompt:
            return prompt
        text = check_text(text, task)
        places = any(token in text for token in (self.processor.pose_token, self.processor.image_token))
        return prompt.replace("{text}", text) if "{text}" in prompt and not places else text

    def split_content(self, content: str | Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
        """The content of a message -> new blocks; placeholders in its texts become blocks without a value."""
        placeholders = {self.processor.pose_token: "pose", self.processor.image_token: "image"}
        pattern = f"({'|'.join(map(re.escape, placeholders))})"
        blocks: list[dict[str, Any]] = []
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
            if block["type"] in VALUE_KEYS:
                blocks.append(dict(block))
            elif block["type"] == "text":
                pieces = [piece for piece in re.split(pattern, block["text"]) if piece]
                blocks += [
                    {"type": placeholders[piece]} if piece in placeholders else {"type": "text", "text": piece}
                    for piece in pieces
                ]
            else:
                raise ValueError(f"a content block has the type {block['type']!r}; accepted: text, image and pose")
        return blocks

    def _sanitize_parameters(
        self,
        generation_mode: Literal["pose", "text"] | None = None,
        generate_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        generate_kwargs = {**(generate_kwargs or {}), **kwargs}
        if generate_kwargs.get("num_return_sequences", 1) != 1:
            raise ValueError("a row has one answer: repeat the row in place of num_return_sequences")
        mode = {"generation_mode": generation_mode}
        return mode, {**generate_kwargs, **mode}, {}

    def preprocess(self, inputs: Conversations, generation_mode: str | None = None) -> Any:  # type: ignore[override]
        return self.processor.apply_chat_template(
            inputs.messages,
            add_generation_prompt=True,
            generation_mode=generation_mode,
            tokenize=True,
            return_dict=True,
            processor_kwargs={"return_tensors": "pt", "padding_side": "left"},
        )

    def _forward(  # type: ignore[override]
        self,
        model_inputs: BatchFeature,
        generation_mode: Literal["pose", "text"] | None = None,
        **generate_kwargs: Any,
    ) -> dict[str, torch.Tensor]:
        overrides: dict[str, Any] = {"return_dict_in_generate": False}
        given = self._get_set_generation_params({**self._generate_kwargs, **generate_kwargs})
        if not given.keys() & {"max_new_tokens", "max_length"}:
            pose_room = self.model.config.pose_answer_length
            room = {"pose": pose_room, "text": DEFAULT_NEW_TOKENS, None: DEFAULT_NEW_TOKENS + pose_room}
            overrides["max_new_tokens"] = room[generation_mode]
        arguments = self._prepare_generate_kwargs(generate_kwargs, **overrides)
        ids = self.model.generate(**model_inputs, generation_mode=generation_mode, **arguments)
        return {"ids": ids[:, model_inputs["input_ids"].shape[1] :]}

    @torch.no_grad()
    def postprocess(self, model_outputs: dict[str, torch.Tensor]) -> list[dict[str, Any]]:  # type: ignore[override]
        rows = self.processor.post_process_generation(model_outputs["ids"])
        counts = [len(row["pose_codes"]) for row in rows]
        rotmats = np.empty((0, self.model.config.pose_tokenizer_config.num_joints, 3, 3), dtype=np.float32)
        if sum(counts):
            codes = torch.cat([row["pose_codes"] for row in rows])
            rotmats = self.model.decode_pose_codes(codes).float().cpu().numpy()
        poses = np.split(rotmats, np.cumsum(counts)[:-1])
        return [{"text": row["text"], "poses": list(own)} for row, own in zip(rows, poses)]

    def save_pretrained(self, save_directory: str | PathLike, **kwargs: Any) -> None:
        """Saves the model, its processor and their code."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)


def arrange_rows(text: Any, images: Any, poses: Any, task: Task | None) -> tuple[list[Row], bool]:
    """The inputs of a call -> its rows, and whether a list of rows was given (see `UniPosePipeline.__call__`)."""
    many_texts = isinstance(text, list | tuple) and not is_chat(text)
    single_text = text is not None and not many_texts
    image_rows, many_images = group(images, is_picture, not single_text and (task is None or task.images == 1))
    pose_rows, many_poses = group(poses, is_pose, not single_text and (task is None or task.poses == 1))
    columns: dict[str, tuple[Sequence[Any], bool]] = {
        "text": (text if many_texts else [text], many_texts),
        "images": (image_rows, many_images),
        "poses": (pose_rows, many_poses),
    }
    lengths = {name: len(values) for name, (values, many) in columns.items() if many}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{length} of {name}" for name, length in lengths.items())
        raise ValueError(f"the lists give different numbers of rows: {found}")
    length = next(iter(lengths.values()), 1)
    filled = [values if many else list(values) * length for values, many in columns.values()]
    return [Row(*values) for values in zip(*filled)], bool(lengths)


def group(values: Any, is_one: Callable[[Any], bool], deal: bool) -> tuple[list[list[Any]], bool]:
    """Pictures or poses -> those of each row, and whether they were given by row.

    Args:
        values: One, a flat list, or a list of lists; None stands for none.
        is_one: Tells one from several.
        deal: A flat list holds one for each row; otherwise all are the same row's.
    """
    if values is None or is_one(values):
        return [[] if values is None else [values]], False
    values = list(values)
    by_row = [value is None or (isinstance(value, list | tuple) and not is_one(value)) for value in values]
    if values and all(by_row):
        return [list(value or []) for value in values], True
    if deal:
        return [[] if value is None else [value] for value in values], True
    return [values], False


def is_chat(text: Any) -> bool:
    return isinstance(text, list | tuple) and bool(text) and isinstance(text[0], Mapping) and "role" in text[0]


def is_picture(value: Any) -> bool:
    """Whether it is one picture, not several."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.ndim < 4
    return not isinstance(value, list | tuple)


def is_pose(value: Any) -> bool:
    """Whether it is one pose, not several; nested lists of numbers count as arrays."""
    shape = shape_of(value)
    if shape is None:
        return not isinstance(value, list | tuple)
    return len(shape) < 2 or (len(shape) == 2 and shape[1] in (3, 6)) or (len(shape) == 3 and shape[1:] == (3, 3))


def shape_of(value: Any) -> tuple[int, ...] | None:
    """The shape of an array, a number or nested lists of these, judged by their first entries; None for the rest."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return tuple(value.shape)
    if isinstance(value, list | tuple):
        inner = shape_of(value[0]) if value else None
        return None if inner is None else (len(value), *inner)
    return () if isinstance(value, int | float | np.number) else None


def check_counts(row: Row, task: str) -> None:
    wanted, found = TASKS[task], {"pose": row.poses, "image": row.images}
    for kind, needed in (("pose", wanted.poses), ("image", wanted.images)):
        if len(found[kind]) != needed:
            raise ValueError(f"task {task!r} takes {needed} {KIND_NAMES[kind]} a row, found {len(found[kind])}")


def check_text(text: Any, task: str | None) -> str:
    if text is None:
        reason = "without a task" if task is None else f"task {task!r}"
        raise ValueError(f"{reason}: a text is needed; tasks: {', '.join(TASKS)}")
    if not isinstance(text, str):
        raise ValueError(f"a text is a string or a chat, found {type(text).__name__}")
    if not text.strip():
        raise ValueError("the text is empty")
    return text


def fill_blocks(blocks: list[dict[str, Any]], kind: str, values: list[Any]) -> None:
    """Gives each block of a kind that has no value the next one."""
    empty = [
        block for block in blocks if block["type"] == kind and all(block.get(key) is None for key in VALUE_KEYS[kind])
    ]
    if len(empty) != len(values):
        raise ValueError(f"the text has places for {len(empty)} {KIND_NAMES[kind]}, but {len(values)} were given")
    for block, value in zip(empty, values):
        block[kind] = value


__all__ = ["UniPosePipeline"]
