"""BLEU-4, ROUGE-L and METEOR: worked by hand, and against sacrebleu's own corpus score."""

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


def longest_common_subsequence(first: list[str], second: list[str]) -> int:
    if not first or not second:
        return 0
    if first[0] == second[0]:
        return 1 + longest_common_subsequence(first[1:], second[1:])
    return max(longest_common_subsequence(first[1:], second), longest_common_subsequence(first, second[1:]))


def test_rouge_l_against_the_definition() -> None:
    for text, reference in zip(TEXTS, REFERENCES):
        words = [normalize(each, "plain").split() for each in (text, reference)]
        common = longest_common_subsequence(words[0][:9], words[1][:9])
        shortened = [" ".join(each[:9]) for each in words]
        expected = 2 * common / sum(min(len(each), 9) for each in words)
        assert rouge_l(shortened[:1], shortened[1:]).mean == pytest.approx(expected)


def test_meteor_by_hand() -> None:
    """Three of four words match, one by its stem, in two chunks: F = 10 P R / (R + 9 P), penalty 0.5 (2/3)^3."""
    precision, recall = 3 / 4, 3 / 5
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    expected = mean * (1 - 0.5 * (2 / 3) ** 3)
    assert meteor(["arms hang very low"], ["the arm hanging is low"]).mean == pytest.approx(expected)


def test_stems_match_and_synonyms_do_not() -> None:
    assert meteor(["kneeling"], ["kneels"]).mean == pytest.approx(0.5)
    assert meteor(["person"], ["human"]).mean == 0.0


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
