"""Converts the authors' release to one repository for `from_pretrained` and `pipeline("unipose")`.

python -m unipose.convert_unipose_weights_to_hf --llava llava-v1.6-mistral-7b --unipose UniPose \
    --clip clip-vit-large-patch14-336 --pose-vqvae pose_vqvae --tokenhmr tokenhmr_model.ckpt --output unipose-7b

Writes config, generation config, sharded safetensors, processor, chat template, code and card. LoRA is merged in fp32.
Pickles are read with `weights_only`, so that they cannot run code. At most one shard is in memory at a time.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, ModelCard, ModelCardData
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    VitPoseBackboneConfig,
)

from .configuration_unipose import UniPoseConfig, UniPoseVQVAEConfig
from .modeling_unipose import UniPoseForConditionalGeneration
from .original_tokenizer import PLACEHOLDERS, POSE_CODE_PREFIX, WORD_START, convert_tokenizer, original_chat_template
from .original_weights import LoraAdapter, OriginalWeights, WeightSource
from .processing.image_processing_unipose import UniPoseImageProcessor
from .processing.processing_unipose import UniPoseProcessor


VQVAE_FILE = "best_MPJPE.ckpt"
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
POSE_PATCH = 16
POSE_IMAGE = (256, 192)
# ViTPose's attention heads by width: the weights do not show them. Other widths have heads of 16 channels.
POSE_HEADS = {384: 12, 768: 12, 1024: 16, 1280: 16}
OTHER_HEAD_WIDTH = 16
# The release was trained on sentences with the image or pose inside; the wording is ours.
TASK_PROMPTS = {
    "pose-to-text": "Describe the pose <pose>.",
    "image-to-text": "Describe the pose in the image <image>.",
    "pose-diff": "Describe the difference between the pose <pose> and the pose <pose>.",
    "image-diff": "Describe the difference between the pose in <image> and the pose in <image>.",
    "text-to-pose": "Generate the pose of this description: {text}",
    "image-to-pose": "Estimate the SMPL pose of the person in the image <image>.",
    "pose-edit": "Edit the pose <pose> by this description: {text}",
}
# Tokens whose ids are in UniPoseConfig.
TOKENS = ("pose_token", "pose_start_token", "pose_end_token", "pose_query_token") + (
    "image_token",
    "image_start_token",
    "image_end_token",
)


@dataclass(frozen=True)
class OriginalRelease:
    """Paths of the release's parts.

    Args:
        llava: Folder of the LLaVA base: the language model and the CLIP vision encoder.
        unipose: Folder of UniPose's own files: config, tokenizer, LoRA and fully trained weights.
        clip: Folder of CLIP; only the configs of model and image processor are read.
        pose_vqvae: The pose tokenizer's checkpoint, or its folder.
        tokenhmr: TokenHMR's checkpoint; its backbone is the pose encoder.
        pose_heads: Attention heads of the pose encoder. Default: by its width (`POSE_HEADS`).
    """

    llava: Path
    unipose: Path
    clip: Path
    pose_vqvae: Path
    tokenhmr: Path
    pose_heads: int | None = None

    def sources(self) -> dict[str, WeightSource]:
        """Opens all weights.

        Raises:
            FileNotFoundError: A file is missing; the message names it.
        """
        vqvae = self.pose_vqvae / VQVAE_FILE if self.pose_vqvae.is_dir() else self.pose_vqvae
        files = {
            "llava": find_files(self.llava, "*.safetensors", "pytorch_model*.bin"),
            "trained": find_files(self.unipose, "non_lora_trainables.bin"),
            "adapter": find_files(self.unipose, "adapter_model.safetensors", "adapter_model.bin"),
            "pose_vqvae": find_files(vqvae.parent, vqvae.name),
            "pose_vision": find_files(self.tokenhmr.parent, self.tokenhmr.name),
        }
        return {name: WeightSource(name, paths) for name, paths in files.items()}


def find_files(folder: Path, *patterns: str) -> list[Path]:
    """The files of the first pattern that matches any.

    Args:
        folder: Folder to search.
        patterns: Glob patterns of file names.

    Raises:
        FileNotFoundError: No pattern matches.
    """
    for pattern in patterns:
        if paths := sorted(folder.glob(pattern)):
            return paths
    raise FileNotFoundError(f"there is no {' and no '.join(patterns)} in {folder}")


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON file.

    Raises:
        FileNotFoundError: There is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}")
    return json.loads(path.read_text(encoding="utf-8"))


def build_config(
    release: OriginalRelease, sources: dict[str, WeightSource], tokenizer: PreTrainedTokenizerFast
) -> UniPoseConfig:
    """The model's config: sizes come from the release's configs, or from the shapes of the weights.

    Args:
        release: Paths of the release.
        sources: Sources of the weights, by name.
        tokenizer: The converted tokenizer.
    """
    original = read_json(release.unipose / "config.json")
    clip = read_json(release.clip / "config.json")
    # A config of the whole CLIP, or of its vision encoder alone.
    vision = clip.get("vision_config", clip)
    return UniPoseConfig(
        text_config=MistralConfig(**known_fields(MistralConfig, original), rope_theta=original["rope_theta"]),
        vision_config=CLIPVisionConfig(**known_fields(CLIPVisionConfig, vision)),
        vision_feature_layer=original["mm_vision_select_layer"],
        pose_vision_config=pose_vision_config(sources["pose_vision"], release.pose_heads),
        pose_tokenizer_config=pose_tokenizer_config(sources["pose_vqvae"], tokenizer),
        pose_code_start_id=tokenizer.convert_tokens_to_ids(f"<{POSE_CODE_PREFIX}0>"),
        pose_opening_ids=[tokenizer.get_vocab()[WORD_START]],
        **{f"{name}_id": tokenizer.convert_tokens_to_ids(getattr(tokenizer, name)) for name in TOKENS},
    )


def known_fields(config_class: type[PreTrainedConfig], values: dict[str, Any]) -> dict[str, Any]:
    """The values of an older config that a config class has too.

    Args:
        config_class: The class of the new config.
        values: Fields of the older config.
    """
    fields = config_class.__dataclass_fields__.keys() - {"architectures", "model_type", "transformers_version"}
    return {name: value for name, value in values.items() if name in fields}


def shape_of(source: WeightSource, key: str) -> tuple[int, ...]:
    """Shape of a tensor that determines sizes of the config.

    Args:
        source: Source of the tensor.
        key: Name of the tensor.

    Raises:
        ValueError: It is missing, or has fewer than two dimensions.
    """
    if len(source.shapes.get(key, ())) < 2:
        raise ValueError(f"{', '.join(map(str, set(source.file_of.values())))} has no weights {key!r}")
    return source.shapes[key]


def count_layers(source: WeightSource, pattern: str) -> int:
    """Number of layers in a set of weights.

    Args:
        source: The weights.
        pattern: Matches their keys; its group is the layer's index.
    """
    matches = [re.match(pattern, key) for key in source.shapes]
    return len({match[1] for match in matches if match})


def pose_vision_config(source: WeightSource, heads: int | None) -> VitPoseBackboneConfig:
    """Config of ViTPose's backbone: patches of 16 of an image of 256 x 192 (paper, section 3.2).

    Args:
        source: The weights.
        heads: Attention heads; None: by the width (`POSE_HEADS`).

    Raises:
        ValueError: A weight is missing, or `heads` does not divide the width.
    """
    hidden = shape_of(source, "backbone.patch_embed.proj.weight")[0]
    if heads is None:
        heads = POSE_HEADS.get(hidden, hidden // OTHER_HEAD_WIDTH)
        if hidden not in POSE_HEADS:
            print(f"no ViTPose has width {hidden}: assuming {heads} attention heads (--pose-heads)", file=sys.stderr)
    layers = count_layers(source, r"backbone\.blocks\.(\d+)\.")
    if hidden % heads:
        raise ValueError(f"--pose-heads is {heads}, which does not divide the pose encoder's width {hidden}")
    return VitPoseBackboneConfig(
        hidden_size=hidden,
        mlp_ratio=shape_of(source, "backbone.blocks.0.mlp.fc1.weight")[0] // hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=[*POSE_IMAGE],
        patch_size=[POSE_PATCH, POSE_PATCH],
        out_indices=[layers],
        # The library's default of 1e-12 is not ViTPose's.
        layer_norm_eps=1e-6,
    )


def pose_tokenizer_config(source: WeightSource, tokenizer: PreTrainedTokenizerFast) -> UniPoseVQVAEConfig:
    """Config of the pose tokenizer.

    Args:
        source: The weights.
        tokenizer: The converted text tokenizer, which has the names of the queries.
    """
    codebook_size, codebook_dim = shape_of(source, "quantizer.codebook")
    queries = [token for token in tokenizer.get_vocab() if token.startswith("<pose_query_")]
    return UniPoseVQVAEConfig(
        hidden_size=shape_of(source, "encoder.encoder.0.weight")[0],
        codebook_size=codebook_size,
        codebook_dim=codebook_dim,
        num_pose_tokens=len(queries) + len(PLACEHOLDERS),
        num_residual_blocks=count_layers(source, r"encoder\.encoder\.12\.model\.(\d+)\."),
    )


def build_processor(
    release: OriginalRelease, config: UniPoseConfig, tokenizer: PreTrainedTokenizerFast
) -> UniPoseProcessor:
    """The processor of the converted model.

    Args:
        release: Paths of the release.
        config: Config of the model.
        tokenizer: The converted tokenizer.
    """
    clip = read_json(release.clip / "preprocessor_config.json")
    height, width = POSE_IMAGE
    return UniPoseProcessor(
        UniPoseImageProcessor(
            size=clip["crop_size"],
            image_mean=clip["image_mean"],
            image_std=clip["image_std"],
            pose_size={"height": height, "width": width},
        ),
        tokenizer,
        chat_template=original_chat_template(),
        num_pose_tokens=config.num_pose_tokens,
        num_image_tokens=config.num_image_tokens,
        codebook_size=config.pose_tokenizer_config.codebook_size,
        pose_code_prefix=POSE_CODE_PREFIX,
        pose_opening=" ",
        task_prompts=TASK_PROMPTS,
    )


def expected_weights(model: UniPoseForConditionalGeneration, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The state dict to write, on the meta device.

    Args:
        model: Model on the meta device.
        dtype: Dtype of all weights that the model does not keep in fp32.
    """
    kept = tuple(model._keep_in_fp32_modules_strict)
    return {
        name: tensor.to(dtype) if tensor.is_floating_point() and not name.split(".")[1].startswith(kept) else tensor
        for name, tensor in model.state_dict().items()
    }


