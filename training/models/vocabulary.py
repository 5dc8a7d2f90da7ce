"""Adds UniPose's tokens to a tokenizer, and rows for them to the embeddings and head of a language model."""

from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from unipose import UniPoseForConditionalGeneration, UniPoseVQVAE
from unipose.processing.processing_unipose import add_pose_tokens


PAD_TOKEN = "<pad>"
# Distance of new rows from the mean of the old ones, in standard deviations of these: rows must differ.
ROW_NOISE = 0.1


def extend_tokenizer(tokenizer: PreTrainedTokenizerBase, codebook_size: int) -> None:
    """Adds UniPose's tokens, and a padding token if there is none or if it is the end token.

    Padding has no labels: an end token that is padding would never be trained. The chat template is the processor's.

    Args:
        tokenizer: changed in place.
        codebook_size: number of pose codes.
    """
    add_pose_tokens(tokenizer, codebook_size)
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.add_special_tokens({"pad_token": PAD_TOKEN})
    tokenizer.chat_template = None


@torch.no_grad()
def grow_tables(
    language_model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, old_tokens: int, pose_tokenizer: UniPoseVQVAE
) -> None:
    """Gives embeddings and head, tied or not, a row for every token of an extended tokenizer.

    New rows start near the mean of the old ones, as tokens that are neither likely nor unlikely. Those of pose codes
    lie around it as their codebook vectors do, as far from each other as old rows. Old rows do not change.

    Args:
        language_model: changed in place.
        tokenizer: tokenizer after `extend_tokenizer`.
        old_tokens: number of tokens before.
        pose_tokenizer: pose tokenizer of the codes `<pose_0>`, `<pose_1>`, ...
    """
    rows = cast(nn.Embedding, language_model.get_input_embeddings()).num_embeddings
    # Some tables are larger than their vocabulary.
    language_model.resize_token_embeddings(max(rows, len(tokenizer)), mean_resizing=False)
    codebook = torch.cat(list(pose_tokenizer.codebooks()), dim=1)
    first = cast(int, tokenizer.convert_tokens_to_ids("<pose_0>"))
    tables = (language_model.get_input_embeddings(), language_model.get_output_embeddings())
    weights = [cast(torch.Tensor, table.weight) for table in tables]
    for table in {id(weight): weight for weight in weights}.values():
        old = table[:old_tokens].float()
        mean, deviation = old.mean(dim=0), (old - old.mean(dim=0)).std()
        new = mean + ROW_NOISE * deviation * torch.randn(len(tokenizer) - old_tokens, len(mean))
        new[first - old_tokens :][: len(codebook)] = mean + deviation * project_codebook(codebook, len(mean))
        table[old_tokens : len(tokenizer)] = new.to(table.dtype)


def project_codebook(codebook: torch.Tensor, width: int) -> torch.Tensor:
    """(codes, codebook_dim) -> (codes, width), by a random orthogonal map; mean 0, deviation 1.

    Args:
        codebook: codebook of the pose tokenizer.
        width: width of the embeddings.

    Raises:
        ValueError: all codes are equal: the pose tokenizer is not trained.
    """
    if not codebook.std() > 0:
        raise ValueError("all codes of the pose tokenizer are equal: it is not trained (stage pose_tokenizer)")
    projection = nn.init.orthogonal_(torch.empty(width, codebook.shape[1]))
    projected = (codebook - codebook.mean(dim=0)) @ projection.T
    return projected / projected.std()


@torch.no_grad()
def spread_pose_codes(model: UniPoseForConditionalGeneration) -> None:
    """Initializes the embeddings of a new model's pose codes from their codebook vectors.

    A code that is a heading in one token and a point of the grid in others starts from both vectors.
    """
    codebook = torch.cat(list(model.model.pose_tokenizer.codebooks()), dim=1)
    table = cast(nn.Embedding, model.get_input_embeddings()).weight
    first = model.config.pose_code_start_id
    projected = project_codebook(codebook, table.shape[1])
    table[first : first + len(codebook)] = model.config.initializer_range * projected
