"""Memory of one GPU in each stage of the small and the paper recipes, computed on a CPU.

python benchmarks/training_memory.py

Every number is an estimate. Weights and what is trained are counted on the meta device (peft keeps the old weights of
parts that it trains whole); a trained weight also has its gradient and Adam's two means, in float32. Activations are
those that autograd keeps of the language model for one of the longest rows, measured with one layer and two, times
layers and rows; with activation checkpointing, one layer and the input of each. Not counted: the allocator's waste,
the vision encoders while they run, gradients on their way between GPUs. Plain data parallel training is assumed;
ZeRO-2 divides gradients and means by the number of GPUs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from measure import print_table
from transformers import CLIPVisionConfig, LlamaConfig, MistralConfig, VitPoseBackboneConfig

from unipose import UniPoseConfig, UniPoseForConditionalGeneration, UniPoseVQVAEConfig
from unipose.training.trainer.trainable_parts import ALIGN, INSTRUCT, PROJECT, LoraArguments, Part, set_trainable


GB = 1e9
TEXT_TOKENS = 160
# Bytes of a trained weight: itself, its gradient and Adam's two means, 4 bytes each.
STATE_BYTES = 12


@dataclass(frozen=True)
class Stage:
    """The settings that a stage's memory depends on; images and poses are those of its longest row."""

    recipe: str
    parts: tuple[Part, ...]
    batch: int
    images: int
    poses: int
    lora: LoraArguments
    checkpointing: bool


LORA = LoraArguments(lora_rank=128, lora_alpha=256)
STAGES = [
    Stage("small/align", ALIGN, 32, 0, 2, LoraArguments(), False),
    Stage("small/project", PROJECT, 16, 2, 0, LoraArguments(), False),
    Stage("small/instruct", INSTRUCT, 16, 2, 0, LoraArguments(), False),
    Stage("paper/align", ALIGN, 6, 0, 2, LORA, True),
    Stage("paper/project", PROJECT, 2, 2, 0, LoraArguments(), True),
    Stage("paper/instruct", INSTRUCT, 2, 2, 0, LORA, True),
]


def vitpose(hidden: int, layers: int, heads: int) -> VitPoseBackboneConfig:
    """Config of a ViTPose with the features of its last layer.

    Args:
        hidden: width of the encoder.
        layers: number of layers.
        heads: number of attention heads per layer.
    """
    return VitPoseBackboneConfig(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, out_indices=[layers]
    )


def small_config(layers: int = 30) -> UniPoseConfig:
    """The small model, with some of its language model's layers."""
    return UniPoseConfig(
        text_config=LlamaConfig(
            vocab_size=49152 + 1024 + 11,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=layers,
            num_attention_heads=9,
            num_key_value_heads=3,
            tie_word_embeddings=True,
        ),
        vision_config=CLIPVisionConfig(hidden_size=768, intermediate_size=3072, image_size=224, patch_size=16),
        pose_vision_config=vitpose(768, 12, 12),
        pose_tokenizer_config=UniPoseVQVAEConfig(
            hidden_size=256, codebook_size=1024, codebook_dim=128, num_pose_tokens=40
        ),
    )


def paper_config(layers: int = 32) -> UniPoseConfig:
    """The paper's model, with some of its language model's layers."""
    return UniPoseConfig(
        text_config=MistralConfig(vocab_size=32000 + 2048 + 11, sliding_window=None, num_hidden_layers=layers),
        vision_config=CLIPVisionConfig(
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            num_attention_heads=16,
            image_size=336,
            patch_size=14,
        ),
        pose_vision_config=vitpose(1280, 32, 16),
        pose_tokenizer_config=UniPoseVQVAEConfig(),
    )


CONFIGS = {"small": (small_config, torch.float32, 30), "paper": (paper_config, torch.bfloat16, 32)}


@contextmanager
def count_saved(model: torch.nn.Module) -> Iterator[list[int]]:
    """Bytes that autograd keeps, one number a tensor; weights do not count, views of the same memory count once."""
    seen = {weight.untyped_storage()._cdata for weight in model.parameters()}
    kept: list[torch.Tensor] = []
    sizes: list[int] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in seen:
            seen.add(storage._cdata)
            kept.append(tensor)
            sizes.append(storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield sizes


def make(stage: Stage, layers: int, with_encoders: bool) -> torch.nn.Module:
    """The model of a stage with its trainable parts.

    Args:
        stage: stage of a recipe.
        layers: number of layers of the language model.
        with_encoders: whether it has vision encoders and projector.
    """
    make_config, dtype, _ = CONFIGS[stage.recipe.split("/")[0]]
    config, parts = make_config(layers), stage.parts
    if not with_encoders:
        config.vision_config = config.pose_vision_config = None
        parts = tuple(part for part in parts if part != "multi_modal_projector")
    model = UniPoseForConditionalGeneration._from_config(config, dtype=dtype)
    return set_trainable(model, parts, stage.lora)


def saved_bytes(stage: Stage, layers: int) -> int:
    """Bytes that autograd keeps of the language model for one of the longest rows.

    Args:
        stage: stage of a recipe.
        layers: number of layers of the language model.
    """
    trained = make(stage, layers, with_encoders=False)
    language_model = next(module for name, module in trained.named_modules() if name.endswith("language_model"))
    embeds = torch.zeros(1, row_length(stage), language_model.config.hidden_size, requires_grad=True)
    mask = torch.ones(1, 1, embeds.shape[1], embeds.shape[1], dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16), count_saved(trained) as sizes:
        language_model(inputs_embeds=embeds, attention_mask=mask, use_cache=False)
        return sum(sizes)


def row_length(stage: Stage) -> int:
    """Tokens of a stage's longest row."""
    config = CONFIGS[stage.recipe.split("/")[0]][0](1)
    image_tokens = stage.images * (config.num_image_tokens + 2)
    return TEXT_TOKENS + image_tokens + stage.poses * (config.num_pose_tokens + 2)


def estimate(stage: Stage) -> list[str]:
    """A row of the table."""
    layers = CONFIGS[stage.recipe.split("/")[0]][2]
    with torch.device("meta"):
        model = make(stage, layers, with_encoders=True)
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    total = sum(weight.numel() for weight in model.parameters())
    one, two = saved_bytes(stage, 1), saved_bytes(stage, 2)
    layer, rest = two - one, 2 * one - two
    width = model.config.text_config.hidden_size
    inputs = row_length(stage) * width * 4
    activations = stage.batch * (rest + (layer + layers * inputs if stage.checkpointing else layers * layer))
    parts = [weights, STATE_BYTES * trained, activations]
    return [
        stage.recipe,
        f"{total / 1e6:.0f}",
        f"{trained / 1e6:.0f}",
        f"{stage.batch} x {row_length(stage)}",
        *(f"{part / GB:.1f}" for part in (*parts, sum(parts))),
        f"{1000 * activations / stage.batch / GB:.0f}",
    ]


def main() -> None:
    rows = [estimate(stage) for stage in STAGES]
    header = ["recipe", "M weights", "M trained", "batch x tokens", "weights GB", "gradients and Adam GB"]
    print_table([*header, "activations GB", "sum GB", "MB a row"], rows)


if __name__ == "__main__":
    main()
