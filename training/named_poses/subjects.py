"""Who a text is about: the words for the person, and the pronouns that agree with them."""

from dataclasses import dataclass

from numpy.random import Generator

from unipose.training.named_poses.chance import pick


@dataclass(frozen=True)
class Subject:
    """The person of a text.

    Args:
        text: how the person is named; empty if nobody is.
        their, them, themselves: the pronouns that agree with it.
        verb: "third" or "base", the form of a verb in the present tense.
        be: the form of "be"; empty if the text has no subject.
    """

    text: str
    their: str
    them: str
    themselves: str
    verb: str = "third"
    be: str = "is"

    @property
    def is_pronoun(self) -> bool:
        """Whether the subject is a personal pronoun, which cannot follow "show me"."""
        return self.text in ("he", "she", "they", "I", "you")

    def fill(self, text: str) -> str:
        """A wording with its placeholders replaced by the pronouns of this person."""
        if not self.their:
            text = text.replace("{their} own ", "").replace("{their} ", "")
        return (
            text.replace("{their}", self.their).replace("{them}", self.them).replace("{themselves}", self.themselves)
        )


def _neutral(text: str) -> Subject:
    return Subject(text, "their", "them", "themselves")


def _male(text: str) -> Subject:
    return Subject(text, "his", "him", "himself")


def _female(text: str) -> Subject:
    return Subject(text, "her", "her", "herself")


USUAL = (_neutral("a person"), _neutral("someone"))
PRONOUNS = (
    _male("he"),
    _female("she"),
    Subject("they", "their", "them", "themselves", verb="base", be="are"),
    Subject("I", "my", "me", "myself", verb="base", be="am"),
)
NOUNS = (
    *map(_male, ("a man", "a guy", "a boy", "an old man", "a young man", "the man", "the guy", "this guy", "my dad")),
    *map(
        _female,
        (
            "a woman",
            "a girl",
            "a lady",
            "an old woman",
            "a young woman",
            "the woman",
            "the girl",
            "my mom",
            "my sister",
        ),
    ),
    *map(
        _neutral,
        (
            "the kid",
            "a kid",
            "a child",
            "a teenager",
            "somebody",
            "the person",
            "a yoga teacher",
            "an athlete",
            "an actor",
            "my friend",
            "a human",
            "the character",
            "the model",
            "the patient",
        ),
    ),
)
COMMAND = Subject("", "your", "yourself", "yourself", verb="base", be="")
# A text about nobody: "with the hands up", "with your hands up", "with hands up".
NOBODY = (
    Subject("", "the", "the body", "the body", be=""),
    Subject("", "your", "you", "yourself", verb="base", be=""),
    Subject("", "their", "them", "themselves", be=""),
)
HEADLINE = Subject("", "", "them", "themselves", be="")


def draw_subject(rng: Generator, pronouns: bool = True, usual: float = 0.62) -> Subject:
    """A named subject.

    Args:
        rng: source of randomness.
        pronouns: whether a personal pronoun may be drawn.
        usual: how often it is "a person" or "someone". By default two of three texts of the bank have other words,
            as many name nobody.
    """
    draw = rng.random()
    group: tuple[Subject, ...] = NOUNS
    if draw < usual:
        group = USUAL
    elif pronouns and draw < usual + 0.4 * (1.0 - usual):
        group = PRONOUNS
    return pick(group, rng)


def draw_nobody(rng: Generator) -> Subject:
    """The pronouns of a text that names nobody."""
    draw = rng.random()
    return NOBODY[0] if draw < 0.55 else NOBODY[1] if draw < 0.8 else NOBODY[2] if draw < 0.9 else HEADLINE
