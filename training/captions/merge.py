"""Codes -> clauses: facts of both sides, of several parts and of one part are stated together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from unipose.training.captions.lexicon import Codes, Form, both_forms, forms, shared_states
from unipose.training.captions.posecodes import RULES, Posecode
from unipose.training.captions.text import BufferedChooser


# Probability of merging what can be merged, and of summing up two different sides.
MERGE, SUM_UP = 0.95, 0.25
FACTS_A_CLAUSE, SUBJECTS_A_CLAUSE = 3, 3
# Kinds whose facts one clause may state of several parts.
SHARED = frozenset({"bend", "segment", "ground", "height", "height_to_shoulder"})
# kind and value -> the value that sums it up.
COARSER = {
    **{("bend", value): "bent" for value in ("fully_bent", "sharply_bent", "bent_90", "half_bent")},
    ("depth", "far_front"): "front",
    ("side", "far_outward"): "outward",
}


@dataclass(frozen=True)
class Fact:
    """One statement about the subjects of a clause: its codes for each subject, and its wordings."""

    codes: tuple[Codes, ...]
    states: tuple[str, ...]
    verbs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clause:
    """Facts about one subject, or one fact about several."""

    subjects: tuple[str, ...]
    facts: tuple[Fact, ...]

    @property
    def codes(self) -> Codes:
        """In the order in which they are read."""
        return tuple(code for fact in self.facts for codes in fact.codes for code in codes)

    @property
    def rare(self) -> bool:
        return any(RULES[code].eligibility == "rare" for code in self.codes)


def merge(codes: Sequence[Posecode], chooser: BufferedChooser) -> list[Clause]:
    """Merges codes by symmetry, then by fact and by part, in one order or the other.

    Args:
        codes: posecodes, no posture among them.
        chooser: source of merges and wordings.
    """
    chosen = _merge_sides(_sum_up(codes, chooser), chooser)
    single = [Clause((form.subject,), (Fact((form.codes,), form.states, form.verbs),)) for form in chosen]
    if chooser.random() < 0.5:
        return _join_facts(_join_parts(single, chooser), chooser)
    return _join_parts(_join_facts(single, chooser), chooser)


def _sum_up(codes: Sequence[Posecode], chooser: BufferedChooser) -> list[Posecode]:
    """Sometimes "both knees are bent" in place of one that is half bent and one that is bent at a right angle.

    Rare codes are always stated, so they are not summed up.
    """
    known = {code.group: code for code in codes}
    summed: dict[Posecode, Posecode] = {}
    for code in codes:
        twin = known.get(code.mirrored().group)
        if twin is None or not code.subject.startswith("left_") or twin == code.mirrored():
            continue
        values = {COARSER.get((each.kind, each.value), each.value) for each in (code, twin)}
        rare = any(RULES[each].eligibility == "rare" for each in (code, twin))
        if len(values) == 1 and not rare and chooser.random() < SUM_UP:
            summed |= {each: Posecode(each.kind, each.subject, *values) for each in (code, twin)}
    return [summed.get(code, code) for code in codes]


def _merge_sides(codes: Sequence[Posecode], chooser: BufferedChooser) -> list[Form]:
    """One form per code, or one for both sides if the mirrored code is present."""
    left, found = dict.fromkeys(codes), []
    for code in codes:
        if code not in left:
            continue
        del left[code]
        twin = code.mirrored()
        both = both_forms(code if code.subject.startswith("left_") else twin) if twin in left else ()
        if both and chooser.random() < MERGE:
            del left[twin]
            found.append(chooser.word(both))
        else:
            found.append(chooser.word(forms(code)))
    return found


def _join_parts(clauses: list[Clause], chooser: BufferedChooser) -> list[Clause]:
    """Joins clauses that state the same fact of different parts."""
    joined: list[Clause] = []
    place: dict[tuple[str, str], int] = {}
    for clause in clauses:
        first = clause.facts[0].codes[0][0]
        key = (first.kind, first.value)
        if len(clause.facts) > 1 or first.kind not in SHARED:
            joined.append(clause)
            continue
        if key in place and chooser.random() < MERGE:
            shared = _share(joined[place[key]], clause)
            if shared is not None:
                joined[place[key]] = shared
                continue
        place[key] = len(joined)
        joined.append(clause)
    return joined


def _share(known: Clause, clause: Clause) -> Clause | None:
    """One clause about the subjects of both, if they are not too many and there are words that fit them all."""
    subjects, codes = known.subjects + clause.subjects, known.facts[0].codes + clause.facts[0].codes
    if len(subjects) > SUBJECTS_A_CLAUSE or len(set(subjects)) < len(subjects):
        return None
    states = shared_states(codes, subjects)
    return Clause(subjects, (Fact(codes, states),)) if states else None


def _join_facts(clauses: list[Clause], chooser: BufferedChooser) -> list[Clause]:
    """Joins the facts about one subject, up to a limit per clause."""
    joined: list[Clause] = []
    place: dict[str, int] = {}
    for clause in clauses:
        if len(clause.subjects) > 1:
            joined.append(clause)
            continue
        index = place.get(clause.subjects[0], -1)
        if index >= 0 and len(joined[index].facts) < FACTS_A_CLAUSE and chooser.random() < MERGE:
            joined[index] = replace(joined[index], facts=joined[index].facts + clause.facts)
        else:
            place[clause.subjects[0]] = len(joined)
            joined.append(clause)
    return joined
