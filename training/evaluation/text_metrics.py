"""BLEU-4, ROUGE-L and METEOR of generated texts against reference texts (paper, section 4).

The field has several variants of each. Every result therefore states its definition; that of BLEU is sacrebleu's
signature. All values are fractions of 1, as in the paper's tables after multiplication by 100.
"""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import numpy.typing as npt


Array = npt.NDArray[np.float64]
# "plain" is lower case without punctuation.
Normalization = Literal["none", "lowercase", "plain"]
NORMALIZATIONS: tuple[Normalization, ...] = ("none", "lowercase", "plain")
References = Sequence[str] | Sequence[Sequence[str]]

MAX_ORDER = 4
_WORDS = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


@dataclass(frozen=True)
class TextScores:
    """A metric of each text.

    Args:
        rows: (n,) in 0..1.
        definition: the variant of the metric.
    """

    rows: Array
    definition: str

    @property
    def mean(self) -> float:
        return float(self.rows.mean())


@dataclass(frozen=True)
class BleuCounts:
    """What corpus BLEU adds up over texts.

    Args:
        matches: (n, 4) n-grams of each text that its references have too, for 1- to 4-grams.
        totals: (n, 4) n-grams of each text.
        lengths: (n,) tokens of each text.
        reference_lengths: (n,) tokens of the reference of the closest length.
        definition: sacrebleu's signature, and the normalization.
    """

    matches: Array
    totals: Array
    lengths: Array
    reference_lengths: Array
    definition: str

    def score(self, counts: Array | None = None) -> float:
        """Corpus BLEU-4, 0..1.

        Args:
            counts: (n,) how often each text counts; default: once.
        """
        bleu = _module("sacrebleu.metrics.bleu", "sacrebleu").BLEU
        weights = np.ones(len(self.lengths)) if counts is None else counts
        matches, totals = ([round(float(each)) for each in weights @ own] for own in (self.matches, self.totals))
        lengths = [round(float(weights @ own)) for own in (self.lengths, self.reference_lengths)]
        result = bleu.compute_bleu(matches, totals, *lengths, smooth_method="exp", max_ngram_order=MAX_ORDER)
        return result.score / 100


def normalize(text: str, how: Normalization) -> str:
    """A text as a metric compares it.

    Args:
        text: any text.
        how: "none" changes nothing; "lowercase"; "plain" also removes ASCII punctuation and repeated spaces.

    Raises:
        ValueError: an unknown normalization.
    """
    if how not in NORMALIZATIONS:
        raise ValueError(f"normalization must be one of {', '.join(NORMALIZATIONS)}, got {how!r}")
    if how == "none":
        return text
    lower = text.lower()
    return lower if how == "lowercase" else " ".join(lower.translate(_NO_PUNCTUATION).split())


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def bleu4_counts(
    predictions: Sequence[str], references: References, normalization: Normalization = "none"
) -> BleuCounts:
    """The counts of corpus BLEU-4 by sacrebleu (tokenizer 13a, exponential smoothing).

    Args:
        predictions: n texts.
        references: the reference text or texts of each.
        normalization: applied to both sides first.

    Raises:
        ImportError: sacrebleu is not installed.
        ValueError: no text, or other numbers of references.
    """
    texts, others = _prepare(predictions, references, normalization)
    sacrebleu = _module("sacrebleu.metrics.bleu", "sacrebleu")
    bleu = sacrebleu.BLEU(max_ngram_order=MAX_ORDER)
    scores = [bleu.corpus_score([text], [[other] for other in own]) for text, own in zip(texts, others)]
    numbers = {len(own) for own in others}
    signature = bleu.get_signature()
    signature.info["nrefs"] = numbers.pop() if len(numbers) == 1 else "var"
    return BleuCounts(
        np.array([score.counts for score in scores], dtype=np.float64),
        np.array([score.totals for score in scores], dtype=np.float64),
        np.array([score.sys_len for score in scores], dtype=np.float64),
        np.array([score.ref_len for score in scores], dtype=np.float64),
        f"BLEU-4 {signature.format()}{_suffix(normalization)}",
    )


