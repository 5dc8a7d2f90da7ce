"""Whether a processor, its tokenizer and its chat template are whole, and fit the model they are saved with."""

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from transformers.utils import CONFIG_NAME, cached_file


MODEL_TYPE = "unipose"
TOKENS = ("pose", "pose_start", "pose_end", "pose_query", "image", "image_start", "image_end")
# Of the tokenizer and of the text config; both may leave them out.
TEXT_TOKENS = ("bos", "eos", "pad")
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
PROBE = "What is this person doing?"


class CheckedProcessorMixin:
    """`from_pretrained` that raises an error where a processor is damaged or does not fit its model."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | PathLike, *args: Any, **kwargs: Any):
        """Loads a processor, and compares it with the config of the model in the same place.

        Args:
            pretrained_model_name_or_path: Folder or Hub id.
            args: The library's.
            kwargs: The library's.

        Raises:
            OSError: A file is damaged, or the processor, its tokenizer, its chat template and config.json contradict
                each other.
        """
        name = str(pretrained_model_name_or_path)
        try:
            processor = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)  # type: ignore[misc]
            check_task_prompts(processor.task_prompts)
            hub_arguments = {key: kwargs[key] for key in HUB_ARGUMENTS if kwargs.get(key) is not None}
            config = read_model_config(name, hub_arguments)
            # A processor without a model may have any template; it is checked where it is used.
            if config is not None:
                check_chat_template(processor)
                check_model_config(processor, config)
        except (OSError, ImportError):
            raise
        except Exception as error:  # The tokenizers library raises bare exceptions on a damaged file.
            reason = " ".join(str(error).split())
            raise OSError(
                f"the processor of {name} does not load ({type(error).__name__}: {reason}): fetch its files again"
            ) from error
        return processor


def read_model_config(name: str, hub_arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """The content of the config.json beside a processor; None if there is none of a UniPose model.

    Args:
        name: Folder or Hub id.
        hub_arguments: Where on the Hub, and with which right.

    Raises:
        ValueError: It is no JSON.
    """
    if Path(name).is_file():
        return None
    path = cached_file(name, CONFIG_NAME, _raise_exceptions_for_missing_entries=False, **hub_arguments)
    config = None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))
    return config if isinstance(config, dict) and config.get("model_type") == MODEL_TYPE else None


def check_task_prompts(prompts: Any) -> None:
    """Checks that a processor's task_prompts are texts by name.

    Raises:
        ValueError: They are not.
    """
    if not isinstance(prompts, dict) or not all(isinstance(prompt, str) for prompt in prompts.values()):
        raise ValueError(f"task_prompts is {prompts!r}; expected an object of texts")


def check_chat_template(processor: Any) -> None:
    """Checks all chat templates of a processor.

    Args:
        processor: A `UniPoseProcessor`.

    Raises:
        ValueError: As `check_template`.
    """
    templates = processor.chat_template
    for name, template in (templates if isinstance(templates, Mapping) else {"default": templates}).items():
        check_template(processor, template, name)


def check_template(processor: Any, template: str, name: str) -> None:
    """Checks that a chat template writes what a chat says: an HTML page in its place would not.

    Args:
        processor: A `UniPoseProcessor`.
        template: Jinja.
        name: Name of the template in errors.

    Raises:
        ValueError: It does not.
    """
    kinds = [kind for kind, placeholder in processor.placeholders.items() if placeholder.length]
    content = [{"type": "text", "text": PROBE}, *({"type": kind} for kind in kinds)]
    expected = {PROBE: "the user's text", **{processor.placeholders[kind].expanded: f"the {kind}" for kind in kinds}}
    try:
        text = processor.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=template,
            tokenize=False,
            add_generation_prompt=True,
            **processor.template_variables(template),
        )
    except Exception as error:  # Jinja evaluates whatever the file holds.
        raise ValueError(f"the {name} chat template {template[:40]!r}... fails: {error}") from error
    missing = [what for piece, what in expected.items() if piece not in text]
    if missing:
        raise ValueError(
            f"the {name} chat template {template[:40]!r}... leaves out {' and '.join(missing)}: expected a Jinja "
            "template that writes every block of a chat"
        )


def check_model_config(processor: Any, config: Mapping[str, Any]) -> None:
    """Checks that a processor fits a model.

    Args:
        processor: A `UniPoseProcessor`.
        config: The model's config as a dict; what it leaves out is not checked.

    Raises:
        ValueError: They contradict each other; the message names what differs, with both values.
    """
    differences = [
        f"{name} is {got!r} in the processor and {expected!r} in the model"
        for name, got, expected in compared(processor, config)
        if expected is not None and got != expected
    ]
    text = config.get("text_config") or {}
    highest = max(processor.tokenizer.get_vocab().values())
    if text.get("vocab_size") is not None and highest >= text["vocab_size"]:
        differences.append(f"the tokenizer's ids reach {highest}, the model's vocab_size is {text['vocab_size']}")
    if differences:
        raise ValueError(f"the processor does not fit the model: {'; '.join(differences)}")


def compared(processor: Any, config: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What a processor and a model must agree on: names, the processor's values and the model's, None for unknown.

    Args:
        processor: A `UniPoseProcessor`.
        config: The model's config as a dict.
    """
    tokenizer, poses, text = processor.tokenizer, config.get("pose_tokenizer_config") or {}, config.get("text_config")
    ids = tokenizer.convert_tokens_to_ids
    for name in TOKENS:
        yield f"{name}_token_id", ids(tokenizer.special_tokens_map[f"{name}_token"]), config.get(f"{name}_token_id")
    for name in TEXT_TOKENS:
        own = tokenizer.special_tokens_map.get(f"{name}_token")
        known = (text or {}).get(f"{name}_token_id")
        # Some language models end at any of several tokens.
        if isinstance(known, int):
            yield f"{name}_token_id", None if own is None else ids(own), known
    yield "pose_code_start_id", processor.pose_code_start_id, config.get("pose_code_start_id")
    yield "codebook_size", processor.codebook_size, poses.get("codebook_size")
    yield "num_pose_tokens", processor.num_pose_tokens, poses.get("num_pose_tokens")
    # Behind a word, as in an answer: some tokenizers put a word-start mark before a text that stands alone.
    bare, opened = (
        tokenizer(PROBE + opening + tokenizer.pose_start_token, add_special_tokens=False).input_ids[:-1]
        for opening in ("", processor.pose_opening)
    )
    yield "pose_opening_ids", opened[len(bare) :], config.get("pose_opening_ids")
    yield from compared_images(processor, config)


