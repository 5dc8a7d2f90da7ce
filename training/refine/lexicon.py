"""Free prose about a body -> statements, through tables of synonyms.

`read_caption` knows one closed inventory; a chat model writes as it likes. A `Lexicon` finds body parts and what is
said of them in any sentence. Words it does not know are passed over, so it tells what a text states in known words,
and nothing about the rest.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from unipose.training.captions.describe import PART_PREDICATES, PREDICATES
from unipose.training.captions.posecodes import Posecode, swap_sides


# kind -> values, or kind -> subject: what a phrase may mean, and which subject of each kind a part stands for.
Meaning = dict[str, tuple[str, ...]]
Entries = tuple[tuple[str, str], ...]

SIDES = ("left", "right")
# Subjects that have no side.
WHOLE = frozenset({"body", "arms", "torso", "head", "hips", "hands", "feet", "knees"})
# Kinds that a phrase states whichever part was named before.
OF_THE_BODY = {"posture": ("body",)}

_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?;])\s+")
_BEFORE_A_NOUN = re.compile(r"\s*(?:in|of|at)?\s*")
_BETWEEN_PARTS = re.compile(r"\s*(?:,|and|,\s*and)\s*")
_DETERMINER = r"(?:(?:the|their|your|a|each) )?"

_BEND = r"(?:bent|bends?|bending|flexed|flexes|folded|curled)"
_LEAN = r"(?:lean|bend|bent|tilt|tip|hing|inclin|fold)\w*(?: over)?(?: \w+ly)?"
_MOVED = r"(?:(?:rais|lift|held|hold|reach|stretch|extend)\w*(?: straight| high| up| out)* )?"
_LIES = r"(?:lies|lying|lie)(?: flat| down)?"
_GROUND = r"the (?:ground|floor)"
_THE = r"(?:the|their)"
_FRONT = rf"in front(?: of (?:{_THE} (?:body|torso|chest|hips)|them))?"
# Turns of speech that are unfolded before reading: "raises the left hand overhead" is "the left hand raises overhead",
# "leans forward and to the left" is "leans forward and leans to the left", "a foot lifted in front" is "lifted and in
# front".
_UNFOLDED = (
    (re.compile(r"\b(foot|feet|legs?)( is| are)? (?:raised|lifted)(?= (?!off|up))"), r"\1\2 lifted and"),
    (
        re.compile(
            r"\b((?:twist|turn|rotat|lean|tilt|tip|bend|bow|rais|lift|lower|stretch|extend|straighten|hold|keep|flex"
            r"|cross|spread|plac|rest|bring|mov)(?:e?s|ing|e)?)"
            r" ((?:the|their|your|both)(?: (?:left|right|other|upper|lower))* [a-z]+)\b"
        ),
        r"\2 \1",
    ),
    (
        re.compile(rf"\b({_LEAN}) (forwards?)(?:,? and|,) (?:slightly )?(to {_THE} (?:left|right))\b"),
        r"\1 \2 and \1 \3",
    ),
)


def _level(landmark: str) -> str:
    at = f"(?:(?:at|around|about|to|near) )?(?:{_THE} )?{landmark}[ -](?:height|level|high)"
    return f"{_MOVED}(?:{at}|(?:level|even|in line|at the (?:height|level)) (?:with|of) {_THE} {landmark}s?)"


# What people say of a pose, with the codes that it may mean. Those with "left" stand for their mirror images too;
# "{side}" is the side of the part.
POSE_PHRASES: Entries = (
    (r"(?:stand|step|balanc)\w*", "posture=stands,crouches,one_leg_left,one_leg_right,steps_left,steps_right"),
    (r"(?:stand|balanc)\w* (?:up )?(?:straight|upright|tall)", "posture=stands torso=upright"),
    (rf"(?:stand|balanc)\w* on {_THE} left (?:leg|foot)", "posture=one_leg_left"),
    (rf"step\w*(?: forward)? (?:with|on) {_THE} left (?:foot|leg)(?: forward| in front)?", "posture=steps_left"),
    (r"(?:in|into) a (?:low |deep )?lunge|lunges|lunging|lunge", "posture=lunges_left,lunges_right"),
    (
        rf"(?:in a |into a )?(?:low |deep )?lung\w*(?: forward)? (?:with|on) {_THE} left (?:leg|foot)"
        r"(?: in front| forward| ahead| leading)?",
        "posture=lunges_left",
    ),
    (r"kick\w*", "posture=kicks_left,kicks_right"),
    (rf"kick\w*(?: out| forward)? with {_THE} left (?:leg|foot)", "posture=kicks_left"),
    (r"squat\w*", "posture=squats"),
    (r"crouch\w*|stand\w* with bent knees", "posture=crouches,squats"),
    (r"sits|sitting|seated|sit", "posture=sits,sits_ground"),
    (rf"(?:sits|sitting|seated|sit)(?: down)? on {_GROUND}", "posture=sits_ground"),
    (r"kneel\w*", "posture=kneels_both,kneels_left,kneels_right"),
    (rf"kneel\w*(?: down)? on (?:both|{_THE}) knees", "posture=kneels_both"),
    (rf"(?:kneel\w*(?: down)?|down|rest\w*) on {_THE} left knee", "posture=kneels_left"),
    (rf"on all fours|on (?:{_THE} )?hands and knees", "posture=all_fours"),
    (_LIES, "posture=lies_back,lies_front,lies_left,lies_right"),
    (rf"{_LIES}(?: on {_THE} back|,? face up)+|(?:{_LIES} )?supine", "posture=lies_back"),
    (rf"{_LIES}(?: on {_THE} (?:stomach|belly)|,? face down)+|(?:{_LIES} )?prone", "posture=lies_front"),
    (rf"{_LIES} on {_THE} left side", "posture=lies_left"),
    (rf"(?:fully|completely|tightly|sharply|strongly|deeply) {_BEND}", "bend=fully_bent,sharply_bent"),
    (
        rf"(?:{_BEND} )?(?:at|to|in|into|forms?|forming|makes?|making)(?: about| roughly| nearly)?(?: an?)?"
        r" (?:right angles?|90[ -]degrees?(?: angles?)?)",
        "bend=bent_90",
    ),
    (rf"(?:half|halfway|partly|partially|moderately) {_BEND}|{_BEND} (?:halfway|partly|partway)", "bend=half_bent"),
    (
        rf"(?:slightly|gently|softly|lightly) {_BEND}|{_BEND} (?:slightly|gently|a little|a bit)"
        r"|a (?:slight|gentle|small|soft) (?:bend|flex)",
        "bend=slightly_bent",
    ),
    (
        _BEND,
        "bend=fully_bent,sharply_bent,bent_90,half_bent,slightly_bent torso=forward,far_forward head=down",
    ),
    (
        r"(?:fully extended|extended|straightened|straight|locked)"
        r"(?! (?:up|out|ahead|forward|down|overhead|back|in front|to|above|into|behind|sideways))",
        "bend=straight torso=upright",
    ),
    (rf"{_MOVED}(?:overhead|(?:above|over) {_THE} head)", "height=above_head arms=overhead,{side}_up"),
    (_level("head"), "height=head"),
    (_level("shoulder"), "height=shoulders"),
    (_level("chest"), "height=chest"),
    (_level("(?:hip|waist)"), "height=hips"),
    (rf"(?:below|beneath|under|lower than) {_THE} (?:hips|waist)|below hip (?:height|level)", "height=below_hips"),
    (
        r"(?:rais|lift)(?:e|s|ed|es)(?: up| high)?|held up|in the air",
        "height=above_head,head,hips arms={side}_up,overhead ground=off segment=up head=up",
    ),
    (rf"(?:on|touch\w*|against) {_GROUND}|(?:rest\w*|planted|placed) on {_GROUND}", "ground=on"),
    (rf"(?:lifted |raised |held )?(?:off|clear of|above) {_GROUND}", "ground=off"),
    (
        rf"(?:far|well) (?:out )?{_FRONT}"
        rf"|(?:stretch|reach|extend)\w*(?: straight| far| out)* (?:forwards?|ahead|{_FRONT})",
        "depth=far_front,front arms=forward",
    ),
    (
        rf"{_MOVED}(?:{_FRONT}|ahead(?: of the other(?: foot| leg)?)?|forwards?)",
        "depth=front,far_front torso=forward",
    ),
    (rf"behind(?: {_THE} (?:body|back|torso|hips)| them)?", "depth=behind"),
    (
        rf"{_MOVED}(?:out )?(?:to (?:{_THE} sides?|(?:one|either|each) side)|sideways|outwards?)",
        "side=outward arms=t_pose",
    ),
    (rf"cross\w* (?:in front of )?{_THE} (?:body|chest|torso)", "side=across depth=front"),
    (rf"across(?: {_THE} (?:body|chest|torso|front|midline))?", "side=across"),
    (rf"(?:crossed|folded)(?: (?:over|across|in front of) {_THE} (?:chest|body))?", "arms=crossed"),
    (
        rf"(?:hang\w*|relax\w*|rest\w*)(?: loosely| straight)?(?: down)?(?: (?:at|by) {_THE} sides?)?"
        rf"|(?:at|by) {_THE} sides?|alongside {_THE} body",
        "arms=down segment=down",
    ),
    (rf"{_MOVED}(?:to )?vertical(?:ly)?|point\w*(?: straight)? down(?:wards?)?", "segment=down torso=upright"),
    (rf"{_MOVED}(?:to )?horizontal(?:ly)?|(?:parallel|level) (?:to|with) {_GROUND}", "segment=level torso=level"),
    (rf"point\w*(?: straight)? up(?:wards?)?|pulled up|(?:raised )?above {_THE} hips", "segment=up"),
    (r"close together|together|side by side|close to (?:each other|one another)|near each other", "distance=close"),
    (r"apart|spread(?: apart)?|separated", "distance=apart"),
    (r"(?:wide|far|widely) apart|spread (?:out )?wide|widely spread|set wide", "distance=wide"),
    (r"upright|erect", "torso=upright"),
    (r"(?:far )?backwards?|(?:step|reach|stretch|extend)\w* back", "torso=back depth=behind"),
    (rf"{_LEAN} (?:slightly )?forwards?", "torso=forward,far_forward posture=bends_forward"),
    (rf"(?:{_LEAN} (?:far|deeply|well) forwards?|deeply (?:bent|tilted|folded) forward)", "torso=far_forward"),
    (r"(?:lean|bend|bent|tilt|tip|arch)\w*(?: slightly)? back(?:wards?)?", "torso=back head=up"),
    (rf"{_LEAN} (?:slightly )?(?:over )?(?:to|towards?) {_THE} left(?: side)?", "lean=left"),
    (r"(?:turn|twist|rotat)\w*(?: slightly)? (?:(?:to|towards?) (?:the|their) )?left(?: side)?", "twist=left"),
    (r"bowed|bent down|lowered|dropped|look\w* down(?:wards?)?|tilted down(?:wards?)?|tucked", "head=down"),
    (r"look\w* up(?:wards?)?|tilted up(?:wards?)?", "head=up"),
    (rf"on (?:{_THE} )?hips", "arms=on_hips"),
    (
        rf"(?:near|beside|by|next to|close to|touch\w*|rest\w* on|at|on|almost at) (?:{_THE} )?"
        r"(?:(?P<which>left|right|own|opposite|other) )?(?P<target>head|hip|shoulder|elbow|knee|ankle)s?",
        "near={target}",
    ),
)
POSE_PARTS: Entries = (
    (r"elbows?", "bend=elbow"),
    (r"knees?", "bend=knee ground=knee distance=knees"),
    (r"legs?", "bend=knee depth=foot side=foot ground=foot height=foot distance=feet segment=thigh"),
    (r"upper arms?", "segment=upper_arm"),
    (r"forearms?|lower arms?", "segment=forearm"),
    (r"arms?", "arms=arms bend=elbow height=hand depth=hand side=hand near=hand segment=upper_arm"),
    (
        r"hands?|palms?|wrists?",
        "arms=arms height=hand depth=hand side=hand near=hand ground=hand distance=hands",
    ),
    (r"thighs?|upper legs?", "segment=thigh"),
    (r"shins?|calf|calves|lower legs?", "segment=shin"),
    (r"foot|feet|ankles?|heels?", "depth=foot side=foot ground=foot height=foot distance=feet"),
    (r"hips|pelvis|bottom|buttocks", "ground=hips"),
    (r"torso|trunk|upper body|back|spine|body|person|someone", "torso=torso lean=torso twist=torso"),
    (r"head|chin|gaze", "head=head"),
)

# The same for what changes between two poses: kinds and values are words of this table only.
CHANGE_PHRASES: Entries = (
    (r"(?:bend|flex|fold)\w*|bent(?: more| further)?|more (?:bent|flexed)|less straight", "bend=more torso=forward"),
    (r"straighten\w*|straight(?:er)?|less (?:bent|flexed)|unbend\w*|extend\w*", "bend=less torso=upright"),
    (r"(?:rais|lift)\w*(?: up)?|(?:further |move[sd]? )?up(?:wards?)?|higher(?: up)?", "height=up"),
    (r"lower(?:s|ed|ing)?(?: down)?|drop\w*|(?:further |move[sd]? )?down(?:wards?)?", "height=down"),
    (r"(?:further |more |move[sd]? )?(?:forwards?|in front|ahead)", "depth=front torso=forward"),
    (r"(?:further |more |move[sd]? )?(?:back|backwards?|behind)", "depth=back torso=back"),
    (r"(?:further |more )?(?:(?:out|away)(?: to the side)?|outwards?)", "side=out"),
    (r"(?:further |more )?(?:in|inwards?|across)(?= |[.,;]|$)(?! front)", "side=in"),
    (r"(?:closer|nearer)(?: together)?|together", "distance=less"),
    (r"(?:further |farther |wider )?apart|wider|spread\w*", "distance=more"),
    (r"(?:turn|twist|rotat)\w*(?: more| further)?(?: (?:to|towards?) (?:the|their|your))? left", "turn=left"),
    (r"(?:lean|tilt|bend)\w*(?: more| further)? (?:to|towards?) (?:the|their|your) left", "lean=left"),
    (r"(?:further |more |move[sd]? )?to (?:the|their|your) left", "lateral=left"),
)
CHANGE_PARTS: Entries = (
    (r"elbows?", "bend=elbow height=elbow side=elbow depth=elbow"),
    (r"forearms?|lower arms?|arms?", "bend=elbow height=hand depth=hand side=hand lateral=hand"),
    (r"hands?|wrists?|palms?", "height=hand depth=hand side=hand lateral=hand distance=hands"),
    (r"knees?", "bend=knee height=knee depth=knee side=knee distance=knees"),
    (r"thighs?|shins?|legs?", "bend=knee height=foot depth=foot side=foot lateral=foot distance=feet"),
    (r"foot|feet|ankles?|heels?", "height=foot depth=foot side=foot lateral=foot distance=feet"),
    (r"hips|pelvis", "height=hips depth=hips lateral=hips"),
    (
        r"torso|trunk|upper body|back|body|person",
        "torso=torso turn=torso lean=torso height=body depth=body",
    ),
    (r"head|chin|gaze", "height=head turn=head lean=head"),
)


@dataclass(frozen=True)
class Statement:
    """Words, and the codes they may stand for: "the left knee is bent" is any of five."""

    words: str
    codes: frozenset[Posecode]

    def agrees(self, others: Iterable["Statement"]) -> bool:
        """Whether one of the others may mean the same."""
        return any(self.codes & other.codes for other in others)

    def mirrored(self) -> "Statement":
        return Statement(swap_sides(self.words), frozenset(code.mirrored() for code in self.codes))


@dataclass(frozen=True)
class _Mention:
    """A body part in a text: its noun, its kinds, and the sides that are meant (none for what has no side)."""

    words: str
    subjects: Meaning
    sides: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """A match of one entry of a table."""

    match: re.Match[str]
    meaning: Meaning
    is_part: bool


def _meaning(text: str) -> Meaning:
    """ "bend=straight torso=upright" -> {"bend": ("straight",), "torso": ("upright",)}."""
    return {kind: tuple(values.split(",")) for kind, values in (entry.split("=") for entry in text.split())}


def _inventory() -> Iterator[tuple[str, Meaning]]:
    """The predicates of `describe`, each with all kinds that use it."""
    known: dict[str, dict[str, list[str]]] = {}
    entries = [*PREDICATES.items(), *(((kind, value), said) for (kind, _, value), said in PART_PREDICATES.items())]
    for (kind, value), phrases in entries:
        for phrase in phrases:
            known.setdefault(phrase, {}).setdefault(kind, []).append(value)
    for phrase, kinds in known.items():
        yield re.escape(phrase), {kind: tuple(values) for kind, values in kinds.items()}


def _merge(first: Meaning, second: Meaning) -> Meaning:
    return {kind: (*first.get(kind, ()), *second.get(kind, ())) for kind in (*first, *second)}


class Lexicon:
    """Reads statements out of prose; see `pose_lexicon` and `change_lexicon`.

    Args:
        parts: (pattern of a noun, which subject it stands for in each kind).
        phrases: (pattern, which values it may mean in each kind); one with "left" stands for its mirror image too.
    """

    def __init__(self, parts: Entries, phrases: Sequence[tuple[str, Meaning]]) -> None:
        side = r"(?:(?P<side>both(?: of)?(?: the| their)?|left and right|left|right|other|opposite)[ -])?"
        self._parts = [
            (re.compile(rf"\b{_DETERMINER}{side}(?P<noun>{noun})\b"), _meaning(subjects)) for noun, subjects in parts
        ]
        self._parts.append((re.compile(r"(?<!to )\bthe (?P<side>left|right|other)(?P<noun>)(?: one)?\b"), {}))
        self._phrases = [
            (re.compile(rf"\b(?:{said})\b"), means)
            for pattern, meaning in phrases
            for said, means in {pattern: meaning, swap_sides(pattern): _mirrored(meaning)}.items()
        ]

    def read(self, text: str) -> list[Statement]:
        """The statements of a text, in its order."""
        statements: list[Statement] = []
        known: list[_Mention] = []
        for sentence in _BETWEEN_SENTENCES.split(text.lower().replace("\u2019", "'")):
            for turn_of_speech, plain in _UNFOLDED:
                sentence = turn_of_speech.sub(plain, sentence)
            statements += self._read_sentence(sentence, known)
        return list(dict.fromkeys(statements))

    def _read_sentence(self, sentence: str, known: list[_Mention]) -> Iterator[Statement]:
        """A phrase is said of the parts right behind it ("bent knees"), else of those named last."""
        about, said = [_Mention("the body", self._parts_of_the_body(), ())], True
        waiting: _Found | None = None
        end = 0
        for found in self._find(sentence):
            gap, end = sentence[end : found.match.start()], found.match.end()
            if waiting is not None and not (found.is_part and _BEFORE_A_NOUN.fullmatch(gap)):
                yield from _state(about, waiting)
                waiting, said = None, True
            if not found.is_part:
                waiting = found
                continue
            mention = _mention(found, known)
            known.append(mention)
            about = [mention] if said or not _BETWEEN_PARTS.fullmatch(gap) else [*about, mention]
            said = waiting is not None
            if waiting is not None:
                yield from _state(about, waiting)
                waiting = None
        if waiting is not None:
            yield from _state(about, waiting)

    def _parts_of_the_body(self) -> Meaning:
        return next(subjects for pattern, subjects in self._parts if pattern.search("person"))

    def _find(self, sentence: str) -> list[_Found]:
        """Every part and phrase, none inside another; the longest of those that start together."""
        found = [_Found(match, means, True) for entry, means in self._parts for match in entry.finditer(sentence)]
        found += [_Found(match, means, False) for entry, means in self._phrases for match in entry.finditer(sentence)]
        kept: list[_Found] = []
        for item in sorted(found, key=lambda item: (item.match.start(), -item.match.end())):
            if kept and item.match.span() == kept[-1].match.span() and not item.is_part and not kept[-1].is_part:
                match = max(kept[-1].match, item.match, key=lambda match: match.re.groups)
                kept[-1] = _Found(match, _merge(kept[-1].meaning, item.meaning), False)
            elif not kept or item.match.start() >= kept[-1].match.end():
                kept.append(item)
        return kept


def _mirrored(meaning: Meaning) -> Meaning:
    return {kind: tuple(swap_sides(value) for value in values) for kind, values in meaning.items()}


def _mention(found: _Found, known: list[_Mention]) -> _Mention:
    """Which part is meant: "the other" is the other side of what was named last, "the knee" that on its side."""
    noun, side = found.match["noun"], found.match["side"]
    last = next((mention for mention in reversed(known) if mention.sides), None)
    subjects = found.meaning if noun or last is None else last.subjects
    if side in SIDES:
        sides: tuple[str, ...] = (side,)
    elif side in ("other", "opposite"):
        sides = tuple(swap_sides(each) for each in last.sides) if last else ()
    elif side or noun.endswith("s") or noun in ("feet", "calves") or found.match[0].startswith("each "):
        sides = SIDES
    else:
        sides = last.sides if last else ()
    return _Mention(found.match[0], subjects, sides)


def _state(mentions: Iterable[_Mention], phrase: _Found) -> Iterator[Statement]:
    """What a phrase states of the parts, one statement a side; parts of which it can say nothing are passed over."""
    fitting = [mention for mention in mentions if mention.subjects.keys() & phrase.meaning.keys()]
    for mention in fitting or [_Mention("the body", {}, ())]:
        subjects = mention.subjects | OF_THE_BODY
        for side in mention.sides or ("",):
            codes = [
                Posecode(kind, subject, value)
                for kind in phrase.meaning.keys() & subjects.keys()
                for subject in _sided(subjects[kind][0], side)
                for pattern in phrase.meaning[kind]
                for value in _values(kind, pattern, side, mention.sides, phrase.match)
            ]
            if codes:
                yield Statement(f"{mention.words}: {phrase.match[0]}", frozenset(codes))


def _sided(subject: str, side: str) -> tuple[str, ...]:
    if subject in WHOLE:
        return (subject,)
    return (f"{side}_{subject}",) if side else ()


def _values(kind: str, pattern: str, side: str, sides: tuple[str, ...], match: re.Match[str]) -> Iterator[str]:
    """The values that a pattern with "{side}" or "{target}" stands for; what both arms do is not said of one."""
    if pattern == "{target}":
        yield from _targets(match, side)
    elif kind == "arms" and (len(sides) == 1) != ("{side}" in pattern):
        return
    else:
        yield pattern.format(side=side)


def _targets(match: re.Match[str], side: str) -> Iterator[str]:
    """What a hand is near: a part on the side that is named, or on either where none is."""
    which, target = match["which"], match["target"]
    if target == "head":
        yield "head"
    elif which in SIDES:
        yield f"{which}_{target}"
    elif side:
        own, other = f"{side}_{target}", f"{swap_sides(side)}_{target}"
        yield from {"own": (own,), "opposite": (other,), "other": (other,), None: (own, other)}[which]


@cache
def pose_lexicon() -> Lexicon:
    """For descriptions of one pose; its codes are those of `posecodes`, `describe`'s phrases included."""
    return Lexicon(POSE_PARTS, [*_inventory(), *((pattern, _meaning(said)) for pattern, said in POSE_PHRASES)])


@cache
def change_lexicon() -> Lexicon:
    """For what turns one pose into another; its codes are ("height", "left_hand", "up") and the like."""
    return Lexicon(CHANGE_PARTS, [(pattern, _meaning(said)) for pattern, said in CHANGE_PHRASES])