def convert(
    release: OriginalRelease, output: Path, dtype: torch.dtype = torch.bfloat16, max_shard_size: str = "2GB"
) -> OriginalWeights:
    """Writes the whole repository. All inputs are checked before the first weight is written.

    Args:
        release: Paths of the release.
        output: Folder of the repository.
        dtype: Dtype of the weights.
        max_shard_size: Maximum size of a shard, such as "2GB".

    Returns:
        The weights, with the list of unused keys.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: Lists every key that is missing, unknown or has a wrong shape.
    """
    sources = release.sources()
    tokenizer = convert_tokenizer(release.unipose)
    config = build_config(release, sources, tokenizer)
    config.dtype = dtype
    with torch.device("meta"):
        model = UniPoseForConditionalGeneration(config)
    adapter = LoraAdapter.from_config(sources["adapter"], release.unipose / "adapter_config.json")
    weights = OriginalWeights(sources, adapter, expected_weights(model, dtype))
    output.mkdir(parents=True, exist_ok=True)
    weights.save(output, max_shard_size)
    model.save_code(output)
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    GenerationConfig(**special).save_pretrained(output)
    build_processor(release, config, tokenizer).save_pretrained(output)
    write_card(config, output, sum(tensor.numel() for tensor in weights.expected.values()))
    return weights