def compared_images(processor: Any, config: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What a processor and a model must agree on about images, as `compared`.

    Args:
        processor: A `UniPoseProcessor`.
        config: The model's config as a dict.
    """
    vision, pose_vision = config.get("vision_config") or {}, config.get("pose_vision_config") or {}
    size, pose_size = processor.image_processor.size, processor.image_processor.pose_size
    sides = None if size is None else [size["height"], size["width"]]
    pose_sides = None if pose_size is None else [pose_size["height"], pose_size["width"]]
    side, patch = vision.get("image_size"), vision.get("patch_size")
    pose_image, pose_patch = pose_vision.get("image_size"), pose_vision.get("patch_size")
    if not vision and not pose_vision:
        yield "num_image_tokens", processor.num_image_tokens, 0
    if vision:
        yield "size", sides, None if side is None else [side, side]
    elif sides is not None:
        yield "size", sides, "that of no vision encoder"
    if pose_vision:
        yield "pose_size", pose_sides, pose_image
    elif pose_sides is not None:
        yield "pose_size", pose_sides, "that of no pose encoder"
    if side and patch:
        yield "num_image_tokens", processor.num_image_tokens, (side // patch) ** 2
    elif not vision and pose_image and pose_patch:
        yield "num_image_tokens", processor.num_image_tokens, (pose_image[0] // pose_patch[0]) ** 2


__all__ = ["CheckedProcessorMixin", "check_model_config"]
