"""`pipeline("unipose")`: the seven tasks, free questions and chats, for one row or many."""

import re
from collections.abc import Collection, Mapping, Sequence
from os import PathLike
from typing import Any, Literal

import numpy as np
import torch
from transformers import BatchFeature, Pipeline

from .answer_choice import Answer, Chooser, ChooserName
from .answer_pipeline import AnswerPipelineMixin, Conversations, Row, calls_of_generate, check_choice
from .body_parts import body_heading, rotate_heading
from .card_upload import update_card
from .generation_arguments import check_batch_size
from .image_texts import ImageTextMixin
from .photo_poses import Estimator, PhotoMixin
from .pipeline_rows import check_inputs, check_text, copy_chat, distribute, fill_blocks, is_chat
from .pipeline_streams import AnswerStream, is_stream
from .seeded_sampling import seeded_generator
from .tasks_unipose import TASKS, Task


DEFAULT_NEW_TOKENS = 128


class UniPosePipeline(AnswerPipelineMixin, ImageTextMixin, PhotoMixin, Pipeline):
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
        seed: int | torch.Generator | None = None,
        return_features: bool = False,
        return_confidence: bool = True,
        allow_urls: bool | None = None,
        allow_local_files: bool | None = None,
        frame: str | None = None,
        output_frame: str = "z_up",
        estimator: Estimator | Literal["mediapipe"] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Answers one row, each row of a list, or each row of a stream.

        A flat list of poses (images) belongs to one row if there is a single text or the task takes two of them;
        otherwise it has one for each row. An input that is not a list is used in every row.

        A stream is a generator, a dataset such as `KeyDataset` or a column of one, for any of the three inputs; an
        item of `text` may also be a dict of text, images and poses. Its answers come one by one, as an iterator.

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
                or a function of the request ({"text", "images", "poses", "task"}) and the answers: an index. It sees
                poses as the model does: rotation matrices, z up, facing the front (see `read_row`).
            seed: Seed of this call's samples, or a generator; torch's own random numbers do not change.
            return_features: Whether an answer also has "features", of which its confidence is made: a dict of numbers.
            return_confidence: Whether an answer has "confidence"; without it, answers of some tasks take half the
                time, because no second forward asks for the request, and no image is said to have no person.
            allow_urls: Whether images in chats may be http addresses: only for chats whose authors are trusted.
                Default: that of the processor, which is False, as for the next.
            allow_local_files: Whether images and poses in chats may be local files: only for the same.
            frame: Frame of the input poses: "z_up" (AMASS), "y_up" (smplx, WHAM, GVHMR) or "camera" (HMR2, TokenHMR,
                ROMP). Default: what a file says, otherwise "z_up". A content block may state its own.
            output_frame: Frame of the poses of the answers.
            estimator: What finds the poses of images in place of the model, for photos of people: "mediapipe" (extra
                `photo`), or a function of RGB images that gives one pose and a confidence for each. The task takes
                images; texts about them are about the poses.
            kwargs: More `generate_kwargs`. num_return_sequences > 1 samples, and gives a list of answers for each row.

        Returns:
            {"text": str, "poses": [array (22, 3, 3), ...], "confidence": float}: rotation matrices, the global
            orientation in `output_frame`, and a number from 0 to 1; a list of these for a list of rows.

        Raises:
            ValueError: An unknown task or frame; poses, images or a text that do not fit the task or the placeholders;
                a chat of another form; an image for a model without vision encoders; a prompt that is too long for the
                model; arguments of generation without an accepted value.
        """
        if task is not None and task not in TASKS:
            raise ValueError(f"unknown task {task!r}; accepted: {', '.join(TASKS)}")
        if not isinstance(generate_kwargs, Mapping | None):
            raise ValueError(f"generate_kwargs must be a dict, got {type(generate_kwargs).__name__}")
        chosen = None if task is None else TASKS[task]
        size = check_batch_size(self._batch_size or 1 if batch_size is None else batch_size)
        inputs = {"text": text, "images": images, "poses": poses}
        options: dict[str, Any] = {
            "generate_kwargs": generate_kwargs,
            "batch_size": size,
            "best_of": best_of,
            "chooser": chooser,
            "return_features": return_features,
            "return_confidence": return_confidence,
            "allow_urls": allow_urls,
            "allow_local_files": allow_local_files,
            **kwargs,
        }
        if estimator is not None:
            return self.answer_estimated(inputs, task, estimator, output_frame, {**options, "seed": seed})
        if any(is_stream(value) for value in inputs.values()):
            options |= {"task": task, "frame": frame, "output_frame": output_frame}
            return self.answer_stream(inputs, size, seed, options)
        rows, many = self.arrange_rows(text, images, poses, chosen)
        rows = [self.check_chat(row, allow_urls, allow_local_files) for row in rows]
        self.processor.to_frame(torch.eye(3).repeat(1, 1, 1), output_frame, "output_frame")
        names = [f"row {number}, " if many else "" for number in range(1, len(rows) + 1)]
        read = [self.read_row(row, frame, name) for row, name in zip(rows, names)]
        rows = [row for row, _ in read]
        answering = self.answering_task(rows, chosen)
        if chosen is not None and answering is not chosen:
            rows = self.with_estimated_poses(rows, chosen, size)
        conversations = [self.build_conversation(row, answering) for row in rows]
        arguments = {**(generate_kwargs or {}), **kwargs}
        count = arguments.get("num_return_sequences", 1)
        check_choice(count, best_of, chooser)
        features = self.needed_features(chosen, return_features, return_confidence)
        if best_of is not None:
            features |= {"log_prob"}
        groups: list[list[Answer]] = [[] for _ in rows]
        generator = self.own_generator(seed)
        for own_arguments in calls_of_generate({**arguments, "seed": generator}, best_of):
            for first in range(0, len(conversations), size):
                found = super().__call__(
                    Conversations(conversations[first : first + size]),
                    generation_mode=None if chosen is None else chosen.answer,
                    generate_kwargs=own_arguments,
                    features=features,
                )
                for group, answers in zip(groups[first:], found):
                    group += answers
        if best_of is not None:
            groups = [[self.choose(row, group, answering, chooser)] for row, group in zip(rows, groups)]
        rows = [row for (row, _), group in zip(read, groups) for _ in group]
        flat = [answer for group in groups for answer in group]
        finished = iter(self.add_confidences(rows, flat, chosen, size, return_features, return_confidence))
        groups = [
            [self.turn_back(next(finished), turn, output_frame) for _ in group]
            for (_, turn), group in zip(read, groups)
        ]
        results = [group if count > 1 else group[0] for group in groups]
        return results if many else results[0]

    def answer_stream(
        self, inputs: dict[str, Any], size: int, seed: int | torch.Generator | None, options: dict[str, Any]
    ) -> AnswerStream:
        """Answers of a stream of rows.

        Args:
            inputs: "text", "images" and "poses" of `__call__`; lists of rows count as streams.
            size: Number of rows of a batch.
            seed: See `__call__`.
            options: Its other arguments.
        """
        group = {"images": self.processor.group_images, "poses": self.processor.group_poses}
        streams = {
            name: value
            for name, value in inputs.items()
            if is_stream(value)
            or (name == "text" and isinstance(value, list | tuple) and not is_chat(value))
            or (name != "text" and group[name](value).layout == "nested")
        }

        generator = self.own_generator(seed)

        def answer(rows: list[dict[str, Any]]) -> list[Any]:
            images, poses = ([group[name](row[name]).items for row in rows] for name in ("images", "poses"))
            return self([row["text"] for row in rows], images, poses, seed=generator, **options)

        return AnswerStream(answer, inputs, streams, size)

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

    def own_generator(self, seed: int | torch.Generator | None) -> torch.Generator | None:
        """The generator of a call.

        Raises:
            ValueError: The seed is no integer of 64 bits.
        """
        return seed if seed is None or isinstance(seed, torch.Generator) else seeded_generator(seed, self.model.device)

    def check_chat(self, row: Row, allow_urls: bool | None, allow_local_files: bool | None) -> Row:
        """A row whose chat, if it has one, is checked.

        Args:
            row: Inputs of one answer.
            allow_urls: See `__call__`.
            allow_local_files: See there.

        Raises:
            ValueError: The chat has another form, or refers to what may not be read.
        """
        if not is_chat(row.text):
            return row
        (messages,), _ = self.processor.check_chats(row.text, allow_urls, allow_local_files)
        return row._replace(text=messages)

    def read_row(self, row: Row, frame: str | None, name: str = "") -> tuple[Row, torch.Tensor]:
        """Reads the poses of a row, also those of its chat, and turns all of them to face the front.

        No answer depends on the heading of the poses, only on headings relative to the first one: one common turn
        about the vertical takes the heading of the first pose away, and `turn_back` gives it to the answer. With
        images the heading is relative to the camera, and is kept.

        Args:
            row: Inputs of one answer.
            frame: As in `__call__`.
            name: Name of the row in error messages.

        Returns:
            The row, whose poses are (22, 3, 3) rotation matrices in the stored frame, and the heading in radians.

        Raises:
            ValueError: An input is not a pose.
        """
        text, blocks = copy_chat(row.text) if is_chat(row.text) else (row.text, [])
        keys = self.processor.block_keys["pose"]
        own = [
            (block, next(key for key in keys if block.get(key) is not None))
            for block in blocks
            if block.get("type") == "pose" and any(block.get(key) is not None for key in keys)
        ]
        values = [(pose, None) for pose in row.poses] + [(block[key], block.get("frame")) for block, key in own]
        read = [
            self.processor.read_pose(pose, f"{name}pose {number}", frame, block_frame)
            for number, (pose, block_frame) in enumerate(values, start=1)
        ]
        heading = torch.zeros(())
        if read and not row.images and all(block.get("type") != "image" for block in blocks):
            heading = body_heading(read[0][0])
            read = [torch.cat([rotate_heading(pose[:1], -heading[None]), pose[1:]]) for pose in read]
        for (block, key), pose in zip(own, read[len(row.poses) :]):
            del block[key]
            block |= {"pose": pose, "frame": "z_up"}
        return Row(text, row.images, read[: len(row.poses)]), heading

    def turn_back(self, answer: Answer, heading: torch.Tensor, output_frame: str) -> Answer:
        """An answer whose poses have the heading of the row's first pose, in the wanted frame.

        Args:
            answer: The answer.
            heading: Result of `read_row`.
            output_frame: As in `__call__`.
        """
        poses = [torch.from_numpy(pose) for pose in answer["poses"]]
        if heading != 0:
            poses = [torch.cat([rotate_heading(pose[:1], heading[None]), pose[1:]]) for pose in poses]
        return {**answer, "poses": [self.processor.to_frame(pose, output_frame).numpy() for pose in poses]}

    def build_conversation(self, row: Row, task: Task | None) -> list[dict[str, Any]]:
        """Writes one row as messages in which every image and pose is a block with its value.

        Args:
            row: Inputs of one answer.
            task: None where the model chooses.

        Raises:
            ValueError: Inputs that do not fit the task or the placeholders, a chat that does not end with the user,
                more images and poses than the model has positions for, an image for a model without vision encoders.
        """
        pending = {"image": list(row.images), "pose": list(row.poses)}
        if is_chat(row.text):
            messages = [{**message, "content": self.split_content(message["content"])} for message in row.text]
            if messages[-1]["role"] != "user":
                raise ValueError(
                    f"the last message of the chat is the {messages[-1]['role']}'s: end it with the user's"
                )
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
        self.check_number_of_inputs(blocks)
        return messages

    def check_number_of_inputs(self, blocks: Sequence[Mapping[str, Any]]) -> None:
        """Checks that images and poses fit the model, before any is read.

        Args:
            blocks: Content blocks of one chat.

        Raises:
            ValueError: They do not; with both numbers.
        """
        config = self.model.config
        lengths = {"image": config.num_image_tokens, "pose": config.num_pose_tokens}
        needed, limit = sum(lengths.get(block["type"], 0) for block in blocks), config.max_positions
        if limit is not None and needed > limit:
            raise ValueError(f"the images and poses take {needed} tokens, but the model has {limit} positions")

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
        features: Collection[str] = (),
        **kwargs: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        generate_kwargs = {**(generate_kwargs or {}), **kwargs}
        mode = {"generation_mode": generation_mode}
        return mode, {**generate_kwargs, **mode, "features": features}, {}

    def preprocess(self, inputs: Conversations, generation_mode: str | None = None) -> Any:  # type: ignore[override]
        messages = [[self.mark_poses(message) for message in chat] for chat in inputs.messages]
        return self.processor.apply_chat_template(
            self.processor.mark_checked(messages),
            # Placeholders of the texts are blocks already.
            sanitize_control_tokens=True,
            add_generation_prompt=True,
            generation_mode=generation_mode,
            tokenize=True,
            return_dict=True,
            processor_kwargs={"return_tensors": "pt", "padding_side": "left"},
        )

    def mark_poses(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message of `build_conversation` whose poses are marked as read, as `read_row` has done."""
        content = [
            {**block, "pose": self.processor.mark_read(block["pose"])} if block["type"] == "pose" else block
            for block in message["content"]
        ]
        return {**message, "content": content}

    def _forward(  # type: ignore[override]
        self,
        model_inputs: BatchFeature,
        generation_mode: Literal["pose", "text"] | None = None,
        features: Collection[str] = (),
        **generate_kwargs: Any,
    ) -> dict[str, Any]:
        wanted = "output_code_logits" if generation_mode == "pose" else "output_logits"
        overrides: dict[str, Any] = {"return_dict_in_generate": True, wanted: bool(features)}
        passed = self._get_set_generation_params({**self._generate_kwargs, **generate_kwargs})
        if not passed.keys() & {"max_new_tokens", "max_length"}:
            pose_length = self.model.config.pose_answer_length
            lengths = {"pose": pose_length, "text": DEFAULT_NEW_TOKENS, None: DEFAULT_NEW_TOKENS + pose_length}
            overrides["max_new_tokens"] = lengths[generation_mode]
        arguments = self._prepare_generate_kwargs(generate_kwargs, **overrides)
        inputs = self.model.encode_images(dict(model_inputs))
        output = self.model.generate(**inputs, generation_mode=generation_mode, **arguments)
        prompt = inputs.pop("input_ids")
        found = self.features_of(prompt, output, inputs, generation_mode, arguments, features)
        return {"ids": output.sequences[:, prompt.shape[1] :], "features": found, "rows": len(prompt)}

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

    def _upload_modified_files(self, working_dir: str | PathLike, repo_id: str, *args: Any, **kwargs: Any) -> Any:
        update_card(self.model, working_dir, repo_id)
        return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)


__all__ = ["UniPosePipeline"]
