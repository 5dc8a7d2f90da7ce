"""Questions about what changed between two poses, with short answers and longer ones."""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import roma
import torch
from numpy.random import Generator

from unipose.processing.pose_features import JOINT_NAMES
from unipose.training.io import read_yaml
from unipose.training.named_poses.chance import pick
from unipose.training.named_poses.conjugation import verb_phrase
from unipose.training.named_poses.grammar import statement
from unipose.training.named_poses.limb_grammar import joined
from unipose.training.named_poses.limbs import arm_text
from unipose.training.named_poses.subjects import Subject
from unipose.training.named_poses.typing_style import capitalized, typed
from unipose.training.named_poses.wordings import wordings_of
from unipose.training.sampling.edits import ARM_KINDS, TURNS, Change, Editor
from unipose.training.sampling.mixing import LIMBS


QUESTIONS_FILE = Path(__file__).parent.parent / "assets" / "change_questions.yaml"
FRAMES = (
    "{pose_a} {pose_b} {question}",
    "{pose_a} {pose_b} {question}",
    "{pose_a} {pose_b}\n{question}",
    "{question} {pose_a} {pose_b}",
    "first: {pose_a} second: {pose_b} {question}",
    "before: {pose_a} after: {pose_b} {question}",
    "from {pose_a} to {pose_b}: {question}",
    "{question} first {pose_a}, then {pose_b}",
)
PARTS = {
    "the left arm": "left_arm",
    "the right arm": "right_arm",
    "the head": "head",
    "the torso": "torso",
    "the left leg": "left_leg",
    "the right leg": "right_leg",
}
WAYS = {"turn_around": "around", "turn_left": "to the left", "turn_right": "to the right"}
# A part moved if one of its joints rotated by more than this (degrees).
MOVED = 1.0
_THEY = Subject("they", "their", "them", "themselves", verb="base", be="are")


class ChangeQuestion(NamedTuple):
    """A question about two poses.

    Args:
        kind: a key of the questions' file.
        prompt: the question as typed, with {pose_a} and {pose_b}.
        answer: a sentence.
    """

    kind: str
    prompt: str
    answer: str


@cache
def load_change_questions() -> dict[str, dict[str, Any]]:
    """Kind -> {"questions": phrasings, "answers": {case: sentences}}."""
    return read_yaml(QUESTIONS_FILE)


def moved_parts(first: torch.Tensor, second: torch.Tensor) -> list[str]:
    """The keys of `PARTS` that move between two poses; a turn of the whole body does not count.

    Args:
        first, second: (22, 3, 3) in the stored frame.
    """
    angles = roma.rotmat_geodesic_distance(first, second).rad2deg()
    angles[0] = 0.0
    return [
        name
        for name, limb in PARTS.items()
        if float(angles[[JOINT_NAMES.index(joint) for joint in LIMBS[limb]]].max()) > MOVED
    ]


def ask_about_change(
    first: torch.Tensor, second: torch.Tensor, change: Change | None, editor: Editor, rng: Generator
) -> ChangeQuestion:
    """A question about an edit.

    Args:
        first, second: (22, 3, 3) the poses before and after.
        change: the edit; None where both poses are the same.
        editor: has the states.
        rng: source of randomness.
    """
    parts = moved_parts(first, second)
    turned = change is not None and change.kind in TURNS
    told = _told(change, editor, rng)
    kinds = ["what", "part", "same", "changed", *(["now", "now"] if told else []), *([] if turned else ["arm"])]
    kind = pick(kinds, rng)
    entry = load_change_questions()[kind]
    words = {"parts": _listed(parts), "way": WAYS[change.kind] if change is not None and turned else ""}
    if kind == "part":
        words["part"] = pick(list(PARTS) if not parts or rng.random() < 0.5 else parts, rng)
        case = "yes" if words["part"] in parts else "no"
    elif kind == "arm":
        case = _arm_case(parts)
    elif kind in ("same", "changed"):
        case = "turned" if turned else "different" if parts else "same"
    else:
        case = "turned" if turned else "none" if not parts else "one" if len(parts) == 1 else "many"
    words["Parts"] = capitalized(words["parts"])
    answer = told if kind == "now" else pick(entry["answers"][case], rng).format(**words)
    question = typed(pick(entry["questions"], rng).replace("{part}", words.get("part", "")), rng, question=True)
    return ChangeQuestion(kind, pick(FRAMES, rng).replace("{question}", question), answer)


def _arm_case(parts: list[str]) -> str:
    left, right = "the left arm" in parts, "the right arm" in parts
    return "both" if left and right else "left" if left else "right" if right else "neither"


def _listed(parts: list[str]) -> str:
    """The parts in words, both of a kind in one."""
    for kind in ("arm", "leg"):
        pair = [f"the left {kind}", f"the right {kind}"]
        if set(pair) <= set(parts):
            parts = [f"both {kind}s", *(part for part in parts if part not in pair)]
    return joined(parts)


def _told(change: Change | None, editor: Editor, rng: Generator) -> str:
    """A sentence about the second pose; "" where the change has no state to tell."""
    if change is None:
        return ""
    kind, name, side = change
    if kind == "named":
        return (
            f"{capitalized(statement('do', pick(wordings_of(name).do, rng), _THEY).replace(' are ', ' are now ', 1))}."
        )
    if kind in ARM_KINDS:
        kind, name = "arm", ARM_KINDS[kind]
    if kind not in editor.states:
        return ""
    state = editor.states[kind][name]
    if kind in ("arm", "head"):
        return _THEY.fill(f"They now have {arm_text(pick(state.states, rng), side or 'left', rng)}.")
    doing = verb_phrase(arm_text(pick(state.do, rng), side, rng), "participle").replace("your", "{their}")
    return _THEY.fill(f"They are now {doing}.").replace(" you", " them")
