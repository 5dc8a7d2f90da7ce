"""The recorded release, converted once, and the recorded cases as inputs for it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from golden import find, load, load_json
from transformers import AutoModelForImageTextToText, AutoProcessor

from unipose import UniPoseForConditionalGeneration, UniPoseProcessor
from unipose.convert_unipose_weights_to_hf import OriginalRelease, convert
from unipose.processing.pose_features import rotmat_to_rotation_6d


# What `model_cases.json` holds: a task each, free prompts, batches, and two with another head.
CASES = (
    *("text2pose", "pose2text", "text2pose_short", "image2pose", "image2text", "pose_edit", "pose_difference"),
    *("image_difference", "free_two_pose", "free_text2pose", "free_image_and_pose", "cli_zero_text2pose"),
    *("batch2_text2pose", "batch2_mixed_text2pose_pose2text", "batch2_pose2text_imagetext", "batch3_pose2text"),
    *("variant_space_then_pose", "variant_two_poses"),
)
# Those that answer with a pose.
POSE_CASES = (
    *("text2pose", "text2pose_short", "image2pose", "pose_edit", "free_text2pose", "cli_zero_text2pose"),
    *("batch2_text2pose", "batch2_mixed_text2pose_pose2text", "variant_space_then_pose", "variant_two_poses"),
)


def release() -> OriginalRelease:
    cache_folder = find("cache")
    return OriginalRelease(
        llava=cache_folder / "llava-v1.6-mistral-7b",
        unipose=cache_folder / "unipose",
        clip=cache_folder / "clip-vit-large-patch14-336",
        pose_vqvae=cache_folder / "pose_vqvae",
        tokenhmr=cache_folder / "tokenhmr_model.ckpt",
    )


@cache
def converted() -> Path:
    """A folder with the converted release in fp32, made once a run."""
    folder = Path(mkdtemp(prefix="unipose-converted-"))
    convert(release(), folder, torch.float32)
    return folder


def load_converted(case: dict[str, torch.Tensor] | None = None) -> UniPoseForConditionalGeneration:
    """The converted model; with the rows of the head that a "variant" case replaces."""
    model = AutoModelForImageTextToText.from_pretrained(converted()).eval()
    if case is not None and "variant.row_ids" in case:
        with torch.no_grad():
            model.lm_head.weight[case["variant.row_ids"]] = case["variant.lm_head_rows"]
    return model


@cache
def processor() -> UniPoseProcessor:
    return AutoProcessor.from_pretrained(converted())


def as_rows(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def prompts(name: str) -> list[str]:
    """The user's message of each row, with our placeholders."""
    case = load_json("model_cases")["cases"][name]
    pairs = zip(as_rows(case["template"]), as_rows(case["caption"]))
    return [re.sub("<pose[AB]>", "<pose>", template.replace("<caption>", caption)) for template, caption in pairs]


def prompt_poses(name: str) -> list[torch.Tensor]:
    """(22, 3, 3) each, in placeholder order.

    The original puts pose A wherever `<pose>` stands, in free prompts too: the recordings are matched with that.
    """
    case, recorded = load_json("model_cases")["cases"][name], load("model_poses")
    return [
        recorded["poseB_rotmat" if token == "<poseB>" else "poseA_rotmat"][row]
        for row, template in enumerate(as_rows(case["template"]))
        for token in re.findall("<pose[AB]?>", template)
    ]


def chat(message: str, **kwargs: Any) -> str:
    return processor().apply_chat_template([{"role": "user", "content": message}], tokenize=False, **kwargs)


def case_inputs(name: str) -> dict[str, torch.Tensor]:
    """The model's inputs; images are the recorded pixels, not what our image processor makes."""
    texts = [chat(message) for message in prompts(name)]
    images = sum(text.count("<image>") for text in texts)
    image = "<im_start>" + "<image>" * processor().num_image_tokens + "<im_end>"
    pose = "<pose_id_64>" + "<pose>" * processor().num_pose_tokens + "<pose_id_65>"
    expanded = [text.replace("<image>", image).replace("<pose>", pose) for text in texts]
    encoded = processor().tokenizer(expanded, add_special_tokens=False, padding=True, return_tensors="pt")
    inputs = {key: encoded[key] for key in ("input_ids", "attention_mask")}
    if poses := prompt_poses(name):
        inputs["pose_values"] = rotmat_to_rotation_6d(torch.stack(poses))
    if images:
        inputs |= recorded_pixels(images)
    return inputs


def recorded_pixels(count: int) -> dict[str, torch.Tensor]:
    """The pose encoder uses the middle columns of its square image."""
    recorded = load("model_inputs")
    return {
        "pixel_values": recorded["images_fp16"][:count].float(),
        "pose_pixel_values": recorded["hmr_images_fp16"][:count].float()[..., 32:-32],
    }


@dataclass
class Call:
    """One forward of the language model."""

    inputs_embeds: torch.Tensor
    position_ids: torch.Tensor
    attention_mask: torch.Tensor | None
    hidden: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    logits: torch.Tensor = field(default_factory=lambda: torch.empty(0))


@contextmanager
def recorded_calls(model: UniPoseForConditionalGeneration) -> Iterator[list[Call]]:
    """All forwards inside the block; logits are those of every position."""
    calls: list[Call] = []

    def before(module: Any, arguments: Any, named: dict[str, Any]) -> None:
        calls.append(Call(named["inputs_embeds"], named["position_ids"], named["attention_mask"]))

    def after(module: Any, arguments: Any, output: Any) -> None:
        calls[-1].hidden = output.last_hidden_state
        calls[-1].logits = output.last_hidden_state @ model.lm_head.weight.T

    language_model = model.model.language_model
    hooks = [language_model.register_forward_pre_hook(before, with_kwargs=True)]
    hooks.append(language_model.register_forward_hook(after))
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()
