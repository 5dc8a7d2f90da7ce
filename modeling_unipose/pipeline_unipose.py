"""`pipeline("unipose")`: the seven tasks, free questions and chats, for one row or many."""

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal

import numpy as np
import torch
from transformers import BatchFeature, Pipeline

from .answer_choice import Answer, Chooser, ChooserName
from .answer_pipeline import AnswerPipelineMixin, Conversations, Row, calls_of_generate, check_choice
from .seeded_sampling import seeded_generator
from .tasks_unipose import TASKS, Task


DEFAULT_NEW_TOKENS = 128


class UniPosePipeline(AnswerPipelineMixin, Pipeline):
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

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.processor.check_model_config(self.model.config.to_dict())

    def __call__(  # type: ignore[override]
        self,
        text: Any = None,
        images: Any = None,
        poses: Any = None,
        task: str | None = None,
        generate_kwargs: dict[str, Any] | None = None,
        batch_size: int | None = None,
        best_of: int | None = None,
        chooser: Chooser | ChooserName = "consistent",
        seed: int | None = None,
        return_features: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Answers one row, or each row of a list.

        A flat list of poses (images) belongs to one row if there is a single text or the task takes two of them;
        otherwise it has one for each row. An input that is not a list is used in every row.

        Args:
            text: The description, the instruction or the question; or a chat (a list of messages with "role" and
                "content"); or a list of either. `<pose>` and `<image>` in a text stand for the poses and images, in
                order; without them, poses and images precede the text, each followed by a space.
            images: Images of the row: one or a list; for many rows a list of lists.
            poses: Poses of the row, in any form that the processor takes: one or a list; for many rows a list of
                lists.
            task: One of `TASKS`; None: the model chooses between text and poses. With a chat, the task only selects
                whether the answer is a text or a pose.
            generate_kwargs: Arguments of `generate`. Default: greedy, 128 new tokens, plus a pose where the answer
                may have one.
            batch_size: Number of rows per batch.
            best_of: Number of answers of each row of which one is returned: the greedy one, and samples.
            chooser: How it is chosen. "consistent": the answer that makes the request probable in the reverse task
                (a text must be probable itself); without such a task as "central": the answer nearest to the others;
                or a function of the request ({"text", "images", "poses", "task"}) and the answers: an index.
            seed: Seed of this call's samples; torch's own random numbers do not change.
            return_features: Whether an answer also has "features", of which its confidence is made: a dict of numbers.
            kwargs: More `generate_kwargs`. num_return_sequences > 1 samples, and gives a list of answers for each row.

        Returns:
            {"text": str, "poses": [array (22, 3, 3), ...], "confidence": float}: rotation matrices, the global
            orientation in the stored (z-up) frame, and a number from 0 to 1; a list of these for a list of rows.

        Raises:
            ValueError: An unknown task; poses, images or a text that do not fit the task or the placeholders; an
                image for a model without vision encoders.
        """
        if task is not None and task not in TASKS:
            raise ValueError(f"unknown task {task!r}; accepted: {', '.join(TASKS)}")
        chosen = None if task is None else TASKS[task]
        rows, many = self.arrange_rows(text, images, poses, chosen)
        conversations = [self.build_conversation(row, chosen) for row in rows]
        size = batch_size or self._batch_size or 1
        arguments = {**(generate_kwargs or {}), **kwargs}
        count = arguments.get("num_return_sequences", 1)
        check_choice(count, best_of, chooser)
        groups: list[list[Answer]] = [[] for _ in rows]
        generator = None if seed is None else seeded_generator(seed, self.model.device)
        for own_arguments in calls_of_generate({**arguments, "seed": generator}, best_of):
            for first in range(0, len(conversations), size):
                found = super().__call__(
                    Conversations(conversations[first : first + size]),
                    generation_mode=None if chosen is None else chosen.answer,
                    generate_kwargs=own_arguments,
                )
                for group, answers in zip(groups[first:], found):
                    group += answers
        if best_of is not None:
            groups = [[self.choose(row, group, chosen, chooser)] for row, group in zip(rows, groups)]
        finished = [
            [self.add_confidence(row, one, chosen, return_features) for one in group]
            for row, group in zip(rows, groups)
        ]
        results = [group if count > 1 else group[0] for group in finished]
        return results if many else results[0]

    def arrange_rows(self, text: Any, images: Any, poses: Any, task: Task | None) -> tuple[list[Row], bool]:
        """Groups the inputs of a call by row.

        Args:
            text: As in `__call__`.
            images: As in `__call__`.
            poses: As in `__call__`.
            task: None where the model chooses.

        Returns:
            The rows, and whether the call passed a list of rows.

        Raises:
            ValueError: The lists have different numbers of rows.
        """
        many_texts = isinstance(text, list | tuple) and not is_chat(text)
        single_text = text is not None and not many_texts
        image_inputs, pose_inputs = self.processor.group_images(images), self.processor.group_poses(poses)
        columns: dict[str, tuple[Sequence[Any], bool]] = {
            "text": (text if many_texts else [text], many_texts),
            "images": distribute(image_inputs, not single_text and (task is None or task.images == 1)),
            "poses": distribute(pose_inputs, not single_text and (task is None or task.poses == 1)),
        }
        lengths = {name: len(values) for name, (values, many) in columns.items() if many}
        if len(set(lengths.values())) > 1:
            got = ", ".join(f"{length} of {name}" for name, length in lengths.items())
            raise ValueError(f"the lists have different numbers of rows: {got}")
        length = next(iter(lengths.values()), 1)
        filled = [values if many else list(values) * length for values, many in columns.values()]
        return [Row(*values) for values in zip(*filled)], bool(lengths)

    def build_conversation(self, row: Row, task: Task | None) -> list[dict[str, Any]]:
        """Writes one row as messages in which every image and pose is a block with its value.

        Args:
            row: Inputs of one answer.
            task: None where the model chooses.

        Raises:
            ValueError: Inputs that do not fit the task or the placeholders, a chat that ends with the assistant, or
                an image for a model without vision encoders.
        """
        pending = {"image": list(row.images), "pose": list(row.poses)}
        if is_chat(row.text):
            messages = [{**message, "content": self.split_content(message["content"])} for message in row.text]
            if messages[-1]["role"] == "assistant":
                raise ValueError("the last message of the chat is the assistant's: end it with the user's")
        else:
            if task is not None:
                check_inputs(row, task)
            text = self.format_prompt(row.text, task)
            for kind, placeholder in (("pose", self.processor.pose_token), ("image", self.processor.image_token)):
                if placeholder not in text:
                    text = f"{placeholder} " * len(pending[kind]) + text
            messages = [{"role": "user", "content": self.split_content(text)}]
        blocks = [block for message in messages for block in message["content"]]
        for kind, values in pending.items():
            fill_blocks(blocks, kind, values, self.processor.block_keys[kind])
        if self.model.config.num_image_tokens == 0 and any(block["type"] == "image" for block in blocks):
            raise ValueError("this model has no vision encoder and takes no images")
        return messages

    def format_prompt(self, text: Any, task: Task | None) -> str:
        """The user's text, the task's instruction if there is none, or the task's prompt around the text.

        A text with placeholders is the whole prompt.

        Args:
            text: The user's, or None.
            task: None where the model chooses.

        Raises:
            ValueError: A missing, empty or wrong text.
        """
        prompt = "{text}" if task is None else self.processor.task_prompts.get(task.name, task.prompt)
        if text is None and "{text}" not in prompt:
            return prompt
        text = check_text(text, task)
        has_placeholders = any(token in text for token in (self.processor.pose_token, self.processor.image_token))
        return prompt.replace("{text}", text) if "{text}" in prompt and not has_placeholders else text

    def split_content(self, content: str | Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
        """The content of a message -> new blocks; placeholders in its texts become blocks without a value.

        Raises:
            ValueError: A block of an unknown type.
        """
        kinds = {self.processor.pose_token: "pose", self.processor.image_token: "image"}
        pattern = f"({'|'.join(map(re.escape, kinds))})"
        blocks: list[dict[str, Any]] = []
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
            if block["type"] in kinds.values():
                blocks.append(dict(block))
            elif block["type"] == "text":
                pieces = [piece for piece in re.split(pattern, block["text"]) if piece]
                blocks += [
                    {"type": kinds[piece]} if piece in kinds else {"type": "text", "text": piece} for piece in pieces
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
    ) -> dict[str, Any]:
        overrides: dict[str, Any] = {"return_dict_in_generate": False}
        passed = self._get_set_generation_params({**self._generate_kwargs, **generate_kwargs})
        if not passed.keys() & {"max_new_tokens", "max_length"}:
            pose_length = self.model.config.pose_answer_length
            lengths = {"pose": pose_length, "text": DEFAULT_NEW_TOKENS, None: DEFAULT_NEW_TOKENS + pose_length}
            overrides["max_new_tokens"] = lengths[generation_mode]
        arguments = self._prepare_generate_kwargs(generate_kwargs, **overrides)
        inputs = self.model.encode_images(dict(model_inputs))
        ids = self.model.generate(**inputs, generation_mode=generation_mode, **arguments)
        prompt = inputs.pop("input_ids")
        generated = ids[:, prompt.shape[1] :]
        features = self.features_of(prompt, generated, inputs, generation_mode, arguments)
        return {"ids": generated, "features": features, "rows": len(prompt)}

    @torch.no_grad()
    def postprocess(self, model_outputs: dict[str, Any]) -> list[list[Answer]]:  # type: ignore[override]
        rows = self.processor.post_process_generation(model_outputs["ids"])
        counts = [len(row["pose_codes"]) for row in rows]
        rotmats = np.empty((0, self.model.config.pose_tokenizer_config.num_joints, 3, 3), dtype=np.float32)
        if sum(counts):
            codes = torch.cat([row["pose_codes"] for row in rows])
            rotmats = self.model.decode_pose_codes(codes).float().cpu().numpy()
        poses = np.split(rotmats, np.cumsum(counts)[:-1])
        answers = [
            {"text": row["text"], "poses": list(row_poses), "features": features}
            for row, row_poses, features in zip(rows, poses, model_outputs["features"])
        ]
        count = len(answers) // model_outputs["rows"]
        return [answers[first : first + count] for first in range(0, len(answers), count)]

    def save_pretrained(self, save_directory: str | PathLike, **kwargs: Any) -> None:
        """Saves the model, its processor and their code."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)


def distribute(inputs: Any, one_per_row: bool) -> tuple[list[list[Any]], bool]:
    """Images or poses that the processor has grouped -> those of each row.

    Args:
        inputs: `Grouped` of the processor.
        one_per_row: Whether a flat list has one item for each row; otherwise all belong to one row.

    Returns:
        The rows, and whether there is a list of rows.
    """
    if inputs.layout == "flat" and one_per_row:
        return [[] if item is None else [item] for item in inputs.items], True
    return inputs.rows, inputs.layout == "nested"


def is_chat(text: Any) -> bool:
    """Whether it is a list of messages."""
    return isinstance(text, list | tuple) and bool(text) and isinstance(text[0], Mapping) and "role" in text[0]


def check_inputs(row: Row, task: Task) -> None:
    """Checks that a row has as many poses and images as its task takes.

    Args:
        row: Inputs of one answer.
        task: Task of the row.

    Raises:
        ValueError: The numbers differ.
    """
    for kind, expected, got in (("poses", task.poses, len(row.poses)), ("images", task.images, len(row.images))):
        if got != expected:
            raise ValueError(f"task {task.name!r} takes {expected} {kind} per row, got {got}")


def check_text(text: Any, task: Task | None) -> str:
    """The user's text.

    Args:
        text: The value that the user passed.
        task: None where the model chooses.

    Raises:
        ValueError: It is missing, empty or no string.
    """
    if text is None:
        reason = "without a task" if task is None else f"task {task.name!r}"
        raise ValueError(f"{reason}: a text is needed; tasks: {', '.join(TASKS)}")
    if not isinstance(text, str):
        raise ValueError(f"a text is a string or a chat, got {type(text).__name__}")
    if not text.strip():
        raise ValueError("the text is empty")
    return text


def fill_blocks(blocks: list[dict[str, Any]], kind: str, values: list[Any], keys: Sequence[str]) -> None:
    """Fills each empty block of a kind with the next value.

    Args:
        blocks: Content blocks of one chat, in order; changed in place.
        kind: "image" or "pose".
        values: Images or poses, one for each empty block.
        keys: Keys under which a block of this kind may hold its value.

    Raises:
        ValueError: The numbers differ.
    """
    empty = [block for block in blocks if block["type"] == kind and all(block.get(key) is None for key in keys)]
    if len(empty) != len(values):
        raise ValueError(f"the text has places for {len(empty)} {kind}s, but {len(values)} were given")
    for block, value in zip(empty, values):
        block[kind] = value


__all__ = ["UniPosePipeline"]
