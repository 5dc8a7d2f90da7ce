"""BLEU-4, ROUGE-L and METEOR: worked by hand, and against sacrebleu's own corpus score."""

from typing import NamedTuple

import numpy as np
import pytest
import sacrebleu

from unipose.training.evaluation.text_metrics import bleu4_counts, meteor, normalize, rouge_l


TEXTS = [
    "A person squats with both arms raised overhead.",
    "The left knee is bent, the right leg is straight.",
    "Someone kneels on the left knee with the hands on the floor.",
]
REFERENCES = [
    "A person squats, both arms raised high overhead.",
    "The left knee is bent at a right angle and the right leg is straight.",
    "Someone is kneeling on the left knee.",
]


def test_bleu_by_hand() -> None:
    """Five words in order out of six: precisions 5/5, 4/4, 3/3, 2/2, brevity exp(1 - 6/5)."""
    counts = bleu4_counts(["a b c d e"], ["a b c d e f"])
    assert counts.matches.tolist() == counts.totals.tolist() == [[5, 4, 3, 2]]
    assert counts.score() == pytest.approx(np.exp(1 - 6 / 5))


def test_counts_of_texts_add_up_to_the_corpus_score() -> None:
    expected = sacrebleu.corpus_bleu(TEXTS, [REFERENCES])
    counts = bleu4_counts(TEXTS, REFERENCES)
    assert counts.score() == pytest.approx(expected.score / 100, abs=1e-12)
    # A resample with one text twice is the corpus with that text twice.
    rows = [0, 2, 2]
    again = sacrebleu.corpus_bleu([TEXTS[row] for row in rows], [[REFERENCES[row] for row in rows]])
    assert counts.score(np.array([1.0, 0.0, 2.0])) == pytest.approx(again.score / 100, abs=1e-12)


def test_bleu_of_several_references_names_their_number() -> None:
    references = [[one, other] for one, other in zip(REFERENCES, reversed(REFERENCES))]
    expected = sacrebleu.corpus_bleu(TEXTS, [list(column) for column in zip(*references)])
    counts = bleu4_counts(TEXTS, references)
    assert counts.score() == pytest.approx(expected.score / 100, abs=1e-12)
    assert "nrefs:2" in counts.definition
    uneven = bleu4_counts(TEXTS, [references[0], [REFERENCES[1]], references[2]])
    assert "nrefs:var" in uneven.definition
    # The best of both references: more can only match more.
    assert counts.score() >= uneven.score()


def is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)


def test_rouge_l_is_the_longest_common_subsequence_of_words() -> None:
    assert rouge_l(["The left knee is bent."], ["the LEFT knee is bent"]).mean == 1
    assert rouge_l(["", "a", "a b", ""], ["a", "", "c d", ""]).mean == 0
    assert rouge_l(["a b c d"], ["a c d e f"]).mean == pytest.approx(2 * 3 / 9)
    rng = np.random.default_rng(0)
    for _ in range(50):
        one, other = (["abc"[index] for index in rng.integers(0, 3, rng.integers(1, 9))] for _ in range(2))
        common = max(
            len(part)
            for mask in range(2 ** len(one))
            if is_subsequence(part := [word for place, word in enumerate(one) if mask >> place & 1], other)
        )
        expected = 2 * common / (len(one) + len(other))
        assert rouge_l([" ".join(one)], [" ".join(other)]).mean == pytest.approx(expected)


def test_meteor_by_hand() -> None:
    """Three of four words match, one by its stem, in two chunks: F = 10 P R / (R + 9 P), penalty 0.5 (2/3)^3."""
    precision, recall = 3 / 4, 3 / 5
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    expected = mean * (1 - 0.5 * (2 / 3) ** 3)
    assert meteor(["arms hang very low"], ["the arm hanging is low"]).mean == pytest.approx(expected)


def test_stems_match_and_synonyms_do_not() -> None:
    assert meteor(["kneeling"], ["kneels"]).mean == pytest.approx(0.5)
    assert meteor(["person"], ["human"]).mean == 0.0


class FakeLemma(NamedTuple):
    lemma: str

    def name(self) -> str:
        return self.lemma


class FakeSynset(tuple[FakeLemma, ...]):
    def lemmas(self) -> list[FakeLemma]:
        return list(self)


class FakeWordNet:
    """nltk's WordNet as METEOR sees it, with one set of synonyms; the real one must be downloaded."""

    def __init__(self, *synonyms: str, is_there: bool = True):
        self.synonyms, self.is_there = synonyms, is_there

    def ensure_loaded(self) -> None:
        if not self.is_there:
            raise LookupError("Resource wordnet not found.")

    def synsets(self, word: str) -> list[FakeSynset]:
        return [FakeSynset(map(FakeLemma, self.synonyms))] if word in self.synonyms else []


def test_synonyms_of_wordnet_match_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nltk.corpus.wordnet", FakeWordNet("person", "human"))
    scores = meteor(["The person squats"], ["the human kneels"], synonyms=True)
    # Two of three words in one chunk.
    assert scores.mean == pytest.approx(2 / 3 * (1 - 0.5 * (1 / 2) ** 3))
    assert "WordNet synonym" in scores.definition
    without = meteor(["The person squats"], ["the human kneels"])
    assert without.mean == pytest.approx(1 / 3 * 0.5)
    assert "WordNet" not in without.definition


def test_a_missing_wordnet_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nltk.corpus.wordnet", FakeWordNet(is_there=False))
    with pytest.raises(FileNotFoundError, match=r"python -m nltk.downloader wordnet; or set synonyms to False"):
        meteor(["a"], ["a"], synonyms=True)


@pytest.mark.parametrize("metric", [rouge_l, meteor])
def test_order_of_rows_does_not_matter_and_the_best_reference_counts(metric) -> None:
    rows = metric(TEXTS, REFERENCES).rows
    np.testing.assert_array_equal(metric(TEXTS[::-1], REFERENCES[::-1]).rows, rows[::-1])
    both = metric(TEXTS, [[own, other] for own, other in zip(REFERENCES, REFERENCES[1:] + REFERENCES[:1])]).rows
    assert (both >= rows).all()
    assert ((rows > 0) & (rows < 1)).all()


@pytest.mark.parametrize("metric", [bleu4_counts, rouge_l, meteor])
def test_wrong_inputs_are_named(metric) -> None:
    with pytest.raises(ValueError, match="got 3 predictions and 2 references"):
        metric(TEXTS, REFERENCES[:2])
    with pytest.raises(ValueError, match=r"got none for \[1\]"):
        metric(TEXTS, [REFERENCES, [], REFERENCES])
    with pytest.raises(ValueError, match="normalization must be one of none, lowercase, plain, got 'upper'"):
        metric(TEXTS, REFERENCES, normalization="upper")


def test_normalizations() -> None:
    text = "A  Person's left-hand, raised."
    assert normalize(text, "none") == text
    assert normalize(text, "lowercase") == "a  person's left-hand, raised."
    assert normalize(text, "plain") == "a persons lefthand raised"
    lower = meteor(["A B"], ["a b"], normalization="none")
    assert lower.mean == meteor(["A B"], ["a b"], normalization="lowercase").mean, "METEOR ignores case itself"
    assert bleu4_counts(["A B C D"], ["a b c d"]).score() < bleu4_counts(["A B C D"], ["a b c d"], "lowercase").score()