def rouge_l(
    predictions: Sequence[str],
    references: References,
    use_stemmer: bool = False,
    normalization: Normalization = "none",
) -> TextScores:
    """ROUGE-L by rouge-score: the F1 score of the longest common subsequence of words.

    Args:
        predictions: n texts.
        references: the reference text or texts of each; the best one counts.
        use_stemmer: whether words are compared by their Porter stems.
        normalization: applied to both sides first; rouge-score itself ignores case and punctuation.

    Raises:
        ImportError: rouge-score is not installed.
        ValueError: no text, or other numbers of references.
    """
    texts, others = _prepare(predictions, references, normalization)
    scorer = _module("rouge_score.rouge_scorer", "rouge-score").RougeScorer(["rougeL"], use_stemmer=use_stemmer)
    rows = [scorer.score_multi(own, text)["rougeL"].fmeasure for text, own in zip(texts, others)]
    stemmer = "Porter stems" if use_stemmer else "no stemmer"
    return TextScores(
        np.array(rows, dtype=np.float64),
        f"ROUGE-L F1, rouge-score {version('rouge-score')}, {stemmer}{_suffix(normalization)}",
    )


class _NoSynonyms:
    """Stands for WordNet where only equal words and equal stems may match."""

    def synsets(self, word: str) -> list[Any]:
        return []


def meteor(
    predictions: Sequence[str],
    references: References,
    synonyms: bool = False,
    normalization: Normalization = "none",
) -> TextScores:
    """METEOR by nltk, with its default weights (alpha 0.9, beta 3, gamma 0.5).

    Other programs give other values: METEOR 1.5 (Java) has other weights and paraphrases.

    Args:
        predictions: n texts.
        references: the reference text or texts of each; the best one counts.
        synonyms: whether WordNet's synonyms match too; it must be downloaded once. Without, words match if they or
            their Porter stems are equal.
        normalization: applied to both sides first; words are compared in lower case in any case.

    Raises:
        ImportError: nltk is not installed.
        FileNotFoundError: nltk's WordNet is not there.
        ValueError: no text, or other numbers of references.
    """
    texts, others = _prepare(predictions, references, normalization)
    score = _module("nltk.translate.meteor_score", "nltk").meteor_score
    wordnet = _load_wordnet() if synonyms else _NoSynonyms()
    rows = [
        score([_WORDS.findall(other) for other in own], _WORDS.findall(text), wordnet=wordnet)
        for text, own in zip(texts, others)
    ]
    matches = "exact, Porter stem, WordNet synonym" if synonyms else "exact, Porter stem"
    return TextScores(
        np.array(rows, dtype=np.float64),
        f"METEOR, nltk {version('nltk')}, {matches}, alpha 0.9, beta 3, gamma 0.5{_suffix(normalization)}",
    )


def _load_wordnet() -> Any:
    _module("nltk", "nltk")
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError as error:
        raise FileNotFoundError(
            "METEOR with synonyms needs nltk's WordNet: python -m nltk.downloader wordnet; or set synonyms to False"
        ) from error
    return wordnet


def _prepare(
    predictions: Sequence[str], references: References, normalization: Normalization
) -> tuple[list[str], list[list[str]]]:
    if isinstance(predictions, str) or not predictions or len(predictions) != len(references):
        raise ValueError(
            f"predictions must be a list of texts with one entry of references each, got {len(predictions)} "
            f"predictions and {len(references)} references"
        )
    lists = [[own] if isinstance(own, str) else list(own) for own in references]
    empty = [index for index, own in enumerate(lists) if not own]
    if empty:
        raise ValueError(f"references must hold at least one text for each prediction, got none for {empty[:5]}")
    return (
        [normalize(text, normalization) for text in predictions],
        [[normalize(text, normalization) for text in own] for own in lists],
    )


def _suffix(normalization: Normalization) -> str:
    return {"none": "", "lowercase": ", lower case", "plain": ", lower case without punctuation"}[normalization]


def _module(name: str, package: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(f"this metric needs {package}: pip install 'unipose[evaluation]'") from error
