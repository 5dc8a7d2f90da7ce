"""People's words for the named poses: `assets/wordings`, one YAML file per table of poses.

Each pose has verb phrases in the base form ("sink into a deep squat"), phrases that follow "is" ("low to the ground"),
names of the pose ("a bodyweight squat") and, for some, of the person who is in it ("a weightlifter"). In a verb
phrase every further verb that has to agree with the subject is marked: "kneel down and *bow {their} head". `{their}`,
`{them}` and `{themselves}` stand for the pronouns of the person in the pose.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from unipose.training.geometry import swap_sides
from unipose.training.io import read_yaml


WORDINGS_FOLDER = Path(__file__).parent.parent / "assets" / "wordings"
PLACEHOLDERS = ("{their}", "{them}", "{themselves}")

Kind = Literal["do", "be", "name", "who"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_PLACEHOLDER = re.compile(r"\{.*?\}")
_SIDE = re.compile(r"\b(left|right)\b", re.IGNORECASE)


@dataclass(frozen=True)
class PoseWordings:
    """Wordings of one named pose.

    Args:
        do: verb phrases in the base form, further verbs marked with "*".
        be: adjectives and prepositional phrases that follow "is".
        name: noun phrases that name the pose.
        who: noun phrases that name the person in the pose; may be empty.
    """

    do: tuple[str, ...]
    be: tuple[str, ...]
    name: tuple[str, ...]
    who: tuple[str, ...] = ()

    def entries(self) -> Iterator[tuple[Kind, str]]:
        """Every wording with its kind."""
        for kind in KINDS:
            for text in getattr(self, kind):
                yield kind, text

    def filtered(self, keep: Callable[[str], bool]) -> "PoseWordings":
        """The wordings for which `keep` is true."""
        return PoseWordings(*(tuple(filter(keep, getattr(self, kind))) for kind in KINDS))

    def mirrored(self) -> "PoseWordings":
        """The wordings of the mirrored pose: left and right exchanged."""
        return PoseWordings(*(tuple(map(swap_sides, getattr(self, kind))) for kind in KINDS))


def names_side(text: str) -> bool:
    """Whether a wording says left or right."""
    return _SIDE.search(text) is not None


@cache
def load_wordings() -> dict[str, PoseWordings]:
    """The wordings of every named pose, by the name that it has in the tables.

    Raises:
        ValueError: if a file has a pose twice, an unknown kind, an unknown placeholder, or a wording that is no text.
    """
    wordings: dict[str, PoseWordings] = {}
    for path in sorted(WORDINGS_FOLDER.glob("*.yaml")):
        for name, kinds in read_yaml(path).items():
            if name in wordings:
                raise ValueError(f"{path.name}: got the pose {name!r} a second time, expected each pose once")
            wordings[name] = read_wordings(f"{path.name}: {name}", kinds)
    return wordings


def wordings_of(name: str) -> PoseWordings:
    """The wordings of a named pose, or of the mirror image of one ("wave_right" from "wave_left")."""
    wordings = load_wordings()
    return wordings[name] if name in wordings else wordings[swap_sides(name)].mirrored()


def read_wordings(place: str, kinds: dict[str, list[str]]) -> PoseWordings:
    """Wordings from the lists of a file.

    Args:
        place: where they stand, for errors.
        kinds: kind -> wordings.

    Raises:
        ValueError: an unknown kind, an unknown placeholder, or a wording that is no text.
    """
    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise ValueError(f"{place}: got the kinds {sorted(unknown)}, expected only {KINDS}")
    for text in (text for texts in kinds.values() for text in texts):
        if not isinstance(text, str):
            raise ValueError(f"{place}: got {text!r}, expected a text (quote it)")
        if not set(_PLACEHOLDER.findall(text)) <= set(PLACEHOLDERS):
            raise ValueError(f"{place}: got {text!r}, expected no placeholder but {PLACEHOLDERS}")
    return PoseWordings(**{kind: tuple(texts) for kind, texts in kinds.items()})
