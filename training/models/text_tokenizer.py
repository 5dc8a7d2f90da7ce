"""Trains the text tokenizer of a new language model, on its corpus.

Of phrases: byte-level BPE whose pieces may cover whole phrases. Of words: byte-level BPE within words, in lower case,
with whole words besides, so that a word is one token wherever it stands.
"""

import json
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast


BOS, EOS, PAD = "<s>", "</s>", "<pad>"
# Share of the tokens of a tokenizer of words that are learned pieces; unknown and misspelled words consist of them.
PIECES_SHARE = 0.25
# A rarer word is a typo, or too rare to be learned.
MIN_COUNT = 4
# A word is written with a capital if this share of its occurrences within sentences is.
CAPITAL_SHARE = 0.9

_WORD = re.compile(r"[a-z]{2,}")
_INSIDE = re.compile(r"(?<=[\w,;] )[A-Za-z][\w-]*")
# Texts are the same tokens at the start as within a text. ByteLevel's own prefix would go into "1.5" and "a,b".
_LEADING_SPACE = (normalizers.Prepend(" "), normalizers.Replace(Regex(r"\A  "), " "))
_NO_LEADING_SPACE = decoders.Strip(" ", 1, 0)


def train_text_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of phrases on `texts`; no text is outside its vocabulary.

    Text is split into clauses, not words: the length of a row decides the speed of a small model, and captions are
    built from phrases. `add_pose_tokens` comes after.

    Args:
        texts: captions and instructions.
        vocab_size: bytes, merges and the three special tokens together.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([*_LEADING_SPACE])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[.,?!:]"), "merged_with_previous"),
            pre_tokenizers.Split(" and", "merged_with_next"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), _NO_LEADING_SPACE])
    _train(tokenizer, texts, vocab_size)
    return _to_fast(tokenizer)


def train_word_tokenizer(
    texts: Sequence[str], answers: Iterable[str], vocab_size: int, more_words: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """Byte-level BPE of lower-case words on `texts`, with whole words; no text is outside its vocabulary.

    Upper case and lower case are the same tokens. Decoding writes capitals at the start of sentences, and of words
    that `answers` write so. `add_pose_tokens` comes after.

    Args:
        texts: captions and instructions.
        answers: those that the model shall write.
        vocab_size: maximum number of tokens: bytes, merges, whole words and the three special tokens together.
        more_words: words in lower case, the first ones are added where the words of `texts` leave room.

    Raises:
        ValueError: `vocab_size` leaves no room for a word beside the bytes.
    """
    pieces = int(PIECES_SHARE * vocab_size)
    if pieces < 256 + 3:
        raise ValueError(f"vocab_size is {vocab_size}; expected at least {int((256 + 3) / PIECES_SHARE)} with words")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *_LEADING_SPACE])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    capitals = [(f"(?<=\\A|[.?!] ){letter}", letter.upper()) for letter in string.ascii_lowercase]
    capitals += [(rf"\b{re.escape(word.lower())}\b", word) for word in capitalized_words(answers)]
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.ByteLevel(),
            _NO_LEADING_SPACE,
            *(decoders.Replace(Regex(pattern), content) for pattern, content in capitals),
        ]
    )
    _train(tokenizer, texts, pieces)
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = model["vocab"]
    for word in (*corpus_words(texts), *more_words):
        if len(vocabulary) >= vocab_size:
            break
        vocabulary.setdefault(f"Ġ{word}", len(vocabulary))
    # Whole words are found before any merge.
    tokenizer.model = models.BPE(vocabulary, [tuple(merge) for merge in model["merges"]], ignore_merges=True)
    return _to_fast(tokenizer)


def corpus_words(texts: Iterable[str]) -> list[str]:
    """The words of texts that are not rare, in lower case, the most frequent first."""
    counts = Counter(word for text in texts for word in _WORD.findall(text.lower()))
    return [word for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= MIN_COUNT]


def capitalized_words(texts: Iterable[str]) -> list[str]:
    """The words that have capitals within a sentence too, such as "T-pose"; sorted."""
    spellings: dict[str, Counter[str]] = {}
    for text in texts:
        for word in _INSIDE.findall(text):
            spellings.setdefault(word.lower(), Counter())[word] += 1
    chosen = []
    for word, counts in spellings.items():
        spelling, count = counts.most_common(1)[0]
        if spelling != word and count >= max(MIN_COUNT, CAPITAL_SHARE * counts.total()):
            chosen.append(spelling)
    return sorted(chosen)


def _train(tokenizer: Tokenizer, texts: Iterable[str], vocab_size: int) -> None:
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[PAD, BOS, EOS],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)


def _to_fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD)
