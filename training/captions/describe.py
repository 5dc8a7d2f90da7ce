"""Posecodes -> a short English description.

The inventory of phrases is small and closed on purpose (about two ways to say a fact), so that a model of a few
million parameters can learn it. Facts of both sides are merged ("both knees are straight"), facts of one part are
joined, less telling facts are dropped now and then, and the order is random: the same codes give several captions, the
same seed gives one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unipose.training.captions.posecodes import Posecode, holding, swap_sides


# What the whole body does: "A person ..." and "Someone is ...".
POSTURES: dict[str, tuple[str, str]] = {
    "lies_back": ("lies on the back", "lying face up"),
    "lies_front": ("lies on the stomach", "lying face down"),
    "lies_left": ("lies on the left side", "lying on the left side"),
    "all_fours": ("is on all fours", "on hands and knees"),
    "sits_ground": ("sits on the ground", "sitting on the ground"),
    "kneels_both": ("kneels on both knees", "kneeling on both knees"),
    "kneels_left": ("kneels on the left knee", "kneeling on the left knee"),
    "sits": ("sits", "sitting"),
    "squats": ("squats", "squatting"),
    "lunges_left": ("lunges with the left leg in front", "in a lunge with the left leg in front"),
    "kicks_left": ("kicks with the left leg", "kicking with the left leg"),
    "one_leg_right": ("stands on the right leg", "standing on the right leg"),
    "bends_forward": ("bends forward", "bending forward"),
    "steps_left": ("steps forward with the left foot", "stepping forward with the left foot"),
    "crouches": ("crouches", "standing with bent knees"),
    "stands": ("stands", "standing"),
}

# What the arms do together: who, and what they are. "with both arms raised overhead", "Both arms are raised overhead".
ARM_POSES: dict[str, tuple[str, str]] = {
    "overhead": ("both arms", "raised overhead"),
    "left_up": ("the left arm", "raised"),
    "t_pose": ("both arms", "stretched out to the sides"),
    "forward": ("both arms", "stretched forward"),
    "on_hips": ("both hands", "on the hips"),
    "crossed": ("both arms", "crossed"),
    "down": ("both arms", "hanging down"),
}

# What follows "is" or "are", by kind and value.
PREDICATES: dict[tuple[str, str], tuple[str, ...]] = {
    ("bend", "fully_bent"): ("fully bent", "completely bent"),
    ("bend", "sharply_bent"): ("sharply bent", "strongly bent"),
    ("bend", "bent_90"): ("bent at a right angle", "bent at 90 degrees"),
    ("bend", "half_bent"): ("half bent", "partly bent"),
    ("bend", "slightly_bent"): ("slightly bent", "bent a little"),
    ("bend", "straight"): ("straight",),
    ("height", "above_head"): ("above the head", "raised overhead"),
    ("height", "head"): ("at head height", "level with the head"),
    ("height", "shoulders"): ("at shoulder height", "level with the shoulders"),
    ("height", "chest"): ("at chest height", "level with the chest"),
    ("height", "hips"): ("at hip height", "level with the hips"),
    ("height", "below_hips"): ("below the hips", "lower than the hips"),
    ("depth", "far_front"): ("far in front of the body", "stretched forward"),
    ("depth", "front"): ("in front of the body",),
    ("depth", "behind"): ("behind the body", "behind the back"),
    ("side", "outward"): ("out to the side",),
    ("side", "across"): ("across the body",),
    ("segment", "down"): ("pointing down", "vertical"),
    ("segment", "level"): ("horizontal", "parallel to the ground"),
    ("segment", "up"): ("pointing up",),
    ("ground", "off"): ("off the ground", "lifted"),
    ("ground", "on"): ("on the ground",),
    ("distance", "close"): ("close together",),
    ("distance", "apart"): ("apart", "spread"),
    ("distance", "wide"): ("wide apart", "spread wide"),
    ("torso", "upright"): ("upright", "vertical"),
    ("torso", "level"): ("horizontal", "parallel to the ground"),
    ("torso", "far_forward"): ("bent far forward",),
    ("torso", "forward"): ("leaning forward", "bent forward"),
    ("torso", "back"): ("leaning back", "bent backward"),
    ("lean", "left"): ("leaning to the left", "tilted to the left"),
    ("twist", "left"): ("turned to the left", "twisted to the left"),
    ("head", "down"): ("bent down", "lowered"),
    ("head", "up"): ("tilted back", "raised"),
}

# Where a part's own words differ from those of its kind.
PART_PREDICATES: dict[tuple[str, str, str], tuple[str, ...]] = {
    ("depth", "foot", "front"): ("in front", "ahead"),
    ("segment", "thigh", "up"): ("raised above the hips", "pulled up"),
    ("height", "foot", "hips"): ("raised to the hips", "as high as the hips"),
}
PLURALS = {"foot": "feet", "hips": "hips", "hands": "hands", "feet": "feet", "knees": "knees"}
# Kinds that say much and are never dropped.
RARE = frozenset({"posture", "arms", "near", "ground", "lean", "twist"})


@dataclass(frozen=True)
class Caption:
    """A description and the codes it states."""

    text: str
    codes: tuple[Posecode, ...]


@dataclass(frozen=True)
class Clause:
    """A subject and what it is: one sentence, without its verb."""

    subject: str
    plural: bool
    predicates: tuple[str, ...]
    codes: tuple[Posecode, ...]

    @property
    def sentence(self) -> str:
        facts = self.predicates
        joined = f"{', '.join(facts[:-1])} and {facts[-1]}" if len(facts) > 1 else facts[0]
        return f"{self.subject[0].upper()}{self.subject[1:]} {'are' if self.plural else 'is'} {joined}."


def describe(
    codes: Sequence[Posecode],
    rng: np.random.Generator,
    *,
    lead: str = "",
    drop: float = 0.15,
    max_words: int = 55,
) -> Caption:
    """Says what a pose is like.

    Args:
        codes: the pose's codes, from `extract_posecodes`.
        rng: decides wording, order and what is left out.
        lead: a sentence to open with in place of the one about the posture.
        drop: probability of leaving out each statement that is not rare.
        max_words: statements that would make the text longer are left out, the least telling first.

    Returns:
        The text and the codes it states.
    """
    said = [code for code in codes if code.kind in RARE or rng.random() >= drop]
    opening, opening_codes, rest = _opening(said, rng, lead)
    clauses = _join_facts(_merge_sides(rest, rng))
    kept = _fit_words(clauses, max_words - len(opening.split()), rng)
    order = rng.permutation(len(kept))
    sentences = [opening] * bool(opening) + [kept[index].sentence for index in order]
    stated = [code for index in order for code in kept[index].codes]
    return Caption(" ".join(sentences), (*opening_codes, *stated))


def _opening(
    codes: list[Posecode], rng: np.random.Generator, lead: str
) -> tuple[str, tuple[Posecode, ...], list[Posecode]]:
    """The first sentence, the codes it states, and the codes left to say."""
    posture = next((code for code in codes if code.kind == "posture"), None)
    arms = next((code for code in codes if code.kind == "arms"), None)
    rest = [code for code in codes if code.kind not in ("posture", "arms")]
    who, state = words_for(ARM_POSES, arms.value) if arms else ("", "")
    if lead or posture is None:
        alone = f"{who[0].upper()}{who[1:]} {'are' if who.startswith('both') else 'is'} {state}." if arms else ""
        return f"{lead} {alone}".strip(), (arms,) if arms else (), rest
    finite, gerund = words_for(POSTURES, posture.value)
    text = f"A person {finite}" if rng.random() < 0.5 else f"Someone is {gerund}"
    if arms is None:
        return f"{text}.", (posture,), rest
    return f"{text} {'and has' if ' with ' in text else 'with'} {who} {state}.", (posture, arms), rest


def words_for(table: dict[str, tuple[str, str]], value: str) -> tuple[str, str]:
    """The table's words for a value; those for a right side are those for the left side, mirrored."""
    if value in table:
        return table[value]
    first, second = table[swap_sides(value)]
    return swap_sides(first), swap_sides(second)


