"""How people type: case, punctuation, contractions, British spelling, fillers, double spaces, typos."""

import re

from numpy.random import Generator

from unipose.training.named_poses.chance import pick
from unipose.training.named_poses.wordings import names_side


NO_CAPITAL = 0.45
NO_STOP = 0.50
TYPO = 0.06
UPPER = 0.02
DOUBLE_SPACE = 0.02
FILLER = 0.05
POLITE = 0.12
BRITISH = 0.15

SPELLINGS = {
    "airplane": "aeroplane",
    "center": "centre",
    "color": "colour",
    "favorite": "favourite",
    "fetal": "foetal",
    "gray": "grey",
    "mom": "mum",
    "neighbor": "neighbour",
    "plow": "plough",
    "sidewalk": "pavement",
    "sneaker": "trainer",
    "sneakers": "trainers",
    "soccer": "football",
    "trash": "rubbish",
    "toward": "towards",
    "traveler": "traveller",
    "vacation": "holiday",
}
FILLERS = ("um, ", "uh, ", "so ", "ok ", "ok, ", "like, ", "hmm, ", "well, ", "hey, ")
POLITE_ENDS = (" please", ", please", " pls", " plz", " thx", ", thank you")

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBORS = {
    letter: [
        other
        for other_row, other_keys in enumerate(_KEYS)
        for other_column, other in enumerate(other_keys)
        if other != letter and abs(other_row - row) <= 1 and abs(other_column - column) <= 1
    ]
    for row, keys in enumerate(_KEYS)
    for column, letter in enumerate(keys)
}
_WORD = re.compile(r"[A-Za-z]{4,}")
_BE = re.compile(r"\b(he|she|they|someone|somebody)( is| are)(?= \w)|\bI am(?= \w)", re.IGNORECASE)
_SPELLING = re.compile(rf"\b(?:{'|'.join(SPELLINGS)})\b")


def typed(text: str, rng: Generator, question: bool = False, command: bool = False, polite: bool = False) -> str:
    """A text as a person might type it.

    Args:
        text: starts in lower case (proper nouns aside) and ends without a stop.
        rng: source of randomness; one state gives one text.
        question: whether the text is a request in the form of a question.
        command: whether the text is an imperative.
        polite: whether "please" or "thanks" may follow.

    Returns:
        One line of text.
    """
    if rng.random() < BRITISH:
        text = _SPELLING.sub(lambda match: SPELLINGS[match[0]], text)
    text = contract(text, rng)
    if not question and rng.random() < FILLER:
        text = pick(FILLERS, rng) + text
    if polite and "please" not in text and rng.random() < POLITE:
        text += pick(POLITE_ENDS, rng)
    text = _cased(text, rng) + _stop(rng, question, command)
    if rng.random() < TYPO:
        text = with_typo(text, rng)
    if rng.random() < DOUBLE_SPACE:
        text = with_double_space(text, rng)
    return text.upper() if rng.random() < UPPER else text


def contract(text: str, rng: Generator) -> str:
    """The text with "he is" as "he's", sometimes "hes", or as it was.

    Args:
        text: the text.
        rng: source of randomness.
    """
    if not _BE.search(text) or rng.random() < 0.5:
        return text
    apostrophe = "" if rng.random() < 0.2 else "'"

    def joined(match: re.Match[str]) -> str:
        if match[1] is None:
            return f"I{apostrophe}m"
        return f"{match[1]}{apostrophe}{'re' if match[2] == ' are' else 's'}"

    return _BE.sub(joined, text)


def with_typo(text: str, rng: Generator) -> str:
    """The text with one typo in a word of four letters or more, never in "left" or "right" and never making them.

    Args:
        text: the text.
        rng: source of randomness.
    """
    words = [match for match in _WORD.finditer(text) if not names_side(match[0].lower())]
    if not words:
        return text
    word = pick(words, rng)
    misspelled = _misspell(word[0], rng)
    if names_side(misspelled.lower()):
        return text
    return text[: word.start()] + misspelled + text[word.end() :]


def with_double_space(text: str, rng: Generator) -> str:
    """The text with one of its spaces doubled.

    Args:
        text: the text.
        rng: source of randomness.
    """
    spaces = [index for index, letter in enumerate(text) if letter == " "]
    if not spaces:
        return text
    place = pick(spaces, rng)
    return f"{text[:place]} {text[place:]}"


def capitalized(text: str) -> str:
    """The text with its first letter in upper case; the others stay."""
    return text[:1].upper() + text[1:]


def _misspell(word: str, rng: Generator) -> str:
    place = int(rng.integers(1, len(word) - 1))
    slip = rng.integers(4)
    if slip == 0:
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if slip == 1:
        return word[:place] + word[place + 1 :]
    if slip == 2:
        return word[:place] + word[place] + word[place:]
    neighbors = _NEIGHBORS[word[place].lower()]
    return word[:place] + pick(neighbors, rng) + word[place + 1 :]


def _cased(text: str, rng: Generator) -> str:
    if rng.random() >= NO_CAPITAL:
        return capitalized(text)
    return text.lower() if rng.random() < 0.7 else text


def _stop(rng: Generator, question: bool, command: bool) -> str:
    if rng.random() < NO_STOP:
        return ""
    if question:
        return "?"
    draw = rng.random()
    return "!" if draw < (0.4 if command else 0.08) else "..." if draw > 0.97 else "."
