"""The vocabulary of a model: a tokenizer gets UniPose's tokens, and the tables of a language model rows for them."""

from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from unipose import UniPoseForConditionalGeneration, UniPoseVQVAE
from unipose.processing.processing_unipose import add_pose_tokens


PAD_TOKEN = "<pad>"
# How far new rows lie from the mean of the old ones, in deviations of these: no two tokens may be the same.
ROW_NOISE = 0.1


def extend_tokenizer(tokenizer: PreTrainedTokenizerBase, codebook_size: int) -> None:
    """Adds UniPose's tokens, and a token for padding where there is none, or where it is the end of an answer.

    Padding is not learned from: an end that is padding would never be learned. The chat template is the processor's.
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

    New rows start near the mean of the old ones, and so as words that are neither likely nor unlikely; those of pose
    codes around it as their codebook vectors do, and as far from each other as old rows. Old rows stay as they are.

    Args:
        language_model: it is changed in place.
        tokenizer: after `extend_tokenizer`.
        old_tokens: how many there were before.
        pose_tokenizer: whose codes the tokens `<pose_0>` and on stand for.
    """
    rows = cast(nn.Embedding, language_model.get_input_embeddings()).num_embeddings
    # Some tables are larger than their vocabulary.
    language_model.resize_token_embeddings(max(rows, len(tokenizer)), mean_resizing=False)
    codebook = pose_tokenizer.quantizer.codebook
    first = cast(int, tokenizer.convert_tokens_to_ids("<pose_0>"))
    tables = (language_model.get_input_embeddings(), language_model.get_output_embeddings())
    weights = [cast(torch.Tensor, table.weight) for table in tables]
    for table in {id(weight): weight for weight in weights}.values():
        old = table[:old_tokens].float()
        mean, deviation = old.mean(dim=0), (old - old.mean(dim=0)).std()
        new = mean + ROW_NOISE * deviation * torch.randn(len(tokenizer) - old_tokens, len(mean))
        new[first - old_tokens :][: len(codebook)] = mean + deviation * turn_codebook(codebook, len(mean))
        table[old_tokens : len(tokenizer)] = new.to(table.dtype)


def turn_codebook(codebook: torch.Tensor, width: int) -> torch.Tensor:
    """(codes, codebook_dim) -> (codes, width), by a random turn: alike codes stay alike; mean 0, deviation 1.

    Raises:
        ValueError: all codes are alike: the pose tokenizer is not trained.
    """
    if not codebook.std() > 0:
        raise ValueError("all codes of the pose tokenizer are alike: it is not trained (stage pose_tokenizer)")
    turn = nn.init.orthogonal_(torch.empty(width, codebook.shape[1]))
    turned = (codebook - codebook.mean(dim=0)) @ turn.T
    return turned / turned.std()


@torch.no_grad()
def spread_pose_codes(model: UniPoseForConditionalGeneration) -> None:
    """Starts the embeddings of a new model's pose codes as their codebook vectors: like codes are alike."""
    codebook = model.model.pose_tokenizer.quantizer.codebook
    table = cast(nn.Embedding, model.get_input_embeddings()).weight
    first = model.config.pose_code_start_id
    turned = turn_codebook(codebook, table.shape[1])
    table[first : first + len(codebook)] = model.config.initializer_range * turned
