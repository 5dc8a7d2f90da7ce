"""Trains the small text tokenizer of the embedded model: byte-level BPE whose pieces may cover whole phrases."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast


BOS, EOS, PAD = "<s>", "</s>", "<pad>"


def train_text_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE on `texts`; no text is outside its vocabulary.

    Text is split into clauses, not words: the length of a row decides the speed of a small model, and captions are
    built from phrases. `add_pose_tokens` comes after.

    Args:
        texts: captions and instructions.
        vocab_size: bytes, merges and the three special tokens together.
    """
    tokenizer = Tokenizer(models.BPE())
    # Phrases are the same tokens at the start as within a text. ByteLevel's own prefix would go into "1.5" and "a,b".
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(" "), normalizers.Replace(Regex(r"\A  "), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[.,?!:]"), "merged_with_previous"),
            pre_tokenizers.Split(" and", "merged_with_next"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[PAD, BOS, EOS],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD)