def write_card(config: UniPoseConfig, output: Path, parameters: int) -> None:
    """Writes the model card.

    Args:
        config: Config of the model.
        output: Folder of the repository.
        parameters: Number of parameters.
    """
    card = ModelCard.from_template(
        ModelCardData(
            license="other",
            license_name="see-the-parts",
            library_name="transformers",
            language="en",
            tags=["unipose", "pose-estimation", "text-to-pose", "smpl"],
            model_name=output.name,
        ),
        template_str=resources.files("unipose.model_cards").joinpath("converted.md.jinja").read_text("utf-8"),
        model_name=output.name,
        parameters=parameters,
        config=config,
    )
    card.save(output / "README.md")


def push(folder: Path, repository: str, private: bool) -> str:
    """Uploads the folder to the Hub; returns the URL of the repository.

    Args:
        folder: The converted model.
        repository: OWNER/NAME.
        private: Whether a new repository is private.
    """
    api = HfApi()
    url = api.create_repo(repository, private=private, exist_ok=True)
    api.upload_folder(folder_path=folder, repo_id=repository, commit_message="UniPose, converted from its release")
    return str(url)


def build_parser() -> argparse.ArgumentParser:
    """The command's parser."""
    parser = argparse.ArgumentParser(
        prog="python -m unipose.convert_unipose_weights_to_hf",
        description="Converts the parts of the original UniPose release to one repository for transformers.",
    )
    parts = {
        "llava": "folder of llava-v1.6-mistral-7b",
        "unipose": "folder of UniPose's own weights: config, tokenizer, adapter, non_lora_trainables.bin",
        "clip": "folder of clip-vit-large-patch14-336 (configs only)",
        "pose-vqvae": f"pose tokenizer: {VQVAE_FILE} or its folder",
        "tokenhmr": "TokenHMR's checkpoint, tokenhmr_model.ckpt",
    }
    for name, text in parts.items():
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="PATH", help=text)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="output folder")
    parser.add_argument(
        "--dtype",
        choices=list(DTYPES),
        default="bfloat16",
        help="dtype of the weights; default: %(default)s, as in the release",
    )
    parser.add_argument(
        "--max-shard-size",
        default="2GB",
        metavar="SIZE",
        help="size of a shard, which is also the memory needed; default: %(default)s",
    )
    parser.add_argument(
        "--pose-heads",
        type=int,
        metavar="N",
        help="attention heads of the pose encoder; default: ViTPose's for its width",
    )
    parser.add_argument("--push-to-hub", metavar="OWNER/NAME", help="repository on the Hub to upload to")
    parser.add_argument("--private", action="store_true", help="create a new repository as private")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, or 2 for an error of the user."""
    arguments = build_parser().parse_args(argv)
    release = OriginalRelease(
        arguments.llava,
        arguments.unipose,
        arguments.clip,
        arguments.pose_vqvae,
        arguments.tokenhmr,
        arguments.pose_heads,
    )
    try:
        weights = convert(release, arguments.output, DTYPES[arguments.dtype], arguments.max_shard_size)
    except (OSError, ValueError, ImportError) as error:
        print(f"convert_unipose_weights_to_hf: {error}", file=sys.stderr)
        return 2
    for (source, reason), count in Counter((source, reason) for source, _, reason in weights.unused).items():
        print(f"not used: {count} tensors of {source}: {reason}")
    print(f"wrote {arguments.output}")
    if arguments.push_to_hub:
        print(f"pushed to {push(arguments.output, arguments.push_to_hub, arguments.private)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
