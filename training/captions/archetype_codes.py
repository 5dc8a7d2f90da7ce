"""Posecodes of the sentences of named poses."""

from unipose.training.captions.posecodes import Posecode
from unipose.training.named_poses.archetypes import ARCHETYPES, table_name


def archetype_codes(name: str) -> tuple[Posecode, ...]:
    """The posture and arms codes that the sentences of a named pose state, sides exchanged for a mirrored name."""
    archetype = ARCHETYPES[table_name(name)]
    codes = (Posecode("posture", "body", archetype.posture), Posecode("arms", "arms", archetype.arms))
    return tuple(code if name in ARCHETYPES else code.mirrored() for code in codes if code.value)
