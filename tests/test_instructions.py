"""Instruction templates: 200 a task, each with its placeholders, none that reads like another."""

import re
from itertools import combinations

import pytest

from unipose.tasks_unipose import TASKS
from unipose.training.datasets.instructions import check_template, load_instructions


# Words that tell tasks with the same input apart: what asks for rotations, and what asks for words.
ASKS_FOR_POSE = re.compile(
    r"\b(3d|smpl|joints?|pose parameters|skeleton|mannequin|reconstruct|recover|estimat\w+|predict|regress|extract"
    r"|capture|fit)\b"
)
ASKS_FOR_WORDS = re.compile(
    r"\b(descri\w+|words?|english|caption\w*|tell|say|sum up|write|explain|report|list|sentences?|text|talk|walk"
    r"|summarize|mention|spell|said|doing|does|do|notice)\b"
)
# The order of a pair is said, not left to where the two stand.
SAYS_ORDER = re.compile(
    r"\b(first|second|before|after|earlier|later|from|to|into|in order|between .* and|start .* end|becomes?|became"
    r"|then|now|next|goal|should|(?-i:B))\b",
    re.IGNORECASE,
)


def plain(template: str) -> str:
    """A template as it is heard: no case, no punctuation, pictures and poses by kind."""
    kinds = re.sub(r"\{(pose|image)_[ab]\}", r"{\1}", template.lower())
    return " ".join(re.sub(r"[^a-z0-9{}' ]", " ", kinds).split())


@pytest.mark.parametrize("task", TASKS)
def test_200_different_templates_with_the_right_placeholders(task: str) -> None:
    templates = load_instructions(task)
    assert len(templates) == 200
    assert len({plain(template) for template in templates}) == 200
    for template in templates:
        assert template.isascii()
        assert template == " ".join(template.split())
        assert sorted(re.findall(r"\{(.*?)\}", template)) == sorted(TASKS[task].placeholders)
        assert not re.search(r"[{}]", re.sub(r"\{[a-z_]+\}", "", template))
        assert re.search(r"[a-z]", plain(re.sub(r"\{.*?\}", "", template)))


def test_no_template_is_of_two_tasks() -> None:
    heard = {task: {plain(template) for template in load_instructions(task)} for task in TASKS}
    for first, second in combinations(TASKS, 2):
        assert not heard[first] & heard[second]


def test_pictures_are_asked_for_words_or_for_a_pose() -> None:
    for template in load_instructions("image-to-pose"):
        assert ASKS_FOR_POSE.search(template.lower()), template
        assert not re.search(r"\b(describe|caption|in words|sentences?)\b", template.lower()), template
    for template in load_instructions("image-to-text"):
        assert ASKS_FOR_WORDS.search(template.lower()), template
        assert not ASKS_FOR_POSE.search(template.lower()), template


@pytest.mark.parametrize("task", ["pose-diff", "image-diff"])
def test_pairs_say_which_is_the_second(task: str) -> None:
    for template in load_instructions(task):
        first, second = TASKS[task].placeholders
        assert template.index(first) < template.index(second)
        assert SAYS_ORDER.search(re.sub(r"\{.*?\}", "", template)), template


def test_pipeline_prompts_are_among_them() -> None:
    """The pipeline puts poses and pictures in front of its own words; training has seen exactly that."""
    for task, known in TASKS.items():
        if known.prompt != "{text}":
            front = "".join(f"{{{name}}} " for name in TASKS[task].placeholders)
            assert front + known.prompt in load_instructions(task)


@pytest.mark.parametrize(
    ("task", "template", "found"),
    [
        ("pose-to-text", "Describe it.", "none; wanted: {pose}"),
        ("pose-to-text", "{pose} {pose}", "{pose}, {pose}"),
        ("pose-to-text", "Describe {image}.", "{image}"),
        ("pose-diff", "{pose_b} after {pose_a}", "{pose_b}, {pose_a}"),
        ("pose-edit", "{pose} {caption}", "{pose}, {caption}"),
        ("text-to-pose", "Make {}: {caption}", "{}, {caption}"),
    ],
)
def test_wrong_templates_are_named(task: str, template: str, found: str) -> None:
    with pytest.raises(ValueError, match=re.escape(found)):
        check_template(task, template)


def test_an_instruction_may_stand_in_front_of_its_pose() -> None:
    check_template("pose-edit", "{instruction} Start from {pose}.")


def test_unknown_task() -> None:
    with pytest.raises(ValueError, match=r"pose-to-song.*accepted are pose-to-text, pose-diff"):
        load_instructions("pose-to-song")
