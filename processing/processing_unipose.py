"""Text, images and poses -> one batch for UniPose; generated ids -> text and pose codes.

In a text one `<pose>` stands for one pose and one `<image>` for one image (see `placeholders`).
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedTokenizerBase
from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessorMixin

from .card_upload import CardUploadMixin
from .chat_schema import BLOCK_KEYS, check_text
from .chat_templating import ChatTemplateMixin
from .control_tokens import encode_texts
from .image_loading import image_to_rgb
from .image_processing_unipose import UniPoseImageProcessor, group_images
from .placeholders import Grouped, Placeholder, check_counts, expand_placeholders
from .pose_features import Frame, FramedPose, check_frame, group_poses, pose_to_rotmats, poses_to_pose_values, to_frame
from .pose_vocabulary import SPECIAL_TOKENS, add_pose_tokens
from .processor_checks import CheckedProcessorMixin, check_model_config


class UniPoseProcessor(ChatTemplateMixin, CheckedProcessorMixin, CardUploadMixin, ProcessorMixin):
    """Prepares text, images and poses for UniPose, and decodes what it generates.

    Args:
        image_processor: A `UniPoseImageProcessor`. None: the model has no vision encoders, and images are errors.
        tokenizer: A tokenizer to which `add_pose_tokens` was applied. Its padding side becomes left, as generation
            needs; for right padding, pass `padding_side="right"` in a call or set it on the tokenizer afterwards.
        chat_template: Jinja; None: UniPose's own.
        num_pose_tokens: Number of codes per pose.
        num_image_tokens: Number of vectors per image.
        codebook_size: Number of pose codes.
        pose_code_prefix: Pose code i is spelled `<{prefix}i>`.
        pose_opening: Text between the prompt and the pose-start of an answer; a space in converted models, because
            their training data had one before every answer.
        task_prompts: This model's prompts by task name, for the pipeline; `{text}` marks the user's text. Other tasks
            have the prompts of `TASKS`.

    Raises:
        ValueError: The tokenizer lacks UniPose's tokens, or its pose codes are not consecutive.
    """

    block_keys = BLOCK_KEYS
    text_kwargs = {"padding": True, "return_token_type_ids": False}  # noqa: RUF012 (the library's own form)

    def __init__(
        self,
        image_processor: UniPoseImageProcessor | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        chat_template: str | None = None,
        num_pose_tokens: int = 80,
        num_image_tokens: int = 576,
        codebook_size: int = 2048,
        pose_code_prefix: str = "pose_",
        pose_opening: str = "",
        task_prompts: dict[str, str] | None = None,
        **kwargs: Any,
    ):
        if tokenizer is None:
            raise ValueError("UniPoseProcessor needs a tokenizer")
        if image_processor is None:
            image_processor = UniPoseImageProcessor(size=None, pose_size=None)
        if chat_template is None:
            chat_template = Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8")
        self.num_pose_tokens = num_pose_tokens
        self.num_image_tokens = num_image_tokens
        self.codebook_size = codebook_size
        self.pose_code_prefix = pose_code_prefix
        self.pose_opening = pose_opening
        self.task_prompts = task_prompts or {}
        super().__init__(image_processor, tokenizer, chat_template=chat_template, **kwargs)
        self._check_tokenizer()
        tokenizer.padding_side = "left"
        # What a tokenizer saves of its side.
        tokenizer.init_kwargs["padding_side"] = "left"

    def _check_tokenizer(self) -> None:
        missing = [name for name in SPECIAL_TOKENS if name not in self.tokenizer.special_tokens_map]
        if missing:
            raise ValueError(
                f"the tokenizer lacks {missing}: call add_pose_tokens(tokenizer, codebook_size) on it first"
            )
        vocabulary = self.tokenizer.get_vocab()
        codes = [vocabulary.get(f"<{self.pose_code_prefix}{code}>") for code in range(self.codebook_size)]
        if codes[0] is None or codes != list(range(codes[0], codes[0] + self.codebook_size)):
            spelling = f"<{self.pose_code_prefix}0> .. <{self.pose_code_prefix}{self.codebook_size - 1}>"
            raise ValueError(f"the tokenizer must hold {self.codebook_size} consecutive pose codes {spelling}")

    def check_model_config(self, config: Mapping[str, Any]) -> None:
        """Checks that this processor fits a model.

        Args:
            config: The model's config as a dict.

        Raises:
            ValueError: They contradict each other.
        """
        check_model_config(self, config)

    def save_pretrained(self, save_directory: str | PathLike, *args: Any, **kwargs: Any) -> list[str]:
        """Saves the processor and its code.

        Args:
            save_directory: The folder.
            args: The library's.
            kwargs: The library's.
        """
        files = super().save_pretrained(save_directory, *args, **kwargs)
        # Saving sets `auto_map`, which loading does not restore.
        vars(self).pop("auto_map", None)
        return files

    @property
    def pose_code_start_id(self) -> int:
        """The id of pose code 0; code i has the id `pose_code_start_id + i`."""
        return self.tokenizer.convert_tokens_to_ids(f"<{self.pose_code_prefix}0>")

    @property
    def pose_token(self) -> str:
        return self.tokenizer.pose_token

    @property
    def image_token(self) -> str:
        return self.tokenizer.image_token

    @property
    def pose_token_id(self) -> int:
        return self.tokenizer.pose_token_id

    @property
    def pose_start_token_id(self) -> int:
        return self.tokenizer.pose_start_token_id

    @property
    def pose_end_token_id(self) -> int:
        return self.tokenizer.pose_end_token_id

    @property
    def pose_query_token_id(self) -> int:
        return self.tokenizer.pose_query_token_id

    @property
    def image_token_id(self) -> int:
        return self.tokenizer.image_token_id

    @property
    def image_start_token_id(self) -> int:
        return self.tokenizer.image_start_token_id

    @property
    def image_end_token_id(self) -> int:
        return self.tokenizer.image_end_token_id

    @property
    def placeholders(self) -> dict[str, Placeholder]:
        """How an "image" and a "pose" are written in a text."""
        token = self.tokenizer.special_tokens_map
        return {
            kind: Placeholder(
                kind, token[f"{kind}_token"], token[f"{kind}_start_token"], token[f"{kind}_end_token"], length
            )
            for kind, length in (("image", self.num_image_tokens), ("pose", self.num_pose_tokens))
        }

    @staticmethod
    def group_images(images: Any) -> Grouped:
        """Images in any form that `__call__` takes, by row; None for none."""
        return Grouped([[]], "single") if images is None else group_images(images)

    @staticmethod
    def group_poses(poses: Any) -> Grouped:
        """Poses in any form that `__call__` takes, by row; None for none."""
        return Grouped([[]], "single") if poses is None else group_poses(poses)

    def read_image(self, image: Any, name: str = "image 1") -> Image.Image:
        """Reads one image -> RGB.

        Args:
            image: In any form that `__call__` takes.
            name: Name of this input in error messages.

        Raises:
            ValueError: It is not an image.
        """
        return image_to_rgb(image, name, self.image_processor.max_pixels)

    @staticmethod
    def read_pose(pose: Any, name: str = "pose 1", frame: Any = None, block_frame: Any = None) -> torch.Tensor:
        """Reads one pose -> (22, 3, 3) in the stored z-up frame.

        Args:
            pose: In any form that `__call__` takes.
            name: Name of this input in error messages.
            frame: As in `__call__`.
            block_frame: The frame that the content block of the pose states; it comes first.

        Raises:
            ValueError: It is not a pose.
        """
        return pose_to_rotmats(_with_frame(pose, block_frame), name, frame)

    @staticmethod
    def mark_read(rotmats: torch.Tensor) -> FramedPose:
        """A result of `read_pose` as an input of `read_pose` and `__call__`, which do not read and check it again."""
        return FramedPose(rotmats, "z_up", is_read=True)

    @staticmethod
    def to_frame(rotmats: torch.Tensor, frame: Any, name: str = "frame") -> torch.Tensor:
        """Rotates poses from the stored z-up frame into another.

        Args:
            rotmats: (..., 22, 3, 3).
            frame: "z_up", "y_up" or "camera".
            name: Name of this argument in error messages.

        Raises:
            ValueError: An unknown frame.
        """
        return to_frame(rotmats, check_frame(frame, name))

    def template_variables(self, template: str) -> dict[str, int]:
        """The variables that a chat template needs to expand images and poses, in addition to the tokenizer's."""
        counts = {"num_pose_tokens": self.num_pose_tokens, "num_image_tokens": self.num_image_tokens}
        return {name: count for name, count in counts.items() if name in template}

    @property
    def model_input_names(self) -> list[str]:
        return ["input_ids", "attention_mask", "pose_values", *self.image_processor.model_input_names]

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        images: Any = None,
        poses: Any = None,
        generation_mode: str | None = None,
        frame: Frame | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Makes one batch.

        Args:
            text: A prompt or a list; `<pose>` and `<image>` stand for a pose and an image each. Expanded ones (by the
                chat template) stay unchanged. Control tokens are live here, because the chat template writes them:
                what users type belongs into a chat, or through `plain_text`.
            images: Images in placeholder order: one, a flat list, or a list for each text.
            poses: Poses in placeholder order, each in any form of `pose_features.ACCEPTED_FORMS`: one, a flat list or
                array, or a list for each text.
            generation_mode: "pose" ends every text with pose-start, so that the answer is a pose.
            frame: Frame of the poses: "z_up" (AMASS), "y_up" (smplx, WHAM, GVHMR) or "camera" (HMR2, TokenHMR, ROMP).
                Default: what a file says, otherwise "z_up".
            kwargs: The tokenizer's (`padding`, True by default, `padding_side`, `max_length`, ...), the image
                processor's, and `return_tensors`.

        Returns:
            `input_ids` and `attention_mask` (texts, tokens); with poses, `pose_values` (total poses, 22, 6); with
            images, `pixel_values` and `pose_pixel_values` (total images, 3, height, width).

        Raises:
            ValueError: No input or an empty text; the numbers of placeholders and inputs differ; an unreadable pose or
                image; a truncation that cuts a pose or an image.
        """
        texts = [text] if isinstance(text, str) else None if text is None else list(text)
        if texts is None and images is None and poses is None:
            raise ValueError("nothing to process: text, images and poses are all missing")
        check_frame(frame)
        image_inputs, pose_inputs = self.group_images(images), self.group_poses(poses)
        merged = self._merge_kwargs(tokenizer_init_kwargs=self.tokenizer.init_kwargs, **kwargs)
        text_kwargs = merged["text_kwargs"]
        return_offsets = text_kwargs.pop("return_text_replacement_offsets", False)
        for name in ("return_mm_token_type_ids", "sanitize_control_tokens"):
            text_kwargs.pop(name, None)
        data: dict[str, Any] = {}
        if texts:
            _check_texts(texts)
            placeholders, ending = self.placeholders, self._ending(generation_mode)
            check_counts(texts, placeholders["image"], image_inputs)
            check_counts(texts, placeholders["pose"], pose_inputs)
            expanded = [expand_placeholders(text, placeholders) for text in texts]
            texts = [text + ending for text, _ in expanded]
            data.update(encode_texts(self.tokenizer, texts, **text_kwargs))
            self._check_not_cut(texts, data["input_ids"])
            if return_offsets:
                data["text_replacement_offsets"] = [spans for _, spans in expanded]
        if pose_inputs.items:
            data["pose_values"] = poses_to_pose_values(pose_inputs.items, frame)
        if image_inputs.items:
            data.update(self.image_processor(image_inputs.items, **merged["images_kwargs"]))
        return BatchFeature(
            data,
            tensor_type=text_kwargs.get("return_tensors"),
            skip_tensor_conversion=self.skip_tensor_conversion,
        )

    def _ending(self, generation_mode: str | None) -> str:
        if generation_mode not in (None, "text", "pose"):
            raise ValueError(f"generation_mode is {generation_mode!r}; accepted: 'pose', 'text' and None")
        return self.pose_opening + self.tokenizer.pose_start_token if generation_mode == "pose" else ""

    def _check_not_cut(self, texts: list[str], input_ids: Any) -> None:
        for placeholder in self.placeholders.values():
            token_id = self.tokenizer.convert_tokens_to_ids(placeholder.token)
            for number, (text, ids) in enumerate(zip(texts, input_ids), start=1):
                expected = text.count(placeholder.expanded) * placeholder.length
                got = int((np.asarray(ids) == token_id).sum())
                if expected != got:
                    raise ValueError(
                        f"text {number} needs {expected} {placeholder.token} tokens, but {got} are left after "
                        "truncation: raise max_length or turn truncation off"
                    )

    def _multimodal_inputs_from_conversations(
        self, conversations: list[list[dict[str, Any]]], *args: Any, **kwargs: Any
    ) -> tuple[list[list[Any]], list[list[Any]], list[Any], dict[str, Any]]:
        images = [_block_values(messages, "image", BLOCK_KEYS["image"]) for messages in conversations]
        poses = [_block_values(messages, "pose", BLOCK_KEYS["pose"]) for messages in conversations]
        return images, [[] for _ in conversations], [], {"poses": poses} if any(poses) else {}

    def post_process_generation(
        self, ids: torch.Tensor | np.ndarray | Sequence, skip_special_tokens: bool = True
    ) -> list[dict[str, Any]]:
        """Decodes generated ids: the answer alone or with its prompt.

        A pose is pose-start, exactly `num_pose_tokens` codes and pose-end. At the start of a row pose-start may be
        missing, because `generation_mode="pose"` puts it at the end of the prompt. Any other block (cut by the token
        limit, too few or too many codes, other tokens among them, placeholders of a pose in the prompt) is left out of
        the poses and of the text.

        Args:
            ids: (tokens,) or (rows, tokens).
            skip_special_tokens: Whether to leave special tokens out of the text.

        Returns:
            A dict per row: "text", without its poses and stripped; "pose_codes", LongTensor (poses, num_pose_tokens)
            of codes from 0 to codebook_size - 1, in the order of the answer.
        """
        rows = torch.as_tensor(ids).cpu()
        return [self._decode_row(row, skip_special_tokens) for row in rows.reshape(-1, rows.shape[-1]).tolist()]

    def _decode_row(self, ids: list[int], skip_special_tokens: bool) -> dict[str, Any]:
        first = self.pose_code_start_id
        last, start_id, end_id = first + self.codebook_size, self.pose_start_token_id, self.pose_end_token_id
        text_ids: list[int] = []
        poses: list[list[int]] = []
        position = 0
        while position < len(ids):
            if ids[position] != start_id and not (position == 0 and first <= ids[0] < last):
                text_ids.append(ids[position])
                position += 1
                continue
            position += ids[position] == start_id
            stop = self._end_of_block(ids, position)
            block, complete = ids[position:stop], ids[stop : stop + 1] == [end_id]
            if complete and len(block) == self.num_pose_tokens and all(first <= code < last for code in block):
                poses.append([code - first for code in block])
            position = stop + complete
        text_ids = [token for token in text_ids if token >= 0 and not first <= token < last]
        text = self.tokenizer.decode(text_ids, skip_special_tokens=skip_special_tokens).strip()
        codes = torch.tensor(poses, dtype=torch.long).reshape(len(poses), self.num_pose_tokens)
        return {"text": text, "pose_codes": codes}

    def _end_of_block(self, ids: list[int], position: int) -> int:
        """End of the block that starts at `position`: pose-end, or the last of its codes if there is none."""
        start_id, end_id, pose_id = self.pose_start_token_id, self.pose_end_token_id, self.pose_token_id
        for stop in range(position, len(ids)):
            if ids[stop] == end_id:
                return stop
            if ids[stop] == start_id:
                break
        inside = range(self.pose_code_start_id, self.pose_code_start_id + self.codebook_size)
        while position < len(ids) and (ids[position] in inside or ids[position] == pose_id):
            position += 1
        return position


def _check_texts(texts: list[Any]) -> None:
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise ValueError(f"text {number} is a {type(text).__name__}, not a string")
        if not check_text(text, f"text {number}").strip():
            raise ValueError(f"text {number} is empty")


def _block_values(messages: list[dict[str, Any]], kind: str, keys: tuple[str, ...]) -> list[Any]:
    """Values of the blocks of one kind; Arrow fills absent keys with None."""
    contents = [message["content"] for message in messages if isinstance(message.get("content"), list | tuple)]
    blocks = [block for content in contents for block in content if block["type"] == kind]
    values_of = [[block[key] for key in keys if block.get(key) is not None] for block in blocks]
    return [
        values[0] if kind != "pose" else _with_frame(values[0], block.get("frame"))
        for values, block in zip(values_of, blocks)
        if values
    ]


def _with_frame(pose: Any, frame: Any) -> Any:
    """A pose with the frame that its block states, if any."""
    if frame is None or isinstance(pose, FramedPose):
        return pose
    return FramedPose(pose, check_frame(frame, "frame of a pose block"))


__all__ = ["UniPoseProcessor", "add_pose_tokens"]
