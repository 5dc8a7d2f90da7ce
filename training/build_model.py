"""Assembles an untrained small model around a trained pose tokenizer, with a text tokenizer learned from the corpus.

python -m unipose.training.build_model --config training/recipes/tiny/model.yaml
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import torch
from datasets import Dataset
from torch import nn
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    PreTrainedTokenizerBase,
    VitPoseBackboneConfig,
)
from trl import TrlParser

from unipose import (
    UniPoseConfig,
    UniPoseForConditionalGeneration,
    UniPoseImageProcessor,
    UniPoseProcessor,
    UniPoseVQVAE,
)
from unipose.processing.processing_unipose import SPECIAL_TOKENS, add_pose_tokens
from unipose.training.corpus.shards import load_corpus
from unipose.training.text_tokenizer import train_text_tokenizer


@dataclass
class ModelArguments:
    """Sizes of the language model and of the two picture towers."""

    pose_tokenizer: str = field(default="runs/pose_tokenizer", metadata={"help": "Folder of a trained UniPoseVQVAE."})
    corpus: str = field(default="runs/corpus", metadata={"help": "Folder that build_corpus has written."})
    output: str = "runs/initial"
    vocab_size: int = field(default=3000, metadata={"help": "Of the text, before pose codes are added."})
    hidden_size: int = 192
    intermediate_size: int = 512
    num_hidden_layers: int = 5
    num_attention_heads: int = 6
    vision_hidden_size: int = 128
    vision_layers: int = 3
    pose_vision_hidden_size: int = 192
    pose_vision_layers: int = 5
    max_position_embeddings: int = 1024
    initializer_range: float = field(
        default=0.06, metadata={"help": "Of the language model; the usual 0.02 is too small for so small a width."}
    )
    seed: int = 0


def corpus_texts(corpus: Dataset) -> Iterator[str]:
    for messages in corpus["messages"]:
        for message in messages:
            yield from (block["text"] for block in message["content"] if block["type"] == "text")


def picture_towers(arguments: ModelArguments) -> tuple[CLIPVisionConfig, VitPoseBackboneConfig]:
    """96 px pictures: 6 x 6 tokens of the general tower, 8 x 6 of the pose tower."""
    vision = CLIPVisionConfig(
        hidden_size=arguments.vision_hidden_size,
        intermediate_size=2 * arguments.vision_hidden_size,
        num_hidden_layers=arguments.vision_layers,
        num_attention_heads=4,
        image_size=96,
        patch_size=16,
    )
    pose_vision = VitPoseBackboneConfig(
        hidden_size=arguments.pose_vision_hidden_size,
        mlp_ratio=2,
        num_hidden_layers=arguments.pose_vision_layers,
        num_attention_heads=6,
        image_size=[96, 72],
        patch_size=[12, 12],
        out_indices=[arguments.pose_vision_layers],
        layer_norm_eps=1e-6,
    )
    return vision, pose_vision


def build_config(
    arguments: ModelArguments, tokenizer: PreTrainedTokenizerBase, pose_tokenizer: UniPoseVQVAE
) -> UniPoseConfig:
    vision, pose_vision = picture_towers(arguments)
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=arguments.hidden_size,
        intermediate_size=arguments.intermediate_size,
        num_hidden_layers=arguments.num_hidden_layers,
        num_attention_heads=arguments.num_attention_heads,
        max_position_embeddings=arguments.max_position_embeddings,
        initializer_range=arguments.initializer_range,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    return UniPoseConfig(
        text_config=text,
        vision_config=vision,
        pose_vision_config=pose_vision,
        pose_tokenizer_config=pose_tokenizer.config,
        initializer_range=arguments.initializer_range,
        # The towers are trained with the model: their last layer is no worse than the one before.
        vision_feature_layer=-1,
        pose_code_start_id=tokenizer.convert_tokens_to_ids("<pose_0>"),
        **{f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in SPECIAL_TOKENS.items()},
    )


@torch.no_grad()
def spread_pose_codes(model: UniPoseForConditionalGeneration) -> None:
    """Starts the embeddings of pose codes as their codebook vectors, turned: like codes are alike from the start."""
    codebook = model.model.pose_tokenizer.quantizer.codebook
    table = cast(nn.Embedding, model.get_input_embeddings()).weight
    turn = nn.init.orthogonal_(torch.empty(table.shape[1], codebook.shape[1]))
    turned = (codebook - codebook.mean(dim=0)) @ turn.T
    first = model.config.pose_code_start_id
    table[first : first + len(codebook)] = turned * (model.config.initializer_range / turned.std())


def build_processor(config: UniPoseConfig, tokenizer: PreTrainedTokenizerBase) -> UniPoseProcessor:
    height, width = config.pose_vision_config.image_size
    side = config.vision_config.image_size
    return UniPoseProcessor(
        UniPoseImageProcessor(size={"height": side, "width": side}, pose_size={"height": height, "width": width}),
        tokenizer,
        num_pose_tokens=config.num_pose_tokens,
        num_image_tokens=config.num_image_tokens,
        codebook_size=config.pose_tokenizer_config.codebook_size,
    )


def main() -> None:
    (arguments,) = TrlParser((ModelArguments,)).parse_args_and_config()
    torch.manual_seed(arguments.seed)
    pose_tokenizer = UniPoseVQVAE.from_pretrained(arguments.pose_tokenizer)
    tokenizer = train_text_tokenizer(corpus_texts(load_corpus(arguments.corpus)), arguments.vocab_size)
    add_pose_tokens(tokenizer, pose_tokenizer.config.codebook_size)
    config = build_config(arguments, tokenizer, pose_tokenizer)
    model = UniPoseForConditionalGeneration(config)
    model.model.pose_tokenizer.load_state_dict(pose_tokenizer.state_dict())
    spread_pose_codes(model)
    model.generation_config = GenerationConfig(
        max_new_tokens=160,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(arguments.output)
    build_processor(config, tokenizer).save_pretrained(arguments.output)
    print(f"{model.num_parameters() / 1e6:.2f} M parameters, {len(tokenizer)} tokens -> {arguments.output}")


if __name__ == "__main__":
    main()
