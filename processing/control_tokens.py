"""Control tokens that a user types are plain text.

A tokenizer finds its added tokens (roles, end of text, pose-start, pose codes, ...) in any text. In the text of a user
a break is put into each of them, so that the tokenizer meets its two halves one after the other. Breaks are characters
for private use, those of transformers; they are never encoded, and those in a user's text are dropped.

What a program writes itself, with role tokens and placeholders, has no breaks and is encoded as usual.
"""

import re
from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase


BREAK = "\U000f0001"
PRIVATE = str.maketrans("", "", f"\U000f0000{BREAK}")
# Before a piece of text, so that a tokenizer does not take it for the start of a text.
LINE = "\n"


def control_token_pattern(tokenizer: PreTrainedTokenizerBase, codes: Sequence[str]) -> re.Pattern:
    """Finds the first character of every control token, of overlapping ones too.

    Args:
        tokenizer: Its special tokens are control tokens.
        codes: Further control tokens: the pose codes, which are not special, so that decoding shows them.
    """
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    tokens = sorted(special | set(codes), key=len, reverse=True)
    # A token of one character cannot be broken; whitespace is ordinary text.
    breakable = [re.escape(token) for token in tokens if len(token) > 1 and not token.isspace()]
    return re.compile(f"(?=({'|'.join(breakable) or '(?!)'})).", re.DOTALL)


def break_control_tokens(text: str, pattern: re.Pattern, kept: Sequence[str] = ()) -> str:
    """A user's text, with a break in each control token.

    Args:
        text: The text.
        pattern: Result of `control_token_pattern`.
        kept: Control tokens that stay live.
    """

    def broken(match: re.Match) -> str:
        return match[0] if match[1] in kept else match[0] + BREAK

    return pattern.sub(broken, text.translate(PRIVATE))


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: list[str], **kwargs: Any) -> dict[str, Any]:
    """Like `tokenizer(texts, ...)`, but breaks are not encoded.

    Args:
        tokenizer: A fast tokenizer.
        texts: Texts, some with breaks.
        kwargs: The tokenizer's.

    Returns:
        `input_ids`, `attention_mask`, and with `return_offsets_mapping` also `offset_mapping`: positions in the text,
        with breaks.
    """
    if not any(BREAK in text for text in texts):
        return dict(tokenizer(texts, **kwargs))
    add_special_tokens = kwargs.get("add_special_tokens", True)
    rows = [_encode_pieces(tokenizer, text, add_special_tokens) for text in texts]
    limit = kwargs.get("max_length") or tokenizer.model_max_length
    if kwargs.get("truncation") not in (None, False, "do_not_truncate"):
        cut = slice(limit) if tokenizer.truncation_side == "right" else slice(-limit, None)
        rows = [(ids[cut], spans[cut]) for ids, spans in rows]
    names = ("padding", "max_length", "pad_to_multiple_of", "padding_side", "return_attention_mask", "return_tensors")
    options = {name: kwargs[name] for name in names if name in kwargs}
    data = dict(tokenizer.pad({"input_ids": [ids for ids, _ in rows]}, **options))
    if kwargs.get("return_offsets_mapping"):
        is_left = (kwargs.get("padding_side") or tokenizer.padding_side) == "left"
        padding = [[(0, 0)] * (len(padded) - len(ids)) for padded, (ids, _) in zip(data["input_ids"], rows)]
        data["offset_mapping"] = [pad + spans if is_left else spans + pad for pad, (_, spans) in zip(padding, rows)]
    return data


def _encode_pieces(
    tokenizer: PreTrainedTokenizerBase, text: str, add_special_tokens: bool
) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids of a text, and their positions in it."""
    pieces = text.split(BREAK)
    ids, spans = _encode(tokenizer, pieces[0])
    if add_special_tokens:
        prefix, suffix = _special_ids(tokenizer)
        ids, spans = prefix + ids, [(0, 0)] * len(prefix) + spans
    position = len(pieces[0])
    line_ids, _ = _encode(tokenizer, LINE)
    for piece in pieces[1:]:
        position += len(BREAK)
        if piece:
            piece_ids, piece_spans = _encode(tokenizer, LINE + piece)
            skipped = len(line_ids), len(LINE)
            if piece_ids[: len(line_ids)] != line_ids:
                piece_ids, piece_spans = _encode(tokenizer, piece)
                skipped = 0, 0
            ids += piece_ids[skipped[0] :]
            spans += [
                (max(start - skipped[1], 0) + position, end - skipped[1] + position)
                for start, end in piece_spans[skipped[0] :]
            ]
        position += len(piece)
    return (ids + suffix, spans + [(0, 0)] * len(suffix)) if add_special_tokens else (ids, spans)


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return list(encoded["input_ids"]), list(encoded["offset_mapping"])


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The ids that a tokenizer adds before and after a text by itself."""
    text_ids, _ = _encode(tokenizer, "a")
    ids = list(tokenizer("a")["input_ids"])
    before = next(start for start in range(len(ids)) if ids[start : start + len(text_ids)] == text_ids)
    return ids[:before], ids[before + len(text_ids) :]