def _merge_sides(codes: list[Posecode], rng: np.random.Generator) -> list[Clause]:
    """One clause a fact, or one for both sides where the mirrored fact is true as well."""
    clauses: list[Clause] = []
    done: set[Posecode] = set()
    present = set(codes)
    for code in codes:
        if code in done:
            continue
        twin = code.mirrored()
        both = twin != code and twin in present
        done |= {code, twin}
        clauses.append(_clause(code, both, rng))
    return clauses


def _clause(code: Posecode, both: bool, rng: np.random.Generator) -> Clause:
    part = code.subject.removeprefix("left_").removeprefix("right_")
    sided = part != code.subject
    phrases = predicates_of(code, part, both)
    predicate = phrases[rng.integers(len(phrases))]
    if both and sided:
        noun = PLURALS.get(part, f"{part}s").replace("_", " ")
        return Clause(f"both {noun}", True, (predicate,), (code, code.mirrored()))
    return Clause(f"the {code.subject.replace('_', ' ')}", part in PLURALS.values(), (predicate,), (code,))


def predicates_of(code: Posecode, part: str, both: bool) -> tuple[str, ...]:
    if code.kind == "near":
        return (_near(code, both),)
    if (code.kind, part, code.value) in PART_PREDICATES:
        return PART_PREDICATES[code.kind, part, code.value]
    if (code.kind, code.value) in PREDICATES:
        return PREDICATES[code.kind, code.value]
    return tuple(swap_sides(phrase) for phrase in PREDICATES[code.kind, swap_sides(code.value)])


def _near(code: Posecode, both: bool) -> str:
    side, _, target = code.value.partition("_")
    if not both:
        return f"near the {code.value.replace('_', ' ')}"
    if not target:
        return f"near the {code.value}"
    return f"near the {'' if code.subject.startswith(side) else 'opposite '}{target}s"


def _join_facts(clauses: Iterable[Clause]) -> list[Clause]:
    """Joins the facts of one subject, at most three a sentence."""
    joined: list[Clause] = []
    last: dict[str, int] = {}
    for clause in clauses:
        index = last.get(clause.subject)
        if index is None or len(joined[index].predicates) == 3:
            last[clause.subject] = len(joined)
            joined.append(clause)
            continue
        known = joined[index]
        joined[index] = Clause(
            known.subject, known.plural, known.predicates + clause.predicates, known.codes + clause.codes
        )
    return joined


def _fit_words(clauses: list[Clause], budget: int, rng: np.random.Generator) -> list[Clause]:
    """The clauses that fit in `budget` words, those with rare facts first."""
    shuffled = [clauses[index] for index in rng.permutation(len(clauses))]
    shuffled.sort(key=lambda clause: not any(code.kind in RARE for code in clause.codes))
    kept: list[Clause] = []
    for clause in shuffled:
        words = len(clause.sentence.split())
        if words <= budget:
            kept.append(clause)
            budget -= words
    return kept


def statements_true(codes: Sequence[Posecode], joints: npt.ArrayLike, tolerance: float = 1.0) -> float:
    """The fraction of statements that hold on a pose, of (22, 3) joints in metres, y up.

    Raises:
        ValueError: there are no statements.
    """
    if not codes:
        raise ValueError("statements_true was given no codes; a fraction of none is undefined.")
    return float(holding(codes, np.asarray(joints)[None], tolerance).mean())
