"""Converts the original release's slow, "legacy" Llama tokenizer to a fast one with the same ids.

Legacy means that every piece of text after an added token starts with its own word-start mark: "<pose_id_3>." is
`<pose_id_3>`, `▁.`. The vocabulary keeps its ids. Three of the queries' 80 names become the placeholders of our
processor; no text has them, because the queries are a separate module here.
"""

import json
import re
from importlib import resources
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import SentencePieceExtractor, generate_merges
from transformers.utils import is_protobuf_available, is_sentencepiece_available

from .processing.processing_unipose import add_pose_tokens


POSE_CODE_PREFIX = "pose_id_"
IMAGE_TOKENS = {"image_start_token": "<im_start>", "image_end_token": "<im_end>"}
PLACEHOLDERS = {"<pose_query_0>": "<pose_query>", "<pose_query_1>": "<pose>", "<pose_query_2>": "<image>"}
WORD_START = "▁"
# SentencePiece's type of ordinary text pieces; the others are <unk>, control tokens and bytes.
NORMAL_PIECE = 1


def convert_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of the release's `unipose` folder, with the tokens that `UniPoseProcessor` needs.

    Raises:
        ImportError: The package sentencepiece or protobuf is missing.
        FileNotFoundError: A file is missing.
        ValueError: Not the files of a legacy Llama tokenizer with pose tokens.
    """
    if not (is_sentencepiece_available() and is_protobuf_available()):
        raise ImportError("reading tokenizer.model needs two packages: pip install sentencepiece protobuf")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    if not config.get("legacy", True):
        raise ValueError(f"{folder / 'tokenizer_config.json'} is not that of a legacy tokenizer (legacy is false)")
    backend = build_backend(folder / "tokenizer.model", config["bos_token"])
    added = [config["added_tokens_decoder"][number] for number in sorted(config["added_tokens_decoder"], key=int)]
    contents = [token["content"] for token in added]
    codebook_size = len([content for content in contents if re.fullmatch(rf"<{POSE_CODE_PREFIX}\d+>", content)]) - 2
    missing = [name for name in (*IMAGE_TOKENS.values(), *PLACEHOLDERS) if name not in contents]
    if codebook_size < 1 or missing:
        raise ValueError(f"{folder / 'tokenizer_config.json'} lacks the tokens {missing or 'of the pose codes'}")
    backend.add_tokens([added_token(token["content"], token["special"]) for token in added])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{name: config[name] for name in ("bos_token", "eos_token", "unk_token", "pad_token")},
        model_max_length=config["model_max_length"],
        clean_up_tokenization_spaces=False,
    )
    special = {
        "pose_start_token": f"<{POSE_CODE_PREFIX}{codebook_size}>",
        "pose_end_token": f"<{POSE_CODE_PREFIX}{codebook_size + 1}>",
        **IMAGE_TOKENS,
    }
    if new := add_pose_tokens(tokenizer, codebook_size, POSE_CODE_PREFIX, special, role_tokens=()):
        raise ValueError(f"{folder / 'tokenizer_config.json'} lacks {new} of the tokens of poses and images")
    wrong = [
        number
        for number, content in zip(sorted(map(int, config["added_tokens_decoder"])), contents)
        if tokenizer.convert_tokens_to_ids(PLACEHOLDERS.get(content, content)) != number
    ]
    if wrong:
        raise ValueError(f"the ids {wrong[:5]} of {folder / 'tokenizer_config.json'} do not follow tokenizer.model")
    return tokenizer


def added_token(content: str, special: bool) -> AddedToken:
    """An added token, never normalized: only fast tokenizers read that flag of the slow tokenizer's files.

    Args:
        content: Text of the token in the release.
        special: Whether decoding can skip it.
    """
    if content in PLACEHOLDERS:
        return AddedToken(PLACEHOLDERS[content], special=True, normalized=False)
    return AddedToken(content, special=special, normalized=False)


def build_backend(model_file: Path, bos_token: str) -> Tokenizer:
    """SentencePiece's byte-pair model -> a `tokenizers` one, with a word-start mark before every piece of text.

    Args:
        model_file: tokenizer.model.
        bos_token: First token of every text.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if not model_file.is_file():
        raise FileNotFoundError(f"there is no {model_file}")
    pieces = SentencePieceExtractor(str(model_file)).proto.pieces
    vocabulary = {piece.piece: number for number, piece in enumerate(pieces)}
    merges = generate_merges(
        vocabulary,
        {piece.piece: piece.score for piece in pieces},
        skip_tokens=[piece.piece for piece in pieces if piece.type != NORMAL_PIECE],
    )
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token=pieces[0].piece, fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(WORD_START), normalizers.Replace(" ", WORD_START)])
    backend.decoder = decoders.Sequence(
        [decoders.Replace(WORD_START, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos_token} $A",
        pair=f"{bos_token} $A {bos_token} $B",
        special_tokens=[(bos_token, vocabulary[bos_token])],
    )
    return backend


def original_chat_template() -> str:
    """The original's prompt as a chat template."""
    return resources.files("unipose.processing").joinpath("chat_template_original.jinja").read_text(encoding="utf-8")
