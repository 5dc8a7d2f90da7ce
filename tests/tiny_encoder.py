"""A toy sentence encoder, saved as published ones are: words of one group mean nearly the same."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast


GROUPS = (("squat", "crouch"), ("jump", "leap"), ("senate", "minister"), ("person", "man"))
SPECIAL = ["[PAD]", "[UNK]"]


def save_sentence_encoder(folder: Path, width: int = 16) -> None:
    words = [word for group in GROUPS for word in group]
    vocabulary = {token: row for row, token in enumerate([*SPECIAL, *words, "a", "is", "##s"])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=width,
            intermediate_size=width,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=32,
        )
    )
    with torch.no_grad():
        for layer in (model.encoder.layer[0].attention.output.dense, model.encoder.layer[0].output.dense):
            layer.weight.zero_()
        table = model.embeddings.word_embeddings.weight
        table.mul_(1e-3)
        model.embeddings.position_embeddings.weight.zero_()
        for group in GROUPS:
            table[[vocabulary[word] for word in group]] += torch.randn(width)
    model.save_pretrained(folder)
