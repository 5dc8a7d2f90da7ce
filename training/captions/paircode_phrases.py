"""The words for paircodes: one table for `instruct` and `read_instruction`.

A `Topic` is the content of a clause: one code, or the same change of both sides. It holds every wording, so that
reading is a look-up. In the templates {p} stands for the part ("the left hand") and a key of `AMOUNT_WORDS` for the
amount. Words that join clauses ("and", "while") occur in none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from statistics import median_low

from unipose.training.captions.measures import PAIRS
from unipose.training.captions.paircode_rules import ABSOLUTE, CODES, RULES, Paircode
from unipose.training.captions.text import expand
from unipose.training.geometry import swap_sides


Codes = tuple[Paircode, ...]

_SLIGHTLY = ("slightly", "a little", "a bit", "somewhat")
# By placeholder, the words of each amount: after a verb, before a direction and before a comparison. Each word has one
# meaning: "somewhat" is a slight change, and a change without such a word is neither slight nor much.
AMOUNT_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "{m}": {
        "slight": _SLIGHTLY,
        "much": ("a lot", "a good deal", "considerably"),
        "full": ("completely", "all the way"),
    },
    "{w}": {"slight": _SLIGHTLY, "much": ("far", "well")},
    "{c}": {
        "slight": _SLIGHTLY,
        "much": ("much", "a lot", "a good deal", "considerably"),
        "full": ("completely", "fully"),
    },
}


@dataclass(frozen=True)
class Words:
    """Templates of one change.

    Args:
        imperatives: whole commands; one without {p} needs no part.
        states: phrases after "is" or "are" when B is compared with A.
        shorts: phrases that may follow a command that starts with "move": "and a little forward".
    """

    imperatives: tuple[str, ...]
    states: tuple[str, ...]
    shorts: tuple[str, ...] = ()


# By kind and value; those for a right side are those for the left side, mirrored.
WORDS: dict[tuple[str, str], Words] = {
    ("bend", "bend"): Words(
        ("bend {p} {m}", "flex {p} {m}", "bend {p} {c} more"),
        ("{c} more bent", "bent {c} more"),
    ),
    ("bend", "straighten"): Words(
        ("straighten {p} {m}", "extend {p} {m}", "bend {p} {c} less"),
        ("{c} straighter", "{c} less bent", "bent {c} less"),
    ),
    ("move", "up"): Words(
        ("raise {p} {m}", "lift {p} {m}", "move {p} up {m}", "bring {p} {c} higher"),
        ("{c} higher", "{c} further up"),
        ("up {m}",),
    ),
    ("move", "down"): Words(
        ("lower {p} {m}", "move {p} down {m}", "bring {p} {c} lower"),
        ("{c} lower", "{c} further down"),
        ("down {m}",),
    ),
    ("move", "forward"): Words(
        ("move {p} {w} forward", "move {p} forward {m}", "bring {p} {w} forward", "bring {p} {c} further forward"),
        ("{c} further forward", "{c} further to the front"),
        ("{w} forward",),
    ),
    ("move", "back"): Words(
        ("move {p} {w} back", "move {p} back {m}", "pull {p} {w} back", "bring {p} {c} further back"),
        ("{c} further back", "{c} further to the back"),
        ("{w} back",),
    ),
    ("move", "left"): Words(
        ("move {p} {w} to the left", "shift {p} {w} to the left", "bring {p} {c} further to the left"),
        ("{c} further to the left", "{c} further left"),
        ("{w} to the left",),
    ),
    ("move", "outward"): Words(
        ("move {p} {w} outward", "bring {p} {c} further out", "move {p} {w} out to the sides"),
        ("{c} further out", "{c} further out to the sides"),
        ("{w} outward",),
    ),
    ("move", "inward"): Words(
        ("move {p} {w} inward", "bring {p} {c} further in"),
        ("{c} further in", "{c} further inward"),
        ("{w} inward",),
    ),
    ("distance", "closer"): Words(
        ("bring {p} {c} closer together", "move {p} {c} closer to each other"),
        ("{c} closer together", "{c} closer to each other"),
    ),
    ("distance", "apart"): Words(
        ("move {p} {c} further apart", "spread {p} apart {m}", "take {p} {c} further away from each other"),
        ("{c} further apart", "{c} further away from each other"),
    ),
    ("reach", "to"): Words(
        ("bring {p} {c} closer to {t}", "move {p} {c} nearer to {t}"),
        ("{c} closer to {t}", "{c} nearer to {t}"),
    ),
    ("reach", "from"): Words(
        ("move {p} {c} further away from {t}", "take {p} {c} further from {t}"),
        ("{c} further from {t}", "{c} further away from {t}"),
    ),
    ("torso", "forward"): Words(
        ("bend {p} {w} forward", "bend {w} forward", "bend forward {m}", "lean {p} {c} further forward"),
        ("bent {c} further forward", "leaning {c} further forward"),
    ),
    ("torso", "back"): Words(
        ("bring {p} back {m}", "lean back {m}", "lean {p} {c} further back"),
        ("{c} further back", "leaning {c} further back"),
    ),
    ("lean", "left"): Words(
        ("lean {w} to the left", "lean {p} {w} to the left", "tilt {p} {w} to the left"),
        ("leaning {c} further to the left", "tilted {c} further to the left"),
    ),
    ("twist", "left"): Words(
        ("twist {p} {w} to the left", "turn {p} {w} to the left", "rotate {p} {w} to the left"),
        ("turned {c} further to the left", "twisted {c} further to the left"),
    ),
    ("head", "down"): Words(
        ("lower {p} {m}", "tilt {p} down {m}", "look down {m}"),
        ("tilted {c} further down", "{c} lower"),
    ),
    ("head", "up"): Words(
        ("raise {p} {m}", "tilt {p} up {m}", "look up {m}"),
        ("tilted {c} further up", "raised {c} more"),
    ),
    ("head_rotation", "left"): Words(
        ("turn {p} {w} to the left", "look {w} to the left"),
        ("turned {c} further to the left", "facing {c} further to the left"),
    ),
    ("head_tilt", "left"): Words(
        ("tilt {p} {w} to the left", "tip {p} {w} to the left"),
        ("tilted {c} further to the left", "tipped {c} further to the left"),
    ),
    ("heading", "left"): Words(
        ("turn {w} to the left", "turn {p} {w} to the left", "rotate {w} to the left"),
        ("turned {w} to the left", "facing {c} further to the left"),
    ),
}
# Where the amount has words of its own.
COMPLETE: dict[tuple[str, str], Words] = {
    ("bend", "bend"): Words(("bend {p} {m}", "fold {p} {m}"), ("{c} bent", "bent all the way")),
    ("bend", "straighten"): Words(("straighten {p} {m}", "extend {p} {m}"), ("{c} straight", "{c} straightened")),
    ("heading", "around"): Words(
        ("turn around", "turn {p} around", "face the other way"), ("turned around", "facing the other way")
    ),
}

# Postures of B that A does not have: commands, and phrases after "the person is".
POSTURES: dict[str, Words] = {
    "lies_back": Words(
        ("lie down on the back", "lie on the back", "lie face up"), ("now lying on the back", "now lying face up")
    ),
    "lies_front": Words(
        ("lie down on the stomach", "lie on the stomach", "lie face down"),
        ("now lying on the stomach", "now lying face down"),
    ),
    "lies_left": Words(("lie down on the left side", "lie on the left side"), ("now lying on the left side",)),
    "handstand": Words(
        ("go into a handstand", "do a handstand", "kick up into a handstand"),
        ("now in a handstand", "now doing a handstand", "now standing on the hands"),
    ),
    "all_fours": Words(("get on all fours", "go onto all fours"), ("now on all fours", "now crawling on all fours")),
    "plank": Words(
        ("go into a plank", "get into a push-up position", "hold a plank"),
        ("now in a plank", "now holding a plank", "now in a push-up position"),
    ),
    "bridge": Words(
        ("go into a bridge", "push up into a bridge", "arch into a bridge"),
        ("now in a bridge", "now arched into a bridge", "now doing a bridge"),
    ),
    "sits_cross_legged": Words(
        ("sit cross-legged", "sit on the ground with crossed legs", "sit down cross-legged"),
        ("now sitting cross-legged", "now sitting on the ground with crossed legs"),
    ),
    "sits_ground": Words(
        ("sit on the ground", "sit on the floor", "take a seat on the ground"),
        ("now sitting on the ground", "now sitting on the floor"),
    ),
    "sits_heels": Words(
        ("sit on the heels", "sit back on the heels", "kneel with the hips resting on the heels"),
        ("now sitting on the heels", "now sitting back on the heels"),
    ),
    "kneels_both": Words(
        ("kneel", "kneel on both knees", "get onto both knees"), ("now kneeling", "now kneeling on both knees")
    ),
    "kneels_left": Words(
        ("kneel on the left knee", "get onto the left knee"),
        ("now kneeling on the left knee", "now down on the left knee"),
    ),
    "sits": Words(
        ("sit down", "sit on a chair", "sit down on a chair", "take a seat"),
        ("now sitting", "now seated", "now sitting on a chair"),
    ),
    "squats": Words(("squat", "squat down", "go into a squat"), ("now squatting", "now in a squat")),
    "lunges_left": Words(
        ("lunge with the left leg in front", "go into a lunge with the left leg in front"),
        ("now in a lunge with the left leg in front", "now lunging with the left leg in front"),
    ),
    "side_lunges_left": Words(
        ("lunge sideways onto the left leg", "lunge to the left side", "go into a side lunge on the left leg"),
        ("now lunging sideways onto the left leg", "now in a side lunge on the left leg"),
    ),
    "kicks_left": Words(
        ("kick with the left leg", "kick the left leg out"),
        ("now kicking with the left leg", "now doing a kick with the left leg"),
    ),
    "one_leg_right": Words(
        ("stand on the right leg", "balance on the right leg"),
        ("now standing on the right leg", "now balancing on the right leg"),
    ),
    "bends_forward": Words(
        ("bend over", "bow forward", "bend over from the hips"),
        ("now bending over", "now bowing forward", "now bent over"),
    ),
    "steps_left": Words(
        ("step forward with the left foot", "take a step with the left foot"),
        ("now stepping forward with the left foot", "now taking a step with the left foot"),
    ),
    "crouches": Words(("crouch", "crouch down"), ("now crouching", "now standing with bent knees")),
    "stands": Words(
        ("stand up", "stand up straight", "stand upright", "come to a stand", "stand on both legs"),
        ("now standing", "now standing upright"),
    ),
    "stoops": Words(
        ("bend low over bent legs", "stoop with bent knees"),
        ("now bent low over bent legs", "now stooping with bent knees"),
    ),
    "balances_right": Words(
        ("stand on the right foot with the left foot lifted", "balance on the right foot with the left foot lifted"),
        (
            "now on the right foot with the left foot lifted",
            "now balancing on the right foot with the left foot lifted",
        ),
    ),
    "tips_right": Words(
        (
            "tip over on the right leg with the left foot lifted",
            "balance on the right leg with the upper body low",
            "stand on the right leg with the upper body low",
        ),
        ("now tipped over on the right leg", "now balancing on the right leg with the upper body low"),
    ),
    "staggered_left": Words(
        ("take a staggered stance with the left foot leading", "stand with the left foot well ahead"),
        ("now in a staggered stance with the left foot leading", "now standing with the left foot well ahead"),
    ),
    "one_bent_left": Words(
        ("stand with only the left knee bent", "stand with just the left knee bent"),
        ("now standing with only the left knee bent", "now standing with just the left knee bent"),
    ),
    "low": Words(
        ("stand low on bent legs", "get low on bent legs"), ("now standing low on bent legs", "now low on bent legs")
    ),
}
UNCHANGED = (
    ("keep the pose", "hold the pose", "stay as you are", "do not change the pose", "leave everything as it is"),
    ("nothing has changed", "the pose is the same", "the pose has not changed", "both poses are the same"),
)

# Phrases after "until it is", "so that the left hand is" or, with "now", "the left hand is": by posecode.
GOALS: dict[tuple[str, str], tuple[str, ...]] = {
    ("bend", "bent_90"): ("at a right angle", "bent at a right angle", "bent at 90 degrees"),
    ("bend", "straight"): ("straight",),
    ("height", "above_head"): ("above the head", "overhead"),
    ("height", "head"): ("at head height", "level with the head"),
    ("height", "shoulders"): ("at shoulder height", "level with the shoulders"),
    ("height", "chest"): ("at chest height", "level with the chest"),
    ("height", "hips"): ("at hip height", "level with the hips"),
    ("near", ""): ("near {t}", "next to {t}"),
    ("depth", "behind"): ("behind the back", "behind the body"),
    ("segment", "level"): ("horizontal", "parallel to the ground"),
    ("ground", "off"): ("off the ground", "in the air"),
    ("ground", "on"): ("on the ground", "on the floor"),
    ("distance", "close"): ("close together",),
    ("distance", "wide"): ("wide apart",),
    ("torso", "upright"): ("upright", "vertical"),
    ("torso", "level"): ("horizontal", "parallel to the ground"),
}
NOUNS = {"torso": ("torso", "upper body"), "body": ("body", "whole body")}
PLURALS = {"foot": "feet", **{pair: pair for pair in PAIRS.values()}, "hips": "hips"}

# The verbs that commands begin with, as they follow "while".
GERUNDS = {
    **{verb: f"{verb}ing" for verb in ("bend", "extend", "flex", "fold", "kick", "lean", "lift", "look", "lower")},
    **{verb: f"{verb}ing" for verb in ("pull", "shift", "spread", "straighten", "tilt", "turn", "twist")},
    **{
        verb: f"{verb}ing" for verb in ("arch", "bow", "bring", "crouch", "do", "go", "hold", "kneel", "push", "stand")
    },
    "stoop": "stooping",
    "squat": "squatting",
    "step": "stepping",
    "balance": "balancing",
    "come": "coming",
    "face": "facing",
    "get": "getting",
    "lie": "lying",
    "lunge": "lunging",
    "move": "moving",
    "raise": "raising",
    "rotate": "rotating",
    "sit": "sitting",
    "take": "taking",
    "tip": "tipping",
}


@dataclass(frozen=True)
class Topic:
    """The codes of one clause, with all wordings.

    Args:
        codes: the codes that it states.
        nouns: names of the part, without article ("left hand"), or "both hands".
        plural: whether the part takes "are" and "them".
        imperatives: commands; "{p}" stands for the part, some need none.
        states: phrases after "is" or "are".
        shorts: phrases that may follow a command that starts with "move".
        sentences: whole clauses that stand in place of a part and a state.
    """

    codes: Codes
    nouns: tuple[str, ...]
    plural: bool
    imperatives: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    shorts: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    @cached_property
    def typical_words(self) -> int:
        """Words of a clause of usual length, connective included."""
        noun = 2 + max((len(noun.split()) for noun in self.nouns), default=0)
        return noun + median_low(len(text.split()) for text in (*self.imperatives, *self.states, *self.sentences))

    @property
    def is_goal(self) -> bool:
        return self.codes[0].kind == "goal"


def merged(code: Paircode) -> Iterator[tuple[Codes, str]]:
    """The codes of both sides that one clause can state together with `code`, and the value that gives the words."""
    twin = code.mirrored()
    if not code.subject.startswith(("left_", "right_")) or code.value.startswith("near."):
        return
    codes = tuple(sorted((code, twin)))
    if code.kind == "move" and code.value in ("left", "right"):
        yield codes, "outward" if code.subject.startswith(code.value) else "inward"
        same = Paircode(code.kind, twin.subject, code.value, code.amount)
        yield tuple(sorted((code, same))), code.value
    elif code.kind == "reach" and code.value.rpartition("_")[0] in ("to", "from"):
        yield codes, code.value
    elif code.kind == "reach":
        way, side, part = code.value.split("_", 2)
        yield codes, f"{way}_{'' if code.subject.startswith(side) else 'opposite '}{PLURALS.get(part, f'{part}s')}"
    else:
        yield codes, code.value


@cache
def topics() -> dict[Codes, Topic]:
    """Every topic, by its codes in sorted order."""
    found: dict[Codes, Topic] = {(code,): _topic((code,), code.value) for code in CODES}
    for code in (*RULES, *ABSOLUTE):
        for codes, value in merged(code):
            if codes not in found:
                found[codes] = _topic(codes, value)
    return found


def _topic(codes: Codes, value: str) -> Topic:
    code = codes[0]
    if code.kind == "none":
        return Topic(codes, (), False, imperatives=UNCHANGED[0], sentences=UNCHANGED[1])
    nouns, plural = _nouns(codes)
    if code.kind == "goal":
        return Topic(codes, nouns, plural, states=_goal_words(code.value))
    if code.kind == "posture":
        words = _mirrored(POSTURES, value)
        return Topic(codes, ("person",), False, words.imperatives, words.states)
    given, target = _words(code, value)
    expanded = (
        _expand(templates, code.amount, target) for templates in (given.imperatives, given.states, given.shorts)
    )
    return Topic(codes, nouns, plural, *expanded)


def _nouns(codes: Codes) -> tuple[tuple[str, ...], bool]:
    part = codes[0].subject.partition("_")[2]
    if len(codes) == 2:
        return (f"both {PLURALS.get(part, f'{part}s').replace('_', ' ')}",), True
    subject = codes[0].subject
    return NOUNS.get(subject, (subject.replace("_", " "),)), subject in PLURALS.values()


def _mirrored(table: dict[str, Words], value: str) -> Words:
    return table[value] if value in table else _swap(table[swap_sides(value)])


def _swap(words: Words) -> Words:
    return Words(*(tuple(map(swap_sides, given)) for given in (words.imperatives, words.states, words.shorts)))


def _words(code: Paircode, value: str) -> tuple[Words, str]:
    """The templates of a code, and what a hand comes closer to."""
    if code.kind == "reach":
        way, _, target = value.partition("_")
        return WORDS["reach", way], f"the {target.replace('_', ' ')}"
    table = COMPLETE if code.amount == "full" else WORDS
    if (code.kind, value) in table:
        return table[code.kind, value], ""
    return _swap(table[code.kind, swap_sides(value)]), ""


def _expand(templates: tuple[str, ...], amount: str, target: str) -> tuple[str, ...]:
    """All wordings, those with a word for the amount first."""
    texts: list[str] = []
    for template in sorted(templates, key=lambda template: not any(slot in template for slot in AMOUNT_WORDS)):
        for slot, words in AMOUNT_WORDS.items():
            template = template.replace(slot, f"[{'|'.join(words.get(amount, ()))}]")
        texts += expand(template.replace("{t}", target))
    return tuple(dict.fromkeys(" ".join(text.split()) for text in texts))


def _goal_words(value: str) -> tuple[str, ...]:
    kind, _, target = value.partition(".")
    templates = GOALS[kind, "" if kind == "near" else target]
    return _expand(templates, "", f"the {target.replace('_', ' ')}")
